//! The log of calls: which rows a question wants, and how a row is shown. Tests: `it/reports.rs`.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use waypost_core::GatewayError;
use waypost_store::logbook::{LogFilter, LogPage, LogRow, LoggedCall, Place};

use super::csv::Csv;
use super::day::{End, time_of};
use super::{money, no_place};
use crate::http::admin::query::Query;

/// How many calls a page has if nobody says, and at most; a file may have more.
const USUAL: usize = 100;
const MOST: usize = waypost_store::page::MAX_PAGE as usize;
const MOST_IN_FILE: usize = 10_000;

/// What may stand after the question mark: name and meaning.
pub(in crate::http) const WORDS: &[(&str, &str)] = &[
    ("request_id", "only calls with this id"),
    ("key", "only calls of this key, by its id, or by its name if it is one of a file"),
    ("user", "only calls of this user"),
    ("team", "only calls of this team"),
    ("model", "only calls that asked for this model"),
    ("deployment", "only calls that this deployment answered, as `channel/model`"),
    ("channel", "only calls that this channel answered"),
    ("operation", "only calls of this operation, such as `chat`"),
    ("outcome", "complete, broken, abandoned or failed"),
    ("status", "the class of the status, such as `4xx`"),
    ("error", "`true` for all errors, or a class of them such as `rate_limited`"),
    ("from", "not before this day or time"),
    ("to", "not after this day, or before this time"),
    ("min_cost", "only calls that cost this much at least, in decimal USD"),
    ("format", "`csv` for a file"),
];

/// A question about the log.
pub(in crate::http) struct Asked {
    pub filter: LogFilter,
    pub after: Option<Place>,
    pub limit: i64,
}

pub(in crate::http) fn asked(query: &Query, in_file: bool) -> Result<Asked, GatewayError> {
    let text = |name: &str| query.get(name).map(str::to_owned);
    let (usual, most) = if in_file { (MOST_IN_FILE, MOST_IN_FILE) } else { (USUAL, MOST) };
    Ok(Asked {
        filter: LogFilter {
            request_id: text("request_id"),
            key: text("key"),
            user: text("user"),
            team: text("team"),
            model: text("model"),
            deployment: text("deployment"),
            channel: text("channel"),
            operation: text("operation"),
            outcome: text("outcome"),
            status_class: query.get("status").map(status_class).transpose()?,
            error: text("error").filter(|error| error != "true"),
            only_errors: query.get("error") == Some("true"),
            from: time_of(query, "from", End::First)?,
            to: time_of(query, "to", End::Last)?,
            min_cost: query.get("min_cost").map(min_cost).transpose()?,
        },
        after: query.get("after").map(place).transpose()?,
        limit: i64::try_from(query.number("limit", usual, 1..=most)?).unwrap_or_default(),
    })
}

fn status_class(text: &str) -> Result<i64, GatewayError> {
    let class = text.strip_suffix("xx").and_then(|class| class.parse().ok()).filter(|class| (1..=5).contains(class));
    class.ok_or_else(|| GatewayError::invalid_request("`status` is 2xx, 3xx, 4xx or 5xx.", Some("status")))
}

fn min_cost(text: &str) -> Result<i64, GatewayError> {
    money::read_usd(text).ok_or_else(|| {
        let message = "`min_cost` is an amount in USD such as `0.25`, with at most nine digits after the point.";
        GatewayError::invalid_request(message, Some("min_cost"))
    })
}

fn place(text: &str) -> Result<Place, GatewayError> {
    let (at, seq) = text.split_once('.').ok_or_else(no_place)?;
    let number = |text: &str| text.parse().map_err(|_| no_place());
    Ok(Place { at: number(at)?, seq: number(seq)? })
}

/// Where the next page begins.
pub(in crate::http) fn next(page: &LogPage) -> Option<String> {
    page.next.map(|place| format!("{}.{}", place.at, place.seq))
}

/// One call.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Call")]
pub(in crate::http) struct CallView {
    /// When its head arrived, in milliseconds since 1970.
    pub at: i64,
    pub request_id: String,
    pub key: String,
    pub key_name: String,
    pub user: Option<String>,
    pub team: Option<String>,
    pub model: Option<String>,
    pub operation: String,
    pub deployment: Option<String>,
    pub channel: Option<String>,
    pub status: i64,
    /// `complete`, `broken`, `abandoned` or `failed`.
    pub outcome: String,
    /// The class of the error that the caller was told.
    pub error: Option<String>,
    pub stream: bool,
    /// The caller's dialect was not the provider's.
    pub translated: bool,
    pub tokens: CallTokens,
    /// How the counts are known: `provider`, `counted` or `estimated`.
    pub usage_basis: String,
    /// In decimal USD; null where no price is known.
    pub cost_usd: Option<String>,
    /// How the cost was computed.
    pub cost_arithmetic: Option<String>,
    pub price_version: Option<String>,
    pub latency: LatencyView,
    pub attempts: i64,
    /// Each upstream call: deployment, credential, outcome, status and how long it took.
    #[schemars(with = "Vec<serde_json::Value>")]
    pub trail: Box<RawValue>,
    /// Where the caller called from.
    pub address: Option<String>,
}

/// Tokens by class; null where nobody told.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct CallTokens {
    pub input: Option<i64>,
    pub output: Option<i64>,
    pub cache_read: Option<i64>,
    pub cache_write: Option<i64>,
    pub reasoning: Option<i64>,
    pub audio_input: Option<i64>,
    pub audio_output: Option<i64>,
}

/// Where the time went. In microseconds since the head arrived, but for the two in milliseconds and the wait in line.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Latency")]
pub(in crate::http) struct LatencyView {
    pub total_ms: i64,
    pub first_token_ms: Option<i64>,
    pub read_us: Option<i64>,
    pub planned_us: Option<i64>,
    pub queued_us: Option<i64>,
    pub answered_us: Option<i64>,
}

impl CallView {
    pub(in crate::http) fn of(call: &LoggedCall) -> Self {
        let row = &call.row;
        let perhaps = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Self {
            at: row.at,
            request_id: row.request_id.to_string(),
            key: row.key_id.to_string(),
            key_name: row.key_name.to_string(),
            user: perhaps(&row.user_id),
            team: perhaps(&row.team_id),
            model: perhaps(&row.model),
            operation: row.operation.to_string(),
            deployment: perhaps(&row.deployment),
            channel: perhaps(&row.channel),
            status: row.status,
            outcome: row.outcome.to_string(),
            error: perhaps(&row.error),
            stream: row.stream,
            translated: row.translated,
            tokens: tokens(row),
            usage_basis: row.basis.to_string(),
            cost_usd: row.cost.map(money::usd),
            cost_arithmetic: perhaps(&row.arithmetic),
            price_version: perhaps(&row.price),
            latency: LatencyView {
                total_ms: row.latency_ms,
                first_token_ms: row.first_token_ms,
                read_us: row.read_us,
                planned_us: row.planned_us,
                queued_us: row.queued_us,
                answered_us: row.answered_us,
            },
            attempts: row.attempts,
            trail: RawValue::from_string(row.trail.to_string())
                .or_else(|_| RawValue::from_string("[]".to_owned()))
                .unwrap_or_else(|_| RawValue::NULL.to_owned()),
            address: perhaps(&row.address),
        }
    }
}

fn tokens(row: &LogRow) -> CallTokens {
    CallTokens {
        input: row.input,
        output: row.output,
        cache_read: row.cache_read,
        cache_write: row.cache_write,
        reasoning: row.reasoning,
        audio_input: row.audio_input,
        audio_output: row.audio_output,
    }
}

const HEAD: &[&str] = &[
    "at",
    "request_id",
    "key",
    "key_name",
    "user",
    "team",
    "model",
    "operation",
    "deployment",
    "channel",
    "status",
    "outcome",
    "error",
    "stream",
    "attempts",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "usage_basis",
    "cost_usd",
    "price_version",
    "latency_ms",
    "first_token_ms",
    "address",
];

/// A page as a file.
pub(in crate::http) fn file(page: &LogPage) -> String {
    let mut csv = Csv::with_head(HEAD);
    let count = |count: Option<i64>| count.map(|count| count.to_string()).unwrap_or_default();
    for LoggedCall { row, .. } in &page.rows {
        csv.row([
            row.at.to_string(),
            row.request_id.to_string(),
            row.key_id.to_string(),
            row.key_name.to_string(),
            row.user_id.to_string(),
            row.team_id.to_string(),
            row.model.to_string(),
            row.operation.to_string(),
            row.deployment.to_string(),
            row.channel.to_string(),
            row.status.to_string(),
            row.outcome.to_string(),
            row.error.to_string(),
            row.stream.to_string(),
            row.attempts.to_string(),
            count(row.input),
            count(row.output),
            count(row.cache_read),
            count(row.cache_write),
            count(row.reasoning),
            row.basis.to_string(),
            row.cost.map(money::usd).unwrap_or_default(),
            row.price.to_string(),
            row.latency_ms.to_string(),
            count(row.first_token_ms),
            row.address.to_string(),
        ]);
    }
    csv.finish()
}
