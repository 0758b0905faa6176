//! Teams: tenants that know nothing of one another. Decides how rows are kept. Tests: `tests/it/people.rs`.

use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use crate::page::{Cursor, Listing, Page, Scope};
use crate::{Store, StoreError};

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    /// `team_…`
    pub id: String,
    pub created_at: i64,
    pub changed_at: i64,
    /// Grows with each change: the ETag.
    pub version: i64,
    pub name: String,
    /// For its users who have no plan of their own.
    pub plan: Option<String>,
    /// Nobody of a disabled team may call or sign in.
    pub enabled: bool,
}

/// What is to be different; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct Change<'a> {
    pub name: Option<&'a str>,
    pub plan: Option<Option<&'a str>>,
    pub enabled: Option<bool>,
}

const SELECT: &str = "select id, created_at, changed_at, version, name, plan, enabled from teams";

/// Adds a team. A name that is there already is [`StoreError::Taken`].
pub async fn create(
    tx: &mut Transaction<'static, Any>,
    id: &str,
    name: &str,
    plan: Option<&str>,
    now: i64,
) -> Result<Team, StoreError> {
    let (id, name, plan) = (id.to_owned(), name.to_owned(), plan.map(str::to_owned));
    let team = Team { id, created_at: now, changed_at: now, version: 1, name, plan, enabled: true };
    sqlx::query(
        "insert into teams (id, created_at, changed_at, version, name, plan, enabled) values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(team.id.clone())
    .bind(now)
    .bind(now)
    .bind(team.version)
    .bind(team.name.clone())
    .bind(team.plan.clone())
    .bind(1_i64)
    .execute(&mut **tx)
    .await?;
    Ok(team)
}

/// Changes a team within the scope. With `version`, only if that is still the version.
pub async fn change(
    tx: &mut Transaction<'static, Any>,
    scope: &Scope,
    id: &str,
    version: Option<i64>,
    change: &Change<'_>,
    now: i64,
) -> Result<Team, StoreError> {
    let row = sqlx::query("select id, created_at, changed_at, version, name, plan, enabled from teams where id = $1")
        .bind(id.to_owned())
        .fetch_one(&mut **tx)
        .await?;
    let old = read(&row)?;
    if !scope.holds(None, Some(id)) {
        return Err(StoreError::NotFound);
    }
    if version.is_some_and(|version| version != old.version) {
        return Err(StoreError::Stale);
    }
    let new = Team {
        changed_at: now,
        version: old.version + 1,
        name: change.name.map_or(old.name, str::to_owned),
        plan: change.plan.map_or(old.plan, |plan| plan.map(str::to_owned)),
        enabled: change.enabled.unwrap_or(old.enabled),
        ..old
    };
    let written = sqlx::query(
        "update teams set changed_at = $1, version = $2, name = $3, plan = $4, enabled = $5 where id = $6 and version = $7",
    )
    .bind(now)
    .bind(new.version)
    .bind(new.name.clone())
    .bind(new.plan.clone())
    .bind(i64::from(new.enabled))
    .bind(id.to_owned())
    .bind(old.version)
    .execute(&mut **tx)
    .await?;
    if written.rows_affected() == 1 { Ok(new) } else { Err(StoreError::Stale) }
}

/// A team within the scope.
pub async fn get(store: &Store, scope: &Scope, id: &str) -> Result<Team, StoreError> {
    listing(scope).only("id = $", id).one(store, read).await
}

/// A page of teams within the scope, the newest first.
pub async fn page(store: &Store, scope: &Scope, after: Option<&Cursor>, limit: u32) -> Result<Page<Team>, StoreError> {
    listing(scope).page(store, after, limit, read, |team| Cursor { at: team.created_at, id: team.id.clone() }).await
}

/// All teams, for what is kept in memory.
pub async fn all(store: &Store) -> Result<Vec<Team>, StoreError> {
    Listing::of(SELECT).rows(store, read).await
}

/// Whatever changed at or after this time.
pub async fn changed_since(store: &Store, since: i64) -> Result<Vec<Team>, StoreError> {
    Listing::of(SELECT).only("changed_at >= $", since).rows(store, read).await
}

fn listing(scope: &Scope) -> Listing {
    // A user owns no team: their own scope holds none.
    Listing::of(SELECT).within(scope, "id = $", "id = $")
}

fn read(row: &AnyRow) -> Result<Team, StoreError> {
    Ok(Team {
        id: row.try_get(0)?,
        created_at: row.try_get(1)?,
        changed_at: row.try_get(2)?,
        version: row.try_get(3)?,
        name: row.try_get(4)?,
        plan: row.try_get(5)?,
        enabled: row.try_get::<i64, _>(6)? != 0,
    })
}
