//! Sessions: one row from signing in to signing out. A refresh token has a half that stays and a half that changes with each
//! use; both are kept as hashes, so that an old one is known for what it is. Tests: `tests/it/people.rs`.

use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use crate::page::{Cursor, Listing, Page, Scope};
use crate::{Store, StoreError};

/// Somebody signed in somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// `ses_…`
    pub id: String,
    pub user: String,
    pub team: Option<String>,
    pub created_at: i64,
    /// The last sign of life: signing in, a refresh, or the end.
    pub changed_at: i64,
    /// Without a refresh before this it ends.
    pub expires_at: i64,
    pub ended_at: Option<i64>,
    pub ended_why: Option<String>,
    /// The user's generation when the session began; another one ends it.
    pub generation: i64,
    /// What the client called itself.
    pub agent: String,
    pub address: String,
}

/// The two hashes of a refresh token.
#[derive(Clone, Copy, Debug)]
pub struct Refresh<'a> {
    pub family: &'a str,
    pub current: &'a str,
}

/// What became of the use of a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It was the right one, and has been replaced.
    Done,
    /// It was used before, or the session has ended.
    Reused,
}

const SELECT: &str =
    "select id, user_id, team, created_at, changed_at, expires_at, ended_at, ended_why, generation, agent, address
     from sessions";

/// Adds a session.
pub async fn create(
    tx: &mut Transaction<'static, Any>,
    session: &Session,
    refresh: Refresh<'_>,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into sessions (id, user_id, team, created_at, changed_at, expires_at, generation, family_hash, refresh_hash,
         agent, address) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(session.id.clone())
    .bind(session.user.clone())
    .bind(session.team.clone())
    .bind(session.created_at)
    .bind(session.changed_at)
    .bind(session.expires_at)
    .bind(session.generation)
    .bind(refresh.family.to_owned())
    .bind(refresh.current.to_owned())
    .bind(session.agent.clone())
    .bind(session.address.clone())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends sessions of a user beyond so many that live, those first that have shown no life for longest; gives how many.
pub async fn end_oldest(
    tx: &mut Transaction<'static, Any>,
    user: &str,
    most: i64,
    now: i64,
) -> Result<u64, StoreError> {
    let ended = sqlx::query(
        "update sessions set ended_at = $1, ended_why = 'too many', changed_at = $1
         where user_id = $2 and ended_at is null and expires_at > $1 and id not in (select id from sessions
         where user_id = $2 and ended_at is null and expires_at > $1 order by changed_at desc, id desc limit $3)",
    )
    .bind(now)
    .bind(user.to_owned())
    .bind(most)
    .execute(&mut **tx)
    .await?;
    Ok(ended.rows_affected())
}

/// The session that a refresh token belongs to, by the hash of the half that stays.
pub async fn by_family(store: &Store, family_hash: &str) -> Result<Option<Session>, StoreError> {
    let found = Listing::of(SELECT).only("family_hash = $", family_hash).rows(store, read).await?;
    Ok(found.into_iter().next())
}

/// Replaces the changing half of a refresh token, if `old` is still the hash of it: of two who try, one succeeds.
pub async fn rotate(
    tx: &mut Transaction<'static, Any>,
    id: &str,
    old: &str,
    new: &str,
    now: i64,
    expires_at: i64,
) -> Result<Rotation, StoreError> {
    let written = sqlx::query(
        "update sessions set refresh_hash = $1, changed_at = $2, expires_at = $3
         where id = $4 and refresh_hash = $5 and ended_at is null and expires_at > $6",
    )
    .bind(new.to_owned())
    .bind(now)
    .bind(expires_at)
    .bind(id.to_owned())
    .bind(old.to_owned())
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(if written.rows_affected() == 1 { Rotation::Done } else { Rotation::Reused })
}

/// Lets one session live on although its user's generation has grown.
pub async fn keep(tx: &mut Transaction<'static, Any>, id: &str, generation: i64, now: i64) -> Result<(), StoreError> {
    sqlx::query("update sessions set generation = $1, changed_at = $2 where id = $3 and ended_at is null")
        .bind(generation)
        .bind(now)
        .bind(id.to_owned())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Ends a session within the scope; ending it again changes nothing. Gives the session as it was.
pub async fn end(
    tx: &mut Transaction<'static, Any>,
    scope: &Scope,
    id: &str,
    why: &str,
    now: i64,
) -> Result<Session, StoreError> {
    let row = sqlx::query(
        "select id, user_id, team, created_at, changed_at, expires_at, ended_at, ended_why, generation, agent, address
         from sessions where id = $1",
    )
    .bind(id.to_owned())
    .fetch_one(&mut **tx)
    .await?;
    let session = read(&row)?;
    if !scope.holds(Some(&session.user), session.team.as_deref()) {
        return Err(StoreError::NotFound);
    }
    sqlx::query(
        "update sessions set ended_at = $1, ended_why = $2, changed_at = $3 where id = $4 and ended_at is null",
    )
    .bind(now)
    .bind(why.to_owned())
    .bind(now)
    .bind(id.to_owned())
    .execute(&mut **tx)
    .await?;
    Ok(session)
}

/// Ends all sessions of a user but `except`; gives how many.
pub async fn end_all(
    tx: &mut Transaction<'static, Any>,
    user: &str,
    except: Option<&str>,
    why: &str,
    now: i64,
) -> Result<u64, StoreError> {
    let ended = sqlx::query(
        "update sessions set ended_at = $1, ended_why = $2, changed_at = $3
         where user_id = $4 and id <> $5 and ended_at is null",
    )
    .bind(now)
    .bind(why.to_owned())
    .bind(now)
    .bind(user.to_owned())
    .bind(except.unwrap_or_default().to_owned())
    .execute(&mut **tx)
    .await?;
    Ok(ended.rows_affected())
}

/// A session within the scope.
pub async fn get(store: &Store, scope: &Scope, id: &str) -> Result<Session, StoreError> {
    listing(scope).only("id = $", id).one(store, read).await
}

/// A page of the sessions that live at `now`, within the scope, the newest first; of one user, if `user` is given.
pub async fn page(
    store: &Store,
    scope: &Scope,
    user: Option<&str>,
    now: i64,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Page<Session>, StoreError> {
    let listing = listing(scope).only("ended_at is null and expires_at > $", now).only_if("user_id = $", user);
    listing.page(store, after, limit, read, |session| Cursor { at: session.created_at, id: session.id.clone() }).await
}

/// Whatever began, went on or ended at or after this time.
pub async fn changed_since(store: &Store, since: i64) -> Result<Vec<Session>, StoreError> {
    Listing::of(SELECT).only("changed_at >= $", since).rows(store, read).await
}

/// Forgets what ended, or was left alone, before this time; gives how many.
pub async fn prune(store: &Store, before: i64) -> Result<u64, StoreError> {
    let mut tx = store.begin().await?;
    let gone = sqlx::query("delete from sessions where expires_at < $1 or ended_at < $2")
        .bind(before)
        .bind(before)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(gone.rows_affected())
}

fn listing(scope: &Scope) -> Listing {
    Listing::of(SELECT).within(scope, "team = $", "user_id = $")
}

fn read(row: &AnyRow) -> Result<Session, StoreError> {
    Ok(Session {
        id: row.try_get(0)?,
        user: row.try_get(1)?,
        team: row.try_get(2)?,
        created_at: row.try_get(3)?,
        changed_at: row.try_get(4)?,
        expires_at: row.try_get(5)?,
        ended_at: row.try_get(6)?,
        ended_why: row.try_get(7)?,
        generation: row.try_get(8)?,
        agent: row.try_get(9)?,
        address: row.try_get(10)?,
    })
}
