//! The one place that draws errors as answers, in the caller's dialect, and sets the headers every answer has.
//! Decides no status: core's table does. Tests: `it/v1/errors.rs`.

use http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use waypost_core::GatewayError;
use waypost_core::error::Origin;
use waypost_wire::dialect::Face;

use super::body::Body;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Anthropic's own spelling, which its SDKs read.
const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// The same, finer: OpenAI's and Anthropic's SDKs look at it first.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

pub const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");

/// An error as the caller's SDK expects it.
pub fn error(error: &GatewayError, face: Face, request_id: &str) -> Response<Body> {
    let mut response = Response::new(Body::Full(face.codec.encode_error(&error.fault(request_id))));
    *response.status_mut() = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    if let Some(seconds) = error.retry_after() {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    // Of our own limits it is known that exactly; what providers say is not.
    let exact = error.status() == 429 && error.origin() == Origin::Caller;
    if let Some(millis) = error.retry_after_millis().filter(|_| exact) {
        headers.insert(RETRY_AFTER_MS, millis.into());
    }
    if let Some(should_retry) = error.should_retry() {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static(if should_retry { "true" } else { "false" }));
    }
    response
}

/// A JSON body of our own.
pub fn json(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::Full(body.to_string().into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// Adds what every answer carries, whatever it is.
pub fn sign(response: &mut Response<Body>, face: Face, request_id: &HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, request_id.clone());
    if face.dialect == waypost_wire::Dialect::Anthropic {
        headers.insert(ANTHROPIC_REQUEST_ID, request_id.clone());
    }
    harden(headers);
}

/// Whatever an answer holds, a browser shall neither run, frame nor guess at it. An answer that is a page of ours brings a
/// content security policy of its own. (HSTS is for the listener to say: it knows whether there is TLS.)
fn harden(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
}
