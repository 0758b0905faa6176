//! Where settled records go: one bounded inbox, emptied by one job that writes the access log in batches.
//!
//! The request path only puts a record into the inbox. A full inbox drops the log line and counts it; it never waits.
//! Tests: `it/usage.rs` reads an inbox of its own.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;
use waypost_core::usage::UsageRecord;

/// How many records may wait.
const INBOX: usize = 8192;
/// How long lines are gathered before they are written.
const GATHERING: Duration = Duration::from_millis(20);

/// The way in. Clones share the inbox.
#[derive(Clone)]
pub struct Records {
    inbox: mpsc::Sender<UsageRecord>,
    dropped: Arc<AtomicU64>,
}

/// The way out, for the job that writes or the test that reads.
pub type Inbox = mpsc::Receiver<UsageRecord>;

impl Records {
    /// Both ends of a new inbox.
    pub fn new() -> (Self, Inbox) {
        let (inbox, receiver) = mpsc::channel(INBOX);
        (Self { inbox, dropped: Arc::default() }, receiver)
    }

    /// Files a record; never waits.
    pub fn file(&self, record: UsageRecord) {
        if self.inbox.try_send(record).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Log lines lost to a full inbox since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Writes records as lines until every [`Records`] is gone. Lines that come within a few milliseconds leave in one write,
/// so that a busy gateway spends neither a wake-up nor a system call on each.
pub async fn write_access_log(mut inbox: Inbox, style: LogStyle) {
    let mut batch = Vec::new();
    let mut lines = Vec::new();
    while inbox.recv_many(&mut batch, INBOX).await > 0 {
        lines.clear();
        for record in batch.drain(..) {
            match style {
                LogStyle::Json => json_line(&mut lines, &record),
                LogStyle::Pretty => pretty_line(&mut lines, &record),
            }
        }
        // A closed or blocked pipe must not stop the gateway; the records are not money.
        let _ = std::io::stdout().lock().write_all(&lines);
        tokio::time::sleep(GATHERING).await;
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStyle {
    /// One JSON object a line.
    Json,
    /// For a person at a terminal.
    Pretty,
}

/// A record as a line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    message: &'static str,
    request_id: &'a str,
    key: &'a str,
    operation: &'static str,
    model: Option<&'a str>,
    deployment: Option<&'a str>,
    attempts: u32,
    outcome: &'static str,
    status: u16,
    stream: bool,
    translated: bool,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
    usage_basis: &'static str,
    usage_clamped: bool,
    latency_ms: u64,
    first_token_ms: Option<u64>,
}

fn json_line(out: &mut Vec<u8>, record: &UsageRecord) {
    let line = Line {
        message: "request",
        request_id: &record.request_id,
        key: &record.key,
        operation: record.operation,
        model: record.model.as_deref(),
        deployment: record.deployment.as_deref(),
        attempts: record.attempts,
        outcome: record.outcome.name(),
        status: record.status,
        stream: record.stream,
        translated: record.translated,
        input_tokens: record.usage.input,
        output_tokens: record.usage.output,
        cache_read_tokens: record.usage.cache_read,
        cache_write_tokens: record.usage.cache_write,
        reasoning_tokens: record.usage.reasoning,
        usage_basis: record.basis.name(),
        usage_clamped: record.clamped,
        latency_ms: record.latency_ms,
        first_token_ms: record.first_token_ms,
    };
    // Writing to memory cannot fail, and the types have no maps with odd keys.
    let _ = serde_json::to_writer(&mut *out, &line);
    out.push(b'\n');
}

fn pretty_line(out: &mut Vec<u8>, record: &UsageRecord) {
    let _ = writeln!(
        out,
        "{status} {outcome:<9} {operation} {model} -> {deployment} {latency} ms, {input} in / {output} out ({basis}), {attempts} attempt(s), key {key}, {id}",
        status = record.status,
        outcome = record.outcome.name(),
        operation = record.operation,
        model = record.model.as_deref().unwrap_or("-"),
        deployment = record.deployment.as_deref().unwrap_or("-"),
        latency = record.latency_ms,
        input = record.usage.input.unwrap_or(0),
        output = record.usage.output.unwrap_or(0),
        basis = record.basis.name(),
        attempts = record.attempts,
        key = record.key,
        id = record.request_id,
    );
}
