//! Opens the database that the configuration names. Decides the words for an owner whose database does not open.
//! Tests: `it/database.rs`, against the built binary.

use waypost_core::config::Database;
use waypost_store::{Place, Store, StoreError};

use super::StartError;
use crate::config_sources::Mode;
use crate::pipeline::meter::Chain;

/// Opens it and brings its tables up to date.
pub(super) async fn open(wanted: &Database, now: i64) -> Result<Store, StartError> {
    Store::open(&place(wanted), now).await.map_err(|error| StartError::one(words(wanted, &error)))
}

/// Where it is.
pub(super) fn place(wanted: &Database) -> Place {
    match &wanted.url {
        Some(url) => Place::Postgres { url: url.clone(), connections: wanted.connections },
        None => Place::Sqlite(wanted.path.clone().into()),
    }
}

/// Fails if this is not the database that the mode asks for.
pub(super) fn check_mode(wanted: &Database, mode: Mode) -> Result<(), StartError> {
    match (mode, &wanted.url) {
        (Mode::Sqlite, Some(_)) => Err(StartError::one(
            "--mode sqlite: DATABASE_URL or database.url names a Postgres server; leave it out, or use --mode postgres",
        )),
        (Mode::Postgres, None) => Err(StartError::one(
            "--mode postgres: no server is named; give its address in DATABASE_URL or database.url",
        )),
        (Mode::Sqlite | Mode::Postgres | Mode::Auto | Mode::Yaml | Mode::Json, _) => Ok(()),
    }
}

pub(super) fn words(wanted: &Database, error: &StoreError) -> String {
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
