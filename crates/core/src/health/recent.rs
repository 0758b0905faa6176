//! How often something was used lately: in this hour and the one before. A newcomer is not owed the past, so counting
//! from the start of the process would send it everything. Tests are below.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::moment::Moment;

const HOUR: u64 = 3_600_000_000;

/// A count of uses that forgets. Counts made at the very turn of an hour may be lost, which only spreads load.
#[derive(Debug, Default)]
pub(super) struct Recent {
    hour: AtomicU64,
    this: AtomicU64,
    last: AtomicU64,
}

impl Recent {
    pub(super) fn add(&self, now: Moment) {
        self.turn(now);
        self.this.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count(&self, now: Moment) -> u64 {
        match (now.as_micros() / HOUR).saturating_sub(self.hour.load(Ordering::Relaxed)) {
            0 => self.this.load(Ordering::Relaxed).saturating_add(self.last.load(Ordering::Relaxed)),
            1 => self.this.load(Ordering::Relaxed),
            _ => 0,
        }
    }

    fn turn(&self, now: Moment) {
        let hour = now.as_micros() / HOUR;
        let before = self.hour.load(Ordering::Relaxed);
        if hour > before && self.hour.compare_exchange(before, hour, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let this = self.this.swap(0, Ordering::Relaxed);
            self.last.store(if hour == before + 1 { this } else { 0 }, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_this_hour_and_the_one_before() {
        let recent = Recent::default();
        let at = |minutes: u64| Moment::seconds(minutes * 60);
        recent.add(at(10));
        recent.add(at(50));
        assert_eq!(recent.count(at(59)), 2);
        recent.add(at(61));
        assert_eq!((recent.count(at(61)), recent.count(at(121))), (3, 1));
        assert_eq!(recent.count(at(600)), 0);
    }
}
