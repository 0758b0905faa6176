//! A record as a row of the log. Decides what is told of it; decides no count and no cost. Tests are below.

use std::sync::Arc;

use waypost_core::usage::{AttemptOutcome, AttemptRecord, UsageRecord};
use waypost_store::logbook::LogRow;

use crate::telemetry::Wall;
use crate::telemetry::trace_header::{Fell, Told};

/// How many upstream calls of one request are told.
const MOST_ATTEMPTS: usize = 16;

pub(super) fn of(record: &UsageRecord, wall: &Wall) -> LogRow {
    let (usage, stages, whose) = (&record.usage, &record.stages, &record.whose);
    let named = |name: &Option<Arc<str>>| name.clone().unwrap_or_default();
    let cost = record.cost.as_ref();
    LogRow {
        at: number(wall.unix_us(record.began) / 1000),
        request_id: Arc::clone(&record.request_id),
        key_id: if whose.key_id.is_empty() { Arc::clone(&record.key) } else { Arc::clone(&whose.key_id) },
        key_name: Arc::clone(&record.key),
        user_id: named(&whose.user),
        team_id: named(&whose.team),
        model: named(&record.model),
        operation: record.operation.into(),
        deployment: named(&record.deployment),
        channel: last(record).map_or_else(Arc::default, |attempt| Arc::clone(&attempt.channel)),
        attempts: i64::from(record.attempts),
        trail: trail(record),
        input: usage.input.map(number),
        output: usage.output.map(number),
        cache_read: usage.cache_read.map(number),
        cache_write: usage.cache_write.map(number),
        reasoning: usage.reasoning.map(number),
        audio_input: usage.audio_input.map(number),
        audio_output: usage.audio_output.map(number),
        basis: record.basis.name().into(),
        cost: cost.map(|cost| cost.nano_usd),
        arithmetic: cost.map_or_else(Arc::default, |cost| Arc::clone(&cost.arithmetic)),
        price: cost.map_or_else(Arc::default, |cost| Arc::clone(&cost.price)),
        latency_ms: number(record.latency_ms),
        first_token_ms: record.first_token_ms.map(number),
        read_us: stages.read_us.map(number),
        planned_us: stages.planned_us.map(number),
        queued_us: stages.queued_us.map(number),
        answered_us: stages.answered_us.map(number),
        status: i64::from(record.status),
        outcome: record.outcome.name().into(),
        error: record.error.map_or("", |kind| kind.row().label).into(),
        stream: record.stream,
        translated: record.translated,
        address: record.client.map(|address| address.to_string().into()).unwrap_or_default(),
    }
}

/// The attempt that answered; if none did, the last.
fn last(record: &UsageRecord) -> Option<&AttemptRecord> {
    let answered = record.trail.iter().rfind(|attempt| attempt.outcome == AttemptOutcome::Answered);
    answered.or(record.trail.last())
}

/// A step of a request's way, in order: what it fell to, then the upstream calls.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum Step<'a> {
    Degraded { degraded: Fell<'a> },
    Attempt(Told<'a>),
}

fn trail(record: &UsageRecord) -> Arc<str> {
    let fell = record.degraded.as_deref().map(|degraded| Step::Degraded { degraded: Fell::of(degraded) });
    let attempts = record.trail.iter().take(MOST_ATTEMPTS).map(|attempt| Step::Attempt(Told::of(attempt)));
    let told: Vec<Step<'_>> = fell.into_iter().chain(attempts).collect();
    // Writing to memory cannot fail, and the type has no maps with odd keys.
    serde_json::to_string(&told).unwrap_or_default().into()
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
