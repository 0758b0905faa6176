//! Where people, keys, usage and the ledger are kept. Decides form only. Tests are in `tests.rs` beside this.

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::bounded;
use crate::secret::Secret;

/// Where people, keys, usage and the ledger are kept: a file, or a Postgres server if `url` is given. Changing it needs a
/// restart.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// The file of the embedded database (SQLite). It and its folder are made if they are not there.
    pub path: String,
    /// A `postgres://USER:PASSWORD@HOST:PORT/DATABASE` address, for several gateways over one database.
    pub url: Option<Secret>,
    /// The most connections to a Postgres server.
    #[serde(deserialize_with = "bounded::<_, _, 2, 1000>")]
    #[schemars(range(min = 2, max = 1000))]
    pub connections: u32,
}

impl Default for Database {
    fn default() -> Self {
        Self { path: "./database/app.db".to_owned(), url: None, connections: 10 }
    }
}
