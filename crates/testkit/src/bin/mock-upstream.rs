//! A provider that is never the bottleneck: fixed answers, prepared before the first request, one write for each.
//! It must not parse JSON or keep anything. For benchmarks; `tests/mock_upstream.rs` proves that it answers right.
//!
//! `mock-upstream --port 9000 --chunks 20 --interval-us 10000`; port 0 takes a free one, and the first line on
//! standard output says which: `listening on 127.0.0.1:9000`.
#![expect(
    clippy::panic,
    reason = "only benchmarks use this program, and a panic is how it refuses a wrong command line"
)]

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};

#[tokio::main]
async fn main() -> io::Result<()> {
    let options = Options::from_arguments(std::env::args().skip(1));
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    let answers = Arc::new(Answers::prepare(&options));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answers = Arc::clone(&answers);
        // A caller that leaves is no concern of a benchmark's upstream.
        tokio::spawn(async move { answers.serve(stream).await.ok() });
    }
}

struct Options {
    port: u16,
    chunks: usize,
    interval: Duration,
}

impl Options {
    fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut options = Self { port: 0, chunks: 20, interval: Duration::ZERO };
        while let Some(name) = arguments.next() {
            let number: u64 = arguments
                .next()
                .and_then(|value| value.parse().ok())
                .unwrap_or_else(|| panic!("{name} takes a number"));
            match name.as_str() {
                "--port" => options.port = u16::try_from(number).unwrap_or_else(|_| panic!("no port: {number}")),
                "--chunks" => options.chunks = usize::try_from(number).unwrap_or(usize::MAX),
                "--interval-us" => options.interval = Duration::from_micros(number),
                _ => panic!("unknown: {name}. Known are --port, --chunks and --interval-us"),
            }
        }
        options
    }
}

/// Everything this upstream ever says.
struct Answers {
    chat: Bytes,
    message: Bytes,
    chat_stream: Stream,
    chat_stream_with_usage: Stream,
    message_stream: Stream,
    unknown: Bytes,
    interval: Duration,
}

/// The writes of a streamed answer: the opening at once, the deltas at intervals, the closing after the last.
struct Stream {
    opening: Bytes,
    deltas: Vec<Bytes>,
    closing: Bytes,
}

impl Answers {
    fn prepare(options: &Options) -> Self {
        Self {
            chat: whole(200, &chat()),
            message: whole(200, &message()),
            chat_stream: chat_stream(options.chunks, false),
            chat_stream_with_usage: chat_stream(options.chunks, true),
            message_stream: message_stream(options.chunks),
            unknown: whole(
                404,
                r#"{"error":{"message":"Not found","type":"invalid_request_error","param":null,"code":null}}"#,
            ),
            interval: options.interval,
        }
    }

    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut buffer = BytesMut::with_capacity(16 * 1024);
        while let Some(request) = next_request(&mut buffer, &mut stream).await? {
            let (head, body) = request;
            let streams = is_true(&body, b"\"stream\"");
            if head.starts_with(b"POST /v1/chat/completions") {
                match (streams, is_true(&body, b"\"include_usage\"")) {
                    (false, _) => stream.write_all(&self.chat).await?,
                    (true, false) => self.play(&self.chat_stream, &mut stream).await?,
                    (true, true) => self.play(&self.chat_stream_with_usage, &mut stream).await?,
                }
            } else if head.starts_with(b"POST /v1/messages") {
                if streams {
                    self.play(&self.message_stream, &mut stream).await?;
                } else {
                    stream.write_all(&self.message).await?;
                }
            } else {
                stream.write_all(&self.unknown).await?;
            }
        }
        Ok(())
    }

    async fn play(&self, script: &Stream, stream: &mut TcpStream) -> io::Result<()> {
        stream.write_all(&script.opening).await?;
        // Deadlines count from the start, so that timer ticks coarser than the interval do not add up.
        let mut due = Instant::now();
        for delta in &script.deltas {
            if !self.interval.is_zero() {
                due += self.interval;
                sleep_until(due).await;
            }
            stream.write_all(delta).await?;
        }
        stream.write_all(&script.closing).await
    }
}

/// Head and body of the next request; `None` when the caller is done. Bodies without a `content-length` are empty.
async fn next_request(buffer: &mut BytesMut, stream: &mut TcpStream) -> io::Result<Option<(Bytes, Bytes)>> {
    loop {
        if let Some(end) = memchr::memmem::find(buffer, b"\r\n\r\n") {
            let head = buffer.split_to(end).freeze();
            buffer.advance(4);
            let length = content_length(&head);
            while buffer.len() < length {
                if stream.read_buf(buffer).await? == 0 {
                    return Ok(None);
                }
            }
            return Ok(Some((head, buffer.split_to(length).freeze())));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

fn content_length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"content-length:";
    head.split(|byte| *byte == b'\n')
        .find(|line| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)))
        .and_then(|line| std::str::from_utf8(&line[NAME.len()..]).ok())
        .and_then(|digits| digits.trim().parse().ok())
        .unwrap_or(0)
}

/// Whether that quoted key is followed by a colon and `true`, with any spacing.
fn is_true(body: &[u8], key: &[u8]) -> bool {
    memchr::memmem::find_iter(body, key).any(|found| {
        let rest = body[found + key.len()..].trim_ascii_start();
        rest.strip_prefix(b":").is_some_and(|value| value.trim_ascii_start().starts_with(b"true"))
    })
}

fn whole(status: u16, body: &str) -> Bytes {
    format!("HTTP/1.1 {status} \r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .into()
}

fn chunk(event: &str) -> String {
    format!("{:x}\r\n{event}\r\n", event.len())
}

/// Puts the head before the first event and the last chunk after the last.
fn stream(first: &str, deltas: impl Iterator<Item = String>, last: &str) -> Stream {
    const HEAD: &str =
        "HTTP/1.1 200 \r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
    Stream {
        opening: format!("{HEAD}{}", chunk(first)).into(),
        deltas: deltas.map(|event| chunk(&event).into()).collect(),
        closing: format!("{}0\r\n\r\n", chunk(last)).into(),
    }
}

/// 560 bytes, so that a whole answer is about a kilobyte.
fn text() -> String {
    "The lighthouse kept its light on through the storm. Nobody came. ".repeat(9)
}

fn chat() -> String {
    format!(
        r#"{{"id":"chatcmpl-C2k8vQwJt0mZ4rXnB6sLyE1dFhGaU","object":"chat.completion","created":1771000000,"model":"gpt-4o-mini-2024-07-18","choices":[{{"index":0,"message":{{"role":"assistant","content":"{}","refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":14,"completion_tokens":118,"total_tokens":132,"prompt_tokens_details":{{"cached_tokens":0,"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}},"service_tier":"default","system_fingerprint":"fp_560af6e559"}}"#,
        text()
    )
}

fn message() -> String {
    format!(
        r#"{{"model":"claude-sonnet-4-5-20250929","id":"msg_01XFDUDYJgAACzvnptvVoYEL","type":"message","role":"assistant","content":[{{"type":"text","text":"{}"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":14,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":{{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0}},"output_tokens":118,"service_tier":"standard"}}}}"#,
        text()
    )
}

fn chat_stream(chunks: usize, usage: bool) -> Stream {
    let tail = if usage { r#","usage":null"# } else { "" };
    let event = |choices: &str, tail: &str| {
        format!(
            "data: {}{choices}{tail}}}\n\n",
            r#"{"id":"chatcmpl-C2k8vQwJt0mZ4rXnB6sLyE1dFhGaU","object":"chat.completion.chunk","created":1771000000,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_560af6e559","choices":"#
        )
    };
    let choice = |delta: &str, reason: &str| {
        let choices = format!(r#"[{{"index":0,"delta":{{{delta}}},"logprobs":null,"finish_reason":{reason}}}]"#);
        event(&choices, tail)
    };
    let mut last = choice("", r#""stop""#);
    if usage {
        let counts =
            format!(r#","usage":{{"prompt_tokens":14,"completion_tokens":{chunks},"total_tokens":{}}}"#, chunks + 14);
        last += &event("[]", &counts);
    }
    last += "data: [DONE]\n\n";
    stream(
        &choice(r#""role":"assistant","content":"","refusal":null"#, "null"),
        (0..chunks).map(|_| choice(r#""content":" storm""#, "null")),
        &last,
    )
}

fn message_stream(chunks: usize) -> Stream {
    let first = concat!(
        "event: message_start\n",
        r#"data: {"type":"message_start","message":{"model":"claude-sonnet-4-5-20250929","id":"msg_01XFDUDYJgAACzvnptvVoYEL","type":"message","role":"assistant","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":14,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1,"service_tier":"standard"}}}"#,
        "\n\nevent: content_block_start\n",
        r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        "\n\n"
    );
    let delta = concat!(
        "event: content_block_delta\n",
        r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" storm"}}"#,
        "\n\n"
    );
    let last = format!(
        "event: content_block_stop\ndata: {}\n\nevent: message_delta\ndata: {}{chunks}{}\n\nevent: message_stop\ndata: {}\n\n",
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":"#,
        "}}",
        r#"{"type":"message_stop"}"#,
    );
    stream(first, (0..chunks).map(|_| delta.to_owned()), &last)
}

#[cfg(test)]
mod tests {
    use super::is_true;

    #[test]
    fn a_flag_is_found_with_any_spacing_and_not_inside_text() {
        for body in [r#"{"stream":true}"#, "{\"stream\" :\n true}", r#"{"stream_options":{},"stream": true}"#] {
            assert!(is_true(body.as_bytes(), b"\"stream\""), "{body}");
        }
        for body in [r#"{"stream":false}"#, r#"{}"#, r#"{"content":"\"stream\":true"}"#, r#"{"stream""#] {
            assert!(!is_true(body.as_bytes(), b"\"stream\""), "{body}");
        }
    }
}
