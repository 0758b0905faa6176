//! What models cost, and what becomes of requests whose price nobody knows.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::error::ConfigError;
use super::json;
use super::read::read;
use super::values::bounded_option;
use crate::money::PicoUsd;
use crate::pricing::Factor;

/// What models cost, in USD. Comes before the price book that is built in. Of several that fit, the one for a channel comes
/// before the one for a provider and the longer pattern before the shorter; of the same, the latest in force holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PriceEntry {
    /// The model's name at the provider or for callers; `*` stands for any run of characters. Left out in a channel's model.
    pub model: Option<String>,
    /// Only at this kind of provider.
    pub provider: Option<String>,
    /// Only on this channel.
    pub channel: Option<String>,
    /// The day from which on it holds, at midnight UTC: `2026-01-31`. Always, if left out.
    pub effective_from: Option<Day>,
    pub currency: Option<Currency>,
    /// For a million tokens of the prompt.
    pub input: Option<PerMillion>,
    /// For a million tokens of the answer; as `input` if left out.
    pub output: Option<PerMillion>,
    /// For a million tokens of the prompt that came from the provider's cache; as `input` if left out.
    #[serde(alias = "cached_input")]
    pub cache_read: Option<PerMillion>,
    /// For a million tokens of the prompt that went into the provider's cache; as `input` if left out.
    pub cache_write: Option<PerMillion>,
    /// The same for an hour; as `cache_write` if left out.
    pub cache_write_1h: Option<PerMillion>,
    /// For a million tokens of thoughts; as `output` if left out.
    pub reasoning: Option<PerMillion>,
    /// For a million tokens of sound in the prompt; as `input` if left out.
    pub audio_input: Option<PerMillion>,
    /// For a million tokens of sound in the answer; as `output` if left out.
    pub audio_output: Option<PerMillion>,
    /// For each call, whatever it uses.
    #[serde(alias = "per_call")]
    pub call: Option<PerUnit>,
    /// For each picture made.
    pub image: Option<PerUnit>,
    /// Other prices for long prompts.
    pub tiers: Vec<PriceTier>,
    /// What the provider's service tiers multiply the price by.
    pub service_tiers: ServiceTiers,
    /// Where the price is from, for people.
    pub source: Option<String>,
}

impl PriceEntry {
    /// Reads one from JSON, as strictly as from a file. Numbers are read as they are written, never as floats.
    pub fn parse(text: &str) -> Result<Self, Vec<ConfigError>> {
        read(json::parse(text).map_err(|error| vec![error])?)
    }

    /// As [`PriceEntry::parse`] reads it again, without what is left out; decimals are text.
    pub fn written(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        strip(&mut value);
        value
    }
}

/// Takes away what says nothing.
fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(strip);
            fields.retain(|_, value| match value {
                Value::Null => false,
                Value::Array(items) => !items.is_empty(),
                Value::Object(fields) => !fields.is_empty(),
                Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
            });
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A price that was set while the gateway ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetPrice {
    pub entry: PriceEntry,
    /// The moment from which on it holds, in milliseconds since 1970; counts instead of the entry's day.
    pub effective_at: i64,
}

/// Prices for prompts of more than so many tokens, which hold for the whole request. What is left out is as `input` or
/// `output` here, and never less than below.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceTier {
    /// Tokens of the prompt.
    pub above: u64,
    pub input: PerMillion,
    pub output: PerMillion,
    #[serde(alias = "cached_input")]
    pub cache_read: Option<PerMillion>,
    pub cache_write: Option<PerMillion>,
    pub cache_write_1h: Option<PerMillion>,
    pub reasoning: Option<PerMillion>,
    pub audio_input: Option<PerMillion>,
    pub audio_output: Option<PerMillion>,
}

impl PriceTier {
    /// A tier with two prices.
    pub fn new(above: u64, input: PerMillion, output: PerMillion) -> Self {
        Self {
            above,
            input,
            output,
            cache_read: None,
            cache_write: None,
            cache_write_1h: None,
            reasoning: None,
            audio_input: None,
            audio_output: None,
        }
    }
}

/// What the provider's service tiers multiply a price by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceTiers {
    #[serde(serialize_with = "shown", deserialize_with = "factor")]
    #[schemars(with = "Option<Decimal>")]
    pub flex: Option<Factor>,
    #[serde(serialize_with = "shown", deserialize_with = "factor")]
    #[schemars(with = "Option<Decimal>")]
    pub batch: Option<Factor>,
    #[serde(serialize_with = "shown", deserialize_with = "factor")]
    #[schemars(with = "Option<Decimal>")]
    pub priority: Option<Factor>,
}

/// What prices are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Currency {
    #[serde(alias = "USD")]
    Usd,
}

/// What becomes of requests whose price nobody knows, and how much paying callers may be answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Pricing {
    /// What becomes of requests to a model without a price.
    pub unknown: UnknownPrice,
    /// What they cost where `unknown` is `ceiling`.
    pub ceiling: Option<Ceiling>,
    /// The most tokens of an answer to a caller with a budget who sets no cap; the model's own maximum if left out.
    #[serde(deserialize_with = "bounded_option::<_, _, 1, 100_000_000>")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub output_cap: Option<u64>,
}

/// What becomes of requests to a model without a price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownPrice {
    /// They are refused.
    Refuse,
    /// They are served and marked as unpriced, but for callers with a budget or a credit, who are refused.
    #[default]
    AllowAndMark,
    /// They cost what `ceiling` says.
    Ceiling,
}

/// The price of what has none.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ceiling {
    /// For a million tokens of the prompt.
    pub input: PerMillion,
    /// For a million tokens of the answer.
    pub output: PerMillion,
    /// For each call, whatever it uses.
    pub call: Option<PerUnit>,
}

/// USD for a million tokens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PerMillion(pub PicoUsd);

/// USD for one of something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PerUnit(pub PicoUsd);

/// A day, at midnight UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day {
    year: u16,
    month: u8,
    day: u8,
}

impl Day {
    /// Reads `2026-01-31`; `None` if there is no such day.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.splitn(3, '-');
        let mut digits = |count: usize| {
            let field = fields.next().filter(|field| field.len() == count)?;
            field.bytes().all(|byte| byte.is_ascii_digit()).then(|| field.parse::<u16>().ok()).flatten()
        };
        let (year, month, day) = (digits(4)?, u8::try_from(digits(2)?).ok()?, u8::try_from(digits(2)?).ok()?);
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let length = match month {
            2 => 28 + u8::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        ((1970..=9999).contains(&year) && (1..=length).contains(&day)).then_some(Self { year, month, day })
    }

    /// Milliseconds since 1970.
    pub fn unix_ms(self) -> i64 {
        // Counted from March, so that a leap day is the last of its year.
        let early = i64::from(self.month <= 2);
        let year = i64::from(self.year) - early;
        let month = i64::from(self.month) + 12 * early - 3;
        let of_year = (153 * month + 2) / 5 + i64::from(self.day) - 1;
        let days = 365 * year + year / 4 - year / 100 + year / 400 + of_year - 719_468;
        days * 86_400_000
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// Debug is what `config explain` shows: as people write it.
impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for PerMillion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.as_per_million(), f)
    }
}

impl fmt::Debug for PerUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.as_per_unit(), f)
    }
}

/// Reads a text by `read`, or says what was expected.
struct Read<T>(fn(&str) -> Option<T>, &'static str);

impl<T> Visitor<'_> for Read<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for PerMillion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "USD for a million tokens such as 2.5, up to 1000000, with at most six digits after the point";
        deserializer.deserialize_str(Read(|text| PicoUsd::per_million(text).ok().map(Self), expected))
    }
}

impl<'de> Deserialize<'de> for PerUnit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "USD for one such as 0.04, up to 1000, with at most nine digits after the point";
        deserializer.deserialize_str(Read(|text| PicoUsd::per_unit(text).ok().map(Self), expected))
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Read(Self::parse, "a day such as 2026-01-31"))
    }
}

macro_rules! written_as_shown {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&format_args!("{self:?}"))
            }
        }
    )*};
}

written_as_shown!(PerMillion, PerUnit, Day);

fn shown<S: Serializer>(factor: &Option<Factor>, serializer: S) -> Result<S::Ok, S::Error> {
    match factor {
        Some(factor) => serializer.collect_str(factor),
        None => serializer.serialize_none(),
    }
}

fn factor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Factor>, D::Error> {
    let expected = "a factor such as 0.5, up to 1000, with at most six digits after the point";
    deserializer.deserialize_str(Read(|text| text.parse().ok(), expected)).map(Some)
}

/// How all of them look in a schema.
struct Decimal;

impl JsonSchema for Decimal {
    fn schema_name() -> Cow<'static, str> {
        "Decimal".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A decimal number, exact: as a number or as text.",
            "anyOf": [{"type": "string", "pattern": r"^\d+(\.\d+)?$"}, {"type": "number", "minimum": 0}]
        })
    }
}

macro_rules! decimal_schema {
    ($($type:ty),*) => {$(
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                Decimal::schema_name()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                generator.subschema_for::<Decimal>()
            }
        }
    )*};
}

decimal_schema!(PerMillion, PerUnit);

impl JsonSchema for Day {
    fn schema_name() -> Cow<'static, str> {
        "Day".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"description": "A day: `2026-01-31`.", "type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_read_as_it_was_written_to_the_last_digit() {
        let text = r#"{"model":"m*","provider":"openai","channel":"c","effective_from":"2026-01-31","currency":"USD",
            "input":0.000001,"output":"999999.999999","cached_input":0.10,"cache_write":2,"cache_write_1h":3,"reasoning":4,
            "audio_input":5,"audio_output":6,"call":0.000000001,"image":999.99,"source":"https://example.com",
            "tiers":[{"above":200000,"input":1,"output":2,"reasoning":3}],"service_tiers":{"flex":0.5,"priority":2}}"#;
        let entry = PriceEntry::parse(text).unwrap();
        let written = entry.written();
        assert_eq!(PriceEntry::parse(&written.to_string()), Ok(entry));
        assert_eq!((&written["input"], &written["cache_read"]), (&"0.000001".into(), &"0.1".into()));
        let least = PriceEntry::parse(r#"{"model":"m","input":1}"#).unwrap().written();
        assert_eq!(least.to_string(), r#"{"model":"m","input":"1"}"#);
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (text, seconds) in [
            ("1970-01-01", Some(0)),
            ("2000-02-29", Some(951_782_400)),
            ("2026-11-25", Some(1_795_564_800)),
            ("2100-03-01", Some(4_107_542_400)),
            ("2100-02-29", None),
            ("2026-13-01", None),
            ("2026-04-31", None),
            ("2026-1-1", None),
            ("1969-12-31", None),
            ("2026-01-01T00:00:00Z", None),
        ] {
            assert_eq!(Day::parse(text).map(|day| day.unix_ms() / 1000), seconds, "{text}");
        }
        assert_eq!(format!("{:?}", Day::parse("2026-01-09").unwrap()), "2026-01-09");
    }
}
