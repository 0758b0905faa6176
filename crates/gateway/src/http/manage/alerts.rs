//! Alerts over HTTP, page by page, the newest first; a team's people see those of their own. Tests: `it/alerts.rs`.

use schemars::JsonSchema;
use serde::Serialize;
use waypost_core::GatewayError;
use waypost_core::role::Action;
use waypost_store::alerts::{Alert, AlertFilter, Kind as About};

use super::answer::{Answer, Page};
use super::ask::Ask;
use super::route::{Kind, Needs, Route, shape};
use crate::alerts::words;

pub(super) const ROUTES: &[Route] = &[Route::new(
    ("GET", "/admin/alerts"),
    "alert.list",
    "what has come to a mark of its bound, the newest first",
    Needs::May(Action::ReadMoney),
    Kind::List,
    |ask| Box::pin(list(ask)),
)
.giving(shape::<Page<AlertView>>)
.asking(&[
    ("kind", "`budget`, `credit`, `key_usage`, `token_quota` or `cost`"),
    ("subject", "a budget's id, an account, or such as `key:<id>`"),
])];

/// Something that has come to a mark of its bound.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Alert")]
pub(super) struct AlertView {
    id: String,
    created_at: i64,
    /// `budget`, `credit`, `key_usage`, `token_quota` or `cost`.
    kind: String,
    /// In one sentence.
    message: String,
    /// A budget's id, an account, or such as `key:<id>`; empty where it is the whole instance.
    subject: String,
    /// When its window began; of credit, what had been given.
    window_at: i64,
    /// Per cent of the bound.
    mark: i64,
    reached: i64,
    bound: i64,
    /// `nano_usd`, `tokens` or `requests`.
    unit: String,
    user: Option<String>,
    team: Option<String>,
    /// When everybody had been told; null if not yet, or never because nobody took it.
    told_at: Option<i64>,
}

impl AlertView {
    fn of(alert: Alert) -> Self {
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            message: words(&alert),
            id: alert.id,
            created_at: alert.created_at,
            kind: alert.kind,
            subject: alert.subject,
            window_at: alert.window_at,
            mark: alert.mark,
            reached: alert.reached,
            bound: alert.bound,
            unit: alert.unit,
            user: said(alert.owner.user),
            team: said(alert.owner.team),
            told_at: Some(alert.told_at).filter(|at| *at > 0),
        }
    }
}

async fn list(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let said = |word: &str| ask.query.get(word).map(str::to_owned);
    let kind = said("kind");
    if kind.as_deref().is_some_and(|kind| About::parse(kind).is_none()) {
        let message = "`kind` is budget, credit, key_usage, token_quota or cost.";
        return Err(GatewayError::invalid_request(message, Some("kind")));
    }
    let filter = AlertFilter { kind, subject: said("subject") };
    let (after, limit) = (ask.after()?, ask.limit()?);
    let page = ask.store()?.alerts(&ask.scope()?, &filter, after.as_ref(), limit).await;
    Answer::shown(&Page::of(page.map_err(|error| ask.fault(error))?, AlertView::of))
}
