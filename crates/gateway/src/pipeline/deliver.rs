//! Gives the caller the answer: relayed byte for byte where the dialects agree, translated event by event where not.
//!
//! Once bytes have gone out there is no other deployment: a break becomes the caller's dialect's error event, and never
//! a clean finish. Must not know routes, retries or prices. Tests: `it/streams.rs`, `it/identity.rs`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use waypost_core::GatewayError;
use waypost_core::operation::Operation;
use waypost_core::snapshot::Deployment;
use waypost_core::usage::{Basis, Outcome};
use waypost_core::verdict::Class;
use waypost_wire::chat::event::Event;
use waypost_wire::chat::{self, Part, replay};
use waypost_wire::dialect::{AnswerSplice, ClientDialect, Reply, StreamEncoder, Tap};
use waypost_wire::loss::Losses;
use waypost_wire::sse::Frame;

use super::attempt::{Answer, Content};
use super::call::Call;
use super::frames::{Break, Frames, Step, Tail};
use super::kept::{Chunk, Kept, Stream, Written};
use super::meter::Meter;
use crate::app::{App, Live};
use crate::http::body::{Body, Broken};
use crate::http::reply::{EVENT_STREAM, JSON};
use crate::seals::witness::SealWitness;
use crate::upstream::AnswerBody;

const DEPLOYMENT: HeaderName = HeaderName::from_static("x-waypost-deployment");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-waypost-attempts");
/// How the usage of an answer is known: `provider`, `counted`, `estimated`, or `pending` for a stream.
pub const COST_BASIS: HeaderName = HeaderName::from_static("x-waypost-cost-basis");
const LOSSES: HeaderName = HeaderName::from_static("x-waypost-losses");
/// The basis of a stream's usage is known at its end only; its record says it.
const PENDING: &str = "pending";

/// Dresses the winning attempt's answer for the caller.
///
/// What comes with it is waited for before any of it leaves; streams wait by themselves.
pub fn reply(
    app: &App,
    live: &Live,
    call: &Call,
    answer: Answer,
    mut meter: Meter,
) -> (Response<Body>, Option<Written>) {
    let Answer { deployment, status, headers: upstream, losses, content } = answer;
    // Room for those that are added on the way out, so that the map never grows.
    let mut headers = HeaderMap::with_capacity(24);
    keep_upstream_headers(&upstream, &mut headers);
    headers.insert(ATTEMPTS, HeaderValue::from(meter.attempts()));
    if let Ok(label) = HeaderValue::from_str(&deployment.label) {
        headers.insert(DEPLOYMENT, label);
    }
    meter.status(status.as_u16());
    let mut reply = call.reply(app.unix_seconds());
    let show_upstream = live.snapshot.show_upstream_model;
    let mut answer_losses = losses;
    let (body, basis, written) = match content {
        Content::Relayed { body, survey, tap, change } => {
            meter.whole(survey.usage.as_ref(), survey.output_bytes);
            let (usage, basis) = meter.usage();
            let splice = AnswerSplice {
                model: change.model.as_deref().filter(|_| !show_upstream),
                hide_usage: false,
                usage: (basis != Basis::Provider).then_some(&usage),
            };
            let body = tap.splice_answer(&body, &splice).unwrap_or(body);
            meter.settle(Outcome::Complete);
            (Body::Full(body), basis.name(), meter.written())
        }
        Content::Translated(mut response) => {
            let basis = weigh(app, &deployment, &mut response, &mut meter);
            if show_upstream {
                reply.model = response.model.take().unwrap_or_else(|| deployment.upstream.to_string());
            }
            let body = call.face.codec.encode_response(&response, &reply, &mut answer_losses);
            headers.insert(CONTENT_TYPE, JSON);
            meter.settle(Outcome::Complete);
            (Body::Full(body), basis.name(), meter.written())
        }
        Content::Retold(mut response) => {
            let basis = weigh(app, &deployment, &mut response, &mut meter);
            if show_upstream {
                reply.model = response.model.take().unwrap_or_else(|| deployment.upstream.to_string());
            }
            let mut encoder = call.face.codec.stream_encoder(reply);
            let mut body = BytesMut::new();
            replay(&response).iter().for_each(|event| encoder.event(event, &mut body));
            answer_losses.absorb(encoder.losses());
            headers.insert(CONTENT_TYPE, EVENT_STREAM);
            meter.settle(Outcome::Complete);
            (Body::Full(body.freeze()), basis.name(), meter.written())
        }
        Content::RelayedStream { opening, tap, mut change } => {
            if show_upstream {
                change.model = None;
            }
            headers.insert(CONTENT_TYPE, EVENT_STREAM);
            let mut relay = Relay::new(opening, tap, change, call.face.codec, reply, meter);
            if call.operation == Operation::Chat {
                relay.owe_usage();
            }
            (Body::Relay(Box::new(relay)), PENDING, None)
        }
        Content::TranslatedStream(opening) => {
            headers.insert(CONTENT_TYPE, EVENT_STREAM);
            if show_upstream {
                reply.model = opening.model().unwrap_or(&*deployment.upstream).to_owned();
            }
            let encoder = call.face.codec.stream_encoder(reply);
            let witness = SealWitness::new(Arc::clone(&app.seals), deployment.channel.id);
            (Body::Translate(Box::new(Translate::new(opening, encoder, meter, witness))), PENDING, None)
        }
        Content::Through(body) => {
            keep_entity_headers(&upstream, &mut headers);
            (Body::Through(Box::new(Through::new(body, meter))), Basis::Estimated.name(), None)
        }
    };
    headers.insert(COST_BASIS, HeaderValue::from_static(basis));
    if let Some(losses) = rendered(&answer_losses) {
        headers.insert(LOSSES, losses);
    }
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    (response, written)
}

/// Tells the seals and the meter of a whole answer, and puts in it the usage that will be charged.
fn weigh(app: &App, deployment: &Deployment, response: &mut chat::Response, meter: &mut Meter) -> Basis {
    let mut witness = SealWitness::new(Arc::clone(&app.seals), deployment.channel.id);
    response.choices.iter().take(1).for_each(|choice| witness.see_parts(&choice.parts));
    meter.whole(response.usage.as_ref(), text_bytes(response));
    let (usage, basis) = meter.usage();
    response.usage = Some(usage);
    basis
}

/// What of an upstream's headers a caller may see: what the body is, and what helps to talk to the provider's support.
fn keep_upstream_headers(from: &HeaderMap, to: &mut HeaderMap) {
    for name in [CONTENT_TYPE.as_str(), "openai-processing-ms", "openai-version"] {
        if let Some(value) = from.get(name) {
            to.insert(HeaderName::from_static(name), value.clone());
        }
    }
}

/// What describes bytes that pass through unread.
fn keep_entity_headers(from: &HeaderMap, to: &mut HeaderMap) {
    const KEPT: [&str; 6] =
        ["content-disposition", "content-encoding", "content-range", "accept-ranges", "etag", "last-modified"];
    for name in KEPT {
        if let Some(value) = from.get(name) {
            to.insert(HeaderName::from_static(name), value.clone());
        }
    }
}

/// The losses as a header: `field=fate` pairs. Field names come from code, never from a caller, but for unknown
/// top-level keys, which are left out if they cannot stand in a header.
fn rendered(losses: &Losses) -> Option<HeaderValue> {
    let words: Vec<String> = losses.iter().map(ToString::to_string).collect();
    if words.is_empty() {
        return None;
    }
    let joined: String = words.join(", ").chars().filter(|letter| matches!(letter, ' '..='~')).take(2048).collect();
    HeaderValue::from_str(&joined).ok()
}

fn text_bytes(response: &waypost_wire::chat::Response) -> u64 {
    let of = |part: &Part| match &part.content {
        chat::Content::Text(text) => text.text.len(),
        chat::Content::Refusal(text) => text.len(),
        chat::Content::Reasoning(reasoning) => reasoning.text.len(),
        chat::Content::ToolCall(call) => call.name.len() + call.arguments.len(),
        chat::Content::Image(_)
        | chat::Content::File(_)
        | chat::Content::Audio(_)
        | chat::Content::ToolResult(_)
        | chat::Content::Opaque { .. } => 0,
    };
    response.choices.iter().flat_map(|choice| &choice.parts).map(|part| of(part) as u64).sum()
}

/// What was read of a stream before the attempt was known to be good.
pub struct Opening {
    pub frames: Frames,
    /// Frames read so far, the meaningful one last.
    pub held: VecDeque<Frame>,
    /// Their events.
    pub events: Vec<Event>,
}

impl Opening {
    /// The model the upstream says it is; streams tell it before their first word.
    fn model(&self) -> Option<&str> {
        self.events.iter().find_map(|event| match event {
            Event::Start { model, .. } => model.as_deref(),
            _ => None,
        })
    }
}

/// What Waypost changes in a relayed answer.
#[derive(Clone, Default)]
pub struct Change {
    /// The name the caller asked for, where the upstream knows the model under another.
    pub model: Option<Arc<str>>,
    /// The caller did not ask for usage in the stream.
    pub hide_usage: bool,
}

impl Change {
    /// The bytes to send for this JSON: `None` means as they are, empty means not at all.
    pub fn apply(&self, tap: &dyn Tap, json: &[u8]) -> Option<Bytes> {
        if self.model.is_none() && !self.hide_usage {
            return None;
        }
        let splice = AnswerSplice { model: self.model.as_deref(), hide_usage: self.hide_usage, usage: None };
        tap.splice_answer(json, &splice)
    }
}

// === Relay ===

/// A stream in the upstream's own dialect: its frames, untouched but for [`Change`], read beside for the meter.
pub struct Relay {
    frames: Option<Frames>,
    tail: Option<Tail>,
    /// How the bytes sent so far end.
    ending: Ending,
    held: VecDeque<Frame>,
    events: Vec<Event>,
    tap: &'static dyn Tap,
    change: Change,
    /// Draws the error event, should the stream break.
    face: &'static dyn ClientDialect,
    reply: Reply,
    meter: Meter,
    kept: Kept,
    owed: Owed,
}

/// Whether the caller of a relayed stream was promised usage that the upstream has not said.
#[derive(Default)]
struct Owed {
    is_promised: bool,
    is_said: bool,
    /// Of the stream.
    id: Option<String>,
}

impl Owed {
    fn see(&mut self, event: &Event) {
        if let Event::Start { id: Some(id), .. } = event {
            self.id = Some(id.clone());
        }
        self.is_said |= matches!(event, Event::Usage(_));
    }
}

impl Relay {
    pub fn new(
        opening: Opening,
        tap: &'static dyn Tap,
        change: Change,
        face: &'static dyn ClientDialect,
        reply: Reply,
        mut meter: Meter,
    ) -> Self {
        let Opening { frames, held, events } = opening;
        let mut owed = Owed::default();
        for event in &events {
            meter.see(event);
            owed.see(event);
        }
        let (frames, tail, ending, kept) = (Some(frames), None, Ending::default(), Kept::default());
        // The events are looked at once more, for the terminal mark.
        let mut relay = Self { frames, tail, ending, held, events, tap, change, face, reply, meter, kept, owed };
        relay.finish_if_done();
        relay
    }

    /// The caller is told usage at the end, if it asked for it, whether the upstream says it or not.
    fn owe_usage(&mut self) {
        self.owed.is_promised = self.reply.include_usage;
    }

    /// Says what is owed; nothing if the upstream has said it.
    fn say_usage(&mut self, out: &mut Out) {
        if !self.owed.is_promised || std::mem::replace(&mut self.owed.is_said, true) {
            return;
        }
        let (usage, _) = self.meter.usage();
        if let Some(frame) = self.face.usage_frame(&self.reply, self.owed.id.as_deref(), &usage) {
            self.end_frame(out);
            self.ending = Ending::Blank;
            out.push(frame);
        }
    }

    fn poll_said(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut out = Out::default();
        while let Some(frame) = self.held.pop_front() {
            self.push(&mut out, frame);
        }
        loop {
            let Some(frames) = &mut self.frames else {
                return match out.take() {
                    Some(ready) => Poll::Ready(Some(ready)),
                    None => self.poll_tail(cx),
                };
            };
            self.events.clear();
            let step = frames.step(&mut self.events);
            for event in &self.events {
                self.meter.see(event);
                self.owed.see(event);
            }
            match step {
                Ok(Step::Frame(frame)) => {
                    self.push(&mut out, frame);
                    self.finish_if_done();
                }
                Ok(Step::End) => {
                    // Complete, but without its terminal mark: say it for the upstream.
                    let mark = self.tap.terminal_mark();
                    if !mark.is_empty() {
                        self.say_usage(&mut out);
                        self.end_frame(&mut out);
                        out.push(Bytes::from_static(mark));
                    }
                    self.end(Outcome::Complete);
                }
                Ok(Step::Starved) => {
                    if let Some(ready) = out.take() {
                        return Poll::Ready(Some(ready));
                    }
                    match frames.poll_more(cx) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(cause)) => self.break_off(&mut out, cause),
                    }
                }
                Err(cause) => self.break_off(&mut out, cause),
            }
        }
    }

    fn push(&mut self, out: &mut Out, frame: Frame) {
        if self.owed.is_promised && frame.data().is_some_and(|data| data.trim_ascii() == b"[DONE]") {
            self.say_usage(out);
        }
        let bytes = match frame.data().and_then(|data| self.change.apply(self.tap, data)) {
            None => frame.raw,
            Some(hidden) if hidden.is_empty() => return,
            Some(json) => frame.with_data(&json),
        };
        self.ending = Ending::of(&bytes);
        out.push(bytes);
    }

    /// The last frame of a body may lack its blank line; nothing more could be said behind it.
    fn end_frame(&mut self, out: &mut Out) {
        if self.ending == Ending::Open {
            out.push(Bytes::from_static(b"\n\n"));
        }
    }

    fn finish_if_done(&mut self) {
        if self.events.iter().any(|event| matches!(event, Event::Done)) {
            self.tail = self.frames.take().and_then(Frames::into_tail);
            self.end(Outcome::Complete);
        }
    }

    /// Waits for the end of the body behind the terminal mark. Of what follows the mark only the rest of its line end
    /// is the caller's.
    fn poll_tail(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        while let Some(tail) = &mut self.tail {
            match ready!(tail.poll_chunk(cx)) {
                None => self.tail = None,
                Some(bytes) => {
                    let ending = std::mem::take(&mut self.ending);
                    if ending == Ending::HalfBlank && bytes.starts_with(b"\n") {
                        return Poll::Ready(Some(Bytes::from_static(b"\n")));
                    }
                }
            }
        }
        Poll::Ready(None)
    }

    /// Ends it because this instance stops, which is no deployment's fault: the error event, or nothing if it had said
    /// everything.
    pub fn cut_short(&mut self) -> Bytes {
        let mut out = Out::default();
        if self.frames.is_some() {
            self.end_with(&mut out, &GatewayError::shutting_down(), None);
        }
        out.take().unwrap_or_default()
    }

    fn break_off(&mut self, out: &mut Out, cause: Break) {
        let class = cause.class();
        self.end_with(out, &GatewayError::stream_broken().caused_by(cause), class);
    }

    fn end_with(&mut self, out: &mut Out, error: &GatewayError, class: Option<Class>) {
        let mut drawn = BytesMut::new();
        let mut encoder = self.face.stream_encoder(self.reply.clone());
        encoder.error(&error.fault(self.meter.request_id()), &mut drawn);
        self.meter.fail(error, class);
        self.end_frame(out);
        out.push(drawn.freeze());
        self.end(Outcome::Broken);
    }

    fn end(&mut self, outcome: Outcome) {
        self.frames = None;
        self.meter.settle(outcome);
    }
}

impl Stream for Relay {
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Chunk> {
        self.poll_said(cx).map(|bytes| bytes.map(Ok))
    }

    fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }

    fn kept(&mut self) -> &mut Kept {
        &mut self.kept
    }
}

/// How relayed bytes end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ending {
    /// With a blank line: another frame may follow.
    #[default]
    Blank,
    /// With a blank line whose CR may be followed by its LF.
    HalfBlank,
    /// In the middle of a frame.
    Open,
}

impl Ending {
    fn of(bytes: &[u8]) -> Self {
        let before = match bytes {
            [before @ .., b'\r', b'\n'] | [before @ .., b'\n' | b'\r'] => before,
            _ => return Self::Open,
        };
        match (before.last(), bytes.last()) {
            (None | Some(b'\n' | b'\r'), Some(b'\r')) => Self::HalfBlank,
            (None | Some(b'\n' | b'\r'), _) => Self::Blank,
            (Some(_), _) => Self::Open,
        }
    }
}

/// Bytes for one write; a single piece is passed on without a copy.
#[derive(Default)]
struct Out {
    first: Bytes,
    rest: BytesMut,
}

impl Out {
    fn push(&mut self, bytes: Bytes) {
        if self.first.is_empty() {
            self.first = bytes;
        } else {
            if self.rest.is_empty() {
                self.rest.extend_from_slice(&self.first);
            }
            self.rest.extend_from_slice(&bytes);
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        let first = std::mem::take(&mut self.first);
        let rest = self.rest.split().freeze();
        let bytes = if rest.is_empty() { first } else { rest };
        (!bytes.is_empty()).then_some(bytes)
    }
}

// === Translate ===

/// A stream in another dialect than the caller's, said again event by event.
pub struct Translate {
    frames: Option<Frames>,
    tail: Option<Tail>,
    held: Vec<Event>,
    events: Vec<Event>,
    encoder: Box<dyn StreamEncoder>,
    meter: Meter,
    kept: Kept,
    witness: SealWitness,
}

impl Translate {
    pub fn new(opening: Opening, encoder: Box<dyn StreamEncoder>, meter: Meter, witness: SealWitness) -> Self {
        let Opening { frames, events: held, held: _ } = opening;
        Self {
            frames: Some(frames),
            tail: None,
            held,
            events: Vec::new(),
            encoder,
            meter,
            kept: Kept::default(),
            witness,
        }
    }

    fn poll_said(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut out = BytesMut::new();
        let held = std::mem::take(&mut self.held);
        self.say(&held, &mut out);
        loop {
            let Some(frames) = &mut self.frames else {
                return if out.is_empty() { self.poll_tail(cx) } else { Poll::Ready(Some(out.freeze())) };
            };
            let mut events = std::mem::take(&mut self.events);
            events.clear();
            let step = frames.step(&mut events);
            self.say(&events, &mut out);
            self.events = events;
            match step {
                Ok(Step::Frame(_)) => {}
                Ok(Step::End) => self.end(Outcome::Complete),
                Ok(Step::Starved) => {
                    if !out.is_empty() {
                        return Poll::Ready(Some(out.freeze()));
                    }
                    let Some(frames) = &mut self.frames else { continue };
                    match frames.poll_more(cx) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(cause)) => self.break_off(&mut out, cause),
                    }
                }
                Err(cause) => self.break_off(&mut out, cause),
            }
        }
    }

    fn say(&mut self, events: &[Event], out: &mut BytesMut) {
        for event in events {
            self.meter.see(event);
            self.witness.see(event);
            if matches!(event, Event::Done) {
                // What the upstream did not report is estimated, as in a whole answer.
                self.encoder.event(&Event::Usage(self.meter.usage().0), out);
            }
            self.encoder.event(event, out);
            if matches!(event, Event::Done) {
                self.end(Outcome::Complete);
            }
        }
    }

    /// Waits for the end of the body behind the terminal mark.
    fn poll_tail(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        while let Some(tail) = &mut self.tail {
            if ready!(tail.poll_chunk(cx)).is_none() {
                self.tail = None;
            }
        }
        Poll::Ready(None)
    }

    /// Ends it because this instance stops, which is no deployment's fault: the error event, or nothing if it had said
    /// everything.
    pub fn cut_short(&mut self) -> Bytes {
        let mut out = BytesMut::new();
        if self.frames.is_some() {
            self.end_with(&mut out, &GatewayError::shutting_down(), None);
        }
        out.freeze()
    }

    fn break_off(&mut self, out: &mut BytesMut, cause: Break) {
        let class = cause.class();
        self.end_with(out, &GatewayError::stream_broken().caused_by(cause), class);
    }

    fn end_with(&mut self, out: &mut BytesMut, error: &GatewayError, class: Option<Class>) {
        self.encoder.error(&error.fault(self.meter.request_id()), out);
        self.meter.fail(error, class);
        self.end(Outcome::Broken);
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some(frames) = self.frames.take() {
            self.tail = if outcome == Outcome::Complete { frames.into_tail() } else { None };
            self.meter.losses(self.encoder.losses());
            self.meter.settle(outcome);
        }
    }
}

impl Stream for Translate {
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Chunk> {
        self.poll_said(cx).map(|bytes| bytes.map(Ok))
    }

    fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }

    fn kept(&mut self) -> &mut Kept {
        &mut self.kept
    }
}

// === Through ===

/// An answer nobody reads here, passed on as it comes.
pub struct Through {
    body: AnswerBody,
    meter: Meter,
    kept: Kept,
}

impl Through {
    pub fn new(body: AnswerBody, meter: Meter) -> Self {
        Self { body, meter, kept: Kept::default() }
    }
}

impl Stream for Through {
    /// An error cuts the caller's connection, which is all that an unknown format lets us say.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Chunk> {
        self.body.poll_chunk(cx).map(|chunk| match chunk {
            Some(Ok(bytes)) => {
                self.meter.bytes(bytes.len());
                Some(Ok(bytes))
            }
            Some(Err(failure)) => {
                let class = Break::Transport(failure).class();
                let error = GatewayError::stream_broken().caused_by(failure);
                self.meter.fail(&error, class);
                self.meter.settle(Outcome::Broken);
                Some(Err(Broken))
            }
            None => {
                self.meter.settle(Outcome::Complete);
                None
            }
        })
    }

    fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }

    fn kept(&mut self) -> &mut Kept {
        &mut self.kept
    }
}
