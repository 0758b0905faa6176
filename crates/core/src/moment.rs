//! Time, as an argument: microseconds since the midnight (UTC) before the process began, so that days can be told apart.
//! Monotonic; where it comes from is the gateway's business.
//! Fits into one atomic word, so living state can be read without a lock. Tests are with those who use it.

use std::time::Duration;

/// A point in time, in microseconds since the midnight (UTC) before the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// That midnight; nothing was before it.
    pub const START: Self = Self(0);

    pub const fn micros(micros: u64) -> Self {
        Self(micros)
    }

    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// So much later. Never wraps.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(micros_of(span)))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Moment {
    /// The next midnight (UTC).
    pub const fn next_day(self) -> Self {
        Self((self.0 / DAY + 1).saturating_mul(DAY))
    }

    /// The number of the day.
    pub const fn day(self) -> u64 {
        self.0 / DAY
    }
}

/// Microseconds of a day.
const DAY: u64 = 86_400_000_000;

/// A length of time in whole microseconds. Never wraps.
pub(crate) fn micros_of(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
