//! What a handler gives back, before it is an HTTP answer: something to show, its version, and what was done for the audit log.
//! Tests: `it/manage/`.

use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use waypost_core::GatewayError;

/// An answer.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub body: Option<Value>,
    /// The version of what is shown, for `ETag`.
    pub version: Option<i64>,
    /// What was touched, for the audit log.
    pub subject: Option<Subject>,
}

/// What a write touched.
pub(crate) struct Subject {
    pub id: String,
    /// The team it belongs to.
    pub team: Option<String>,
    /// What was changed, without secrets.
    pub detail: Value,
}

/// One page of a list.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Page<T> {
    pub data: Vec<T>,
    /// What to ask for with `after` to get the next page; null if there is none.
    pub next: Option<String>,
}

impl Answer {
    /// Shows something.
    pub(crate) fn shown(view: &impl Serialize) -> Result<Self, GatewayError> {
        let body = serde_json::to_value(view).map_err(GatewayError::internal)?;
        Ok(Self { status: StatusCode::OK, body: Some(body), version: None, subject: None })
    }

    /// Shows what was made.
    pub(crate) fn made(view: &impl Serialize) -> Result<Self, GatewayError> {
        Ok(Self { status: StatusCode::CREATED, ..Self::shown(view)? })
    }

    /// Nothing to show.
    pub(crate) fn done() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None, version: None, subject: None }
    }

    pub(crate) fn of_version(mut self, version: i64) -> Self {
        self.version = Some(version);
        self
    }

    /// Says what was touched, for the audit log.
    pub(crate) fn touching(mut self, id: &str, team: Option<&str>, detail: Value) -> Self {
        self.subject = Some(Subject { id: id.to_owned(), team: team.map(str::to_owned), detail });
        self
    }
}
