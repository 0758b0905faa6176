//! How much repeated work the gateway makes: retries and hedges of the last ten seconds, against the requests.
//! Counts without a lock; two threads that decide at the very same time may both pass. Tests are below.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::moment::Moment;

const SECONDS: u64 = 10;
/// A power of two above [`SECONDS`].
const SLOTS: usize = 16;

/// Requests, retries and hedges of the last ten seconds.
#[derive(Debug, Default)]
pub struct Traffic {
    requests: Window,
    retries: Window,
    hedges: Window,
}

impl Traffic {
    /// A request begins.
    pub fn request(&self, now: Moment) {
        self.requests.add(now);
    }

    /// May something be tried once more? At most `percent` of the requests are, and always `floor` of them.
    pub fn retry(&self, percent: u32, floor: u32, now: Moment) -> bool {
        self.spend(&self.retries, percent, floor, now)
    }

    /// May a second deployment be asked beside the first? At most `percent` of the requests may, and always one.
    pub fn hedge(&self, percent: u32, now: Moment) -> bool {
        self.spend(&self.hedges, percent, 1, now)
    }

    /// Requests, retries and hedges of the last ten seconds.
    pub fn counts(&self, now: Moment) -> (u64, u64, u64) {
        (self.requests.sum(now), self.retries.sum(now), self.hedges.sum(now))
    }

    fn spend(&self, what: &Window, percent: u32, floor: u32, now: Moment) -> bool {
        let share = self.requests.sum(now).saturating_mul(u64::from(percent)) / 100;
        let allowed = what.sum(now) < share.max(u64::from(floor));
        if allowed {
            what.add(now);
        }
        allowed
    }
}

/// Counts by second, each with the second it belongs to in the upper half of its word.
#[derive(Debug, Default)]
struct Window([AtomicU64; SLOTS]);

impl Window {
    fn add(&self, now: Moment) {
        let second = second(now);
        let Some(slot) = self.slot(second) else { return };
        let mut word = slot.load(Ordering::Relaxed);
        loop {
            let next = if word >> 32 == second { word + 1 } else { (second << 32) | 1 };
            match slot.compare_exchange_weak(word, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => word = other,
            }
        }
    }

    fn sum(&self, now: Moment) -> u64 {
        let second = second(now);
        let recent = |word: u64| (word >> 32) + SECONDS > second && word >> 32 <= second;
        let words = self.0.iter().map(|slot| slot.load(Ordering::Relaxed));
        words.filter(|word| recent(*word)).map(|word| word & u64::from(u32::MAX)).sum()
    }

    fn slot(&self, second: u64) -> Option<&AtomicU64> {
        self.0.get(usize::try_from(second % SLOTS as u64).unwrap_or_default())
    }
}

fn second(now: Moment) -> u64 {
    now.as_micros() / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_requests_is_repeated_and_no_more_003_39() {
        let traffic = Traffic::default();
        let mut retries = 0;
        for second in 0..60 {
            for _ in 0..200 {
                traffic.request(Moment::seconds(second));
                retries += u32::from(traffic.retry(10, 30, Moment::seconds(second)));
            }
        }
        assert!((1100..=1200).contains(&retries), "{retries} of 12000");
    }

    #[test]
    fn with_little_traffic_the_floor_counts_and_the_past_is_forgotten() {
        let traffic = Traffic::default();
        let passed = |at| (0..100).filter(|_| traffic.retry(10, 30, Moment::seconds(at))).count();
        assert_eq!((passed(5), passed(14), passed(15)), (30, 0, 30));
        assert!(traffic.hedge(5, Moment::seconds(15)) && !traffic.hedge(5, Moment::seconds(15)));
    }
}
