//! Reads an upstream's event stream: frame by frame, with what each frame means.
//!
//! The frames are for relaying, the events for accounting and translation. A stream that ends, garbles or stalls before
//! its terminal mark is a [`Break`], never an end. Tests: `it/streams.rs`.

use std::fmt;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use waypost_core::verdict::Class;
use waypost_wire::WireError;
use waypost_wire::chat::event::Event;
use waypost_wire::dialect::StreamDecoder;
use waypost_wire::error::RemoteError;
use waypost_wire::sse::{Frame, Framer};

use crate::clock::Alarm;
use crate::upstream::{AnswerBody, Failure};

/// The longest event taken from an upstream.
const MAX_FRAME: usize = 1 << 20;
/// How much is read behind a terminal mark, and how long, before the connection is given up.
const MAX_TAIL: usize = 16 << 10;
const TAIL_PATIENCE: Duration = Duration::from_millis(100);

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

impl Break {
    /// What the deployment is to blame for; `None` if the request ran out of time while the answer was still coming.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Transport(Failure::Deadline) => None,
            Self::Transport(Failure::IdleTimeout) => Some(Class::Timeout),
            Self::Transport(_) | Self::Unfinished => Some(Class::Network),
            Self::Garbled(_) | Self::FrameTooLong => Some(Class::Unreadable),
            Self::Remote(_) => Some(Class::ServerError),
        }
    }
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

    /// What is left once the terminal mark was seen; nothing if the bytes are over.
    pub fn into_tail(self) -> Option<Tail> {
        (!self.over).then_some(Tail { body: self.body, read: 0, patience: None })
    }
}

/// A stream after its terminal mark. Usually only the end of the body is missing, which often comes in a packet of its
/// own; with it the connection can be used again.
pub struct Tail {
    body: AnswerBody,
    read: usize,
    patience: Option<(Alarm, Instant)>,
}

impl Tail {
    /// The next bytes behind the mark; `None` once they are over or not worth waiting for.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match self.body.poll_chunk(cx) {
            Poll::Ready(Some(Ok(chunk))) if self.read < MAX_TAIL => {
                self.read += chunk.len();
                Poll::Ready(Some(chunk))
            }
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => {
                let (alarm, until) = self.patience.get_or_insert_with(|| {
                    let until = Instant::now() + TAIL_PATIENCE;
                    (Alarm::new(until), until)
                });
                alarm.poll_until(cx, *until).map(|()| None)
            }
        }
    }
}

fn broken(error: WireError) -> Break {
    match error {
        WireError::Unfinished => Break::Unfinished,
        other => Break::Garbled(other),
    }
}
