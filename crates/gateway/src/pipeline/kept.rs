//! Keeps back the last bytes of an answer until its settlement is in the journal, so that no caller ever has an answer in full
//! that the ledger does not know. Decides only when bytes leave. Tests: `it/money.rs`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use waypost_store::journal::{Ticket, Unwritten};

use super::meter::Meter;
use crate::http::body::Broken;

/// The wait for a record of the journal.
pub struct Written(Pin<Box<dyn Future<Output = Result<(), Unwritten>> + Send>>);

impl Written {
    /// Waits as long as the journal's durability asks for. `None`: there is nothing to wait for.
    pub fn of(mut ticket: Ticket) -> Option<Self> {
        (!ticket.is_durable()).then(|| Self(Box::pin(async move { ticket.durable().await })))
    }
}

impl Future for Written {
    type Output = Result<(), Unwritten>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

/// The next bytes of an answer; an error can only be told by cutting the connection.
pub type Chunk = Option<Result<Bytes, Broken>>;

/// An answer that comes bit by bit and settles its meter with its last bytes.
pub trait Stream {
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Chunk>;
    fn meter(&mut self) -> &mut Meter;
}

/// An answer of which nothing leaves before what its ledger has to know is kept.
pub struct Keeping<S> {
    stream: S,
    /// What is kept back, and until when.
    back: Option<(Written, Chunk)>,
}

impl<S: Stream> Keeping<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, back: None }
    }

    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The next bytes that may leave.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Chunk> {
        if self.back.is_none() {
            let chunk = ready!(self.stream.poll_bytes(cx));
            match self.stream.meter().written() {
                None => return Poll::Ready(chunk),
                Some(written) => self.back = Some((written, chunk)),
            }
        }
        let Some((written, _)) = &mut self.back else { return Poll::Ready(None) };
        let outcome = ready!(Pin::new(written).poll(cx));
        let chunk = self.back.take().and_then(|(_, chunk)| chunk);
        Poll::Ready(match outcome {
            Ok(()) => chunk,
            // The caller must not take it for complete.
            Err(error) => {
                let request = self.stream.meter().request_id();
                tracing::error!(request.id = request, %error, "cut: the settlement cannot be kept");
                Some(Err(Broken))
            }
        })
    }
}
