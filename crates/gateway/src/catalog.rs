//! The catalog of this process: what the database held of a configuration when it was last read, and the job that reads it again
//! when its version has changed. Decides when; what it means is for [`crate::config_sources`]. Tests: `it/catalog.rs`.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use waypost_core::config::Catalog;
use waypost_store::seal::Dice;
use waypost_store::{Store, StoreError, Vault};

use crate::jobs::Jobs;
use crate::pipeline::meter::Chain;
use crate::reload::Orders;

/// How often the version is asked for: a write by another process is in effect this much later, at most.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The catalog as it was read last.
pub struct Feed {
    store: Store,
    vault: Arc<Vault>,
    version: AtomicI64,
    held: Mutex<Arc<Catalog>>,
}

impl Feed {
    /// Reads the catalog for the first time.
    pub async fn open(store: Store, vault: Arc<Vault>) -> Result<Self, StoreError> {
        let edition = store.catalog(&vault).await?;
        let (version, held) = (AtomicI64::new(edition.version), Mutex::new(Arc::new(edition.catalog)));
        Ok(Self { store, vault, version, held })
    }

    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Reads it again if its version has changed; says whether it had.
    pub async fn refresh(&self) -> Result<bool, StoreError> {
        if self.store.catalog_version().await? == self.version.load(Ordering::Acquire) {
            return Ok(false);
        }
        let edition = self.store.catalog(&self.vault).await?;
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(edition.catalog);
        self.version.store(edition.version, Ordering::Release);
        Ok(true)
    }

    /// Reads it whenever it has changed and has it taken into use, until the jobs are told to stop. A database that is away leaves
    /// everything as it is.
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
                    tracing::warn!(error = %Chain(&error), "the catalog cannot be read; what was read last stays in use");
                }
                Err(_) => {}
            }
        }
    }
}

/// Unpredictable bytes for one change; `None` if the operating system gives none.
pub fn dice() -> Option<Dice> {
    let mut seed = [0; 32];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut seed).ok()?;
    Some(Dice::seeded(seed))
}
