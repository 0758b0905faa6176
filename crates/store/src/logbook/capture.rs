//! Whose bodies are captured, and what was captured, apart from the log and with an age of its own. Bodies are redacted before
//! they come here. Tests: `it/logbook.rs`.

use sqlx::Row as _;

use super::row::{Cells, storable};
use super::{Conditions, Logbook, Scope, asked};
use crate::StoreError;

/// An order to capture the bodies of a key's calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    pub key_id: String,
    /// Until then, in milliseconds since 1970.
    pub until: i64,
    /// How much of each body is kept.
    pub max_bytes: i64,
    /// Of a hundred calls, how many.
    pub percent: i64,
    pub created_by: String,
    pub created_at: i64,
}

/// A body as far as it was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    pub bytes: Vec<u8>,
    /// There was more of it.
    pub cut: bool,
}

/// The bodies of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapturedBody {
    /// When the call began, in milliseconds since 1970.
    pub at: i64,
    pub request_id: String,
    pub key_id: String,
    pub user_id: String,
    pub team_id: String,
    pub request: Body,
    pub response: Body,
}

impl Logbook<'_> {
    /// Begins to capture, or changes how.
    pub async fn begin_capture(&self, capture: &Capture) -> Result<(), StoreError> {
        let sql = "insert into captures (key_id, until, max_bytes, percent, created_by, created_at) \
                   values ($1, $2, $3, $4, $5, $6) on conflict (key_id) do update set until = excluded.until, \
                   max_bytes = excluded.max_bytes, percent = excluded.percent, created_by = excluded.created_by, \
                   created_at = excluded.created_at";
        let query = sqlx::query(sql).bind(&*capture.key_id).bind(capture.until).bind(capture.max_bytes);
        let query = query.bind(capture.percent).bind(&*capture.created_by).bind(capture.created_at);
        self.changed(query).await.map(drop)
    }

    /// Captures no more of a key's calls. Says whether it did.
    pub async fn end_capture(&self, key_id: &str) -> Result<bool, StoreError> {
        let query = sqlx::query("delete from captures where key_id = $1").bind(key_id);
        Ok(self.changed(query).await? > 0)
    }

    /// The orders that are in force at this time.
    pub async fn captures(&self, now: i64) -> Result<Vec<Capture>, StoreError> {
        let sql = "select key_id, until, max_bytes, percent, created_by, created_at from captures where until > $1 order by key_id";
        let rows = sqlx::query(sql).bind(now).fetch_all(self.store.reader()).await?;
        let read = |row: &sqlx::any::AnyRow| {
            Ok(Capture {
                key_id: row.try_get(0)?,
                until: row.try_get(1)?,
                max_bytes: row.try_get(2)?,
                percent: row.try_get(3)?,
                created_by: row.try_get(4)?,
                created_at: row.try_get(5)?,
            })
        };
        rows.iter().map(|row| read(row).map_err(|error: sqlx::Error| error.into())).collect()
    }

    /// Keeps the bodies of a call.
    pub async fn keep_body(&self, captured: &CapturedBody) -> Result<(), StoreError> {
        let sql = "insert into captured_bodies (at, request_id, key_id, user_id, team_id, request, request_cut, response, \
                   response_cut) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let query = sqlx::query(sql).bind(captured.at).bind(storable(&captured.request_id));
        let query = query.bind(storable(&captured.key_id)).bind(&*captured.user_id).bind(&*captured.team_id);
        let query = query.bind(captured.request.bytes.clone()).bind(i64::from(captured.request.cut));
        let query = query.bind(captured.response.bytes.clone()).bind(i64::from(captured.response.cut));
        self.changed(query).await.map(drop)
    }

    /// The bodies of the newest call with this request id in the scope, if they were captured.
    pub async fn captured(&self, scope: &Scope, request_id: &str) -> Result<Option<CapturedBody>, StoreError> {
        let mut conditions = Conditions::default();
        conditions.text("request_id = $", request_id);
        if let Some((column, id)) = scope.bound() {
            conditions.text(&format!("{column} = $"), id);
        }
        let sql = format!(
            "select at, request_id, key_id, user_id, team_id, request, request_cut, response, response_cut \
             from captured_bodies{} order by seq desc limit 1",
            conditions.text
        );
        let row = asked(sql, conditions.values).fetch_optional(self.store.reader()).await?;
        let Some(row) = row else { return Ok(None) };
        let mut cells = Cells::of(&row);
        Ok(Some(CapturedBody {
            at: cells.number()?,
            request_id: cells.text()?.to_string(),
            key_id: cells.text()?.to_string(),
            user_id: cells.text()?.to_string(),
            team_id: cells.text()?.to_string(),
            request: Body { bytes: cells.bytes()?, cut: cells.number()? != 0 },
            response: Body { bytes: cells.bytes()?, cut: cells.number()? != 0 },
        }))
    }
}
