//! Faulty and hostile clients, over raw sockets: each is answered, cut off or ignored; none costs the others anything.
//!
//! Leaving before and amid an answer is in `hang_up.rs`; duplicate keys of all dialects are in `identity.rs`.

mod bodies;
mod frames;
mod heads;
mod http2;
mod load;
mod slow;

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use waypost_gateway::serve::Limits;
use waypost_testkit::{Client, Script, Upstream, fixtures};

use crate::harness::{Gateway, KEY, channel};

/// A bound for failing tests; no passing test waits this long.
const PATIENCE: Duration = Duration::from_secs(10);
/// The patience of the edge where a test waits for its end.
const SHORT: Duration = Duration::from_millis(150);
const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#;
const MESSAGE: &str = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}"#;

/// A gateway in front of an upstream that answers everything.
async fn front(limits: Limits) -> (Upstream, Gateway) {
    let upstream = Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
    let gateway = before(&upstream, limits).await;
    (upstream, gateway)
}

async fn before(upstream: &Upstream, limits: Limits) -> Gateway {
    let channels = channel("main", "openai", &upstream.url(), "['*']");
    Gateway::start_with(&format!("keys: [{{name: test, key: {KEY}}}]\nchannels:\n{channels}"), limits).await
}

async fn connect(gateway: &Gateway) -> TcpStream {
    TcpStream::connect(gateway.url().trim_start_matches("http://")).await.unwrap()
}

/// What comes back for these bytes until the edge closes; the client never closes by itself.
async fn last_words(gateway: &Gateway, sent: &[u8]) -> String {
    let mut client = Client::connect(gateway.url()).await;
    // The edge may have closed before all was sent.
    let _ = client.write(sent).await;
    let (said, _) = timeout(PATIENCE, client.read_raw()).await.expect("the edge closes the connection");
    String::from_utf8_lossy(&said).into_owned()
}

/// The gateway answers others.
async fn assert_serves(gateway: &Gateway) {
    let answer = timeout(PATIENCE, gateway.post("/v1/chat/completions", CHAT)).await.expect("others are served");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// A refusal in full: status, JSON with the words of an error, an id, and nothing after it.
#[track_caller]
fn assert_refused(said: &str, status: u16) {
    let (head, body) = said.split_once("\r\n\r\n").expect(said);
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{said}");
    assert!(head.contains("\r\nx-request-id: req_") && head.contains("\r\ncontent-type: application/json"), "{said}");
    let json: serde_json::Value = serde_json::from_str(body).expect(said);
    assert!(json["error"]["message"].is_string(), "{said}");
}

/// How many answers there are in what was said.
fn answers(said: &str) -> usize {
    said.matches("HTTP/1.1 ").count()
}

/// Sends piece after piece until the edge closes or refuses to take more; what it said is not read.
async fn pour(stream: &mut TcpStream, piece: &[u8], most: usize) -> usize {
    for sent in 0..most {
        if !matches!(timeout(SHORT * 10, stream.write_all(piece)).await, Ok(Ok(()))) {
            return sent;
        }
    }
    most
}
