//! Who asks, from what the request carries: a token as `Authorization: Bearer`, or else a browser's cookie, which counts for
//! changes only if the page that made the request is one of this gateway. Tests are below, and in `it/auth/`.

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method};
use waypost_core::GatewayError;

use super::cookie;
use crate::app::App;
use crate::identity::{ACCESS_COOKIE, Presented, Signed};

const FOREIGN: &str =
    "This request was made by a page of another origin, so the session's cookie does not count for it.";

/// Somebody who is signed in. The refusal is the same for everybody else, whatever was wrong.
pub(in crate::http) async fn signed_in(app: &App, head: &Parts) -> Result<Signed, GatewayError> {
    let headers = &head.headers;
    let identity = app.identity().ok_or_else(GatewayError::not_signed_in)?;
    let token = match bearer(headers) {
        Some(token) => token,
        None if headers.contains_key(AUTHORIZATION) => return Err(GatewayError::not_signed_in()),
        None => {
            let token = cookie::get(headers, ACCESS_COOKIE).ok_or_else(GatewayError::not_signed_in)?;
            check_origin(head)?;
            token
        }
    };
    Ok(identity.admit(Presented { token }, app.unix_millis()).await?)
}

/// The one token of the one header.
pub(in crate::http) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(only), None) = (all.next(), all.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Fails for a change that a page of another origin asks for.
pub(super) fn check_origin(head: &Parts) -> Result<(), GatewayError> {
    if head.method == Method::GET || head.method == Method::HEAD || is_own(head) {
        return Ok(());
    }
    Err(GatewayError::not_permitted(FOREIGN))
}

/// Does the browser say that a page of this gateway asks?
fn is_own(head: &Parts) -> bool {
    let text = |name: &http::HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
    // HTTP/2 says it in the target, and browsers nowhere else.
    let host = text(&HOST).or_else(|| head.uri.authority().map(|authority| authority.as_str()));
    let site = head.headers.get("sec-fetch-site").map(|site| site.as_bytes() == b"same-origin");
    let origin = text(&ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    site.unwrap_or(true) && origin.is_some() && origin == host
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue, Request};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    fn head(method: Method, target: &str, pairs: &[(&'static str, &'static str)]) -> Parts {
        let mut head = Request::builder().method(method).uri(target).body(()).unwrap().into_parts().0;
        head.headers = headers(pairs);
        head
    }

    #[test]
    fn a_change_by_cookie_needs_the_gateways_own_origin() {
        const HOST: (&str, &str) = ("host", "gw.example:3000");
        let own = [HOST, ("origin", "https://gw.example:3000")];
        let post = |pairs: &[_]| head(Method::POST, "/auth/logout", pairs);
        assert!(is_own(&post(&own)));
        assert!(is_own(&post(&[own[0], own[1], ("sec-fetch-site", "same-origin")])));
        for foreign in [
            &[HOST][..],
            &[HOST, ("origin", "null")],
            &[HOST, ("origin", "https://gw.example")],
            &[HOST, ("origin", "https://evil.example")],
            &[HOST, ("origin", "https://gw.example:3000.evil.example")],
            &[own[0], own[1], ("sec-fetch-site", "same-site")],
            &[own[0], own[1], ("sec-fetch-site", "cross-site")],
            &[("origin", "https://gw.example:3000")],
        ] {
            assert!(!is_own(&post(foreign)), "{foreign:?}");
            assert!(check_origin(&post(foreign)).is_err());
            assert!(check_origin(&head(Method::GET, "/auth/profile", foreign)).is_ok());
        }
    }

    #[test]
    fn where_there_is_no_host_the_authority_of_the_target_is_the_gateways() {
        const ORIGIN: (&str, &str) = ("origin", "https://gw.example:3000");
        let post = |target: &str, pairs: &[_]| head(Method::POST, target, pairs);
        assert!(is_own(&post("https://gw.example:3000/auth/logout", &[ORIGIN])));
        assert!(!is_own(&post("https://evil.example/auth/logout", &[ORIGIN])));
        assert!(!is_own(&post("https://gw.example:3000/auth/logout", &[("origin", "https://evil.example")])));
        assert!(!is_own(&post("https://gw.example:3000/auth/logout", &[ORIGIN, ("host", "other.example")])));
    }

    #[test]
    fn a_token_is_the_only_one_of_its_header() {
        assert_eq!(bearer(&headers(&[("authorization", "bearer  t ")])), Some("t"));
        for odd in [&[][..], &[("authorization", "t")], &[("authorization", "Basic t")]] {
            assert_eq!(bearer(&headers(odd)), None);
        }
        let mut twice = headers(&[("authorization", "Bearer a")]);
        twice.append(AUTHORIZATION, HeaderValue::from_static("Bearer b"));
        assert_eq!(bearer(&twice), None);
    }
}
