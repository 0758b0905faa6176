//! What the far side did wrong, as values. Judges nobody: `core::verdict` does. Tests: `tests/it/transport.rs`.

use std::fmt;

/// Why an exchange failed. Its words carry no address, path or secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection came about.
    Connect(ConnectFault),
    /// The TLS handshake failed: not TLS at all, or a certificate that does not hold.
    Tls,
    /// Name look-up, connection and handshake took too long.
    ConnectTimeout,
    /// No complete answer head in time.
    HeadTimeout,
    /// The body fell silent.
    IdleTimeout,
    /// The whole exchange took too long.
    Deadline,
    /// The connection ended before the answer's head was complete.
    ClosedBeforeHead,
    /// The answer's head breaks HTTP, contradicts itself about framing or switches protocols unasked.
    BadHead,
    /// The answer's head is above 64 KiB, interim heads before it included, or above 100 fields.
    HeadTooLarge,
    /// The connection ended before the body did.
    BodyCut,
    /// The body breaks its framing.
    BadBody,
    /// The body is larger than the reader allowed, in bytes.
    TooLarge {
        /// What was allowed.
        limit: u64,
    },
    /// The request's own body could not be read to its end: the caller's doing.
    RequestBody,
}

/// Why no connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFault {
    /// The name has no address.
    NoAddress,
    /// The name has only addresses that this origin may not reach: a public name that leads into a private network, or
    /// anything that leads to a link-local or metadata address.
    Forbidden,
    /// Nobody listens there.
    Refused,
    /// No route, reset, or out of our own resources.
    Unreachable,
}

impl Failure {
    /// What an error before the end of the answer's head means.
    pub(super) fn of_head(error: &hyper::Error) -> Self {
        if error.is_parse_too_large() {
            Self::HeadTooLarge
        } else if error.is_parse() {
            Self::BadHead
        } else if error.is_user() {
            Self::RequestBody
        } else {
            Self::ClosedBeforeHead
        }
    }

    /// What an error inside the answer's body means.
    pub(super) fn of_body(error: &hyper::Error) -> Self {
        let cause = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
        match cause.map(std::io::Error::kind) {
            Some(std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData) => Self::BadBody,
            _ if error.is_user() => Self::RequestBody,
            _ => Self::BodyCut,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect(ConnectFault::NoAddress) => "the upstream's name has no address",
            Self::Connect(ConnectFault::Forbidden) => "the upstream's name leads to an address that is not allowed",
            Self::Connect(ConnectFault::Refused) => "the upstream refused the connection",
            Self::Connect(ConnectFault::Unreachable) => "the upstream cannot be reached",
            Self::Tls => "the TLS handshake with the upstream failed",
            Self::ConnectTimeout => "connecting to the upstream took too long",
            Self::HeadTimeout => "the upstream did not begin its answer in time",
            Self::IdleTimeout => "the upstream fell silent in the middle of its answer",
            Self::Deadline => "the upstream did not finish before the deadline",
            Self::ClosedBeforeHead => "the upstream closed the connection without an answer",
            Self::BadHead => "the upstream's answer is not valid HTTP",
            Self::HeadTooLarge => "the head of the upstream's answer is too large",
            Self::BodyCut => "the upstream's answer was cut off",
            Self::BadBody => "the body of the upstream's answer is not valid HTTP",
            Self::TooLarge { limit } => {
                return write!(f, "the upstream's answer is larger than {limit} bytes");
            }
            Self::RequestBody => "the request's body could not be read",
        })
    }
}

impl std::error::Error for Failure {}
