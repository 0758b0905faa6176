//! The prices that were set while gateways ran, as this process knows them, and the job that reads them again when another process
//! has set one or taken it back. Decides when; what they mean is core's, and that files come before them. Tests: `it/prices.rs`.

use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use waypost_core::config::{PriceEntry, SetPrice};
use waypost_core::pricing::{Book, Version};
use waypost_store::changes::Since;
use waypost_store::prices::{self, PriceVersion};
use waypost_store::{Store, StoreError};

use crate::jobs::Jobs;
use crate::pipeline::meter::Chain;
use crate::reload::Orders;

/// How often others' writes are looked for: a price of another process is in effect this much later, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Up to so many changes are looked through; beyond, all prices are read again.
const MOST_CHANGES: i64 = 1000;

/// The prices as they were read last.
pub struct PriceFeed {
    store: Store,
    /// The number of the last change that was looked at. Held over reading, so that nothing older is put over something newer.
    change: Mutex<i64>,
    held: Lock<Vec<SetPrice>>,
}

impl PriceFeed {
    /// Reads them for the first time.
    pub async fn open(store: Store) -> Result<Self, StoreError> {
        let change = store.last_change().await?;
        let held = read_all(&store).await?;
        Ok(Self { store, change: Mutex::new(change), held: Lock::new(held) })
    }

    /// All of them; of two for the same from the same moment on, the first is meant.
    pub fn prices(&self) -> Vec<SetPrice> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads them again if one was set or taken back; says whether that was so.
    pub async fn refresh(&self) -> Result<bool, StoreError> {
        let mut change = self.change.lock().await;
        let (last, touched) = match self.store.changes_since(*change, MOST_CHANGES).await? {
            Since::Changes(changes) => {
                let touched = changes.iter().any(|change| change.noun == "price");
                (changes.last().map_or(*change, |last| last.number), touched)
            }
            Since::TooMuch => (self.store.last_change().await?, true),
        };
        if touched {
            let held = read_all(&self.store).await?;
            *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
        }
        *change = last;
        Ok(touched)
    }

    /// Reads them whenever they have changed and has them taken into use, until the jobs are told to stop. A database that is away
    /// leaves everything as it is.
    pub async fn run(self: Arc<Self>, orders: Orders, jobs: Jobs) {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_away = false;
        loop {
            tokio::select! {
                () = jobs.stopping() => return,
                _ = look.tick() => {}
            }
            match self.refresh().await {
                Ok(changed) => {
                    is_away = false;
                    if changed {
                        orders.tell_catalog();
                    }
                }
                Err(error) if !is_away => {
                    is_away = true;
                    tracing::warn!(error = %Chain(&error), "prices cannot be read; what was read last stays in use");
                }
                Err(_) => {}
            }
        }
    }
}

async fn read_all(store: &Store) -> Result<Vec<SetPrice>, StoreError> {
    let mut all = Vec::new();
    for version in prices::all(store).await? {
        match read(&version) {
            Ok((set, _)) => all.push(set),
            // It was checked when it was set, by another version of this program perhaps.
            Err(error) => tracing::warn!(price = version.id, error, "a price in the database means nothing here"),
        }
    }
    Ok(all)
}

/// The price of a row, and the version that records name.
pub fn read(version: &PriceVersion) -> Result<(SetPrice, Arc<Version>), String> {
    let entry = PriceEntry::parse(&version.body);
    let entry = entry.map_err(|errors| errors.first().map(ToString::to_string).unwrap_or_default())?;
    let set = SetPrice { entry, effective_at: version.effective_at };
    let version = Book::check(&set, "").map_err(|error| error.to_string())?;
    Ok((set, version))
}
