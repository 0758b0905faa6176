//! Opens the database that the configuration names. Decides the words for an owner whose database does not open.
//! Tests: `it/database.rs`, against the built binary.

use waypost_core::config::Database;
use waypost_store::{Place, Store, StoreError};

use super::StartError;
use crate::pipeline::meter::Chain;

/// Opens it and brings its tables up to date.
pub(super) async fn open(wanted: &Database, now: i64) -> Result<Store, StartError> {
    let place = match &wanted.url {
        Some(url) => Place::Postgres { url: url.clone(), connections: wanted.connections },
        None => Place::Sqlite(wanted.path.clone().into()),
    };
    Store::open(&place, now).await.map_err(|error| StartError::one(words(wanted, &error)))
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
