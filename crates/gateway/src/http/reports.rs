//! Reports on usage and the log of calls, as people and programs see them: what a question means, and how answers are drawn.
//! Decides no right: whoever calls says within which scope. Tests: `it/reports.rs` and below.

pub(in crate::http) mod billing;
pub(in crate::http) mod calls;
pub(in crate::http) mod csv;
pub(in crate::http) mod day;
pub(in crate::http) mod money;
pub(in crate::http) mod usage;

use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response};
use waypost_core::GatewayError;

use super::admin::query::Query;
use super::body::Body;

/// Where a CSV file goes on, which has no place for it inside.
const NEXT: HeaderName = HeaderName::from_static("x-waypost-next");

/// Is the answer to be a CSV file?
pub(in crate::http) fn wants_csv(query: &Query) -> Result<bool, GatewayError> {
    match query.get("format") {
        None | Some("json") => Ok(false),
        Some("csv") => Ok(true),
        Some(_) => Err(GatewayError::invalid_request("`format` is `json` or `csv`.", Some("format"))),
    }
}

/// A CSV file as an answer.
pub(in crate::http) fn file(name: &'static str, csv: String, next: Option<&str>) -> Response<Body> {
    let mut response = Response::new(Body::Full(csv.into()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present"));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    if let Some(next) = next.and_then(|next| HeaderValue::from_str(next).ok()) {
        headers.insert(NEXT, next);
    }
    response
}

/// The error for a place that no answer gave.
pub(in crate::http) fn no_place() -> GatewayError {
    GatewayError::invalid_request("`after` is no place in this list; use `next` of an answer.", Some("after"))
}
