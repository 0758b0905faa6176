//! The part of an address after the question mark, as names and values. Decides what a value may be, not what it does.
//! Tests are below.

use std::ops::RangeInclusive;

use http::Uri;
use waypost_core::GatewayError;

use crate::http::api::models::decoded;

/// Names and values; the first of a name counts.
pub(in crate::http) struct Query(Vec<(String, String)>);

impl Query {
    pub(in crate::http) fn of(uri: &Uri) -> Self {
        let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let plain = |text: &str| decoded(&text.replace('+', " ")).into_owned();
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (plain(name), plain(value)))
                .collect(),
        )
    }

    /// The value of a name; an empty one is none.
    pub(in crate::http) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A number between bounds.
    pub(in crate::http) fn number(
        &self,
        name: &str,
        usual: usize,
        range: RangeInclusive<usize>,
    ) -> Result<usize, GatewayError> {
        let Some(text) = self.get(name) else { return Ok(usual) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            let message = format!("`{name}` is a number from {} to {}.", range.start(), range.end());
            GatewayError::invalid_request(message, Some(name))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded_and_bounds_are_kept() {
        let query = Query::of(&Uri::from_static("/a?model=vendor%2Fa+b&limit=7&limit=8&none=&flag"));
        assert_eq!((query.get("model"), query.get("none"), query.get("flag")), (Some("vendor/a b"), None, None));
        assert_eq!(query.number("limit", 100, 1..=10).ok(), Some(7));
        assert_eq!(query.number("size", 100, 1..=10).ok(), Some(100));
        let error = query.number("limit", 100, 1..=6).unwrap_err();
        assert_eq!((error.message(), error.param()), ("`limit` is a number from 1 to 6.", Some("limit")));
    }
}
