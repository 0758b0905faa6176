//! The body of an answer: bytes as they come, under the exchange's timeouts, and the connection's way back to the pool.
//! Reads no format. Tests: `tests/it/transport.rs`.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::exchange::Lane;
use super::pool::Pool;
use super::{Failure, Origin, Timeouts};

/// The bytes of an answer.
///
/// Read it to `None`: only then is the connection used again. Dropped earlier, it is closed at once. After an error
/// there is nothing more. A body that ended early is [`Failure::BodyCut`] and never looks like a clean end, except for
/// the one kind that HTTP gives no end: from an HTTP/1.0 peer or after `Connection: close` without a length.
pub struct AnswerBody {
    kind: Kind,
}

enum Kind {
    Wire(Box<Wire>),
    Other(Pin<Box<dyn Body<Data = Bytes, Error = Failure> + Send>>),
    Full(Bytes),
}

impl AnswerBody {
    /// A body known whole.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self { kind: Kind::Full(bytes.into()) }
    }

    /// A body from anywhere else, as scripted transports need it.
    pub fn from_body(body: impl Body<Data = Bytes, Error = Failure> + Send + 'static) -> Self {
        Self { kind: Kind::Other(Box::pin(body)) }
    }

    pub(super) fn from_wire(wire: Box<Wire>) -> Self {
        Self { kind: Kind::Wire(wire) }
    }

    /// The next bytes, as they came; `None` is the clean end.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, Failure>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// The whole body, refused with [`Failure::TooLarge`] as soon as it is known to exceed `limit` bytes. A body in one
    /// piece is not copied.
    pub async fn collect(mut self, limit: u64) -> Result<Bytes, Failure> {
        if self.size_hint().lower() > limit {
            return Err(Failure::TooLarge { limit });
        }
        let Some(first) = self.chunk().await.transpose()? else {
            return Ok(Bytes::new());
        };
        let mut whole = Whole::One(first);
        loop {
            if whole.len() > limit {
                return Err(Failure::TooLarge { limit });
            }
            match self.chunk().await.transpose()? {
                Some(more) => whole = whole.with(&more),
                None => return Ok(whole.into_bytes()),
            }
        }
    }

    /// [`AnswerBody::chunk`] for hand-written futures.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        match &mut self.kind {
            Kind::Wire(wire) => wire.poll_chunk(cx),
            Kind::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Full(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Kind::Other(body) => loop {
                match std::task::ready!(body.as_mut().poll_frame(cx)) {
                    None => return Poll::Ready(None),
                    Some(Err(failure)) => return Poll::Ready(Some(Err(failure))),
                    Some(Ok(frame)) => {
                        if let Ok(bytes) = frame.into_data() {
                            return Poll::Ready(Some(Ok(bytes)));
                        }
                    }
                }
            },
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        self.get_mut().poll_chunk(cx).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Wire(wire) => wire.lane.is_none() && wire.over,
            Kind::Other(body) => body.is_end_stream(),
            Kind::Full(bytes) => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Wire(wire) => wire.incoming.size_hint(),
            Kind::Other(body) => body.size_hint(),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

/// A body coming over a connection.
pub(super) struct Wire {
    incoming: Incoming,
    /// Gone once the body is over: back in the pool, or closed.
    lane: Option<Lane>,
    over: bool,
    pool: Arc<Pool>,
    origin: Arc<Origin>,
    idle: Duration,
    deadline: Instant,
    /// Since when we wait for the far side; not running while our own reader makes it wait.
    waiting: Option<Instant>,
}

impl Wire {
    pub(super) fn new(
        incoming: Incoming,
        lane: Lane,
        pool: Arc<Pool>,
        origin: Arc<Origin>,
        timeouts: &Timeouts,
    ) -> Box<Self> {
        let Timeouts { idle, deadline, .. } = *timeouts;
        Box::new(Self { incoming, lane: Some(lane), over: false, pool, origin, idle, deadline, waiting: None })
    }

    /// Returns the connection if the body is already over, as a reader may never poll an empty one.
    pub(super) fn settle(&mut self, cx: &mut Context<'_>) {
        if self.incoming.is_end_stream() {
            self.finish(cx);
        }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let mut driven = false;
        loop {
            match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(None) => {
                    self.finish(cx);
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(error))) => return self.fail(Failure::of_body(&error)),
                Poll::Ready(Some(Ok(frame))) => {
                    self.waiting = None;
                    if let Ok(bytes) = frame.into_data() {
                        return self.deliver(cx, bytes);
                    }
                }
                Poll::Pending if !driven => {
                    driven = true;
                    if let Some(lane) = &mut self.lane {
                        lane.drive(cx);
                    }
                }
                Poll::Pending => return self.poll_patience(cx),
            }
        }
    }

    fn deliver(&mut self, cx: &mut Context<'_>, bytes: Bytes) -> Poll<Option<Result<Bytes, Failure>>> {
        // Also here, not only while waiting: a slow reader never waits for the far side.
        if Instant::now() >= self.deadline {
            return self.fail(Failure::Deadline);
        }
        self.settle(cx);
        Poll::Ready(Some(Ok(bytes)))
    }

    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        let silent = *self.waiting.get_or_insert_with(Instant::now) + self.idle;
        let (at, failure) =
            if silent < self.deadline { (silent, Failure::IdleTimeout) } else { (self.deadline, Failure::Deadline) };
        let Some(lane) = &mut self.lane else {
            return self.fail(Failure::BodyCut);
        };
        match lane.alarm().poll_until(cx, at) {
            Poll::Ready(()) => self.fail(failure),
            Poll::Pending => Poll::Pending,
        }
    }

    fn finish(&mut self, cx: &mut Context<'_>) {
        self.over = true;
        if let Some(Lane::Link(mut link)) = self.lane.take()
            && link.is_idle(cx)
        {
            self.pool.put(&self.origin, link);
        }
    }

    fn fail(&mut self, failure: Failure) -> Poll<Option<Result<Bytes, Failure>>> {
        self.over = true;
        self.lane = None;
        Poll::Ready(Some(Err(failure)))
    }
}

/// Collected bytes that stay where they are as long as there is one piece.
enum Whole {
    One(Bytes),
    Many(BytesMut),
}

impl Whole {
    fn len(&self) -> u64 {
        match self {
            Self::One(bytes) => bytes.len() as u64,
            Self::Many(bytes) => bytes.len() as u64,
        }
    }

    fn with(self, more: &[u8]) -> Self {
        let mut whole = match self {
            Self::One(first) => {
                let mut whole = BytesMut::with_capacity((first.len() + more.len()) * 2);
                whole.extend_from_slice(&first);
                whole
            }
            Self::Many(whole) => whole,
        };
        whole.extend_from_slice(more);
        Self::Many(whole)
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::One(bytes) => bytes,
            Self::Many(bytes) => bytes.freeze(),
        }
    }
}
