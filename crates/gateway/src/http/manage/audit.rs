//! The audit log over HTTP: who did what, the newest first. Read only; rows come from whoever writes. Tests: `it/manage/people.rs`.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use waypost_core::GatewayError;
use waypost_core::role::Action;
use waypost_store::audit::{self, Filter, Row};

use super::answer::{Answer, Page};
use super::ask::Ask;
use super::route::{Kind, Needs, Route, shape};
use crate::http::reports::no_place;

pub(super) const ROUTES: &[Route] = &[Route::new(
    ("GET", "/admin/audit"),
    "audit.list",
    "what was done, the newest first",
    Needs::May(Action::ReadAudit),
    Kind::List,
    |ask| Box::pin(list(ask)),
)
.giving(shape::<Page<AuditView>>)
.asking(&[
    ("actor", "only what this user did; `token` is the admin token"),
    ("subject", "only what was done to the thing of this id"),
    ("action", "such as `key.create`"),
    ("since", "milliseconds since 1970"),
])];

/// Something that was done.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
pub(super) struct AuditView {
    /// 1, 2, 3 and so on, without a gap.
    number: i64,
    at: i64,
    actor: String,
    team: Option<String>,
    action: String,
    subject: String,
    /// What was changed.
    detail: Value,
    address: Option<String>,
    request_id: Option<String>,
    /// The hash of the row before; empty for the first.
    previous: String,
    hash: String,
}

impl AuditView {
    fn of(row: Row) -> Self {
        Self {
            number: row.number,
            at: row.at,
            actor: row.actor,
            team: row.team,
            action: row.action,
            subject: row.subject,
            detail: serde_json::from_str(&row.detail).unwrap_or(Value::String(row.detail)),
            address: row.address,
            request_id: row.request_id,
            previous: row.previous,
            hash: row.hash,
        }
    }
}

async fn list(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let before = ask.query.get("after").map(str::parse).transpose().map_err(|_| no_place())?;
    let filter = Filter {
        actor: ask.query.get("actor"),
        subject: ask.query.get("subject"),
        action: ask.query.get("action"),
        since: ask.number("since")?,
    };
    let (rows, next) = audit::page(ask.store()?, &ask.scope()?, &filter, before, ask.limit()?)
        .await
        .map_err(|error| ask.fault(error))?;
    let data = rows.into_iter().map(AuditView::of).collect();
    Answer::shown(&Page { data, next: next.map(|next: i64| next.to_string()) })
}
