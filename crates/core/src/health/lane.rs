//! One model on one credential: the scope in which providers limit requests and forbid models. Tests are below.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::limit::{Learned, Said};
use crate::moment::Moment;

/// Whether a credential may be used for a model now.
#[derive(Debug, Default)]
pub struct Lane {
    /// Microseconds until which it rests; 0 for never.
    resting_until: AtomicU64,
    in_flight: AtomicU32,
    /// The provider has told what is left.
    told: AtomicBool,
    learned: Mutex<Learned>,
}

impl Lane {
    /// When a request with so many tokens may be sent: now, or later.
    pub fn free_at(&self, tokens: u64, now: Moment) -> Moment {
        let rest = Moment::micros(self.resting_until.load(Ordering::Acquire)).max(now);
        if self.told.load(Ordering::Acquire) { self.learned().free_at(tokens, now).max(rest) } else { rest }
    }

    /// Takes one request. `false`: it may not be sent now.
    pub fn enter(&self, tokens: u64, now: Moment) -> bool {
        if Moment::micros(self.resting_until.load(Ordering::Acquire)) > now {
            return false;
        }
        if self.told.load(Ordering::Acquire) {
            let mut learned = self.learned();
            if learned.free_at(tokens, now) > now {
                return false;
            }
            learned.take(tokens);
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// The request is over.
    pub fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Nothing is sent for so long.
    pub fn rest(&self, span: Duration, now: Moment) {
        self.resting_until.fetch_max(now.plus(span).as_micros(), Ordering::AcqRel);
    }

    /// A request was refused by a limit: nothing is sent for so long, and what was believed to be left was not there.
    pub fn limited(&self, span: Duration, now: Moment) {
        self.rest(span, now);
        if self.told.load(Ordering::Acquire) {
            self.learned().refused();
        }
    }

    /// The provider says what is left.
    pub fn hear(&self, requests: Said, tokens: Said, now: Moment) {
        if requests.left.is_none() && tokens.left.is_none() {
            return;
        }
        // The one that was answered is counted by the provider already.
        let others = u64::from(self.in_flight.load(Ordering::Relaxed).saturating_sub(1));
        self.learned().hear(requests, tokens, others, now);
        self.told.store(true, Ordering::Release);
    }

    /// It is as good as new.
    pub fn reset(&self) {
        self.resting_until.store(0, Ordering::Release);
        *self.learned() = Learned::default();
        self.told.store(false, Ordering::Release);
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limited_lane_rests_as_long_as_the_provider_said_004_20() {
        let lane = Lane::default();
        assert!(lane.enter(0, Moment::seconds(1)));
        lane.leave();
        lane.limited(Duration::from_secs(7), Moment::seconds(1));
        assert!(!lane.enter(0, Moment::micros(7_999_999)));
        assert_eq!(lane.free_at(0, Moment::seconds(2)), Moment::seconds(8));
        assert!(lane.enter(0, Moment::seconds(8)));
    }

    #[test]
    fn what_is_left_at_the_provider_is_obeyed_003_18() {
        let lane = Lane::default();
        let now = Moment::seconds(1);
        assert!(lane.enter(0, now));
        let two_left = Said { limit: None, left: Some(2), reset: Some(Duration::from_secs(9)) };
        lane.hear(two_left, Said::default(), now);
        lane.leave();
        assert!(lane.enter(0, now) && lane.enter(0, now));
        assert!(!lane.enter(0, now));
        assert_eq!(lane.free_at(0, now), Moment::seconds(10));
    }
}
