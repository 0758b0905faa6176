//! Where settled records go: one bounded inbox, emptied by one job that makes of them all that is told of requests: metrics,
//! traces and the access log.
//!
//! The request path only puts a record into the inbox. A full inbox drops the record and counts it; it never waits.
//! Tests: `it/usage.rs` reads an inbox of its own; `it/metrics.rs`, `it/logs.rs` and `it/traces.rs` run the job.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use waypost_core::config;
use waypost_core::usage::UsageRecord;

use crate::clock::Clock;
use crate::logbook::Logbook;
use crate::telemetry::access_log::{Lines, Writer};
use crate::telemetry::otlp::Tracer;
use crate::telemetry::{Telemetry, Wall};

pub use crate::telemetry::access_log::LogStyle;

/// How many records may wait.
const INBOX: usize = 8192;
/// How many are worked on before others get their turn on the thread.
const BATCH: usize = 512;
/// How long records are gathered before they are worked on.
const GATHERING: Duration = Duration::from_millis(20);

/// The way in. Clones share the inbox.
#[derive(Clone)]
pub struct Records {
    inbox: mpsc::Sender<UsageRecord>,
    dropped: Arc<AtomicU64>,
}

/// The way out, for the job that works on records or the test that reads them.
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

    /// Records lost to a full inbox since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Where what is made of records goes.
pub struct Outlets {
    pub telemetry: Arc<Telemetry>,
    pub clock: Clock,
    /// The access log, if there is one.
    pub log: Option<(Lines, Writer)>,
    /// The way to a collector, if there is one.
    pub tracer: Option<Tracer>,
    /// The way into the database's log, if there is one.
    pub logbook: Option<Logbook>,
    /// At which marks people are told.
    pub alerts: config::Alerts,
}

/// Works on records until every [`Records`] is gone. Those that come within a few milliseconds are worked on together, so
/// that a busy gateway spends neither a wake-up nor a system call on each.
pub async fn work(mut inbox: Inbox, mut outlets: Outlets) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        match inbox.recv_many(&mut batch, BATCH).await {
            0 => break,
            BATCH => {
                outlets.take(&mut batch);
                tokio::task::yield_now().await;
            }
            _ => {
                outlets.take(&mut batch);
                tokio::time::sleep(GATHERING).await;
            }
        }
    }
    if let Some((_, writer)) = outlets.log.take() {
        writer.finish().await;
    }
}

impl Outlets {
    /// Makes everything of a batch, which is empty afterwards.
    pub fn take(&mut self, batch: &mut Vec<UsageRecord>) {
        let wall = Wall::now(&self.clock);
        self.telemetry.metrics.observe(batch);
        if let Some((lines, writer)) = &self.log {
            let mut text = Vec::with_capacity(batch.len() * 512);
            batch.iter().for_each(|record| lines.append(&mut text, record, &wall));
            writer.write(text, batch.len() as u64);
        }
        for record in &*batch {
            let at = i64::try_from(wall.unix_us(record.began) / 1000).unwrap_or(i64::MAX);
            self.telemetry.sight.see(&self.alerts, record, at);
        }
        if let Some(logbook) = &self.logbook {
            logbook.file(batch, &wall);
        }
        match &mut self.tracer {
            Some(tracer) => batch.drain(..).for_each(|record| tracer.offer(record, &wall)),
            None => batch.clear(),
        }
    }
}
