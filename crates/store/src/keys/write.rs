//! Making, changing, rotating and revoking keys, within the scope of whoever does it and for the version that it was meant for.
//! Tests: `tests/it/keys.rs`.

use sqlx::any::AnyQueryResult;
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};

use super::row::{SELECT, kept, key};
use super::{Key, Limits, Owner, Scopes};
use crate::page::Scope;
use crate::{Store, StoreError};

/// A key to be made.
#[derive(Clone, Debug)]
pub struct New {
    /// `key_…`
    pub id: String,
    pub name: String,
    pub owner: Owner,
    pub plan: Option<String>,
    pub scopes: Scopes,
    pub limits: Limits,
    pub enabled: bool,
    pub expires_at: Option<i64>,
    /// `api`, or where it was imported from.
    pub origin: String,
    pub created_by: String,
    /// The SHA-256 of each text it is known by: one, unless it is imported in several spellings.
    pub hashes: Vec<[u8; 32]>,
    /// The end of the text, for lists.
    pub hint: String,
}

/// Makes a key. [`StoreError::Taken`] if one of its texts is already known.
pub async fn create(tx: &mut Transaction<'static, Any>, new: &New, now: i64) -> Result<Key, StoreError> {
    const SQL: &str = "insert into keys (id, name, hint, user_id, team_id, plan_id, models, model_groups, endpoints, addresses, rpm, \
         tpm, concurrency, tokens_per_day, enabled, expires_at, origin, created_at, created_by, revoked_at, version) values \
         ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, null, 1)";
    let Scopes { models, groups, endpoints, addresses } = &new.scopes;
    sqlx::query(SQL)
        .bind(new.id.clone())
        .bind(new.name.clone())
        .bind(new.hint.clone())
        .bind(new.owner.user.clone())
        .bind(new.owner.team.clone())
        .bind(new.plan.clone())
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
        .bind(new.origin.clone())
        .bind(now)
        .bind(new.created_by.clone())
        .execute(&mut **tx)
        .await?;
    for hash in &new.hashes {
        add_text(tx, &new.id, (hash, &new.hint), now).await?;
    }
    read(tx, &new.id).await
}

/// How many keys of a user are not revoked; of a team, if no user is named, those that are no user's.
pub async fn count(tx: &mut Transaction<'static, Any>, owner: &Owner) -> Result<i64, StoreError> {
    let (sql, id) = match (&owner.user, &owner.team) {
        (Some(user), _) => ("select count(*) from keys where user_id = $1 and revoked_at is null", user),
        (None, Some(team)) => {
            ("select count(*) from keys where team_id = $1 and user_id is null and revoked_at is null", team)
        }
        (None, None) => return Ok(0),
    };
    Ok(sqlx::query(sql).bind(id.clone()).fetch_one(&mut **tx).await?.try_get(0)?)
}

/// Changes a key to what is wanted, if it still has the version that `wanted` names. Id, origin and times stay, and a revoked key
/// stays as it is.
pub async fn change(tx: &mut Transaction<'static, Any>, scope: &Scope, wanted: &Key) -> Result<Key, StoreError> {
    const SQL: &str = "update keys set name = $2, user_id = $3, team_id = $4, plan_id = $5, models = $6, model_groups = $7, \
         endpoints = $8, addresses = $9, rpm = $10, tpm = $11, concurrency = $12, tokens_per_day = $13, enabled = $14, \
         expires_at = $15, version = version + 1 where id = $1 and version = $16";
    current(tx, scope, &wanted.id, Some(wanted.version)).await?;
    let Scopes { models, groups, endpoints, addresses } = &wanted.scopes;
    sqlx::query(SQL)
        .bind(wanted.id.clone())
        .bind(wanted.name.clone())
        .bind(wanted.owner.user.clone())
        .bind(wanted.owner.team.clone())
        .bind(wanted.plan.clone())
        .bind(kept(models.as_ref()))
        .bind(kept(groups.as_ref()))
        .bind(kept(endpoints.as_ref()))
        .bind(kept(addresses.as_ref()))
        .bind(wanted.limits.rpm)
        .bind(wanted.limits.tpm)
        .bind(wanted.limits.concurrency)
        .bind(wanted.limits.tokens_per_day)
        .bind(i64::from(wanted.enabled))
        .bind(wanted.expires_at)
        .bind(wanted.version)
        .execute(&mut **tx)
        .await
        .map(one)??;
    read(tx, &wanted.id).await
}

/// So many texts that a key had before work beside its present one; older ones end when there are more.
const MOST_OLD: i64 = 5;

/// Gives a key another text, by its hash and its end. Those it had work until `valid_until`, or until they would have stopped anyway.
pub async fn rotate(
    tx: &mut Transaction<'static, Any>,
    scope: &Scope,
    (id, version): (&str, Option<i64>),
    text: (&[u8; 32], &str),
    (now, valid_until): (i64, i64),
) -> Result<Key, StoreError> {
    const OVER: &str = "delete from key_secrets where key_id = $1 and valid_until <= $2";
    const OLD: &str =
        "update key_secrets set valid_until = $2 where key_id = $1 and (valid_until is null or valid_until > $2)";
    const TOO_OLD: &str = "delete from key_secrets where key_id = $1 and hash not in \
         (select hash from key_secrets where key_id = $1 order by created_at desc, hash limit $2)";
    const NEW: &str = "update keys set hint = $2, version = version + 1 where id = $1 and version = $3";
    let key = current(tx, scope, id, version).await?;
    let renewed = sqlx::query(NEW).bind(id.to_owned()).bind(text.1.to_owned()).bind(key.version);
    renewed.execute(&mut **tx).await.map(one)??;
    sqlx::query(OVER).bind(id.to_owned()).bind(now).execute(&mut **tx).await?;
    sqlx::query(OLD).bind(id.to_owned()).bind(valid_until).execute(&mut **tx).await?;
    sqlx::query(TOO_OLD).bind(id.to_owned()).bind(MOST_OLD).execute(&mut **tx).await?;
    add_text(tx, id, text, now).await?;
    read(tx, id).await
}

/// Ends a key for good; nothing brings it back. Doing it again changes nothing.
pub async fn revoke(
    tx: &mut Transaction<'static, Any>,
    scope: &Scope,
    (id, version): (&str, Option<i64>),
    now: i64,
) -> Result<Key, StoreError> {
    const SQL: &str = "update keys set revoked_at = $2, version = version + 1 where id = $1 and version = $3";
    let key = read(tx, id).await?;
    if !scope.holds(key.owner.user.as_deref(), key.owner.team.as_deref()) {
        return Err(StoreError::NotFound);
    }
    if key.revoked_at.is_some() {
        return Ok(key);
    }
    let key = current(tx, scope, id, version).await?;
    sqlx::query(SQL).bind(id.to_owned()).bind(now).bind(key.version).execute(&mut **tx).await.map(one)??;
    read(tx, id).await
}

/// Notes when keys were last used; a time before the one that is known changes nothing.
pub async fn note_uses(store: &Store, uses: &[(String, i64)]) -> Result<(), StoreError> {
    const SQL: &str = "insert into key_uses (key_id, last_used_at) values ($1, $2) on conflict (key_id) do update \
         set last_used_at = excluded.last_used_at where excluded.last_used_at > key_uses.last_used_at";
    let mut tx = store.begin().await?;
    for (id, at) in uses {
        sqlx::query(SQL).bind(id.clone()).bind(*at).execute(&mut *tx).await?;
    }
    Ok(tx.commit().await?)
}

/// Moves the keys of a user into the team that the user belongs to now.
pub async fn follow_user(tx: &mut Transaction<'static, Any>, user: &str, team: Option<&str>) -> Result<(), StoreError> {
    const SQL: &str = "update keys set team_id = $2, version = version + 1 where user_id = $1 and revoked_at is null";
    sqlx::query(SQL).bind(user.to_owned()).bind(team.map(str::to_owned)).execute(&mut **tx).await?;
    Ok(())
}

/// The key as it is, if it is in scope, of this version, and not revoked.
async fn current(
    tx: &mut Transaction<'static, Any>,
    scope: &Scope,
    id: &str,
    version: Option<i64>,
) -> Result<Key, StoreError> {
    let key = read(tx, id).await?;
    if key.revoked_at.is_some() || !scope.holds(key.owner.user.as_deref(), key.owner.team.as_deref()) {
        return Err(StoreError::NotFound);
    }
    if version.is_some_and(|version| version != key.version) { Err(StoreError::Stale) } else { Ok(key) }
}

/// One row was written, unless somebody else changed it since it was read.
fn one(written: AnyQueryResult) -> Result<(), StoreError> {
    if written.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Stale) }
}

async fn read(tx: &mut Transaction<'static, Any>, id: &str) -> Result<Key, StoreError> {
    let sql = format!("{SELECT} where k.id = $1");
    let row = sqlx::query(AssertSqlSafe(sql)).bind(id.to_owned()).fetch_one(&mut **tx).await?;
    key(&row)
}

async fn add_text(
    tx: &mut Transaction<'static, Any>,
    id: &str,
    (hash, hint): (&[u8; 32], &str),
    now: i64,
) -> Result<(), StoreError> {
    const SQL: &str =
        "insert into key_secrets (hash, key_id, hint, created_at, valid_until) values ($1, $2, $3, $4, null)";
    let row = sqlx::query(SQL).bind(hash.to_vec()).bind(id.to_owned()).bind(hint.to_owned()).bind(now);
    row.execute(&mut **tx).await?;
    Ok(())
}
