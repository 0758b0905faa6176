//! One model on one channel: whether it gets requests, and what choosing needs to know of it. Tests are below.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::breaker::{Breaker, Phase, Transition};
use super::recent::Recent;
use super::{Admission::*, Policy};
use crate::limit::Gate;
use crate::moment::{Moment, micros_of};
use crate::verdict::Class;

/// How a deployment is doing. What choosing reads is one atomic word each; the rest is behind a lock that only failures,
/// trials and reports take.
#[derive(Debug, Default)]
pub struct DeploymentState {
    /// Microseconds until which it gets nothing; 0 for never.
    shut_until: AtomicU64,
    /// Why: a [`Bar`].
    bar: AtomicU8,
    /// The breaker is not closed: whoever wants to send has to ask it.
    guarded: AtomicU8,
    /// Microseconds until which it comes after the others of its tier; 0 for never.
    behind_until: AtomicU64,
    /// When its breaker closed again; 0 for never.
    returned: AtomicU64,
    /// Failures in a row.
    failing: AtomicU32,
    in_flight: AtomicU32,
    /// Average microseconds until the first token; 0 while unknown.
    latency: AtomicU64,
    recent: Recent,
    requests: AtomicU64,
    failures: AtomicU64,
    opened: AtomicU64,
    /// What was taken of its limits.
    pub gate: Gate,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    breaker: Breaker,
    last_error: Option<(Class, Moment)>,
    /// The class that put it behind.
    behind_for: Option<Class>,
}

/// Whether a deployment gets a request now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Free,
    /// As the one that finds out whether it is well again.
    OnTrial,
    /// Not before this time.
    Barred(Bar, Moment),
}

/// What keeps requests away from a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bar {
    /// Its breaker is open, or its one trial is under way.
    Breaker,
    /// Its provider does not know the model.
    Missing,
    /// Its provider asked for patience.
    Patience,
}

/// What choosing looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub admission: Admission,
    /// It failed lately: the others of its tier come first.
    pub behind: bool,
    /// Its share in per cent; less than 100 while it comes back.
    pub share: u8,
}

/// Half-open, and nobody knows when the trial ends: look again after so long.
const TRIAL_POLL: Duration = Duration::from_secs(1);

impl DeploymentState {
    /// What choosing looks at, without a lock.
    pub fn standing(&self, policy: &Policy, now: Moment) -> Standing {
        let shut_until = Moment::micros(self.shut_until.load(Ordering::Acquire));
        let admission = if shut_until > now {
            Barred(self.bar(), shut_until)
        } else if self.guarded.load(Ordering::Acquire) != 0 && policy.enabled {
            OnTrial
        } else {
            Free
        };
        let behind = policy.enabled && self.behind_until.load(Ordering::Relaxed) > now.as_micros();
        Standing { admission, behind, share: self.share(policy, now) }
    }

    /// Asks to send a request; a trial is taken from whoever asks next.
    pub fn admit(&self, policy: &Policy, now: Moment) -> Admission {
        match self.standing(policy, now).admission {
            OnTrial => {
                let mut inner = self.inner();
                match inner.breaker.admit(policy, now) {
                    Some(true) => OnTrial,
                    Some(false) => {
                        self.mirror(&inner, policy, now);
                        Free
                    }
                    None => Barred(Bar::Breaker, now.plus(TRIAL_POLL)),
                }
            }
            admission @ (Free | Barred(..)) => admission,
        }
    }

    /// Asks to send a probe, which need not wait for an open breaker's time and may ask for a missing model; only what its
    /// provider asked for is waited for.
    pub fn admit_probe(&self, policy: &Policy, now: Moment) -> Admission {
        let shut_until = Moment::micros(self.shut_until.load(Ordering::Acquire));
        if shut_until > now && self.bar() == Bar::Patience {
            return Barred(Bar::Patience, shut_until);
        }
        if self.guarded.load(Ordering::Acquire) == 0 || !policy.enabled {
            return Free;
        }
        let mut inner = self.inner();
        match inner.breaker.admit_early(policy, now) {
            Some(true) => OnTrial,
            Some(false) => {
                self.mirror(&inner, policy, now);
                Free
            }
            None => Barred(Bar::Breaker, now.plus(TRIAL_POLL)),
        }
    }

    /// The model was asked for and answered: it is there.
    pub fn find_model(&self) {
        self.unbar(Bar::Missing);
    }

    /// Counts a request that is sent.
    pub fn enter(&self, now: Moment) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.recent.add(now);
    }

    /// The request is over.
    pub fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Its answer began after so long.
    pub fn began(&self, after: Duration) {
        let sample = micros_of(after).max(1);
        let before = self.latency.load(Ordering::Relaxed);
        let average = if before == 0 { sample } else { before - before / 8 + sample / 8 };
        self.latency.store(average.max(1), Ordering::Relaxed);
    }

    /// A request went well.
    pub fn succeed(&self, policy: &Policy, now: Moment, trial: bool) -> Option<Transition> {
        let clean = self.failing.load(Ordering::Relaxed) == 0 && self.behind_until.load(Ordering::Relaxed) == 0;
        if clean && !trial {
            return None;
        }
        let mut inner = self.inner();
        let moved = inner.breaker.succeed(policy, now, trial);
        inner.behind_for = None;
        self.behind_until.store(0, Ordering::Relaxed);
        if moved.is_some_and(|moved| moved.to == Phase::Closed) {
            self.returned.store(now.as_micros().max(1), Ordering::Relaxed);
            self.unbar(Bar::Breaker);
        }
        self.mirror(&inner, policy, now);
        moved
    }

    /// A request failed, and it is to blame. `wait` is what its provider asked for.
    pub fn fail(
        &self,
        policy: &Policy,
        class: Class,
        wait: Option<Duration>,
        now: Moment,
        trial: bool,
    ) -> Option<Transition> {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut inner = self.inner();
        inner.last_error = Some((class, now));
        if class == Class::ModelMissing {
            if trial {
                inner.breaker.give_back();
            }
            self.shut(Bar::Missing, now.plus(policy.cooldowns.model_missing.0));
            return None;
        }
        let moved = inner.breaker.fail(policy, now, trial);
        inner.behind_for = Some(class);
        self.behind_until.store(now.plus(cooldown(policy, class)).as_micros(), Ordering::Relaxed);
        if moved.is_some_and(|moved| moved.to == Phase::Open) {
            self.opened.fetch_add(1, Ordering::Relaxed);
        }
        self.mirror(&inner, policy, now);
        if let Some(wait) = wait {
            self.shut(Bar::Patience, now.plus(wait));
        }
        moved
    }

    /// Notes a failure that is somebody else's fault, for reports.
    pub fn note(&self, class: Class, now: Moment) {
        self.inner().last_error = Some((class, now));
    }

    /// A trial ended without a verdict.
    pub fn give_back(&self) {
        self.inner().breaker.give_back();
    }

    /// It is as good as new.
    pub fn reset(&self) {
        let mut inner = self.inner();
        inner.breaker.reset();
        inner.behind_for = None;
        for word in [&self.shut_until, &self.behind_until, &self.returned] {
            word.store(0, Ordering::Release);
        }
        self.failing.store(0, Ordering::Relaxed);
        self.guarded.store(0, Ordering::Release);
    }

    /// Failed and not succeeded since.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed) > 0
    }

    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Requests within the last hour or two.
    pub fn recent(&self, now: Moment) -> u64 {
        self.recent.count(now)
    }

    /// How soon its answers begin, on average.
    pub fn latency(&self) -> Option<Duration> {
        let latency = self.latency.load(Ordering::Relaxed);
        (latency != 0).then(|| Duration::from_micros(latency))
    }

    /// Requests, failures, and how often its breaker opened, since the process began.
    pub fn counts(&self) -> (u64, u64, u64) {
        let read = |word: &AtomicU64| word.load(Ordering::Relaxed);
        (read(&self.requests), read(&self.failures), read(&self.opened))
    }

    /// The breaker's phase, the end of an open one, and failures in a row.
    pub fn breaker(&self, policy: &Policy, now: Moment) -> (Phase, Option<Moment>, u32) {
        let breaker = self.inner().breaker;
        let (phase, until) = breaker.phase(policy, now);
        (phase, until, breaker.failures(policy, now))
    }

    /// The last failure and when it was.
    pub fn last_error(&self) -> Option<(Class, Moment)> {
        self.inner().last_error
    }

    /// Why and until when it comes after the others of its tier.
    pub fn cooling(&self, now: Moment) -> Option<(Class, Moment)> {
        let until = Moment::micros(self.behind_until.load(Ordering::Relaxed));
        let class = self.inner().behind_for?;
        (until > now).then_some((class, until))
    }

    fn bar(&self) -> Bar {
        match self.bar.load(Ordering::Relaxed) {
            0 => Bar::Breaker,
            1 => Bar::Missing,
            _ => Bar::Patience,
        }
    }

    fn shut(&self, bar: Bar, until: Moment) {
        if until.as_micros() > self.shut_until.load(Ordering::Relaxed) {
            self.bar.store(bar as u8, Ordering::Relaxed);
            self.shut_until.store(until.as_micros(), Ordering::Release);
        }
    }

    fn unbar(&self, bar: Bar) {
        if self.bar() == bar {
            self.shut_until.store(0, Ordering::Release);
        }
    }

    /// Copies what choosing reads out of the lock.
    fn mirror(&self, inner: &Inner, policy: &Policy, now: Moment) {
        self.failing.store(inner.breaker.failures(policy, now), Ordering::Relaxed);
        let (phase, until) = inner.breaker.phase(policy, now);
        self.guarded.store(u8::from(phase != Phase::Closed), Ordering::Release);
        if let Some(until) = until {
            self.shut(Bar::Breaker, until);
        }
    }

    fn share(&self, policy: &Policy, now: Moment) -> u8 {
        const LEAST: u64 = 10;
        let returned = self.returned.load(Ordering::Relaxed);
        let ramp = micros_of(policy.ramp);
        if returned == 0 || ramp == 0 {
            return 100;
        }
        let passed = now.as_micros().saturating_sub(returned);
        let share = LEAST + passed.saturating_mul(100 - LEAST) / ramp;
        u8::try_from(share.min(100)).unwrap_or(100)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cooldown(policy: &Policy, class: Class) -> Duration {
    match class {
        Class::Timeout => policy.cooldowns.timeout.0,
        Class::RateLimited => policy.cooldowns.rate_limit.0,
        Class::Overloaded
        | Class::ServerError
        | Class::Network
        | Class::Unreadable
        | Class::Redirected
        | Class::BadRequest
        | Class::CredentialDead
        | Class::NoMoney
        | Class::Forbidden
        | Class::RegionBlocked
        | Class::ModelMissing => policy.cooldowns.server_error.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::seconds(seconds)
    }

    fn fail(state: &DeploymentState, class: Class, second: u64) -> Option<Transition> {
        state.fail(&Policy::default(), class, None, at(second), false)
    }

    #[test]
    fn one_failure_puts_it_behind_its_peers_by_class_and_a_success_brings_it_back_004_20() {
        let policy = Policy::default();
        for (class, seconds) in [(Class::ServerError, 120), (Class::Timeout, 30)] {
            let state = DeploymentState::default();
            fail(&state, class, 1);
            let standing = |second| state.standing(&policy, at(second));
            assert_eq!((standing(2).admission, standing(2).behind), (Free, true));
            assert_eq!(state.cooling(at(2)), Some((class, at(1 + seconds))));
            assert!(standing(seconds).behind && !standing(seconds + 1).behind);
            state.succeed(&policy, at(3), false);
            assert!(!state.standing(&policy, at(4)).behind);
        }
    }

    #[test]
    fn an_open_breaker_bars_it_and_one_trial_brings_it_back_with_a_growing_share() {
        let policy = Policy::default();
        let state = DeploymentState::default();
        (0..5).for_each(|second| {
            let _ = fail(&state, Class::Network, second);
        });
        assert_eq!(state.standing(&policy, at(5)).admission, Barred(Bar::Breaker, at(64)));
        assert_eq!(state.standing(&policy, at(64)).admission, OnTrial);
        assert_eq!(state.admit(&policy, at(64)), OnTrial);
        assert!(matches!(state.admit(&policy, at(64)), Barred(Bar::Breaker, _)));
        state.succeed(&policy, at(65), true);
        assert_eq!(state.admit(&policy, at(65)), Free);
        let share = |second| state.standing(&policy, at(second)).share;
        assert_eq!((share(65), share(80), share(95), share(1000)), (10, 55, 100, 100));
        assert_eq!(state.counts().2, 1);
    }

    #[test]
    fn a_trial_that_is_given_back_can_be_taken_by_another() {
        let policy = Policy::default();
        let state = DeploymentState::default();
        (0..5).for_each(|second| {
            let _ = fail(&state, Class::Network, second);
        });
        assert_eq!(state.admit(&policy, at(64)), OnTrial);
        state.give_back();
        assert_eq!(state.admit(&policy, at(64)), OnTrial);
    }

    #[test]
    fn a_probe_is_an_early_trial_and_a_missing_model_that_answers_is_there_again() {
        let policy = Policy::default();
        let state = DeploymentState::default();
        (0..5).for_each(|second| {
            let _ = fail(&state, Class::Network, second);
        });
        assert_eq!(state.admit_probe(&policy, at(6)), OnTrial);
        assert!(matches!(state.admit_probe(&policy, at(6)), Barred(Bar::Breaker, _)));
        assert!(matches!(state.admit(&policy, at(6)), Barred(Bar::Breaker, _)), "users are not let in by a probe");
        assert!(state.succeed(&policy, at(7), true).is_some());
        assert_eq!(state.standing(&policy, at(7)).admission, Free);

        let _ = fail(&state, Class::ModelMissing, 8);
        assert_eq!(state.admit_probe(&policy, at(9)), Free);
        state.find_model();
        assert_eq!(state.standing(&policy, at(9)).admission, Free);

        state.fail(&policy, Class::Overloaded, Some(Duration::from_secs(60)), at(10), false);
        assert_eq!(state.admit_probe(&policy, at(11)), Barred(Bar::Patience, at(70)));
        state.find_model();
        assert_eq!(state.standing(&policy, at(11)).admission, Barred(Bar::Patience, at(70)));
    }

    #[test]
    fn what_the_provider_asks_for_outweighs_everything() {
        let policy = Policy::default();
        let state = DeploymentState::default();
        state.fail(&policy, Class::Overloaded, Some(Duration::from_secs(200)), at(1), false);
        assert_eq!(state.standing(&policy, at(100)).admission, Barred(Bar::Patience, at(201)));
        assert_eq!(state.standing(&policy, at(201)).admission, Free);
    }

    #[test]
    fn a_missing_model_rests_and_counts_as_no_failure_of_the_server() {
        let policy = Policy::default();
        let state = DeploymentState::default();
        (0..9).for_each(|second| {
            let _ = fail(&state, Class::ModelMissing, second);
        });
        assert_eq!(state.standing(&policy, at(9)).admission, Barred(Bar::Missing, at(308)));
        assert!(!state.is_failing());
        state.reset();
        assert_eq!(state.standing(&policy, at(9)).admission, Free);
    }

    #[test]
    fn the_average_follows_what_is_measured() {
        let state = DeploymentState::default();
        assert_eq!(state.latency(), None);
        state.began(Duration::from_millis(800));
        assert_eq!(state.latency(), Some(Duration::from_millis(800)));
        (0..100).for_each(|_| state.began(Duration::from_millis(100)));
        let average = state.latency().unwrap();
        assert!(average < Duration::from_millis(102), "{average:?}");
    }
}
