//! A small HTTP/1.1 client that hides nothing: pieces as they arrive, cuts as cuts, and any bytes it is told to send.
//! It must not retry, follow or repair. Its tests are in `tests/steps.rs`, where it watches the upstream.

use std::io;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::framing::Inbox;
use crate::headers::{BodyLength, Head, Headers, malformed};
use crate::sse::{Event, EventReader};

/// A request to send. `host` and `content-length` are added unless given.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    target: String,
    headers: Headers,
    body: Bytes,
}

impl Request {
    /// A request without a body.
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.to_owned(), target: target.to_owned(), headers: Headers::default(), body: Bytes::new() }
    }

    /// `GET` that path and query.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// `POST` a JSON text, byte for byte, as `application/json`.
    pub fn post(target: &str, json: impl Into<Bytes>) -> Self {
        Self::new("POST", target).header("content-type", "application/json").body(json)
    }

    /// Adds a header field.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push(name, value);
        self
    }

    /// Adds `authorization: Bearer <secret>`.
    pub fn bearer(self, secret: &str) -> Self {
        self.header("authorization", &format!("Bearer {secret}"))
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it on a connection of its own and reads the whole answer. Panics when no head of an answer arrives.
    pub async fn send(&self, url: &str) -> Answer {
        Client::connect(url).await.send(self).await
    }

    /// Sends it on a connection of its own and reads the head. Panics when none arrives.
    pub async fn open(&self, url: &str) -> Live {
        Client::connect(url).await.open(self).await.expect("a head of an answer")
    }

    /// The bytes of the request; `host` is what to call the server.
    pub fn to_bytes(&self, host: &str) -> Bytes {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if self.headers.get("host").is_none() {
            head.extend(["host: ", host, "\r\n"]);
        }
        let told = ["content-length", "transfer-encoding"].iter().any(|name| self.headers.get(name).is_some());
        let needed = self.method != "GET" || !self.body.is_empty();
        if needed && !told {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        self.headers.write_to(&mut head);
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat().into()
    }
}

/// How an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// All bytes of its length or its last chunk came; without either, the peer closed (FIN).
    Whole,
    /// The peer closed, reset or broke the framing before that.
    Cut(io::ErrorKind),
}

/// A whole answer, or as much of it as came.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The fields in wire order.
    pub headers: Headers,
    /// The body with any chunked coding removed.
    pub body: Bytes,
    /// Whether the body is whole.
    pub ended: Ended,
}

impl Answer {
    /// The value of the first field of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The body as text. Panics when it is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the answer is UTF-8")
    }

    /// The body as JSON. Panics when it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in answer {:?}", self.body))
    }

    /// The events of the body.
    pub fn events(&self) -> Vec<Event> {
        crate::sse::parse(&self.body)
    }
}

/// One connection, kept alive as long as the peer allows.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    inbox: Inbox,
    host: String,
}

impl Client {
    /// Connects to `http://host:port` or `host:port`; whatever follows is ignored. Panics when refused.
    pub async fn connect(url: &str) -> Self {
        Self::try_connect(url).await.unwrap_or_else(|error| panic!("connecting to {url}: {error}"))
    }

    /// Connects, or tells why not.
    pub async fn try_connect(url: &str) -> io::Result<Self> {
        let rest = url.strip_prefix("http://").unwrap_or(url);
        let host = rest.split('/').next().unwrap_or_default().to_owned();
        let stream = TcpStream::connect(&host).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, inbox: Inbox::default(), host })
    }

    /// Sends a request and reads the whole answer. Panics when no head of an answer arrives.
    pub async fn send(&mut self, request: &Request) -> Answer {
        self.try_send(request).await.expect("a head of an answer")
    }

    /// Sends a request and reads the whole answer, or tells why no head of one arrived.
    pub async fn try_send(&mut self, request: &Request) -> io::Result<Answer> {
        self.write(&request.to_bytes(&self.host)).await?;
        self.answer().await
    }

    /// Sends exactly these bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads the next answer, or tells why no head of one arrived.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        let (status, headers, mut body) = self.head().await?;
        let mut bytes = BytesMut::new();
        let ended = loop {
            match body.next(&mut self.inbox, &mut self.stream).await {
                Ok(Some(piece)) => bytes.extend_from_slice(&piece),
                Ok(None) => break Ended::Whole,
                Err(error) => break Ended::Cut(error.kind()),
            }
        };
        Ok(Answer { status, headers, body: bytes.freeze(), ended })
    }

    /// Sends a request and reads the head of the answer, or tells why none arrived.
    pub async fn open(mut self, request: &Request) -> io::Result<Live> {
        self.write(&request.to_bytes(&self.host)).await?;
        let (status, headers, body) = self.head().await?;
        Ok(Live { status, headers, client: self, body, ended: None, reader: EventReader::default(), events: vec![] })
    }

    /// Every byte until the peer closes, as it stood on the wire; the error is how it ended if not with FIN.
    pub async fn read_raw(&mut self) -> (Vec<u8>, io::Result<()>) {
        let mut bytes = vec![];
        let ended = self.stream.read_to_end(&mut bytes).await.map(|_| ());
        (bytes, ended)
    }

    /// Tells the peer that nothing more will be sent (FIN), and stays to listen.
    pub async fn finish_sending(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Closes the connection.
    pub fn hang_up(self) {
        drop(self);
    }

    /// Resets the connection (RST).
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("a TCP socket takes SO_LINGER");
    }

    async fn head(&mut self) -> io::Result<(u16, Headers, Body)> {
        let bytes = self.inbox.head(&mut self.stream).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let head = Head::parse(&bytes)?;
        let status = head.start.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| malformed("not an HTTP/1.1 status line", &head.start))?;
        let body = match head.body_length()? {
            BodyLength::Untold if matches!(status, 204 | 304) => Body::Counted(0),
            BodyLength::Exactly(length) => Body::Counted(length),
            BodyLength::Chunked => Body::Chunks,
            BodyLength::Untold => Body::UntilClosed,
        };
        Ok((status, head.headers, body))
    }
}

/// What is still to come of a body.
#[derive(Debug)]
enum Body {
    Counted(usize),
    Chunks,
    UntilClosed,
}

impl Body {
    async fn next(&mut self, inbox: &mut Inbox, stream: &mut TcpStream) -> io::Result<Option<Bytes>> {
        match self {
            Self::Counted(0) => Ok(None),
            Self::Counted(left) => {
                let piece = inbox.up_to(*left, stream).await?;
                *left -= piece.len();
                Ok(Some(piece))
            }
            Self::Chunks => {
                let chunk = inbox.chunk(stream).await?;
                if chunk.is_none() {
                    *self = Self::Counted(0);
                }
                Ok(chunk)
            }
            Self::UntilClosed => match inbox.up_to(usize::MAX, stream).await {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
                piece => piece.map(Some),
            },
        }
    }
}

/// Something, and when it had arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival<T> {
    /// When its last byte had been read.
    pub at: Instant,
    /// What arrived.
    pub what: T,
}

/// An answer whose head has arrived and whose body is read as it comes.
#[derive(Debug)]
pub struct Live {
    /// The status code.
    pub status: u16,
    /// The fields in wire order.
    pub headers: Headers,
    client: Client,
    body: Body,
    ended: Option<Ended>,
    reader: EventReader,
    events: Vec<Arrival<Event>>,
}

impl Live {
    /// The next piece of the body: one chunk of a chunked body, else what one read gave. `None` when it ended.
    /// A test may stop waiting and ask again: nothing is lost.
    pub async fn next(&mut self) -> Option<Arrival<Bytes>> {
        if self.ended.is_some() {
            return None;
        }
        match self.body.next(&mut self.client.inbox, &mut self.client.stream).await {
            Ok(Some(what)) => {
                return Some(Arrival { at: Instant::now(), what });
            }
            Ok(None) => self.ended = Some(Ended::Whole),
            Err(error) => self.ended = Some(Ended::Cut(error.kind())),
        }
        None
    }

    /// The next event. `None` when the body ended. Not to be mixed with [`Live::next`] in the middle of an event.
    pub async fn next_event(&mut self) -> Option<Arrival<Event>> {
        while self.events.is_empty() {
            let Arrival { at, what } = self.next().await?;
            self.events = self.reader.push(&what).into_iter().map(|what| Arrival { at, what }).collect();
        }
        Some(self.events.remove(0))
    }

    /// How it ended, once it did.
    pub fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// Everything that is still to come, as it came.
    pub async fn rest(&mut self) -> Bytes {
        let mut bytes = BytesMut::new();
        while let Some(piece) = self.next().await {
            bytes.extend_from_slice(&piece.what);
        }
        bytes.freeze()
    }

    /// Closes the connection, whatever is still to come.
    pub fn hang_up(self) {
        self.client.hang_up();
    }

    /// Resets the connection (RST).
    pub fn reset(self) {
        self.client.reset();
    }
}
