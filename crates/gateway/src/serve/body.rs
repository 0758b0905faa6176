//! Reads request bodies under the edge's limits: size, silence, average rate. Knows no format and draws no answer.
//! Tests: `tests/it/edge.rs` over sockets, below for the arithmetic.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::Limits;
use crate::clock::Alarm;

/// Memory set aside for a body on the word of its declared length alone.
const MAX_TRUSTED_CAPACITY: u64 = 1024 * 1024;

/// Why a request body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// Declared or counted above the limit; of a declared one no byte was read.
    TooLarge {
        /// The most the edge takes, in bytes.
        limit: u64,
    },
    /// Nothing came for too long, or too little over all.
    Timeout,
    /// Ended early or broke its framing.
    Broken,
}

/// Reads a whole body. A body that came in one piece is not copied, and one that is already there arms no timer.
pub async fn read_body<B>(body: B, limits: &Limits) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut body = LimitedBody::new(body, limits)?;
    let Some(first) = body.chunk().await? else {
        return Ok(Bytes::new());
    };
    if body.is_end_stream() {
        return Ok(first);
    }
    let Some(second) = body.chunk().await? else {
        return Ok(first);
    };
    let rest = body.size_hint().lower().min(MAX_TRUSTED_CAPACITY) as usize;
    let mut whole = BytesMut::with_capacity(first.len() + second.len() + rest);
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&second);
    while let Some(more) = body.chunk().await? {
        whole.extend_from_slice(&more);
    }
    Ok(whole.freeze())
}

/// A request body under the edge's limits, for bodies that pass through while they arrive.
pub struct LimitedBody<B = Incoming> {
    inner: B,
    seen: u64,
    max: u64,
    idle: Duration,
    min_rate: u64,
    grace: Duration,
    /// Absent until the body first made us wait.
    wait: Option<Wait>,
}

struct Wait {
    started: Instant,
    progress: Instant,
    alarm: Alarm,
}

impl<B: Body<Data = Bytes> + Unpin> LimitedBody<B> {
    /// Refuses at once, before any byte is read, a body that declares more than the limit.
    pub fn new(inner: B, limits: &Limits) -> Result<Self, BodyError> {
        let max = limits.max_body_bytes;
        if inner.size_hint().lower() > max {
            return Err(BodyError::TooLarge { limit: max });
        }
        Ok(Self {
            inner,
            seen: 0,
            max,
            idle: limits.body_idle_timeout,
            min_rate: limits.body_min_rate,
            grace: limits.body_grace,
            wait: None,
        })
    }

    /// The next bytes; `None` at the end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// The next bytes; trailers of a request mean nothing here and are passed over.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Ready(None) => return Poll::Ready(Ok(None)),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(BodyError::Broken)),
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Poll::Ready(self.count(bytes).map(Some));
                    }
                }
                Poll::Pending => return self.poll_patience(cx).map(|()| Err(BodyError::Timeout)),
            }
        }
    }

    fn count(&mut self, bytes: Bytes) -> Result<Bytes, BodyError> {
        self.seen = self.seen.saturating_add(bytes.len() as u64);
        if self.seen > self.max {
            return Err(BodyError::TooLarge { limit: self.max });
        }
        if let Some(wait) = &mut self.wait {
            wait.progress = Instant::now();
        }
        Ok(bytes)
    }

    /// Ready when the sender was silent or slow for too long.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let wait = self.wait.get_or_insert_with(|| {
            let now = Instant::now();
            Wait { started: now, progress: now, alarm: Alarm::new(now + self.idle) }
        });
        let earned = earned_time(self.seen, self.min_rate).max(self.grace);
        let deadline = (wait.progress + self.idle).min(wait.started + earned);
        wait.alarm.poll_until(cx, deadline)
    }
}

/// How long a sender of `seen` bytes may take before its average falls below `rate` bytes per second.
fn earned_time(seen: u64, rate: u64) -> Duration {
    const LONGEST: u64 = 86_400_000;
    let millis = seen.saturating_mul(1000).checked_div(rate).unwrap_or(LONGEST);
    Duration::from_millis(millis.min(LONGEST))
}

impl<B: Body<Data = Bytes> + Unpin> Body for LimitedBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.get_mut().poll_chunk(cx).map(|chunk| chunk.transpose().map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(f, "the request body is larger than {limit} bytes"),
            Self::Timeout => f.write_str("the request body came too slowly"),
            Self::Broken => f.write_str("the request body is incomplete or malformed"),
        }
    }
}

impl std::error::Error for BodyError {}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[test]
    fn time_is_earned_by_bytes_at_the_minimum_rate() {
        assert_eq!(earned_time(2048, 1024), Duration::from_secs(2));
        assert_eq!(earned_time(0, 1024), Duration::ZERO);
        assert_eq!(earned_time(1, 0), Duration::from_secs(86_400), "no rate asked for: a day");
        assert_eq!(earned_time(u64::MAX, 1), Duration::from_secs(86_400));
    }

    #[tokio::test]
    async fn a_body_in_one_piece_is_handed_on_without_a_copy() {
        let sent = Bytes::from(vec![7_u8; 4000]);
        let read = read_body(Full::new(sent.clone()), &Limits::default()).await.unwrap();
        assert_eq!(read.as_ptr(), sent.as_ptr());
    }
}
