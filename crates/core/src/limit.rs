//! What may be asked in a time: exact sliding windows, and what a provider says is left. Used as hints for scheduling, so
//! that whatever is at its limit is passed over rather than hit. Knows no clock and no caller. Tests are with the parts.

mod gate;
mod learned;
mod ring;

pub use gate::{Entry, Full, Gate};
pub use learned::{Learned, Said};
pub use ring::{Ring, Slot};
