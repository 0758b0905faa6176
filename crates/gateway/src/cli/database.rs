//! The database that a command works on: the one that the configuration names, or another. Decides which; prints nothing.
//! Tests: `it/transfer.rs`, against the built binary.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use waypost_core::config::{Config, Database};
use waypost_core::secret::Secret;
use waypost_store::{Place, Store, Vault};

use crate::catalog::dice;
use crate::clock::unix_millis;
use crate::config_sources::{ConfigSource, Mistakes, Wanted, variables};
use crate::master_key;
use crate::pipeline::meter::Chain;

/// Which database.
#[derive(Args, Clone, Debug)]
pub(super) struct Which {
    /// The database: a file, or a postgres:// address [default: as the configuration says].
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

/// A database that is open as it is.
pub(super) struct Connected {
    pub store: Store,
    pub config: Config,
    /// What it is called.
    pub name: String,
}

impl Which {
    /// Opens it, and changes nothing.
    pub(super) async fn connect(&self, wanted: Wanted) -> Result<Connected, Mistakes> {
        let mut config = ConfigSource::new(wanted, [0; 24]).find()?.loaded.config;
        if let Some(text) = &self.database {
            config.database = named(text, &config.database);
        }
        let (place, name) = match &config.database.url {
            Some(url) => {
                let connections = config.database.connections;
                (Place::Postgres { url: url.clone(), connections }, "the Postgres server".to_owned())
            }
            None => (Place::Sqlite(PathBuf::from(&config.database.path)), config.database.path.clone()),
        };
        let store = Store::connect(&place).await;
        let store = store.map_err(|error| vec![format!("{name} cannot be used: {}", Chain(&error))])?;
        Ok(Connected { store, config, name })
    }

    /// Opens it, brings its tables up to date and opens its secrets.
    pub(super) async fn open(&self, wanted: Wanted) -> Result<(Connected, Arc<Vault>), Mistakes> {
        let connected = self.connect(wanted).await?;
        let failed =
            |error: &dyn std::error::Error| vec![format!("{} cannot be used: {}", connected.name, Chain(error))];
        connected.store.migrate(unix_millis()).await.map_err(|error| failed(&error))?;
        let source = master_key::source(&connected.config, &variables()?);
        let mut dice = dice().ok_or_else(no_dice)?;
        let opened = master_key::open(&connected.store, &source, &mut dice, unix_millis()).await;
        let (vault, origin) = opened.map_err(|error| failed(&error))?;
        if let Some(note) = master_key::note(&origin) {
            // Standard output may be a document.
            let _ = writeln!(std::io::stderr(), "{note}");
        }
        Ok((connected, vault))
    }
}

fn named(text: &str, config: &Database) -> Database {
    let is_server = text.starts_with("postgres://") || text.starts_with("postgresql://");
    if is_server {
        return Database { url: Some(Secret::new(text)), ..config.clone() };
    }
    let path = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:")).unwrap_or(text);
    Database { url: None, path: path.to_owned(), ..config.clone() }
}

pub(super) fn no_dice() -> Mistakes {
    vec!["the operating system gives no random numbers".to_owned()]
}
