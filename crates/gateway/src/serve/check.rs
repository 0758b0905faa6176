//! Decides from a request's head alone whether the edge refuses it. Draws no answer: the caller renders a [`Refusal`]
//! in its own dialect. Tests: below.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Version};

use super::{BodyError, Limits};

/// Why the edge refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 400; the words are fit for the caller.
    BadRequest(&'static str),
    /// 414.
    UriTooLong,
    /// 431.
    HeadTooLarge,
    /// 413; `limit` in bytes.
    BodyTooLarge {
        /// The most the edge takes.
        limit: u64,
    },
    /// 408: the body came too slowly.
    Timeout,
    /// 415: the body is in a content coding the edge does not read.
    UnsupportedEncoding,
}

/// Refuses a request with a too long target, a too large head, without exactly one sound Host (RFC 9112 section 3.2), or
/// whose framing another reader could take in another way. After a refusal the connection must not be read any further.
///
/// What hyper itself refuses never gets here: unreadable heads and conflicting framing (400), more than 100 header
/// fields or a head beyond its read buffer (431). hyper answers those without a body and closes.
pub fn check_head<B>(request: &Request<B>, limits: &Limits) -> Result<(), Refusal> {
    if breaks_lines(request.uri().path()) {
        return Err(Refusal::BadRequest("a line break in the path"));
    }
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits.max_uri_bytes {
        return Err(Refusal::UriTooLong);
    }
    let fields = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    if target + fields.sum::<usize>() > limits.max_head_bytes {
        return Err(Refusal::HeadTooLarge);
    }
    let mut codings = request.headers().get_all(TRANSFER_ENCODING).iter();
    if codings.next().is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        || codings.next().is_some()
    {
        return Err(Refusal::BadRequest("a Transfer-Encoding other than chunked"));
    }
    // Of two, some read the first and some the last, and with it another body.
    if request.headers().get_all(CONTENT_TYPE).iter().nth(1).is_some() {
        return Err(Refusal::BadRequest("more than one Content-Type header"));
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => Err(Refusal::BadRequest("more than one Host header")),
        (Some(host), None) if is_host(host.as_bytes()) => Ok(()),
        (Some(_), None) => Err(Refusal::BadRequest("malformed Host header")),
        (None, None) if request.version() == Version::HTTP_11 => Err(Refusal::BadRequest("missing Host header")),
        (None, None) => Ok(()),
    }
}

/// Refuses a body in any content coding but `identity`.
pub fn check_encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    let plain = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(CONTENT_ENCODING).iter().all(plain) { Ok(()) } else { Err(Refusal::UnsupportedEncoding) }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit } => Self::BodyTooLarge { limit },
            BodyError::Timeout => Self::Timeout,
            BodyError::Broken => Self::BadRequest("the request body is incomplete or malformed"),
        }
    }
}

/// An encoded CR or LF, which means something to whoever decodes a path once too often.
fn breaks_lines(path: &str) -> bool {
    let encoded = |at: usize| path.as_bytes().get(at + 1..at + 3);
    memchr::memchr_iter(b'%', path.as_bytes())
        .filter_map(encoded)
        .any(|code| code.eq_ignore_ascii_case(b"0d") || code.eq_ignore_ascii_case(b"0a"))
}

/// Letters, digits and what names, IPv4, bracketed IPv6 and ports need: nothing that could end up a path or a log line.
fn is_host(host: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(byte);
    !host.is_empty() && host.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(version: Version, hosts: &[&str], target: &str) -> Result<(), Refusal> {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        check_head(&request.body(()).unwrap(), &Limits::default())
    }

    #[test]
    fn http_1_1_needs_exactly_one_sound_host() {
        assert_eq!(verdict(Version::HTTP_11, &["a.example:3000"], "/v1/models"), Ok(()));
        assert_eq!(verdict(Version::HTTP_11, &["[::1]:3000"], "/"), Ok(()));
        assert_eq!(verdict(Version::HTTP_11, &[], "/"), Err(Refusal::BadRequest("missing Host header")));
        assert_eq!(verdict(Version::HTTP_11, &["a", "a"], "/"), Err(Refusal::BadRequest("more than one Host header")));
        for bad in ["", "a/b", "user@a", "a b", "a?x", "a,b"] {
            assert_eq!(
                verdict(Version::HTTP_11, &[bad], "/"),
                Err(Refusal::BadRequest("malformed Host header")),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn an_encoded_line_break_in_the_path_is_refused() {
        for bad in ["/v1/a%0d%0ab", "/%0A", "/v1/files/%0Dx"] {
            assert_eq!(verdict(Version::HTTP_11, &["a"], bad), Err(Refusal::BadRequest("a line break in the path")));
        }
        for good in ["/v1/a%20b", "/%", "/a%0", "/a%2f0a", "/a?b=%0a"] {
            assert_eq!(verdict(Version::HTTP_11, &["a"], good), Ok(()), "{good}");
        }
    }

    #[test]
    fn chunked_is_the_only_transfer_coding_and_stands_alone() {
        let coded = |codings: &[&str]| {
            let mut request = Request::builder().header(HOST, "a");
            for coding in codings {
                request = request.header(TRANSFER_ENCODING, *coding);
            }
            check_head(&request.body(()).unwrap(), &Limits::default())
        };
        let refused = Err(Refusal::BadRequest("a Transfer-Encoding other than chunked"));
        assert_eq!((coded(&[]), coded(&["Chunked"])), (Ok(()), Ok(())));
        for bad in
            [&["identity", "chunked"][..], &["chunked", "chunked"], &["gzip, chunked"], &["chunked, chunked"], &[""]]
        {
            assert_eq!(coded(bad), refused, "{bad:?}");
        }
    }

    #[test]
    fn a_body_has_one_type() {
        let typed = |types: &[&str]| {
            let mut request = Request::builder().header(HOST, "a");
            for kind in types {
                request = request.header(CONTENT_TYPE, *kind);
            }
            check_head(&request.body(()).unwrap(), &Limits::default())
        };
        assert_eq!((typed(&[]), typed(&["application/json"])), (Ok(()), Ok(())));
        let twice = Err(Refusal::BadRequest("more than one Content-Type header"));
        assert_eq!(typed(&["multipart/form-data; boundary=a", "multipart/form-data; boundary=b"]), twice);
        assert_eq!(typed(&["application/json", "application/json"]), twice);
    }

    #[test]
    fn older_and_newer_versions_may_leave_host_out_but_not_repeat_it() {
        assert_eq!(verdict(Version::HTTP_10, &[], "/"), Ok(()));
        assert_eq!(verdict(Version::HTTP_2, &[], "http://a/"), Ok(()));
        assert_eq!(verdict(Version::HTTP_2, &["a", "b"], "/"), Err(Refusal::BadRequest("more than one Host header")));
    }

    #[test]
    fn a_target_is_refused_one_byte_above_the_limit() {
        let limit = Limits::default().max_uri_bytes;
        assert_eq!(verdict(Version::HTTP_11, &["a"], &format!("/{}", "x".repeat(limit - 1))), Ok(()));
        assert_eq!(verdict(Version::HTTP_11, &["a"], &format!("/{}", "x".repeat(limit))), Err(Refusal::UriTooLong));
    }

    #[test]
    fn only_identity_is_an_accepted_content_coding() {
        let coded = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, value.parse().unwrap());
            }
            check_encoding(&headers)
        };
        assert_eq!(coded(&[]), Ok(()));
        assert_eq!(coded(&["Identity"]), Ok(()));
        assert_eq!(coded(&["gzip"]), Err(Refusal::UnsupportedEncoding));
        assert_eq!(coded(&["identity", "br"]), Err(Refusal::UnsupportedEncoding));
    }
}
