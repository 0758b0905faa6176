//! Reads an upstream's event stream: frame by frame, with what each frame means.
//!
//! The frames are for relaying, the events for accounting and translation. A stream that ends, garbles or stalls before
//! its terminal mark is a [`Break`], never an end. Tests: `it/streams.rs`.

use std::fmt;
use std::task::{Context, Poll, ready};

use waypost_wire::WireError;
use waypost_wire::chat::event::Event;
use waypost_wire::dialect::StreamDecoder;
use waypost_wire::error::RemoteError;
use waypost_wire::sse::{Frame, Framer};

use crate::upstream::{AnswerBody, Failure};

/// The longest event taken from an upstream.
const MAX_FRAME: usize = 1 << 20;

/// Why a stream is not going to end well.
#[derive(Debug)]
pub enum Break {
    /// The connection failed.
    Transport(Failure),
    /// The bytes are not what the dialect promises.
    Garbled(WireError),
    /// It ended without its terminal mark.
    Unfinished,
    /// One event is beyond the cap.
    FrameTooLong,
    /// The provider said so itself.
    Remote(RemoteError),
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(failure) => failure.fmt(f),
            Self::Garbled(_) => f.write_str("the upstream's stream is garbled"),
            Self::Unfinished => f.write_str("the upstream's stream ended early"),
            Self::FrameTooLong => f.write_str("an event of the upstream's stream is too long"),
            Self::Remote(_) => f.write_str("the upstream reported an error in its stream"),
        }
    }
}

impl std::error::Error for Break {}

/// An upstream's stream of frames.
pub struct Frames {
    body: AnswerBody,
    framer: Framer,
    decoder: Box<dyn StreamDecoder>,
    /// The bytes are over; at most one frame is left in the framer.
    over: bool,
}

/// What a step brought.
pub enum Step {
    /// A frame, whose events were appended.
    Frame(Frame),
    /// More bytes are needed.
    Starved,
    /// The stream is over; events of its end were appended.
    End,
}

impl Frames {
    pub fn new(body: AnswerBody, decoder: Box<dyn StreamDecoder>) -> Self {
        Self { body, framer: Framer::new(MAX_FRAME), decoder, over: false }
    }

    /// Takes the next frame that is already here and appends its events.
    pub fn step(&mut self, events: &mut Vec<Event>) -> Result<Step, Break> {
        let frame = match self.framer.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) if !self.over => return Ok(Step::Starved),
            Ok(None) => match self.framer.finish() {
                Some(frame) => frame,
                None => {
                    self.decoder.end(events).map_err(broken)?;
                    return Ok(Step::End);
                }
            },
            Err(_) => return Err(Break::FrameTooLong),
        };
        let before = events.len();
        self.decoder.frame(&frame, events).map_err(broken)?;
        // An error event is an end of its own kind; what came before it in the frame still counts.
        if let Some(at) = events.iter().skip(before).position(|event| matches!(event, Event::Error(_)))
            && let Event::Error(remote) = events.swap_remove(before + at)
        {
            events.truncate(before + at);
            return Err(Break::Remote(remote));
        }
        Ok(Step::Frame(frame))
    }

    /// Waits for more bytes after [`Step::Starved`].
    pub fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Break>> {
        match ready!(self.body.poll_chunk(cx)) {
            Some(Ok(chunk)) => self.framer.push(chunk),
            Some(Err(failure)) => return Poll::Ready(Err(Break::Transport(failure))),
            None => self.over = true,
        }
        Poll::Ready(Ok(()))
    }

    /// Takes the end of the bytes if it is already here, so that the connection can be used again. Called once the
    /// terminal mark was seen; anything else that follows it is dropped with the connection.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) {
        if !self.over {
            let _tail = self.body.poll_chunk(cx);
        }
    }
}

fn broken(error: WireError) -> Break {
    match error {
        WireError::Unfinished => Break::Unfinished,
        other => Break::Garbled(other),
    }
}
