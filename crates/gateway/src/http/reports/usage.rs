//! Usage by any one or two of key, user, team, model, deployment, channel and day: what was asked, and how it is shown.
//! Tests: `it/reports.rs`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::Serialize;
use waypost_core::GatewayError;
use waypost_store::logbook::{DAY_MS, Dimension, GroupBy, Report, Sums, UsageFilter, UsagePage, UsageRow};

use super::csv::Csv;
use super::{day, money, no_place};
use crate::http::admin::query::Query;

/// How many groups a page has if nobody says, and at most; a file may have more.
const USUAL: usize = 100;
const MOST: usize = 1000;
const MOST_IN_FILE: usize = 10_000;
/// How many days are told of if nobody says, and at most.
const USUAL_DAYS: i64 = 30;
const MOST_DAYS: i64 = 3660;

/// What may stand after the question mark: name and meaning.
pub(in crate::http) const WORDS: &[(&str, &str)] = &[
    ("group_by", "one or two of key, user, team, model, deployment, channel, day; `model` if nothing is said"),
    ("from", "the first day, such as `2026-11-01`, in UTC; 29 days before the last if nothing is said"),
    ("to", "the last day; today if nothing is said"),
    ("key", "only this key, by its id, or by its name if it is one of a file"),
    ("user", "only this user"),
    ("team", "only this team"),
    ("model", "only this model"),
    ("deployment", "only this deployment"),
    ("channel", "only this channel"),
    ("format", "`csv` for a file"),
];

/// What a question asks; `now` is in milliseconds since 1970.
pub(in crate::http) fn asked(query: &Query, now: i64, in_file: bool) -> Result<Report, GatewayError> {
    let group_by = group_by(query.get("group_by").unwrap_or("model"))?;
    let last_day = day::day_of(query, "to")?.unwrap_or(now.div_euclid(DAY_MS));
    let first_day = day::day_of(query, "from")?.unwrap_or(last_day - USUAL_DAYS + 1);
    if first_day > last_day || last_day - first_day >= MOST_DAYS {
        let message = format!("`from` is not after `to`, and at most {MOST_DAYS} days are between them.");
        return Err(GatewayError::invalid_request(message, Some("from")));
    }
    let text = |name: &str| query.get(name).map(str::to_owned);
    let (usual, most) = if in_file { (MOST_IN_FILE, MOST_IN_FILE) } else { (USUAL, MOST) };
    Ok(Report {
        group_by,
        first_day,
        last_day,
        filter: UsageFilter {
            key: text("key"),
            user: text("user"),
            team: text("team"),
            deployment: text("deployment"),
            model: text("model"),
            channel: text("channel"),
        },
        after: query.get("after").map(|after| place(after, group_by)).transpose()?,
        limit: i64::try_from(query.number("limit", usual, 1..=most)?).unwrap_or_default(),
    })
}

fn group_by(text: &str) -> Result<GroupBy, GatewayError> {
    let named = |name: &str| Dimension::ALL.into_iter().find(|dimension| dimension.name() == name.trim());
    let (one, other) = match text.split_once(',') {
        Some((one, other)) => (named(one), Some(named(other))),
        None => (named(text), None),
    };
    let found = match (one, other) {
        (Some(one), None) => Some(GroupBy::one(one)),
        (Some(one), Some(Some(other))) => GroupBy::two(one, other),
        (_, Some(None)) | (None, _) => None,
    };
    found.ok_or_else(|| {
        let message =
            "`group_by` is one or two, with a comma between, of key, user, team, model, deployment, channel and day.";
        GatewayError::invalid_request(message, Some("group_by"))
    })
}

fn place(after: &str, group_by: GroupBy) -> Result<Vec<String>, GatewayError> {
    let bytes = URL_SAFE_NO_PAD.decode(after).map_err(|_| no_place())?;
    let values: Vec<String> = serde_json::from_slice(&bytes).map_err(|_| no_place())?;
    if values.len() == group_by.dimensions().count() { Ok(values) } else { Err(no_place()) }
}

/// Usage of groups, in their order.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct UsageView {
    /// The first and the last day, in UTC.
    pub from: String,
    pub to: String,
    /// What the groups are by, in the order in which they are sorted.
    pub group_by: Vec<&'static str>,
    pub data: Vec<GroupView>,
    /// Of all groups together; on the first page only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<SumsView>,
    /// What to ask for with `after` to get the next page; null at the end.
    pub next: Option<String>,
}

/// Usage of one group. Of the names, those are there that the groups are by; null where a call had none.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(in crate::http) struct GroupView {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Option<String>>,
    /// What the key was called when it was last used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    #[serde(flatten)]
    pub sums: SumsView,
}

/// Sums over calls.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(in crate::http) struct SumsView {
    pub requests: i64,
    /// Those that ended in an error.
    pub errors: i64,
    pub tokens: TokensView,
    /// In decimal USD.
    pub cost_usd: String,
    /// Requests whose cost is not known.
    pub unpriced_requests: i64,
}

/// Tokens by class. Input includes what was read from and written to a cache; output includes reasoning.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(in crate::http) struct TokensView {
    pub input: i64,
    pub output: i64,
    pub cache_read: i64,
    pub cache_write: i64,
    pub reasoning: i64,
    pub audio_input: i64,
    pub audio_output: i64,
}

impl SumsView {
    pub(in crate::http) fn of(sums: &Sums) -> Self {
        Self {
            requests: sums.requests,
            errors: sums.errors,
            tokens: TokensView {
                input: sums.input,
                output: sums.output,
                cache_read: sums.cache_read,
                cache_write: sums.cache_write,
                reasoning: sums.reasoning,
                audio_input: sums.audio_input,
                audio_output: sums.audio_output,
            },
            cost_usd: money::usd(sums.cost),
            unpriced_requests: sums.unpriced,
        }
    }
}

impl UsageView {
    pub(in crate::http) fn of(report: &Report, page: &UsagePage, total: Option<&Sums>) -> Self {
        Self {
            from: day::written(report.first_day),
            to: day::written(report.last_day),
            group_by: report.group_by.dimensions().map(Dimension::name).collect(),
            data: page.rows.iter().map(|row| group(report.group_by, row)).collect(),
            total: total.map(SumsView::of),
            next: next(page),
        }
    }
}

fn group(group_by: GroupBy, row: &UsageRow) -> GroupView {
    let mut view = GroupView {
        key_name: row.key_name.as_deref().map(str::to_owned),
        sums: SumsView::of(&row.sums),
        ..GroupView::default()
    };
    for (dimension, value) in group_by.dimensions().zip(&row.group) {
        let name = Some(Some(value.to_string()).filter(|name| !name.is_empty()));
        match dimension {
            Dimension::Key => view.key = name,
            Dimension::User => view.user = name,
            Dimension::Team => view.team = name,
            Dimension::Model => view.model = name,
            Dimension::Deployment => view.deployment = name,
            Dimension::Channel => view.channel = name,
            Dimension::Day => view.day = Some(day::written(value.parse().unwrap_or_default())),
        }
    }
    view
}

/// Where the next page begins.
pub(in crate::http) fn next(page: &UsagePage) -> Option<String> {
    let last = page.rows.last().filter(|_| page.more)?;
    let values: Vec<&str> = last.group.iter().map(|value| &**value).collect();
    Some(URL_SAFE_NO_PAD.encode(serde_json::to_string(&values).ok()?))
}

/// The same as a file.
pub(in crate::http) fn file(report: &Report, page: &UsagePage) -> String {
    let mut head: Vec<&str> = report.group_by.dimensions().map(Dimension::name).collect();
    head.extend([
        "key_name",
        "requests",
        "errors",
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "reasoning_tokens",
        "cost_usd",
        "unpriced_requests",
    ]);
    let mut csv = Csv::with_head(&head);
    for row in &page.rows {
        let group = report.group_by.dimensions().zip(&row.group).map(|(dimension, value)| match dimension {
            Dimension::Day => day::written(value.parse().unwrap_or_default()),
            Dimension::Key
            | Dimension::User
            | Dimension::Team
            | Dimension::Deployment
            | Dimension::Model
            | Dimension::Channel => value.to_string(),
        });
        let sums = &row.sums;
        let counts =
            [sums.requests, sums.errors, sums.input, sums.output, sums.cache_read, sums.cache_write, sums.reasoning];
        let name = row.key_name.as_deref().unwrap_or_default().to_owned();
        let cells = group.chain([name]).chain(counts.map(|count| count.to_string()));
        csv.row(cells.chain([money::usd(sums.cost), sums.unpriced.to_string()]));
    }
    csv.finish()
}
