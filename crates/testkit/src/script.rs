//! What an upstream does for one request: which bytes, in which pieces, when, and how it ends.
//! A script is only a description; it must not know sockets. Played by `serve.rs`, watched in `tests/steps.rs`.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::Semaphore;

use crate::headers::Headers;

/// What an upstream does for one request. Start with [`Script::reply`], [`Script::stream`], [`Script::raw`],
/// [`Script::cut_before_answer`], [`Script::reset_before_answer`] or [`Script::never_answer`], then refine.
///
/// The body is sent in pieces, one write for each: a reply has one, a stream has those given, and
/// [`Script::split_every`] cuts either anew. Where the script breaks off is counted in pieces.
#[derive(Debug, Clone)]
pub struct Script {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) framing: Framing,
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) delay: Duration,
    pub(crate) gap: Duration,
    pub(crate) gate: Option<Gate>,
    /// How many pieces pass without the gate.
    pub(crate) ungated: usize,
    pub(crate) trickle: Option<Duration>,
    pub(crate) breaks: Option<Break>,
    pub(crate) leftover: Bytes,
    pub(crate) closes: bool,
    pub(crate) endless: bool,
}

/// How the peer is told where the body ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Framing {
    /// `content-length`, wrong by so many bytes.
    Length { off_by: isize },
    /// One chunk for each piece, then the last chunk.
    Chunks,
    /// Nothing is added to the pieces, not even a head.
    Bare,
}

/// Where a script breaks off, and how that looks to the peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Break {
    pub(crate) at: Point,
    pub(crate) how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    BeforeHead,
    InHead,
    AfterPieces(usize),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum How {
    /// FIN.
    Close,
    /// RST.
    Reset,
    /// Nothing more, until the peer leaves.
    Silence,
}

/// Lets a test decide when the next piece is sent, without clocks: a gated script waits here before every piece.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Semaphore>);

impl Default for Gate {
    fn default() -> Self {
        Self::closed()
    }
}

impl Gate {
    /// A gate nothing passes until [`Gate::pass`].
    pub fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets that many more pieces through.
    pub fn pass(&self, pieces: usize) {
        self.0.add_permits(pieces);
    }

    pub(crate) async fn wait(&self) {
        self.0.acquire().await.expect("a gate is never closed for good").forget();
    }
}

impl Script {
    /// A whole answer with a `content-length`; `application/json` unless a header says otherwise.
    pub fn reply(status: u16, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let pieces = if body.is_empty() { vec![] } else { vec![body] };
        Self { status, framing: Framing::Length { off_by: 0 }, pieces, ..Self::silent() }
    }

    /// A chunked 200, one chunk and one write for each piece; `text/event-stream` unless a header says otherwise.
    /// Panics on an empty piece, which would end a chunked body.
    pub fn stream(pieces: impl IntoIterator<Item = impl Into<Bytes>>) -> Self {
        let pieces: Vec<Bytes> = pieces.into_iter().map(Into::into).collect();
        assert!(pieces.iter().all(|piece| !piece.is_empty()), "a piece of a stream is empty");
        Self { framing: Framing::Chunks, pieces, ..Self::silent() }
    }

    /// Exactly these bytes, head and all, right or wrong. The connection stays open unless the script closes it.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self { pieces: vec![bytes.into()], ..Self::silent() }
    }

    /// Takes the request and closes (FIN).
    pub fn cut_before_answer() -> Self {
        Self::silent().breaks(Point::BeforeHead, How::Close)
    }

    /// Takes the request and resets the connection (RST).
    pub fn reset_before_answer() -> Self {
        Self::silent().breaks(Point::BeforeHead, How::Reset)
    }

    /// Takes the request and keeps silent until the peer leaves.
    pub fn never_answer() -> Self {
        Self::silent().breaks(Point::BeforeHead, How::Silence)
    }

    fn silent() -> Self {
        Self {
            status: 200,
            headers: Headers::default(),
            framing: Framing::Bare,
            pieces: vec![],
            delay: Duration::ZERO,
            gap: Duration::ZERO,
            gate: None,
            ungated: 0,
            trickle: None,
            breaks: None,
            leftover: Bytes::new(),
            closes: false,
            endless: false,
        }
    }

    /// Adds a header field. A `content-type` replaces the default one.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push(name, value);
        self
    }

    /// Answers with that status instead.
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Waits before the head.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Waits between two pieces.
    pub fn gap(mut self, gap: Duration) -> Self {
        self.gap = gap;
        self
    }

    /// As [`Script::gated`], but the first pieces pass freely.
    pub fn gated_after(self, pieces: usize, gate: &Gate) -> Self {
        Self { ungated: pieces, ..self.gated(gate) }
    }

    /// Waits before each piece, the first included, until the gate lets it pass. The head is sent at once.
    pub fn gated(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    /// Sends the head and the framed body one byte at a time, and waits so long after each byte.
    pub fn trickle(mut self, pause: Duration) -> Self {
        self.trickle = Some(pause);
        self
    }

    /// Cuts the body anew into pieces of that many bytes, wherever events and characters end.
    pub fn split_every(mut self, length: usize) -> Self {
        let body: BytesMut = self.pieces.iter().flatten().copied().collect();
        let body = body.freeze();
        self.pieces = body.chunks(length).map(|piece| body.slice_ref(piece)).collect();
        self
    }

    /// Closes (FIN) in the middle of the head.
    pub fn cut_in_head(self) -> Self {
        self.breaks(Point::InHead, How::Close)
    }

    /// Closes (FIN) after the head and so many pieces, before whatever ends the body.
    pub fn cut_after(self, pieces: usize) -> Self {
        self.breaks(Point::AfterPieces(pieces), How::Close)
    }

    /// Resets (RST) after the head and so many pieces.
    pub fn reset_after(self, pieces: usize) -> Self {
        self.breaks(Point::AfterPieces(pieces), How::Reset)
    }

    /// Keeps silent after the head and so many pieces, until the peer leaves.
    pub fn stall_after(self, pieces: usize) -> Self {
        self.breaks(Point::AfterPieces(pieces), How::Silence)
    }

    /// Announces a `content-length` that is so many bytes too long (or too short, when negative). The connection stays
    /// open unless the script closes it. Panics on a script that is not a reply.
    pub fn wrong_length(mut self, off_by: isize) -> Self {
        assert!(matches!(self.framing, Framing::Length { .. }), "only a reply announces a length");
        assert!(self.length().checked_add_signed(off_by).is_some(), "an announced length cannot be negative");
        self.framing = Framing::Length { off_by };
        self
    }

    /// Sends these bytes after the end of the answer, on a connection that stays open.
    pub fn leftover(mut self, bytes: impl Into<Bytes>) -> Self {
        self.leftover = bytes.into();
        self
    }

    /// Announces `connection: close` and closes after the answer.
    pub fn close_after(self) -> Self {
        self.header("connection", "close").close_silently()
    }

    /// Closes after the answer without announcing it.
    pub fn close_silently(mut self) -> Self {
        self.closes = true;
        self
    }

    /// Sends the last piece over and over until the peer leaves, and never ends the body.
    pub fn endlessly(mut self) -> Self {
        self.endless = true;
        self
    }

    fn breaks(mut self, at: Point, how: How) -> Self {
        self.breaks = Some(Break { at, how });
        self
    }

    /// The script, unless it breaks off after more pieces than it has.
    pub(crate) fn checked(self) -> Result<Self, String> {
        match self.breaks.map(|found| found.at) {
            Some(Point::AfterPieces(after)) if after > self.pieces.len() => {
                Err(format!("a script of {} pieces cannot break off after {after}", self.pieces.len()))
            }
            _ => Ok(self),
        }
    }

    /// The head as it goes on the wire; empty when the pieces are all there is.
    pub(crate) fn head(&self) -> String {
        let content_type = match self.framing {
            Framing::Bare => return String::new(),
            Framing::Length { .. } => "application/json",
            Framing::Chunks => "text/event-stream",
        };
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        if self.headers.get("content-type").is_none() {
            head.extend(["content-type: ", content_type, "\r\n"]);
        }
        head.push_str(&self.length_field());
        self.headers.write_to(&mut head);
        head.push_str("\r\n");
        head
    }

    fn length_field(&self) -> String {
        match self.framing {
            Framing::Length { off_by } => {
                let told = self.length().saturating_add_signed(off_by);
                format!("content-length: {told}\r\n")
            }
            Framing::Chunks => "transfer-encoding: chunked\r\n".to_owned(),
            Framing::Bare => String::new(),
        }
    }

    fn length(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// A piece as it goes on the wire.
    pub(crate) fn framed(&self, piece: &Bytes) -> Bytes {
        if !matches!(self.framing, Framing::Chunks) {
            return piece.clone();
        }
        let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
        chunk.extend_from_slice(piece);
        chunk.extend_from_slice(b"\r\n");
        chunk.into()
    }

    /// What ends the answer after its last piece.
    pub(crate) fn end(&self) -> Bytes {
        let last: &[u8] = if matches!(self.framing, Framing::Chunks) { b"0\r\n\r\n" } else { b"" };
        [last, &self.leftover].concat().into()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        // The phrase means nothing to a client and may be empty (RFC 9112, section 4).
        _ => "",
    }
}
