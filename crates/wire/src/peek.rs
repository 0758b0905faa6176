//! What routing and money read from a request body, found in one scan and left where it is.
//!
//! Each dialect's `peek` walks its own top level with the helpers here. A key that Waypost reads may stand only once
//! (`\u` escapes included), because a provider might read the other one, and in its own letters only; see [`known`].

mod needs;
mod shared;
mod source;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use crate::chat::Served;
use crate::error::WireError;
use crate::scan::{Kind, Scanner};

pub(crate) use needs::Weight;
pub use needs::{Dearer, Features, Needs};
pub(crate) use source::Source;

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
    /// The provider may make the conversation shorter before it answers: it reads all of it once more and writes a summary, which
    /// `n` counts as another answer.
    pub compacts: bool,
    /// The word for how the provider shall serve it, if there is one: of `service_tier`, or a `speed` that is not the usual one.
    pub service_tier: Option<String>,
    /// Anthropic's word for how fast the answer shall come.
    pub speed: Option<String>,
    /// The field by which the answer shall be made after this request has ended, and be asked for later.
    pub later: Option<&'static str>,
    /// Just behind the opening brace: where a new key may be put, followed by a comma.
    pub inside: usize,
    /// What it asks of whoever answers it.
    pub needs: Needs,
}

impl Peek {
    /// Sums up the needs of a body of `length` bytes that was scanned to its end.
    pub(crate) fn finish(&mut self, length: usize) {
        let mut field = "service_tier";
        if let Some(speed) = self.speed.as_ref().filter(|speed| *speed != "standard") {
            field = "speed";
            self.service_tier = Some(speed.clone());
        }
        if self.service_tier.as_deref().and_then(Served::of).is_some_and(Served::is_dearer) {
            self.needs.dearer.get_or_insert(Dearer::Service(field));
        }
        if self.compacts {
            self.needs.boundless = true;
            self.n = self.n.saturating_mul(2);
        }
        self.needs.finish(length, self.stream, self.max_output_tokens);
    }

    /// How many answers a chat caller shall get.
    pub fn choices(&self) -> u64 {
        if self.compacts { self.n / 2 } else { self.n }
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

/// Which of the keys that are read `key` is. One of them in other letters is refused: what decodes JSON with Go, as many servers
/// and relays do, takes it for the same and believes whichever stands last. `path` is the object it stands in.
pub fn known(path: &str, key: &str, read: &[&'static str]) -> Result<Option<&'static str>, WireError> {
    known_in(&|| path.to_owned(), key, read)
}

/// The same where spelling out the path would cost a good body an allocation.
pub(crate) fn known_in(
    path: &dyn Fn() -> String,
    key: &str,
    read: &[&'static str],
) -> Result<Option<&'static str>, WireError> {
    if let Some(known) = read.iter().find(|known| **known == key) {
        return Ok(Some(known));
    }
    match read.iter().find(|known| is_alike(known, key)) {
        Some(known) => Err(other_letters(&path(), key, known)),
        None => Ok(None),
    }
}

/// Are they the same but for case, as Go folds it? Keys that are read are small ASCII letters, for which two signs beyond ASCII
/// stand as well.
fn is_alike(known: &str, key: &str) -> bool {
    let folded = key.chars().map(|sign| match sign {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        sign => sign.to_ascii_lowercase(),
    });
    folded.eq(known.chars())
}

fn other_letters(path: &str, key: &str, known: &str) -> WireError {
    let (written, meant) = (join(path, key), join(path, known));
    let message = format!("`{written}` is taken for `{meant}` by some providers; write it `{meant}`, and once");
    WireError::invalid(written, message)
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

/// What a tool gave back may hold parts of its own. Their form is the provider's business; only what `weight_of` makes of their
/// types is noted, and what they are made of.
pub(crate) fn note_parts(
    scanner: &mut Scanner<'_>,
    needs: &mut Needs,
    path: &dyn Fn() -> String,
    weight_of: fn(&str) -> Weight,
) -> Result<(), WireError> {
    if scanner.kind()? != Kind::Array {
        return scanner.skip().map(drop);
    }
    scanner.array(|scanner, at| {
        let part = || format!("{}[{at}]", path());
        let start = scanner.offset();
        if scanner.kind()? != Kind::Object {
            return scanner.skip().map(drop);
        }
        let (mut weight, mut source) = (Weight::Text, Source::default());
        scanner.object(|scanner, key| {
            match known_in(&part, key, &["type", "image_url", "source"])? {
                Some("type") => weight = word_at(scanner, &[])?.map_or(Weight::Text, |kind| weight_of(&kind)),
                Some(key) => source = Source::read(scanner, &|| join(&part(), key))?,
                None => {
                    scanner.skip()?;
                }
            }
            Ok(())
        })?;
        needs.weigh(weight, source, scanner.end() - start);
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
    fn a_key_in_other_letters_is_taken_for_the_same_wherever_go_takes_it_so() {
        let read = ["model", "max_tokens", "service_tier", "stream"];
        assert_eq!(known("", "max_tokens", &read).unwrap(), Some("max_tokens"));
        for other in ["", "m", "modell", "mode", "maxTokens", "max-tokens", "mödel"] {
            assert_eq!(known("", other, &read).unwrap(), None, "{other}");
        }
        for alike in ["Model", "MODEL", "Max_Tokens", "max_to\u{212a}ens", "\u{17f}ervice_tier", "STREAM"] {
            assert_eq!(known("", alike, &read).unwrap_err().param(), Some(alike));
        }
        let below = known("stream_options", "Include_Usage", &["include_usage"]).unwrap_err();
        assert_eq!(below.param(), Some("stream_options.Include_Usage"));
    }

    #[test]
    fn keys_below_the_top_may_stand_once_in_each_object() {
        let param = |body: &str| keys_once(body.as_bytes()).err().and_then(|error| error.param().map(str::to_owned));
        assert_eq!(param(r#"{"a":1,"a":[{"b":1},{"b":{"b":2}}]}"#), None);
        assert_eq!(param(r#"{"m":[{},{"c":1,"\u0063":2}]}"#).as_deref(), Some("m[1].c"));
        assert_eq!(param(r#"{"m":{"n":[[{"c":1,"x":0,"c":1}]]}}"#).as_deref(), Some("m.n[0][0].c"));
    }
}
