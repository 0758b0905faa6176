//! Where the limits of callers are counted. One call takes all dimensions of all levels, so that a counter shared by several
//! instances can be put in the place of memory. Decides nothing: core does. Tests: `it/caller_limits.rs`.

pub mod today;

use waypost_core::limit::{Admission, Ask, Denied, Levels};
use waypost_core::moment::Moment;

/// A place where what callers take is counted.
#[derive(Debug, Default)]
pub enum Limits {
    /// In this process, exactly.
    #[default]
    Memory,
}

impl Limits {
    /// Takes a request at every level, or at none.
    #[expect(clippy::unused_async, reason = "a counter elsewhere is waited for")]
    pub async fn admit(&self, levels: &Levels, ask: Ask, now: Moment) -> Result<Admission, Denied> {
        match self {
            Self::Memory => levels.admit(ask, now),
        }
    }
}
