//! When a key was last used, until somebody has written it down. One atomic word, so that no request waits for another.
//! Knows no clock and no database. Tests are below.

use std::sync::atomic::{AtomicI64, Ordering};

/// The latest use of a key that is not written down yet. Times are in milliseconds since 1970.
#[derive(Debug, Default)]
pub struct LastUse(AtomicI64);

impl LastUse {
    /// Notes a use. One that is earlier than another changes nothing.
    pub fn note(&self, at: i64) {
        // Many requests share a millisecond: most of them only read.
        if self.0.load(Ordering::Relaxed) < at {
            self.0.fetch_max(at, Ordering::Relaxed);
        }
    }

    /// The latest use since this was last asked, if there was one. Who could not write it down notes it again.
    pub fn take(&self) -> Option<i64> {
        let at = self.0.swap(0, Ordering::Relaxed);
        (at > 0).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_use_is_given_once() {
        let last = LastUse::default();
        assert_eq!(last.take(), None);
        for at in [5, 9, 7] {
            last.note(at);
        }
        assert_eq!((last.take(), last.take()), (Some(9), None));
        last.note(3);
        last.note(2);
        assert_eq!(last.take(), Some(3));
    }
}
