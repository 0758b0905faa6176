//! Orders to keep the bodies of one key's requests, for a while and up to a number of them; and what was kept, sealed. Decides that
//! no more is kept than was ordered, whoever writes it; which requests are meant, whoever answers them says.
//! Tests: `tests/it/captures.rs`, on both databases.

mod bodies;

use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

pub use bodies::{Body, CapturedCall, Direction, keep, note_lost, of_request, prune};

use crate::keys::Owner;
use crate::page::{Cursor, Listing, Page, Scope};
use crate::{Store, StoreError};

/// An order, and how far it has come. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// `cap_…`
    pub id: String,
    pub created_at: i64,
    /// The id of a key, or the name of a key of a file.
    pub key: String,
    pub key_name: String,
    /// Whose the key was when it was ordered.
    pub owner: Owner,
    pub from: i64,
    pub until: i64,
    /// A user's id, or `token`.
    pub ordered_by: String,
    /// In the words of whoever ordered it.
    pub why: String,
    pub limits: Limits,
    /// Requests whose bodies were kept.
    pub taken: i64,
    /// Requests that were meant and whose bodies were lost on the way.
    pub lost: i64,
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of one body.
    pub body_bytes: i64,
    pub calls: i64,
}

impl Capture {
    /// Is anything more to be kept at this time?
    pub fn is_in_force(&self, now: i64) -> bool {
        self.from <= now && now < self.until && self.taken < self.limits.calls
    }
}

/// Which captures a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter<'a> {
    pub key: Option<&'a str>,
}

const SELECT: &str = "select id, created_at, key_id, key_name, user_id, team_id, from_at, until_at, ordered_by, reason, body_bytes, \
     calls, taken, lost from captures";

/// Orders a capture; `taken` and `lost` begin at nothing. [`StoreError::Refused`] if the key has another one in that time.
pub async fn order(tx: &mut Transaction<'static, Any>, capture: &Capture) -> Result<(), StoreError> {
    const ADD: &str = "insert into captures (id, created_at, key_id, key_name, user_id, team_id, from_at, until_at, ordered_by, reason, \
         body_bytes, calls, taken, lost) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, 0)";
    const OTHERS: &str = "select id from captures where key_id = $1 and id <> $2 and from_at < $3 and until_at > $4 \
         and taken < calls limit 1";
    sqlx::query(ADD)
        .bind(capture.id.clone())
        .bind(capture.created_at)
        .bind(capture.key.clone())
        .bind(capture.key_name.clone())
        .bind(capture.owner.user.clone())
        .bind(capture.owner.team.clone())
        .bind(capture.from)
        .bind(capture.until)
        .bind(capture.ordered_by.clone())
        .bind(capture.why.clone())
        .bind(capture.limits.body_bytes)
        .bind(capture.limits.calls)
        .execute(&mut **tx)
        .await?;
    // Whoever orders at the same time waits at the counter of changes, so that the second sees the first.
    let other = sqlx::query(OTHERS)
        .bind(capture.key.clone())
        .bind(capture.id.clone())
        .bind(capture.until)
        .bind(capture.from)
        .fetch_optional(&mut **tx)
        .await?;
    match other {
        Some(row) => {
            let id: String = row.try_get(0)?;
            Err(StoreError::Refused(format!("the key has a capture in that time already; end `{id}` first")))
        }
        None => Ok(()),
    }
}

/// The capture of this id within the scope.
pub async fn get(store: &Store, scope: &Scope, id: &str) -> Result<Capture, StoreError> {
    listing(scope).only("id = $", id).one(store, read).await
}

/// A page of captures within the scope, the newest first; those that are over, too, until they are forgotten.
pub async fn page(
    store: &Store,
    scope: &Scope,
    filter: &Filter<'_>,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Page<Capture>, StoreError> {
    let cursor = |capture: &Capture| Cursor { at: capture.created_at, id: capture.id.clone() };
    listing(scope).only_if("key_id = $", filter.key).page(store, after, limit, read, cursor).await
}

/// All that are not over at this time, those that have not begun included; for what is kept in memory.
pub async fn all(store: &Store, now: i64) -> Result<Vec<Capture>, StoreError> {
    Listing::of(SELECT).only("until_at > $", now).then("and taken < calls").rows(store, read).await
}

/// Ends a capture within the scope, and takes away all that it kept. Gives it as it was.
pub async fn end(
    store: &Store,
    tx: &mut Transaction<'static, Any>,
    scope: &Scope,
    id: &str,
) -> Result<Capture, StoreError> {
    let capture = get(store, scope, id).await?;
    // First the order: whoever keeps a body at this moment holds its row, and is waited for here.
    for sql in ["delete from captures where id = $1", "delete from captured_bodies where capture_id = $1"] {
        sqlx::query(sql).bind(id.to_owned()).execute(&mut **tx).await?;
    }
    Ok(capture)
}

fn listing(scope: &Scope) -> Listing {
    Listing::of(SELECT).within(scope, "team_id = $", "user_id = $")
}

fn read(row: &AnyRow) -> Result<Capture, StoreError> {
    Ok(Capture {
        id: row.try_get(0)?,
        created_at: row.try_get(1)?,
        key: row.try_get(2)?,
        key_name: row.try_get(3)?,
        owner: Owner { user: row.try_get(4)?, team: row.try_get(5)? },
        from: row.try_get(6)?,
        until: row.try_get(7)?,
        ordered_by: row.try_get(8)?,
        why: row.try_get(9)?,
        limits: Limits { body_bytes: row.try_get(10)?, calls: row.try_get(11)? },
        taken: row.try_get(12)?,
        lost: row.try_get(13)?,
    })
}
