//! HTTP/2 frames written by hand, good and bad: no library would send what these tests need.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{PATIENCE, connect};
use crate::harness::{Gateway, KEY};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// One frame: length, kind, flags, stream, payload.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A field as HPACK has it without table or Huffman code.
pub(super) fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        bytes.extend(integer(text.len(), 7));
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// As [`field`], but kept in the peer's table.
pub(super) fn kept_field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = field(name, value);
    bytes[0] = 0x40;
    bytes
}

/// An integer behind an empty prefix of so many bits (RFC 7541 section 5.1).
fn integer(number: usize, bits: u32) -> Vec<u8> {
    let most = (1 << bits) - 1;
    if number < most {
        return vec![number as u8];
    }
    let mut rest = number - most;
    let mut bytes = vec![most as u8];
    while rest >= 128 {
        bytes.push((rest % 128 + 128) as u8);
        rest /= 128;
    }
    bytes.push(rest as u8);
    bytes
}

/// The head of a chat request with the right key.
pub(super) fn head() -> Vec<u8> {
    [
        field(":method", "POST"),
        field(":scheme", "http"),
        field(":path", "/v1/chat/completions"),
        field(":authority", "a"),
        field("authorization", &format!("Bearer {KEY}")),
        field("content-type", "application/json"),
    ]
    .concat()
}

/// A connection past its preface.
pub(super) struct Frames {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// A frame that came.
pub(super) struct Came {
    pub kind: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frames {
    pub(super) async fn open(gateway: &Gateway) -> Self {
        let mut stream = connect(gateway).await;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
        Self { stream, unread: vec![] }
    }

    /// Sends as many of these as the edge takes, reading beside it what it says; false if it closed on the way.
    pub(super) async fn flood(&mut self, frames: impl IntoIterator<Item = Vec<u8>>) -> bool {
        let (mut read, mut write) = self.stream.split();
        let mut batch = vec![];
        let mut frames = frames.into_iter().peekable();
        while frames.peek().is_some() {
            batch.clear();
            frames.by_ref().take(64).for_each(|frame| batch.extend(frame));
            let mut sent = 0;
            while sent < batch.len() {
                let step = async {
                    tokio::select! {
                        written = write.write(&batch[sent..]) => written.map(|count| { sent += count; true }),
                        count = read.read_buf(&mut self.unread) => count.map(|count| count > 0),
                    }
                };
                if !matches!(timeout(PATIENCE, step).await.expect("the edge reads or closes"), Ok(true)) {
                    return false;
                }
            }
        }
        true
    }

    /// The next frame; `None` when the edge closed.
    pub(super) async fn next(&mut self) -> Option<Came> {
        loop {
            if let Some(head) = self.unread.first_chunk::<9>() {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                let (kind, stream) = (head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]));
                if self.unread.len() >= 9 + length {
                    let payload = self.unread.drain(..9 + length).skip(9).collect();
                    return Some(Came { kind, stream, payload });
                }
            }
            let read = self.stream.read_buf(&mut self.unread);
            match timeout(PATIENCE, read).await.expect("the edge says something or closes") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Reads to the end; whether the edge said goodbye (GOAWAY) with an error before it closed.
    pub(super) async fn blamed(&mut self) -> bool {
        let mut blamed = false;
        while let Some(came) = self.next().await {
            blamed |= came.kind == GOAWAY && came.payload.get(4..8) != Some(&[0; 4]);
        }
        blamed
    }
}
