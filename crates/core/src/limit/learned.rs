//! What a provider last said is left of its limits, counted down by what we send until it says so again.
//!
//! Providers refill in two ways, little by little or all at once, and do not say which. Little by little is assumed where
//! they tell the limit, until a 429 proves otherwise. Tests are below.

use std::time::Duration;

use crate::moment::{Moment, micros_of};

/// What is left at a provider, in requests and in tokens.
#[derive(Debug, Default)]
pub struct Learned {
    requests: Option<Window>,
    tokens: Option<Window>,
    /// It was wrong to expect a steady refill.
    at_once: bool,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    limit: Option<u64>,
    left: u64,
    said: Moment,
    full_at: Moment,
}

/// One dimension of what a provider says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub limit: Option<u64>,
    pub left: Option<u64>,
    /// Until everything is there again.
    pub reset: Option<Duration>,
}

impl Learned {
    /// Takes in what an answer said while `in_flight` other requests were on their way, which it may not have counted.
    pub fn hear(&mut self, requests: Said, tokens: Said, in_flight: u64, now: Moment) {
        let over = |window: &Option<Window>| window.as_ref().is_none_or(|window| now >= window.full_at);
        if self.at_once && over(&self.requests) && over(&self.tokens) {
            // A whole refill ago; one refusal is no proof for ever.
            self.at_once = false;
        }
        if let Some(window) = Window::of(requests, in_flight, now) {
            self.requests = Some(window);
        }
        if let Some(window) = Window::of(tokens, 0, now) {
            self.tokens = Some(window);
        }
    }

    /// A request was refused in spite of what was left.
    pub fn refused(&mut self) {
        self.at_once = true;
    }

    /// When a request with so many tokens may be sent: now, or later.
    pub fn free_at(&self, tokens: u64, now: Moment) -> Moment {
        let requests = self.requests.map_or(now, |window| window.free_at(1, self.at_once, now));
        let tokens = self.tokens.map_or(now, |window| window.free_at(tokens, self.at_once, now));
        requests.max(tokens)
    }

    /// Counts a request that is sent.
    pub fn take(&mut self, tokens: u64) {
        for (window, amount) in [(&mut self.requests, 1), (&mut self.tokens, tokens)] {
            if let Some(window) = window {
                window.left = window.left.saturating_sub(amount);
            }
        }
    }
}

impl Window {
    fn of(said: Said, uncounted: u64, now: Moment) -> Option<Self> {
        let left = said.left?.saturating_sub(uncounted);
        Some(Self { limit: said.limit, left, said: now, full_at: now.plus(said.reset?) })
    }

    fn free_at(&self, amount: u64, at_once: bool, now: Moment) -> Moment {
        if now >= self.full_at {
            return now;
        }
        let amount = self.limit.map_or(amount, |limit| amount.min(limit));
        if self.left >= amount {
            return now;
        }
        let Some(limit) = self.limit.filter(|limit| *limit > self.left && !at_once) else { return self.full_at };
        // Steady: of what was missing when it was said, a share has come back in proportion to the time since then.
        let missing = u128::from(limit - self.left);
        let wanted = u128::from(amount - self.left);
        let whole = u128::from(micros_of(self.full_at.since(self.said)));
        let wait = (whole * wanted).div_ceil(missing.max(1));
        let at = Moment::micros(self.said.as_micros().saturating_add(u64::try_from(wait).unwrap_or(u64::MAX)));
        at.max(now).min(self.full_at.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(limit: Option<u64>, left: u64, seconds: u64) -> Said {
        Said { limit, left: Some(left), reset: Some(Duration::from_secs(seconds)) }
    }

    fn learned(requests: Said) -> Learned {
        let mut learned = Learned::default();
        learned.hear(requests, Said::default(), 0, Moment::START);
        learned
    }

    #[test]
    fn what_is_left_is_counted_down_and_then_waited_for() {
        let mut learned = learned(said(None, 2, 10));
        let now = Moment::seconds(1);
        for _ in 0..2 {
            assert_eq!(learned.free_at(0, now), now);
            learned.take(0);
        }
        assert_eq!(learned.free_at(0, now), Moment::seconds(10));
        assert_eq!(learned.free_at(0, Moment::seconds(11)), Moment::seconds(11));
    }

    #[test]
    fn a_steady_refill_is_used_as_it_comes_until_it_proves_wrong() {
        let mut learned = learned(said(Some(60), 0, 60));
        assert_eq!(learned.free_at(0, Moment::START), Moment::seconds(1));
        learned.refused();
        assert_eq!(learned.free_at(0, Moment::START), Moment::seconds(60));
        learned.hear(said(Some(60), 0, 60), Said::default(), 0, Moment::seconds(60));
        assert_eq!(learned.free_at(0, Moment::seconds(60)), Moment::seconds(61), "a refill ago is not now");
    }

    #[test]
    fn tokens_count_too_and_nothing_said_is_no_limit() {
        let mut learned = Learned::default();
        assert_eq!(learned.free_at(1_000_000, Moment::START), Moment::START);
        learned.hear(Said::default(), said(None, 100, 5), 0, Moment::START);
        assert_eq!(learned.free_at(50, Moment::START), Moment::START);
        assert_eq!(learned.free_at(101, Moment::START), Moment::seconds(5));
    }

    #[test]
    fn what_is_on_its_way_is_taken_off() {
        let mut learned = Learned::default();
        learned.hear(said(None, 3, 5), Said::default(), 3, Moment::START);
        assert_eq!(learned.free_at(0, Moment::START), Moment::seconds(5));
    }
}
