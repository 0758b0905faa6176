//! The body of a simulated answer: pieces at a pace, and an end that may be a fault. Knows no dialect.
//! Uses Tokio's clock only, so that tests can pause it. Tests are below.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// Some bytes of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) bytes: Bytes,
    /// Sent only after the stream's pause; others follow at once.
    pub(crate) paced: bool,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As HTTP wants it.
    Clean,
    /// The connection breaks.
    Cut,
    /// It never ends, and nothing more comes.
    Silence,
}

/// The simulated connection broke before the body was complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulated connection broke")
    }
}

impl std::error::Error for Cut {}

/// The bytes of an answer. Must be polled inside a Tokio runtime with time enabled. Dropping it ends the simulation.
pub struct Body {
    pieces: VecDeque<Piece>,
    pace: Duration,
    pause: Option<Pin<Box<Sleep>>>,
    end: End,
}

impl Body {
    /// A body in one piece.
    pub(crate) fn full(bytes: Bytes) -> Self {
        Self::stream(vec![Piece { bytes, paced: false }], Duration::ZERO, End::Clean)
    }

    pub(crate) fn stream(pieces: Vec<Piece>, pace: Duration, end: End) -> Self {
        let pieces = pieces.into_iter().filter(|piece| !piece.bytes.is_empty());
        Self { pieces: pieces.collect(), pace, pause: None, end }
    }

    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let paced = self.pieces.front().is_some_and(|piece| piece.paced);
        if !paced || self.pace.is_zero() {
            return Poll::Ready(());
        }
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(self.pace)));
        ready!(pause.as_mut().poll(cx));
        self.pause = None;
        Poll::Ready(())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let body = self.get_mut();
        ready!(body.poll_pause(cx));
        if let Some(piece) = body.pieces.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece.bytes))));
        }
        match body.end {
            End::Clean => Poll::Ready(None),
            End::Silence => Poll::Pending,
            End::Cut => {
                body.end = End::Clean;
                Poll::Ready(Some(Err(Cut)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.end == End::Clean
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.pieces.iter().map(|piece| piece.bytes.len() as u64).sum();
        match self.end {
            End::Clean => SizeHint::with_exact(left),
            End::Cut | End::Silence => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::time::Instant;

    use super::*;

    fn pieces(paced: &[bool]) -> Vec<Piece> {
        let piece = |paced: &bool| Piece { bytes: Bytes::from_static(b"x"), paced: *paced };
        paced.iter().map(piece).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn paced_pieces_wait_and_others_follow_at_once() {
        let start = Instant::now();
        let mut body = Body::stream(pieces(&[false, true, false, true]), Duration::from_millis(50), End::Clean);
        let mut arrivals = Vec::new();
        while let Some(frame) = body.frame().await {
            assert!(frame.is_ok());
            arrivals.push(start.elapsed().as_millis());
        }
        assert_eq!(arrivals, [0, 50, 50, 100]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_body_ends_in_an_error_and_promises_no_length() {
        let mut body = Body::stream(pieces(&[false]), Duration::ZERO, End::Cut);
        assert_eq!(http_body::Body::size_hint(&body).exact(), None);
        assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
        assert!(matches!(body.frame().await, Some(Err(Cut))));
        assert!(body.frame().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_body_never_ends() {
        let mut body = Body::stream(pieces(&[false]), Duration::ZERO, End::Silence);
        assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
        let hour = Duration::from_secs(3_600);
        assert!(tokio::time::timeout(hour, body.frame()).await.is_err());
    }
}
