//! Brings a database's tables up to date: forward only, all steps or none, one process at a time, with a copy of an
//! embedded database made first. Decides when; what is done is in [`crate::migrations`]. Tests: `tests/it/migrate.rs`.

use std::path::PathBuf;

use sqlx::{Any, AssertSqlSafe, Connection as _, Executor as _, Row as _, Transaction};

use crate::migrations::{ALL, Migration};
use crate::{Kind, Store, StoreError, make_private};

/// What a migration did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// The steps taken, by name, in order; none if the tables were up to date.
    pub steps: Vec<&'static str>,
    /// Where an embedded database was copied to before it was changed.
    pub backup: Option<PathBuf>,
    /// The number of the last step, before and after.
    pub from: i64,
    pub to: i64,
}

/// Kept in every version: it is what tells one from another.
const HISTORY: &str = "create table if not exists migrations (
    number bigint primary key, name text not null, applied_at bigint not null)";

/// Any number that nothing else locks by.
const POSTGRES_LOCK: &str = "select pg_advisory_xact_lock(7161972)";

impl Store {
    /// Takes the steps that are missing. Doing it again does nothing.
    pub async fn migrate(&self, now: i64) -> Result<Migrated, StoreError> {
        self.migrate_to(i64::MAX, now).await
    }

    /// Takes the steps up to this number; for tests of upgrades.
    pub async fn migrate_to(&self, last: i64, now: i64) -> Result<Migrated, StoreError> {
        let mut tx = self.begin().await?;
        if self.kind() == Kind::Postgres {
            sqlx::query(POSTGRES_LOCK).execute(&mut *tx).await?;
        }
        sqlx::query(HISTORY).execute(&mut *tx).await?;
        let from = newest(&mut tx).await?;
        let known = Self::newest_version();
        if from > known {
            return Err(StoreError::Version(format!(
                "the database is of version {from}, this program knows versions up to {known}; use a newer program, or restore \
                 the copy made before the upgrade"
            )));
        }
        let backup = if missing(from, last).next().is_some() { self.copy(from).await? } else { None };
        let mut done = Migrated { backup, from, to: from, steps: Vec::new() };
        for step in missing(from, last) {
            let sql = match self.kind() {
                Kind::Sqlite => step.sqlite,
                Kind::Postgres => step.postgres,
            };
            sqlx::raw_sql(sql).execute(&mut *tx).await?;
            sqlx::query("insert into migrations (number, name, applied_at) values ($1, $2, $3)")
                .bind(step.number)
                .bind(step.name)
                .bind(now)
                .execute(&mut *tx)
                .await?;
            done.steps.push(step.name);
            done.to = step.number;
        }
        tx.commit().await?;
        Ok(done)
    }

    /// The number of the last step that this program knows.
    pub fn newest_version() -> i64 {
        ALL.last().map_or(0, |step| step.number)
    }

    /// The number of the last step taken; `None` if the database is new.
    pub async fn version(&self) -> Result<Option<i64>, StoreError> {
        let there = match self.kind() {
            Kind::Sqlite => "select count(*) from sqlite_master where type = 'table' and name = 'migrations'",
            Kind::Postgres => {
                "select count(*) from pg_tables where schemaname = current_schema() and tablename = 'migrations'"
            }
        };
        let tables: i64 = sqlx::query(there).fetch_one(self.reader()).await?.try_get(0)?;
        if tables == 0 {
            return Ok(None);
        }
        let row = sqlx::query("select coalesce(max(number), 0) from migrations").fetch_one(self.reader()).await?;
        Ok(Some(row.try_get(0)?))
    }

    /// Copies an embedded database that is of this version, unless it is new. For whoever holds its lock, so that it is of this
    /// version to the end: what the lock's transaction did so far is not in the copy.
    async fn copy(&self, number: i64) -> Result<Option<PathBuf>, StoreError> {
        let Some(path) = self.path() else { return Ok(None) };
        if self.version().await?.is_none() {
            return Ok(None);
        }
        let beside = |end: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".version-{number}.backup{end}"));
            PathBuf::from(name)
        };
        let (part, copy) = (beside(".part"), beside(""));
        let failed = |error| StoreError::file(&part, error);
        // One that was left by the end of a process.
        match std::fs::remove_file(&part) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        // SQLite fills a file that is empty, and leaves it as private as it is.
        make_private(&part)?;
        // The writing connection is in the transaction that holds the lock. One that reads sees what is committed.
        let mut connection = self.readers.acquire().await?.detach();
        connection.execute("PRAGMA query_only = OFF").await?;
        let text = part.to_string_lossy().replace('\'', "''");
        sqlx::raw_sql(AssertSqlSafe(format!("vacuum into '{text}'"))).execute(&mut connection).await?;
        connection.close().await?;
        std::fs::File::open(&part).and_then(|file| file.sync_all()).map_err(failed)?;
        // Whole or not at all; in the place of one of the same version, from a start that did not get further.
        std::fs::rename(&part, &copy).map_err(failed)?;
        Ok(Some(copy))
    }
}

fn missing(from: i64, last: i64) -> impl Iterator<Item = &'static Migration> {
    ALL.iter().filter(move |step| step.number > from && step.number <= last)
}

async fn newest(tx: &mut Transaction<'static, Any>) -> Result<i64, StoreError> {
    let row = sqlx::query("select coalesce(max(number), 0) from migrations").fetch_one(&mut **tx).await?;
    Ok(row.try_get(0)?)
}
