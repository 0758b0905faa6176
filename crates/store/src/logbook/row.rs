//! One call as the log keeps it. Text that is not known is empty, numbers that are not known are absent. Decides the order of
//! columns, for writing and reading. Tests: `it/logbook.rs`.

use std::sync::Arc;

use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::rows::Query;

/// One call. Times are milliseconds where they say `_ms`, else microseconds since the request's head arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogRow {
    /// When the request's head arrived, in milliseconds since 1970.
    pub at: i64,
    pub request_id: Arc<str>,
    /// The virtual key's id; its name where it comes from a file.
    pub key_id: Arc<str>,
    pub key_name: Arc<str>,
    pub user_id: Arc<str>,
    pub team_id: Arc<str>,
    pub model: Arc<str>,
    pub operation: Arc<str>,
    pub deployment: Arc<str>,
    pub channel: Arc<str>,
    pub attempts: i64,
    /// Each upstream call, as compact JSON.
    pub trail: Arc<str>,
    pub input: Option<i64>,
    pub output: Option<i64>,
    pub cache_read: Option<i64>,
    pub cache_write: Option<i64>,
    pub reasoning: Option<i64>,
    pub audio_input: Option<i64>,
    pub audio_output: Option<i64>,
    /// How the counts are known: `provider`, `counted` or `estimated`.
    pub basis: Arc<str>,
    /// In nano-USD; absent where no price is known.
    pub cost: Option<i64>,
    /// How the cost was computed, for people.
    pub arithmetic: Arc<str>,
    /// The version of the price.
    pub price: Arc<str>,
    pub latency_ms: i64,
    pub first_token_ms: Option<i64>,
    pub read_us: Option<i64>,
    pub planned_us: Option<i64>,
    pub queued_us: Option<i64>,
    pub answered_us: Option<i64>,
    pub status: i64,
    /// `complete`, `broken`, `abandoned` or `failed`.
    pub outcome: Arc<str>,
    /// The class of the error the caller was told; empty if none.
    pub error: Arc<str>,
    pub stream: bool,
    pub translated: bool,
    /// Where the caller called from.
    pub address: Arc<str>,
}

/// A row as it was kept, with its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedCall {
    pub seq: i64,
    pub row: LogRow,
}

impl LogRow {
    /// Did it end in an error, by status or in the middle of its answer?
    pub fn is_error(&self) -> bool {
        !self.error.is_empty() || self.status >= 400
    }
}

/// How many values a row has.
pub(super) const WIDTH: usize = 35;

/// Every column but `seq`, in the order of [`bind`].
pub(super) const COLUMNS: &str = "at, request_id, key_id, key_name, user_id, team_id, model, operation, deployment, channel, \
     attempts, trail, input, output, cache_read, cache_write, reasoning, audio_input, audio_output, basis, cost, arithmetic, \
     price, latency_ms, first_token_ms, read_us, planned_us, queued_us, answered_us, status, outcome, error, stream, translated, \
     address";

/// Adds the values of a row.
pub(super) fn bind(query: Query, row: &LogRow) -> Query {
    let text = |text: &Arc<str>| storable(text);
    query
        .bind(row.at)
        .bind(text(&row.request_id))
        .bind(text(&row.key_id))
        .bind(text(&row.key_name))
        .bind(text(&row.user_id))
        .bind(text(&row.team_id))
        .bind(text(&row.model))
        .bind(text(&row.operation))
        .bind(text(&row.deployment))
        .bind(text(&row.channel))
        .bind(row.attempts)
        .bind(text(&row.trail))
        .bind(row.input)
        .bind(row.output)
        .bind(row.cache_read)
        .bind(row.cache_write)
        .bind(row.reasoning)
        .bind(row.audio_input)
        .bind(row.audio_output)
        .bind(text(&row.basis))
        .bind(row.cost)
        .bind(text(&row.arithmetic))
        .bind(text(&row.price))
        .bind(row.latency_ms)
        .bind(row.first_token_ms)
        .bind(row.read_us)
        .bind(row.planned_us)
        .bind(row.queued_us)
        .bind(row.answered_us)
        .bind(row.status)
        .bind(text(&row.outcome))
        .bind(text(&row.error))
        .bind(i64::from(row.stream))
        .bind(i64::from(row.translated))
        .bind(text(&row.address))
}

/// Postgres keeps no NUL in text, and one in a caller's word must not cost a batch.
pub(super) fn storable(text: &str) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text.to_owned() }
}

/// Reads a row of `seq` and [`COLUMNS`].
pub(super) fn read(row: &AnyRow) -> Result<LoggedCall, sqlx::Error> {
    let mut cells = Cells { row, next: 0 };
    Ok(LoggedCall {
        seq: cells.number()?,
        row: LogRow {
            at: cells.number()?,
            request_id: cells.text()?,
            key_id: cells.text()?,
            key_name: cells.text()?,
            user_id: cells.text()?,
            team_id: cells.text()?,
            model: cells.text()?,
            operation: cells.text()?,
            deployment: cells.text()?,
            channel: cells.text()?,
            attempts: cells.number()?,
            trail: cells.text()?,
            input: cells.perhaps()?,
            output: cells.perhaps()?,
            cache_read: cells.perhaps()?,
            cache_write: cells.perhaps()?,
            reasoning: cells.perhaps()?,
            audio_input: cells.perhaps()?,
            audio_output: cells.perhaps()?,
            basis: cells.text()?,
            cost: cells.perhaps()?,
            arithmetic: cells.text()?,
            price: cells.text()?,
            latency_ms: cells.number()?,
            first_token_ms: cells.perhaps()?,
            read_us: cells.perhaps()?,
            planned_us: cells.perhaps()?,
            queued_us: cells.perhaps()?,
            answered_us: cells.perhaps()?,
            status: cells.number()?,
            outcome: cells.text()?,
            error: cells.text()?,
            stream: cells.number()? != 0,
            translated: cells.number()? != 0,
            address: cells.text()?,
        },
    })
}

/// The cells of a row, one after the other.
pub(super) struct Cells<'r> {
    row: &'r AnyRow,
    next: usize,
}

impl<'r> Cells<'r> {
    pub(super) fn of(row: &'r AnyRow) -> Self {
        Self { row, next: 0 }
    }

    fn step(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }

    pub(super) fn number(&mut self) -> Result<i64, sqlx::Error> {
        self.row.try_get(self.step())
    }

    pub(super) fn perhaps(&mut self) -> Result<Option<i64>, sqlx::Error> {
        self.row.try_get(self.step())
    }

    pub(super) fn text(&mut self) -> Result<Arc<str>, sqlx::Error> {
        self.row.try_get::<String, _>(self.step()).map(Arc::from)
    }
}
