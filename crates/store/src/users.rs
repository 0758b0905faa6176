//! Users: who they are, what they are, and (apart from all else) the hash of their password. Decides how rows are kept, and
//! that there is always an owner left; what somebody may do is for core's roles. Tests: `tests/it/people.rs`.

use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};
use waypost_core::role::Role;
use waypost_core::secret::Secret;

use crate::page::{Cursor, Listing, Page, Scope};
use crate::{Store, StoreError, audit, invites};

/// Somebody who may sign in. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// `usr_…`
    pub id: String,
    pub created_at: i64,
    pub changed_at: i64,
    /// Grows with each change: the ETag.
    pub version: i64,
    /// As it was typed.
    pub email: String,
    pub name: String,
    /// In the team, if there is one; else in the whole instance.
    pub role: Role,
    pub team: Option<String>,
    pub plan: Option<String>,
    pub enabled: bool,
    /// Grows with whatever ends all sessions.
    pub generation: i64,
}

/// Somebody new.
#[derive(Clone, Debug)]
pub struct NewUser<'a> {
    pub id: &'a str,
    pub email: &'a str,
    pub name: &'a str,
    pub role: Role,
    pub team: Option<&'a str>,
    pub plan: Option<&'a str>,
    /// The hash, never the password.
    pub password: Option<&'a Secret>,
}

/// What is to be different; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct Change<'a> {
    pub name: Option<&'a str>,
    pub role: Option<Role>,
    pub team: Option<Option<&'a str>>,
    pub plan: Option<Option<&'a str>>,
    pub enabled: Option<bool>,
}

/// Which users a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter<'a> {
    pub team: Option<&'a str>,
    pub role: Option<Role>,
    pub enabled: Option<bool>,
    /// The beginning of an address.
    pub email: Option<&'a str>,
}

/// The form of an address that a login is found by.
pub fn login_of(email: &str) -> String {
    email.trim().to_lowercase()
}

const SELECT: &str =
    "select id, created_at, changed_at, version, email, name, role, team, plan, enabled, generation from users";

/// Adds somebody. An address that is there already is [`StoreError::Taken`].
pub async fn create(tx: &mut Transaction<'static, Any>, new: &NewUser<'_>, now: i64) -> Result<User, StoreError> {
    let user = User {
        id: new.id.to_owned(),
        created_at: now,
        changed_at: now,
        version: 1,
        email: new.email.trim().to_owned(),
        name: new.name.to_owned(),
        role: new.role,
        team: new.team.map(str::to_owned),
        plan: new.plan.map(str::to_owned),
        enabled: true,
        generation: 1,
    };
    sqlx::query(
        "insert into users
         (id, created_at, changed_at, version, email, login, name, role, team, plan, password, enabled, generation)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(user.id.clone())
    .bind(now)
    .bind(now)
    .bind(user.version)
    .bind(user.email.clone())
    .bind(login_of(&user.email))
    .bind(user.name.clone())
    .bind(user.role.name())
    .bind(user.team.clone())
    .bind(user.plan.clone())
    .bind(new.password.map(|hash| hash.expose().to_owned()))
    .bind(1_i64)
    .bind(user.generation)
    .execute(&mut **tx)
    .await?;
    Ok(user)
}

/// Changes somebody within the scope. With `version`, only if that is still the version. The last owner who can sign in
/// stays one. Another role or team, and being disabled, end all sessions, and take back the resets that were made for them and
/// whatever they made for others, as far as it was not used.
pub async fn change(
    tx: &mut Transaction<'static, Any>,
    scope: &Scope,
    id: &str,
    version: Option<i64>,
    change: &Change<'_>,
    now: i64,
) -> Result<User, StoreError> {
    let old = get_in(tx, scope, id).await?;
    if version.is_some_and(|version| version != old.version) {
        return Err(StoreError::Stale);
    }
    let mut new = old.clone();
    new.changed_at = now;
    new.version += 1;
    if let Some(name) = change.name {
        new.name = name.to_owned();
    }
    new.role = change.role.unwrap_or(old.role);
    new.enabled = change.enabled.unwrap_or(old.enabled);
    if let Some(team) = change.team {
        new.team = team.map(str::to_owned);
    }
    if let Some(plan) = change.plan {
        new.plan = plan.map(str::to_owned);
    }
    let ends_sessions = (old.role, &old.team) != (new.role, &new.team) || (old.enabled && !new.enabled);
    if rules(&old) && !rules(&new) {
        keep_an_owner(tx, id).await?;
    }
    // Other sessions may have been ended since it was read, which changes no version.
    let written = sqlx::query(
        "update users set changed_at = $1, version = $2, name = $3, role = $4, team = $5, plan = $6, enabled = $7,
         generation = generation + $8 where id = $9 and version = $10 returning generation",
    )
    .bind(new.changed_at)
    .bind(new.version)
    .bind(new.name.clone())
    .bind(new.role.name())
    .bind(new.team.clone())
    .bind(new.plan.clone())
    .bind(i64::from(new.enabled))
    .bind(i64::from(ends_sessions))
    .bind(id.to_owned())
    .bind(old.version)
    .fetch_optional(&mut **tx)
    .await?;
    new.generation = written.ok_or(StoreError::Stale)?.try_get(0)?;
    if ends_sessions {
        invites::forget_resets_of(tx, id).await?;
        invites::forget_made_by(tx, id).await?;
    }
    Ok(new)
}

/// Is this an owner of the whole instance who can sign in?
fn rules(user: &User) -> bool {
    user.role == Role::Owner && user.team.is_none() && user.enabled
}

async fn keep_an_owner(tx: &mut Transaction<'static, Any>, id: &str) -> Result<(), StoreError> {
    // Two owners who demote one another at the same time must not both succeed.
    audit::lock(tx).await?;
    let others: i64 =
        sqlx::query("select count(*) from users where role = 'owner' and team is null and enabled = 1 and id <> $1")
            .bind(id.to_owned())
            .fetch_one(&mut **tx)
            .await?
            .try_get(0)?;
    if others > 0 {
        return Ok(());
    }
    Err(StoreError::Refused("this is the last owner; make another user an owner first".to_owned()))
}

/// Nobody else changes the user until the transaction ends.
pub async fn lock(tx: &mut Transaction<'static, Any>, id: &str) -> Result<(), StoreError> {
    let sql = "update users set changed_at = changed_at where id = $1";
    sqlx::query(sql).bind(id.to_owned()).execute(&mut **tx).await?;
    Ok(())
}

/// Sets another password, which ends all sessions and all resets that were not used: gives the new generation.
pub async fn set_password(
    tx: &mut Transaction<'static, Any>,
    id: &str,
    hash: &Secret,
    now: i64,
) -> Result<i64, StoreError> {
    let row = sqlx::query(
        "update users set password = $1, changed_at = $2, version = version + 1, generation = generation + 1
         where id = $3 returning generation",
    )
    .bind(hash.expose().to_owned())
    .bind(now)
    .bind(id.to_owned())
    .fetch_one(&mut **tx)
    .await?;
    invites::forget_resets_of(tx, id).await?;
    Ok(row.try_get(0)?)
}

/// Takes the password away, with all sessions and all resets that were not used: gives the new generation.
pub async fn forget_password(tx: &mut Transaction<'static, Any>, id: &str, now: i64) -> Result<i64, StoreError> {
    let row = sqlx::query(
        "update users set password = null, changed_at = $1, version = version + 1, generation = generation + 1
         where id = $2 returning generation",
    )
    .bind(now)
    .bind(id.to_owned())
    .fetch_one(&mut **tx)
    .await?;
    invites::forget_resets_of(tx, id).await?;
    Ok(row.try_get(0)?)
}

/// Replaces the hash of the same password by one of today's cost; nothing else changes.
pub async fn renew_password(store: &Store, id: &str, old: &Secret, new: &Secret) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    sqlx::query("update users set password = $1 where id = $2 and password = $3")
        .bind(new.expose().to_owned())
        .bind(id.to_owned())
        .bind(old.expose().to_owned())
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

/// Ends all sessions of somebody: gives the new generation.
pub async fn end_sessions(tx: &mut Transaction<'static, Any>, id: &str, now: i64) -> Result<i64, StoreError> {
    let row =
        sqlx::query("update users set changed_at = $1, generation = generation + 1 where id = $2 returning generation")
            .bind(now)
            .bind(id.to_owned())
            .fetch_one(&mut **tx)
            .await?;
    Ok(row.try_get(0)?)
}

/// The same for somebody within the scope, and with `version` only if that is still theirs: gives them as they are now, and nobody
/// else changes them until the transaction ends.
pub async fn end_sessions_of(
    tx: &mut Transaction<'static, Any>,
    scope: &Scope,
    id: &str,
    version: Option<i64>,
    now: i64,
) -> Result<User, StoreError> {
    end_sessions(tx, id, now).await?;
    let user = get_in(tx, scope, id).await?;
    if version.is_some_and(|version| version != user.version) { Err(StoreError::Stale) } else { Ok(user) }
}

/// Somebody within the scope.
pub async fn get(store: &Store, scope: &Scope, id: &str) -> Result<User, StoreError> {
    listing(scope).only("id = $", id).one(store, read).await
}

async fn get_in(tx: &mut Transaction<'static, Any>, scope: &Scope, id: &str) -> Result<User, StoreError> {
    let row = sqlx::query(
        "select id, created_at, changed_at, version, email, name, role, team, plan, enabled, generation from users
         where id = $1",
    )
    .bind(id.to_owned())
    .fetch_one(&mut **tx)
    .await?;
    let user = read(&row)?;
    if scope.holds(Some(&user.id), user.team.as_deref()) { Ok(user) } else { Err(StoreError::NotFound) }
}

/// Whoever is somebody of a provider of identities.
pub async fn by_identity(store: &Store, issuer: &str, subject: &str) -> Result<Option<User>, StoreError> {
    let sql = format!("{SELECT} where id = (select user_id from identities where issuer = $1 and subject = $2)");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(issuer.to_owned()).bind(subject.to_owned());
    row.fetch_optional(store.reader()).await?.map(|row| read(&row)).transpose()
}

/// Whoever signs in with this address, and the hash of their password if they have one.
pub async fn by_login(store: &Store, email: &str) -> Result<Option<(User, Option<Secret>)>, StoreError> {
    let row = sqlx::query(
        "select id, created_at, changed_at, version, email, name, role, team, plan, enabled, generation, password
         from users where login = $1",
    )
    .bind(login_of(email))
    .fetch_optional(store.reader())
    .await?;
    row.map(|row| Ok((read(&row)?, row.try_get::<Option<String>, _>(11)?.map(Secret::new)))).transpose()
}

/// The hash of somebody's password.
pub async fn password(store: &Store, id: &str) -> Result<Option<Secret>, StoreError> {
    let row =
        sqlx::query("select password from users where id = $1").bind(id.to_owned()).fetch_one(store.reader()).await?;
    Ok(row.try_get::<Option<String>, _>(0)?.map(Secret::new))
}

/// A page of users within the scope, the newest first.
pub async fn page(
    store: &Store,
    scope: &Scope,
    filter: &Filter<'_>,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Page<User>, StoreError> {
    // `substr` rather than `like`: no sign in it has a meaning.
    let email = filter.email.map(login_of);
    let listing = listing(scope)
        .only_if("team = $", filter.team)
        .only_if("role = $", filter.role.map(Role::name))
        .only_if("enabled = $", filter.enabled.map(i64::from))
        .only_if("substr(login, 1, length($)) = $", email.as_deref());
    listing.page(store, after, limit, read, |user| Cursor { at: user.created_at, id: user.id.clone() }).await
}

/// Everybody, for what is kept in memory.
pub async fn all(store: &Store) -> Result<Vec<User>, StoreError> {
    Listing::of(SELECT).rows(store, read).await
}

/// Whoever changed at or after this time.
pub async fn changed_since(store: &Store, since: i64) -> Result<Vec<User>, StoreError> {
    Listing::of(SELECT).only("changed_at >= $", since).rows(store, read).await
}

/// Is there nobody yet?
pub async fn is_empty(store: &Store) -> Result<bool, StoreError> {
    Ok(sqlx::query("select id from users limit 1").fetch_optional(store.reader()).await?.is_none())
}

/// Is there an owner of the instance who may sign in?
pub async fn is_any_owner(store: &Store) -> Result<bool, StoreError> {
    let sql = "select id from users where role = 'owner' and team is null and enabled = 1 limit 1";
    Ok(sqlx::query(sql).fetch_optional(store.reader()).await?.is_some())
}

fn listing(scope: &Scope) -> Listing {
    Listing::of(SELECT).within(scope, "team = $", "id = $")
}

fn read(row: &AnyRow) -> Result<User, StoreError> {
    let (id, role): (String, String) = (row.try_get(0)?, row.try_get(6)?);
    let role = Role::from_name(&role)
        .ok_or_else(|| StoreError::Corrupt(format!("users.role of {id}: `{role}` is no role; correct the row")))?;
    Ok(User {
        id,
        created_at: row.try_get(1)?,
        changed_at: row.try_get(2)?,
        version: row.try_get(3)?,
        email: row.try_get(4)?,
        name: row.try_get(5)?,
        role,
        team: row.try_get(7)?,
        plan: row.try_get(8)?,
        enabled: row.try_get::<i64, _>(9)? != 0,
        generation: row.try_get(10)?,
    })
}
