//! Money in memory: what may still be spent, what is held for requests that run, and who pays. Decides whether a request
//! may begin; never lets more be held and spent than was given. Knows no clock (wall time is an argument, in epoch
//! milliseconds UTC), no file and no database. Tests are with the parts.

mod account;
mod books;
mod hold;
mod purse;
mod window;

pub use account::{Account, BadName, Scope};
pub use books::Books;
pub use hold::{Hold, Settled, Use};
pub use purse::{Budget, Purse, PurseId, Short, Standing, Supply, WhenSpent, Why};
pub use window::Window;
