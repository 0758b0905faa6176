//! One attempt that may be made now: a deployment, one of its credentials, and a place under every limit on the way.
//!
//! A claim is settled by a verdict; dropped, it gives back what it took and leaves health as it was. Tests are below.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::blocked::Obstacle;
use crate::config::{KeyStrategy, Limits};
use crate::dice::Dice;
use crate::health::{Admission, Lane, Transition};
use crate::limit::{Entry, Full, Gate, Said};
use crate::moment::Moment;
use crate::provider::Endpoint;
use crate::snapshot::{Channel, Credential, Deployment};
use crate::verdict::{Blame, Class, Verdict};

/// Bounds of what a provider's `Retry-After` can do to a lane or deployment.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// What a probe counts for in limits of tokens.
const PROBE_TOKENS: u64 = 16;

/// The right to make one upstream call.
pub struct Claim {
    pub deployment: Arc<Deployment>,
    /// Position in the channel's credentials.
    pub credential: usize,
    /// What serves the operation there, and in which dialect.
    pub endpoint: &'static Endpoint,
    trial: bool,
    probe: bool,
    taken: Taken,
    /// Tokens it really used, once known.
    used: Option<u64>,
    settled: bool,
}

/// What has to be given back.
#[derive(Default)]
struct Taken {
    channel: Option<Entry>,
    deployment: Option<Entry>,
    key: Option<Entry>,
    /// The lane, the credential and the deployment count it as in flight.
    counted: bool,
}

impl Claim {
    /// Takes a place for a request with so many tokens; `tried` are credentials it has had.
    pub(super) fn take(
        deployment: &Arc<Deployment>,
        endpoint: &'static Endpoint,
        tried: &[usize],
        tokens: u64,
        now: Moment,
        dice: &mut Dice,
    ) -> Result<Self, Obstacle> {
        let channel = &deployment.channel;
        let keys = Keys::free(deployment, tried, tokens, now)?;
        let trial = match deployment.state.admit(&channel.policy, now) {
            Admission::Free => false,
            Admission::OnTrial => true,
            Admission::Barred(bar, until) => return Err(Obstacle::Barred(bar, until)),
        };
        let mut claim = Self {
            deployment: Arc::clone(deployment),
            credential: 0,
            endpoint,
            trial,
            probe: false,
            taken: Taken::default(),
            used: None,
            settled: false,
        };
        claim.taken.channel = enter(&channel.gate, &channel.limits, tokens, now)?;
        claim.taken.deployment = enter(&deployment.state.gate, &deployment.limits, tokens, now)?;
        claim.take_key(keys, tokens, now, dice)?;
        Ok(claim)
    }

    /// A place for a probe on one credential, in whatever state that is; an isolated deployment is tried out by it.
    /// `None` if it would have to wait: for the trial of another, under a limit, or because its provider wants to be left
    /// alone.
    pub fn for_probe(
        deployment: &Arc<Deployment>,
        endpoint: &'static Endpoint,
        credential: usize,
        now: Moment,
    ) -> Option<Self> {
        let channel = &deployment.channel;
        let (key, lane) = (channel.credentials.get(credential)?, deployment.lanes.get(credential)?);
        let trial = match deployment.state.admit_probe(&channel.policy, now) {
            Admission::Free => false,
            Admission::OnTrial => true,
            Admission::Barred(..) => return None,
        };
        let mut claim = Self {
            deployment: Arc::clone(deployment),
            credential,
            endpoint,
            trial,
            probe: true,
            taken: Taken::default(),
            used: None,
            settled: false,
        };
        claim.taken.channel = enter(&channel.gate, &channel.limits, PROBE_TOKENS, now).ok()?;
        claim.taken.deployment = enter(&deployment.state.gate, &deployment.limits, PROBE_TOKENS, now).ok()?;
        claim.taken.key = enter(&key.state.gate, &key.limits, PROBE_TOKENS, now).ok()?;
        if !lane.enter(PROBE_TOKENS, now) {
            return None;
        }
        key.state.enter_probe(now);
        deployment.state.enter(now);
        claim.taken.counted = true;
        Some(claim)
    }

    fn take_key(&mut self, mut keys: Keys, tokens: u64, now: Moment, dice: &mut Dice) -> Result<(), Obstacle> {
        let deployment = Arc::clone(&self.deployment);
        let channel = &deployment.channel;
        let mut obstacle = Obstacle::Tried;
        while let Some(position) = keys.next(channel, now, dice) {
            let (Some(credential), Some(lane)) = (channel.credentials.get(position), deployment.lanes.get(position))
            else {
                continue;
            };
            match enter(&credential.state.gate, &credential.limits, tokens, now) {
                Ok(entry) => self.taken.key = entry,
                Err(full) => {
                    obstacle = full;
                    continue;
                }
            }
            self.credential = position;
            if lane.enter(tokens, now) {
                if credential.state.enter(now) {
                    deployment.state.enter(now);
                    self.taken.counted = true;
                    return Ok(());
                }
                lane.leave();
            }
            if let Some(entry) = self.taken.key.take() {
                credential.state.gate.give_back(entry);
            }
            obstacle = Obstacle::Busy(lane.free_at(tokens, now).max(now.plus(Duration::from_millis(1))));
        }
        Err(obstacle)
    }

    /// The credential it was made for.
    pub fn credential(&self) -> Option<&Credential> {
        self.deployment.channel.credentials.get(self.credential)
    }

    /// It finds out whether the deployment is well again.
    pub fn is_trial(&self) -> bool {
        self.trial
    }

    /// The answer's first meaningful event is there, after so long. A trial has succeeded with that: whether a stream that
    /// has begun comes to its end may take minutes to know.
    pub fn began(&mut self, after: Duration, now: Moment) -> Option<Transition> {
        self.deployment.state.began(after);
        if let Some(credential) = self.credential() {
            credential.state.succeed();
        }
        if self.probe {
            self.deployment.state.find_model();
        }
        if std::mem::take(&mut self.trial) {
            return self.deployment.state.succeed(&self.deployment.channel.policy, now, true);
        }
        None
    }

    /// The answer came to its end.
    pub fn succeed(&mut self, now: Moment) -> Option<Transition> {
        if std::mem::replace(&mut self.settled, true) {
            return None;
        }
        self.deployment.state.succeed(&self.deployment.channel.policy, now, self.trial)
    }

    /// The attempt failed, as judged.
    pub fn fail(&mut self, verdict: &Verdict, now: Moment) -> Option<Transition> {
        match verdict.blame {
            Blame::Deployment | Blame::Credential if !self.deployment.channel.policy.watched => {
                self.deployment.state.note(verdict.class, now);
                None
            }
            Blame::Caller | Blame::Nobody => None,
            Blame::Deployment => self.fail_deployment(verdict.class, verdict.wait, now),
            Blame::Credential => {
                self.fail_credential(verdict, now);
                None
            }
        }
    }

    /// The answer broke off after it had begun.
    pub fn cut(&mut self, class: Class, now: Moment) -> Option<Transition> {
        if !self.deployment.channel.policy.watched {
            return None;
        }
        self.fail_deployment(class, None, now)
    }

    fn fail_deployment(&mut self, class: Class, wait: Option<Duration>, now: Moment) -> Option<Transition> {
        if std::mem::replace(&mut self.settled, true) {
            return None;
        }
        let wait = wait.map(|wait| wait.clamp(WAIT.0, WAIT.1));
        self.deployment.state.fail(&self.deployment.channel.policy, class, wait, now, self.trial)
    }

    fn fail_credential(&mut self, verdict: &Verdict, now: Moment) {
        let (Some(credential), Some(lane)) = (self.credential(), self.deployment.lanes.get(self.credential)) else {
            return;
        };
        let cooldowns = &self.deployment.channel.policy.cooldowns;
        let wait = verdict.wait.map(|wait| wait.clamp(WAIT.0, WAIT.1));
        let state = &credential.state;
        state.fail();
        self.deployment.state.note(verdict.class, now);
        match verdict.class {
            // Where there is no key, none can be replaced: the model is what is refused.
            Class::CredentialDead | Class::NoMoney if credential.header.is_none() => {
                lane.rest(cooldowns.forbidden.0, now);
            }
            Class::CredentialDead => state.put_out(verdict.class, verdict.status, cooldowns.dead_key.0, now),
            Class::NoMoney => {
                let span = wait.unwrap_or(cooldowns.no_money.0).max(cooldowns.no_money.0);
                state.put_out(verdict.class, verdict.status, span, now);
            }
            Class::Forbidden | Class::RegionBlocked => lane.rest(cooldowns.forbidden.0, now),
            Class::RateLimited => lane.limited(wait.unwrap_or(cooldowns.rate_limit.0), now),
            Class::BadRequest
            | Class::ModelMissing
            | Class::Overloaded
            | Class::ServerError
            | Class::Timeout
            | Class::Network
            | Class::Unreadable
            | Class::Redirected => {}
        }
    }

    /// The provider says what is left for this model on this credential.
    pub fn hear(&self, requests: Said, tokens: Said, now: Moment) {
        if let Some(lane) = self.deployment.lanes.get(self.credential) {
            lane.hear(requests, tokens, now);
        }
    }

    /// It used so many tokens; limits that were taken by an estimate are corrected when it ends.
    pub fn used(&mut self, tokens: u64) {
        self.used = Some(tokens);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let channel = &self.deployment.channel;
        let credential = channel.credentials.get(self.credential);
        // What found no place further on was never sent, and counts nowhere.
        let (counted, used) = (self.taken.counted, self.used);
        let leave = |gate: &Gate, entry| if counted { gate.leave(entry, used) } else { gate.give_back(entry) };
        if let Some(entry) = self.taken.channel.take() {
            leave(&channel.gate, entry);
        }
        if let Some(entry) = self.taken.deployment.take() {
            leave(&self.deployment.state.gate, entry);
        }
        if let (Some(entry), Some(credential)) = (self.taken.key.take(), credential) {
            leave(&credential.state.gate, entry);
        }
        if self.taken.counted {
            self.deployment.state.leave();
            if let Some(lane) = self.deployment.lanes.get(self.credential) {
                lane.leave();
            }
            if let Some(credential) = credential {
                credential.state.leave();
            }
        }
        if self.trial && !self.settled {
            self.deployment.state.give_back();
        }
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Claim({}, credential {})", self.deployment.label, self.credential)
    }
}

/// Limits that are not set are not watched, and cost nothing.
fn enter(gate: &Gate, limits: &Limits, tokens: u64, now: Moment) -> Result<Option<Entry>, Obstacle> {
    if limits.is_empty() {
        return Ok(None);
    }
    gate.enter(limits, tokens, now).map(Some).map_err(|full| match full {
        Full::Until(at) => Obstacle::Busy(at),
        Full::Running => Obstacle::Crowded,
    })
}

/// The credentials of a deployment that can be used now.
enum Keys {
    One(Option<usize>),
    Many { free: Vec<usize>, turned: bool },
}

impl Keys {
    fn free(deployment: &Deployment, tried: &[usize], tokens: u64, now: Moment) -> Result<Self, Obstacle> {
        let credentials = &deployment.channel.credentials;
        let mut obstacle = None;
        let mut able = |position: usize, credential: &Credential, lane: &Lane| {
            if tried.contains(&position) {
                return false;
            }
            let (out, resting) = (credential.state.free_at(now), lane.free_at(tokens, now));
            let found = if out > now {
                Obstacle::NoKey(out)
            } else if resting > now {
                Obstacle::Busy(resting)
            } else {
                return true;
            };
            obstacle = Some(sooner(obstacle, found));
            false
        };
        let mut all = credentials.iter().zip(&deployment.lanes).enumerate();
        if let (1, Some((position, (credential, lane)))) = (credentials.len(), all.next()) {
            return if able(position, credential, lane) {
                Ok(Self::One(Some(position)))
            } else {
                Err(obstacle.unwrap_or(Obstacle::Tried))
            };
        }
        let all = credentials.iter().zip(&deployment.lanes).enumerate();
        let free: Vec<usize> = all
            .filter_map(|(position, (credential, lane))| able(position, credential, lane).then_some(position))
            .collect();
        if free.is_empty() { Err(obstacle.unwrap_or(Obstacle::Tried)) } else { Ok(Self::Many { free, turned: false }) }
    }

    /// The next one to use, in the channel's order.
    fn next(&mut self, channel: &Channel, now: Moment, dice: &mut Dice) -> Option<usize> {
        let (free, turned) = match self {
            Self::One(position) => return position.take(),
            Self::Many { free, turned } => (free, turned),
        };
        let first = match channel.key_strategy {
            // The others follow in their order.
            KeyStrategy::RoundRobin | KeyStrategy::Random if *turned => 0,
            KeyStrategy::RoundRobin => turn(channel, free.len()),
            KeyStrategy::Random => usize::try_from(dice.below(free.len() as u64)).unwrap_or_default(),
            KeyStrategy::LeastUsed => {
                let used = |position: &usize| {
                    channel.credentials.get(*position).map_or(u64::MAX, |credential| credential.state.recent(now))
                };
                let least = free.iter().map(used).min()?;
                free.iter().position(|position| used(position) == least)?
            }
        };
        *turned = true;
        let last = free.len().checked_sub(1)?;
        free.rotate_left(first.min(last));
        Some(free.remove(0))
    }
}

fn turn(channel: &Channel, among: usize) -> usize {
    let turn = channel.turn.fetch_add(1, Ordering::Relaxed);
    usize::try_from(turn % (among.max(1) as u64)).unwrap_or_default()
}

/// Of two obstacles the one that passes first; a limit rather than a dead key, because waiting helps.
fn sooner(known: Option<Obstacle>, found: Obstacle) -> Obstacle {
    match (known, found) {
        (Some(Obstacle::Busy(one)), Obstacle::Busy(two)) => Obstacle::Busy(one.min(two)),
        (Some(Obstacle::NoKey(one)), Obstacle::NoKey(two)) => Obstacle::NoKey(one.min(two)),
        (Some(busy @ Obstacle::Busy(_)), _) => busy,
        (Some(_) | None, found) => found,
    }
}
