//! How soon a model's answers begin, as a histogram that forgets slowly; hedging asks it for percentiles.
//! Tests are below.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::moment::micros_of;

/// Two buckets for every doubling, from 1 ms to about 17 minutes.
const BUCKETS: usize = 40;
/// Fewer say nothing about a percentile.
const ENOUGH: u32 = 20;
/// When so many are counted, all counts are halved.
const MANY: u32 = 2000;

/// Times to the first token of one model's recent requests.
#[derive(Debug)]
pub struct Pulse {
    counts: [AtomicU32; BUCKETS],
    total: AtomicU32,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { counts: [const { AtomicU32::new(0) }; BUCKETS], total: AtomicU32::new(0) }
    }
}

impl Pulse {
    /// Counts one.
    pub fn beat(&self, time: Duration) {
        if let Some(count) = self.counts.get(bucket(micros_of(time))) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if self.total.fetch_add(1, Ordering::Relaxed) + 1 >= MANY {
            self.halve();
        }
    }

    /// The time within which so many per cent began, rounded up to the end of a bucket; `None` while too few were counted.
    pub fn percentile(&self, percent: u8) -> Option<Duration> {
        let counts = self.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        let total: u32 = counts.iter().sum();
        if total < ENOUGH {
            return None;
        }
        let wanted = (u64::from(total) * u64::from(percent)).div_ceil(100);
        let mut seen = 0;
        for (index, count) in counts.into_iter().enumerate() {
            seen += u64::from(count);
            if seen >= wanted {
                return Some(Duration::from_micros(upper(index)));
            }
        }
        None
    }

    fn halve(&self) {
        let mut total = 0;
        for count in &self.counts {
            let half = count.load(Ordering::Relaxed) / 2;
            count.store(half, Ordering::Relaxed);
            total += half;
        }
        self.total.store(total, Ordering::Relaxed);
    }
}

/// Bucket 2k ends at 1.5 x 2^k ms, bucket 2k + 1 at 2^(k + 1) ms.
fn bucket(micros: u64) -> usize {
    (0..BUCKETS).find(|index| micros <= upper(*index)).unwrap_or(BUCKETS - 1)
}

fn upper(index: usize) -> u64 {
    let doubled = 1000_u64 << (index / 2);
    if index.is_multiple_of(2) { doubled + doubled / 2 } else { doubled * 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_counted() {
        let pulse = Pulse::default();
        for _ in 0..19 {
            pulse.beat(Duration::from_millis(100));
        }
        assert_eq!(pulse.percentile(95), None, "too few");
        for _ in 19..90 {
            pulse.beat(Duration::from_millis(100));
        }
        for _ in 90..100 {
            pulse.beat(Duration::from_millis(3000));
        }
        assert_eq!(pulse.percentile(50), Some(Duration::from_millis(128)));
        assert_eq!(pulse.percentile(95), Some(Duration::from_millis(3072)));
    }

    #[test]
    fn the_past_is_forgotten() {
        let pulse = Pulse::default();
        (0..1000).for_each(|_| pulse.beat(Duration::from_secs(20)));
        (0..20_000).for_each(|_| pulse.beat(Duration::from_millis(10)));
        assert!(pulse.percentile(95) < Some(Duration::from_millis(50)));
    }
}
