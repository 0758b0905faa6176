//! The address of a channel, taken apart once. Decides what an address may look like; dials nothing. Tests are below.

use std::net::IpAddr;

use http::Uri;

/// Where a channel's API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BaseUrl {
    pub(super) tls: bool,
    /// A name or an address; IPv6 in brackets, as URLs have it.
    pub(super) host: Box<str>,
    pub(super) port: u16,
    /// The path in front of every endpoint, without a slash at its end.
    pub(super) prefix: Box<str>,
}

impl BaseUrl {
    /// Takes an address apart. `prefix` is used if it has no path of its own. The error says what is wrong with it,
    /// without showing it: there may be a password in it.
    pub(super) fn parse(text: &str, prefix: &str) -> Result<Self, &'static str> {
        if text.contains('#') {
            return Err("the address has a fragment (`#`)");
        }
        let uri: Uri = text.trim().parse().map_err(|_| "this is no address")?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err("the address must begin with https:// or http://"),
        };
        let authority = uri.authority().ok_or("the address has no host")?;
        if authority.as_str().contains('@') {
            return Err("the address holds a user name or password");
        }
        if uri.query().is_some() {
            return Err("the address has a query (`?`)");
        }
        let host = authority.host();
        let after_host = authority.as_str().strip_prefix(host).unwrap_or_default();
        let port = match (authority.port_u16(), after_host) {
            (Some(0), _) => return Err("port 0 cannot be reached"),
            (Some(port), _) => port,
            (None, "") if tls => 443,
            (None, "") => 80,
            (None, _) => return Err("the port is not a number up to 65535"),
        };
        if host.is_empty() {
            return Err("the address has no host");
        }
        let path = uri.path().trim_end_matches('/');
        if path.split('/').any(|part| matches!(part, "." | "..")) {
            return Err("the path has `.` or `..` in it");
        }
        Ok(Self {
            tls,
            host: host.to_ascii_lowercase().into(),
            port,
            prefix: if path.is_empty() { prefix } else { path }.into(),
        })
    }

    /// `host`, or `host:port` where the port is not the scheme's own.
    pub(super) fn authority(&self) -> String {
        if self.port == if self.tls { 443 } else { 80 } {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Scheme, host and port, the latter where it is not the scheme's own.
    pub(super) fn origin(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    /// Whether what is sent there in the clear stays on this machine or in a private network, as far as the name tells.
    pub(super) fn is_private(&self) -> bool {
        let bare = self.host.trim_matches(['[', ']']);
        match bare.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
            Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
            Err(_) => {
                !bare.contains('.')
                    || [".local", ".internal", ".lan", ".localhost", ".invalid"].iter().any(|end| bare.ends_with(end))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (text, tls, authority, port, prefix) in [
            ("https://api.openai.com", true, "api.openai.com", 443, "/v1"),
            ("https://api.openai.com/", true, "api.openai.com", 443, "/v1"),
            ("https://API.x.ai:443/v1/", true, "api.x.ai", 443, "/v1"),
            ("http://127.0.0.1:8080/a/b", false, "127.0.0.1:8080", 8080, "/a/b"),
            ("http://[::1]:8080", false, "[::1]:8080", 8080, "/v1"),
            ("http://box", false, "box", 80, "/v1"),
        ] {
            let base = BaseUrl::parse(text, "/v1").expect(text);
            assert_eq!((base.tls, base.port, &*base.prefix), (tls, port, prefix), "{text}");
            assert_eq!(base.authority(), authority);
            assert_eq!(base.origin(), format!("{}://{authority}", if tls { "https" } else { "http" }));
        }
    }

    #[test]
    fn what_is_no_plain_address_is_refused_without_showing_it() {
        for text in [
            "",
            "api.openai.com",
            "ftp://host/",
            "file:///etc/passwd",
            "https://user:secret@host/",
            "https://host/?key=secret",
            "https://host/#secret",
            "https://host:99999/",
            "https://host:0/",
            "https:///v1",
            "https://host/a/../b",
            "https://ho st/",
        ] {
            let reason = BaseUrl::parse(text, "").expect_err(text);
            assert!(!reason.contains("secret"), "{text}");
        }
    }

    #[test]
    fn private_networks_are_told_from_the_open_one() {
        let private = |text| BaseUrl::parse(text, "").unwrap().is_private();
        assert!(private("http://127.0.0.1:1") && private("http://[::1]:1"));
        assert!(private("http://10.1.2.3") && private("http://gpu-box:8000"));
        assert!(private("http://gpu.lan") && private("http://localhost"));
        assert!(!private("http://relay.example.com") && !private("http://8.8.8.8"));
    }
}
