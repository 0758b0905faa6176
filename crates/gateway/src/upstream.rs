//! The far side: sends one request to one target and gives back its answer as a stream of bytes, or says what went
//! wrong. Knows no dialect, vendor, retry policy or breaker. Tests: `tests/it/transport.rs`, over sockets.

mod address;
mod answer;
mod connect;
mod exchange;
mod failure;
mod pool;
mod resolve;
mod target;
mod tls;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

pub use self::address::Reach;
pub use self::answer::AnswerBody;
pub use self::failure::{ConnectFault, Failure};
pub use self::pool::{HttpTransport, PoolSettings};
pub use self::resolve::{Lookup, system_lookup};
pub use self::target::{BadTarget, Origin, Target};
pub use self::tls::{TlsOptions, TlsProfile};

/// A boxed future, as object-safe traits need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An error of any kind, as body streams report it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Sends requests. The real one is [`HttpTransport`]; stories script their own.
///
/// Redirects are returned, never followed. The body of an answer that is no success has a short deadline of its own. Dropping the future, the [`Answer`] or its body cancels the exchange at the
/// far side at once.
pub trait Transport: Send + Sync {
    /// Sends `request` and resolves when the answer's head is there.
    fn send(&self, request: Outgoing, timeouts: Timeouts) -> BoxFuture<'_, Result<Answer, Failure>>;
}

/// One request to a target.
pub struct Outgoing {
    /// The method.
    pub method: Method,
    /// Where to.
    pub target: Target,
    /// Sent as they are, but for `Host`, `Content-Length` and `Transfer-Encoding`, which the transport sets itself.
    /// Ask for `Accept-Encoding: identity` here: answers are not decoded.
    pub headers: HeaderMap,
    /// The body.
    pub body: OutBody,
}

/// The head of an answer and the way to its body.
pub struct Answer {
    /// The status, of whatever class.
    pub status: StatusCode,
    /// As received, hop-by-hop fields included: pass on by an allow-list only.
    pub headers: HeaderMap,
    /// The body.
    pub body: AnswerBody,
}

/// How long each phase of an exchange may take. Whatever happens, nothing lasts beyond `deadline`.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Name look-up, connection and TLS handshake together.
    pub connect: Duration,
    /// From sending the request to the end of the answer's head; interim answers do not extend it.
    pub first_byte: Duration,
    /// The longest silence while the body is awaited.
    pub idle: Duration,
    /// The end of everything, body included.
    pub deadline: Instant,
}

impl Timeouts {
    /// Connect in 5 s, a head in 60 s, at most 60 s of silence, over by `deadline`.
    pub fn until(deadline: Instant) -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        Self { connect: Duration::from_secs(5), first_byte: MINUTE, idle: MINUTE, deadline }
    }
}

/// The body of a request.
pub enum OutBody {
    /// Known whole; can be sent again when a kept-alive connection turns out to be dead.
    Full(Bytes),
    /// Arrives while it is sent; can be sent once.
    Stream(Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>),
}

impl OutBody {
    /// No body.
    pub fn empty() -> Self {
        Self::Full(Bytes::new())
    }

    fn again(&self) -> Option<Self> {
        match self {
            Self::Full(bytes) => Some(Self::Full(bytes.clone())),
            Self::Stream(_) => None,
        }
    }
}

impl Body for OutBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_empty(),
            Self::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(body) => body.size_hint(),
        }
    }
}
