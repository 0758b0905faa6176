//! Writes what was worth telling into the database, a few seconds later and many at a time, and forgets what is old. Nothing waits
//! for it; while the database is away, what memory still holds is written later. Tests: `it/security.rs`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use waypost_store::security::SecurityEvent;
use waypost_store::{Store, StoreError, id};

use super::Incident;
use crate::app::App;
use crate::jobs::Jobs;

/// How long an incident may wait to be written.
const EVERY: Duration = Duration::from_secs(2);
/// How many rounds there are between two looks for what is old.
const ROUNDS: u32 = 1800;
/// How long events are kept: 90 days.
const KEPT_MILLIS: i64 = 90 * 86_400_000;

/// Keeps the log until the jobs stop.
pub async fn run(app: Arc<App>, store: Store, jobs: Jobs) {
    let mut keeper = Keeper { written: 0, round: 0, away: false };
    loop {
        let stopping = tokio::select! {
            () = sleep(EVERY) => false,
            () = jobs.stopping() => true,
        };
        keeper.round(&app, &store).await;
        if stopping {
            return;
        }
    }
}

/// Writes everything there is to write now; for tests.
pub async fn once(app: &App, store: &Store) {
    Keeper { written: 0, round: 0, away: false }.round(app, store).await;
}

struct Keeper {
    /// The number of the last incident that is in the database.
    written: u64,
    round: u32,
    away: bool,
}

impl Keeper {
    async fn round(&mut self, app: &App, store: &Store) {
        let done = self.write(app, store).await;
        if let (Err(error), false) = (&done, self.away) {
            tracing::warn!(%error, "the security log cannot be written; it is tried again");
        }
        self.away = done.is_err();
    }

    async fn write(&mut self, app: &App, store: &Store) -> Result<(), StoreError> {
        let incidents = app.security.after(self.written);
        if let Some(last) = incidents.last() {
            let events: Vec<_> = incidents.iter().map(|incident| event(app, incident)).collect();
            store.add_security_events(&events).await?;
            self.written = last.number;
        }
        if self.round.is_multiple_of(ROUNDS) {
            store.prune_security_events(app.unix_millis().saturating_sub(KEPT_MILLIS)).await?;
        }
        self.round = self.round.wrapping_add(1);
        Ok(())
    }
}

/// The id is the same however often it is written, and another one in another process.
fn event(app: &App, incident: &Arc<Incident>) -> SecurityEvent {
    SecurityEvent {
        id: id::new("sec", app.number_of_process(incident.number)),
        created_at: incident.at,
        kind: incident.kind.to_owned(),
        address: incident.address.map(|address| address.to_string()),
        key_name: incident.key.as_deref().map(str::to_owned),
        count: incident.count.into(),
        blocked_for: incident.blocked_for.and_then(|seconds| i64::try_from(seconds).ok()),
    }
}
