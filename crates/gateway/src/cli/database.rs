//! The database that a command works on: the one that the configuration names, or another. Decides which; prints nothing.
//! Tests: `it/transfer.rs`, against the built binary.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use waypost_core::config::{Config, Database};
use waypost_core::secret::Secret;
use waypost_store::{Place, Store, Vault};

use crate::catalog::dice;
use crate::config_sources::{ConfigSource, Mistakes, Wanted, variables};
use crate::master_key;
use crate::pipeline::meter::Chain;

/// Which database.
#[derive(Args, Clone, Debug)]
pub struct Which {
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
    /// Was one named?
    pub(crate) fn is_named(&self) -> bool {
        self.database.is_some()
    }

    /// The one that was named, or the one of the configuration.
    pub(crate) fn over(&self, config: &Database) -> Database {
        self.database.as_deref().map_or_else(|| config.clone(), |text| named(text, config))
    }

    /// Opens it, and makes none where there is none.
    pub(super) async fn existing(&self, wanted: Wanted) -> Result<Connected, Mistakes> {
        let config = ConfigSource::new(wanted.clone(), [0; 24]).find()?.loaded.config;
        let Database { url, path, .. } = self.over(&config.database);
        if url.is_none() && !Path::new(&path).is_file() {
            return Err(vec![format!("database.path: there is no {path}; name the file with DB_PATH or --database")]);
        }
        self.connect(wanted).await
    }

    /// Opens it, and changes nothing.
    pub(super) async fn connect(&self, wanted: Wanted) -> Result<Connected, Mistakes> {
        let mut config = ConfigSource::new(wanted, [0; 24]).find()?.loaded.config;
        config.database = self.over(&config.database);
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
        connected.store.migrate(now()).await.map_err(|error| failed(&error))?;
        let source = master_key::source(&connected.config, &variables()?);
        let mut dice = dice().ok_or_else(no_dice)?;
        let opened = master_key::open(&connected.store, &source, &mut dice, now()).await;
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

/// Milliseconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn no_dice() -> Mistakes {
    vec!["the operating system gives no random numbers".to_owned()]
}
