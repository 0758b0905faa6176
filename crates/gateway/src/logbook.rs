//! Carries what every call did into the database: one bounded inbox, emptied by one job in batches. A full inbox drops rows and
//! counts them; nothing waits for the database, and no money depends on it. Tests: `it/logbook.rs` and below.

pub mod retention;
mod row;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use waypost_core::usage::UsageRecord;
use waypost_store::logbook::LogRow;
use waypost_store::{Store, StoreError};

use crate::jobs::Jobs;
use crate::pipeline::meter::Chain;
use crate::telemetry::Wall;

/// How many rows may wait; about as much as a busy minute without the database.
const INBOX: usize = 32_768;
/// How many are written in one transaction.
const BATCH: usize = 512;
/// How long rows are gathered before they are written: a transaction costs as much as a dozen rows.
const GATHERING: Duration = Duration::from_millis(250);
/// How long the job waits before it tries again, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What became of rows.
#[derive(Debug, Default)]
pub struct RowCounts {
    pub written: AtomicU64,
    pub dropped: AtomicU64,
    /// Removed because of their age.
    pub pruned: AtomicU64,
}

/// The way in.
pub struct Logbook {
    inbox: mpsc::Sender<LogRow>,
    counts: Arc<RowCounts>,
}

impl Logbook {
    /// Starts the job that writes. It ends when this and what is in it are gone.
    pub fn start(store: Store, counts: Arc<RowCounts>, jobs: &Jobs) -> Self {
        Self::with_room(INBOX, store, counts, jobs)
    }

    /// The same with an inbox of this size.
    pub fn with_room(room: usize, store: Store, counts: Arc<RowCounts>, jobs: &Jobs) -> Self {
        let (inbox, receiver) = mpsc::channel(room);
        jobs.spawn("log of calls", write(receiver, store, Arc::clone(&counts)));
        Self { inbox, counts }
    }

    /// Files rows of these records; never waits.
    pub fn file(&self, records: &[UsageRecord], wall: &Wall) {
        for record in records {
            if self.inbox.try_send(row::of(record, wall)).is_err() {
                self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Writes rows until every way in is gone and the inbox is empty.
async fn write(mut inbox: mpsc::Receiver<LogRow>, store: Store, counts: Arc<RowCounts>) {
    let mut batch = Vec::with_capacity(BATCH);
    while inbox.recv_many(&mut batch, BATCH).await > 0 {
        let full = batch.len() == BATCH;
        keep(&store, &batch, &counts).await;
        batch.clear();
        if !full {
            tokio::time::sleep(GATHERING).await;
        }
    }
}

/// Writes a batch. While the database is away it waits for it; a row that the database refuses is dropped, alone.
async fn keep(store: &Store, batch: &[LogRow], counts: &RowCounts) {
    // The halves that are still to be written, the first one last.
    let mut parts = vec![batch];
    let mut pause = PAUSE.0;
    while let Some(part) = parts.pop() {
        let Err(error) = store.logbook().write(part).await else {
            counts.written.fetch_add(part.len() as u64, Ordering::Relaxed);
            pause = PAUSE.0;
            continue;
        };
        if is_away(&error) {
            if pause == PAUSE.0 {
                tracing::warn!(error = %Chain(&error), "the log of calls waits for the database");
            }
            parts.push(part);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        } else if let (first @ [_, ..], second @ [_, ..]) = part.split_at(part.len() / 2) {
            parts.extend([second, first]);
        } else {
            tracing::error!(error = %Chain(&error), "the database refused a row of the log of calls");
            counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// May the same be possible later?
fn is_away(error: &StoreError) -> bool {
    match error {
        StoreError::Unavailable(_) | StoreError::Full(_) | StoreError::Version(_) | StoreError::File { .. } => true,
        StoreError::Taken(_)
        | StoreError::Stale
        | StoreError::NotFound
        | StoreError::Corrupt(_)
        | StoreError::Refused(_)
        | StoreError::Query(_) => false,
    }
}
