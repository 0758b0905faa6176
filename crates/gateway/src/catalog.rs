//! The catalog of this process: what the database held of a configuration when it was last read. Decides whether it has changed; when
//! that is looked at is for [`crate::follow`], what it means for [`crate::config_sources`]. Tests: `it/catalog.rs`.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use waypost_core::config::Catalog;
use waypost_store::seal::Dice;
use waypost_store::{Store, StoreError, Vault};

use crate::follow;

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
}

impl follow::Feed for Feed {
    const NAME: &'static str = "the catalog";

    /// Reads it again if its version has changed; says whether it had.
    async fn refresh(&self) -> Result<bool, StoreError> {
        if self.store.catalog_version().await? == self.version.load(Ordering::Acquire) {
            return Ok(false);
        }
        let edition = self.store.catalog(&self.vault).await?;
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(edition.catalog);
        self.version.store(edition.version, Ordering::Release);
        Ok(true)
    }
}

/// Unpredictable bytes for one change; `None` if the operating system gives none.
pub fn dice() -> Option<Dice> {
    let mut seed = [0; 32];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut seed).ok()?;
    Some(Dice::seeded(seed))
}
