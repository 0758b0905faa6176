//! HTTP in: one request becomes one answer. Matches the route, hands the request to its endpoint, and dresses what comes
//! back. Decides nothing about models, money or upstreams. Tests: `it/v1/`.

pub mod admin;
pub mod api;
pub mod auth;
pub mod body;
pub mod cors;
pub mod manage;
pub mod multipart;
pub mod rates;
pub mod reply;
mod reports;
pub mod required;
pub mod router;

use std::future::Future;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::Instant;
use waypost_core::GatewayError;
use waypost_core::operation::Operation;
use waypost_wire::dialect::Face;

use self::body::Body;
use self::cors::Verdict;
use self::router::{Endpoint, HealthDepth, Route, is_data_plane, route};
use crate::app::App;
use crate::pipeline;
use crate::pipeline::call::Inbound;
use crate::security::Sign;
use crate::serve::{BodyError, Peer, Refusal, check_encoding, check_head};

/// When a caller may try again whose request was one too many.
pub const OVERLOAD_PAUSE: Duration = Duration::from_secs(1);

/// A request on its way in, with what every endpoint needs of it.
pub struct Arrival {
    pub request: Request<Incoming>,
    pub face: Face,
    pub request_id: Arc<str>,
    /// Where its caller is; `None` if a trusted proxy did not say.
    pub client: Option<IpAddr>,
}

/// Answers one request; whatever happens inside, there is an answer.
pub async fn answer(app: Arc<App>, request: Request<Incoming>, peer: Peer) -> Response<Body> {
    let request_id = app.request_id(request.headers().get(&reply::REQUEST_ID));
    let signature = HeaderValue::from_str(&request_id).unwrap_or(HeaderValue::from_static("invalid"));
    let uri = request.uri().clone();
    let Route { endpoint, face } =
        route(request.method(), uri.path(), request.headers().contains_key("anthropic-version"));
    let head = check_head(&request, app.limits());
    let client = app.client_address(request.headers(), peer.addr);
    // What tells more than whether it is well is asked for with a token, which could be guessed at.
    let is_told = matches!(endpoint, Endpoint::Health { depth } if depth != HealthDepth::Detailed);
    let blocked = app.blocked(client).filter(|_| !is_told);
    let browser =
        if is_data_plane(&endpoint, uri.path()) { app.judge_origin(request.headers()) } else { Verdict::Silent };
    let mut response = match (head, browser.preflight(request.method(), request.headers())) {
        (Err(refusal), _) => {
            app.suspect(&app.live(), Sign::BadHead, client, None);
            let mut response = refuse(&app, &refused(refusal), face, &request_id);
            // Where a head is in doubt, so is where the next one begins.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }
        (Ok(()), _) if let Some(wait) = blocked => refuse(&app, &GatewayError::blocked(wait), face, &request_id),
        (Ok(()), Some(preflight)) => preflight,
        (Ok(()), None) => {
            let arrival = Arrival { request, face, request_id: Arc::clone(&request_id), client };
            if endpoint == Endpoint::Managed && !arrival.request.method().is_safe() {
                // On the heap, because each connection has the room of the future that answers.
                Box::pin(to_the_end(&app, arrival, peer)).await
            } else {
                worked(&app, endpoint, arrival, peer).await
            }
        }
    };
    browser.tell(response.headers_mut());
    reply::sign(&mut response, face, &signature);
    response
}

/// The answer to a change that the administration was asked for, which is made even if nobody waits for it any more: it changes the
/// database and memory, and must not change one of them only.
async fn to_the_end(app: &Arc<App>, arrival: Arrival, peer: Peer) -> Response<Body> {
    let (face, request_id) = (arrival.face, Arc::clone(&arrival.request_id));
    let working = {
        let app = Arc::clone(app);
        async move { worked(&app, Endpoint::Managed, arrival, peer).await }
    };
    // A panic inside is an answer already; what is left is a runtime that ends.
    let ended = app.desk.to_the_end("administration", working).await;
    ended.unwrap_or_else(|| refuse(app, &GatewayError::shutting_down(), face, &request_id))
}

/// The endpoint's answer, or the error that it ended in, be it a panic.
async fn worked(app: &App, endpoint: Endpoint<'_>, arrival: Arrival, peer: Peer) -> Response<Body> {
    let (face, request_id, client) = (arrival.face, Arc::clone(&arrival.request_id), arrival.client);
    let working = pin!(dispatch(app, endpoint, arrival, peer));
    let result = match Caught(working).await {
        Ok(result) => result,
        Err(panic) => {
            app.count_panic();
            Err(GatewayError::internal(panic))
        }
    };
    result.unwrap_or_else(|error| drawn(app, &error, face, &request_id, client))
}

/// The answer to a request that was not admitted.
pub fn drawn(app: &App, error: &GatewayError, face: Face, request_id: &str, client: Option<IpAddr>) -> Response<Body> {
    if let Some(sign) = Sign::of(error.kind()) {
        app.suspect(&app.live(), sign, client, None);
    }
    refuse(app, error, face, request_id)
}

fn refuse(app: &App, error: &GatewayError, face: Face, request_id: &str) -> Response<Body> {
    app.telemetry.count_refusal(error.kind());
    app.log_refusal(request_id, error);
    reply::error(error, face, request_id)
}

async fn dispatch(
    app: &App,
    endpoint: Endpoint<'_>,
    arrival: Arrival,
    peer: Peer,
) -> Result<Response<Body>, GatewayError> {
    check_encoding(arrival.request.headers()).map_err(refused)?;
    match endpoint {
        Endpoint::Health { depth } => Ok(api::health::answer(app, depth, arrival.request.headers(), arrival.client)),
        Endpoint::Managed => Ok(Box::pin(manage::answer(app, arrival, peer)).await),
        Endpoint::Metrics => {
            let Arrival { request, client, .. } = &arrival;
            api::metrics::answer(app, request.headers(), request.uri().path(), *client)
        }
        Endpoint::NotFound => Err(GatewayError::not_found(arrival.request.uri().path())),
        Endpoint::MethodNotAllowed { allow } => {
            let error = GatewayError::method_not_allowed(arrival.request.method().as_str());
            let mut response = reply::error(&error, arrival.face, &arrival.request_id);
            response.headers_mut().insert(http::header::ALLOW, HeaderValue::from_static(allow));
            Ok(response)
        }
        _ if app.is_draining() => Err(GatewayError::shutting_down()),
        _ if peer.overloaded => Err(GatewayError::overloaded(OVERLOAD_PAUSE)),
        Endpoint::ChatCompletions => asked(app, arrival, Operation::Chat, "chat/completions").await,
        Endpoint::Responses => asked(app, arrival, Operation::Chat, "responses").await,
        Endpoint::Messages => asked(app, arrival, Operation::Chat, "messages").await,
        Endpoint::Completions => asked(app, arrival, Operation::Completions, "completions").await,
        Endpoint::Embeddings => asked(app, arrival, Operation::Embeddings, "embeddings").await,
        Endpoint::PassThrough { rest } => {
            let operation = router::passing(arrival.request.method(), rest);
            asked(app, arrival, operation, rest).await
        }
        Endpoint::Estimate => {
            Box::pin(pipeline::estimate(app, inbound(arrival, Operation::Chat, "chat/completions/estimate"))).await
        }
        Endpoint::CountTokens => {
            Box::pin(pipeline::count(app, inbound(arrival, Operation::CountTokens, "messages/count_tokens"))).await
        }
        Endpoint::Billing(wanted) => api::billing::answer(app, &arrival, wanted).await,
        Endpoint::Models => api::models::list(app, &arrival),
        Endpoint::Model { id } => api::models::one(app, &arrival, id),
    }
}

/// Walks the corridor. On the heap, because a connection keeps the room of what it once awaited, and would be moved with it:
/// so the room is given back once the head of the answer is out.
fn asked<'a>(
    app: &'a App,
    arrival: Arrival,
    operation: Operation,
    rest: &str,
) -> Pin<Box<dyn Future<Output = Result<Response<Body>, GatewayError>> + Send + 'a>> {
    Box::pin(pipeline::run(app, inbound(arrival, operation, rest)))
}

fn inbound(arrival: Arrival, operation: Operation, rest: &str) -> Inbound {
    Inbound { arrival, operation, rest: rest.to_owned(), at: Instant::now() }
}

/// What the edge says by itself, of requests whose dialect it does not know.
pub fn edge_refusal(app: &App, status: StatusCode) -> Response<Bytes> {
    let error = match status {
        StatusCode::SERVICE_UNAVAILABLE => GatewayError::shutting_down(),
        StatusCode::URI_TOO_LONG => GatewayError::uri_too_long(),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => GatewayError::header_too_large(),
        _ => GatewayError::invalid_request("This is not a valid HTTP request.", None),
    };
    if status != StatusCode::SERVICE_UNAVAILABLE {
        // Where it came from is not known here.
        app.suspect(&app.live(), Sign::BadHead, None, None);
    }
    let request_id = app.request_id(None);
    app.telemetry.count_refusal(error.kind());
    app.log_refusal(&request_id, &error);
    let signature = HeaderValue::from_str(&request_id).unwrap_or(HeaderValue::from_static("invalid"));
    let mut response = reply::error(&error, Face::OPENAI_CHAT, &request_id);
    reply::sign(&mut response, Face::OPENAI_CHAT, &signature);
    response.map(Body::into_whole)
}

/// The error for a request that the edge's limits refuse.
pub fn refused(refusal: Refusal) -> GatewayError {
    match refusal {
        Refusal::BadRequest(message) => GatewayError::invalid_request(message, None),
        Refusal::UriTooLong => GatewayError::uri_too_long(),
        Refusal::HeadTooLarge => GatewayError::header_too_large(),
        Refusal::BodyTooLarge { limit } => GatewayError::too_large(limit),
        Refusal::Timeout => GatewayError::request_timeout(),
        Refusal::UnsupportedEncoding => GatewayError::unsupported_encoding(),
    }
}

/// The error for a body that could not be read.
pub fn unreadable(error: BodyError) -> GatewayError {
    match error {
        BodyError::TooLarge { limit } => GatewayError::too_large(limit),
        BodyError::Timeout => GatewayError::request_timeout(),
        BodyError::Broken => GatewayError::invalid_request("The request body ended before it was complete.", None),
    }
}

/// The virtual key a request carries: `Authorization: Bearer`, `x-api-key` or `api-key`. None where one of these stands
/// twice: whoever stands before us may have looked at the other.
pub fn token(headers: &HeaderMap) -> Option<&str> {
    if ["authorization", "x-api-key", "api-key"].iter().any(|name| headers.get_all(*name).iter().nth(1).is_some()) {
        return None;
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text("authorization").and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    text("x-api-key").or(bearer).or_else(|| text("api-key"))
}

/// A future whose panic becomes a value, so that the caller still gets an answer.
struct Caught<F>(F);

/// A panic's message never leaves the log.
#[derive(Debug)]
struct Panicked;

impl std::fmt::Display for Panicked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a panic while handling the request")
    }
}

impl std::error::Error for Panicked {}

impl<F: Future + Unpin> Future for Caught<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = &mut self.0;
        match std::panic::catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    }
}
