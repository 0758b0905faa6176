//! Gives the caller the answer: relayed byte for byte where the dialects agree, translated event by event where not.
//!
//! Decides the head of an answer, whole answers, and which of the three streams one is: [`Relay`], [`Translate`] or [`Through`].
//! Once bytes have gone out there is no other deployment: a break becomes the caller's dialect's error event, and never
//! a clean finish. Must not know routes, retries or prices. Tests: `it/streams.rs`, `it/identity.rs`.

mod relay;
mod through;
mod translate;
mod watch;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use waypost_core::operation::Operation;
use waypost_core::snapshot::Deployment;
use waypost_core::usage::{Basis, Outcome};
use waypost_wire::chat::event::Event;
use waypost_wire::chat::{self, Part, replay};
use waypost_wire::dialect::{AnswerSplice, Tap};
use waypost_wire::loss::Losses;
use waypost_wire::sse::Frame;

pub use self::relay::Relay;
pub use self::through::{Count, Through};
pub use self::translate::Translate;
use super::attempt::{Answer, Content};
use super::call::Call;
use super::frames::Frames;
use super::kept::{Keeping, Written};
use super::meter::Meter;
use crate::app::{App, Live};
use crate::http::body::Body;
use crate::http::reply::{EVENT_STREAM, JSON};
use crate::seals::witness::SealWitness;

const DEPLOYMENT: HeaderName = HeaderName::from_static("x-waypost-deployment");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-waypost-attempts");
/// How the usage of an answer is known: `provider`, `counted`, `estimated`, or `pending` for a stream.
pub const COST_BASIS: HeaderName = HeaderName::from_static("x-waypost-cost-basis");
const LOSSES: HeaderName = HeaderName::from_static("x-waypost-losses");
/// How many headers an answer has that tells of no limits.
const USUAL_HEADERS: usize = 12;
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
    // Room for those that are added on the way out. hyper keeps the map as long as the connection, so there is no more of it
    // than a usual answer needs.
    let mut headers = HeaderMap::with_capacity(USUAL_HEADERS);
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
            (Body::Relay(Box::new(Keeping::new(relay))), PENDING, None)
        }
        Content::TranslatedStream(opening) => {
            headers.insert(CONTENT_TYPE, EVENT_STREAM);
            if show_upstream {
                reply.model = opening.model().unwrap_or(&*deployment.upstream).to_owned();
            }
            let encoder = call.face.codec.stream_encoder(reply);
            let witness = SealWitness::new(Arc::clone(&app.seals), deployment.channel.id);
            let translate = Translate::new(opening, encoder, meter, witness);
            (Body::Translate(Box::new(Keeping::new(translate))), PENDING, None)
        }
        Content::Through(body) => {
            keep_entity_headers(&upstream, &mut headers);
            let count = Count::of(call, &upstream);
            let basis = if count.is_pending() { PENDING } else { Basis::Estimated.name() };
            (Body::Through(Box::new(Keeping::new(Through::new(body, meter, count)))), basis, None)
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
    pub held: Vec<Frame>,
    /// Their events.
    pub events: Vec<Event>,
    /// How many of their bytes are pictures and sound.
    pub media: usize,
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
