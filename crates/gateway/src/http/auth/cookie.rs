//! The cookies of browsers: for this host only, over TLS only, out of reach of scripts. Decides their form; what is in them
//! is for [`crate::identity`]. Tests are below.

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use waypost_core::GatewayError;

/// Which pages send a cookie along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Along {
    /// Only pages of this gateway.
    Strict,
    /// Also a link or a redirect from elsewhere, which is how somebody comes back from a provider.
    Lax,
}

/// Has the browser keep a value for so many seconds; 0 makes it forget.
pub(super) fn set(
    headers: &mut HeaderMap,
    name: &str,
    value: &str,
    seconds: i64,
    along: Along,
) -> Result<(), GatewayError> {
    let site = match along {
        Along::Strict => "Strict",
        Along::Lax => "Lax",
    };
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite={site}");
    let mut value = HeaderValue::try_from(text).map_err(GatewayError::internal)?;
    value.set_sensitive(true);
    headers.append(SET_COOKIE, value);
    Ok(())
}

/// The value that the browser sent; none if there are two of the name, since one of them is somebody else's.
pub(super) fn get<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let pairs =
        headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
    let mut values = pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(known, _)| *known == name);
    let (_, only) = values.next()?;
    values.next().is_none().then_some(only)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(cookies: &[&'static str]) -> HeaderMap {
        cookies.iter().map(|cookie| (COOKIE, HeaderValue::from_static(cookie))).collect()
    }

    #[test]
    fn a_cookie_is_found_among_others_but_not_if_it_is_there_twice() {
        assert_eq!(get(&sent(&["a=1; __Host-w=x.y=z", "b=2"]), "__Host-w"), Some("x.y=z"));
        assert_eq!(get(&sent(&["a=1", "w=2"]), "w"), Some("2"));
        for cookies in [&["w=1; w=2"][..], &["w=1", "w=2"], &["W=1"], &["xw=1"], &[]] {
            assert_eq!(get(&sent(cookies), "w"), None, "{cookies:?}");
        }
    }

    #[test]
    fn scripts_and_other_sites_have_nothing_of_it() {
        let mut headers = HeaderMap::new();
        set(&mut headers, "__Host-w", "v", 900, Along::Strict).unwrap();
        assert_eq!(headers[SET_COOKIE], "__Host-w=v; Path=/; Max-Age=900; Secure; HttpOnly; SameSite=Strict");
        assert!(set(&mut headers, "w", "a\r\nb", 1, Along::Lax).is_err());
    }
}
