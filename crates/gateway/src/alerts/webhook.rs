//! Posts alerts to one address, signed. Decides what is posted and what counts as taken; when is for [`super::Room`].
//! Tests: `it/alerts.rs`.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use ring::hmac;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use waypost_core::config;
use waypost_store::alerts::Alert;
use waypost_store::digest::hex;

use super::words;
use crate::upstream::{Origin, OutBody, Outgoing, Target, Timeouts, TlsProfile, Transport};

/// `sha256=` and the HMAC-SHA256 of the body, in hexadecimal digits.
const SIGNATURE: HeaderName = HeaderName::from_static("x-waypost-signature");
/// The longest that one post takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where alerts are posted.
pub struct Webhook {
    target: Target,
    key: hmac::Key,
    transport: Box<dyn Transport>,
}

/// An alert as it is posted; fields are added, never renamed.
#[derive(Serialize)]
struct Posted<'a> {
    /// The same each time it is posted.
    id: &'a str,
    kind: &'a str,
    message: String,
    subject: &'a str,
    mark: i64,
    reached: i64,
    bound: i64,
    unit: &'a str,
    window_at: i64,
    created_at: i64,
}

impl Webhook {
    /// The webhook of these settings; `None` if they name none. An error is a sentence about what is wrong with them. What
    /// its address may reach is what any upstream's may.
    pub fn new(settings: &config::Alerts, transport: Box<dyn Transport>) -> Result<Option<Self>, String> {
        let (Some(address), Some(secret)) = (&settings.webhook, &settings.secret) else { return Ok(None) };
        let wrong = || "alerts.webhook: this is no address; write it as https://host/path".to_owned();
        let uri: Uri = address.parse().map_err(|_| wrong())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(wrong()) };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let origin = Origin::parse(&format!("{scheme}://{authority}"), TlsProfile::Public).map_err(|_| wrong())?;
        let target = Target::at(Arc::new(origin.allow_private(settings.allow_private)), path).map_err(|_| wrong())?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        Ok(Some(Self { target, key, transport }))
    }

    /// Posts an alert once. The error says why it was not taken.
    pub(super) async fn post(&self, alert: &Alert) -> Result<(), String> {
        let posted = Posted {
            id: &alert.id,
            kind: &alert.kind,
            message: words(alert),
            subject: &alert.subject,
            mark: alert.mark,
            reached: alert.reached,
            bound: alert.bound,
            unit: &alert.unit,
            window_at: alert.window_at,
            created_at: alert.created_at,
        };
        let body = serde_json::to_vec(&posted).map_err(|error| error.to_string())?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("waypost/", env!("CARGO_PKG_VERSION"))));
        let signature = format!("sha256={}", hex(hmac::sign(&self.key, &body).as_ref()));
        headers.insert(SIGNATURE, HeaderValue::from_str(&signature).map_err(|error| error.to_string())?);
        let body = OutBody::Full(body.into());
        let outgoing = Outgoing { method: Method::POST, target: self.target.clone(), headers, body };
        let deadline = Instant::now() + PATIENCE;
        match timeout_at(deadline, self.transport.send(outgoing, Timeouts::until(deadline))).await {
            Ok(Ok(answer)) if answer.status.is_success() => {
                let _ = answer.body.collect(64 << 10).await;
                Ok(())
            }
            Ok(Ok(answer)) => Err(format!("status {}", answer.status.as_u16())),
            Ok(Err(failure)) => Err(failure.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }
}
