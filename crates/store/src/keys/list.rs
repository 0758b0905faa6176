//! Finding keys: one, a page, or all with the hashes of their texts. Tests: `tests/it/keys.rs`.

use sqlx::AssertSqlSafe;

use super::row::{HOLDERS, SELECT, holder, key, text};
use super::{Holder, Key, Text};
use crate::page::{Cursor, Listing, Page, Scope, Value};
use crate::{Store, StoreError};

/// Which keys a list shows; all that are given must fit.
#[derive(Clone, Debug, Default)]
pub struct Filter<'a> {
    pub user: Option<&'a str>,
    pub team: Option<&'a str>,
    pub plan: Option<&'a str>,
    /// Those that were revoked, too.
    pub revoked: bool,
}

/// The key of this id within the scope, revoked or not.
pub async fn get(store: &Store, scope: &Scope, id: &str) -> Result<Key, StoreError> {
    listing(scope).only("k.id = $", id).one(store, key).await
}

/// A page of keys within the scope, the newest first.
pub async fn page(
    store: &Store,
    scope: &Scope,
    filter: &Filter<'_>,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Page<Key>, StoreError> {
    let listing = listing(scope)
        .only_if("user_id = $", filter.user)
        .only_if("team_id = $", filter.team)
        .only_if("plan_id = $", filter.plan)
        .only_if("(k.revoked_at is null or $ = 1)", Some(i64::from(filter.revoked)));
    listing.page(store, after, limit, key, |key| Cursor { at: key.created_at, id: key.id.clone() }).await
}

/// Is there a key that calls with it are let in?
pub async fn is_any_usable(store: &Store, now: i64) -> Result<bool, StoreError> {
    let sql = "select id from keys where enabled = 1 and revoked_at is null and (expires_at is null or expires_at > $1) \
               limit 1";
    Ok(sqlx::query(sql).bind(now).fetch_optional(store.reader()).await?.is_some())
}

/// At most `limit` keys that are not revoked, in the order of their ids, after one of them; for reading all.
pub async fn holders(store: &Store, after: &str, limit: i64) -> Result<Vec<Holder>, StoreError> {
    let sql = format!("{HOLDERS} where k.id > $1 and k.revoked_at is null order by k.id limit $2");
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(after.to_owned()).bind(limit).fetch_all(store.reader()).await?;
    rows.iter().map(holder).collect()
}

/// The keys that are not revoked and that a change of this row touches; `noun` is `key`, `user`, `team` or `plan`.
pub async fn holders_of(store: &Store, noun: &str, id: &str) -> Result<Vec<Holder>, StoreError> {
    let condition = match noun {
        "key" => "k.id = $",
        "user" => "k.user_id = $",
        "team" => "k.team_id = $",
        "plan" => "$ in (k.plan_id, p.plan, t.plan)",
        _ => return Ok(Vec::new()),
    };
    let listing = Listing::of(HOLDERS).only(condition, Value::Text(id.to_owned()));
    listing.only_if("(k.revoked_at is null or $ = 0)", Some(1)).rows(store, holder).await
}

/// The texts of the keys from one id to another, both included.
pub async fn texts_between(store: &Store, first: &str, last: &str) -> Result<Vec<Text>, StoreError> {
    const SQL: &str = "select hash, key_id, created_at, valid_until from key_secrets where key_id >= $1 and key_id <= $2 \
         order by key_id, created_at";
    let rows = sqlx::query(SQL).bind(first.to_owned()).bind(last.to_owned()).fetch_all(store.reader()).await?;
    rows.iter().map(text).collect()
}

/// The texts of one key, the oldest first.
pub async fn texts(store: &Store, id: &str) -> Result<Vec<Text>, StoreError> {
    texts_between(store, id, id).await
}

fn listing(scope: &Scope) -> Listing {
    Listing::of(SELECT).within(scope, "team_id = $", "user_id = $")
}
