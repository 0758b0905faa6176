//! Which HTTP a new connection speaks, by a look at its first bytes that leaves them where they are. Taken out and put back,
//! hyper would read them a second time as a piece of their own, and keep a buffer of twice the size for the connection's whole
//! life. Knows no bytes but the first. Tests: below, `it/edge.rs`, `it/tls.rs`.

/// What HTTP/2 begins with (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    Http1,
    /// The beginning of HTTP/2, or of something that looks like it so far: hyper is to find out.
    Open,
}

impl Spoken {
    /// By what came first; nothing at all is the end of a connection that wanted nothing.
    pub(super) fn of_first(bytes: &[u8]) -> Self {
        let looks_like_it = !bytes.is_empty() && bytes.iter().zip(PREFACE).all(|(came, begins)| came == begins);
        if looks_like_it { Self::Open } else { Self::Http1 }
    }

    /// By what a TLS handshake agreed on.
    pub(super) fn of_protocol(agreed: Option<&[u8]>) -> Self {
        if agreed == Some(b"http/1.1") { Self::Http1 } else { Self::Open }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_beginning_of_http2_is_left_open_and_all_else_is_http1() {
        for length in 1..=PREFACE.len() {
            let (beginning, _) = PREFACE.split_at(length);
            assert_eq!(Spoken::of_first(beginning), Spoken::Open);
            let mut other = beginning.to_vec();
            if let Some(last) = other.last_mut() {
                *last ^= 1;
            }
            assert_eq!(Spoken::of_first(&other), Spoken::Http1);
        }
        for request in ["", "GET / HTTP/1.1\r\n", "POST /v1", "PUT /", "PRI /", "\r\n"] {
            assert_eq!(Spoken::of_first(request.as_bytes()), Spoken::Http1, "{request:?}");
        }
    }
}
