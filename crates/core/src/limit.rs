//! What may be asked in a time: exact sliding windows, and what a provider says is left. Used as hints for scheduling, so
//! that whatever is at its limit is passed over rather than hit; and as bounds of callers, who are refused. Knows no clock and
//! no caller. Tests are with the parts.

mod admission;
mod gate;
mod learned;
mod level;
mod ring;

pub use admission::{Admission, Ask};
pub use gate::{Entry, Full, Gate};
pub use learned::{Learned, Said};
pub use level::{CallerLimits, Denied, Dimension, Free, Left, Level, LevelGate, LevelKind, Levels, Peak, Standing};
pub use ring::{Ring, Slot};
