//! The bytes a load sends, as client and as upstream. Knows HTTP framing; must not measure.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// What every chunk of [`chunk_beat`] ends with, and nothing else does.
pub(super) const MARK: &[u8] = b"\"finish_reason\":null}]}\n\n";

/// A whole chat request: `chat` has about 2 KB, `large` 100 KB, `stream` asks for a stream.
pub(super) fn request(kind: &str, model: &str, key: &str) -> Bytes {
    let (length, stream) = match kind {
        "chat" => (1_800, false),
        "large" => (102_000, false),
        "stream" => (1_800, true),
        _ => panic!("no body: {kind}"),
    };
    let text = "The harbour was quiet before the storm came in from the west. ".repeat(length / 62 + 1);
    let stream = if stream { r#","stream":true"# } else { "" };
    let body = format!(
        r#"{{"model":"{model}","messages":[{{"role":"system","content":"You are terse."}},{{"role":"user","content":"{}"}}],"temperature":0.7,"max_tokens":256{stream}}}"#,
        &text[..length]
    );
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\nuser-agent: load\r\naccept: */*\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into()
}

/// Answers one request at a time with a stream of chunks on a beat, and tells when each was written.
pub(super) async fn chunk_beat(
    listener: TcpListener,
    chunks: u64,
    interval: Duration,
    sent: mpsc::UnboundedSender<Instant>,
) -> io::Result<()> {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let event = concat!(
        r#"data: {"id":"chatcmpl-C2k8vQwJt0mZ4rXnB6sLyE1dFhGaU","object":"chat.completion.chunk","created":1771000000,"model":"gpt-4o-mini-2024-07-18","#,
        r#""choices":[{"index":0,"delta":{"content":" storm"},"logprobs":null,"finish_reason":null}]}"#,
        "\n\n"
    );
    let chunk = format!("{:x}\r\n{event}\r\n", event.len());
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            if stream.read_buf(&mut request).await? == 0 {
                break;
            }
        }
        stream.write_all(HEAD).await?;
        let mut beat = tokio::time::interval(interval);
        for _ in 0..chunks {
            beat.tick().await;
            sent.send(Instant::now()).ok();
            stream.write_all(chunk.as_bytes()).await?;
        }
        stream.write_all(b"0\r\n\r\n").await?;
    }
}

/// The announced length of an answer, if its head has one.
pub(super) fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let mut lines = head.split(|byte| *byte == b'\n');
    let line = lines.find(|line| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)))?;
    std::str::from_utf8(&line[NAME.len()..]).ok()?.trim().parse().ok()
}
