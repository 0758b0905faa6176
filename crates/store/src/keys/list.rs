//! Finding keys: one, a page, or all with the hashes of their texts. Tests: `tests/it/keys.rs`.

use sqlx::AssertSqlSafe;

use super::row::{COLUMNS, FROM, key, secret};
use super::{Key, KeySecret, Keys};
use crate::StoreError;

/// Which keys a list shows; all that are given must fit.
#[derive(Clone, Debug, Default)]
pub struct KeyFilter {
    pub user: Option<String>,
    pub team: Option<String>,
    pub plan: Option<String>,
    /// Those that were revoked, too.
    pub revoked: bool,
}

/// Where a page ended: keys are listed from the newest to the oldest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPlace {
    pub created_at: i64,
    pub id: String,
}

impl Keys<'_> {
    /// The key of this id, revoked or not.
    pub async fn get(&self, id: &str) -> Result<Option<Key>, StoreError> {
        let sql = format!("select {COLUMNS} {FROM} where k.id = $1");
        let row = sqlx::query(AssertSqlSafe(sql)).bind(id).fetch_optional(self.store.reader()).await?;
        row.as_ref().map(key).transpose()
    }

    /// At most `limit` keys after a place, the newest first.
    pub async fn list(
        &self,
        filter: &KeyFilter,
        after: Option<&KeyPlace>,
        limit: i64,
    ) -> Result<Vec<Key>, StoreError> {
        let mut sql = format!("select {COLUMNS} {FROM} where k.created_at <= $1 and (k.created_at < $1 or k.id < $2)");
        let texts = [("user_id", &filter.user), ("team_id", &filter.team), ("plan_id", &filter.plan)];
        let mut bound = Vec::new();
        for (column, text) in texts {
            if let Some(text) = text {
                bound.push(text.as_str());
                sql.push_str(&format!(" and k.{column} = ${}", bound.len() + 3));
            }
        }
        if !filter.revoked {
            sql.push_str(" and k.revoked_at is null");
        }
        sql.push_str(" order by k.created_at desc, k.id desc limit $3");
        // Greater than every id: these are ASCII.
        let (created_at, id) = after.map_or((i64::MAX, "~"), |place| (place.created_at, place.id.as_str()));
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(created_at).bind(id).bind(limit);
        for text in bound {
            query = query.bind(text);
        }
        let rows = query.fetch_all(self.store.reader()).await?;
        rows.iter().map(key).collect()
    }

    /// At most `limit` keys that are not revoked, in the order of their ids, after one of them; for reading all.
    pub async fn sweep(&self, after: &str, limit: i64) -> Result<Vec<Key>, StoreError> {
        let sql = format!("select {COLUMNS} {FROM} where k.id > $1 and k.revoked_at is null order by k.id limit $2");
        let rows = sqlx::query(AssertSqlSafe(sql)).bind(after).bind(limit).fetch_all(self.store.reader()).await?;
        rows.iter().map(key).collect()
    }

    /// The texts of the keys from one id to another, both included.
    pub async fn secrets_between(&self, first: &str, last: &str) -> Result<Vec<KeySecret>, StoreError> {
        const SQL: &str = "select hash, key_id, created_at, valid_until from key_secrets where key_id >= $1 and key_id <= $2 \
             order by key_id, created_at";
        let rows = sqlx::query(SQL).bind(first).bind(last).fetch_all(self.store.reader()).await?;
        rows.iter().map(secret).collect()
    }

    /// The texts of one key, the oldest first.
    pub async fn secrets(&self, id: &str) -> Result<Vec<KeySecret>, StoreError> {
        self.secrets_between(id, id).await
    }

    /// The ids of the keys of a user, a team or a plan that are not revoked.
    pub async fn ids(&self, filter: &KeyFilter) -> Result<Vec<String>, StoreError> {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = self.list(filter, after.as_ref(), 1000).await?;
            let Some(last) = page.last() else { return Ok(ids) };
            after = Some(KeyPlace { created_at: last.created_at, id: last.id.clone() });
            ids.extend(page.into_iter().map(|key| key.id));
        }
    }
}
