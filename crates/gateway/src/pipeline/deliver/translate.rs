//! A stream in another dialect than the caller's: decoded into events, each of them said again by the caller's encoder.
//!
//! Decides when a translated stream is over, and that a break is told as the caller's error event. Knows neither of the two
//! dialects. Tests: `it/dialects.rs`, `it/streams.rs`, `it/cuts.rs`.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use waypost_core::GatewayError;
use waypost_core::usage::Outcome;
use waypost_core::verdict::Class;
use waypost_wire::chat::event::Event;
use waypost_wire::dialect::StreamEncoder;

use super::Opening;
use crate::pipeline::frames::{Break, Frames, Step, Tail, media_bytes};
use crate::pipeline::kept::{Chunk, Stream};
use crate::pipeline::meter::Meter;
use crate::seals::witness::SealWitness;

/// A stream in another dialect than the caller's, said again event by event.
pub struct Translate {
    frames: Option<Frames>,
    tail: Option<Tail>,
    held: Vec<Event>,
    events: Vec<Event>,
    encoder: Box<dyn StreamEncoder>,
    meter: Meter,
    witness: SealWitness,
}

impl Translate {
    pub fn new(opening: Opening, encoder: Box<dyn StreamEncoder>, mut meter: Meter, witness: SealWitness) -> Self {
        let Opening { frames, events: held, held: _, media } = opening;
        meter.media(media);
        Self { frames: Some(frames), tail: None, held, events: Vec::new(), encoder, meter, witness }
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
            if let Ok(Step::Frame(frame)) = &step {
                self.meter.media(media_bytes(frame, &events));
            }
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
}
