//! hyper refuses a head that it cannot read by itself, with a status and nothing else. Here such an answer is recognised on
//! its way out and given a body and headers like any other. Decides no words: a [`Draw`] does. Tests: `it/catalogue/`.

use std::io::IoSlice;
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{Response, StatusCode};

/// Draws what the edge itself has to say: 400, 414 or 431 for a head that could not be read, 503 for a request that a drain
/// cuts before its answer has begun. The connection closes after it.
pub type Draw = Arc<dyn Fn(StatusCode) -> Response<Bytes> + Send + Sync>;

/// How hyper's own refusals go on after the status line.
const REST: &[u8] = b"connection: close\r\ncontent-length: 0\r\n";

/// The status of the bare refusal that these bytes are, if they are one.
pub(super) fn status_of(slices: &[IoSlice<'_>]) -> Option<StatusCode> {
    let first = slices.iter().find(|slice| !slice.is_empty())?;
    let status = first.strip_prefix(b"HTTP/1.1 4")?.get(..2)?;
    let line_end = memchr::memchr(b'\n', first)?;
    let bare = first.get(line_end + 1..)?.starts_with(REST) && first.ends_with(b"\r\n\r\n");
    if !bare {
        return None;
    }
    StatusCode::from_bytes(&[b'4', *status.first()?, *status.get(1)?]).ok()
}

/// The bytes of a whole answer after which the connection closes.
pub(super) fn written(answer: &Response<Bytes>) -> Bytes {
    let mut out = BytesMut::with_capacity(1024);
    let status = answer.status();
    out.put_slice(
        format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default()).as_bytes(),
    );
    for (name, value) in answer.headers() {
        out.put_slice(name.as_str().as_bytes());
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
        out.put_slice(b"\r\n");
    }
    out.put_slice(format!("content-length: {}\r\nconnection: close\r\n\r\n", answer.body().len()).as_bytes());
    out.put_slice(answer.body());
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(bytes: &[u8]) -> Option<u16> {
        status_of(&[IoSlice::new(&[]), IoSlice::new(bytes)]).map(|status| status.as_u16())
    }

    #[test]
    fn only_a_refusal_without_a_word_is_recognised() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        assert_eq!(status(bare), Some(431));
        for other in [
            &b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
            b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 4",
            b"",
        ] {
            assert_eq!(status(other), None);
        }
    }

    #[test]
    fn an_answer_is_written_whole() {
        let answer = Response::builder().status(414).header("x-a", "b").body(Bytes::from_static(b"{}")).unwrap();
        let expected = "HTTP/1.1 414 URI Too Long\r\nx-a: b\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
        assert_eq!(written(&answer), expected);
    }
}
