//! One request as the rooms see it: what was asked, by whose rules, in which bytes.
//!
//! The body is read once and peeked once; it is decoded only if some attempt has to translate it. Tests: `it/v1/`.

use std::net::IpAddr;
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};

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
use crate::http::multipart::{Field, Flaw, Search, boundary, is_form, no_boundary};
use crate::http::required::{self, Form};
use crate::http::{Arrival, unreadable};
use crate::serve::{BodyError, LimitedBody, read_body};
use crate::upstream::{BoxError, OutBody};

/// How many bytes of an upload may wait for its `model` field, where nothing says that there is one.
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
    Arriving(Box<Arriving>),
}

/// An upload that can be taken once.
pub struct Arriving {
    upload: Mutex<Option<Upload>>,
    carried: Arc<Carried>,
}

/// What became of an upload so far, told by whoever carries it.
#[derive(Debug, Default)]
pub struct Carried {
    bytes: AtomicU64,
    /// Told here, because what carries the body to the upstream keeps no reasons.
    fault: OnceLock<Fault>,
}

impl Carried {
    /// About how many tokens were in what went on to the upstream.
    pub fn tokens(&self) -> u64 {
        media_tokens(self.bytes.load(Ordering::Relaxed))
    }
}

/// Why an upload could not be carried to its end.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Body(BodyError),
    Form(Flaw),
}

/// About how many tokens pictures, sound and documents of so many bytes have: far fewer than a text.
pub fn media_tokens(bytes: u64) -> u64 {
    const BYTES: u64 = 100;
    bytes.div_ceil(BYTES)
}

impl Arriving {
    fn new(upload: Upload) -> Self {
        let carried = Arc::clone(&upload.carried);
        Self { upload: Mutex::new(Some(upload)), carried }
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
                read_by_form(app, &head, (operation, &rest), body).await?
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
            charge: None,
            payer: None,
        })
    }

    /// What was wrong with an upload that could not be sent to its end, if the caller is to blame.
    pub fn upload_error(&self) -> Option<GatewayError> {
        let Payload::Arriving(arriving) = &self.payload else { return None };
        arriving.carried.fault.get().map(|fault| match *fault {
            Fault::Body(error) => unreadable(error),
            Fault::Form(flaw) => flaw.into(),
        })
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
            input_estimate: self.input_estimate(),
            upload: match &self.payload {
                // What names a model has a prompt, whatever it is called.
                Payload::Arriving(arriving) if self.model.is_some() => Some(Arc::clone(&arriving.carried)),
                Payload::Arriving(_) | Payload::Whole(_) => None,
            },
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
    /// takes it for the same. What passes through otherwise may create an object, and a picture costs as much again.
    pub fn is_repeatable(&self) -> bool {
        !self.passes_through() || self.method.is_idempotent() || self.headers.contains_key("idempotency-key")
    }

    /// Nobody here reads the answer, and of the request only what routing and money need.
    pub fn passes_through(&self) -> bool {
        match self.operation {
            Operation::Images | Operation::Audio | Operation::Models | Operation::Passthrough => true,
            Operation::Chat | Operation::CountTokens | Operation::Completions | Operation::Embeddings => false,
        }
    }

    /// About how many tokens its body has, if that is here whole.
    pub fn input_estimate(&self) -> u64 {
        let bytes = self.body().map_or(0, |body| body.len() as u64);
        let media = self.peek.needs.media_bytes.min(bytes);
        waypost_core::usage::estimate(bytes - media).saturating_add(media_tokens(media))
    }

    /// About how many tokens it will take, input and output: what is reserved of limits until they are known.
    pub fn tokens(&self) -> u64 {
        /// Where the caller sets no cap.
        const USUAL_OUTPUT: u64 = 256;
        self.input_estimate().saturating_add(USUAL_OUTPUT)
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
            input_estimate: self.input_estimate(),
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
    (operation, rest): (Operation, &str),
    body: Incoming,
) -> Result<(Payload, Peek), GatewayError> {
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let form = if head.method.is_safe() { None } else { required::form(rest) };
    if is_form(content_type) && !matches!(form, Some(Form::Json(_))) {
        let boundary = boundary(content_type).ok_or_else(no_boundary)?;
        let body = LimitedBody::new(body, app.limits()).map_err(unreadable)?;
        return look_ahead(body, &boundary, operation, form).await;
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
            Ok((
                Payload::Arriving(Box::new(Arriving::new(Upload::new(Bytes::new(), None, None, body)))),
                Peek::default(),
            ))
        }
    }
}

fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// Waits for the fields of an upload that it is routed and paid by, and lets the rest arrive while it is sent. Pictures and sound
/// always have a model, which may stand behind them: they are waited for to the end.
async fn look_ahead(
    mut body: LimitedBody,
    boundary: &str,
    operation: Operation,
    form: Option<Form>,
) -> Result<(Payload, Peek), GatewayError> {
    let needed = match form {
        Some(Form::Multipart(field)) => Some(field),
        Some(Form::Json(_) | Form::Either(_)) | None => None,
    };
    let is_painter = operation == Operation::Images;
    let fields: &[Field] = if is_painter { &[Field::Model, Field::N] } else { &[Field::Model] };
    let most = if is_painter || operation == Operation::Audio { usize::MAX } else { LOOK_AHEAD };
    let mut search = Search::new(boundary, fields, needed);
    let mut ahead = BytesMut::new();
    let mut whole = false;
    while !(whole || search.has_all() || ahead.len() >= most) {
        match body.chunk().await.map_err(unreadable)? {
            Some(chunk) => {
                search.read(&chunk)?;
                ahead.extend_from_slice(&chunk);
                whole = search.is_over();
            }
            None => whole = true,
        }
    }
    if let (true, Some(field)) = (whole && !search.has_needed(), needed) {
        return Err(required::not_multipart(field));
    }
    search.seal();
    let (model, model_at) = search.model().cloned().unzip();
    let n = search.n().unwrap_or(1);
    let upload = Upload::new(ahead.freeze(), model_at, Some(search), body);
    Ok((Payload::Arriving(Box::new(Arriving::new(upload))), Peek { model, n, ..Peek::default() }))
}

/// A body that goes on while it arrives: first what was read ahead, then the rest.
pub struct Upload {
    ahead: Bytes,
    /// Where the model's name stands in `ahead`.
    model_at: Option<Range<usize>>,
    /// Sees to it that no other one follows.
    search: Option<Search>,
    body: LimitedBody,
    carried: Arc<Carried>,
}

impl Upload {
    fn new(ahead: Bytes, model_at: Option<Range<usize>>, search: Option<Search>, body: LimitedBody) -> Self {
        Self { ahead, model_at, search, body, carried: Arc::default() }
    }

    fn carry(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Fault> {
        if let Some(bytes) = frame.data_ref() {
            self.search.as_mut().map_or(Ok(()), |search| search.read(bytes)).map_err(Fault::Form)?;
            self.carried.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        Ok(frame)
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
            let ahead = std::mem::take(&mut self.ahead);
            self.carried.bytes.fetch_add(ahead.len() as u64, Ordering::Relaxed);
            return Poll::Ready(Some(Ok(Frame::data(ahead))));
        }
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else { return Poll::Ready(None) };
        let carried = frame.map_err(Fault::Body).and_then(|frame| self.carry(frame));
        Poll::Ready(Some(carried.map_err(|fault| {
            let _ = self.carried.fault.set(fault);
            match fault {
                Fault::Body(error) => error.into(),
                Fault::Form(flaw) => flaw.into(),
            }
        })))
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
