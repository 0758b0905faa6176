//! Values that several sections share: lengths of time and numbers with bounds. Tests are below.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// The longest time a setting may name: a day. Longer is a slip of the pen.
const MAX_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// A length of time: `500ms`, `5s`, `2m`, `1h`, or a plain number of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Span {
    pub const ZERO: Self = Self(Duration::ZERO);

    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(SpanVisitor { least: 1 })
    }
}

/// As a [`Span`], but it may be nothing at all; for `deserialize_with`.
pub(super) fn span_or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    deserializer.deserialize_str(SpanVisitor { least: 0 })
}

struct SpanVisitor {
    least: u64,
}

impl Visitor<'_> for SpanVisitor {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as 500ms, 5s, 2m or a number of seconds, up to 24h")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Span, E> {
        millis(text)
            .filter(|millis| (self.least..=MAX_MILLIS).contains(millis))
            .map(|millis| Span(Duration::from_millis(millis)))
            .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

fn millis(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..)? {
        "ms" => 1,
        "" | "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let (whole, fraction) = digits.trim_end().split_once('.').unwrap_or((digits.trim_end(), "0"));
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = fraction.parse::<u64>().ok()?.checked_mul(unit)? / scale;
    whole.checked_add(part)
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A length of time: `500ms`, `5s`, `2m`, `1h`, or a plain number of seconds.",
            "anyOf": [
                {"type": "string", "pattern": r"^\d+(\.\d+)?\s*(ms|s|m|min|h)?$"},
                {"type": "number", "exclusiveMinimum": 0}
            ]
        })
    }
}

/// A whole number from `MIN` to `MAX`; for `deserialize_with`.
pub(super) fn bounded<'de, D, N, const MIN: u64, const MAX: u64>(deserializer: D) -> Result<N, D::Error>
where
    D: Deserializer<'de>,
    N: TryFrom<u64>,
{
    let number = deserializer.deserialize_u64(Bounded::<MIN, MAX>)?;
    N::try_from(number).map_err(|_| D::Error::invalid_value(Unexpected::Unsigned(number), &Bounded::<MIN, MAX>))
}

/// As [`bounded`], for a setting that may be absent.
pub(super) fn bounded_option<'de, D, N, const MIN: u64, const MAX: u64>(deserializer: D) -> Result<Option<N>, D::Error>
where
    D: Deserializer<'de>,
    N: TryFrom<u64>,
{
    bounded::<D, N, MIN, MAX>(deserializer).map(Some)
}

struct Bounded<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Visitor<'_> for Bounded<MIN, MAX> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if MAX == u64::MAX {
            write!(f, "a whole number from {MIN}")
        } else {
            write!(f, "a whole number from {MIN} to {MAX}")
        }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        if (MIN..=MAX).contains(&number) {
            Ok(number)
        } else {
            Err(E::invalid_value(Unexpected::Unsigned(number), &self))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_it_makes_sense_is_a_time_nothing() {
        let read = |least: u64, text: &str| SpanVisitor { least }.visit_str::<serde::de::value::Error>(text).ok();
        assert_eq!((read(0, "0s"), read(1, "0s")), (Some(Span::ZERO), None));
        assert_eq!((read(0, "25h"), read(0, "-1s")), (None, None));
    }

    #[test]
    fn times_are_read_with_and_without_units() {
        for (text, expected) in [
            ("5s", Some(5_000)),
            ("30", Some(30_000)),
            ("0.5", Some(500)),
            ("1.5m", Some(90_000)),
            ("500ms", Some(500)),
            ("2 m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("", None),
            ("s", None),
            ("-5s", None),
            ("5 days", None),
            ("1e3", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
        ] {
            assert_eq!(millis(text), expected, "{text}");
        }
    }
}
