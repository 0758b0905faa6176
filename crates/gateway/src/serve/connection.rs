//! One accepted connection: drives hyper over a watched socket and ends it when its time is up or it is told to.
//! Decides nothing about requests. Tests: `tests/it/edge.rs`.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, STRICT_TRANSPORT_SECURITY};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use pin_project_lite::pin_project;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::bare::Draw;
use super::farewell::Farewell;
use super::pulse::{Handed, Order, Pulse};
use super::socket::{Socket, Stream, Watched};
use super::spoken::Spoken;
use super::stall::Sweep;
use super::tls::TlsCerts;
use super::{Edge, Handler, LastWords, Peer};
use crate::clock::Alarm;
use crate::jobs::Jobs;

/// For a year, this host is asked over TLS only.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Serves one connection to its end, and only then lets go of its permit to be open.
pub(super) async fn serve<H: Handler>(
    edge: Edge,
    (stream, _permit): (TcpStream, OwnedSemaphorePermit),
    certs: Option<TlsCerts>,
    peer: Peer,
    handler: H,
) {
    let opened = Instant::now();
    let pulse = Arc::new(Pulse::new(opened, Arc::clone(&edge.shared.load)));
    poll_fn(|cx| {
        pulse.attach(cx.waker());
        Poll::Ready(())
    })
    .await;
    let _registered = edge.register(&pulse);
    let limits = &edge.shared.limits;

    let mut alarm = Alarm::new(opened + limits.head_timeout);
    let secure = certs.is_some();
    let stream = Watched::new(stream, Arc::clone(&pulse));
    let socket = match &certs {
        None => Stream::Plain(stream),
        Some(certs) => {
            match shake_hands(certs.acceptor(), stream, &pulse, &mut alarm, opened + limits.head_timeout).await {
                Some(socket) => socket,
                None => return,
            }
        }
    };
    let draw = edge.shared.draw.clone();
    let reception = Reception { handler, peer, pulse: Arc::clone(&pulse), secure, draw };
    let mut fresh = Some((Socket::new(socket, edge.shared.draw.clone()), reception));
    let mut http = None;
    let (mut farewell, mut sweep) = (Farewell::default(), Sweep::default());

    poll_fn(|cx| {
        loop {
            if let Some((socket, _)) = &fresh
                && let Poll::Ready(spoken) = socket.poll_spoken(cx)
                && let Some((socket, reception)) = fresh.take()
            {
                let socket = TokioIo::new(socket);
                http = Some(match spoken {
                    Spoken::Http1 => Http::One(edge.shared.http1.serve_connection(socket, reception)),
                    Spoken::Open => Http::Either(Box::pin(edge.shared.http.serve_connection(socket, reception))),
                });
            }
            if farewell.is_due(&pulse, limits) && !say_farewell(&mut http) {
                return Poll::Ready(());
            }
            // How a connection broke is of no use to anyone: the requests on it tell their own ends.
            let over = farewell.is_over() || sweep.finds_stall(&pulse, limits);
            if over || http.as_mut().is_some_and(|http| http.poll(cx).is_ready()) {
                return Poll::Ready(());
            }
            // A request may just have begun that is to be the last.
            if farewell.is_due(&pulse, limits) && !say_farewell(&mut http) {
                return Poll::Ready(());
            }
            let patience = pulse.deadline(limits);
            let Some(deadline) = patience.into_iter().chain(farewell.next()).chain(sweep.next(&pulse, limits)).min()
            else {
                return Poll::Pending;
            };
            ready!(alarm.poll_until(cx, deadline));
            if patience == Some(deadline) {
                return Poll::Ready(());
            }
        }
    })
    .await;
    pulse.driver_leaves();
}

/// Tells hyper that no request follows. False if nothing has come on the connection yet: then nothing is owed either.
fn say_farewell<H: Handler>(http: &mut Option<Http<'_, H>>) -> bool {
    match http {
        Some(http) => {
            http.graceful_shutdown();
            true
        }
        None => false,
    }
}

/// The TLS handshake; `None` if it fails, takes too long, or if the edge is told to end: nothing is owed to anyone yet.
async fn shake_hands(
    acceptor: &TlsAcceptor,
    stream: Watched,
    pulse: &Pulse,
    alarm: &mut Alarm,
    deadline: Instant,
) -> Option<Stream> {
    let mut shaking = pin!(acceptor.accept(stream));
    poll_fn(|cx| {
        if pulse.order() != Order::None {
            return Poll::Ready(None);
        }
        match shaking.as_mut().poll(cx) {
            Poll::Ready(shaken) => Poll::Ready(shaken.ok().map(|stream| Stream::Tls(Box::new(stream)))),
            Poll::Pending => alarm.poll_until(cx, deadline).map(|()| None),
        }
    })
    .await
}

/// What hyper makes of a connection.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are the large one, which is half of what the other would be unboxed"
)]
enum Http<'e, H: Handler> {
    One(http1::Connection<TokioIo<Socket>, Reception<H>>),
    Either(Pin<Box<OneOrTwo<'e, H>>>),
}

/// What may turn out to speak HTTP/1 or HTTP/2.
type OneOrTwo<'e, H> = auto::Connection<'e, TokioIo<Socket>, Reception<H>, Jobs>;

impl<H: Handler> Http<'_, H> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::One(connection) => Pin::new(connection).poll(cx).map(drop),
            Self::Either(connection) => connection.as_mut().poll(cx).map(drop),
        }
    }

    fn graceful_shutdown(&mut self) {
        match self {
            Self::One(connection) => Pin::new(connection).graceful_shutdown(),
            Self::Either(connection) => connection.as_mut().graceful_shutdown(),
        }
    }
}

/// hyper's view of the handler.
struct Reception<H> {
    handler: H,
    peer: Peer,
    pulse: Arc<Pulse>,
    secure: bool,
    draw: Option<Draw>,
}

impl<H: Handler> hyper::service::Service<Request<Incoming>> for Reception<H> {
    type Response = Response<Counted<H::Body>>;
    type Error = Infallible;
    /// hyper keeps its room as long as the connection: what is large in it goes when the answer begins.
    type Future = Answering<Pin<Box<H::Answering>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let ticket = Ticket::new(Arc::clone(&self.pulse), request.version() == Version::HTTP_2);
        let peer = Peer { overloaded: ticket.one_too_many, ..self.peer };
        let (secure, draw) = (self.secure, self.draw.clone());
        Answering { answering: Box::pin(self.handler.handle(request, peer)), ticket: Some(ticket), secure, draw }
    }
}

/// Counts a request as open from its head to the drop of its answer's body.
struct Ticket {
    pulse: Arc<Pulse>,
    /// Where HTTP/2 lets answers run beside the connection: under which number this one wants to be woken.
    beside: Option<u64>,
    answering: bool,
    /// Kept for answers beside the connection.
    handed: Option<Arc<Handed>>,
    one_too_many: bool,
}

impl Ticket {
    fn new(pulse: Arc<Pulse>, multiplexed: bool) -> Self {
        let (number, one_too_many) = pulse.request_begins(multiplexed);
        let beside = multiplexed.then_some(number);
        let handed = beside.map(|number| pulse.beside(number));
        Self { pulse, beside, answering: false, handed, one_too_many }
    }

    fn answer_begins(&mut self) {
        self.answering = true;
        self.pulse.answer_begins();
    }

    /// Waits for orders too, where nobody else does.
    fn listen(&self, cx: &Context<'_>) {
        if let Some(number) = self.beside {
            self.pulse.listen(number, cx.waker());
        }
    }

    /// More is not asked for while a reader takes nothing, so that nothing piles up.
    fn must_wait(&self, cx: &Context<'_>) -> bool {
        if self.pulse.is_blocked() {
            // The socket wakes the task, hyper writes what it has and asks again.
            return true;
        }
        let full = self.pulse.is_full();
        if full {
            // hyper writes when it gets nothing more, but would not ask again by itself.
            cx.waker().wake_by_ref();
        }
        full
    }

    fn last_piece_is_taken(&self) {
        self.handed.iter().for_each(|handed| self.pulse.mark_taken(handed));
    }

    fn piece_is_handed<E>(&self, frame: Option<&Result<Frame<Bytes>, E>>) {
        if let Some(Ok(frame)) = frame {
            self.pulse.hands_over(frame.data_ref().map_or(0, Bytes::len));
        }
        self.handed.iter().for_each(|handed| self.pulse.mark_handed(handed));
    }

    /// This is the last answer on its connection, which only HTTP/1 says in a header.
    fn closes(&self) -> bool {
        self.beside.is_none() && self.pulse.order() != Order::None
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(number) = self.beside {
            self.pulse.forget(number);
        }
        if self.answering {
            self.pulse.answer_ends();
        }
        self.pulse.request_ends();
    }
}

pin_project! {
    struct Answering<A> {
        #[pin]
        answering: A,
        ticket: Option<Ticket>,
        secure: bool,
        draw: Option<Draw>,
    }
}

impl<A: Future<Output = Response<B>>, B: LastWords> Future for Answering<A> {
    type Output = Result<Response<Counted<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answer = match this.answering.poll(cx) {
            Poll::Ready(answer) => answer,
            Poll::Pending => {
                this.ticket.iter().for_each(|ticket| ticket.listen(cx));
                let cut = this.ticket.as_ref().is_some_and(|ticket| ticket.pulse.is_cut());
                let drawn = this.draw.as_ref().filter(|_| cut).and_then(cut_short);
                let Some(answer) = drawn else { return Poll::Pending };
                answer
            }
        };
        let mut ticket = this.ticket.take();
        if *this.secure {
            answer.headers_mut().insert(STRICT_TRANSPORT_SECURITY, HSTS);
        }
        if let Some(ticket) = &mut ticket {
            ticket.answer_begins();
            if ticket.closes() {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
        }
        Poll::Ready(Ok(answer.map(|body| Counted { body, ticket, silenced: false })))
    }
}

/// The answer to a request that a drain cuts before it has another.
fn cut_short<B: LastWords>(draw: &Draw) -> Option<Response<B>> {
    let (head, body) = draw(StatusCode::SERVICE_UNAVAILABLE).into_parts();
    Some(Response::from_parts(head, B::whole(body)?))
}

pin_project! {
    struct Counted<B> {
        #[pin]
        body: B,
        ticket: Option<Ticket>,
        silenced: bool,
    }
}

impl<B: Body<Data = Bytes> + LastWords> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let Some(ticket) = this.ticket else { return this.body.poll_frame(cx) };
        if *this.silenced {
            return Poll::Ready(None);
        }
        if !ticket.pulse.is_cut() {
            if ticket.beside.is_none() && ticket.must_wait(cx) {
                return Poll::Pending;
            }
            ticket.last_piece_is_taken();
            let frame = this.body.as_mut().poll_frame(cx);
            if let Poll::Ready(frame) = frame {
                ticket.piece_is_handed(frame.as_ref());
                return Poll::Ready(frame);
            }
            ticket.listen(cx);
            if !ticket.pulse.is_cut() {
                return Poll::Pending;
            }
        }
        match this.body.as_mut().last_words() {
            Some(words) => {
                *this.silenced = true;
                Poll::Ready(Some(Ok(Frame::data(words))))
            }
            // Nothing can be said in it: the connection breaks instead, which is an end that nobody takes for a clean one.
            None => this.body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
