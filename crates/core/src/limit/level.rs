//! What callers may ask in a time, at each level they belong to: their key, user, team and plan. Decides what fits and what is
//! left. A request is taken at all levels together or at none: `admission.rs`. Tests are in `admission/tests.rs`.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::admission::Ask;
use super::ring::{Ring, Slot};
use crate::moment::Moment;

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LevelKind {
    Key,
    User,
    Team,
    Plan,
}

impl LevelKind {
    /// The word in errors and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::User => "user",
            Self::Team => "team",
            Self::Plan => "plan",
        }
    }
}

/// The limits of one level; what is not given is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallerLimits {
    /// Requests in any minute.
    pub rpm: Option<u32>,
    /// Tokens in any minute, input and output together.
    pub tpm: Option<u64>,
    /// Requests at the same time.
    pub concurrency: Option<u32>,
    /// Tokens from midnight to midnight (UTC).
    pub tokens_per_day: Option<u64>,
}

impl CallerLimits {
    /// Is there nothing to watch?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One level with its limits.
#[derive(Clone, Debug)]
pub struct Level {
    pub kind: LevelKind,
    /// As its owner calls it, for errors.
    pub name: Arc<str>,
    pub limits: CallerLimits,
    /// What was taken of them; kept over reloads by [`crate::health::States::level`].
    pub gate: Arc<LevelGate>,
}

/// The levels of a caller. Those without a limit are left out. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Levels(Arc<[Level]>);

impl Levels {
    pub fn new(mut levels: Vec<Level>) -> Self {
        levels.retain(|level| !level.limits.is_empty());
        // Whoever locks several gates locks them in this order, so that nobody waits in a circle.
        levels.sort_by_key(|level| Arc::as_ptr(&level.gate).addr());
        levels.dedup_by(|one, other| Arc::ptr_eq(&one.gate, &other.gate));
        Self(levels.into())
    }

    /// How things stand where they are tightest.
    pub fn standing(&self, now: Moment) -> Standing {
        self.0
            .iter()
            .fold(Standing::default(), |standing, level| level.gate.lock().standing(&level.limits, now, standing))
    }
}

impl Levels {
    /// How far each limit is used, at every level.
    pub fn peaks(&self, now: Moment) -> Vec<Peak> {
        let mut peaks = Vec::new();
        for level in self.0.iter() {
            let used = level.gate.lock().peaks(&level.limits, now);
            peaks.extend(used.into_iter().flatten().map(|(dimension, used, limit)| Peak {
                level: level.kind,
                name: Arc::clone(&level.name),
                dimension,
                used,
                limit,
            }));
        }
        peaks
    }
}

impl Deref for Levels {
    type Target = [Level];

    fn deref(&self) -> &[Level] {
        &self.0
    }
}

/// What was taken of a level's limits so far. The limits themselves are arguments: they change with the configuration, while
/// this stays.
#[derive(Debug, Default)]
pub struct LevelGate {
    taken: Mutex<Taken>,
}

impl LevelGate {
    /// Would anything be lost if it were forgotten?
    pub(crate) fn is_used(&self, now: Moment) -> bool {
        let mut taken = self.lock();
        let Taken { requests, tokens, running, .. } = &mut *taken;
        let rings = [requests, tokens].into_iter().flatten().any(|ring| ring.used(now) > 0);
        rings || *running > 0 || taken.today(now) > 0
    }

    /// So many tokens were used today before this process began.
    pub fn remember(&self, tokens: u64, now: Moment) {
        let mut taken = self.lock();
        (taken.day, taken.today) = (now.day(), taken.today(now).saturating_add(tokens));
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a level has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    Requests,
    Tokens,
    TokensPerDay,
    Concurrency,
}

impl Dimension {
    /// The words in errors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests per minute",
            Self::Tokens => "tokens per minute",
            Self::TokensPerDay => "tokens per day",
            Self::Concurrency => "concurrent requests",
        }
    }
}

/// When what does not fit now will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Free {
    /// When another request ends.
    Soon,
    At(Moment),
    /// It is larger than the whole limit.
    Never,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    pub level: LevelKind,
    pub name: Arc<str>,
    pub dimension: Dimension,
    pub limit: u64,
    pub free: Free,
}

/// How far one limit is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peak {
    pub level: LevelKind,
    /// As the level's owner calls it.
    pub name: Arc<str>,
    pub dimension: Dimension,
    pub used: u64,
    pub limit: u64,
}

/// What is left of the tightest limits; `None` where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub requests: Option<Left>,
    pub tokens: Option<Left>,
}

/// What is left of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    pub limit: u64,
    pub remaining: u64,
    /// Until everything is there again.
    pub reset: Duration,
}

impl Left {
    fn tighter(self, other: Option<Self>) -> Option<Self> {
        Some(other.filter(|other| other.remaining <= self.remaining).unwrap_or(self))
    }
}

// === what was taken ===

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Taken {
    requests: Option<Ring>,
    tokens: Option<Ring>,
    day: u64,
    today: u64,
    running: u32,
}

/// What one request took at one level.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    request: Option<Slot>,
    tokens: Option<(Slot, u64)>,
    /// The day they were taken on.
    of_day: Option<(u64, u64)>,
    running: bool,
}

impl Taken {
    /// The dimension that keeps a request out for longest, if one does.
    pub(super) fn refusal(&mut self, limits: &CallerLimits, ask: Ask, now: Moment) -> Option<(Dimension, u64, Free)> {
        let today = self.today(now);
        let full = [
            limits
                .concurrency
                .filter(|most| self.running >= *most)
                .map(|most| (Dimension::Concurrency, most.into(), Free::Soon)),
            limits.rpm.and_then(|limit| {
                let at = ring(&mut self.requests).fits_at(now, 1, limit.into());
                (at > now).then_some((Dimension::Requests, limit.into(), Free::At(at)))
            }),
            limits.tpm.and_then(|limit| {
                let at = ring(&mut self.tokens).fits_at(now, ask.within(limit), limit);
                let free = if ask.prompt > limit { Free::Never } else { Free::At(at) };
                (free > Free::At(now)).then_some((Dimension::Tokens, limit, free))
            }),
            limits.tokens_per_day.and_then(|limit| {
                let fits = today.saturating_add(ask.within(limit)) <= limit;
                let free = if ask.prompt > limit { Free::Never } else { Free::At(now.next_day()) };
                (!fits || ask.prompt > limit).then_some((Dimension::TokensPerDay, limit, free))
            }),
        ];
        full.into_iter().flatten().max_by_key(|(_, _, free)| *free)
    }

    pub(super) fn take(&mut self, limits: &CallerLimits, ask: Ask, now: Moment) -> Share {
        self.running = self.running.saturating_add(1);
        Share {
            request: limits.rpm.map(|_| ring(&mut self.requests).take(now, 1)),
            tokens: limits.tpm.map(|limit| {
                let amount = ask.within(limit);
                (ring(&mut self.tokens).take(now, amount), amount)
            }),
            of_day: limits.tokens_per_day.map(|limit| {
                let amount = ask.within(limit);
                (self.day, self.today) = (now.day(), self.today(now).saturating_add(amount));
                (self.day, amount)
            }),
            running: true,
        }
    }

    /// The request is over and used so many tokens.
    pub(super) fn correct(&mut self, share: Share, used: u64) {
        if share.running {
            self.running = self.running.saturating_sub(1);
        }
        if let Some((slot, amount)) = share.tokens {
            ring(&mut self.tokens).correct(slot, amount, used);
        }
        if let Some((day, amount)) = share.of_day
            && day == self.day
        {
            self.today = self.today.saturating_sub(amount).saturating_add(used);
        }
    }

    /// The request was never made.
    pub(super) fn give_back(&mut self, share: Share) {
        self.correct(share, 0);
        if let Some(slot) = share.request {
            ring(&mut self.requests).correct(slot, 1, 0);
        }
    }

    /// How far the limits are used.
    fn peaks(&mut self, limits: &CallerLimits, now: Moment) -> [Option<(Dimension, u64, u64)>; 4] {
        let running = u64::from(self.running);
        [
            limits.rpm.map(|limit| (Dimension::Requests, ring(&mut self.requests).used(now), limit.into())),
            limits.tpm.map(|limit| (Dimension::Tokens, ring(&mut self.tokens).used(now), limit)),
            limits.concurrency.map(|limit| (Dimension::Concurrency, running, limit.into())),
            limits.tokens_per_day.map(|limit| (Dimension::TokensPerDay, self.today(now), limit)),
        ]
    }

    /// What is left, or what was tighter before.
    fn standing(&mut self, limits: &CallerLimits, now: Moment, before: Standing) -> Standing {
        let mut standing = before;
        if let Some(limit) = limits.rpm {
            standing.requests = left(ring(&mut self.requests), limit.into(), now).tighter(standing.requests);
        }
        if let Some(limit) = limits.tpm {
            standing.tokens = left(ring(&mut self.tokens), limit, now).tighter(standing.tokens);
        }
        if let Some(limit) = limits.tokens_per_day {
            let remaining = limit.saturating_sub(self.today(now));
            let reset = if remaining < limit { now.next_day().since(now) } else { Duration::ZERO };
            standing.tokens = Left { limit, remaining, reset }.tighter(standing.tokens);
        }
        standing
    }

    /// Tokens of this day.
    fn today(&self, now: Moment) -> u64 {
        if self.day == now.day() { self.today } else { 0 }
    }
}

fn ring(place: &mut Option<Ring>) -> &mut Ring {
    place.get_or_insert_with(|| Ring::new(MINUTE))
}

fn left(ring: &mut Ring, limit: u64, now: Moment) -> Left {
    let reset = ring.fits_at(now, limit, limit).since(now);
    Left { limit, remaining: limit.saturating_sub(ring.used(now)), reset }
}
