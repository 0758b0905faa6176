//! The security log: what requests did that was suspicious, one row for each time it was worth telling. Decides nothing; who
//! writes also prunes. Tests: `tests/it/security.rs`.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::page::{Cursor, Listing, Page};
use crate::{Store, StoreError};

/// Something suspicious that was worth telling.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SecurityEvent {
    /// `sec_…`
    pub id: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
    pub kind: String,
    pub address: Option<String>,
    pub key_name: Option<String>,
    pub count: i64,
    /// Seconds.
    pub blocked_for: Option<i64>,
}

/// Which events a list shows; what is absent is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityFilter {
    pub kind: Option<String>,
    pub address: Option<String>,
    pub key_name: Option<String>,
}

const SELECT: &str = "select id, created_at, kind, address, key_name, count, blocked_for from security_events";

impl Store {
    /// Adds events, all or none. One that is already there stays as it is.
    pub async fn add_security_events(&self, events: &[SecurityEvent]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for event in events {
            sqlx::query(
                "insert into security_events (id, created_at, kind, address, key_name, count, blocked_for)
                 values ($1, $2, $3, $4, $5, $6, $7) on conflict (id) do nothing",
            )
            .bind(event.id.as_str())
            .bind(event.created_at)
            .bind(event.kind.as_str())
            .bind(event.address.as_deref())
            .bind(event.key_name.as_deref())
            .bind(event.count)
            .bind(event.blocked_for)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The events of a filter, the newest first.
    pub async fn security_events(
        &self,
        filter: &SecurityFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<SecurityEvent>, StoreError> {
        let cursor = |event: &SecurityEvent| Cursor { at: event.created_at, id: event.id.clone() };
        Listing::of(SELECT)
            .only_if("kind = $", filter.kind.as_deref())
            .only_if("address = $", filter.address.as_deref())
            .only_if("key_name = $", filter.key_name.as_deref())
            .page(self, after, limit, read, cursor)
            .await
    }

    /// Forgets what is older. Says how much that was.
    pub async fn prune_security_events(&self, before: i64) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let pruned =
            sqlx::query("delete from security_events where created_at < $1").bind(before).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(pruned.rows_affected())
    }
}

fn read(row: &AnyRow) -> Result<SecurityEvent, StoreError> {
    Ok(SecurityEvent {
        id: row.try_get(0)?,
        created_at: row.try_get(1)?,
        kind: row.try_get(2)?,
        address: row.try_get(3)?,
        key_name: row.try_get(4)?,
        count: row.try_get(5)?,
        blocked_for: row.try_get(6)?,
    })
}
