//! The job that reads again what this process knows of the database when another one has changed it, and has it taken into use.
//! Decides when, and what becomes of it while the database is away; what is read is for a [`Feed`]. Tests: `it/catalog.rs`,
//! `it/prices.rs`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use waypost_store::StoreError;

use crate::jobs::Jobs;
use crate::pipeline::meter::Chain;
use crate::reload::Orders;

/// How often others' writes are looked for: one is in effect this much later, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A part of the configuration that is in the database, as it was read last.
pub trait Feed: Send + Sync + 'static {
    /// What the log calls it.
    const NAME: &'static str;

    /// Reads it again if it has changed; says whether it had.
    fn refresh(&self) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// Reads it whenever it has changed and has it taken into use, until the jobs are told to stop. A database that is away leaves
/// everything as it is.
pub async fn follow<F: Feed>(feed: Arc<F>, orders: Orders, jobs: Jobs) {
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_away = false;
    loop {
        tokio::select! {
            () = jobs.stopping() => return,
            _ = look.tick() => {}
        }
        match feed.refresh().await {
            Ok(changed) => {
                is_away = false;
                if changed {
                    orders.tell_catalog();
                }
            }
            Err(error) if !is_away => {
                is_away = true;
                tracing::warn!(error = %Chain(&error), "{} cannot be read; what was read last stays in use", F::NAME);
            }
            Err(_) => {}
        }
    }
}
