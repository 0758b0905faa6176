//! Makes attempts until one really answers. Until an answer's first meaningful event every failure can go on to another
//! attempt, under one deadline, one number of attempts and one budget of repeated work.
//!
//! Core's verdict decides what to try next; nothing here knows a vendor or a status. Tests: `it/failover.rs`,
//! `it/resilience.rs`.

mod hedge;
mod read;
mod say;
mod send;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, sleep_until};
use waypost_core::GatewayError;
use waypost_core::config::{Backoff, BackoffStrategy};
use waypost_core::dice::Dice;
use waypost_core::route::{Claim, Plan};
use waypost_core::snapshot::Deployment;
use waypost_core::usage::AttemptOutcome;
use waypost_core::verdict::{Blame, Class, Next, Tally, Verdict};
use waypost_wire::chat::Response;
use waypost_wire::dialect::{Survey, Tap};
use waypost_wire::loss::Losses;

pub(crate) use self::send::trouble;
use self::send::{Ready, exchange};
use super::call::Call;
use super::deliver::{Change, Opening};
use super::meter::{Meter, Trial};
use super::queue;
use crate::app::{App, Live};
use crate::upstream::AnswerBody;

/// The answer of the attempt that won.
pub struct Answer {
    pub deployment: Arc<Deployment>,
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// What the request's translation could not carry.
    pub losses: Losses,
    pub content: Content,
}

/// What is to be delivered.
pub enum Content {
    /// A whole answer in the caller's dialect.
    Relayed { body: Bytes, survey: Survey, tap: &'static dyn Tap, change: Change },
    /// A whole answer in another dialect.
    Translated(Box<Response>),
    /// A whole answer that the caller wants to hear as a stream.
    Retold(Box<Response>),
    /// A stream in the caller's dialect.
    RelayedStream { opening: Opening, tap: &'static dyn Tap, change: Change },
    /// A stream in another dialect.
    TranslatedStream(Opening),
    /// Bytes nobody reads here.
    Through(AnswerBody),
}

/// How an attempt failed.
enum Fallen {
    /// The request cannot be said to this upstream, and the caller must know why.
    Said(GatewayError),
    /// The upstream failed.
    Judged(Box<Verdict>),
}

impl From<Verdict> for Fallen {
    fn from(verdict: Verdict) -> Self {
        Self::Judged(Box::new(verdict))
    }
}

/// The attempts of one request.
struct Attempts<'a> {
    app: &'a App,
    live: &'a Live,
    call: &'a Call,
    meter: &'a mut Meter,
    tally: Tally,
    deadline: Instant,
    dice: Dice,
}

/// Makes attempts in the plan's order until one answers.
pub async fn first_success(
    app: &App,
    live: &Live,
    plan: &mut Plan<'_>,
    call: &Call,
    meter: &mut Meter,
    dice: Dice,
) -> Result<Answer, GatewayError> {
    let deadline = call.at + plan.total().unwrap_or(Duration::from_secs(600));
    let mut attempts = Attempts { app, live, call, meter, tally: Tally::default(), deadline, dice };
    app.traffic.request(app.clock.now());
    let mut claim = queue::first(app, live, plan, call, attempts.meter, deadline, &mut attempts.dice).await?;
    loop {
        let verdict = match attempts.make(plan, claim).await {
            Ok(answer) => return Ok(answer),
            Err(Lost::Said(error)) => return Err(error),
            Err(Lost::Judged(verdict)) => verdict,
        };
        let Some(next) = attempts.next(plan, verdict).await else {
            return Err(attempts.tally.into_error());
        };
        claim = next;
    }
}

/// Why the request goes on to another attempt, or does not.
enum Lost {
    Said(GatewayError),
    Judged(Judged),
}

/// What is left of a verdict once everybody has been told.
#[derive(Clone, Copy)]
struct Judged {
    class: Class,
    next: Next,
    status: Option<u16>,
    begun: bool,
}

impl Attempts<'_> {
    /// Makes one attempt, or two where the first is slow to begin and the route hedges.
    async fn make(&mut self, plan: &mut Plan<'_>, claim: Claim) -> Result<Answer, Lost> {
        if let Some(wait) = hedge::patience(self, plan) {
            // On the heap: it is rare, and holds two exchanges.
            return Box::pin(hedge::race(self, plan, claim, wait)).await;
        }
        let ready = self.ready(&claim).map_err(Lost::Said)?;
        let trial = self.meter.begin(&claim, ready.is_translated(), false);
        match exchange(self.app, self.live, &claim, self.call, ready, self.deadline).await {
            Ok(answer) => Ok(self.won(plan, claim, trial, answer)),
            Err(fallen) => Err(self.lost(plan, claim, &trial, fallen)),
        }
    }

    fn ready(&self, claim: &Claim) -> Result<Ready, GatewayError> {
        Ready::new(self.app, self.live, claim, self.call).map_err(|fallen| match fallen {
            Fallen::Said(error) => error,
            Fallen::Judged(verdict) => verdict.error,
        })
    }

    /// An answer has begun: from here on the meter keeps the claim.
    fn won(&mut self, plan: &Plan<'_>, mut claim: Claim, trial: Trial, answer: Answer) -> Answer {
        let now = self.app.clock.now();
        let after = trial.age();
        let moved = claim.began(after, now);
        self.app.note_transition(&claim.deployment, moved);
        if let Some(pulse) = plan.pulse() {
            pulse.beat(after);
        }
        self.meter.answered(claim, trial, answer.status.as_u16());
        answer
    }

    /// Tells health, trail and log of a failure, and the plan where to go on.
    fn lost(&mut self, plan: &mut Plan<'_>, claim: Claim, trial: &Trial, fallen: Fallen) -> Lost {
        match fallen {
            Fallen::Said(error) => {
                self.meter.end(trial, AttemptOutcome::Failed(Class::BadRequest), None);
                Lost::Said(error)
            }
            Fallen::Judged(verdict) => {
                let judged = self.judged(claim, trial, *verdict, Some(plan));
                Lost::Judged(judged)
            }
        }
    }

    fn judged(&mut self, mut claim: Claim, trial: &Trial, mut verdict: Verdict, plan: Option<&mut Plan<'_>>) -> Judged {
        if verdict.class == Class::Timeout && self.tally.attempts() > 0 && Instant::now() >= self.deadline {
            // What came before took the time.
            verdict.blame = Blame::Nobody;
        }
        self.meter.end(trial, AttemptOutcome::Failed(verdict.class), verdict.status);
        tracing::warn!(
            request.id = %self.call.request_id,
            deployment = %claim.deployment.label,
            credential = claim.credential().map(|credential| &*credential.label),
            attempt = self.meter.attempts(),
            class = verdict.class.name(),
            status = verdict.status,
            "the attempt failed: {}", verdict.error,
        );
        let moved = claim.fail(&verdict, self.app.clock.now());
        self.app.note_transition(&claim.deployment, moved);
        let judged = Judged { class: verdict.class, next: verdict.next, status: verdict.status, begun: verdict.begun };
        if let Some(plan) = plan {
            plan.after(&claim, verdict.next);
        }
        self.tally.add(&claim.deployment.label, verdict);
        drop(claim);
        self.app.queues.freed();
        judged
    }

    /// The next attempt, after a pause where one is due; `None` if there is none to make.
    async fn next(&mut self, plan: &mut Plan<'_>, judged: Judged) -> Option<Claim> {
        let retry = &self.live.snapshot.retry;
        let over = judged.next == Next::Stop
            || self.call.is_spent()
            || (judged.begun && !self.call.is_repeatable())
            || self.tally.attempts() >= retry.max_attempts
            || !covers(retry.on.as_deref(), judged);
        if over {
            return None;
        }
        let tokens = self.call.tokens();
        if retry.backoff.on_failover {
            self.pause(&retry.backoff).await?;
        }
        let claim = match plan.claim(tokens, self.app.clock.now(), &mut self.dice) {
            Ok(claim) => claim,
            Err(_) => {
                if !judged.class.may_pass() || !plan.again() {
                    return None;
                }
                if !retry.backoff.on_failover {
                    self.pause(&retry.backoff).await?;
                }
                plan.claim(tokens, self.app.clock.now(), &mut self.dice).ok()?
            }
        };
        let budget = retry.budget;
        let now = self.app.clock.now();
        let allowed = !claim.deployment.state.is_failing() || self.app.traffic.retry(budget.percent, budget.floor, now);
        (allowed && Instant::now() < self.deadline).then_some(claim)
    }

    /// Waits as long as is due before the next attempt; `None` if the deadline comes first.
    async fn pause(&mut self, backoff: &Backoff) -> Option<()> {
        let until = Instant::now() + pause(backoff, self.tally.attempts(), &mut self.dice);
        if until >= self.deadline {
            return None;
        }
        sleep_until(until).await;
        Some(())
    }
}

/// Is there another attempt after this? A list of statuses says nothing about failures without one, nor about keys that
/// do not work and models that are not there: asking elsewhere is not asking again.
fn covers(statuses: Option<&[u16]>, judged: Judged) -> bool {
    let (Some(statuses), Some(status)) = (statuses, judged.status) else { return true };
    match judged.class {
        Class::CredentialDead | Class::NoMoney | Class::Forbidden | Class::RegionBlocked | Class::ModelMissing => true,
        Class::BadRequest
        | Class::RateLimited
        | Class::Overloaded
        | Class::ServerError
        | Class::Timeout
        | Class::Network
        | Class::Unreadable
        | Class::Redirected => statuses.contains(&status),
    }
}

/// The pause after so many attempts, up to a quarter longer by chance.
fn pause(backoff: &Backoff, attempts: u32, dice: &mut Dice) -> Duration {
    let (base, cap) = (backoff.base.0, backoff.cap.0);
    let turn = attempts.saturating_sub(1);
    let whole = match backoff.strategy {
        BackoffStrategy::Exponential => base.saturating_mul(1_u32.checked_shl(turn).unwrap_or(u32::MAX)),
        BackoffStrategy::Linear => base.saturating_mul(turn.saturating_add(1)),
        BackoffStrategy::Constant => base,
    };
    let whole = whole.min(cap);
    let quarter = u64::try_from(whole.as_micros() / 4).unwrap_or(u64::MAX);
    whole + Duration::from_micros(dice.below(quarter.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use waypost_core::config::Span;

    use super::*;

    #[test]
    fn pauses_grow_as_the_strategy_says_up_to_the_cap_and_a_quarter_more_002_29() {
        let seconds = |strategy| {
            let backoff = Backoff { strategy, base: Span::seconds(1), cap: Span::seconds(5), on_failover: false };
            let mut dice = Dice::seeded(1);
            (1..=5).map(|attempts| pause(&backoff, attempts, &mut dice)).collect::<Vec<_>>()
        };
        for (strategy, expected) in [
            (BackoffStrategy::Exponential, [1, 2, 4, 5, 5]),
            (BackoffStrategy::Linear, [1, 2, 3, 4, 5]),
            (BackoffStrategy::Constant, [1, 1, 1, 1, 1]),
        ] {
            for (pause, expected) in seconds(strategy).into_iter().zip(expected) {
                let least = Duration::from_secs(expected);
                assert!(pause >= least && pause <= least + least / 4, "{strategy:?}: {pause:?}");
            }
        }
    }
}
