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
    fn kept(&mut self) -> &mut Kept;
}

/// What is kept back, and until when.
#[derive(Default)]
pub struct Kept(Option<(Written, Chunk)>);

/// The next bytes that may leave.
pub fn poll(stream: &mut impl Stream, cx: &mut Context<'_>) -> Poll<Chunk> {
    if stream.kept().0.is_none() {
        let chunk = ready!(stream.poll_bytes(cx));
        match stream.meter().written() {
            None => return Poll::Ready(chunk),
            Some(written) => stream.kept().0 = Some((written, chunk)),
        }
    }
    let Some((written, _)) = &mut stream.kept().0 else { return Poll::Ready(None) };
    let outcome = ready!(Pin::new(written).poll(cx));
    let chunk = stream.kept().0.take().and_then(|(_, chunk)| chunk);
    Poll::Ready(match outcome {
        Ok(()) => chunk,
        // The caller must not take it for complete.
        Err(error) => {
            tracing::error!(request.id = stream.meter().request_id(), %error, "cut: the settlement cannot be kept");
            Some(Err(Broken))
        }
    })
}
