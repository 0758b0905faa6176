//! Where requests go, parsed once: the origin (what a connection is made to and pooled by) and the path.
//! Resolves and connects nothing. Tests: below.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Uri};

use super::TlsProfile;
use super::address::{self, Host, Reach};

/// One endpoint at one origin. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Target {
    pub(super) origin: Arc<Origin>,
    pub(super) path: PathAndQuery,
}

/// Scheme, host, port, TLS settings and reach. Equal origins share connections.
pub struct Origin {
    pub(super) secure: bool,
    /// Without the brackets of an IPv6 address.
    pub(super) host: Arc<str>,
    /// The host, if it is an address in any spelling.
    pub(super) address: Option<IpAddr>,
    pub(super) reach: Reach,
    pub(super) port: u16,
    pub(super) tls: TlsProfile,
    pub(super) authority: Authority,
    pub(super) host_header: HeaderValue,
    hash: u64,
}

/// The URL cannot be a target: not `http` or `https`, no host, or a user name in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadTarget;

impl Target {
    /// Parses an absolute URL, trusting the public certificate authorities.
    pub fn parse(url: &str) -> Result<Self, BadTarget> {
        let uri: Uri = url.parse().map_err(|_| BadTarget)?;
        let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        Ok(Self { origin: Arc::new(Origin::of(&uri, TlsProfile::Public)?), path })
    }

    /// `path` (with its query, beginning with `/`) at an origin parsed earlier.
    pub fn at(origin: Arc<Origin>, path: &str) -> Result<Self, BadTarget> {
        let path = PathAndQuery::try_from(path).map_err(|_| BadTarget)?;
        Ok(Self { origin, path })
    }

    pub(super) fn absolute(&self) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(if self.origin.secure { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Some(self.origin.authority.clone());
        parts.path_and_query = Some(self.path.clone());
        Uri::from_parts(parts).unwrap_or_else(|_| Uri::from(self.path.clone()))
    }
}

impl Origin {
    /// The origin of an absolute URL; its path is ignored. A public name may lead to the open internet only, addresses
    /// and local names to private networks too, and nothing to link-local or metadata addresses.
    pub fn parse(url: &str, tls: TlsProfile) -> Result<Self, BadTarget> {
        Self::of(&url.parse().map_err(|_| BadTarget)?, tls)
    }

    /// The same, but its name may lead to this machine and to private networks if `allowed`.
    pub fn allow_private(self, allowed: bool) -> Self {
        if allowed { Self { reach: Reach::Private, ..self } } else { self }
    }

    /// How far its connections may reach.
    pub fn reach(&self) -> Reach {
        self.reach
    }

    fn of(uri: &Uri, tls: TlsProfile) -> Result<Self, BadTarget> {
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(BadTarget),
        };
        let authority = uri.authority().ok_or(BadTarget)?;
        let host = authority.host().to_ascii_lowercase();
        if authority.as_str().contains('@') {
            return Err(BadTarget);
        }
        let named = address::host(&host).ok_or(BadTarget)?;
        let reach = Reach::of(&named, false);
        let (host, address): (Arc<str>, _) = match named {
            Host::Address(address) => (address.to_string().into(), Some(address)),
            Host::Name(name) => (name.into(), None),
        };
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let host_header = HeaderValue::from_str(authority.as_str()).map_err(|_| BadTarget)?;
        static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let hash = SEED.hash_one((secure, &host, port));
        let authority = authority.clone();
        Ok(Self { secure, host, address, reach, port, tls, authority, host_header, hash })
    }
}

impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
            || (self.hash == other.hash
                && self.secure == other.secure
                && self.port == other.port
                && self.host == other.host
                && self.reach == other.reach
                && self.tls == other.tls)
    }
}

impl Eq for Origin {}

impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.secure { "https" } else { "http" }, self.authority)
    }
}

impl fmt::Display for BadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an http or https URL with a host and without a user name")
    }
}

impl std::error::Error for BadTarget {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_becomes_origin_and_path() {
        let target = Target::parse("https://API.example/v1/chat?x=1").unwrap();
        assert_eq!((&*target.origin.host, target.origin.port, target.origin.secure), ("api.example", 443, true));
        assert_eq!(target.path.as_str(), "/v1/chat?x=1");
        let v6 = Target::parse("http://[::1]:8080").unwrap();
        assert_eq!((&*v6.origin.host, v6.origin.port, v6.path.as_str()), ("::1", 8080, "/"));
    }

    #[test]
    fn urls_that_cannot_be_targets_are_refused() {
        for url in [
            "ftp://a/",
            "/v1",
            "http://",
            "https://user:secret@a/",
            "file:///etc/passwd",
            "nonsense",
            "http://[::1",
            "http://[nonsense]/",
            "http://256.1.1.1/",
            "http://1.2.3.4.5/",
        ] {
            assert_eq!(Target::parse(url).err(), Some(BadTarget), "{url}");
        }
    }

    #[test]
    fn origins_are_equal_when_one_connection_serves_both() {
        let origin = |url| Origin::parse(url, TlsProfile::Public).unwrap();
        assert!(origin("https://a/x") == origin("https://A:443/y"));
        assert!(origin("https://a") != origin("http://a:443"));
        assert!(origin("https://a") != origin("https://b"));
        assert!(origin("http://127.1:80") == origin("http://0x7f000001"));
        assert!(origin("https://a.example") == origin("https://a.example").allow_private(false));
        assert!(origin("https://a.example") != origin("https://a.example").allow_private(true));
    }

    #[test]
    fn what_an_origin_may_reach_follows_from_the_owners_words() {
        let reach = |url, allowed| Origin::parse(url, TlsProfile::Public).unwrap().allow_private(allowed).reach();
        assert_eq!(reach("https://api.example.com", false), Reach::Public);
        assert_eq!(reach("https://api.example.com", true), Reach::Private);
        assert_eq!(reach("http://[::1]:1", false), Reach::Private);
        assert_eq!(reach("http://LOCALHOST:1", false), Reach::Private);
    }
}
