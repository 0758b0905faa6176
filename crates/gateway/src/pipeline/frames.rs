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

/// The most that is taken from an upstream in one piece, a whole answer or one event: pictures come so.
pub const MAX_PIECE: usize = 32 << 20;
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
    /// So many answers in parallel have yet to finish.
    awaited: u64,
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
    /// A stream of so many `choices`: if it ends without a terminal mark before all of them have finished, it broke.
    pub fn new(body: AnswerBody, decoder: Box<dyn StreamDecoder>, choices: u64) -> Self {
        Self { body, framer: Framer::new(MAX_PIECE), decoder, over: false, awaited: choices }
    }

    /// Takes the next frame that is already here and appends its events.
    pub fn step(&mut self, events: &mut Vec<Event>) -> Result<Step, Break> {
        let frame = match self.framer.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) if !self.over => return Ok(Step::Starved),
            Ok(None) => match self.framer.finish() {
                Some(frame) => frame,
                None => {
                    let before = events.len();
                    self.decoder.end(events).map_err(broken)?;
                    self.await_finishes(events, before);
                    let is_done = events.len() > before;
                    if is_done && self.awaited > 0 {
                        events.truncate(before);
                        return Err(Break::Unfinished);
                    }
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
        self.await_finishes(events, before);
        Ok(Step::Frame(frame))
    }

    fn await_finishes(&mut self, events: &[Event], before: usize) {
        let finished = events.iter().skip(before).filter(|event| matches!(event, Event::Finish { .. })).count();
        self.awaited = self.awaited.saturating_sub(finished as u64);
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

/// How many bytes of pictures and sound came in a frame of these events, which tell of such only that they came.
pub fn media_bytes(frame: &Frame, events: &[Event]) -> usize {
    if events.iter().any(Event::is_media) { frame.data().map_or(0, <[u8]>::len) } else { 0 }
}

fn broken(error: WireError) -> Break {
    match error {
        WireError::Unfinished => Break::Unfinished,
        other => Break::Garbled(other),
    }
}
