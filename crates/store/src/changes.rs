//! The log of what was changed, for processes that keep rows in memory. Triggers write it, so that no writer can forget to.
//! Numbers are seen in order: writers wait for one another at the counter. Tests: `tests/it/changes.rs`, on both databases.

use sqlx::Row as _;

use crate::{Store, StoreError};

/// One change of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub number: i64,
    /// `key`, `user`, `team`, `plan`, `price`, `capture`, `account` or `budget`.
    pub noun: String,
    pub id: String,
}

/// What happened after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Since {
    /// These, in order; perhaps none.
    Changes(Vec<Change>),
    /// More than is kept or wanted: everything has to be read again.
    TooMuch,
}

impl Store {
    /// The number of the last change.
    pub async fn last_change(&self) -> Result<i64, StoreError> {
        let row = sqlx::query("select number from change_counter where one = 1").fetch_one(self.reader()).await?;
        Ok(row.try_get(0)?)
    }

    /// What was changed after the change of this number, if it is no more than `most`.
    pub async fn changes_since(&self, number: i64, most: i64) -> Result<Since, StoreError> {
        const SQL: &str = "select number, noun, id from changes where number > $1 order by number limit $2";
        let rows = sqlx::query(SQL).bind(number).bind(most.saturating_add(1)).fetch_all(self.reader()).await?;
        let changes =
            rows.iter().map(|row| Ok(Change { number: row.try_get(0)?, noun: row.try_get(1)?, id: row.try_get(2)? }));
        let changes = changes.collect::<Result<Vec<Change>, StoreError>>()?;
        let gap = changes.first().is_some_and(|first| first.number != number.saturating_add(1));
        let many = i64::try_from(changes.len()).is_ok_and(|count| count > most);
        Ok(if gap || many { Since::TooMuch } else { Since::Changes(changes) })
    }

    /// Forgets all but the last `kept` changes.
    pub async fn forget_changes(&self, kept: i64) -> Result<(), StoreError> {
        const SQL: &str = "delete from changes where number <= (select number from change_counter where one = 1) - $1";
        let mut tx = self.begin().await?;
        sqlx::query(SQL).bind(kept).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }
}
