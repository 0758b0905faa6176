//! Making, changing, rotating and revoking keys. Every change names the version it was made for. Tests: `tests/it/keys.rs`.

use sqlx::any::AnyQueryResult;
use sqlx::{Any, AssertSqlSafe, Transaction};

use super::row::{COLUMNS, FROM, kept, key};
use super::{Key, KeyLimits, Keys, Owner, Scopes};
use crate::StoreError;

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    pub id: String,
    pub name: String,
    pub owner: Owner,
    pub plan: Option<String>,
    pub scopes: Scopes,
    pub limits: KeyLimits,
    pub enabled: bool,
    pub expires_at: Option<i64>,
    pub origin: String,
    pub created_by: String,
    /// The SHA-256 of each text it is known by: one, unless it is imported in several spellings.
    pub hashes: Vec<[u8; 32]>,
    pub hint: String,
}

/// What of a key can be changed; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct KeyChange {
    pub name: Option<String>,
    pub owner: Option<Owner>,
    pub plan: Option<Option<String>>,
    pub scopes: Option<Scopes>,
    pub limits: Option<KeyLimits>,
    pub enabled: Option<bool>,
    pub expires_at: Option<Option<i64>>,
}

impl Keys<'_> {
    /// Makes a key. [`StoreError::Taken`] if one of its texts is already known.
    pub async fn create(&self, new: &NewKey, now: i64) -> Result<Key, StoreError> {
        let mut tx = self.store.begin().await?;
        insert(&mut tx, new, now).await?;
        let made = read(&mut tx, &new.id).await?;
        tx.commit().await?;
        made.ok_or(StoreError::NotFound)
    }

    /// Makes many keys, all or none.
    pub async fn create_all(&self, new: &[NewKey], now: i64) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        for key in new {
            insert(&mut tx, key, now).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Changes a key that has this version, or whatever version if none is named. A revoked key stays as it is.
    pub async fn change(&self, id: &str, version: Option<i64>, change: &KeyChange) -> Result<Key, StoreError> {
        const SQL: &str = "update keys set name = $2, user_id = $3, team_id = $4, plan_id = $5, models = $6, model_groups = $7, \
             endpoints = $8, addresses = $9, rpm = $10, tpm = $11, concurrency = $12, tokens_per_day = $13, enabled = $14, \
             expires_at = $15, version = version + 1 where id = $1 and version = $16";
        let mut tx = self.store.begin().await?;
        let mut key = current(&mut tx, id, version).await?;
        change.clone().apply(&mut key);
        let Scopes { models, groups, endpoints, addresses } = &key.scopes;
        sqlx::query(SQL)
            .bind(id)
            .bind(&key.name)
            .bind(key.owner.user.as_deref())
            .bind(key.owner.team.as_deref())
            .bind(key.plan.as_deref())
            .bind(kept(models.as_ref()))
            .bind(kept(groups.as_ref()))
            .bind(kept(endpoints.as_ref()))
            .bind(kept(addresses.as_ref()))
            .bind(key.limits.rpm)
            .bind(key.limits.tpm)
            .bind(key.limits.concurrency)
            .bind(key.limits.tokens_per_day)
            .bind(i64::from(key.enabled))
            .bind(key.expires_at)
            .bind(key.version)
            .execute(&mut *tx)
            .await
            .map(one)??;
        tx.commit().await?;
        key.version += 1;
        Ok(key)
    }

    /// Gives a key another text. Those it had before work until `valid_until`, or until they would have stopped anyway.
    pub async fn rotate(
        &self,
        id: &str,
        version: Option<i64>,
        (hash, hint): (&[u8; 32], &str),
        valid_until: i64,
        now: i64,
    ) -> Result<Key, StoreError> {
        const OLD: &str = "update key_secrets set valid_until = $2 where key_id = $1 and (valid_until is null or valid_until > $2)";
        const NEW: &str = "update keys set hint = $2, version = version + 1 where id = $1 and version = $3";
        let mut tx = self.store.begin().await?;
        let mut key = current(&mut tx, id, version).await?;
        sqlx::query("delete from key_secrets where key_id = $1 and valid_until <= $2").bind(id).bind(now).execute(&mut *tx).await?;
        sqlx::query(OLD).bind(id).bind(valid_until).execute(&mut *tx).await?;
        add_text(&mut tx, id, (hash, hint), now).await?;
        sqlx::query(NEW).bind(id).bind(hint).bind(key.version).execute(&mut *tx).await.map(one)??;
        tx.commit().await?;
        hint.clone_into(&mut key.hint);
        key.version += 1;
        Ok(key)
    }

    /// Ends a key for good; nothing brings it back. Doing it again changes nothing.
    pub async fn revoke(&self, id: &str, version: Option<i64>, now: i64) -> Result<Key, StoreError> {
        const SQL: &str = "update keys set revoked_at = $2, version = version + 1 where id = $1 and version = $3";
        let mut tx = self.store.begin().await?;
        let mut key = read(&mut tx, id).await?.ok_or(StoreError::NotFound)?;
        if key.revoked_at.is_some() {
            return Ok(key);
        }
        if version.is_some_and(|version| version != key.version) {
            return Err(StoreError::Stale);
        }
        sqlx::query(SQL).bind(id).bind(now).bind(key.version).execute(&mut *tx).await.map(one)??;
        tx.commit().await?;
        key.revoked_at = Some(now);
        key.version += 1;
        Ok(key)
    }

    /// Notes when keys were last used; a time before the one that is known changes nothing.
    pub async fn note_uses(&self, uses: &[(String, i64)]) -> Result<(), StoreError> {
        const SQL: &str = "insert into key_uses (key_id, last_used_at) values ($1, $2) on conflict (key_id) do update \
             set last_used_at = excluded.last_used_at where excluded.last_used_at > key_uses.last_used_at";
        let mut tx = self.store.begin().await?;
        for (id, at) in uses {
            sqlx::query(SQL).bind(id).bind(*at).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Moves the keys of a user into the team the user belongs to now.
    pub async fn follow_user(&self, user: &str, team: Option<&str>) -> Result<(), StoreError> {
        const SQL: &str = "update keys set team_id = $2, version = version + 1 where user_id = $1 and revoked_at is null";
        let mut tx = self.store.begin().await?;
        sqlx::query(SQL).bind(user).bind(team).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }
}

impl KeyChange {
    fn apply(self, key: &mut Key) {
        key.name = self.name.unwrap_or_else(|| std::mem::take(&mut key.name));
        key.owner = self.owner.unwrap_or_else(|| std::mem::take(&mut key.owner));
        key.plan = self.plan.unwrap_or_else(|| key.plan.take());
        key.scopes = self.scopes.unwrap_or_else(|| std::mem::take(&mut key.scopes));
        key.limits = self.limits.unwrap_or(key.limits);
        key.enabled = self.enabled.unwrap_or(key.enabled);
        key.expires_at = self.expires_at.unwrap_or(key.expires_at);
    }
}

/// The key as it is, if it is there, of this version, and not revoked.
async fn current(tx: &mut Transaction<'static, Any>, id: &str, version: Option<i64>) -> Result<Key, StoreError> {
    let key = read(tx, id).await?.filter(|key| key.revoked_at.is_none()).ok_or(StoreError::NotFound)?;
    if version.is_some_and(|version| version != key.version) {
        return Err(StoreError::Stale);
    }
    Ok(key)
}

/// One row was written, unless somebody else changed it since it was read.
fn one(written: AnyQueryResult) -> Result<(), StoreError> {
    if written.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Stale) }
}

async fn read(tx: &mut Transaction<'static, Any>, id: &str) -> Result<Option<Key>, StoreError> {
    let sql = format!("select {COLUMNS} {FROM} where k.id = $1");
    let row = sqlx::query(AssertSqlSafe(sql)).bind(id).fetch_optional(&mut **tx).await?;
    row.as_ref().map(key).transpose()
}

async fn insert(tx: &mut Transaction<'static, Any>, new: &NewKey, now: i64) -> Result<(), StoreError> {
    const SQL: &str = "insert into keys (id, name, hint, user_id, team_id, plan_id, models, model_groups, endpoints, addresses, rpm, \
         tpm, concurrency, tokens_per_day, enabled, expires_at, origin, created_at, created_by, revoked_at, version) values \
         ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, null, 1)";
    let Scopes { models, groups, endpoints, addresses } = &new.scopes;
    sqlx::query(SQL)
        .bind(&new.id)
        .bind(&new.name)
        .bind(&new.hint)
        .bind(new.owner.user.as_deref())
        .bind(new.owner.team.as_deref())
        .bind(new.plan.as_deref())
        .bind(kept(models.as_ref()))
        .bind(kept(groups.as_ref()))
        .bind(kept(endpoints.as_ref()))
        .bind(kept(addresses.as_ref()))
        .bind(new.limits.rpm)
        .bind(new.limits.tpm)
        .bind(new.limits.concurrency)
        .bind(new.limits.tokens_per_day)
        .bind(i64::from(new.enabled))
        .bind(new.expires_at)
        .bind(&new.origin)
        .bind(now)
        .bind(&new.created_by)
        .execute(&mut **tx)
        .await?;
    for hash in &new.hashes {
        add_text(tx, &new.id, (hash, &new.hint), now).await?;
    }
    Ok(())
}

async fn add_text(
    tx: &mut Transaction<'static, Any>,
    id: &str,
    (hash, hint): (&[u8; 32], &str),
    now: i64,
) -> Result<(), StoreError> {
    const SQL: &str = "insert into key_secrets (hash, key_id, hint, created_at, valid_until) values ($1, $2, $3, $4, null)";
    sqlx::query(SQL).bind(hash.to_vec()).bind(id).bind(hint).bind(now).execute(&mut **tx).await?;
    Ok(())
}
