//! Sees what has come to a mark and has it written down, and tells of what was written: a line of the log, a counter, a post
//! to the webhook. Nothing waits for it. What counts as raised once is the store's to decide. Tests: `it/alerts.rs`.

mod sight;
mod webhook;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use waypost_core::config;
use waypost_core::money::NanoUsd;
use waypost_store::alerts::{Alert, Kind, Owner, Sighting};
use waypost_store::{Store, StoreError};

pub use self::sight::{Sight, Usage};
pub use self::webhook::Webhook;
use crate::clock::unix_millis;
use crate::jobs::Jobs;
use crate::pipeline::meter::Chain;

const SECOND: i64 = 1000;
const HOUR: i64 = 3600 * SECOND;
const DAY: i64 = 24 * HOUR;
/// How often what was seen is written, and what was written is told.
const EVERY: Duration = Duration::from_secs(2);
/// How long another process leaves an alert to the one that tells of it.
const MINE: i64 = 60 * SECOND;
/// How many are told in one go.
const BATCH: i64 = 64;
/// The pause before an alert is posted again: doubled each time, and never longer than an hour.
const PAUSE: i64 = 10 * SECOND;
/// How often it is posted before it is given up: for about four hours.
const TRIES: i64 = 12;
/// Nobody is told of what is older, such as what was raised before there was a webhook.
const NEWS: i64 = DAY;
/// How long alerts are kept: 90 days.
const KEPT: i64 = 90 * DAY;
/// How far back changes of credit are looked for, because clocks differ.
const OVERLAP: i64 = 10 * SECOND;

/// How much was told.
#[derive(Debug, Default)]
pub struct Counts {
    kinds: [AtomicU64; Kind::ALL.len()],
    /// Posts that the webhook did not take, once for each try.
    pub failed: AtomicU64,
}

impl Counts {
    /// How many alerts of each kind this process told of.
    pub fn by_kind(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Kind::ALL.iter().zip(&self.kinds).map(|(kind, count)| (kind.name(), count.load(Ordering::Relaxed)))
    }

    fn count(&self, kind: &str) {
        let told = Kind::ALL.iter().zip(&self.kinds).find(|(known, _)| known.name() == kind);
        if let Some((_, count)) = told {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The alerts of one process.
pub struct Room {
    store: Store,
    settings: config::Alerts,
    sight: Arc<Sight>,
    counts: Arc<Counts>,
    webhook: Option<Webhook>,
    /// Since when changes of credit were looked for.
    seen: i64,
    pruned: i64,
}

impl Room {
    pub fn new(
        store: Store,
        settings: config::Alerts,
        (sight, counts): (Arc<Sight>, Arc<Counts>),
        webhook: Option<Webhook>,
    ) -> Self {
        Self { store, settings, sight, counts, webhook, seen: OVERLAP, pruned: 0 }
    }

    /// Does so until the jobs stop.
    pub async fn run(mut self, jobs: Jobs) {
        let mut beat = interval(EVERY);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut away = false;
        loop {
            let stopping = tokio::select! {
                _ = beat.tick() => false,
                () = jobs.stopping() => true,
            };
            let done = self.round(unix_millis(), &jobs).await;
            if let (Err(error), false) = (&done, away) {
                tracing::warn!(error = %Chain(error), "alerts cannot be written down; they are tried again");
            }
            away = done.is_err();
            if stopping {
                return;
            }
        }
    }

    /// Writes down what was seen, and tells of what is to be told. What the database did not take is tried the next time.
    pub async fn round(&mut self, now: i64, jobs: &Jobs) -> Result<(), StoreError> {
        self.write(now).await?;
        self.tell(now, jobs).await?;
        if now - self.pruned >= DAY {
            self.store.prune_alerts(now - KEPT).await?;
            self.pruned = now;
        }
        Ok(())
    }

    async fn write(&mut self, now: i64) -> Result<(), StoreError> {
        self.sum_up().await?;
        let sightings = self.sight.waiting();
        if let Err(error) = self.store.raise_alerts(&sightings, now).await {
            self.sight.put_back(sightings);
            return Err(error);
        }
        self.store.raise_credit_alerts(&self.settings.credit, self.seen - OVERLAP, now).await?;
        self.seen = now;
        Ok(())
    }

    /// What this process spent goes to what all have spent in the hour.
    async fn sum_up(&self) -> Result<(), StoreError> {
        let mut hours = self.sight.spent().into_iter();
        while let Some((hour, amount)) = hours.next() {
            let sum = match self.store.add_to_alert_sum(Kind::Cost, hour, amount).await {
                Ok(sum) => sum,
                Err(error) => {
                    std::iter::once((hour, amount))
                        .chain(hours)
                        .for_each(|(hour, amount)| self.sight.spend(hour, amount));
                    return Err(error);
                }
            };
            self.sight.hour_costs(hour, sum);
            let bound = i64::from(self.settings.cost_per_hour).saturating_mul(NanoUsd::USD.get());
            if bound > 0 && sum >= bound {
                self.sight.put_back(vec![Sighting {
                    kind: Kind::Cost,
                    subject: String::new(),
                    window_at: hour,
                    mark: 100,
                    reached: sum,
                    bound,
                    unit: "nano_usd",
                    owner: Owner::default(),
                }]);
            }
        }
        Ok(())
    }

    async fn tell(&self, now: i64, jobs: &Jobs) -> Result<(), StoreError> {
        for _ in 0..BATCH {
            // One by one: a post that fails costs no other alert one of its tries.
            let Some(alert) = self.store.take_alerts(now, now + MINE, 1).await?.pop() else { return Ok(()) };
            if alert.tries == 0 {
                self.counts.count(&alert.kind);
                let Alert { id, kind, subject, mark, reached, bound, unit, .. } = &alert;
                tracing::warn!(alert = %id, %kind, %subject, mark, reached, bound, %unit, "{}", words(&alert));
            }
            let Some(webhook) = self.webhook.as_ref().filter(|_| now - alert.created_at < NEWS) else {
                self.store.alert_told(&alert.id, 0, now).await?;
                continue;
            };
            let told = tokio::select! {
                told = webhook.post(&alert) => told,
                () = jobs.stopping() => return Ok(()),
            };
            let Err(reason) = told else {
                self.store.alert_told(&alert.id, 0, now).await?;
                continue;
            };
            self.counts.failed.fetch_add(1, Ordering::Relaxed);
            let again = (alert.tries + 1 < TRIES).then(|| now + (PAUSE << alert.tries.clamp(0, 10)).min(HOUR));
            tracing::warn!(alert = %alert.id, tries = alert.tries + 1, reason, again = again.is_some(), "the webhook does not take an alert");
            self.store.alert_told(&alert.id, again.unwrap_or(0), 0).await?;
            // The others would wait as long: their turn comes by itself.
            return Ok(());
        }
        Ok(())
    }
}

/// An alert in one sentence.
pub fn words(alert: &Alert) -> String {
    let Alert { subject, mark, reached, bound, .. } = alert;
    let usd = |nanos: i64| format!("{} USD", NanoUsd(nanos));
    let shown = |amount: i64| if alert.unit == "nano_usd" { usd(amount) } else { format!("{amount} {}", alert.unit) };
    let what = match Kind::parse(&alert.kind) {
        Some(Kind::Budget) => format!("the budget {subject} has come to"),
        Some(Kind::Credit) => format!("the credit of {subject} is used up to"),
        Some(Kind::KeyUsage) => format!("{subject} uses a limit of a minute up to"),
        Some(Kind::TokenQuota) => format!("{subject} has used its tokens of the day up to"),
        Some(Kind::Cost) => {
            return format!("the requests of this hour cost {}, more than {}", shown(*reached), shown(*bound));
        }
        None => format!("{subject} has come to"),
    };
    format!("{what} {mark} %: {} of {}", shown(*reached), shown(*bound))
}
