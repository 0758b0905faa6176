//! Makes connections: look-up, judgement of addresses, TCP, TLS. Keeps none: the pool does.
//! Tests: `tests/it/transport.rs`, `tests/it/ssrf.rs`.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::resolve::Resolver;
use super::{BoxFuture, ConnectFault, Failure, Origin};

/// How long an address may keep silent before the next one is tried beside it (RFC 8305 recommends a quarter second).
const MOMENT: Duration = Duration::from_millis(250);

/// A connection, plain or encrypted. Remembers how many bytes of an answer came.
pub(super) struct Socket {
    stream: Stream,
    received: Arc<AtomicUsize>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects to `origin`, handshake included, before `deadline`.
pub(super) async fn connect(origin: &Origin, resolver: &Resolver, deadline: Instant) -> Result<Socket, Failure> {
    timeout_at(deadline, connect_at_leisure(origin, resolver)).await.unwrap_or(Err(Failure::ConnectTimeout))
}

async fn connect_at_leisure(origin: &Origin, resolver: &Resolver) -> Result<Socket, Failure> {
    let stream = first_reachable(addresses(origin, resolver).await?).await?;
    // Failing to set it makes the connection slow, not wrong.
    let _ = stream.set_nodelay(true);
    let stream = if origin.secure { encrypt(origin, stream).await? } else { Stream::Plain(stream) };
    Ok(Socket { stream, received: Arc::default() })
}

/// The addresses that may be connected to. Nothing looks the name up again after this.
async fn addresses(origin: &Origin, resolver: &Resolver) -> Result<VecDeque<SocketAddr>, Failure> {
    let found = match origin.address {
        Some(address) => Arc::from([address]),
        None => resolver.addresses(&origin.host).await,
    };
    let allowed = found.iter().copied().filter(|address| origin.reach.allows(*address));
    let allowed = by_turns(allowed.map(|address| SocketAddr::new(address, origin.port)));
    match (allowed.is_empty(), found.is_empty()) {
        (false, _) => Ok(allowed),
        (true, false) => {
            // The verdict only knows that nothing was reached; what mends it is known here.
            tracing::warn!(
                ?origin,
                "the name leads only to addresses that are not allowed; `allow_private` on its channel permits private ones"
            );
            Err(Failure::Connect(ConnectFault::Forbidden))
        }
        (true, true) => Err(Failure::Connect(ConnectFault::NoAddress)),
    }
}

/// The resolver's order, but the families by turns, so that one without a route costs one try.
fn by_turns(addresses: impl Iterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let mut first = None;
    let (one, other): (Vec<_>, Vec<_>) =
        addresses.partition(|address| *first.get_or_insert(address.is_ipv4()) == address.is_ipv4());
    let mut other = other.into_iter();
    let mut turns: VecDeque<_> = one.into_iter().flat_map(|one| [Some(one), other.next()]).flatten().collect();
    turns.extend(other);
    turns
}

/// Tries the addresses in order, each as soon as one before it failed or kept silent for a moment. The first that
/// answers wins; silence ends with the caller's patience.
async fn first_reachable(mut untried: VecDeque<SocketAddr>) -> Result<TcpStream, Failure> {
    let mut trying: Vec<BoxFuture<'static, io::Result<TcpStream>>> = Vec::new();
    let mut failure = Failure::Connect(ConnectFault::NoAddress);
    loop {
        match untried.pop_front() {
            Some(address) => trying.push(Box::pin(TcpStream::connect(address))),
            None if trying.is_empty() => return Err(failure),
            None => {}
        }
        match next_end(&mut trying, !untried.is_empty()).await {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(error)) => failure = Failure::Connect(fault(&error)),
            None => {}
        }
    }
}

/// The end of any attempt, which is then gone; `None` after a moment, if `impatient`.
async fn next_end(
    trying: &mut Vec<BoxFuture<'static, io::Result<TcpStream>>>,
    impatient: bool,
) -> Option<io::Result<TcpStream>> {
    let mut moment = pin!(sleep(MOMENT));
    poll_fn(|cx| {
        for at in 0..trying.len() {
            if let Some(Poll::Ready(end)) = trying.get_mut(at).map(|attempt| attempt.as_mut().poll(cx)) {
                drop(trying.swap_remove(at));
                return Poll::Ready(Some(end));
            }
        }
        if impatient { moment.as_mut().poll(cx).map(|()| None) } else { Poll::Pending }
    })
    .await
}

fn fault(error: &io::Error) -> ConnectFault {
    if error.kind() == io::ErrorKind::ConnectionRefused { ConnectFault::Refused } else { ConnectFault::Unreachable }
}

async fn encrypt(origin: &Origin, stream: TcpStream) -> Result<Stream, Failure> {
    let config = origin.tls.config().ok_or(Failure::Tls)?;
    let name = match origin.address {
        Some(address) => ServerName::from(address),
        None => ServerName::try_from(origin.host.to_string()).map_err(|_| Failure::Tls)?,
    };
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|_| Failure::Tls)?;
    Ok(Stream::Tls(Box::new(stream)))
}

impl Socket {
    /// Whether the peer chose HTTP/2 in the handshake.
    pub(super) fn speaks_h2(&self) -> bool {
        match &self.stream {
            Stream::Plain(_) => false,
            Stream::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    /// Counts the bytes that come; whoever sends a request resets it.
    pub(super) fn received(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.received)
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        this.received.fetch_add(buffer.filled().len() - before, Ordering::Relaxed);
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
