//! The tape that runs beside one request: what the caller sent, and what it is sent, as far as that leaves. Decides only what is held in
//! memory; files it when the answer is over, or given up. Tests: `it/captures.rs`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};
use tokio::sync::mpsc;
use waypost_core::secret::Secret;

use super::{Counts, Held, Order};
use crate::app::Live;
use crate::http::body::{Body, Broken};
use crate::serve::LastWords;

/// What was taken down of a request.
pub(crate) struct Reel {
    pub(super) order: Arc<Order>,
    pub(super) request_id: Arc<str>,
    /// Milliseconds since 1970.
    pub(super) at: i64,
    pub(super) request_bytes: u64,
    /// Absent if it was passed on while it arrived.
    pub(super) request: Option<Bytes>,
    pub(super) answer: Recorded,
    /// What the caller showed for itself: a secret, whatever it looks like.
    pub(super) token: Option<Secret>,
    /// Knows the secrets that were sent to providers.
    pub(super) live: Arc<Live>,
    pub(super) held: Held,
}

/// What was taken down of an answer.
#[derive(Default)]
pub(super) struct Recorded {
    /// The beginning of it.
    pub kept: Vec<u8>,
    /// All of it, where it was known whole and there was room.
    pub whole: Option<Bytes>,
    /// How much of it left.
    pub bytes: u64,
    /// It left to its end.
    pub ended: bool,
}

/// Takes down one request. Dropped, it files what it has.
pub(crate) struct Tape {
    reel: Option<Reel>,
    inbox: mpsc::Sender<Reel>,
    counts: Arc<Counts>,
}

impl Tape {
    pub(super) fn new(reel: Reel, inbox: mpsc::Sender<Reel>, counts: Arc<Counts>) -> Self {
        Self { reel: Some(reel), inbox, counts }
    }

    /// The answer, which is taken down as it leaves.
    pub(crate) fn on(mut self: Box<Self>, response: Response<Body>) -> Response<Body> {
        // Nobody asks for the bytes of an answer that has none.
        if response.body().is_end_stream() {
            self.ended();
        }
        response.map(|body| Body::Taped(Box::new(Taped { body, tape: self })))
    }

    fn heard(&mut self, bytes: &Bytes, is_all: bool) {
        let Some(Reel { answer, order, held, .. }) = &mut self.reel else { return };
        let most = usize::try_from(order.capture.limits.body_bytes).unwrap_or(usize::MAX);
        answer.bytes += bytes.len() as u64;
        // Media in the middle may be left out later, so that more of the rest can be kept.
        if is_all && bytes.len() > most && held.grow(bytes.len()) {
            answer.whole = Some(bytes.clone());
        } else {
            let room = most.saturating_sub(answer.kept.len()).min(bytes.len());
            answer.kept.extend_from_slice(bytes.get(..room).unwrap_or_default());
        }
    }

    fn ended(&mut self) {
        if let Some(reel) = &mut self.reel {
            reel.answer.ended = true;
        }
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        let Some(reel) = self.reel.take() else { return };
        if let Err(error) = self.inbox.try_send(reel) {
            error.into_inner().order.give_back(&self.counts);
        }
    }
}

/// An answer with a tape beside it.
pub struct Taped {
    body: Body,
    tape: Box<Tape>,
}

impl Taped {
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let is_all = matches!(self.body, Body::Full(_));
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(bytes) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            self.tape.heard(bytes, is_all);
        }
        // Whoever knows that nothing follows does not ask again.
        if frame.is_none() || self.body.is_end_stream() {
            self.tape.ended();
        }
        Poll::Ready(frame)
    }

    pub fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    pub fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    pub fn last_words(&mut self) -> Option<Bytes> {
        let words = Pin::new(&mut self.body).last_words()?;
        self.tape.heard(&words, false);
        Some(words)
    }

    pub fn into_body(self) -> Body {
        self.body
    }
}
