//! Tries the plan's attempts until one really answers: says the request in the upstream's dialect, sends it, and holds
//! the answer back until its first meaningful event. Until then every failure can go on to the next attempt.
//!
//! Core's verdict decides what to try next; nothing here knows a vendor or a status. Tests: `it/failover.rs`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::time::Instant;
use waypost_core::GatewayError;
use waypost_core::operation::Operation;
use waypost_core::provider::Place;
use waypost_core::route::{Attempt, Plan};
use waypost_core::snapshot::Deployment;
use waypost_core::verdict::{self, Next, Outcome, Tally, Trouble, Verdict, judge};
use waypost_wire::WireError;
use waypost_wire::chat::event::Event;
use waypost_wire::chat::{Choice, FinishReason, Response};
use waypost_wire::dialect::{Decoded, Face, StreamUsage, Survey, Tap, Target, UpstreamDialect};
use waypost_wire::error::RemoteError;
use waypost_wire::loss::Losses;
use waypost_wire::splice::{Splice, quoted};

use super::call::{Call, Payload, forwarded};
use super::deliver::{Change, Opening};
use super::frames::{Break, Frames, Step};
use super::meter::Meter;
use super::simulate;
use crate::app::{App, Live};
use crate::http::reply::JSON;
use crate::upstream::{Answer as Upstream, AnswerBody, Failure, OutBody, Outgoing, Timeouts};

/// The largest whole answer taken from an upstream.
const MAX_ANSWER: u64 = 32 << 20;
/// The largest error body read for its words.
const MAX_ERROR: u64 = 64 << 10;

/// The answer of the attempt that won.
pub struct Answer {
    pub deployment: Arc<Deployment>,
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// What the request's translation could not carry.
    pub losses: Losses,
    pub content: Content,
}

/// What is to be delivered.
pub enum Content {
    /// A whole answer in the caller's dialect.
    Relayed { body: Bytes, survey: Survey, tap: &'static dyn Tap, change: Change },
    /// A whole answer in another dialect.
    Translated(Box<Response>),
    /// A stream in the caller's dialect.
    RelayedStream { opening: Opening, tap: &'static dyn Tap, change: Change },
    /// A stream in another dialect.
    TranslatedStream(Opening),
    /// Bytes nobody reads here.
    Through(AnswerBody),
}

/// Makes attempts in the plan's order until one answers.
pub async fn first_success(
    app: &App,
    live: &Live,
    plan: &Plan,
    call: &mut Call,
    meter: &mut Meter,
) -> Result<Answer, GatewayError> {
    let mut tally = Tally::default();
    let mut deadline = None;
    let mut attempts = plan.attempts.iter().peekable();
    while let Some(attempt) = attempts.next() {
        let deadline = *deadline.get_or_insert_with(|| call.at + attempt.deployment.channel.timeouts.total);
        let verdict = match make(app, live, attempt, call, meter, deadline).await {
            Ok(answer) => return Ok(answer),
            Err(Fallen::Said(error)) => return Err(error),
            Err(Fallen::Judged(verdict)) => *verdict,
        };
        tracing::warn!(
            request.id = %call.request_id,
            deployment = %attempt.deployment.label,
            attempt = meter.attempts(),
            class = verdict.class.name(),
            "the attempt failed: {}", verdict.error,
        );
        let next = verdict.next;
        tally.add(verdict);
        let spent = matches!(call.payload, Payload::Arriving(None));
        if next == Next::Stop || spent || tally.attempts() >= plan.max_attempts || Instant::now() >= deadline {
            break;
        }
        if next == Next::Deployment {
            while attempts.next_if(|other| other.deployment.id == attempt.deployment.id).is_some() {}
        }
    }
    Err(tally.into_error())
}

/// How an attempt failed.
enum Fallen {
    /// The request cannot be said to this upstream, and the caller must know why.
    Said(GatewayError),
    /// The upstream failed.
    Judged(Box<Verdict>),
}

impl From<Verdict> for Fallen {
    fn from(verdict: Verdict) -> Self {
        Self::Judged(Box::new(verdict))
    }
}

async fn make(
    app: &App,
    live: &Live,
    attempt: &Attempt,
    call: &mut Call,
    meter: &mut Meter,
    deadline: Instant,
) -> Result<Answer, Fallen> {
    let deployment = &attempt.deployment;
    let said = say(app, attempt, call).map_err(Fallen::Said)?;
    meter.attempt(&deployment.label, matches!(said.mode, Mode::Translate(_)));
    let Said { body, mode, losses } = said;
    let outgoing = Request { path: path(attempt, call)?, headers: headers(attempt, call), body };
    let upstream = send(app, live, attempt, call, outgoing, deadline).await?;
    let (status, headers) = (upstream.status, upstream.headers);
    let unchanged = status == StatusCode::NOT_MODIFIED && matches!(mode, Mode::Through);
    if !status.is_success() && !unchanged {
        return Err(refusal(app, call, attempt, status, &headers, upstream.body).await.into());
    }
    let content = read(call, attempt, mode, &headers, upstream.body).await?;
    Ok(Answer { deployment: Arc::clone(deployment), status, headers, losses, content })
}

// === saying the request ===

/// A request in the upstream's words.
struct Said {
    body: OutBody,
    mode: Mode,
    losses: Losses,
}

/// How the answer will be read.
enum Mode {
    Relay(&'static dyn Tap, Change),
    Translate(&'static dyn UpstreamDialect),
    Through,
}

fn say(app: &App, attempt: &Attempt, call: &mut Call) -> Result<Said, GatewayError> {
    let deployment = &attempt.deployment;
    let dialect = attempt.endpoint.dialect;
    if call.operation == Operation::Chat && dialect != call.face.dialect {
        let codec = dialect.codec();
        let mut request = call.decoded()?;
        app.seals.restore(deployment.channel.id, &mut request);
        let mut losses = Losses::default();
        let target = Target { model: &deployment.upstream, traits: &deployment.traits };
        let body = codec.encode_request(&request, &target, &mut losses)?;
        refuse_losses(call, &losses)?;
        return Ok(Said { body: OutBody::Full(body), mode: Mode::Translate(codec), losses });
    }
    let (body, change) = relayed(deployment, call);
    let mode = match call.tap() {
        Some(tap) => Mode::Relay(tap, change),
        None => Mode::Through,
    };
    Ok(Said { body, mode, losses: Losses::default() })
}

fn refuse_losses(call: &Call, losses: &Losses) -> Result<(), GatewayError> {
    let lost: Vec<&str> = losses.refused_when_strict().map(|loss| loss.field.as_str()).collect();
    match lost.first() {
        Some(first) if call.is_strict() => {
            let message = format!(
                "The model's provider cannot be told: {}. Leave it out, or drop `x-waypost-strict`.",
                lost.join(", ")
            );
            Err(GatewayError::unsupported(message, Some(first)))
        }
        Some(_) | None => Ok(()),
    }
}

/// The caller's own bytes, with the few that Waypost owns spliced, and what must be undone in the answer.
fn relayed(deployment: &Deployment, call: &mut Call) -> (OutBody, Change) {
    let renamed = call.model.as_deref().is_some_and(|model| model != &*deployment.upstream);
    let asks_usage = call.peek.stream
        && matches!(call.operation, Operation::Chat | Operation::Completions)
        && call.face.dialect == waypost_wire::Dialect::OpenaiChat
        && call.peek.include_usage != Some(true)
        && deployment.traits.stream_usage == StreamUsage::Asked;
    let unasked_usage = call.peek.stream && call.peek.include_usage != Some(true);
    let change = Change { model: if renamed { call.model.clone() } else { None }, hide_usage: unasked_usage };
    let body = match &mut call.payload {
        Payload::Arriving(upload) => match upload.take() {
            Some(upload) => upload.into_body(if renamed { &deployment.upstream } else { "" }),
            None => OutBody::empty(),
        },
        Payload::Whole(body) => {
            let mut splice = Splice::default();
            if let (true, Some(at)) = (renamed, call.peek.model_at.clone()) {
                splice.replace(at, quoted(&deployment.upstream));
            }
            if asks_usage {
                // The peek has read these bytes as JSON; if they were not, asking for nothing would be right.
                let _ = splice.ask_usage(body, &call.peek);
            }
            OutBody::Full(splice.apply(body))
        }
    };
    (body, change)
}

// === sending it ===

/// A request about to be sent.
struct Request {
    path: String,
    headers: HeaderMap,
    body: OutBody,
}

fn path(attempt: &Attempt, call: &Call) -> Result<String, Fallen> {
    let channel = &attempt.deployment.channel;
    let place = Place {
        prefix: &channel.prefix,
        model: &attempt.deployment.upstream,
        path: &call.path,
        query: if attempt.endpoint.dialect == call.face.dialect { call.query.as_deref() } else { None },
        version: channel.api_version.as_deref().unwrap_or_default(),
        stream: call.peek.stream,
    };
    attempt.endpoint.path_and_query(&place).ok_or_else(|| Fallen::Said(GatewayError::not_found(&call.path)))
}

fn headers(attempt: &Attempt, call: &Call) -> HeaderMap {
    let channel = &attempt.deployment.channel;
    let mut headers = HeaderMap::with_capacity(16);
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("waypost/", env!("CARGO_PKG_VERSION"))));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if call.operation != Operation::Passthrough {
        headers.insert(CONTENT_TYPE, JSON);
    }
    for (name, value) in &channel.headers {
        headers.insert(name, value.clone());
    }
    if attempt.endpoint.dialect == call.face.dialect {
        // A caller that speaks the dialect itself knows which version of it: its word outweighs the channel's default.
        for (name, value) in forwarded(&call.headers) {
            headers.insert(name, value.clone());
        }
    } else {
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    }
    let credential = channel.credentials.get(attempt.credential);
    if let Some((name, value)) = credential.and_then(|credential| credential.header.as_ref()) {
        headers.insert(name, value.clone());
    }
    headers
}

async fn send(
    app: &App,
    live: &Live,
    attempt: &Attempt,
    call: &Call,
    request: Request,
    deadline: Instant,
) -> Result<Upstream, Fallen> {
    let channel = &attempt.deployment.channel;
    let timeouts = Timeouts {
        connect: channel.timeouts.connect,
        first_byte: channel.timeouts.first_byte,
        idle: channel.timeouts.idle,
        deadline,
    };
    let sent = match live.origin(channel.id) {
        Some(origin) => {
            let Ok(target) = crate::upstream::Target::at(Arc::clone(origin), &request.path) else {
                return Err(Fallen::Said(GatewayError::not_found(&call.path)));
            };
            let Request { headers, body, .. } = request;
            let method = if call.operation == Operation::Chat { Method::POST } else { call.method.clone() };
            app.transport.send(Outgoing { method, target, headers, body }, timeouts).await
        }
        None => {
            let Some(face) = Face::of(attempt.endpoint.dialect) else {
                return Err(judge(Outcome::Unreadable, call.model.as_deref()).into());
            };
            let body = match request.body {
                OutBody::Full(body) => body,
                OutBody::Stream(_) => Bytes::new(),
            };
            simulate::send(&app.simulator, call.operation, face, &request.path, body, timeouts).await
        }
    };
    sent.map_err(|failure| match call.upload_error() {
        Some(error) if failure == Failure::RequestBody => Fallen::Said(error),
        Some(_) | None => judge(Outcome::Trouble(trouble(&failure)), call.model.as_deref()).into(),
    })
}

fn trouble(failure: &Failure) -> Trouble {
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

// === reading the answer ===

/// Reads an error answer for its words and judges it.
async fn refusal(
    app: &App,
    call: &Call,
    attempt: &Attempt,
    status: StatusCode,
    headers: &HeaderMap,
    body: AnswerBody,
) -> Verdict {
    // An error page that is too large or broken still has its status.
    let body = body.collect(MAX_ERROR).await.unwrap_or_default();
    let remote = scrubbed(attempt.endpoint.dialect.codec().decode_error(&body), attempt);
    let said = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let header = said.and_then(|value| verdict::retry_after(value, app.unix_seconds()));
    let retry_after = header.or(remote.retry_after_ms.map(Duration::from_millis));
    judge(Outcome::Status { status: status.as_u16(), remote: &remote, retry_after }, call.model.as_deref())
}

async fn read(
    call: &Call,
    attempt: &Attempt,
    mode: Mode,
    headers: &HeaderMap,
    body: AnswerBody,
) -> Result<Content, Fallen> {
    let model = call.model.as_deref();
    let streams = headers.get(CONTENT_TYPE).is_some_and(is_event_stream);
    match mode {
        Mode::Through => Ok(Content::Through(body)),
        Mode::Relay(..) | Mode::Translate(_) if streams != call.peek.stream => {
            Err(judge(Outcome::Unreadable, model).into())
        }
        Mode::Relay(tap, change) if streams => {
            let opening = open(Frames::new(body, tap.stream_decoder()), attempt, model).await?;
            Ok(Content::RelayedStream { opening, tap, change })
        }
        Mode::Translate(codec) if streams => {
            let opening = open(Frames::new(body, codec.stream_decoder()), attempt, model).await?;
            Ok(Content::TranslatedStream(opening))
        }
        Mode::Relay(tap, change) => {
            let body = collect(body, model).await?;
            let survey = tap.survey_response(&body).map_err(|error| unreadable(&error, model))?;
            match survey.error {
                Some(remote) => Err(inside(remote, attempt, model)),
                None => Ok(Content::Relayed { body, survey, tap, change }),
            }
        }
        Mode::Translate(codec) => {
            let body = collect(body, model).await?;
            match codec.decode_response(&body).map_err(|error| unreadable(&error, model))? {
                Decoded::Error(remote) => Err(inside(remote, attempt, model)),
                Decoded::Response(response) => match failure(&response) {
                    Some(remote) => Err(inside(remote, attempt, model)),
                    None => Ok(Content::Translated(Box::new(response))),
                },
            }
        }
    }
}

fn is_event_stream(content_type: &HeaderValue) -> bool {
    const KIND: &[u8] = b"text/event-stream";
    content_type.as_bytes().get(..KIND.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(KIND))
}

/// An answer that says of itself that it failed, or that nothing ended it, is none.
fn failure(response: &Response) -> Option<RemoteError> {
    let unfinished = |choice: &Choice| matches!(choice.finish, None | Some(FinishReason::Failed(_)));
    let failed = response.choices.is_empty() || response.choices.iter().any(unfinished);
    failed.then(RemoteError::default)
}

async fn collect(body: AnswerBody, model: Option<&str>) -> Result<Bytes, Fallen> {
    let collected = body.collect(MAX_ANSWER).await;
    collected.map_err(|failure| judge(Outcome::Trouble(trouble(&failure)), model).into())
}

fn unreadable(error: &WireError, model: Option<&str>) -> Fallen {
    tracing::debug!(%error, "an upstream's answer could not be read");
    judge(Outcome::Unreadable, model).into()
}

/// Holds a stream back until it has said something.
async fn open(mut frames: Frames, attempt: &Attempt, model: Option<&str>) -> Result<Opening, Fallen> {
    let mut held = std::collections::VecDeque::new();
    let mut events = Vec::new();
    loop {
        let before = events.len();
        let step = frames.step(&mut events).map_err(|cause| broken(cause, attempt, model))?;
        let meaningful = events.iter().skip(before).any(Event::is_meaningful);
        match step {
            Step::Frame(frame) => held.push_back(frame),
            // Even an empty answer says why it stopped, which is meaningful. This one failed, or is no answer.
            Step::End => return Err(speechless(&events, model)),
            Step::Starved => {
                let more = std::future::poll_fn(|cx| frames.poll_more(cx)).await;
                more.map_err(|cause| broken(cause, attempt, model))?;
            }
        }
        if meaningful {
            return Ok(Opening { frames, held, events });
        }
    }
}

fn inside(remote: RemoteError, attempt: &Attempt, model: Option<&str>) -> Fallen {
    judge(Outcome::Inside(&scrubbed(remote, attempt)), model).into()
}

/// Shorter texts are no secrets, and may stand in any sentence.
const MIN_SECRET: usize = 8;

/// What an upstream says of a request, without the channel's keys: some echo them.
fn scrubbed(mut remote: RemoteError, attempt: &Attempt) -> RemoteError {
    let credentials = attempt.deployment.channel.credentials.iter();
    let values = credentials.filter_map(|credential| credential.header.as_ref()?.1.to_str().ok());
    for value in values {
        let secret = value.strip_prefix("Bearer ").unwrap_or(value);
        if secret.len() < MIN_SECRET {
            continue;
        }
        let words = [&mut remote.kind, &mut remote.code, &mut remote.param].into_iter().flatten();
        for text in words.chain([&mut remote.message]).filter(|text| text.contains(secret)) {
            *text = text.replace(secret, "[redacted]");
        }
    }
    remote
}

fn speechless(events: &[Event], model: Option<&str>) -> Fallen {
    let failed = events.iter().any(|event| matches!(event, Event::Finish { .. }));
    let outcome = if failed { Outcome::Inside(&RemoteError::default()) } else { Outcome::Unreadable };
    judge(outcome, model).into()
}

fn broken(cause: Break, attempt: &Attempt, model: Option<&str>) -> Fallen {
    let outcome = match cause {
        Break::Transport(failure) => Outcome::Trouble(trouble(&failure)),
        Break::Remote(remote) => return inside(remote, attempt, model),
        Break::Unfinished => Outcome::Trouble(Trouble::Broken),
        Break::Garbled(_) | Break::FrameTooLong => Outcome::Unreadable,
    };
    judge(outcome, model).into()
}
