//! One of our secrets at a provider: in use, resting until there is money again, or out of use because it was refused.
//! Never holds the secret. Tests are below.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::recent::Recent;
use crate::limit::Gate;
use crate::moment::Moment;
use crate::verdict::Class;

/// While one request tries a refused credential out, no other does for so long.
const TRIAL: Duration = Duration::from_secs(60);

/// How a credential is doing.
#[derive(Debug, Default)]
pub struct CredentialState {
    /// Microseconds until which it gets nothing; 0 for never.
    out_until: AtomicU64,
    in_flight: AtomicU32,
    recent: Recent,
    requests: AtomicU64,
    failures: AtomicU64,
    /// Microseconds; 0 for never.
    last_used: AtomicU64,
    pub(crate) gate: Gate,
    out: Mutex<Option<Out>>,
}

/// Why a credential is out of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Out {
    class: Class,
    status: Option<u16>,
    since: Moment,
}

/// A credential as it looks from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialStanding {
    /// Why it is out of use, if it is.
    pub out: Option<Class>,
    /// The upstream's status that put it there.
    pub status: Option<u16>,
    pub since: Option<Moment>,
    /// When it is tried again.
    pub until: Option<Moment>,
    pub requests: u64,
    pub failures: u64,
    pub last_used: Option<Moment>,
    pub in_flight: u32,
}

impl CredentialState {
    /// When it may be used: now, or later.
    pub fn free_at(&self, now: Moment) -> Moment {
        Moment::micros(self.out_until.load(Ordering::Acquire)).max(now)
    }

    /// Is it out of use, rather than limited?
    pub fn is_out(&self, now: Moment) -> bool {
        self.free_at(now) > now
    }

    /// Uses within the last hour or two.
    pub fn recent(&self, now: Moment) -> u64 {
        self.recent.count(now)
    }

    /// Counts a request that is sent. A credential that had been refused is tried out by one request at a time: `false`
    /// if another was first.
    pub fn enter(&self, now: Moment) -> bool {
        let until = self.out_until.load(Ordering::Acquire);
        if until != 0 {
            let trial = now.plus(TRIAL).as_micros();
            if until > now.as_micros()
                || self.out_until.compare_exchange(until, trial, Ordering::AcqRel, Ordering::Acquire).is_err()
            {
                return false;
            }
        }
        self.enter_probe(now);
        true
    }

    /// Counts a probe that is sent: it may ask whether a refused credential is good again, whenever that was.
    pub fn enter_probe(&self, now: Moment) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.recent.add(now);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.last_used.store(now.as_micros(), Ordering::Relaxed);
    }

    /// The request is over.
    pub fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// An answer came: the credential is good.
    pub fn succeed(&self) {
        if self.out_until.load(Ordering::Acquire) != 0 {
            self.reset();
        }
    }

    /// A request failed because of the credential.
    pub fn fail(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// It was refused, or is out of money: nothing is sent for so long.
    pub fn put_out(&self, class: Class, status: Option<u16>, span: Duration, now: Moment) {
        let mut out = self.out();
        *out = Some(Out { class, status, since: now });
        self.out_until.store(now.plus(span).as_micros().max(1), Ordering::Release);
    }

    /// It is as good as new.
    pub fn reset(&self) {
        let mut out = self.out();
        *out = None;
        self.out_until.store(0, Ordering::Release);
    }

    /// How it looks from outside.
    pub fn standing(&self) -> CredentialStanding {
        let out = *self.out();
        let until = self.out_until.load(Ordering::Acquire);
        let last_used = self.last_used.load(Ordering::Relaxed);
        CredentialStanding {
            out: out.map(|out| out.class),
            status: out.and_then(|out| out.status),
            since: out.map(|out| out.since),
            until: (until != 0).then(|| Moment::micros(until)),
            requests: self.requests.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            last_used: (last_used != 0).then(|| Moment::micros(last_used)),
            in_flight: self.in_flight.load(Ordering::Relaxed),
        }
    }

    fn out(&self) -> MutexGuard<'_, Option<Out>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_key_is_out_with_its_reason_and_one_request_tries_it_out_later_002_11() {
        let key = CredentialState::default();
        let hour = Duration::from_secs(3600);
        assert!(key.enter(Moment::seconds(1)));
        key.leave();
        key.fail();
        key.put_out(Class::CredentialDead, Some(401), hour, Moment::seconds(1));
        let standing = key.standing();
        assert_eq!((standing.out, standing.status), (Some(Class::CredentialDead), Some(401)));
        assert_eq!((standing.requests, standing.failures), (1, 1));
        assert!(!key.enter(Moment::seconds(3600)));

        assert!(key.enter(Moment::seconds(3601)));
        assert!(!key.enter(Moment::seconds(3601)), "two requests try it out at once");
        key.succeed();
        assert!(key.enter(Moment::seconds(3602)));
        assert_eq!(key.standing().out, None);
    }
}
