//! The prices that were set while gateways ran, as this process knows them. Decides whether one was set or taken back; when that is
//! looked at is for [`crate::follow`], what they mean core's, and that files come before them. Tests: `it/prices.rs`.

use std::sync::{Arc, Mutex as Lock, PoisonError};

use tokio::sync::Mutex;
use waypost_core::config::{PriceEntry, SetPrice};
use waypost_core::pricing::{Book, Version};
use waypost_store::changes::Since;
use waypost_store::prices::{self, PriceVersion};
use waypost_store::{Store, StoreError};

use crate::follow;

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
}

impl follow::Feed for PriceFeed {
    const NAME: &'static str = "prices";

    /// Reads them again if one was set or taken back; says whether that was so.
    async fn refresh(&self) -> Result<bool, StoreError> {
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
