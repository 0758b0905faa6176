//! What can go wrong with a database, sorted by what somebody can do about it. Shows no SQL and no values: causes are for
//! the log, through `source`. Tests: `tests/it/errors.rs`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why the database did not do what it was asked.
#[derive(Debug)]
pub enum StoreError {
    /// It cannot be reached, is locked by somebody else for too long, or is shutting down: later may be better.
    Unavailable(sqlx::Error),
    /// Something of that name, or with that secret, is already there.
    Taken(sqlx::Error),
    /// It was changed by somebody else since it was read.
    Stale,
    /// There is no such thing, or not for this tenant.
    NotFound,
    /// The disk is full.
    Full(sqlx::Error),
    /// What is in it cannot be right; the text says what, where and what to do.
    Corrupt(String),
    /// Its tables are of another version than this program's; the text says what to do.
    Version(String),
    /// What was asked for breaks a rule of the books; the text names the field and how to mend it.
    Refused(String),
    /// A file beside it cannot be used.
    File { path: PathBuf, source: io::Error },
    /// Anything else, which is a mistake of ours.
    Query(sqlx::Error),
}

impl StoreError {
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_path_buf(), source }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(_) => f.write_str("the database cannot be reached or is busy"),
            Self::Taken(_) => f.write_str("something of that name is already there"),
            Self::Stale => f.write_str("it was changed since it was read"),
            Self::NotFound => f.write_str("there is no such thing"),
            Self::Full(_) => f.write_str("the disk of the database is full"),
            Self::Corrupt(text) | Self::Version(text) | Self::Refused(text) => f.write_str(text),
            Self::File { path, .. } => write!(f, "{} cannot be used", path.display()),
            Self::Query(_) => f.write_str("the database refused a query"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unavailable(error) | Self::Taken(error) | Self::Full(error) | Self::Query(error) => Some(error),
            Self::File { source, .. } => Some(source),
            Self::Stale | Self::NotFound | Self::Corrupt(_) | Self::Version(_) | Self::Refused(_) => None,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match &error {
            E::RowNotFound => Self::NotFound,
            E::Io(_) | E::Tls(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed => Self::Unavailable(error),
            E::Database(told) if told.is_unique_violation() => Self::Taken(error),
            E::Database(told) => match told.code().as_deref().map(meaning) {
                Some(Meaning::Away) => Self::Unavailable(error),
                Some(Meaning::Full) => Self::Full(error),
                Some(Meaning::Corrupt) => Self::Corrupt(format!(
                    "the database file is damaged ({}); restore a backup, or copy what can be read with `sqlite3 FILE .recover`",
                    told.message()
                )),
                Some(Meaning::Other) | None => Self::Query(error),
            },
            _ => Self::Query(error),
        }
    }
}

enum Meaning {
    Away,
    Full,
    Corrupt,
    Other,
}

/// Codes of SQLite (<https://www.sqlite.org/rescode.html>; the low byte is the primary one) and of Postgres
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>; five characters).
fn meaning(code: &str) -> Meaning {
    match (code.len(), code) {
        // Connection exceptions, too many connections, shutting down, serialisation and deadlocks.
        (5, "53300" | "57P01" | "57P02" | "57P03" | "40001" | "40P01" | "55P03") => Meaning::Away,
        (5, "53100") => Meaning::Full,
        (5, "XX001" | "XX002") => Meaning::Corrupt,
        (5, _) if code.starts_with("08") => Meaning::Away,
        (5, _) => Meaning::Other,
        _ => match code.parse::<u32>().map(|number| number & 0xff) {
            Ok(5 | 6) => Meaning::Away,
            Ok(13) => Meaning::Full,
            Ok(11 | 26) => Meaning::Corrupt,
            Ok(_) | Err(_) => Meaning::Other,
        },
    }
}
