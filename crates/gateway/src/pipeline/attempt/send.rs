//! Makes one upstream call and reads its answer as far as it has to be known to be one: a whole body, or a stream's first
//! meaningful event. Every failure until then is a verdict. Tests: `it/failover.rs`.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::time::Instant;
use waypost_core::GatewayError;
use waypost_core::operation::Operation;
use waypost_core::provider::Place;
use waypost_core::route::Claim;
use waypost_core::verdict::{Outcome, Trouble, judge};
use waypost_wire::dialect::Face;
use waypost_wire::loss::Losses;

use super::read::{read, refusal};
use super::say::{Mode, Said, say};
use super::{Answer, Fallen};
use crate::app::{App, Live};
use crate::http::reply::JSON;
use crate::pipeline::call::{Call, forwarded};
use crate::pipeline::simulate;
use crate::upstream::{Answer as Upstream, Failure, OutBody, Outgoing, Target, Timeouts};

/// A request about to be sent.
pub(super) struct Ready {
    path: String,
    headers: HeaderMap,
    body: OutBody,
    mode: Mode,
    losses: Losses,
}

impl Ready {
    /// Works out everything that is sent.
    pub(super) fn new(app: &App, live: &Live, claim: &Claim, call: &Call) -> Result<Self, Fallen> {
        let Said { body, mode, losses } = say(app, live, claim, call).map_err(Fallen::Said)?;
        let stream = call.peek.stream && !matches!(mode, Mode::Retell(_));
        Ok(Self { path: path(claim, call, stream)?, headers: headers(claim, call), body, mode, losses })
    }

    pub(super) fn is_translated(&self) -> bool {
        matches!(self.mode, Mode::Translate(_) | Mode::Retell(_))
    }
}

/// Sends a request and reads its answer.
pub(super) async fn exchange(
    app: &App,
    live: &Live,
    claim: &Claim,
    call: &Call,
    ready: Ready,
    deadline: Instant,
) -> Result<Answer, Fallen> {
    let Ready { path, headers, body, mode, losses } = ready;
    let timeouts = claim.deployment.channel.timeouts;
    let first_token_by = deadline.min(Instant::now() + timeouts.first_token);
    let timeouts =
        Timeouts { connect: timeouts.connect, first_byte: timeouts.first_byte, idle: timeouts.idle, deadline };
    let upstream = send(app, live, claim, call, (path, headers, body), timeouts).await?;
    let (status, headers) = (upstream.status, upstream.headers);
    app.hear(claim, &headers);
    let unchanged = status == StatusCode::NOT_MODIFIED && matches!(mode, Mode::Through);
    if !status.is_success() && !unchanged {
        return Err(refusal(app, call, claim, status, &headers, upstream.body).await.into());
    }
    let content = read(call, claim, mode, &headers, upstream.body, first_token_by).await?;
    Ok(Answer { deployment: Arc::clone(&claim.deployment), status, headers, losses, content })
}

fn path(claim: &Claim, call: &Call, stream: bool) -> Result<String, Fallen> {
    let channel = &claim.deployment.channel;
    let place = Place {
        prefix: &channel.prefix,
        model: &claim.deployment.upstream,
        path: &call.path,
        query: if claim.endpoint.dialect == call.face.dialect { call.query.as_deref() } else { None },
        version: channel.api_version.as_deref().unwrap_or_default(),
        stream,
    };
    claim.endpoint.path_and_query(&place).ok_or_else(|| Fallen::Said(GatewayError::not_found(&call.path)))
}

fn headers(claim: &Claim, call: &Call) -> HeaderMap {
    let channel = &claim.deployment.channel;
    let mut headers = HeaderMap::with_capacity(16);
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("waypost/", env!("CARGO_PKG_VERSION"))));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if !call.passes_through() {
        headers.insert(CONTENT_TYPE, JSON);
    }
    for (name, value) in &channel.headers {
        headers.insert(name, value.clone());
    }
    if claim.endpoint.dialect == call.face.dialect {
        // A caller that speaks the dialect itself knows which version of it: its word outweighs the channel's default.
        // What was read as JSON is sent as that, whatever its caller calls it: in another character set it could be another one.
        let typed = |name: &HeaderName| *name == CONTENT_TYPE && !call.passes_through();
        for (name, value) in forwarded(&call.headers).filter(|(name, _)| !typed(name)) {
            headers.insert(name, value.clone());
        }
    } else {
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    }
    if let Some((name, value)) = claim.credential().and_then(|credential| credential.header.as_ref()) {
        headers.insert(name, value.clone());
    }
    headers
}

async fn send(
    app: &App,
    live: &Live,
    claim: &Claim,
    call: &Call,
    (path, headers, body): (String, HeaderMap, OutBody),
    timeouts: Timeouts,
) -> Result<Upstream, Fallen> {
    let sent = match live.origin(claim.deployment.channel.id) {
        Some(origin) => {
            let Ok(target) = Target::at(Arc::clone(origin), &path) else {
                return Err(Fallen::Said(GatewayError::not_found(&call.path)));
            };
            let method = if call.operation == Operation::Chat { Method::POST } else { call.method.clone() };
            app.transport.send(Outgoing { method, target, headers, body }, timeouts).await
        }
        None => {
            let Some(face) = Face::of(claim.endpoint.dialect) else {
                return Err(judge(Outcome::Unreadable, call.model.as_deref()).into());
            };
            let body = match body {
                OutBody::Full(body) => body,
                OutBody::Stream(_) => Bytes::new(),
            };
            simulate::send(&app.simulator, call.operation, face, &path, body, timeouts).await
        }
    };
    sent.map_err(|failure| match call.upload_error() {
        Some(error) if failure == Failure::RequestBody => Fallen::Said(error),
        Some(_) | None => judge(Outcome::Trouble(trouble(&failure)), call.model.as_deref()).into(),
    })
}

/// What a failure means to the verdict.
pub(crate) fn trouble(failure: &Failure) -> Trouble {
    match failure {
        Failure::Connect(_) | Failure::Tls => Trouble::Connect,
        Failure::ConnectTimeout | Failure::HeadTimeout | Failure::IdleTimeout | Failure::Deadline => Trouble::Timeout,
        Failure::TooLarge { .. } => Trouble::TooLarge,
        Failure::RequestBody => Trouble::CallerBody,
        Failure::ClosedBeforeHead | Failure::BadHead | Failure::HeadTooLarge | Failure::BodyCut | Failure::BadBody => {
            Trouble::Broken
        }
    }
}
