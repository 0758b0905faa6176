//! The access log: one line for each admitted request, as LOGGING.md says it. Lines are made by the records job and written by
//! a thread of its own, so that a pipe nobody reads blocks nothing: what does not fit any more is dropped and counted.
//! Knows no request. Tests: `it/logs.rs` and below.

use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use serde::Serialize;
use tokio::sync::oneshot;
use waypost_core::usage::{AttemptOutcome, UsageRecord};

use super::Wall;
use super::trace_header::{Fell, Told};

/// How much may wait for the thread that writes.
const MOST_BYTES: usize = 8 << 20;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStyle {
    /// One JSON object a line.
    Json,
    /// For a person at a terminal.
    Pretty,
}

/// What lines say and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lines {
    pub style: LogStyle,
    /// What was asked.
    pub request: bool,
    /// How it was answered.
    pub response: bool,
}

impl Lines {
    /// Everything, in this style.
    pub fn whole(style: LogStyle) -> Self {
        Self { style, request: true, response: true }
    }

    /// Appends the line of a record.
    pub fn append(self, out: &mut Vec<u8>, record: &UsageRecord, wall: &Wall) {
        match self.style {
            LogStyle::Json => json_line(self, out, record, wall),
            LogStyle::Pretty => pretty_line(self, out, record),
        }
        out.push(b'\n');
    }
}

// === JSON ===

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    message: &'static str,
    request_id: &'a str,
    #[serde(flatten)]
    asked: Option<Asked<'a>>,
    outcome: &'static str,
    status: u16,
    error_kind: Option<&'static str>,
    #[serde(flatten)]
    answered: Option<Answered<'a>>,
    latency_ms: u64,
    first_token_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

#[derive(Serialize)]
struct Asked<'a> {
    key: &'a str,
    client: Option<IpAddr>,
    operation: &'static str,
    model: Option<&'a str>,
    stream: bool,
}

#[derive(Serialize)]
struct Answered<'a> {
    deployment: Option<&'a str>,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    degraded: Option<Fell<'a>>,
    trail: Vec<Told<'a>>,
    queued_ms: Option<u64>,
    translated: bool,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
    usage_basis: &'static str,
    usage_clamped: bool,
}

fn json_line(lines: Lines, out: &mut Vec<u8>, record: &UsageRecord, wall: &Wall) {
    let asked = Asked {
        key: &record.key,
        client: record.client,
        operation: record.operation,
        model: record.model.as_deref(),
        stream: record.stream,
    };
    let answered = lines.response.then(|| Answered {
        deployment: record.deployment.as_deref(),
        attempts: record.attempts,
        degraded: record.degraded.as_deref().map(Fell::of),
        trail: record.trail.iter().map(Told::of).collect(),
        queued_ms: record.stages.queued_us.map(|wait| wait.div_ceil(1000)),
        translated: record.translated,
        input_tokens: record.usage.input,
        output_tokens: record.usage.output,
        cache_read_tokens: record.usage.cache_read,
        cache_write_tokens: record.usage.cache_write,
        reasoning_tokens: record.usage.reasoning,
        usage_basis: record.basis.name(),
        usage_clamped: record.clamped,
    });
    let line = Line {
        time: wall.written(record.began),
        message: "request",
        request_id: &record.request_id,
        asked: lines.request.then_some(asked),
        outcome: record.outcome.name(),
        status: record.status,
        error_kind: record.error.map(|kind| kind.row().label),
        answered,
        latency_ms: record.latency_ms,
        first_token_ms: record.first_token_ms,
        trace_id: record.trace.map(|trace| format!("{:032x}", trace.trace_id)),
    };
    // Writing to memory cannot fail, and the types have no maps with odd keys.
    let _ = serde_json::to_writer(out, &line);
}

// === for people ===

fn pretty_line(lines: Lines, out: &mut Vec<u8>, record: &UsageRecord) {
    let (status, outcome, latency) = (record.status, record.outcome.name(), record.latency_ms);
    let _ = write!(out, "{status} {outcome:<9}");
    if lines.request {
        let model = record.model.as_deref().unwrap_or("-");
        let _ = write!(out, " {} {}", record.operation, Plain(model));
    }
    if lines.response {
        let _ = write!(out, " -> {}", Plain(record.deployment.as_deref().unwrap_or("-")));
    }
    let _ = write!(out, " {latency} ms");
    if lines.response {
        let (input, output) = (record.usage.input.unwrap_or(0), record.usage.output.unwrap_or(0));
        let (basis, attempts) = (record.basis.name(), record.attempts);
        let _ = write!(out, ", {input} in / {output} out ({basis}), {attempts} attempt(s)");
    }
    if lines.request {
        let _ = write!(out, ", key {}", Plain(&record.key));
    }
    let _ = write!(out, ", {}", record.request_id);
    if let (true, Some(degraded)) = (lines.response, &record.degraded) {
        let asked = degraded.asked.as_deref().unwrap_or("-");
        let _ = write!(out, ", degraded from {} by {}", Plain(asked), Plain(&degraded.budget));
    }
    if lines.response {
        pretty_failures(out, record);
    }
}

/// What was tried in vain, one after the other.
fn pretty_failures(out: &mut Vec<u8>, record: &UsageRecord) {
    let mut before = ", failed: ";
    for attempt in record.trail.iter().filter(|attempt| attempt.outcome != AttemptOutcome::Answered) {
        let millis = attempt.ended_us.saturating_sub(attempt.started_us).div_ceil(1000);
        let _ = write!(out, "{before}{} ({}", Plain(&attempt.deployment), attempt.outcome.name());
        if let Some(status) = attempt.status {
            let _ = write!(out, " {status}");
        }
        let _ = write!(out, ", {millis} ms)");
        before = ", ";
    }
}

/// A name on one line, whatever is in it.
struct Plain<'a>(&'a str);

impl std::fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for letter in self.0.chars() {
            let shown = if letter.is_control() { '\u{fffd}' } else { letter };
            std::fmt::Write::write_char(f, shown)?;
        }
        Ok(())
    }
}

// === the thread that writes ===

/// Where lines go. Never waits.
pub struct Writer {
    chunks: Sender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicU64>,
    done: oneshot::Receiver<()>,
}

impl Writer {
    /// Starts the thread. `dropped` counts the lines that are lost. The thread is not waited for at the end of the process:
    /// it may be stuck in a pipe that nobody reads.
    pub fn start(mut out: impl Write + Send + 'static, dropped: Arc<AtomicU64>) -> std::io::Result<Self> {
        let (chunks, inbox) = channel::<Vec<u8>>();
        let (told, done) = oneshot::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&waiting);
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            write_all(&mut out, &inbox, &counted);
            // Nobody may be waiting for it.
            let _ = told.send(());
        })?;
        Ok(Self { chunks, waiting, dropped, done })
    }

    /// Hands over lines, `count` of them; drops and counts them if too much is waiting.
    pub fn write(&self, lines: Vec<u8>, count: u64) {
        let size = lines.len();
        let full = self.waiting.fetch_add(size, Ordering::Relaxed).saturating_add(size) > MOST_BYTES;
        if full || self.chunks.send(lines).is_err() {
            self.waiting.fetch_sub(size, Ordering::Relaxed);
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Waits until everything is written. Whoever calls it sets the time that may take.
    pub async fn finish(self) {
        let Self { chunks, done, .. } = self;
        drop(chunks);
        let _ = done.await;
    }
}

fn write_all(out: &mut impl Write, inbox: &Receiver<Vec<u8>>, waiting: &AtomicUsize) {
    while let Ok(lines) = inbox.recv() {
        // A closed pipe must not stop the gateway; the lines are not money.
        let _ = out.write_all(&lines).and_then(|()| out.flush());
        waiting.fetch_sub(lines.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe that takes a chunk only when it is told to.
    struct Stuck(Receiver<()>, Sender<Vec<u8>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            let _ = self.1.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_pipe_that_nobody_reads_loses_lines_and_counts_them() {
        let (open, gate) = channel();
        let (written, read) = channel();
        let dropped = Arc::new(AtomicU64::new(0));
        let writer = Writer::start(Stuck(gate, written), Arc::clone(&dropped)).unwrap();
        let big = vec![b'x'; MOST_BYTES / 2];
        for _ in 0..4 {
            writer.write(big.clone(), 10);
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 20);
        drop(open);
        writer.finish().await;
        assert_eq!(read.iter().map(|chunk| chunk.len()).sum::<usize>(), MOST_BYTES);
    }
}
