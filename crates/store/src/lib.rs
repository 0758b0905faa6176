//! Waypost's databases: SQLite, embedded, or Postgres, behind one set of queries.
//!
//! Decides how rows are kept; knows no HTTP and no policy. Times and dice are arguments. The same SQL text runs on both
//! databases: parameters are `$1` (but see `rows`), columns are integers, text and bytes, times are milliseconds since 1970.
//! Tests: `tests/it/`, every one on both databases.

pub mod alerts;
pub mod audit;
pub mod captures;
pub mod catalog;
pub mod changes;
pub mod digest;
mod error;
pub mod id;
pub mod identities;
pub mod invites;
pub mod journal;
pub mod keys;
pub mod ledger;
pub mod logbook;
pub mod meta;
mod migrate;
mod migrations;
pub mod money;
pub mod page;
pub mod plans;
pub mod prices;
mod rows;
pub mod seal;
pub mod security;
pub mod sessions;
pub mod teams;
pub mod users;
mod vault;

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyConnection, AnyPool, ConnectOptions as _, Connection as _, Executor as _, Transaction};
use tokio::time::timeout;
use waypost_core::secret::Secret;

pub use error::StoreError;
pub use migrate::Migrated;
pub use vault::{Rotated, Vault, VaultError};

/// How many connections read a SQLite file beside the one that writes.
const SQLITE_READERS: u32 = 4;
/// How long anybody waits for a free connection, or for another process's lock, before the database counts as away.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the database is.
#[derive(Clone, Debug)]
pub enum Place {
    /// A file; it and its folder are made if they are not there.
    Sqlite(PathBuf),
    /// A `postgres://` address; secret, because it may hold a password.
    Postgres { url: Secret, connections: u32 },
}

/// Writes that happen together or not at all.
pub type Tx = Transaction<'static, Any>;

/// The two databases that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// An open database with its tables up to date. Clones share connections.
#[derive(Clone, Debug)]
pub struct Store {
    kind: Kind,
    path: Option<PathBuf>,
    readers: AnyPool,
    writers: AnyPool,
}

impl Store {
    /// Opens the database and brings its tables up to date; `now` is in milliseconds since 1970.
    pub async fn open(place: &Place, now: i64) -> Result<Self, StoreError> {
        let store = Self::connect(place).await?;
        store.migrate(now).await?;
        Ok(store)
    }

    /// Opens the database as it is.
    pub async fn connect(place: &Place) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        match place {
            Place::Sqlite(path) => sqlite(path).await,
            Place::Postgres { url, connections } => postgres(url, *connections).await,
        }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The file of an embedded database.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Connections for queries that only read.
    pub fn reader(&self) -> &AnyPool {
        &self.readers
    }

    /// Begins a transaction that may write. On SQLite it holds the one writing connection and the file's write lock from its
    /// beginning, so that it cannot fail half-way for want of it.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>, StoreError> {
        Ok(match self.kind {
            Kind::Sqlite => self.writers.begin_with("BEGIN IMMEDIATE").await?,
            Kind::Postgres => self.writers.begin().await?,
        })
    }

    /// Lets go of every connection; for SQLite, the log is folded into the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writers.close().await;
    }
}

async fn sqlite(path: &Path) -> Result<Store, StoreError> {
    let path = std::path::absolute(path).map_err(|error| StoreError::file(path, error))?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| StoreError::file(folder, error))?;
    }
    make_private(&path)?;
    let url = |mode: &str| format!("sqlite://{}?mode={mode}", percent_encoded(&path));
    let writers = pool(&url("rw"), 1, &SQLITE_WRITER).await?;
    let readers = pool(&url("rw"), SQLITE_READERS, &SQLITE_READER).await?;
    Ok(Store { kind: Kind::Sqlite, path: Some(path), readers, writers })
}

/// The file holds hashes of keys and sealed secrets: only its owner may read it.
fn make_private(path: &Path) -> Result<(), StoreError> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(|error| StoreError::file(path, error))
}

async fn postgres(url: &Secret, connections: u32) -> Result<Store, StoreError> {
    let pool = pool(url.expose(), connections.max(2), &[]).await?;
    Ok(Store { kind: Kind::Postgres, path: None, readers: pool.clone(), writers: pool })
}

/// A commit is on the disk before it is answered: a segment of the journal goes once it is folded in, and grants, corrections and
/// revoked keys are nowhere else. All who write often do so in batches, so it is a few syncs a second and none in a request.
const SQLITE_WRITER: [&str; 5] = [
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA busy_timeout = 2000",
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",
];
const SQLITE_READER: [&str; 4] = [
    "PRAGMA busy_timeout = 2000",
    "PRAGMA query_only = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA mmap_size = 268435456",
];

async fn pool(url: &str, connections: u32, settings: &'static [&'static str]) -> Result<AnyPool, StoreError> {
    let options = AnyConnectOptions::from_str(url)?.disable_statement_logging();
    // A pool tries again and again and then only says that it took too long.
    let mut first =
        timeout(PATIENCE * 2, AnyConnection::connect_with(&options)).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
    for setting in settings {
        first.execute(*setting).await?;
    }
    first.close().await?;
    let pool = AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        // SQLite itself ends a transaction that a full disk refuses. The driver takes it for open ever after, and would begin
        // no other one: such a connection is left for a new one.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .after_connect(move |connection, _| {
            Box::pin(async move {
                for setting in settings {
                    connection.execute(*setting).await?;
                }
                Ok(())
            })
        })
        .connect_with(options)
        .await?;
    Ok(pool)
}

fn percent_encoded(path: &Path) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-_.~:\\".contains(byte);
    let text = path.to_string_lossy();
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if plain(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}
