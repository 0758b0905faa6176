//! When a failing deployment or credential is left alone, and for how long.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::values::{Span, bounded};

/// When a failing deployment is isolated and how it comes back: a preset's name, or its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerChoice {
    Preset(Preset),
    Own(Breaker),
}

/// Breakers with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// 5 failures in a row, one minute, one success.
    Standard,
    /// 3 failures in a row, one minute, one success.
    Fast,
    /// 5 failures in a row, five minutes, two successes.
    Patient,
    /// Failing deployments stay in use.
    Off,
}

/// The numbers of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Breaker {
    /// `false`: failing deployments stay in use.
    pub enabled: bool,
    /// Failures in a row that isolate a deployment.
    #[serde(deserialize_with = "bounded::<_, _, 1, 1000>")]
    #[schemars(range(min = 1, max = 1000))]
    pub failures: u32,
    /// How long it gets no requests before a single one tries it out.
    pub open_for: Span,
    /// Without a failure for so long, everything about earlier ones is forgotten.
    pub reset_after: Span,
    /// Trials in a row that have to succeed.
    #[serde(deserialize_with = "bounded::<_, _, 1, 100>")]
    #[schemars(range(min = 1, max = 100))]
    pub successes: u32,
    /// How long a deployment that came back takes to get its whole share again.
    pub ramp: Span,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            enabled: true,
            failures: 5,
            open_for: Span::seconds(60),
            reset_after: Span::seconds(300),
            successes: 1,
            ramp: Span::seconds(30),
        }
    }
}

impl Default for BreakerChoice {
    fn default() -> Self {
        Self::Preset(Preset::Standard)
    }
}

impl BreakerChoice {
    /// The numbers of the choice.
    pub fn numbers(self) -> Breaker {
        let standard = Breaker::default();
        match self {
            Self::Own(own) => own,
            Self::Preset(Preset::Standard) => standard,
            Self::Preset(Preset::Fast) => Breaker { failures: 3, ..standard },
            Self::Preset(Preset::Patient) => Breaker { open_for: Span::seconds(300), successes: 2, ..standard },
            Self::Preset(Preset::Off) => Breaker { enabled: false, ..standard },
        }
    }
}

const PRESETS: [(&str, Preset); 4] =
    [("standard", Preset::Standard), ("fast", Preset::Fast), ("patient", Preset::Patient), ("off", Preset::Off)];

/// By hand, because an untagged enum would forget where its parts stood.
impl<'de> Deserialize<'de> for BreakerChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = BreakerChoice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("standard, fast, patient, off, true, false, or a map such as {failures: 5, open_for: 1m}")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<BreakerChoice, E> {
                let name = match name {
                    "true" | "yes" | "on" => "standard",
                    "false" | "no" => "off",
                    other => other,
                };
                let found = PRESETS.iter().find(|(word, _)| *word == name);
                found
                    .map(|(_, preset)| BreakerChoice::Preset(*preset))
                    .ok_or_else(|| E::unknown_variant(name, &["standard", "fast", "patient", "off"]))
            }

            fn visit_bool<E: Error>(self, on: bool) -> Result<BreakerChoice, E> {
                Ok(BreakerChoice::Preset(if on { Preset::Standard } else { Preset::Off }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<BreakerChoice, A::Error> {
                Breaker::deserialize(MapAccessDeserializer::new(map)).map(BreakerChoice::Own)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for BreakerChoice {
    fn schema_name() -> Cow<'static, str> {
        "BreakerChoice".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let own = generator.subschema_for::<Breaker>();
        schemars::json_schema!({
            "description": "When a failing deployment is isolated and how it comes back: a preset's name, or its numbers.",
            "anyOf": [
                {"type": "string", "enum": ["standard", "fast", "patient", "off"]},
                {"type": "boolean"},
                own
            ]
        })
    }
}

/// How long a failure of each class keeps requests away, where the provider does not say (`Retry-After` always wins).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cooldowns {
    /// A model on a credential that was rate limited gets nothing for so long.
    pub rate_limit: Span,
    /// A deployment that was too slow comes after the others of its tier for so long.
    pub timeout: Span,
    /// A deployment that failed comes after the others of its tier for so long.
    pub server_error: Span,
    /// A credential without money or quota rests for so long.
    pub no_money: Span,
    /// A model on a credential that may not use it rests for so long.
    pub forbidden: Span,
    /// A deployment whose provider does not know the model rests for so long.
    pub model_missing: Span,
    /// A credential that was refused is out of use; after so long a single request tries it out.
    pub dead_key: Span,
}

impl Default for Cooldowns {
    fn default() -> Self {
        Self {
            rate_limit: Span::seconds(60),
            timeout: Span::seconds(30),
            server_error: Span::seconds(120),
            no_money: Span::seconds(1800),
            forbidden: Span::seconds(300),
            model_missing: Span::seconds(300),
            dead_key: Span::seconds(3600),
        }
    }
}
