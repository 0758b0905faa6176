//! The bytes of a connection: the watched TCP stream, plain or under TLS. Tells the pulse what moves; decides nothing.
//! Tests: `tests/it/edge.rs`, `tests/it/tls.rs`.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::bare::{self, Draw};
use super::pulse::Pulse;
use super::spoken::{PREFACE, Spoken};

/// Bytes a closing connection reads and throws away, so that the last answer is not lost to a reset.
const MAX_DISCARDED: usize = 1024 * 1024;

/// What hyper reads and writes: a stream whose bare refusals are given words.
pub(super) struct Socket {
    stream: Stream,
    draw: Option<Draw>,
    /// What is written in place of a bare refusal, and how much of hyper's own that is.
    worded: Option<(Bytes, usize)>,
}

/// One type for both, so that hyper's machinery is compiled once.
pub(super) enum Stream {
    Plain(Watched),
    Tls(Box<TlsStream<Watched>>),
}

impl Socket {
    pub(super) fn new(stream: Stream, draw: Option<Draw>) -> Self {
        Self { stream, draw, worded: None }
    }

    /// Waits for what tells which HTTP this is. A connection that breaks meanwhile tells it when it is read.
    pub(super) fn poll_spoken(&self, cx: &mut Context<'_>) -> Poll<Spoken> {
        match &self.stream {
            Stream::Plain(stream) => stream.poll_spoken(cx),
            Stream::Tls(stream) => Poll::Ready(Spoken::of_protocol(stream.get_ref().1.alpn_protocol())),
        }
    }

    /// Is this write a bare refusal, or the rest of one? Then writes the words in its place.
    fn poll_worded(&mut self, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Option<Poll<io::Result<usize>>> {
        if self.worded.is_none() {
            let draw = self.draw.as_ref()?;
            let status = bare::status_of(slices)?;
            self.worded = Some((bare::written(&draw(status)), slices.iter().map(|slice| slice.len()).sum()));
        }
        let (words, meant) = self.worded.as_mut()?;
        while !words.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, words) {
                Poll::Pending => return Some(Poll::Pending),
                Poll::Ready(Ok(0)) => return Some(Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(written)) => words.advance(written.min(words.len())),
                Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
            }
        }
        let meant = *meant;
        self.worded = None;
        Some(Poll::Ready(Ok(meant)))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.poll_worded(cx, &[io::IoSlice::new(bytes)]) {
            Some(written) => written,
            None => Pin::new(&mut this.stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.poll_worded(cx, slices) {
            Some(written) => written,
            None => Pin::new(&mut this.stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

/// The socket, telling the pulse what it sees.
pub(super) struct Watched {
    stream: TcpStream,
    pulse: Arc<Pulse>,
    sent_fin: bool,
    discarded: usize,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, pulse: Arc<Pulse>) -> Self {
        Self { stream, pulse, sent_fin: false, discarded: 0 }
    }

    fn poll_spoken(&self, cx: &mut Context<'_>) -> Poll<Spoken> {
        let mut first = [MaybeUninit::uninit(); PREFACE.len()];
        let mut first = ReadBuf::uninit(&mut first);
        let looked = ready!(self.stream.poll_peek(cx, &mut first));
        Poll::Ready(looked.map_or(Spoken::Http1, |_| Spoken::of_first(first.filled())))
    }

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
