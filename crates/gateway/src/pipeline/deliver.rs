//! Gives the caller the answer: relayed byte for byte where the dialects agree, translated event by event where not.
//!
//! Once bytes have gone out there is no other deployment: a break becomes the caller's dialect's error event, and never
//! a clean finish. Must not know routes, retries or prices. Tests: `it/streams.rs`, `it/identity.rs`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use waypost_core::GatewayError;
use waypost_core::ids::ChannelId;
use waypost_core::usage::Outcome;
use waypost_wire::chat::event::Event;
use waypost_wire::chat::{Content, Part, Reasoning};
use waypost_wire::dialect::{AnswerSplice, ClientDialect, Reply, StreamEncoder, Tap};
use waypost_wire::sse::{self, Frame};

use super::frames::{Break, Frames, Step};
use super::meter::Meter;
use crate::http::body::Broken;
use crate::seals::{Sealed, Seals};
use crate::upstream::AnswerBody;

/// What was read of a stream before the attempt was known to be good.
pub struct Opening {
    pub frames: Frames,
    /// Frames read so far, the meaningful one last.
    pub held: VecDeque<Frame>,
    /// Their events.
    pub events: Vec<Event>,
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
        tap.splice_answer(json, &AnswerSplice { model: self.model.as_deref(), hide_usage: self.hide_usage })
    }
}

// === Relay ===

/// A stream in the upstream's own dialect: its frames, untouched but for [`Change`], read beside for the meter.
pub struct Relay {
    frames: Option<Frames>,
    held: VecDeque<Frame>,
    events: Vec<Event>,
    tap: &'static dyn Tap,
    change: Change,
    /// Draws the error event, should the stream break.
    face: &'static dyn ClientDialect,
    reply: Reply,
    meter: Meter,
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
        events.iter().for_each(|event| meter.see(event));
        let mut relay =
            Self { frames: Some(frames), held, events: Vec::new(), tap, change, face, reply, meter };
        relay.finish_if_done(&events);
        relay
    }

    /// The next bytes for the caller; `None` at the end.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut out = Out::default();
        while let Some(frame) = self.held.pop_front() {
            self.push(&mut out, frame);
        }
        loop {
            let Some(frames) = &mut self.frames else {
                return Poll::Ready(out.take());
            };
            self.events.clear();
            let step = frames.step(&mut self.events);
            self.events.iter().for_each(|event| self.meter.see(event));
            match step {
                Ok(Step::Frame(frame)) => {
                    self.push(&mut out, frame);
                    self.close_if_done(cx);
                }
                Ok(Step::End) => {
                    // Complete, but without its terminal mark: say it for the upstream.
                    out.push(Bytes::from_static(self.tap.terminal_mark()));
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

    fn push(&self, out: &mut Out, frame: Frame) {
        match frame.data().and_then(|data| self.change.apply(self.tap, data)) {
            None => out.push(frame.raw),
            Some(hidden) if hidden.is_empty() => {}
            Some(json) => {
                let mut changed = BytesMut::with_capacity(json.len() + 32);
                sse::write(&mut changed, frame.event(), &json);
                out.push(changed.freeze());
            }
        }
    }

    fn close_if_done(&mut self, cx: &mut Context<'_>) {
        if self.events.iter().any(|event| matches!(event, Event::Done)) {
            if let Some(frames) = &mut self.frames {
                frames.poll_close(cx);
            }
            self.end(Outcome::Complete);
        }
    }

    fn finish_if_done(&mut self, events: &[Event]) {
        if events.iter().any(|event| matches!(event, Event::Done)) {
            self.end(Outcome::Complete);
        }
    }

    fn break_off(&mut self, out: &mut Out, cause: Break) {
        let mut drawn = BytesMut::new();
        let mut encoder = self.face.stream_encoder(self.reply.clone());
        let error = GatewayError::stream_broken().caused_by(cause);
        encoder.error(&error.fault(self.meter.request_id()), &mut drawn);
        self.meter.fail(&error);
        out.push(drawn.freeze());
        self.end(Outcome::Broken);
    }

    fn end(&mut self, outcome: Outcome) {
        self.frames = None;
        self.meter.settle(outcome);
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
    held: Vec<Event>,
    events: Vec<Event>,
    encoder: Box<dyn StreamEncoder>,
    meter: Meter,
    witness: SealWitness,
}

impl Translate {
    pub fn new(opening: Opening, encoder: Box<dyn StreamEncoder>, meter: Meter, witness: SealWitness) -> Self {
        let Opening { frames, events: held, held: _ } = opening;
        Self { frames: Some(frames), held, events: Vec::new(), encoder, meter, witness }
    }

    /// The next bytes for the caller; `None` at the end.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut out = BytesMut::new();
        let held = std::mem::take(&mut self.held);
        self.say(&held, &mut out, cx);
        loop {
            let Some(frames) = &mut self.frames else {
                return Poll::Ready((!out.is_empty()).then(|| out.freeze()));
            };
            let mut events = std::mem::take(&mut self.events);
            events.clear();
            let step = frames.step(&mut events);
            self.say(&events, &mut out, cx);
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

    fn say(&mut self, events: &[Event], out: &mut BytesMut, cx: &mut Context<'_>) {
        for event in events {
            self.meter.see(event);
            self.witness.see(event);
            self.encoder.event(event, out);
            if matches!(event, Event::Done) {
                if let Some(frames) = &mut self.frames {
                    frames.poll_close(cx);
                }
                self.end(Outcome::Complete);
            }
        }
    }

    fn break_off(&mut self, out: &mut BytesMut, cause: Break) {
        let error = GatewayError::stream_broken().caused_by(cause);
        self.encoder.error(&error.fault(self.meter.request_id()), out);
        self.meter.fail(&error);
        self.end(Outcome::Broken);
    }

    fn end(&mut self, outcome: Outcome) {
        if self.frames.take().is_some() {
            self.meter.losses(self.encoder.losses());
            self.meter.settle(outcome);
        }
    }
}

// === SealWitness ===

/// Watches a translated answer for sealed reasoning before tool calls and has it remembered.
pub struct SealWitness {
    seals: Arc<Seals>,
    channel: ChannelId,
    text: String,
    reasoning: Vec<Part>,
}

impl SealWitness {
    pub fn new(seals: Arc<Seals>, channel: ChannelId) -> Self {
        Self { seals, channel, text: String::new(), reasoning: Vec::new() }
    }

    /// Takes note of one event of the answer. Only the first choice is watched: sealed models give no other.
    pub fn see(&mut self, event: &Event) {
        match event {
            Event::Reasoning { choice: 0, text } => self.text.push_str(text),
            Event::ReasoningSeal { choice: 0, signature, redacted, id } => {
                let text = std::mem::take(&mut self.text);
                let content = Content::Reasoning(Reasoning { text, redacted: *redacted, id: id.clone() });
                self.reasoning.push(Part { signature: Some(signature.clone()), ..content.into() });
            }
            Event::ToolCall { choice: 0, id, signature, .. } => {
                if signature.is_some() || !self.reasoning.is_empty() {
                    let sealed = Sealed { reasoning: self.reasoning.clone(), call: signature.clone() };
                    self.seals.remember(self.channel, id, sealed);
                }
            }
            _ => {}
        }
    }

    /// The same for a whole answer.
    pub fn see_parts(&mut self, parts: &[Part]) {
        for part in parts {
            match &part.content {
                Content::Reasoning(_) if part.signature.is_some() => self.reasoning.push(part.clone()),
                Content::ToolCall(call) if part.signature.is_some() || !self.reasoning.is_empty() => {
                    let sealed = Sealed { reasoning: self.reasoning.clone(), call: part.signature.clone() };
                    self.seals.remember(self.channel, &call.id, sealed);
                }
                _ => {}
            }
        }
    }
}

// === Through ===

/// An answer nobody reads here, passed on as it comes.
pub struct Through {
    body: AnswerBody,
    meter: Meter,
}

impl Through {
    pub fn new(body: AnswerBody, meter: Meter) -> Self {
        Self { body, meter }
    }

    /// The next bytes; an error cuts the caller's connection, which is all that an unknown format lets us say.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        self.body.poll_chunk(cx).map(|chunk| match chunk {
            Some(Ok(bytes)) => {
                self.meter.bytes(bytes.len());
                Some(Ok(bytes))
            }
            Some(Err(failure)) => {
                let error = GatewayError::stream_broken().caused_by(failure);
                self.meter.fail(&error);
                self.meter.settle(Outcome::Broken);
                Some(Err(Broken))
            }
            None => {
                self.meter.settle(Outcome::Complete);
                None
            }
        })
    }
}
