//! Model groups: names that stand for several models. Which deployments that makes is for `snapshot/compile/groups.rs`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::routing::Strategy;
use super::values::bounded_option;

/// A virtual model: a name that callers ask for like any model, and that stands for several.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelGroup {
    /// The name callers use. A model of the same name can then be asked for only through a group.
    pub name: String,
    /// For people.
    #[serde(alias = "display_name")]
    pub description: Option<String>,
    /// What it stands for; everything that channels list if left out. What several members name counts as the first of them
    /// says.
    pub members: Option<Vec<MemberEntry>>,
    /// How the deployments of one tier share its requests. `routing.strategy` holds if left out.
    pub strategy: Option<Strategy>,
    /// A disabled group is none: its name is then that of a model or of nothing.
    #[serde(default = "super::yes")]
    pub enabled: bool,
}

/// Something a group stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberEntry(pub Member);

/// Something a group stands for: a model, or what fits a pattern, on all channels or on one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The name of a model; `*` stands for any run of characters. Whatever the channel lists if left out.
    pub model: Option<String>,
    /// The only channel that is meant.
    pub channel: Option<String>,
    /// The tier within the group, if it is not that of the deployment.
    #[serde(alias = "priority", default, deserialize_with = "bounded_option::<_, _, 1, 10>")]
    #[schemars(range(min = 1, max = 10))]
    pub tier: Option<u8>,
    /// The weight within the group, if it is not that of the deployment.
    #[serde(default, deserialize_with = "bounded_option::<_, _, 0, 1_000_000>")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub weight: Option<u32>,
}

/// By hand, because an untagged enum would forget where its parts stood.
impl<'de> Deserialize<'de> for MemberEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = MemberEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a model's name, or a map with `model` or `channel`")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<MemberEntry, E> {
                Ok(MemberEntry(Member { model: Some(name.to_owned()), ..Member::default() }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MemberEntry, A::Error> {
                Member::deserialize(MapAccessDeserializer::new(map)).map(MemberEntry)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for MemberEntry {
    fn schema_name() -> Cow<'static, str> {
        "MemberEntry".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let member = generator.subschema_for::<Member>();
        schemars::json_schema!({
            "anyOf": [
                {"type": "string", "description": "A model's name, or a pattern with `*`."},
                member
            ]
        })
    }
}
