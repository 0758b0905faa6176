//! Where a caller is: the socket's other end, or whoever a trusted proxy says called it. Decides whom to believe; what follows
//! from an address is for others. Tests are below.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use waypost_core::address::Cidr;

/// The address of whoever sent a request. `None` if a trusted proxy did not say, or not in a way that can be read.
///
/// Headers count only where a trusted proxy sent them, and only as far as trusted proxies wrote them: from the right, the first
/// address that is no such proxy. What stands further left was said by the caller, who may say anything.
pub fn address(headers: &HeaderMap, peer: SocketAddr, trusted: &[Cidr]) -> Option<IpAddr> {
    let peer = peer.ip().to_canonical();
    if !is_trusted(peer, trusted) {
        return Some(peer);
    }
    // `X-Forwarded-For` is what nearly every proxy writes; who writes it, may leave a caller's own `Forwarded` as it is.
    if headers.contains_key(FORWARDED_FOR) {
        return nearest(lines(headers, FORWARDED_FOR).map(hop), trusted);
    }
    nearest(lines(headers, "forwarded").map(forwarded), trusted)
}

/// Is this one of the proxies?
pub fn is_trusted(address: IpAddr, trusted: &[Cidr]) -> bool {
    trusted.iter().any(|network| network.contains(address))
}

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The elements of a list, from the last to the first. A line that is no text is an element that cannot be read.
fn lines<'h>(headers: &'h HeaderMap, name: &'static str) -> impl Iterator<Item = &'h str> {
    let values: Vec<_> = headers.get_all(name).iter().collect();
    values.into_iter().rev().flat_map(|value| value.to_str().unwrap_or("?").rsplit(','))
}

/// The first that is no proxy; where all are, the one that is furthest away. What cannot be read ends the search.
fn nearest(hops: impl Iterator<Item = Option<IpAddr>>, trusted: &[Cidr]) -> Option<IpAddr> {
    let mut furthest = None;
    for hop in hops {
        let address = hop?;
        if !is_trusted(address, trusted) {
            return Some(address);
        }
        furthest = Some(address);
    }
    furthest
}

/// `192.0.2.7`, `192.0.2.7:1234`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:1234`.
fn hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address: IpAddr = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(address.to_canonical())
}

/// The `for` of an element such as `for="[2001:db8::1]:1234";proto=https` (RFC 7239).
fn forwarded(element: &str) -> Option<IpAddr> {
    let value = element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    })?;
    hop(value.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn seen(peer: &str, lines: &[(&'static str, &str)]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let trusted: Vec<Cidr> = ["10.0.0.0/8", "fd00::/8"].iter().map(|text| text.parse().unwrap()).collect();
        let peer = SocketAddr::new(peer.parse().unwrap(), 4711);
        address(&headers, peer, &trusted).map(|address| address.to_string())
    }

    #[test]
    fn only_trusted_proxies_are_believed_and_only_what_they_wrote() {
        const XFF: &str = "x-forwarded-for";
        for (peer, lines, expected) in [
            ("203.0.113.9", &[(XFF, "192.0.2.1")] as &[_], Some("203.0.113.9")),
            ("::ffff:203.0.113.9", &[], Some("203.0.113.9")),
            ("10.0.0.1", &[(XFF, "192.0.2.1")], Some("192.0.2.1")),
            ("10.0.0.1", &[(XFF, "198.51.100.1, 192.0.2.1")], Some("192.0.2.1")),
            ("10.0.0.1", &[(XFF, "192.0.2.1, 10.2.2.2 , fd00::2")], Some("192.0.2.1")),
            ("10.0.0.1", &[(XFF, "198.51.100.1"), (XFF, "192.0.2.1:555")], Some("192.0.2.1")),
            ("fd00::1", &[(XFF, "[2001:db8::7]:99")], Some("2001:db8::7")),
            ("10.0.0.1", &[(XFF, "10.3.3.3, 10.2.2.2")], Some("10.3.3.3")),
            ("10.0.0.1", &[], None),
            ("10.0.0.1", &[(XFF, "192.0.2.1, unknown")], None),
            ("10.0.0.1", &[(XFF, "")], None),
        ] {
            assert_eq!(seen(peer, lines).as_deref(), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn forwarded_is_read_where_nothing_else_is_there() {
        for (value, expected) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", Some("192.0.2.60")),
            ("for=198.51.100.1, For=\"[2001:db8:cafe::17]:4711\"", Some("2001:db8:cafe::17")),
            ("proto=https", None),
            ("for=_hidden", None),
        ] {
            assert_eq!(seen("10.0.0.1", &[("forwarded", value)]).as_deref(), expected, "{value}");
        }
        let both = [("forwarded", "for=198.51.100.1"), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(seen("10.0.0.1", &both).as_deref(), Some("192.0.2.1"));
    }
}
