//! The limits of one account, key or model, checked together: nothing is taken unless everything fits.
//! One small lock each, taken only where limits are set. Tests are below.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ring::{Ring, Slot};
use crate::config::Limits;
use crate::moment::Moment;

/// What was taken of the limits so far. The limits themselves are arguments: they change with the configuration, while
/// this stays.
#[derive(Debug, Default)]
pub struct Gate {
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    second: Option<Ring>,
    minute: Option<Ring>,
    tokens: Option<Ring>,
    day: u64,
    today: u64,
    running: u32,
}

/// What one request took; to be given back with [`Gate::leave`], or [`Gate::give_back`] if it was never sent.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Entry {
    second: Option<Slot>,
    minute: Option<Slot>,
    tokens: Option<(Slot, u64)>,
    day: Option<u64>,
}

/// Why a request cannot enter now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// It can at this time.
    Until(Moment),
    /// It can when another one ends.
    Running,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

impl Gate {
    /// Takes a request with so many tokens, if it fits in every dimension.
    pub fn enter(&self, limits: &Limits, tokens: u64, now: Moment) -> Result<Entry, Full> {
        let mut taken = self.lock();
        taken.check(limits, tokens, now)?;
        let second = limits.rps.and(taken.second.as_mut()).map(|ring| ring.take(now, 1));
        let minute = limits.rpm.and(taken.minute.as_mut()).map(|ring| ring.take(now, 1));
        let day = limits.rpd.map(|_| {
            let today = taken.today(now);
            (taken.day, taken.today) = (now.day(), today.saturating_add(1));
            taken.day
        });
        let tokens = match (&mut taken.tokens, limits.tpm) {
            (Some(ring), Some(_)) => Some((ring.take(now, tokens), tokens)),
            (Some(_) | None, _) => None,
        };
        taken.running = taken.running.saturating_add(1);
        Ok(Entry { second, minute, tokens, day })
    }

    /// The request is over; it used so many tokens, where that is known.
    pub fn leave(&self, entry: Entry, used: Option<u64>) {
        let mut taken = self.lock();
        taken.running = taken.running.saturating_sub(1);
        if let (Some(ring), Some((slot, reserved)), Some(used)) = (&mut taken.tokens, entry.tokens, used) {
            ring.correct(slot, reserved, used);
        }
    }

    /// The request was never sent: it counts nowhere.
    pub fn give_back(&self, entry: Entry) {
        self.leave(entry, Some(0));
        let mut taken = self.lock();
        if let (Some(ring), Some(slot)) = (&mut taken.second, entry.second) {
            ring.correct(slot, 1, 0);
        }
        if let (Some(ring), Some(slot)) = (&mut taken.minute, entry.minute) {
            ring.correct(slot, 1, 0);
        }
        if entry.day == Some(taken.day) {
            taken.today = taken.today.saturating_sub(1);
        }
    }

    /// So many requests were made today before this process began.
    pub fn remember(&self, requests: u32, now: Moment) {
        let mut taken = self.lock();
        let today = taken.today(now);
        (taken.day, taken.today) = (now.day(), today.saturating_add(requests.into()));
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn check(&mut self, limits: &Limits, tokens: u64, now: Moment) -> Result<(), Full> {
        let rings = [
            (limits.rps, &mut self.second, SECOND, 1),
            (limits.rpm, &mut self.minute, MINUTE, 1),
            (limits.tpm, &mut self.tokens, MINUTE, tokens),
        ];
        let mut free = now;
        for (limit, ring, window, amount) in rings {
            let Some(limit) = limit else { continue };
            let ring = ring.get_or_insert_with(|| Ring::new(window));
            free = free.max(ring.fits_at(now, amount, u64::from(limit)));
        }
        if limits.rpd.is_some_and(|limit| self.today(now) >= u64::from(limit)) {
            free = free.max(now.next_day());
        }
        if free > now {
            return Err(Full::Until(free));
        }
        if limits.concurrency.is_some_and(|most| self.running >= most) {
            return Err(Full::Running);
        }
        Ok(())
    }
}

impl Taken {
    /// Requests of this day.
    fn today(&self, now: Moment) -> u64 {
        if self.day == now.day() { self.today } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_A_SECOND: Limits = Limits { rps: Some(2), rpm: None, tpm: None, rpd: None, concurrency: None };

    #[test]
    fn the_third_in_the_same_second_does_not_fit_003_05() {
        let gate = Gate::default();
        let at = Moment::micros(5_200_000);
        assert!(gate.enter(&TWO_A_SECOND, 0, at).is_ok());
        assert!(gate.enter(&TWO_A_SECOND, 0, at).is_ok());
        let Err(Full::Until(free)) = gate.enter(&TWO_A_SECOND, 0, at) else { panic!("it fits") };
        assert!(free > at.plus(SECOND) && free < at.plus(SECOND * 2), "{free:?}");
        assert!(gate.enter(&TWO_A_SECOND, 0, free).is_ok());
    }

    #[test]
    fn concurrency_is_given_back_and_nothing_is_taken_by_what_does_not_fit() {
        let limits = Limits { rpm: Some(3), concurrency: Some(1), ..Limits::default() };
        let gate = Gate::default();
        let now = Moment::seconds(1);
        let first = gate.enter(&limits, 0, now).unwrap();
        for _ in 0..10 {
            assert_eq!(gate.enter(&limits, 0, now).unwrap_err(), Full::Running);
        }
        gate.leave(first, None);
        let second = gate.enter(&limits, 0, now).unwrap();
        gate.leave(second, None);
        assert!(gate.enter(&limits, 0, now).is_ok(), "refusals took of the requests a minute");
        assert!(matches!(gate.enter(&limits, 0, now), Err(Full::Until(_))));
    }

    #[test]
    fn a_days_quota_is_skipped_till_midnight_004_18() {
        let limits = Limits { rpd: Some(2), ..Limits::default() };
        let gate = Gate::default();
        let evening = Moment::seconds(20 * 3600);
        for _ in 0..2 {
            let entry = gate.enter(&limits, 0, evening).unwrap();
            gate.leave(entry, None);
        }
        let midnight = Moment::seconds(24 * 3600);
        assert_eq!(gate.enter(&limits, 0, evening).unwrap_err(), Full::Until(midnight));
        assert!(gate.enter(&limits, 0, Moment::micros(midnight.as_micros() - 1)).is_err());
        assert!(gate.enter(&limits, 0, midnight).is_ok());
    }

    #[test]
    fn tokens_are_reserved_and_corrected() {
        let limits = Limits { tpm: Some(100), ..Limits::default() };
        let gate = Gate::default();
        let now = Moment::seconds(1);
        let entry = gate.enter(&limits, 90, now).unwrap();
        assert!(gate.enter(&limits, 20, now).is_err());
        gate.leave(entry, Some(10));
        let more = gate.enter(&limits, 90, now).unwrap();
        gate.leave(more, None);
        assert!(gate.enter(&limits, 1, now).is_err(), "unknown usage leaves the estimate");
    }

    #[test]
    fn what_was_never_sent_counts_under_no_limit() {
        let limits = Limits { rps: Some(1), rpm: Some(1), tpm: Some(9), rpd: Some(1), concurrency: Some(1) };
        let gate = Gate::default();
        let evening = Moment::seconds(24 * 3600 - 1);
        for _ in 0..3 {
            let entry = gate.enter(&limits, 9, evening).unwrap();
            gate.give_back(entry);
        }
        let yesterday = gate.enter(&limits, 9, evening).unwrap();
        let tomorrow = Moment::seconds(48 * 3600 - 1);
        gate.leave(yesterday, None);
        gate.leave(gate.enter(&limits, 9, tomorrow).unwrap(), None);
        gate.give_back(yesterday);
        assert!(gate.enter(&limits, 9, tomorrow).is_err(), "the slots and the day of yesterday are over");
    }

    #[test]
    fn sixty_four_callers_at_once_never_pass_a_limit() {
        let limits = Limits { rpm: Some(1000), ..Limits::default() };
        let gate = Gate::default();
        let passed = std::thread::scope(|scope| {
            let enter = || (0..100).filter(|_| gate.enter(&limits, 0, Moment::seconds(5)).is_ok()).count();
            let callers: Vec<_> = (0..64).map(|_| scope.spawn(enter)).collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).sum::<usize>()
        });
        assert_eq!(passed, 1000);
    }
}
