//! What was captured: one row for each body, sealed for that row. Decides that a request is kept whole or not at all, and only while
//! its capture has room. Tests: `tests/it/captures.rs`.

use sqlx::Row as _;
use sqlx::any::AnyRow;
use waypost_core::secret::Secret;

use crate::keys::Owner;
use crate::page::{Listing, Scope};
use crate::seal::{Dice, Place};
use crate::{Store, StoreError, Vault, VaultError};

/// Which way a body went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What the caller sent.
    Request,
    /// What the caller was sent.
    Answer,
}

/// One body, as it may be kept: secrets and media are out of it already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    pub direction: Direction,
    /// Secret, because it is what somebody said.
    pub text: Secret,
    /// How long the body was.
    pub bytes: i64,
    /// Is its end missing?
    pub cut: bool,
    /// How many places were made unreadable.
    pub redacted: i64,
}

/// The bodies of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedCall {
    /// `cpt_…`; another one for each request, whatever the request calls itself.
    pub id: String,
    /// The id of the capture.
    pub capture: String,
    pub request_id: String,
    /// Whose request it was.
    pub owner: Owner,
    /// When it was captured, in milliseconds since 1970.
    pub at: i64,
    pub bodies: Vec<Body>,
}

impl Direction {
    /// The word in the database and in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Answer => "answer",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Request, Self::Answer].into_iter().find(|direction| direction.name() == name)
    }
}

/// Keeps the bodies of a request. False if its capture was ended or is full: then nothing is kept.
pub async fn keep(store: &Store, vault: &Vault, dice: &mut Dice, call: &CapturedCall) -> Result<bool, VaultError> {
    const COUNT: &str = "update captures set taken = taken + 1 where id = $1 and taken < calls";
    const ADD: &str = "insert into captured_bodies (id, capture_id, call_id, request_id, user_id, team_id, at, direction, bytes, cut, \
         redacted, sealed) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    let mut tx = store.begin().await?;
    vault.check_current(&mut tx).await?;
    let counted = sqlx::query(COUNT).bind(call.capture.clone()).execute(&mut *tx).await.map_err(StoreError::from)?;
    if counted.rows_affected() == 0 {
        return Ok(false);
    }
    for body in &call.bodies {
        let id = dice.id("bod");
        let sealed = vault.seal(&place(&id), &body.text, dice)?;
        let added = sqlx::query(ADD)
            .bind(id)
            .bind(call.capture.clone())
            .bind(call.id.clone())
            .bind(call.request_id.clone())
            .bind(call.owner.user.clone())
            .bind(call.owner.team.clone())
            .bind(call.at)
            .bind(body.direction.name())
            .bind(body.bytes)
            .bind(i64::from(body.cut))
            .bind(body.redacted)
            .bind(sealed)
            .execute(&mut *tx);
        added.await.map_err(StoreError::from)?;
    }
    tx.commit().await.map_err(StoreError::from)?;
    Ok(true)
}

/// Writes down that the bodies of so many requests were lost. Nothing happens if the capture was ended.
pub async fn note_lost(store: &Store, capture: &str, requests: i64) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    let sql = "update captures set lost = lost + $2 where id = $1";
    sqlx::query(sql).bind(capture.to_owned()).bind(requests).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}

/// What was kept of the newest request of this id within the scope; `None` if nothing was.
pub async fn of_request(
    store: &Store,
    vault: &Vault,
    scope: &Scope,
    request_id: &str,
) -> Result<Option<CapturedCall>, VaultError> {
    const SELECT: &str = "select id, capture_id, call_id, request_id, user_id, team_id, at, direction, bytes, cut, redacted, sealed \
         from captured_bodies";
    let newest = Listing::of("select call_id from captured_bodies").within(scope, "team_id = $", "user_id = $");
    let newest = newest.only("request_id = $", request_id).then("order by at desc, call_id desc limit 1");
    let newest = newest.rows(store, |row| Ok(row.try_get::<String, _>(0)?)).await?;
    let Some(call) = newest.into_iter().next() else { return Ok(None) };
    let rows = Listing::of(SELECT)
        .within(scope, "team_id = $", "user_id = $")
        .only("request_id = $", request_id)
        .only("call_id = $", call.as_str())
        .then("order by direction desc")
        .rows(store, read)
        .await?;
    let mut found: Option<CapturedCall> = None;
    for (mut call, Kept { id, sealed, mut body }) in rows {
        body.text = vault.open(&place(&id), &sealed)?;
        match &mut found {
            Some(found) => found.bodies.push(body),
            None => {
                call.bodies.push(body);
                found = Some(call);
            }
        }
    }
    Ok(found)
}

/// Forgets up to `most` bodies of requests before this time, and the captures that were over before it. Tells how many bodies.
pub async fn prune(store: &Store, before: i64, most: i64) -> Result<u64, StoreError> {
    const BODIES: &str =
        "delete from captured_bodies where id in (select id from captured_bodies where at < $1 order by at limit $2)";
    const ORDERS: &str = "delete from captures where until_at < $1 \
         and not exists (select 1 from captured_bodies b where b.capture_id = captures.id)";
    let mut tx = store.begin().await?;
    let removed = sqlx::query(BODIES).bind(before).bind(most).execute(&mut *tx).await?.rows_affected();
    sqlx::query(ORDERS).bind(before).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(removed)
}

fn place(id: &str) -> Place<'_> {
    Place { table: "captured_bodies", row: id, tenant: "" }
}

/// A row of the database.
struct Kept {
    id: String,
    sealed: Vec<u8>,
    body: Body,
}

fn read(row: &AnyRow) -> Result<(CapturedCall, Kept), StoreError> {
    let id: String = row.try_get(0)?;
    let direction = Direction::from_name(&row.try_get::<String, _>(7)?).ok_or_else(|| {
        StoreError::Corrupt(format!("captured_bodies.direction of {id} cannot be read; end the capture it belongs to"))
    })?;
    let call = CapturedCall {
        id: row.try_get(2)?,
        capture: row.try_get(1)?,
        request_id: row.try_get(3)?,
        owner: Owner { user: row.try_get(4)?, team: row.try_get(5)? },
        at: row.try_get(6)?,
        bodies: Vec::new(),
    };
    let body = Body {
        direction,
        text: Secret::new(""),
        bytes: row.try_get(8)?,
        cut: row.try_get::<i64, _>(9)? != 0,
        redacted: row.try_get(10)?,
    };
    Ok((call, Kept { id, sealed: row.try_get(11)?, body }))
}
