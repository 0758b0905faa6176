//! What the database adds to a configuration that is looked at, as a start would find it. Decides when it is looked into, and what is
//! said where it is not; makes no database, no table and no key. Tests: `it/config_files.rs`.

use std::path::Path;
use std::sync::Arc;

use waypost_core::config::Config;
use waypost_store::{Place, Store};

use crate::app::unix_millis;
use crate::callers::are_there_any;
use crate::catalog::{Feed, dice};
use crate::cli::database::{Which, no_dice};
use crate::config_sources::{ConfigSource, Mistakes, Mode, variables};
use crate::master_key;
use crate::pipeline::meter::Chain;

/// Which parts of a configuration were looked at.
pub(super) enum Looked {
    /// The database, too: what it is called.
    Into(String),
    /// The file or the environment only, and why.
    Past(String),
}

/// Lays under a configuration what the database holds of it.
pub(super) async fn look_into(source: &mut ConfigSource, which: &Which) -> Result<Looked, Mistakes> {
    let mode = source.mode()?;
    if !mode.has_catalog() && !which.is_named() {
        return Ok(Looked::Past("in this mode it holds no part of the configuration".to_owned()));
    }
    let mut config = source.find()?.loaded.config;
    config.database = which.over(&config.database);
    if !which.is_named() {
        mode.check(&config.database)?;
    }
    let (place, name) = place(&config);
    if let Place::Sqlite(path) = &place
        && !Path::new(path).is_file()
    {
        return match which.is_named() {
            true => Err(vec![format!(
                "--database: there is no {name}; name the file of a database, or a postgres:// address"
            )]),
            false => Ok(Looked::Past(format!("there is no {name} yet; name another with DB_PATH or --database"))),
        };
    }
    match read(source, &config, &place).await {
        Ok(true) => Ok(Looked::Into(name)),
        Ok(false) => Ok(Looked::Past(format!("{name} holds nothing yet"))),
        Err(Unread::Away(why)) if mode == Mode::Auto && !which.is_named() => {
            Ok(Looked::Past(format!("{name} is away: {why}")))
        }
        Err(Unread::Away(why) | Unread::Refused(why)) => Err(vec![format!("{name} cannot be read: {why}")]),
    }
}

fn place(config: &Config) -> (Place, String) {
    match &config.database.url {
        Some(url) => {
            let connections = config.database.connections;
            (Place::Postgres { url: url.clone(), connections }, "the Postgres server".to_owned())
        }
        None => (Place::Sqlite(config.database.path.clone().into()), config.database.path.clone()),
    }
}

/// Why a database was not read.
enum Unread {
    Away(String),
    Refused(String),
}

/// Reads it; false if it is new.
async fn read(source: &mut ConfigSource, config: &Config, place: &Place) -> Result<bool, Unread> {
    let refused = |error: &dyn std::error::Error| Unread::Refused(Chain(error).to_string());
    let store = Store::connect(place).await.map_err(|error| Unread::Away(Chain(&error).to_string()))?;
    let version = store.version().await.map_err(|error| Unread::Away(Chain(&error).to_string()))?;
    if version.is_none() {
        return Ok(false);
    }
    if version < Some(Store::newest_version()) {
        let why =
            "its tables are of an older version; the next start brings them up to date, as `waypost migrate` does";
        return Err(Unread::Refused(why.to_owned()));
    }
    if are_there_any(&store, unix_millis()).await.map_err(|error| refused(&error))? {
        source.callers_are_elsewhere();
    }
    // Without a known id, a key would be made that seals nothing.
    if store.sealed_with().await.map_err(|error| refused(&error))?.is_none() {
        return Ok(true);
    }
    let variables = variables().map_err(|mistakes| Unread::Refused(mistakes.join("; ")))?;
    let mut dice = dice().ok_or_else(|| Unread::Refused(no_dice().join("; ")))?;
    let opened = master_key::open(&store, &master_key::source(config, &variables), &mut dice, unix_millis()).await;
    let (vault, _) = opened.map_err(|error| refused(&error))?;
    let feed = Feed::open(store, vault).await.map_err(|error| refused(&error))?;
    source.lay_under(Arc::new(feed));
    Ok(true)
}
