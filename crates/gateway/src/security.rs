//! Who behaves suspiciously: keys that are none, keys that are over or come from elsewhere, requests that are no sound HTTP or
//! JSON, callers that hammer at their limits, whoever guesses passwords; by address and by key. Decides what is worth telling and
//! who is refused for a while. Knows no request and no store; memory is bounded whatever comes. Tests: `security/tests.rs`,
//! `it/security.rs`.

pub mod keep;
mod suspects;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use waypost_core::config::Block;
use waypost_core::error::Kind;
use waypost_core::moment::Moment;

use self::suspects::Suspects;

/// Something suspicious that a request did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// A key that nobody has.
    BadKey,
    /// A key that cannot be one of ours: one of ours with a wrong character.
    MistypedKey,
    /// A key that is switched off or over.
    DeadKey,
    /// A key that may not be used from there.
    ForeignAddress,
    /// A token that is none where the administrator's would count: `/admin`, `/metrics`, `/health/detailed`.
    BadAdminToken,
    /// An address and a password that let nobody in.
    BadLogin,
    /// A head that is in doubt: no sound Host, two lengths, an address that is too long.
    BadHead,
    /// A body that is no JSON or not what its path takes.
    Malformed,
    /// A body that is too large.
    Oversized,
    /// More than its limits allow.
    Burst,
}

impl Sign {
    pub const ALL: [Self; 10] = [
        Self::BadKey,
        Self::MistypedKey,
        Self::DeadKey,
        Self::ForeignAddress,
        Self::BadAdminToken,
        Self::BadLogin,
        Self::BadHead,
        Self::Malformed,
        Self::Oversized,
        Self::Burst,
    ];

    /// The word in metrics, logs and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadKey => "bad_key",
            Self::MistypedKey => "mistyped_key",
            Self::DeadKey => "dead_key",
            Self::ForeignAddress => "foreign_address",
            Self::BadAdminToken => "bad_admin_token",
            Self::BadLogin => "bad_login",
            Self::BadHead => "bad_head",
            Self::Malformed => "malformed",
            Self::Oversized => "oversized",
            Self::Burst => "burst",
        }
    }

    /// What a refusal of this kind is a sign of. Those of keys are noted where the key is known.
    pub fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::InvalidRequest | Kind::UnsupportedEncoding => Some(Self::Malformed),
            Kind::TooLarge => Some(Self::Oversized),
            Kind::UriTooLong | Kind::HeaderTooLarge => Some(Self::BadHead),
            Kind::Unsupported
            | Kind::Unauthenticated
            | Kind::KeyDisabled
            | Kind::KeyExpired
            | Kind::NotAllowed
            | Kind::NotFound
            | Kind::ModelNotFound
            | Kind::MethodNotAllowed
            | Kind::Conflict
            | Kind::PreconditionFailed
            | Kind::PreconditionRequired
            | Kind::RequestTimeout
            | Kind::RateLimited
            | Kind::BudgetExceeded
            | Kind::Overloaded
            | Kind::ShuttingDown
            | Kind::NoDeployment
            | Kind::UpstreamRejected
            | Kind::UpstreamFailed
            | Kind::UpstreamTimeout
            | Kind::StreamBroken
            | Kind::Internal => None,
        }
    }

    /// Once is enough to be told: a key that somebody had is used where or when it must not be.
    fn is_serious(self) -> bool {
        match self {
            Self::DeadKey | Self::ForeignAddress => true,
            Self::BadKey
            | Self::MistypedKey
            | Self::BadAdminToken
            | Self::BadLogin
            | Self::BadHead
            | Self::Malformed
            | Self::Oversized
            | Self::Burst => false,
        }
    }

    /// It counts towards a block. Mistakes in bodies and haste are those of callers with a good key, a typing error guesses none, and
    /// who guesses passwords is slowed down at the door.
    fn counts_for_block(self) -> bool {
        match self {
            Self::BadKey | Self::DeadKey | Self::ForeignAddress | Self::BadAdminToken | Self::BadHead => true,
            Self::MistypedKey | Self::BadLogin | Self::Malformed | Self::Oversized | Self::Burst => false,
        }
    }
}

/// Who showed a sign.
#[derive(Clone, Copy, Debug)]
pub struct Who<'w> {
    /// Where it came from; `None` if nobody knows.
    pub address: Option<IpAddr>,
    /// The address is a proxy's, so many callers share it and nobody behind it may be refused for another.
    pub shared: bool,
    /// The name of its key, where it has one.
    pub key: Option<&'w str>,
}

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Incident {
    /// Counted from 1 since the start.
    pub number: u64,
    /// Milliseconds since 1970.
    pub at: i64,
    pub kind: &'static str,
    pub address: Option<IpAddr>,
    pub key: Option<Box<str>>,
    /// How often within the last minute, or the time that `security.block` says.
    pub count: u32,
    /// From now on the address is refused for this many seconds.
    pub blocked_for: Option<u64>,
}

/// What came of a note.
#[derive(Debug, Default)]
pub struct Noted {
    pub incident: Option<Arc<Incident>>,
    /// The address has shown so many keys that are none that it is to be told to wait.
    pub throttled: bool,
}

/// An address that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "BlockedAddress")]
pub struct Blocked {
    /// Of an IPv6 address the network of 64 bits that it is in.
    pub address: IpAddr,
    pub seconds_left: u64,
}

/// What is known of those who behave suspiciously.
#[derive(Debug, Default)]
pub struct Security {
    counts: [AtomicU64; Sign::ALL.len()],
    /// How many are blocked, so that nobody looks while none is.
    blocked: AtomicUsize,
    suspects: Mutex<Suspects>,
}

impl Security {
    /// Notes a sign. `unix_ms` is now, too, in milliseconds since 1970.
    pub fn note(&self, sign: Sign, who: Who<'_>, block: Option<Block>, now: Moment, unix_ms: i64) -> Noted {
        if let Some(count) = self.counts.get(sign as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let mut suspects = self.lock();
        let noted = suspects.note(sign, who, block, now, unix_ms);
        self.blocked.store(suspects.blocks(), Ordering::Relaxed);
        noted
    }

    /// How much longer an address is refused, if it is.
    pub fn blocked(&self, address: Option<IpAddr>, now: Moment) -> Option<Duration> {
        if self.blocked.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.lock().blocked(network(address?), now)
    }

    /// What was worth telling, the latest first, and who is refused now.
    pub fn look(&self, most: usize, now: Moment) -> (Vec<Arc<Incident>>, Vec<Blocked>) {
        let suspects = self.lock();
        (suspects.latest(most), suspects.blocked_now(now))
    }

    /// What was worth telling after the incident of this number, the earliest first, as far as it is still known.
    pub fn after(&self, number: u64) -> Vec<Arc<Incident>> {
        self.lock().after(number)
    }

    /// Lets an address in again. Says whether it was refused.
    pub fn pardon(&self, address: IpAddr) -> bool {
        let mut suspects = self.lock();
        let was = suspects.pardon(network(address));
        self.blocked.store(suspects.blocks(), Ordering::Relaxed);
        was
    }

    /// How often each sign was seen.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Sign::ALL.iter().map(|sign| sign.name()).zip(self.counts.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    fn lock(&self) -> MutexGuard<'_, Suspects> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who has one IPv6 address has the 2^64 around it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests;
