//! Callers' keys that are taken over with a catalog: known by the hashes of their texts, so that the second time changes nothing.
//! Decides what counts as the same key; how keys are kept is [`crate::keys`]'. Tests: `tests/it/catalog.rs`.

use sqlx::Row as _;

use super::{Changes, Put};
use crate::StoreError;
use crate::keys::{self, New};

impl Changes<'_> {
    /// Makes the key, with an id of its own, unless one of its texts is known: then only whether it is enabled is made so. A key that
    /// was revoked stays so.
    pub async fn put_key(&mut self, new: &New) -> Result<Put, StoreError> {
        let sql =
            "select k.id, k.enabled, k.revoked_at from key_secrets s join keys k on k.id = s.key_id where s.hash = $1";
        for hash in &new.hashes {
            let known = sqlx::query(sql).bind(hash.to_vec()).fetch_optional(&mut *self.tx).await?;
            let Some(row) = known else { continue };
            let id: String = row.try_get(0)?;
            let is_so = (row.try_get::<i64, _>(1)? != 0) == new.enabled;
            if is_so || row.try_get::<Option<i64>, _>(2)?.is_some() {
                return Ok(Put::Same { id });
            }
            let sql = "update keys set enabled = $1, version = version + 1 where id = $2";
            sqlx::query(sql).bind(i64::from(new.enabled)).bind(id.clone()).execute(&mut *self.tx).await?;
            return Ok(self.changed(id));
        }
        let new = New { id: self.dice.id("key"), ..new.clone() };
        keys::create(&mut self.tx, &new, self.now).await?;
        Ok(self.created(new.id))
    }
}
