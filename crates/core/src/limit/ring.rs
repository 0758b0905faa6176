//! An exact sliding window: in no stretch of the window's length is more taken than allowed.
//!
//! The window is cut into slots; what was taken in a slot counts until the whole slot is out of every window that touches
//! it. That is late by one slot at most, which costs less than one per cent of the limit. Tests are below.

use std::time::Duration;

use crate::moment::{Moment, micros_of};

/// Slots of a window; one more is kept, because a window may touch that many.
const SLOTS: usize = 120;

/// Amounts taken within a sliding window.
#[derive(Debug)]
pub struct Ring {
    slot_micros: u64,
    /// The number of the latest slot, counted from the start of the process.
    latest: u64,
    sum: u64,
    slots: Box<[u64]>,
}

/// The slot an amount was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u64);

impl Ring {
    /// An empty ring for windows of this length, which is at least 120 microseconds.
    pub fn new(window: Duration) -> Self {
        let slot_micros = (micros_of(window) / SLOTS as u64).max(1);
        Self { slot_micros, latest: 0, sum: 0, slots: vec![0; SLOTS + 1].into() }
    }

    /// How much of `limit` is taken in the window that ends now.
    pub fn used(&mut self, now: Moment) -> u64 {
        self.advance(now);
        self.sum
    }

    /// When `amount` fits under `limit`: now, or later. An amount above the limit fits when nothing else is there.
    pub fn fits_at(&mut self, now: Moment, amount: u64, limit: u64) -> Moment {
        self.advance(now);
        let room = limit.saturating_sub(amount.min(limit));
        let mut left = self.sum;
        if left <= room {
            return now;
        }
        let oldest = self.latest.saturating_sub(SLOTS as u64);
        for number in oldest..=self.latest {
            left = left.saturating_sub(self.at(number));
            if left <= room {
                return Moment::micros((number + SLOTS as u64 + 1).saturating_mul(self.slot_micros));
            }
        }
        now
    }

    /// Takes an amount, whether it fits or not.
    pub fn take(&mut self, now: Moment, amount: u64) -> Slot {
        self.advance(now);
        let latest = self.latest;
        self.set(latest, self.at(latest).saturating_add(amount));
        Slot(latest)
    }

    /// Puts what was really used in the place of what was taken, in the slot it was taken in.
    pub fn correct(&mut self, slot: Slot, taken: u64, used: u64) {
        if self.latest.saturating_sub(slot.0) > SLOTS as u64 {
            return;
        }
        let amount = self.at(slot.0).saturating_sub(taken).saturating_add(used);
        self.set(slot.0, amount);
    }

    fn advance(&mut self, now: Moment) {
        let number = now.as_micros() / self.slot_micros;
        if number <= self.latest {
            return;
        }
        let steps = (number - self.latest).min(self.slots.len() as u64);
        let first = number - steps + 1;
        self.latest = number;
        for passed in first..=number {
            self.set(passed, 0);
        }
    }

    fn at(&self, number: u64) -> u64 {
        self.slots.get(self.index(number)).copied().unwrap_or_default()
    }

    fn set(&mut self, number: u64, amount: u64) {
        let index = self.index(number);
        if let Some(slot) = self.slots.get_mut(index) {
            self.sum = self.sum.saturating_sub(*slot).saturating_add(amount);
            *slot = amount;
        }
    }

    fn index(&self, number: u64) -> usize {
        usize::try_from(number % self.slots.len() as u64).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    const MINUTE: Duration = Duration::from_secs(60);

    fn seconds(seconds: u64) -> Moment {
        Moment::seconds(seconds)
    }

    fn try_take(ring: &mut Ring, now: Moment, amount: u64, limit: u64) -> bool {
        let fits = ring.fits_at(now, amount, limit) <= now;
        if fits {
            ring.take(now, amount);
        }
        fits
    }

    #[test]
    fn a_burst_at_the_edge_of_a_minute_does_not_double_the_limit_002_50() {
        let mut ring = Ring::new(MINUTE);
        let taken = |ring: &mut Ring, at| (0..20).filter(|_| try_take(ring, at, 1, 10)).count();
        assert_eq!(taken(&mut ring, Moment::micros(59_900_000)), 10);
        assert_eq!(taken(&mut ring, Moment::micros(60_100_000)), 0);
        assert_eq!(taken(&mut ring, Moment::micros(119_800_000)), 0);
        assert_eq!(taken(&mut ring, Moment::micros(120_500_000)), 10);
    }

    #[test]
    fn no_window_of_any_place_holds_more_than_the_limit() {
        let mut dice = Dice::seeded(3);
        let mut ring = Ring::new(MINUTE);
        let mut taken: Vec<u64> = Vec::new();
        let mut now = 0;
        for _ in 0..20_000 {
            now += dice.below(20_000);
            if try_take(&mut ring, Moment::micros(now), 1, 50) {
                taken.push(now);
            }
        }
        for (position, start) in taken.iter().enumerate() {
            let inside = taken[position..].iter().take_while(|at| **at < start + 60_000_000).count();
            assert!(inside <= 50, "{inside} from {start}");
        }
        // At least 99 % of what is allowed in 200 seconds was used.
        let allowed = now * 50 / 60_000_000;
        assert!(taken.len() as u64 * 100 >= allowed * 99, "{} of {allowed}", taken.len());
    }

    #[test]
    fn what_does_not_fit_is_told_when_it_will_and_then_it_does() {
        let mut ring = Ring::new(MINUTE);
        ring.take(seconds(0), 6);
        ring.take(seconds(30), 4);
        let at = ring.fits_at(seconds(31), 5, 10);
        assert!(at > seconds(60) && at <= Moment::micros(61_000_000), "{at:?}");
        assert!(!try_take(&mut ring, Moment::micros(at.as_micros() - 1), 5, 10));
        assert!(try_take(&mut ring, at, 5, 10));
    }

    #[test]
    fn an_amount_above_the_limit_passes_when_nothing_else_is_there() {
        let mut ring = Ring::new(MINUTE);
        assert!(try_take(&mut ring, seconds(1), 500, 100));
        assert!(!try_take(&mut ring, seconds(1), 1, 100));
        assert!(try_take(&mut ring, seconds(200), 500, 100));
    }

    #[test]
    fn a_correction_goes_into_the_slot_it_was_taken_in() {
        let mut ring = Ring::new(MINUTE);
        let slot = ring.take(seconds(1), 100);
        ring.correct(slot, 100, 20);
        assert_eq!(ring.used(seconds(40)), 20);
        ring.correct(slot, 20, 90);
        assert_eq!((ring.used(seconds(41)), ring.used(seconds(62))), (90, 0));
        ring.correct(slot, 90, 5);
        assert_eq!(ring.used(seconds(63)), 0, "a slot that has passed is not corrected");
    }
}
