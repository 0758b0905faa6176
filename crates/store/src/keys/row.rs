//! Keys from rows and to columns. Tests: `tests/it/keys.rs`.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{Holder, Key, Limits, Owner, Scopes, Text};
use crate::StoreError;

/// What [`key`] reads.
macro_rules! columns {
    () => {
        "k.id, k.name, k.hint, k.user_id, k.team_id, k.plan_id, k.models, k.model_groups, k.endpoints, k.addresses, k.rpm, k.tpm, \
         k.concurrency, k.tokens_per_day, k.enabled, k.expires_at, k.origin, k.created_at, k.created_by, k.revoked_at, \
         u.last_used_at, k.version"
    };
}

/// Keys with their last uses.
pub(super) const SELECT: &str = concat!("select ", columns!(), " from keys k left join key_uses u on u.key_id = k.id");
/// The same, with what their owners add.
pub(super) const HOLDERS: &str = concat!(
    "select ",
    columns!(),
    ", p.enabled, p.plan, t.enabled, t.plan from keys k left join key_uses u on u.key_id = k.id \
     left join users p on p.id = k.user_id left join teams t on t.id = k.team_id"
);

/// Of [`HOLDERS`].
pub(super) fn holder(row: &AnyRow) -> Result<Holder, StoreError> {
    let key = key(row)?;
    let enabled = |named: Option<&String>, at: usize| -> Result<bool, StoreError> {
        let enabled: Option<i64> = row.try_get(at)?;
        Ok(named.is_none() || enabled == Some(1))
    };
    Ok(Holder {
        owner_enabled: enabled(key.owner.user.as_ref(), 22)? && enabled(key.owner.team.as_ref(), 24)?,
        user_plan: row.try_get(23)?,
        team_plan: row.try_get(25)?,
        key,
    })
}

pub(super) fn key(row: &AnyRow) -> Result<Key, StoreError> {
    Ok(Key {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        hint: row.try_get(2)?,
        owner: Owner { user: row.try_get(3)?, team: row.try_get(4)? },
        plan: row.try_get(5)?,
        scopes: Scopes {
            models: list(row.try_get(6)?)?,
            groups: list(row.try_get(7)?)?,
            endpoints: list(row.try_get(8)?)?,
            addresses: list(row.try_get(9)?)?,
        },
        limits: Limits {
            rpm: row.try_get(10)?,
            tpm: row.try_get(11)?,
            concurrency: row.try_get(12)?,
            tokens_per_day: row.try_get(13)?,
        },
        enabled: row.try_get::<i64, _>(14)? != 0,
        expires_at: row.try_get(15)?,
        origin: row.try_get(16)?,
        created_at: row.try_get(17)?,
        created_by: row.try_get(18)?,
        revoked_at: row.try_get(19)?,
        last_used_at: row.try_get(20)?,
        version: row.try_get(21)?,
    })
}

/// Of `hash, key_id, created_at, valid_until`.
pub(super) fn text(row: &AnyRow) -> Result<Text, StoreError> {
    let hash: Vec<u8> = row.try_get(0)?;
    let key: String = row.try_get(1)?;
    let hash = <[u8; 32]>::try_from(hash).map_err(|_| {
        StoreError::Corrupt(format!("a hash of key `{key}` in key_secrets is not 32 bytes; revoke the key"))
    })?;
    Ok(Text { hash, key, created_at: row.try_get(2)?, valid_until: row.try_get(3)? })
}

fn list(text: Option<String>) -> Result<Option<Vec<String>>, StoreError> {
    let Some(text) = text else { return Ok(None) };
    let list = serde_json::from_str(&text);
    list.map(Some).map_err(|_| StoreError::Corrupt("a scope in keys is no JSON list of texts; set it again".to_owned()))
}

/// A list as it is kept.
pub(super) fn kept(list: Option<&Vec<String>>) -> Option<String> {
    list.map(|list| serde_json::json!(list).to_string())
}
