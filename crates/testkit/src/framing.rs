//! Takes HTTP/1.1 messages apart: heads, counted bytes, chunks. Both the upstream and the client read through it.
//! It must not know which side it reads for, nor what a message means. Tests at the foot.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::headers::malformed;

/// What arrived and was not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    buffer: BytesMut,
}

impl Inbox {
    /// The bytes before the next blank line; `None` when the peer left without starting a message.
    pub(crate) async fn head(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                let head = self.buffer.split_to(end).freeze();
                self.buffer.advance(4);
                return Ok(Some(head));
            }
            if self.fill(from).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(cut_short()) };
            }
        }
    }

    /// Exactly that many bytes.
    pub(crate) async fn exactly(&mut self, length: usize, from: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
        while self.buffer.len() < length {
            self.more(from).await?;
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    /// At least one byte and at most that many, as soon as there are any.
    pub(crate) async fn up_to(&mut self, most: usize, from: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
        if self.buffer.is_empty() {
            self.more(from).await?;
        }
        Ok(self.buffer.split_to(most.min(self.buffer.len())).freeze())
    }

    /// The payload of the next chunk; `None` after the last chunk and its trailers.
    pub(crate) async fn chunk(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Bytes>> {
        loop {
            match Chunk::at_start_of(&self.buffer)? {
                Chunk::Unfinished => self.more(from).await?,
                Chunk::Payload { starts, ends } => {
                    let payload = self.buffer.split_to(ends + 2).freeze().slice(starts..ends);
                    return Ok(Some(payload));
                }
                Chunk::Last { ends } => {
                    self.buffer.advance(ends);
                    return Ok(None);
                }
            }
        }
    }

    /// Waits for bytes and keeps them; 0 when the peer is done sending.
    pub(crate) async fn fill(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        from.read_buf(&mut self.buffer).await
    }

    async fn more(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        if self.fill(from).await? == 0 { Err(cut_short()) } else { Ok(()) }
    }
}

/// What a buffer starts with. Nothing is taken before a chunk is whole, so a test may stop waiting at any moment.
enum Chunk {
    Unfinished,
    Payload { starts: usize, ends: usize },
    Last { ends: usize },
}

impl Chunk {
    fn at_start_of(buffer: &[u8]) -> io::Result<Self> {
        let Some(end) = memchr::memmem::find(buffer, b"\r\n") else {
            return Ok(Self::Unfinished);
        };
        let text = String::from_utf8_lossy(&buffer[..end]);
        let digits = text.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(digits, 16).map_err(|_| malformed("a chunk size that is no number", &text))?;
        if size == 0 {
            // The blank line after the trailers; without any, it follows the size at once.
            let blank = memchr::memmem::find(&buffer[end..], b"\r\n\r\n");
            return Ok(blank.map_or(Self::Unfinished, |found| Self::Last { ends: end + found + 4 }));
        }
        let starts = end + 2;
        let ends = starts.saturating_add(size);
        match buffer.get(ends..ends.saturating_add(2)) {
            None => Ok(Self::Unfinished),
            Some(b"\r\n") => Ok(Self::Payload { starts, ends }),
            Some(_) => Err(malformed("a chunk longer than its size", &text)),
        }
    }
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the peer left in the middle of a message")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn two_messages_in_one_read_are_told_apart() {
        let mut wire: &[u8] = b"GET /a HTTP/1.1\r\na: b\r\n\r\nhelloGET /b HTTP/1.1\r\n\r\n";
        let mut inbox = Inbox::default();

        assert_eq!(inbox.head(&mut wire).await.unwrap().unwrap(), "GET /a HTTP/1.1\r\na: b");
        assert_eq!(inbox.exactly(5, &mut wire).await.unwrap(), "hello");
        assert_eq!(inbox.head(&mut wire).await.unwrap().unwrap(), "GET /b HTTP/1.1");
        assert_eq!(inbox.head(&mut wire).await.unwrap(), None);
    }

    #[tokio::test]
    async fn chunks_come_out_one_by_one_without_extensions_and_trailers() {
        let mut wire: &[u8] = b"3;x=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nx-trailer: 1\r\n\r\nnext";
        let mut inbox = Inbox::default();

        assert_eq!(inbox.chunk(&mut wire).await.unwrap().unwrap(), "abc");
        assert_eq!(inbox.chunk(&mut wire).await.unwrap().unwrap(), "0123456789");
        assert_eq!(inbox.chunk(&mut wire).await.unwrap(), None);
        assert_eq!(inbox.exactly(4, &mut wire).await.unwrap(), "next");
    }

    #[tokio::test]
    async fn giving_up_in_the_middle_of_a_chunk_loses_nothing() {
        let (mut sender, mut receiver) = tokio::io::duplex(64);
        let mut inbox = Inbox::default();
        sender.write_all(b"5\r\nhe").await.unwrap();

        let given_up = tokio::time::timeout(Duration::from_millis(1), inbox.chunk(&mut receiver));
        assert!(given_up.await.is_err());
        sender.write_all(b"llo\r\n").await.unwrap();

        assert_eq!(inbox.chunk(&mut receiver).await.unwrap().unwrap(), "hello");
    }

    #[tokio::test]
    async fn a_message_cut_anywhere_is_an_error() {
        for wire in ["GET / HT", "GET / HTTP/1.1\r\n"] {
            assert!(Inbox::default().head(&mut wire.as_bytes()).await.is_err(), "{wire:?}");
        }
        for wire in ["", "5", "5\r\nhel", "5\r\nhello", "5\r\nhello\r", "0\r\n", "5\r\nhello!\r\n", "x\r\n"] {
            assert!(Inbox::default().chunk(&mut wire.as_bytes()).await.is_err(), "{wire:?}");
        }
        assert!(Inbox::default().exactly(3, &mut &b"ab"[..]).await.is_err());
    }
}
