//! Who asks, from what the request carries: a token as `Authorization: Bearer`, or else a browser's cookie, which counts for
//! changes only if the page that made the request is one of this gateway. Tests are below, and in `it/auth/`.

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, Method};
use waypost_core::GatewayError;

use super::cookie;
use crate::app::App;
use crate::identity::{ACCESS_COOKIE, Presented, Signed};

const FOREIGN: &str =
    "This request was made by a page of another origin, so the session's cookie does not count for it.";

/// Somebody who is signed in. The refusal is the same for everybody else, whatever was wrong.
pub async fn signed_in(app: &App, method: &Method, headers: &HeaderMap) -> Result<Signed, GatewayError> {
    let identity = app.identity().ok_or_else(GatewayError::not_signed_in)?;
    let token = match bearer(headers) {
        Some(token) => token,
        None if headers.contains_key(AUTHORIZATION) => return Err(GatewayError::not_signed_in()),
        None => {
            let token = cookie::get(headers, ACCESS_COOKIE).ok_or_else(GatewayError::not_signed_in)?;
            check_origin(method, headers)?;
            token
        }
    };
    Ok(identity.admit(Presented { token }, app.unix_millis()).await?)
}

/// The one token of the one header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(only), None) = (all.next(), all.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Fails for a change that a page of another origin asks for.
pub(super) fn check_origin(method: &Method, headers: &HeaderMap) -> Result<(), GatewayError> {
    if *method == Method::GET || *method == Method::HEAD || is_own(headers) {
        return Ok(());
    }
    Err(GatewayError::not_permitted(FOREIGN))
}

/// Does the browser say that a page of this gateway asks?
fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: &http::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes() == b"same-origin");
    let origin = text(&ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    site.unwrap_or(true) && origin.is_some() && origin == text(&HOST)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_change_by_cookie_needs_the_gateways_own_origin() {
        const HOST: (&str, &str) = ("host", "gw.example:3000");
        let own = [HOST, ("origin", "https://gw.example:3000")];
        assert!(is_own(&headers(&own)));
        assert!(is_own(&headers(&[own[0], own[1], ("sec-fetch-site", "same-origin")])));
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
            assert!(!is_own(&headers(foreign)), "{foreign:?}");
            assert!(check_origin(&Method::POST, &headers(foreign)).is_err());
            assert!(check_origin(&Method::GET, &headers(foreign)).is_ok());
        }
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
