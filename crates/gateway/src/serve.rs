//! The edge: accepts connections and gives each the time, memory and size it may use; drains them at the end.
//! Knows no route, caller or dialect: a [`Handler`] answers. Tests: `tests/it/edge.rs`, over sockets.

mod bare;
mod body;
mod check;
mod connection;
mod farewell;
mod glance;
mod limits;
mod load;
mod pulse;
mod signals;
mod socket;
mod spoken;
mod stall;
mod tls;

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};

pub use self::bare::Draw;
pub use self::body::{BodyError, LimitedBody, read_body};
pub use self::check::{Refusal, check_encoding, check_head};
pub use self::glance::Glance;
pub use self::limits::Limits;
use self::load::Load;
use self::pulse::Pulse;
pub use self::signals::Signals;
pub use self::tls::{TlsCerts, TlsError, TlsFiles, WATCH_EVERY};
use crate::jobs::Jobs;

/// How much hyper gathers of what an HTTP/1 caller sends, and what one read of a body may bring: below the size of a long prompt,
/// each would be copied together from pieces.
const LARGEST_BUFFER: usize = 512 * 1024;

/// Who is at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The socket's address: of a proxy, where one stands before us.
    pub addr: SocketAddr,
    /// More requests are being answered than may be: this one is to be refused, before its body is read.
    pub overloaded: bool,
}

/// Answers requests. Implemented by every `Fn(Request<Incoming>, Peer) -> impl Future<Output = Response<_>>`.
///
/// Cloned per connection, so keep it one `Arc`. A panic ends the connection it happens on and is counted by [`Jobs`];
/// who owes the caller an answer even then must catch it inside. When the caller leaves, the future or the body of the
/// answer is dropped where it stands.
pub trait Handler: Clone + Send + Sync + 'static {
    /// The body of the answer; written frame by frame, each flushed at once.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + LastWords + Send + 'static;
    /// The work on one request.
    type Answering: Future<Output = Response<Self::Body>> + Send + 'static;

    /// Begins the answer to one request.
    fn handle(&self, request: Request<Incoming>, peer: Peer) -> Self::Answering;
}

impl<F, A, B> Handler for F
where
    F: Fn(Request<Incoming>, Peer) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + LastWords + Send + 'static,
{
    type Body = B;
    type Answering = A;

    fn handle(&self, request: Request<Incoming>, peer: Peer) -> A {
        self(request, peer)
    }
}

/// What an answer that has begun says when the edge has to cut it at the end of a drain.
pub trait LastWords {
    /// The bytes that end it in its own format without passing for its proper end; asked for at most once, and after
    /// `Some` the body is not polled again. `None`: nothing can be said, so its connection breaks.
    fn last_words(self: Pin<&mut Self>) -> Option<Bytes> {
        None
    }

    /// A whole body of these bytes, for a request that is cut before its answer has begun. `None`: its connection breaks.
    fn whole(_: Bytes) -> Option<Self>
    where
        Self: Sized,
    {
        None
    }
}

/// Whole answers are short: they are written or not.
impl LastWords for Full<Bytes> {
    fn whole(bytes: Bytes) -> Option<Self> {
        Some(Self::new(bytes))
    }
}

/// Serves any number of listeners under one set of limits, and drains them together. Clones are the same edge.
#[derive(Clone)]
pub struct Edge {
    shared: Arc<Shared>,
}

struct Shared {
    limits: Limits,
    jobs: Jobs,
    /// Finds out which HTTP a connection speaks.
    http: auto::Builder<Jobs>,
    /// For those that are known to speak HTTP/1.
    http1: http1::Builder,
    draw: Option<Draw>,
    load: Arc<Load>,
    permits: Arc<Semaphore>,
    open: Mutex<Open>,
    changed: Notify,
    draining: AtomicBool,
}

#[derive(Default)]
struct Open {
    next: u64,
    connections: HashMap<u64, Arc<Pulse>>,
}

impl Edge {
    /// An edge whose connections run as `jobs`, and which has no words of its own for what it refuses.
    pub fn new(limits: Limits, jobs: Jobs) -> Self {
        Self::with(limits, jobs, None)
    }

    /// An edge whose own refusals are drawn.
    pub fn drawing(limits: Limits, jobs: Jobs, draw: Draw) -> Self {
        Self::with(limits, jobs, Some(draw))
    }

    fn with(limits: Limits, jobs: Jobs, draw: Option<Draw>) -> Self {
        let permits = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
        let load = Arc::new(Load::new(limits.max_requests));
        let shared = Shared {
            http1: http1_settings(&limits),
            http: http_settings(&limits, &jobs),
            limits,
            jobs,
            draw,
            load,
            permits,
            open: Mutex::default(),
            changed: Notify::new(),
            draining: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The limits, for handlers that read bodies.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Accepts on `listener` until [`Edge::begin_drain`], then closes it. Connections are served on the runtime this
    /// runs on: with one current-thread runtime per core, call it once in each with a clone of the listening socket.
    pub async fn serve<H: Handler>(&self, listener: TcpListener, handler: H) {
        self.serve_with(listener, None, handler).await;
    }

    /// As [`Edge::serve`], but every connection speaks TLS first. A handshake has the time of the first request head.
    pub async fn serve_tls<H: Handler>(&self, listener: TcpListener, certs: TlsCerts, handler: H) {
        self.serve_with(listener, Some(certs), handler).await;
    }

    /// Both: plain where there is no certificate.
    pub async fn serve_with<H: Handler>(&self, listener: TcpListener, certs: Option<TlsCerts>, handler: H) {
        let mut failures = 0;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.drain_begun() => return,
                accepted = self.accept(&listener) => accepted,
            };
            match accepted {
                Ok((stream, addr, permit)) => {
                    failures = 0;
                    let peer = Peer { addr, overloaded: false };
                    let connection =
                        connection::serve(self.clone(), (stream, permit), certs.clone(), peer, handler.clone());
                    // As it is: within an `async` block each open connection would have room for it twice.
                    self.shared.jobs.spawn("connection", connection);
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, failures, "cannot accept connections");
                    sleep(accept_pause(failures)).await;
                }
            }
        }
    }

    /// A look from outside, for gauges.
    pub fn glance(&self) -> Glance {
        Glance(Arc::downgrade(&self.shared))
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.shared.open().connections.len()
    }

    /// How many requests are being answered.
    pub fn open_requests(&self) -> usize {
        self.shared.load.in_flight()
    }

    /// Stops accepting, closes connections that stay idle for a moment, and lets each other one end after the answers it
    /// owes.
    pub fn begin_drain(&self) {
        self.shared.draining.store(true, Ordering::Release);
        self.shared.changed.notify_waiters();
        self.shared.open().connections.values().for_each(|pulse| pulse.order_drain());
    }

    /// Begins a drain and waits for its end. At `deadline` what is left is cut, streams with their [`LastWords`]; answers
    /// on how many connections there was work.
    pub async fn drain(&self, deadline: Instant) -> usize {
        self.begin_drain();
        if timeout_at(deadline, self.emptied()).await.is_ok() {
            return 0;
        }
        let cut = {
            let open = self.shared.open();
            let busy = open.connections.values().filter(|pulse| pulse.has_requests()).count();
            open.connections.values().for_each(|pulse| pulse.order_cut());
            busy
        };
        self.emptied().await;
        cut
    }

    async fn accept(
        &self,
        listener: &TcpListener,
    ) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
        let permits = Arc::clone(&self.shared.permits);
        let permit = permits.acquire_owned().await.map_err(io::Error::other)?;
        let (stream, addr) = listener.accept().await?;
        // Without it the tail of an answer may wait 40 ms for the peer's delayed acknowledgement.
        stream.set_nodelay(true)?;
        Ok((stream, addr, permit))
    }

    async fn drain_begun(&self) {
        loop {
            let changed = self.shared.changed.notified();
            if self.shared.draining.load(Ordering::Acquire) {
                return;
            }
            changed.await;
        }
    }

    async fn emptied(&self) {
        loop {
            let changed = self.shared.changed.notified();
            if self.open_connections() == 0 {
                return;
            }
            changed.await;
        }
    }

    /// Lists a connection until the answer is dropped.
    fn register(&self, pulse: &Arc<Pulse>) -> Registered {
        let mut open = self.shared.open();
        let id = open.next;
        open.next += 1;
        open.connections.insert(id, Arc::clone(pulse));
        drop(open);
        if self.shared.draining.load(Ordering::Acquire) {
            pulse.order_drain();
        }
        Registered { shared: Arc::clone(&self.shared), id }
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Registered {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let last = {
            let mut open = self.shared.open();
            open.connections.remove(&self.id);
            open.connections.is_empty()
        };
        if last {
            self.shared.changed.notify_waiters();
        }
    }
}

/// hyper's own settings for HTTP/1. Its head timer is off: [`Pulse`] keeps that time, without a timer per request.
/// `pipeline_flush` stays off: it holds back the frames of a stream while a pipelined request waits behind it.
/// `max_headers` keeps hyper's 100: any other number costs an allocation per head.
fn http1_settings(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(None)
        .half_close(false)
        .max_buf_size(LARGEST_BUFFER.max(limits.max_head_bytes));
    http
}

/// hyper's own settings for either; those for HTTP/1 are the same as above.
fn http_settings(limits: &Limits, jobs: &Jobs) -> auto::Builder<Jobs> {
    // What of an answer may wait for a reader, beside the piece in hand.
    const H2_SEND_BUFFER: usize = 128 * 1024;
    let mut http = auto::Builder::new(jobs.clone());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .half_close(false)
        .max_buf_size(LARGEST_BUFFER.max(limits.max_head_bytes));
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.h2_max_streams)
        .max_send_buf_size(H2_SEND_BUFFER)
        .max_header_list_size(limits.h2_max_header_list)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    http
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | InvalidInput | NotConnected)
}

/// Out of file descriptors or memory: trying again at once would only spin.
fn accept_pause(failures: u32) -> Duration {
    Duration::from_millis(10 << failures.min(7)).min(Duration::from_secs(1))
}
