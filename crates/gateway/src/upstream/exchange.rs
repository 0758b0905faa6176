//! One request and its answer's head over one connection, HTTP/1 or HTTP/2. Decides no retry. Tests: `tests/it/transport.rs`.
//!
//! An HTTP/1 connection has no task of its own: the exchange that uses it drives it. That saves two task switches per
//! request, and dropping the exchange closes the socket there and then.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::Instant;

use super::connect::Socket;
use super::{Failure, OutBody, Outgoing, Timeouts};
use crate::clock::Alarm;
use crate::jobs::Jobs;

/// Also the largest head of an answer, interim ones included.
const MAX_BUFFER: usize = 64 * 1024;
/// Bounds what a stream whose reader is slow can pile up here.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
const MAX_STREAMS: usize = 100;

/// A failed exchange.
pub(super) struct Lost {
    pub(super) failure: Failure,
    /// The far side closed before a single byte of an answer: on a kept-alive connection, the request may be repeated.
    pub(super) unanswered: bool,
}

/// What carries one exchange.
pub(super) enum Lane {
    Link(Box<Link>),
    Stream(Box<Stream>),
}

/// An HTTP/1 connection.
pub(super) struct Link {
    sender: http1::SendRequest<OutBody>,
    connection: http1::Connection<TokioIo<Socket>, OutBody>,
    received: Arc<AtomicUsize>,
    alarm: Alarm,
    closed: bool,
}

/// An HTTP/2 connection, driven by a job, carrying many exchanges.
#[derive(Clone)]
pub(super) struct Trunk {
    sender: http2::SendRequest<OutBody>,
    streams: Arc<AtomicUsize>,
}

/// One exchange on a [`Trunk`].
pub(super) struct Stream {
    trunk: Trunk,
    alarm: Alarm,
}

impl Link {
    pub(super) async fn open(socket: Socket, timeouts: &Timeouts) -> Result<Box<Self>, Failure> {
        let received = socket.received();
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_BUFFER)
            .max_header_size(MAX_BUFFER)
            .handshake(TokioIo::new(socket))
            .await
            .map_err(|error| Failure::of_head(&error))?;
        let alarm = Alarm::new(timeouts.deadline);
        Ok(Box::new(Self { sender, connection, received, alarm, closed: false }))
    }

    /// Lets the connection read and write.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.closed && Pin::new(&mut self.connection).poll(cx).is_ready() {
            self.closed = true;
        }
    }

    /// Looks whether the peer has closed meanwhile or sent what nobody asked for; costs a system call only if so.
    pub(super) async fn is_alive(&mut self) -> bool {
        poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(!self.closed && self.sender.is_ready())
        })
        .await
    }

    /// Whether the last exchange ended cleanly, so that another may follow.
    pub(super) fn is_idle(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.sender.is_ready() {
            self.drive(cx);
        }
        !self.closed && self.sender.is_ready()
    }

    async fn exchange(&mut self, outgoing: Outgoing, until: Until) -> Result<Response<Incoming>, Lost> {
        self.received.store(0, Ordering::Relaxed);
        let mut response = pin!(self.sender.try_send_request(http1_request(outgoing)));
        poll_fn(|cx| {
            if !self.closed && Pin::new(&mut self.connection).poll(cx).is_ready() {
                self.closed = true;
            }
            if let Poll::Ready(outcome) = response.as_mut().poll(cx) {
                return Poll::Ready(outcome.map_err(|lost| {
                    let failure = Failure::of_head(lost.error());
                    let silent = self.received.load(Ordering::Relaxed) == 0;
                    Lost { failure, unanswered: silent && failure == Failure::ClosedBeforeHead }
                }));
            }
            // One head is bounded by hyper; any number of interim ones before it are bounded here.
            if self.received.load(Ordering::Relaxed) > MAX_BUFFER {
                return Poll::Ready(Err(Lost { failure: Failure::HeadTooLarge, unanswered: false }));
            }
            self.alarm.poll_until(cx, until.at).map(|()| Err(until.lost()))
        })
        .await
    }
}

impl Trunk {
    /// Begins HTTP/2; the connection's job ends with its last exchange once the pool has let it go.
    pub(super) async fn open(socket: Socket, jobs: &Jobs) -> Result<Self, Failure> {
        let (sender, connection) = http2::Builder::new(jobs.clone())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10))
            .max_header_list_size(MAX_BUFFER as u32)
            .handshake(TokioIo::new(socket))
            .await
            .map_err(|error| Failure::of_head(&error))?;
        jobs.spawn("upstream http2", async move {
            // Its exchanges learn of a broken connection by themselves.
            let _ = connection.await;
        });
        Ok(Self { sender, streams: Arc::default() })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub(super) fn is_unused(&self) -> bool {
        self.streams.load(Ordering::Relaxed) == 0
    }

    /// Room for one more exchange, if there is any. Above a lower limit of the peer's, exchanges queue.
    pub(super) fn stream(&self, timeouts: &Timeouts) -> Option<Box<Stream>> {
        if self.is_closed() || self.streams.load(Ordering::Relaxed) >= MAX_STREAMS {
            return None;
        }
        self.streams.fetch_add(1, Ordering::Relaxed);
        Some(Box::new(Stream { trunk: self.clone(), alarm: Alarm::new(timeouts.deadline) }))
    }
}

impl Stream {
    async fn exchange(&mut self, outgoing: Outgoing, until: Until) -> Result<Response<Incoming>, Lost> {
        let mut response = pin!(self.trunk.sender.try_send_request(http2_request(outgoing)));
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = response.as_mut().poll(cx) {
                return Poll::Ready(outcome.map_err(|mut lost| Lost {
                    failure: Failure::of_head(lost.error()),
                    unanswered: lost.take_message().is_some() || lost.error().is_canceled() || is_undone(lost.error()),
                }));
            }
            self.alarm.poll_until(cx, until.at).map(|()| Err(until.lost()))
        })
        .await
    }
}

/// The peer says that it has not begun, as servers do that close a connection after so many requests; or the connection
/// was gone before it answered.
fn is_undone(error: &hyper::Error) -> bool {
    let Some(cause) = std::error::Error::source(error) else { return false };
    let Some(cause) = cause.downcast_ref::<h2::Error>() else { return cause.is::<std::io::Error>() };
    match cause.reason() {
        Some(h2::Reason::NO_ERROR) => cause.is_go_away() && cause.is_remote(),
        Some(h2::Reason::REFUSED_STREAM) => cause.is_reset() && cause.is_remote(),
        Some(_) => false,
        None => cause.is_io(),
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.trunk.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lane {
    /// Sends the request and waits for the answer's head.
    pub(super) async fn exchange(
        &mut self,
        outgoing: Outgoing,
        timeouts: &Timeouts,
    ) -> Result<Response<Incoming>, Lost> {
        let until = Until::head(timeouts);
        let response = match self {
            Self::Link(link) => link.exchange(outgoing, until).await?,
            Self::Stream(stream) => stream.exchange(outgoing, until).await?,
        };
        if is_doubtful(&response) {
            return Err(Lost { failure: Failure::BadHead, unanswered: false });
        }
        Ok(response)
    }

    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Link(link) => link.drive(cx),
            Self::Stream(_) => {}
        }
    }

    pub(super) fn alarm(&mut self) -> &mut Alarm {
        match self {
            Self::Link(link) => &mut link.alarm,
            Self::Stream(stream) => &mut stream.alarm,
        }
    }
}

/// The nearer end of waiting for a head, and what it means.
#[derive(Clone, Copy)]
struct Until {
    at: Instant,
    failure: Failure,
}

impl Until {
    fn head(timeouts: &Timeouts) -> Self {
        let head = Instant::now() + timeouts.first_byte;
        if head < timeouts.deadline {
            Self { at: head, failure: Failure::HeadTimeout }
        } else {
            Self { at: timeouts.deadline, failure: Failure::Deadline }
        }
    }

    fn lost(self) -> Lost {
        Lost { failure: self.failure, unanswered: false }
    }
}

fn http1_request(outgoing: Outgoing) -> Request<OutBody> {
    let Outgoing { method, target, mut headers, body } = outgoing;
    headers.insert(HOST, target.origin.host_header.clone());
    request(method, Uri::from(target.path), headers, body)
}

fn http2_request(outgoing: Outgoing) -> Request<OutBody> {
    let uri = outgoing.target.absolute();
    let Outgoing { method, mut headers, body, .. } = outgoing;
    headers.remove(HOST);
    request(method, uri, headers, body)
}

/// hyper derives the framing from the body alone, so nothing a caller sent can contradict it.
fn request(method: http::Method, uri: Uri, mut headers: http::HeaderMap, body: OutBody) -> Request<OutBody> {
    headers.remove(CONTENT_LENGTH);
    headers.remove(TRANSFER_ENCODING);
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    request
}

/// Two framings at once (RFC 9112 section 6.3 calls it an attack), or a protocol nobody asked for.
fn is_doubtful(response: &Response<Incoming>) -> bool {
    let headers = response.headers();
    let both = headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH);
    both || response.status() == StatusCode::SWITCHING_PROTOCOLS
}
