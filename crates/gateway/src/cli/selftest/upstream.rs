//! An upstream on a loopback port that does what it is told, in bytes written by hand. Speaks just enough HTTP for that: one
//! request a connection. Knows nothing of gateways.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::jobs::Jobs;

/// More than any request here has.
const MAX_REQUEST: usize = 64 << 10;

/// What the whole answer looks like.
pub(super) const ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello!"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;

const FIRST: &str = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
const WORD: &str = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Hello!"},"finish_reason":null}]}"#;
const LAST: &str = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;

/// What is done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Whole or as a stream, as asked.
    Answer,
    Fail(u16),
    /// 429, and a time to wait in seconds.
    Limit(u32),
    /// A stream begins, and its connection breaks before the first word.
    Die,
}

/// What a request says.
pub(super) struct Asked {
    pub(super) key: String,
    pub(super) stream: bool,
    /// How many came before it.
    pub(super) before: usize,
}

type Choose = dyn Fn(&Asked) -> Act + Send + Sync;

pub(super) struct Upstream {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    choose: Box<Choose>,
    hits: AtomicUsize,
    keys: Mutex<Vec<String>>,
}

impl Upstream {
    /// Listens as long as the jobs live.
    pub(super) async fn start(
        jobs: &Jobs,
        choose: impl Fn(&Asked) -> Act + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let error = |error: io::Error| format!("no port on this machine: {error}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(error)?;
        let address = listener.local_addr().map_err(error)?;
        let state = Arc::new(State { choose: Box::new(choose), hits: AtomicUsize::new(0), keys: Mutex::default() });
        let (own, accepting) = (Arc::clone(&state), jobs.clone());
        jobs.spawn("scripted upstream", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&own);
                accepting.spawn("scripted answer", async move {
                    // A peer that leaves is part of what is played.
                    let _ = state.serve(stream).await;
                });
            }
        });
        Ok(Self { address, state })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// How many requests came.
    pub(super) fn hits(&self) -> usize {
        self.state.hits.load(Ordering::Relaxed)
    }

    /// The keys they came with, in their order.
    pub(super) fn keys(&self) -> Vec<String> {
        self.state.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl State {
    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let Some(request) = read(&mut stream).await? else { return Ok(()) };
        let text = String::from_utf8_lossy(&request);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let key = header(head, "authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        let before = self.hits.fetch_add(1, Ordering::Relaxed);
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).push(key.to_owned());
        let stream_wanted = body.replace(' ', "").contains(r#""stream":true"#);
        let asked = Asked { key: key.to_owned(), stream: stream_wanted, before };
        stream.write_all(&played((self.choose)(&asked), asked.stream)).await?;
        stream.shutdown().await
    }
}

/// A whole request; nothing if the peer leaves before its end.
async fn read(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    while bytes.len() < MAX_REQUEST {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = header(head, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        if body.len() >= length {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

fn played(act: Act, stream: bool) -> Vec<u8> {
    match act {
        Act::Answer if stream => streamed(&[FIRST, WORD, LAST], true),
        Act::Answer => whole(200, "", ANSWER),
        Act::Fail(status) => whole(status, "", r#"{"error":{"message":"as the test wants","type":"server_error"}}"#),
        Act::Limit(seconds) => {
            let wait = format!("retry-after: {seconds}\r\n");
            whole(429, &wait, r#"{"error":{"message":"as the test wants","type":"rate_limit_error"}}"#)
        }
        Act::Die => streamed(&[FIRST], false),
    }
}

fn whole(status: u16, fields: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} \r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{fields}connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Events in chunks; without the end of the last one the connection breaks in the middle.
fn streamed(events: &[&str], ends: bool) -> Vec<u8> {
    let head =
        "HTTP/1.1 200 \r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let mut out = head.to_owned();
    let mut chunk = |text: &str| {
        out.push_str(&format!("{:x}\r\n{text}\r\n", text.len()));
    };
    events.iter().for_each(|event| chunk(&format!("data: {event}\n\n")));
    if ends {
        chunk("data: [DONE]\n\n");
        out.push_str("0\r\n\r\n");
    }
    out.into_bytes()
}
