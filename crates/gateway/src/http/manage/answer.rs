//! What a handler gives back, before it is an HTTP answer: something to show, and its version. Tests: `it/manage/`.

use http::{HeaderMap, Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use waypost_core::GatewayError;

use crate::http::body::Body;

/// An answer.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub body: Option<Value>,
    /// The version of what is shown, for `ETag`.
    pub version: Option<i64>,
    /// What else is told in the head, such as cookies.
    pub headers: HeaderMap,
    /// A whole answer instead of all that.
    pub raw: Option<Response<Body>>,
}

/// One page of a list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub(crate) struct Page<T> {
    pub data: Vec<T>,
    /// What to ask for with `after` to get the next page; null at the end.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// The page of the store, as the API shows its rows.
    pub(crate) fn of<R>(page: waypost_store::page::Page<R>, view: impl Fn(R) -> T) -> Self {
        Self { data: page.rows.into_iter().map(view).collect(), next: page.next.map(|next| next.to_string()) }
    }
}

impl Answer {
    /// Shows something.
    pub(crate) fn shown(view: &impl Serialize) -> Result<Self, GatewayError> {
        let body = serde_json::to_value(view).map_err(GatewayError::internal)?;
        Ok(Self { status: StatusCode::OK, body: Some(body), ..Self::done() })
    }

    /// Shows something that has a version.
    pub(crate) fn of_version(view: &impl Serialize, version: i64) -> Result<Self, GatewayError> {
        Ok(Self { version: Some(version), ..Self::shown(view)? })
    }

    /// Shows what was made.
    pub(crate) fn made(view: &impl Serialize, version: i64) -> Result<Self, GatewayError> {
        Ok(Self { status: StatusCode::CREATED, ..Self::of_version(view, version)? })
    }

    /// Nothing to show.
    pub(crate) fn done() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None, version: None, headers: HeaderMap::new(), raw: None }
    }

    /// A whole answer, as it is.
    pub(crate) fn raw(response: Response<Body>) -> Self {
        Self { raw: Some(response), ..Self::done() }
    }
}
