//! Opens the database that the configuration names. Decides the words for an owner whose database does not open.
//! Tests: `it/database.rs`, against the built binary.

use std::sync::Arc;

use waypost_core::config::{Config, Database};
use waypost_store::money::Money;
use waypost_store::seal::KeyOrigin;
use waypost_store::{Place, Store, StoreError, Vault, VaultError};

use super::{StartError, eprint_lines};
use crate::app::App;
use crate::background::Background;
use crate::catalog::{Feed, dice};
use crate::config_sources::{ConfigSource, variables};
use crate::follow::follow;
use crate::jobs::Jobs;
use crate::pipeline::meter::Chain;
use crate::prices::PriceFeed;
use crate::{callers, ledger, master_key};

/// An open database with its secrets and, if the mode asks for it, its catalog.
pub(super) struct Opened {
    pub store: Store,
    /// Seals and opens what is secret in the database, and derives keys for chains and signatures.
    pub vault: Arc<Vault>,
    origin: KeyOrigin,
    catalog: Option<Arc<Feed>>,
    prices: Arc<PriceFeed>,
}

impl Opened {
    /// Says what the owner of the database has to know.
    pub(super) fn tell(&self) {
        if let Some(note) = master_key::note(&self.origin) {
            eprint_lines(&[note]);
        }
    }

    /// Gives the app what it opened, and has changes of the catalog and of prices taken into use.
    pub(super) fn follow(&self, app: &App, jobs: &Jobs) {
        let _ = app.vault.set(Arc::clone(&self.vault));
        let _ = app.prices.set(Arc::clone(&self.prices));
        jobs.spawn("prices", follow(Arc::clone(&self.prices), app.reloads.clone(), jobs.clone()));
        if let Some(feed) = &self.catalog {
            let _ = app.catalog.set(Arc::clone(feed));
            jobs.spawn("catalog", follow(Arc::clone(feed), app.reloads.clone(), jobs.clone()));
        }
    }
}

impl Opened {
    /// Opens the books. `random` must be unpredictable.
    pub(super) async fn money(&self, config: &Config, random: u128) -> Result<Money, StartError> {
        let opened = ledger::open(config, &self.store, &self.vault, random).await;
        let (money, replayed) = opened.map_err(|error| {
            let folder = ledger::folder(config, &self.store);
            StartError::one(format!("ledger.journal: {}: {}", folder.display(), Chain(&error)))
        })?;
        if replayed.unknown > 0 {
            tracing::warn!(
                requests = replayed.unknown,
                "requests were running when the process before ended; they are settled"
            );
        }
        if replayed.behind_anchor {
            tracing::error!(
                "the database is older than the journal: was a backup put back? See `waypost ledger verify`"
            );
        }
        Ok(money)
    }
}

/// Opens the database that the configuration names, and lays what it holds under the configuration.
pub(super) async fn prepare(
    source: &mut ConfigSource,
    background: &Background,
    now: i64,
) -> Result<Opened, StartError> {
    let mode = source.mode().map_err(StartError)?;
    let found = match (source.find(), source.find_last_good()) {
        (Ok(found), _) => found,
        // What is wrong with the present one is said by whoever starts with it.
        (Err(_), Some(Ok(found))) if !source.is_strict() => found,
        (Err(mistakes), _) => return Err(StartError(mistakes)),
    };
    let config = &found.loaded.config;
    mode.check(&config.database).map_err(StartError)?;
    let store = open(&config.database, background, now).await?;
    let key = master_key::source(config, &variables().map_err(StartError)?);
    let mut dice = dice().ok_or_else(|| StartError::one("the operating system gives no random numbers"))?;
    let opened = master_key::open(&store, &key, &mut dice, now).await;
    let (vault, origin) = opened.map_err(|error| match &error {
        VaultError::Seal(error) => StartError::one(error.to_string()),
        VaultError::Store(error) => StartError::one(words(&config.database, error)),
    })?;
    let prices = PriceFeed::open(store.clone()).await;
    let prices = Arc::new(prices.map_err(|error| StartError::one(words(&config.database, &error)))?);
    source.lay_prices(Arc::clone(&prices));
    let somebody = callers::are_there_any(&store, now).await;
    if somebody.map_err(|error| StartError::one(words(&config.database, &error)))? {
        source.callers_are_elsewhere();
    }
    let mut catalog = None;
    if mode.has_catalog() {
        let feed = Feed::open(store.clone(), Arc::clone(&vault)).await;
        let feed = Arc::new(feed.map_err(|error| StartError::one(words(&config.database, &error)))?);
        source.lay_under(Arc::clone(&feed));
        catalog = Some(feed);
    }
    Ok(Opened { store, vault, origin, catalog, prices })
}

/// Opens it and brings its tables up to date. An embedded one has threads of its own, which are to be as nice as the
/// background; connections to a server belong to the runtime that opened them, which is to be that of requests.
async fn open(wanted: &Database, background: &Background, now: i64) -> Result<Store, StartError> {
    let place = place(wanted);
    let opened = match place {
        Place::Postgres { .. } => Store::open(&place, now).await,
        Place::Sqlite(_) => background
            .run(async move { Store::open(&place, now).await })
            .await
            .map_err(|error| StartError::one(format!("the database cannot be opened: {error}")))?,
    };
    opened.map_err(|error| StartError::one(words(wanted, &error)))
}

/// Where it is.
fn place(wanted: &Database) -> Place {
    match &wanted.url {
        Some(url) => Place::Postgres { url: url.clone(), connections: wanted.connections },
        None => Place::Sqlite(wanted.path.clone().into()),
    }
}

fn words(wanted: &Database, error: &StoreError) -> String {
    let (key, name) = match &wanted.url {
        // The address may hold a password.
        Some(_) => ("database.url", "the Postgres server"),
        None => ("database.path", wanted.path.as_str()),
    };
    let fix = match (error, &wanted.url) {
        (StoreError::File { .. }, _) => "; choose a place that can be written with DB_PATH or database.path",
        (StoreError::Unavailable(_), Some(_)) => "; start the server, or correct DATABASE_URL or database.url",
        (StoreError::Unavailable(_), None) => {
            "; stop the other process that holds it, or choose another file with DB_PATH"
        }
        (StoreError::Query(_), Some(_)) => {
            "; check the address in DATABASE_URL or database.url, and what its user may do"
        }
        _ => "",
    };
    format!("{key}: {name} cannot be used: {}{fix}", Chain(error))
}
