//! What the upstream received, kept for the test to look at.
//! It must not judge a request: whatever can be read as HTTP/1.1 is recorded as it came. Tests at the foot.

use std::io;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use tokio::io::AsyncRead;

use crate::framing::Inbox;
use crate::headers::{BodyLength, Head, Headers, malformed};

/// One request as the upstream received it, whole.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The method as sent.
    pub method: String,
    /// The request target as sent, query included.
    pub path_and_query: String,
    /// The fields in wire order.
    pub headers: Headers,
    /// The body with any chunked coding removed.
    pub body: Bytes,
    /// Which of the upstream's connections it came on, counted from 0 in order of acceptance.
    pub connection: usize,
    /// When its last byte had been read.
    pub received_at: Instant,
}

impl Recorded {
    /// The value of the first field of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The request target without its query.
    pub fn path(&self) -> &str {
        self.path_and_query.split('?').next().unwrap_or_default()
    }

    /// The body as text. Panics when it is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the recorded body is UTF-8")
    }

    /// The body as JSON. Panics when it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the recorded body is JSON")
    }
}

/// Reads the next request of a connection; `None` when the peer left between two requests.
pub(crate) async fn read(
    inbox: &mut Inbox,
    from: &mut (impl AsyncRead + Unpin),
    connection: usize,
) -> io::Result<Option<Recorded>> {
    let Some(head) = inbox.head(from).await? else {
        return Ok(None);
    };
    let head = Head::parse(&head)?;
    let mut words = head.start.split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1"), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(malformed("not an HTTP/1.1 request line", &head.start));
    };
    let body = match head.body_length()? {
        BodyLength::Exactly(length) => inbox.exactly(length, from).await?,
        BodyLength::Chunked => all_chunks(inbox, from).await?,
        BodyLength::Untold => Bytes::new(),
    };
    Ok(Some(Recorded {
        method: method.to_owned(),
        path_and_query: target.to_owned(),
        headers: head.headers,
        body,
        connection,
        received_at: Instant::now(),
    }))
}

async fn all_chunks(inbox: &mut Inbox, from: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
    let mut body = BytesMut::new();
    while let Some(chunk) = inbox.chunk(from).await? {
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_chunked_request_body_is_put_together() {
        let mut wire: &[u8] =
            b"POST /v1/files?a=b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n";

        let recorded = read(&mut Inbox::default(), &mut wire, 7).await.unwrap().unwrap();

        assert_eq!((recorded.method.as_str(), recorded.path()), ("POST", "/v1/files"));
        assert_eq!(recorded.path_and_query, "/v1/files?a=b");
        assert_eq!(recorded.json(), serde_json::json!({"a": 1}));
        assert_eq!(recorded.connection, 7);
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused() {
        for wire in ["hello\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "GET  / HTTP/1.1\r\n\r\n"] {
            assert!(read(&mut Inbox::default(), &mut wire.as_bytes(), 0).await.is_err(), "{wire:?}");
        }
    }
}
