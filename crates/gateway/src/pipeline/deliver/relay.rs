//! A stream in the upstream's own dialect: its frames leave as they came, but for [`Change`], and are read beside for the meter.
//!
//! Decides when a relayed stream is over, and what of it is not the upstream's: the usage that is owed, the terminal mark it
//! forgot, the error event of a break. Knows no dialect; what the frames mean is told by the decoder. Tests: `it/identity.rs`,
//! `it/streams.rs`, `it/cuts.rs`, `it/usage.rs`.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use waypost_core::GatewayError;
use waypost_core::usage::Outcome;
use waypost_core::verdict::Class;
use waypost_wire::chat::event::Event;
use waypost_wire::dialect::{ClientDialect, Reply, Tap};
use waypost_wire::sse::Frame;

use super::{Change, Opening};
use crate::pipeline::frames::{Break, Frames, Step, Tail, media_bytes};
use crate::pipeline::kept::{Chunk, Stream};
use crate::pipeline::meter::Meter;

/// A stream in the upstream's own dialect: its frames, untouched but for [`Change`], read beside for the meter.
pub struct Relay {
    frames: Option<Frames>,
    tail: Option<Tail>,
    /// How the bytes sent so far end.
    ending: Ending,
    held: Vec<Frame>,
    events: Vec<Event>,
    tap: &'static dyn Tap,
    change: Change,
    /// Draws the error event, should the stream break.
    face: &'static dyn ClientDialect,
    reply: Reply,
    meter: Meter,
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
        let Opening { frames, held, events, media } = opening;
        meter.media(media);
        let mut owed = Owed::default();
        for event in &events {
            meter.see(event);
            owed.see(event);
        }
        let (frames, tail, ending) = (Some(frames), None, Ending::default());
        // The events are looked at once more, for the terminal mark.
        let mut relay = Self { frames, tail, ending, held, events, tap, change, face, reply, meter, owed };
        relay.finish_if_done();
        // Nearly every frame from now on is one event: room for more is made when it is needed, as there are many open streams.
        relay.events = Vec::with_capacity(1);
        relay
    }

    /// The caller is told usage at the end, if it asked for it, whether the upstream says it or not.
    pub(super) fn owe_usage(&mut self) {
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
        for frame in std::mem::take(&mut self.held) {
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
            if let Ok(Step::Frame(frame)) = &step {
                self.meter.media(media_bytes(frame, &self.events));
            }
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
            None => frame.into_raw(),
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
        let bytes = if self.rest.is_empty() { first } else { std::mem::take(&mut self.rest).freeze() };
        (!bytes.is_empty()).then_some(bytes)
    }
}
