//! Asks a second deployment when the first is slow to begin. Whoever begins first answers; the other is dropped, which
//! cancels it at the far side. Only requests that can be sent twice are hedged. Tests: `it/hedging.rs`.

use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep;
use waypost_core::route::{Claim, Plan};
use waypost_core::usage::AttemptOutcome;

use super::send::exchange;
use super::{Answer, Attempts, Fallen, Lost};
use crate::pipeline::meter::Trial;

/// How long the first deployment may take to begin before a second is asked; `None` where none will be.
pub(super) fn patience(attempts: &Attempts<'_>, plan: &Plan<'_>) -> Option<Duration> {
    let hedge = &plan.route().hedge;
    let call = attempts.call;
    let able = hedge.enabled && plan.has_other() && call.body().is_some() && call.is_repeatable();
    let spent = attempts.tally.attempts() + 1 >= attempts.live.snapshot.retry.max_attempts;
    if !able || spent {
        return None;
    }
    Some(plan.pulse()?.percentile(hedge.percentile)?.max(hedge.after.0))
}

/// Makes an attempt, and after `wait` without an answer another one beside it.
pub(super) async fn race(
    attempts: &mut Attempts<'_>,
    plan: &mut Plan<'_>,
    claim: Claim,
    wait: Duration,
) -> Result<Answer, Lost> {
    let (app, live, call, deadline) = (attempts.app, attempts.live, attempts.call, attempts.deadline);
    let ready = attempts.ready(&claim).map_err(Lost::Said)?;
    let trial = attempts.meter.begin(&claim, ready.is_translated(), false);
    let mut second = None;
    let result = {
        let mut first = pin!(exchange(app, live, &claim, call, ready, deadline));
        let early = tokio::select! {
            biased;
            result = &mut first => Some(result),
            () = sleep(wait) => None,
        };
        match early {
            Some(result) => End::First(result),
            None => match beside(attempts, plan) {
                None => End::First(first.await),
                Some((other, ready, other_trial)) => {
                    let (other, other_trial) = second.insert((other, other_trial));
                    let mut rival = pin!(exchange(app, live, other, call, ready, deadline));
                    let _ = &other_trial;
                    tokio::select! {
                        biased;
                        result = &mut first => match result {
                            Ok(answer) => End::First(Ok(answer)),
                            Err(fallen) => End::FirstFell(fallen, rival.await),
                        },
                        result = &mut rival => match result {
                            Ok(answer) => End::Second(answer),
                            Err(fallen) => End::SecondFell(fallen, first.await),
                        },
                    }
                }
            },
        }
    };
    settle(attempts, plan, (claim, trial), second, result)
}

/// How a race ended.
enum End {
    First(Result<Answer, Fallen>),
    Second(Answer),
    FirstFell(Fallen, Result<Answer, Fallen>),
    SecondFell(Fallen, Result<Answer, Fallen>),
}

/// Takes a second attempt, if there is one to make and the cap allows it.
fn beside(attempts: &mut Attempts<'_>, plan: &mut Plan<'_>) -> Option<(Claim, super::Ready, Trial)> {
    let now = attempts.app.clock.now();
    let percent = u32::from(plan.route().hedge.max_percent);
    plan.advance();
    let claim = plan.claim(attempts.call.tokens(), now, &mut attempts.dice).ok()?;
    if claim.deployment.state.is_failing() || !attempts.app.traffic.hedge(percent, now) {
        return None;
    }
    let ready = attempts.ready(&claim).ok()?;
    let trial = attempts.meter.begin(&claim, ready.is_translated(), true);
    Some((claim, ready, trial))
}

fn settle(
    attempts: &mut Attempts<'_>,
    plan: &mut Plan<'_>,
    first: (Claim, Trial),
    second: Option<(Claim, Trial)>,
    end: End,
) -> Result<Answer, Lost> {
    let (winner, loser, fallen, result) = match (end, second) {
        (End::First(result), second) => (first, second, None, result),
        (End::Second(answer), Some(second)) => (second, Some(first), None, Ok(answer)),
        (End::FirstFell(fallen, result), Some(second)) => (second, Some(first), Some(fallen), result),
        (End::SecondFell(fallen, result), Some(second)) => (first, Some(second), Some(fallen), result),
        // Only a second attempt ends in these.
        (End::Second(answer), None) => (first, None, None, Ok(answer)),
        (End::FirstFell(_, result) | End::SecondFell(_, result), None) => (first, None, None, result),
    };
    match (loser, fallen) {
        (Some((claim, trial)), Some(Fallen::Judged(verdict))) => {
            attempts.judged(claim, &trial, *verdict, None);
        }
        (Some((claim, trial)), Some(Fallen::Said(_)) | None) => {
            attempts.meter.end(&trial, AttemptOutcome::Cancelled, None);
            drop(claim);
            attempts.app.queues.freed();
        }
        (None, _) => {}
    }
    let (claim, trial) = winner;
    match result {
        Ok(answer) => Ok(attempts.won(plan, claim, trial, answer)),
        Err(fallen) => Err(attempts.lost(plan, claim, &trial, fallen)),
    }
}
