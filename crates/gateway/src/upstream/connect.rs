//! Makes connections: name look-up, TCP, TLS. Keeps none: the pool does. Tests: `tests/it/transport.rs`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{ConnectFault, Failure, Origin};

/// A connection, plain or encrypted. Remembers whether any byte of an answer ever came.
pub(super) struct Socket {
    stream: Stream,
    answered: Arc<AtomicBool>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects to `origin`, handshake included, before `deadline`.
pub(super) async fn connect(origin: &Origin, deadline: Instant) -> Result<Socket, Failure> {
    timeout_at(deadline, connect_at_leisure(origin, deadline)).await.unwrap_or(Err(Failure::ConnectTimeout))
}

async fn connect_at_leisure(origin: &Origin, deadline: Instant) -> Result<Socket, Failure> {
    let addresses = addresses(origin).await?;
    let stream = first_reachable(&addresses, deadline).await?;
    // Failing to set it makes the connection slow, not wrong.
    let _ = stream.set_nodelay(true);
    let stream = if origin.secure { encrypt(origin, stream).await? } else { Stream::Plain(stream) };
    Ok(Socket { stream, answered: Arc::default() })
}

async fn addresses(origin: &Origin) -> Result<Vec<SocketAddr>, Failure> {
    if let Ok(address) = origin.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, origin.port)]);
    }
    match lookup_host((&*origin.host, origin.port)).await {
        Ok(found) => Ok(found.collect()),
        Err(_) => Err(Failure::Connect(ConnectFault::NoAddress)),
    }
}

/// Tries the addresses in the resolver's order; a silent one may use up its share of the time, not the others'.
async fn first_reachable(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, Failure> {
    let mut failure = Failure::Connect(ConnectFault::NoAddress);
    for (tried, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let now = Instant::now();
        let share = now + deadline.saturating_duration_since(now) / left;
        failure = match timeout_at(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => Failure::Connect(fault(&error)),
            Err(_) => Failure::ConnectTimeout,
        };
    }
    Err(failure)
}

fn fault(error: &io::Error) -> ConnectFault {
    if error.kind() == io::ErrorKind::ConnectionRefused { ConnectFault::Refused } else { ConnectFault::Unreachable }
}

async fn encrypt(origin: &Origin, stream: TcpStream) -> Result<Stream, Failure> {
    let config = origin.tls.config().ok_or(Failure::Tls)?;
    let name = ServerName::try_from(origin.host.to_string()).map_err(|_| Failure::Tls)?;
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

    /// Set when a byte comes; whoever sends a request resets it.
    pub(super) fn answered(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.answered)
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
        if buffer.filled().len() > before {
            this.answered.store(true, Ordering::Relaxed);
        }
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
