//! The breaker: closed, open, half-open with exactly one trial at a time. Knows no lock and no clock. Tests are below.

use super::Policy;
use crate::moment::Moment;

/// A trial that nobody has ended after so long was lost; another may begin.
const LOST_TRIAL: std::time::Duration = std::time::Duration::from_secs(600);

/// Failures in a row, and what follows from them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Breaker {
    failures: u32,
    last_failure: Moment,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    Open {
        until: Moment,
    },
    HalfOpen {
        successes: u32,
        trial: Option<Moment>,
        /// When it would have been tried out without a probe.
        due: Moment,
    },
}

/// A breaker as it looks from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    Closed,
    Open,
    HalfOpen,
}

impl Phase {
    /// The word in metrics and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// A breaker went from one phase to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    pub from: Phase,
    pub to: Phase,
}

impl Breaker {
    /// The phase at this time, and until when it lasts if it is open.
    pub fn phase(&self, policy: &Policy, now: Moment) -> (Phase, Option<Moment>) {
        if self.is_forgotten(policy, now) {
            return (Phase::Closed, None);
        }
        match self.state {
            State::Closed => (Phase::Closed, None),
            State::Open { until } if now < until => (Phase::Open, Some(until)),
            State::Open { .. } | State::HalfOpen { .. } => (Phase::HalfOpen, None),
        }
    }

    /// Failures in a row.
    pub fn failures(&self, policy: &Policy, now: Moment) -> u32 {
        if self.is_forgotten(policy, now) { 0 } else { self.failures }
    }

    /// Asks to send one request. `Some(true)`: as the one trial; `None`: not now.
    pub fn admit(&mut self, policy: &Policy, now: Moment) -> Option<bool> {
        self.forget(policy, now);
        if !policy.enabled {
            return Some(false);
        }
        match self.state {
            State::Open { until } if now < until => None,
            State::Closed | State::Open { .. } | State::HalfOpen { .. } => self.take_trial(now),
        }
    }

    /// As [`Breaker::admit`], for a probe: it is nobody's request, and need not wait for the end of an open phase.
    pub fn admit_early(&mut self, policy: &Policy, now: Moment) -> Option<bool> {
        self.forget(policy, now);
        if !policy.enabled {
            return Some(false);
        }
        self.take_trial(now)
    }

    fn take_trial(&mut self, now: Moment) -> Option<bool> {
        let (successes, due) = match self.state {
            State::Closed => return Some(false),
            State::HalfOpen { trial: Some(since), .. } if now < since.plus(LOST_TRIAL) => return None,
            State::Open { until } => (0, until),
            State::HalfOpen { successes, due, .. } => (successes, due),
        };
        self.state = State::HalfOpen { successes, trial: Some(now), due };
        Some(true)
    }

    /// A request went well.
    pub fn succeed(&mut self, policy: &Policy, now: Moment, trial: bool) -> Option<Transition> {
        let from = self.phase(policy, now).0;
        match self.state {
            State::Closed => self.failures = 0,
            State::HalfOpen { successes, due, .. } if trial => {
                let successes = successes.saturating_add(1);
                if successes >= policy.successes {
                    *self = Self::default();
                } else {
                    self.state = State::HalfOpen { successes, trial: None, due };
                }
            }
            // It was sent before the breaker opened, and says nothing about the time since.
            State::Open { .. } | State::HalfOpen { .. } => {}
        }
        self.moved(from, policy, now)
    }

    /// A request failed, and the deployment is to blame.
    pub fn fail(&mut self, policy: &Policy, now: Moment, trial: bool) -> Option<Transition> {
        self.forget(policy, now);
        let from = self.phase(policy, now).0;
        self.failures = self.failures.saturating_add(1);
        self.last_failure = now;
        let opens = match self.state {
            State::Closed => policy.enabled && self.failures >= policy.failures,
            State::HalfOpen { .. } => trial,
            State::Open { .. } => false,
        };
        if opens {
            self.state = State::Open { until: now.plus(policy.open_for) };
        }
        self.moved(from, policy, now)
    }

    /// The trial ended without a verdict: another request may try.
    pub fn give_back(&mut self) {
        if let State::HalfOpen { successes, due, .. } = self.state {
            self.state = match successes {
                0 => State::Open { until: due },
                _ => State::HalfOpen { successes, trial: None, due },
            };
        }
    }

    /// Forgets everything, as an owner may order.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    fn is_forgotten(&self, policy: &Policy, now: Moment) -> bool {
        self.failures > 0 && now.since(self.last_failure) >= policy.reset_after.max(policy.open_for)
    }

    fn forget(&mut self, policy: &Policy, now: Moment) {
        let on_trial = matches!(self.state, State::HalfOpen { trial: Some(_), .. });
        if self.is_forgotten(policy, now) && !on_trial {
            self.reset();
        }
    }

    fn moved(&self, from: Phase, policy: &Policy, now: Moment) -> Option<Transition> {
        let to = self.phase(policy, now).0;
        (from != to).then_some(Transition { from, to })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{BreakerChoice, Cooldowns, Preset};

    fn at(seconds: u64) -> Moment {
        Moment::seconds(seconds)
    }

    fn failed(policy: &Policy, times: u64) -> Breaker {
        let mut breaker = Breaker::default();
        (0..times).for_each(|second| {
            let _ = breaker.fail(policy, at(second), false);
        });
        breaker
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_a_success_between_starts_anew_003_14() {
        let policy = Policy::default();
        let mut breaker = failed(&policy, 4);
        assert_eq!(breaker.admit(&policy, at(4)), Some(false));
        assert_eq!(breaker.succeed(&policy, at(4), false), None);
        for second in 5..9 {
            assert_eq!(breaker.fail(&policy, at(second), false), None);
        }
        let opened = breaker.fail(&policy, at(9), false);
        assert_eq!(opened, Some(Transition { from: Phase::Closed, to: Phase::Open }));
        assert_eq!(breaker.admit(&policy, at(10)), None);
        assert_eq!(breaker.phase(&policy, at(10)), (Phase::Open, Some(at(69))));
    }

    #[test]
    fn after_a_minute_exactly_one_request_tries_it_out_003_16() {
        let policy = Policy::default();
        let mut breaker = failed(&policy, 5);
        assert_eq!(breaker.admit(&policy, at(63)), None);
        assert_eq!(breaker.admit(&policy, at(64)), Some(true));
        for _ in 0..100 {
            assert_eq!(breaker.admit(&policy, at(64)), None);
        }
        let closed = breaker.succeed(&policy, at(65), true);
        assert_eq!(closed, Some(Transition { from: Phase::HalfOpen, to: Phase::Closed }));
        assert_eq!((breaker.admit(&policy, at(65)), breaker.failures(&policy, at(65))), (Some(false), 0));
    }

    #[test]
    fn a_failed_trial_opens_it_for_another_minute_and_a_trial_without_a_verdict_frees_the_place() {
        let policy = Policy::default();
        let mut breaker = failed(&policy, 5);
        assert_eq!(breaker.admit(&policy, at(64)), Some(true));
        breaker.give_back();
        assert_eq!(breaker.admit(&policy, at(70)), Some(true));
        breaker.fail(&policy, at(71), true);
        assert_eq!((breaker.admit(&policy, at(130)), breaker.admit(&policy, at(131))), (None, Some(true)));
        let much_later = at(131).plus(LOST_TRIAL);
        assert_eq!(breaker.admit(&policy, much_later), Some(true), "a lost trial blocks it for ever");
    }

    #[test]
    fn a_probe_tries_it_out_before_its_time_and_one_without_a_verdict_changes_nothing() {
        let policy = Policy::default();
        let mut breaker = failed(&policy, 5);
        assert_eq!(breaker.admit_early(&policy, at(10)), Some(true));
        assert_eq!((breaker.admit_early(&policy, at(10)), breaker.admit(&policy, at(64))), (None, None));
        breaker.give_back();
        assert_eq!((breaker.admit(&policy, at(63)), breaker.phase(&policy, at(63)).0), (None, Phase::Open));

        assert_eq!(breaker.admit_early(&policy, at(20)), Some(true));
        breaker.fail(&policy, at(21), true);
        assert_eq!((breaker.admit(&policy, at(80)), breaker.admit_early(&policy, at(80))), (None, Some(true)));
        let closed = breaker.succeed(&policy, at(80), true);
        assert_eq!(closed, Some(Transition { from: Phase::HalfOpen, to: Phase::Closed }));
        assert_eq!(breaker.admit_early(&policy, at(81)), Some(false));
    }

    #[test]
    fn what_was_sent_before_it_opened_changes_nothing_after() {
        let policy = Policy::default();
        let mut breaker = failed(&policy, 5);
        assert_eq!(breaker.succeed(&policy, at(10), false), None);
        breaker.fail(&policy, at(20), false);
        assert_eq!(breaker.admit(&policy, at(63)), None);
        assert_eq!(breaker.admit(&policy, at(64)), Some(true), "a late failure made it longer");
    }

    #[test]
    fn five_quiet_minutes_reset_everything_003_17() {
        let policy = Policy::default();
        let mut four = failed(&policy, 4);
        assert_eq!((four.failures(&policy, at(302)), four.failures(&policy, at(303))), (4, 0));
        four.fail(&policy, at(303), false);
        assert_eq!(four.failures(&policy, at(303)), 1);
        let open = failed(&policy, 5);
        assert_eq!(open.phase(&policy, at(304)).0, Phase::Closed);
    }

    #[test]
    fn presets_have_their_numbers() {
        let preset = |preset| Policy::new(BreakerChoice::Preset(preset), Cooldowns::default());
        let fast = preset(Preset::Fast);
        assert!(failed(&fast, 2).admit(&fast, at(3)).is_some());
        assert_eq!(failed(&fast, 3).admit(&fast, at(3)), None);

        let patient = preset(Preset::Patient);
        let mut breaker = failed(&patient, 5);
        assert_eq!((breaker.admit(&patient, at(300)), breaker.admit(&patient, at(304))), (None, Some(false)));
        let patient = Policy { reset_after: Duration::from_secs(3000), ..patient };
        let mut breaker = failed(&patient, 5);
        assert_eq!(breaker.admit(&patient, at(304)), Some(true));
        assert_eq!(breaker.succeed(&patient, at(305), true), None, "it wants two successes");
        assert_eq!(breaker.admit(&patient, at(306)), Some(true));
        assert!(breaker.succeed(&patient, at(307), true).is_some());

        let off = preset(Preset::Off);
        assert_eq!(failed(&off, 1000).admit(&off, at(1000)), Some(false), "003-12");
    }
}
