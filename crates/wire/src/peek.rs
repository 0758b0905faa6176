//! What routing and money read from a request body, found in one scan and left where it is.
//!
//! Each dialect's `peek` walks its own top level with the helpers here. A key that Waypost reads may stand only once
//! (`\u` escapes included), because a provider might read the other one.

mod needs;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use crate::error::WireError;
use crate::scan::{Kind, Scanner};

pub use needs::{Features, Needs};

/// The few things read from a request before it is routed. Ranges are byte offsets of values in the body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Peek {
    pub model: Option<String>,
    pub model_at: Option<Range<usize>>,
    pub stream: bool,
    /// Chat only: the value of `stream_options`, and what it says about usage.
    pub stream_options_at: Option<Range<usize>>,
    pub include_usage: Option<bool>,
    /// The output cap the caller set, and where its value stands.
    pub max_output_tokens: Option<u64>,
    pub max_output_at: Option<Range<usize>>,
    /// Answers that are made, all in all; 1 if not said.
    pub n: u64,
    /// The word for how the provider shall serve it, if there is one.
    pub service_tier: Option<String>,
    /// The answer is to be made later, and not on this connection.
    pub background: bool,
    /// Just behind the opening brace: where a new key may be put, followed by a comma.
    pub inside: usize,
    /// What it asks of whoever answers it.
    pub needs: Needs,
}

impl Peek {
    /// Sums up the needs of a body of `length` bytes that was scanned to its end.
    pub(crate) fn finish(&mut self, length: usize) {
        self.needs.finish(length, self.stream, self.max_output_tokens);
    }
}

/// The keys read so far, to refuse a second one.
#[derive(Debug, Default)]
pub struct KeysRead(Vec<&'static str>);

impl KeysRead {
    /// Notes that `key` is read. `path` is the object it stands in (empty at the top).
    pub fn once(&mut self, path: &str, key: &'static str) -> Result<(), WireError> {
        if self.0.contains(&key) {
            return Err(twice(join(path, key)));
        }
        self.0.push(key);
        Ok(())
    }
}

/// Refuses a body of which an object below the top level, whose keys `peek` judges, holds a key twice: whoever reads
/// all of it would have to choose one.
pub fn keys_once(body: &[u8]) -> Result<(), WireError> {
    Scanner::document(body, |scanner| scanner.object(|scanner, key| keys_once_at(&Place::Top(key), scanner)))
}

/// Where a walk stands. Spelled out only for an error, since a long key may have many values below it.
enum Place<'p> {
    Top(&'p str),
    Key(&'p Place<'p>, &'p str),
    Element(&'p Place<'p>, usize),
}

impl Place<'_> {
    fn spelled(&self) -> String {
        match self {
            Self::Top(key) => (*key).to_owned(),
            Self::Key(within, key) => join(&within.spelled(), key),
            Self::Element(within, at) => format!("{}[{at}]", within.spelled()),
        }
    }
}

fn keys_once_at(place: &Place<'_>, scanner: &mut Scanner<'_>) -> Result<(), WireError> {
    match scanner.kind()? {
        Kind::Array => scanner.array(|scanner, at| keys_once_at(&Place::Element(place, at), scanner)),
        Kind::Object => {
            let mut seen = BTreeSet::new();
            scanner.object(|scanner, key| {
                let place = Place::Key(place, key);
                if seen.insert(key.to_owned()) { keys_once_at(&place, scanner) } else { Err(twice(place.spelled())) }
            })
        }
        Kind::String | Kind::Number | Kind::Bool | Kind::Null => scanner.skip().map(drop),
    }
}

fn twice(param: String) -> WireError {
    let message = format!("`{param}` stands twice in the same object; send it once");
    WireError::invalid(param, message)
}

/// Walks any value; gives the text at `path` below it, if one stands there.
pub(crate) fn word_at<'a>(scanner: &mut Scanner<'a>, path: &[&str]) -> Result<Option<Cow<'a, str>>, WireError> {
    match (path.split_first(), scanner.kind()?) {
        (None, Kind::String) => scanner.string().map(Some),
        (Some((first, deeper)), Kind::Object) => {
            let mut found = None;
            scanner.object(|scanner, key| {
                if key == *first {
                    found = word_at(scanner, deeper)?;
                    Ok(())
                } else {
                    scanner.skip().map(drop)
                }
            })?;
            Ok(found)
        }
        _ => scanner.skip().map(|_| None),
    }
}

/// What a tool gave back may hold parts of its own. Their form is the provider's business; only what `media_of` knows by its
/// type is noted.
pub(crate) fn note_media(
    scanner: &mut Scanner<'_>,
    needs: &mut Needs,
    media_of: fn(&str) -> Option<Features>,
) -> Result<(), WireError> {
    if scanner.kind()? != Kind::Array {
        return scanner.skip().map(drop);
    }
    scanner.array(|scanner, _| {
        let start = scanner.offset();
        let kind = word_at(scanner, &["type"])?;
        if let Some(feature) = kind.and_then(|kind| media_of(&kind)) {
            needs.part(feature, scanner.end() - start);
        }
        Ok(())
    })
}

/// May the body ask a provider to keep parts of the prompt for an hour? Never wrong when it says no, however the body is
/// spelled.
pub fn may_cache_long(body: &[u8]) -> bool {
    memchr::memmem::find(body, b"1h").is_some() || memchr::memmem::find(body, b"\\u00").is_some()
}

/// `path.key`, or just `key` at the top.
pub fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A string value.
pub fn string(scanner: &mut Scanner<'_>, param: &str) -> Result<String, WireError> {
    if scanner.kind()? != Kind::String {
        return Err(mistyped(param, "a string"));
    }
    scanner.string().map(Cow::into_owned)
}

/// A string, or `None` for null.
pub(crate) fn optional_string(scanner: &mut Scanner<'_>, param: &str) -> Result<Option<String>, WireError> {
    if scanner.kind()? == Kind::Null {
        return scanner.skip().map(|_| None);
    }
    string(scanner, param).map(Some)
}

/// A string that must not be empty.
pub fn name(scanner: &mut Scanner<'_>, param: &str) -> Result<String, WireError> {
    let name = string(scanner, param)?;
    if name.is_empty() {
        return Err(WireError::invalid(param, format!("`{param}` must not be empty")));
    }
    Ok(name)
}

/// `true`, `false`, or `None` for null.
pub fn optional_bool(scanner: &mut Scanner<'_>, param: &str) -> Result<Option<bool>, WireError> {
    match scanner.kind()? {
        Kind::Bool => scanner.bool().map(Some),
        Kind::Null => scanner.skip().map(|_| None),
        Kind::Object | Kind::Array | Kind::String | Kind::Number => Err(mistyped(param, "true or false")),
    }
}

/// A whole number within `range`, or `None` for null. Fractions, exponents and anything beyond 64 bits are refused,
/// so that no odd number ever enters arithmetic.
pub fn optional_integer(
    scanner: &mut Scanner<'_>,
    param: &str,
    range: std::ops::RangeInclusive<u64>,
) -> Result<Option<u64>, WireError> {
    match scanner.kind()? {
        Kind::Null => scanner.skip().map(|_| None),
        Kind::Number => match scanner.number()?.parse::<u64>() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(out_of_range(param, "a whole number", range.start(), range.end(), u64::MAX)),
        },
        Kind::Object | Kind::Array | Kind::String | Kind::Bool => Err(mistyped(param, "a whole number")),
    }
}

/// A number within `range`, or `None` for null.
pub fn optional_number(
    scanner: &mut Scanner<'_>,
    param: &str,
    range: std::ops::RangeInclusive<f64>,
) -> Result<Option<f64>, WireError> {
    match scanner.kind()? {
        Kind::Null => scanner.skip().map(|_| None),
        Kind::Number => match scanner.number()?.parse::<f64>() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(out_of_range(param, "a number", range.start(), range.end(), f64::INFINITY)),
        },
        Kind::Object | Kind::Array | Kind::String | Kind::Bool => Err(mistyped(param, "a number")),
    }
}

/// The error for a value of the wrong type.
pub fn mistyped(param: &str, expected: &str) -> WireError {
    WireError::invalid(param, format!("`{param}` must be {expected}"))
}

/// The error for a value outside a closed set.
pub fn not_one_of(param: &str, value: &str, allowed: &[&str]) -> WireError {
    let shown: String = value.chars().take(64).collect();
    WireError::invalid(param, format!("`{param}` is `{shown}`, but must be one of: {}", allowed.join(", ")))
}

/// The error for a field that must be there.
pub fn missing(param: &str) -> WireError {
    WireError::invalid(param, format!("`{param}` is required"))
}

fn out_of_range<T: std::fmt::Display + PartialEq>(param: &str, what: &str, low: &T, high: &T, open: T) -> WireError {
    let bounds = if *high == open { format!("of at least {low}") } else { format!("from {low} to {high}") };
    WireError::invalid(param, format!("`{param}` must be {what} {bounds}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_in_the_cache_is_seen_however_it_is_spelled() {
        assert!(!may_cache_long(br#"{"cache_control":{"type":"ephemeral"},"a":"\n\u4e2d"}"#));
        assert!(may_cache_long(br#"{"cache_control":{"type":"ephemeral","ttl":"1h"}}"#));
        assert!(may_cache_long(br#"{"cache_control":{"type":"ephemeral","ttl":"\u0031h"}}"#));
    }

    #[test]
    fn keys_below_the_top_may_stand_once_in_each_object() {
        let param = |body: &str| keys_once(body.as_bytes()).err().and_then(|error| error.param().map(str::to_owned));
        assert_eq!(param(r#"{"a":1,"a":[{"b":1},{"b":{"b":2}}]}"#), None);
        assert_eq!(param(r#"{"m":[{},{"c":1,"\u0063":2}]}"#).as_deref(), Some("m[1].c"));
        assert_eq!(param(r#"{"m":{"n":[[{"c":1,"x":0,"c":1}]]}}"#).as_deref(), Some("m.n[0][0].c"));
    }
}
