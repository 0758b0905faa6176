//! One accepted connection: drives hyper over a watched socket and ends it when its time is up or it is told to.
//! Decides nothing about requests. Tests: `tests/it/edge.rs`.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::pulse::{Order, Pulse};
use super::{Edge, Handler, Peer};
use crate::clock::Alarm;

/// Bytes a closing connection reads and throws away, so that the last answer is not lost to a reset.
const MAX_DISCARDED: usize = 1024 * 1024;

/// Serves one connection to its end.
pub(super) async fn serve<H: Handler>(edge: Edge, stream: TcpStream, peer: Peer, handler: H) {
    let opened = Instant::now();
    let pulse = Arc::new(Pulse::new(opened));
    poll_fn(|cx| {
        pulse.attach(cx.waker());
        Poll::Ready(())
    })
    .await;
    let _registered = edge.register(&pulse);
    let limits = &edge.shared.limits;

    let socket = Watched { stream, pulse: Arc::clone(&pulse), sent_fin: false, discarded: 0 };
    let reception = Reception { handler, peer, pulse: Arc::clone(&pulse) };
    let mut http = pin!(edge.shared.http.serve_connection_with_upgrades(TokioIo::new(socket), reception));
    let mut alarm = Alarm::new(opened + limits.head_timeout);
    let mut told = false;

    poll_fn(|cx| {
        match pulse.order() {
            Order::None => {}
            Order::Drain if told => {}
            Order::Drain => {
                told = true;
                http.as_mut().graceful_shutdown();
            }
            Order::Cut => return Poll::Ready(()),
        }
        // How a connection broke is of no use to anyone: the requests on it tell their own ends.
        if http.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match pulse.deadline(limits) {
            Some(deadline) => alarm.poll_until(cx, deadline),
            None => Poll::Pending,
        }
    })
    .await;
    pulse.driver_leaves();
}

/// hyper's view of the handler.
struct Reception<H> {
    handler: H,
    peer: Peer,
    pulse: Arc<Pulse>,
}

impl<H: Handler> hyper::service::Service<Request<Incoming>> for Reception<H> {
    type Response = Response<Counted<H::Body>>;
    type Error = Infallible;
    type Future = Answering<H::Answering>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let ticket = Ticket::new(Arc::clone(&self.pulse), request.version() == Version::HTTP_2);
        Answering { answering: self.handler.handle(request, self.peer), ticket: Some(ticket) }
    }
}

/// Counts a request as open from its head to the drop of its answer's body.
struct Ticket(Arc<Pulse>);

impl Ticket {
    fn new(pulse: Arc<Pulse>, multiplexed: bool) -> Self {
        pulse.request_begins(multiplexed);
        Self(pulse)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.request_ends();
    }
}

pin_project! {
    struct Answering<A> {
        #[pin]
        answering: A,
        ticket: Option<Ticket>,
    }
}

impl<A: Future<Output = Response<B>>, B> Future for Answering<A> {
    type Output = Result<Response<Counted<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.answering.poll(cx));
        let ticket = this.ticket.take();
        Poll::Ready(Ok(answer.map(|body| Counted { body, _ticket: ticket })))
    }
}

pin_project! {
    struct Counted<B> {
        #[pin]
        body: B,
        _ticket: Option<Ticket>,
    }
}

impl<B: Body<Data = Bytes>> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The socket, telling the pulse what it sees.
struct Watched {
    stream: TcpStream,
    pulse: Arc<Pulse>,
    sent_fin: bool,
    discarded: usize,
}

impl Watched {
    fn note_write(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => self.pulse.write_waits(),
            Poll::Ready(_) => self.pulse.write_moved(),
        }
    }

    /// After our FIN: throws away what the peer is still sending (the body of a refused upload), within bounds.
    /// Closing over unread bytes would send a reset, which can overtake the answer.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 8 * 1024];
        while self.pulse.is_driven() && self.discarded < MAX_DISCARDED {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.discarded += buffer.filled().len();
                    self.pulse.lingers();
                }
                Poll::Pending if self.discarded > 0 => return Poll::Pending,
                Poll::Ready(_) | Poll::Pending => break,
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            this.pulse.bytes_came();
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.note_write(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.note_write(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.sent_fin {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            this.sent_fin = true;
        }
        this.poll_discard(cx).map(Ok)
    }
}
