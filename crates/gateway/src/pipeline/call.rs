//! One request as the rooms see it: what was asked, by whose rules, in which bytes.
//!
//! The body is read once and peeked once; it is decoded only if some attempt has to translate it. Tests: `it/v1/`.

use std::net::IpAddr;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;
use waypost_core::GatewayError;
use waypost_core::access::Caller;
use waypost_core::operation::Operation;
use waypost_core::route::{Charge, Query};
use waypost_core::usage::{TraceContext, Whose};
use waypost_wire::chat::Request;
use waypost_wire::dialect::{Face, Reply, Tap};
use waypost_wire::peek::{Peek, keys_once};
use waypost_wire::splice::Splice;
use waypost_wire::{WireError, anthropic, completions, embeddings};

use super::funds::Payer;
use super::meter::Opened;
use crate::app::App;
use crate::http::multipart::{Ahead, Search, boundary};
use crate::http::required::{self, Form};
use crate::http::{Arrival, unreadable};
use crate::serve::{BodyError, LimitedBody, read_body};
use crate::upstream::{BoxError, OutBody};

/// How many bytes of an upload may wait for its `model` field.
const LOOK_AHEAD: usize = 1 << 20;

/// No model has a longer name; where a pattern serves any name, it is kept, logged and sent on.
const LONGEST_NAME: usize = 512;

/// What is known of the settings of a request that nobody had to decode, in any number of answers under way.
static UNREAD: LazyLock<Arc<Request>> = LazyLock::new(Arc::default);

/// A request before its body is read.
pub struct Inbound {
    pub arrival: Arrival,
    pub operation: Operation,
    /// The path below the mount, without a leading slash.
    pub rest: String,
    pub at: Instant,
}

/// A request ready to be routed.
pub struct Call {
    pub face: Face,
    pub operation: Operation,
    pub method: Method,
    pub headers: HeaderMap,
    /// The path below the mount, with a leading slash, and the query.
    pub path: String,
    pub query: Option<String>,
    pub payload: Payload,
    pub peek: Peek,
    pub model: Option<Arc<str>>,
    pub request_id: Arc<str>,
    /// Where its caller is, as far as anybody knows.
    pub client: Option<IpAddr>,
    pub at: Instant,
    /// When the body was read and validated.
    pub read: Instant,
    /// Read from the body when the first attempt needs it.
    decoded: OnceLock<Arc<Request>>,
    /// Why the rest of an upload could not be read.
    upload_fault: Arc<OnceLock<BodyError>>,
    /// How it is charged, if it is.
    pub charge: Option<Charge>,
    /// Who pays for it, if somebody does.
    pub payer: Option<Payer>,
}

/// The body of a request.
pub enum Payload {
    /// Here, whole; any number of attempts can send it.
    Whole(Bytes),
    /// Still arriving; one attempt can send it, which leaves nothing behind.
    Arriving(Arriving),
}

/// An upload that can be taken once.
pub struct Arriving {
    upload: Mutex<Option<Upload>>,
    fault: Arc<OnceLock<BodyError>>,
}

impl Arriving {
    fn new(upload: Upload) -> Self {
        let fault = Arc::clone(&upload.fault);
        Self { upload: Mutex::new(Some(upload)), fault }
    }

    /// The upload, for the attempt that sends it.
    pub fn take(&self) -> Option<Upload> {
        self.upload.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn is_taken(&self) -> bool {
        self.upload.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

impl Call {
    /// Reads the body as far as routing needs it, and validates it.
    pub async fn read(app: &App, inbound: Inbound) -> Result<Self, GatewayError> {
        let Inbound { arrival, operation, rest, at } = inbound;
        let Arrival { request, face, request_id, client } = arrival;
        let (head, body) = request.into_parts();
        let (payload, peek) = match operation {
            Operation::Passthrough | Operation::Images | Operation::Audio | Operation::Models => {
                read_by_form(app, &head, &rest, body).await?
            }
            Operation::Chat | Operation::CountTokens | Operation::Completions | Operation::Embeddings => {
                let body = read_body(body, app.limits()).await.map_err(unreadable)?;
                let peek = peek(operation, face, &body)?;
                (Payload::Whole(body), peek)
            }
        };
        if peek.model.as_deref().is_some_and(|name| name.contains(char::is_control)) {
            return Err(GatewayError::invalid_request("The model's name holds control characters.", Some("model")));
        }
        if peek.model.as_deref().is_some_and(|name| name.len() > LONGEST_NAME) {
            let message = format!("The model's name is longer than {LONGEST_NAME} bytes.");
            return Err(GatewayError::invalid_request(message, Some("model")));
        }
        let model = peek.model.as_deref().map(Arc::from);
        let upload_fault = match &payload {
            Payload::Arriving(arriving) => Arc::clone(&arriving.fault),
            Payload::Whole(_) => Arc::default(),
        };
        Ok(Self {
            face,
            operation,
            method: head.method,
            path: format!("/{rest}"),
            query: head.uri.query().map(str::to_owned),
            headers: head.headers,
            payload,
            peek,
            model,
            request_id,
            client,
            at,
            read: Instant::now(),
            decoded: OnceLock::new(),
            upload_fault,
            charge: None,
            payer: None,
        })
    }

    /// What was wrong with an upload that could not be sent to its end, if the caller is to blame.
    pub fn upload_error(&self) -> Option<GatewayError> {
        self.upload_fault.get().copied().map(unreadable)
    }

    /// What routing is asked.
    pub fn query(&self) -> Query<'_> {
        Query {
            model: self.model.as_deref(),
            operation: self.operation,
            dialect: self.face.dialect,
            needs: self.peek.needs,
            charge: self.charge,
        }
    }

    /// What the meter starts from.
    pub fn opened(&self, caller: &Caller) -> Opened {
        Opened {
            request_id: Arc::clone(&self.request_id),
            key: Arc::clone(&caller.name),
            whose: Whose { key_id: Arc::clone(&caller.id), user: caller.user.clone(), team: caller.team.clone() },
            client: self.client,
            model: self.model.clone(),
            operation: self.operation.name(),
            stream: self.peek.stream,
            input_bytes: self.body().map_or(0, |body| body.len() as u64),
            counting: self.counting(),
            at: self.at,
            read: self.read,
            trace: self.headers.get("traceparent").and_then(|parent| TraceContext::parse(parent.to_str().ok()?)),
        }
    }

    /// Its body is gone: no further attempt can send it.
    pub fn is_spent(&self) -> bool {
        match &self.payload {
            Payload::Whole(_) => false,
            Payload::Arriving(arriving) => arriving.is_taken(),
        }
    }

    /// Doing it twice is as good as once: it only reads, it takes something away, it generates, or its key says that the provider
    /// takes it for the same. What passes through otherwise may create an object.
    pub fn is_repeatable(&self) -> bool {
        let passes_through = matches!(self.operation, Operation::Passthrough | Operation::Models);
        !passes_through || self.method.is_idempotent() || self.headers.contains_key("idempotency-key")
    }

    /// About how many tokens it will take, input and output: what is reserved of limits until they are known.
    pub fn tokens(&self) -> u64 {
        /// Where the caller sets no cap.
        const USUAL_OUTPUT: u64 = 256;
        let input = waypost_core::usage::estimate(self.body().map_or(0, |body| body.len() as u64));
        input.saturating_add(USUAL_OUTPUT)
    }

    /// How long the body is, if that is known.
    pub fn length(&self) -> Option<u64> {
        match &self.payload {
            Payload::Whole(body) => Some(body.len() as u64),
            Payload::Arriving(_) => self.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok(),
        }
    }

    /// The body, if it is here whole.
    pub fn body(&self) -> Option<&Bytes> {
        match &self.payload {
            Payload::Whole(body) => Some(body),
            Payload::Arriving(_) => None,
        }
    }

    /// The request in the neutral model, decoded on first use.
    pub fn decoded(&self) -> Result<Arc<Request>, WireError> {
        if let Some(decoded) = self.decoded.get() {
            return Ok(Arc::clone(decoded));
        }
        let body = self.body().cloned().unwrap_or_default();
        // Translating reads every key, not only those that routing peeks at.
        keys_once(&body)?;
        let decoded = Arc::new(self.face.codec.decode_request(&body)?);
        Ok(Arc::clone(self.decoded.get_or_init(|| decoded)))
    }

    /// Does the caller refuse translations that lose something (`x-waypost-strict: true`)?
    pub fn is_strict(&self) -> bool {
        self.headers.get("x-waypost-strict").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
    }

    /// How an answer to this call is dressed.
    pub fn reply(&self, created: u64) -> Reply {
        let request = Arc::clone(self.decoded.get().unwrap_or(&UNREAD));
        Reply {
            id: self.request_id.strip_prefix("req_").unwrap_or(&self.request_id).to_owned(),
            created,
            model: self.model.as_deref().unwrap_or_default().to_owned(),
            include_usage: self.peek.include_usage.unwrap_or(false),
            input_estimate: waypost_core::usage::estimate(self.body().map_or(0, |body| body.len() as u64)),
            request,
        }
    }

    /// Reads answers of this operation in a dialect that relays them.
    pub fn tap(&self) -> Option<&'static dyn Tap> {
        match self.operation {
            Operation::Chat => Some(self.face.dialect.codec()),
            Operation::Completions => Some(&completions::Completions),
            Operation::Embeddings => Some(&embeddings::Embeddings),
            Operation::CountTokens
            | Operation::Images
            | Operation::Audio
            | Operation::Models
            | Operation::Passthrough => None,
        }
    }
}

fn peek(operation: Operation, face: Face, body: &[u8]) -> Result<Peek, WireError> {
    match operation {
        Operation::CountTokens => anthropic::peek_count_tokens(body),
        Operation::Completions => completions::peek(body),
        Operation::Embeddings => embeddings::peek(body),
        Operation::Chat | Operation::Images | Operation::Audio | Operation::Models | Operation::Passthrough => {
            face.codec.peek(body)
        }
    }
}

/// Reads a request that passes through: JSON is read whole, so that it can be routed by its model and sent again;
/// everything else goes on while it arrives.
async fn read_by_form(
    app: &App,
    head: &http::request::Parts,
    rest: &str,
    body: Incoming,
) -> Result<(Payload, Peek), GatewayError> {
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let form = if head.method == Method::POST { required::form(rest) } else { None };
    if let Some(boundary) = boundary(content_type)
        && !matches!(form, Some(Form::Json(_)))
    {
        let body = LimitedBody::new(body, app.limits()).map_err(unreadable)?;
        return look_ahead(body, &boundary, form).await;
    }
    let fields = match form {
        Some(Form::Multipart(field)) => return Err(required::not_multipart(field)),
        Some(Form::Json(fields) | Form::Either(fields)) => Some(fields),
        None if is_json(content_type) => Some(&[] as &[_]),
        None => None,
    };
    match fields {
        Some(fields) => {
            let body = read_body(body, app.limits()).await.map_err(unreadable)?;
            let nothing_needed = form.is_none() && body.is_empty();
            let peek = if nothing_needed { Peek::default() } else { required::check_json(&body, fields)? };
            Ok((Payload::Whole(body), peek))
        }
        None if body.is_end_stream() => Ok((Payload::Whole(Bytes::new()), Peek::default())),
        None => {
            let body = LimitedBody::new(body, app.limits()).map_err(unreadable)?;
            Ok((Payload::Arriving(Arriving::new(Upload::new(Bytes::new(), None, body))), Peek::default()))
        }
    }
}

fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// Waits for the `model` field of an upload, up to [`LOOK_AHEAD`] bytes, and lets the rest arrive while it is sent.
async fn look_ahead(
    mut body: LimitedBody,
    boundary: &str,
    form: Option<Form>,
) -> Result<(Payload, Peek), GatewayError> {
    let needed = match form {
        Some(Form::Multipart(field)) => Some(field),
        Some(Form::Json(_) | Form::Either(_)) | None => None,
    };
    let mut search = Search::new(boundary, needed);
    let mut ahead = BytesMut::new();
    let mut found = None;
    let mut whole = false;
    while found.is_none() && !whole && ahead.len() < LOOK_AHEAD {
        match body.chunk().await.map_err(unreadable)? {
            Some(chunk) => ahead.extend_from_slice(&chunk),
            None => whole = true,
        }
        match search.look(&ahead) {
            Ahead::Model(name, at) => found = Some((name, at)),
            Ahead::Absent => whole = true,
            Ahead::Unknown => {}
        }
    }
    if let (true, Some(field)) = (whole && !search.has_needed(), needed) {
        return Err(required::not_multipart(field));
    }
    let (model, model_at) = found.unzip();
    let upload = Upload::new(ahead.freeze(), model_at, body);
    Ok((Payload::Arriving(Arriving::new(upload)), Peek { model, ..Peek::default() }))
}

/// A body that goes on while it arrives: first what was read ahead, then the rest.
pub struct Upload {
    ahead: Bytes,
    /// Where the model's name stands in `ahead`.
    model_at: Option<Range<usize>>,
    body: LimitedBody,
    /// Told here as well, because what carries the body to the upstream keeps no reasons.
    fault: Arc<OnceLock<BodyError>>,
}

impl Upload {
    fn new(ahead: Bytes, model_at: Option<Range<usize>>, body: LimitedBody) -> Self {
        Self { ahead, model_at, body, fault: Arc::default() }
    }

    /// The body as an upstream is sent it, with its own name for the model.
    pub fn into_body(mut self, upstream_model: &str) -> OutBody {
        if let Some(at) = self.model_at.take().filter(|_| !upstream_model.is_empty()) {
            let mut splice = Splice::default();
            splice.replace(at, upstream_model);
            self.ahead = splice.apply(&self.ahead);
        }
        OutBody::Stream(Box::pin(self))
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !self.ahead.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.ahead)))));
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        frame.map_err(|error| {
            let _ = self.fault.set(error);
            error.into()
        })
    }

    fn size_hint(&self) -> SizeHint {
        let ahead = self.ahead.len() as u64;
        match self.body.size_hint().exact() {
            Some(rest) => SizeHint::with_exact(ahead + rest),
            None => SizeHint::default(),
        }
    }
}

/// The headers of a request that go on to an upstream: what describes the body and what picks a version or beta of the
/// API. Credentials, cookies, addresses and everything else stay here.
pub fn forwarded(headers: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    const KEPT: [&str; 8] = [
        "content-type",
        "accept",
        "anthropic-beta",
        "anthropic-version",
        "idempotency-key",
        "if-none-match",
        "openai-beta",
        "range",
    ];
    headers.iter().filter(|(name, _)| KEPT.contains(&name.as_str()))
}
