//! Where requests wait when everything that could take them is at its limit: for each model a line, first come, first
//! served, bounded in length and time. Costs one atomic load while nobody waits. Tests: `it/limits.rs`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};
use waypost_core::GatewayError;
use waypost_core::dice::Dice;
use waypost_core::route::{Blocked, Claim, Plan};

use super::call::Call;
use super::meter::Meter;
use crate::app::{App, Live};

/// The lines of all models.
#[derive(Default)]
pub struct Queues {
    lines: Mutex<HashMap<Box<str>, Arc<Line>>>,
    waiting: AtomicUsize,
    freed: Notify,
}

/// The line of one model. Whoever holds the front is the one who looks for a slot; the lock is fair.
#[derive(Default)]
struct Line {
    front: tokio::sync::Mutex<()>,
    waiting: AtomicU32,
}

/// A place in a line, left when dropped.
struct Place<'q> {
    queues: &'q Queues,
    line: Arc<Line>,
    model: &'q str,
}

impl Queues {
    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// A request has ended: somebody who waits may go on.
    pub fn freed(&self) {
        if self.waiting() > 0 {
            self.freed.notify_waiters();
        }
    }

    /// Does anybody wait for this model?
    fn is_waiting(&self, model: &str) -> bool {
        self.waiting() > 0 && self.lines().get(model).is_some_and(|line| line.waiting.load(Ordering::Relaxed) > 0)
    }

    /// Joins the line of a model; `None` if it is full.
    fn join<'q>(&'q self, model: &'q str, size: u32) -> Option<Place<'q>> {
        let mut lines = self.lines();
        let line = Arc::clone(lines.entry(model.into()).or_default());
        if line.waiting.fetch_add(1, Ordering::Relaxed) >= size {
            line.waiting.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        drop(lines);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Some(Place { queues: self, line, model })
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Line>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queues.waiting.fetch_sub(1, Ordering::Relaxed);
        let mut lines = self.queues.lines();
        if self.line.waiting.fetch_sub(1, Ordering::Relaxed) == 1 {
            lines.remove(self.model);
        }
    }
}

/// The first attempt of a request: at once where something is free and nobody else waits, else after a wait in line.
pub async fn first(
    app: &App,
    live: &Live,
    plan: &mut Plan<'_>,
    call: &Call,
    meter: &mut Meter,
    deadline: Instant,
    dice: &mut Dice,
) -> Result<Claim, GatewayError> {
    let mut blocked = None;
    if !app.queues.is_waiting(call.model.as_deref().unwrap_or_default()) {
        match plan.claim(call.tokens(), app.clock.now(), dice) {
            Ok(claim) => return Ok(claim),
            Err(why) => blocked = Some(why),
        }
    }
    // On the heap: it is rare, and every request would carry its room.
    Box::pin(in_line(app, live, plan, call, meter, (deadline, blocked, dice))).await
}

/// The first attempt of a request that has to wait, if that is any use.
async fn in_line(
    app: &App,
    live: &Live,
    plan: &mut Plan<'_>,
    call: &Call,
    meter: &mut Meter,
    (deadline, blocked, dice): (Instant, Option<Blocked>, &mut Dice),
) -> Result<Claim, GatewayError> {
    let model = call.model.as_deref().unwrap_or_default();
    let told = |blocked: Blocked| blocked.into_error(call.model.as_deref(), app.clock.now());
    let settings = &live.snapshot.queue;
    let began = Instant::now();
    let until = deadline.min(began + settings.wait.0);
    let hopeless = |blocked: &Blocked| {
        let soon = |at| app.clock.instant(at) <= until;
        !settings.enabled || !blocked.wait().is_some_and(|at| at.is_none_or(soon))
    };
    if let Some(blocked) = blocked.filter(hopeless) {
        return Err(told(blocked));
    }
    let Some(place) = app.queues.join(model, settings.size) else {
        return Err(blocked.map_or_else(crowd, told));
    };
    let front = timeout_at(until, place.line.front.lock()).await;
    loop {
        // Registered before looking, so that what is freed meanwhile is not missed.
        let freed = app.queues.freed.notified();
        let now = app.clock.now();
        plan.afresh(&call.query(), live.snapshot.retry.max_attempts, now, dice);
        let why = match plan.claim(call.tokens(), now, dice) {
            Ok(claim) if front.is_ok() => {
                meter.queued(began.elapsed());
                return Ok(claim);
            }
            Ok(_) => Blocked::default(),
            Err(why) => why,
        };
        if front.is_err() || Instant::now() >= until || hopeless(&why) {
            return Err(late(&why, call, app));
        }
        let at = why.wait().flatten().map_or(until, |at| app.clock.instant(at).min(until));
        tokio::select! {
            () = freed => {}
            () = sleep_until(at) => {}
        }
    }
}

/// What somebody is told who has waited in vain.
fn late(blocked: &Blocked, call: &Call, app: &App) -> GatewayError {
    match blocked.wait() {
        None if blocked.is_empty() => crowd(),
        None | Some(_) => blocked.into_error(call.model.as_deref(), app.clock.now()),
    }
}

/// What somebody is told who never came to the front: others were first.
fn crowd() -> GatewayError {
    GatewayError::upstream_limited(std::time::Duration::from_secs(1))
}
