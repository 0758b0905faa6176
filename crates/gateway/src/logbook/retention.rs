//! Forgets calls and captured bodies by their age, a few at a time, so that whoever else writes waits for no more than those.
//! Tests: `it/logbook.rs`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use waypost_store::logbook::DAY_MS;
use waypost_store::{Store, StoreError, captures};

use super::RowCounts;
use crate::jobs::Jobs;
use crate::pipeline::meter::Chain;

/// How often it is looked for what is old.
const EVERY: Duration = Duration::from_secs(3600);
/// How many are removed at once.
const CHUNK: i64 = 1000;
/// The same of bodies, which are larger.
const BODIES: i64 = 100;
/// What others may use the database for between two chunks.
const BREATH: Duration = Duration::from_millis(20);

/// Forgets what is old, now and every hour, until the gateway stops.
pub async fn run(store: Store, days: u32, counts: Arc<RowCounts>, jobs: Jobs, now: fn() -> i64) {
    loop {
        let round = async {
            match forget(&store, days, now()).await {
                Ok(pruned) => drop(counts.pruned.fetch_add(pruned, Ordering::Relaxed)),
                Err(error) => tracing::warn!(error = %Chain(&error), "old calls could not be removed from the log"),
            }
            tokio::time::sleep(EVERY).await;
        };
        tokio::select! {
            () = round => {}
            () = jobs.stopping() => return,
        }
    }
}

/// Forgets calls that are older than so many days at this time, in milliseconds since 1970, and their bodies; tells how many calls
/// that were.
pub async fn forget(store: &Store, days: u32, now: i64) -> Result<u64, StoreError> {
    let before = now.saturating_sub(i64::from(days).saturating_mul(DAY_MS));
    while captures::prune(store, before, BODIES).await? == BODIES as u64 {
        tokio::time::sleep(BREATH).await;
    }
    let mut calls = 0;
    loop {
        let removed = store.logbook().prune(before, CHUNK).await?;
        calls += removed;
        if removed < CHUNK as u64 {
            return Ok(calls);
        }
        tokio::time::sleep(BREATH).await;
    }
}
