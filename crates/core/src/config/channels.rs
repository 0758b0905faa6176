//! The accounts at providers: where they are, how to log in, what they serve.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::capabilities::Capability;
use super::discovery::Discover;
use super::health::{BreakerChoice, Cooldowns};
use super::limits::Limits;
use super::prices::PriceEntry;
use super::probe::Probe;
use super::routing::KeyStrategy;
use super::values::{Span, bounded, bounded_option};
use crate::provider::Auth;
use crate::secret::Secret;

/// One account at a provider: address, credentials and models.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// Each name occurs once. Statistics and health are kept under it.
    pub name: String,
    /// The kind of provider, such as `openai`, `anthropic` or `azure_openai`. May be left out if the address or the key tells.
    #[serde(alias = "type")]
    pub provider: Option<String>,
    /// The address of the API as the provider documents it for SDKs. The provider's own if left out; without a path, the
    /// provider's usual path is added.
    #[serde(alias = "url")]
    pub base_url: Option<String>,
    /// The account's key.
    pub api_key: Option<Secret>,
    /// Several keys of the account; if one fails, the next is tried.
    #[serde(default)]
    pub api_keys: Vec<Secret>,
    /// Several keys with names, which logs and reports show.
    #[serde(default)]
    pub credentials: Vec<Credential>,
    /// How the key is sent, where it is not the provider's usual way.
    pub auth: Option<Auth>,
    /// What the channel serves: names, patterns with `*`, or maps with more settings. If left out: the models the
    /// provider is known for and those that `model_mappings.providers` names for it.
    pub models: Option<Vec<ModelEntry>>,
    /// What models are called at this account: public name to upstream name. Comes before `model_mappings`. A `*` on both
    /// sides stands for the same run of characters.
    #[serde(default)]
    pub model_mapping: BTreeMap<String, String>,
    /// Lower tiers are tried first, 1 to 10. `priority` is another name for it.
    #[serde(alias = "priority", default = "first_tier", deserialize_with = "bounded::<_, _, 1, 10>")]
    #[schemars(range(min = 1, max = 10))]
    pub tier: u8,
    /// The share of requests within a tier, relative to the other weights there. 0: only when nothing else is left.
    #[serde(default = "usual_weight", deserialize_with = "bounded::<_, _, 0, 1_000_000>")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub weight: u32,
    /// A disabled channel gets no requests.
    #[serde(default = "super::yes")]
    pub enabled: bool,
    /// Requests that name no model (files, batches and whatever OpenAI adds next) go to the channel with `default: true`;
    /// to the first that can take them if none has it.
    #[serde(default)]
    pub default: bool,
    /// How long to wait for what. `defaults.timeouts` holds for what is left out.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// The same as `timeouts.total`.
    pub timeout: Option<Span>,
    /// More headers to send with every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Azure OpenAI: use the paths that take this version rather than `/openai/v1`.
    pub api_version: Option<String>,
    /// The chat dialects to speak with the account, best first, if they are not all that the provider speaks. A caller's
    /// own is taken if it is among them; else requests are translated to the first.
    #[serde(default)]
    pub dialects: Vec<ChatDialect>,
    /// Check the certificate of the address. Switch off only for a test on your own machine.
    #[serde(alias = "verify_ssl")]
    pub verify_tls: Option<bool>,
    /// Let the name of `base_url` lead to a private address. Not needed where `base_url` holds the private address itself,
    /// `localhost` or a name without a dot.
    #[serde(default)]
    pub allow_private: bool,
    /// What the account may be asked, all its models and keys together.
    #[serde(default)]
    pub limits: Limits,
    /// The same as `limits.rps`.
    #[serde(default, deserialize_with = "bounded_option::<_, _, 1, 1_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_rps: Option<u32>,
    /// What each of its keys may be asked, where the key itself does not say.
    #[serde(default)]
    pub key_limits: Limits,
    /// How its keys share the requests. `defaults.key_strategy` holds if left out.
    pub key_strategy: Option<KeyStrategy>,
    /// When its deployments are isolated, where that is not as for all.
    pub breaker: Option<BreakerChoice>,
    /// How long failures keep requests away, where that is not as for all.
    pub cooldowns: Option<Cooldowns>,
    /// Ask the account from time to time whether it is well.
    pub probe: Option<Probe>,
    /// Ask the account from time to time which models it has.
    pub discover: Option<Discover>,
    /// What it has said, which is served as if it were listed.
    #[serde(skip)]
    pub discovered: Vec<String>,
}

/// A key of a channel with a name.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Each name occurs once in its channel.
    pub name: String,
    pub key: Secret,
    /// A disabled key is not used.
    #[serde(default = "super::yes")]
    pub enabled: bool,
    /// What the key may be asked; `key_limits` of the channel holds for what is left out.
    #[serde(default)]
    pub limits: Limits,
}

/// A model that a channel serves.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelEntry(pub Model);

/// A model that a channel serves, with its settings.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The name callers use; `*` stands for any run of characters.
    pub name: String,
    /// The name the provider knows, if it is another one. Comes before `model_mappings`.
    pub upstream: Option<String>,
    /// What the model can do, all of it but streaming, where the catalogue does not know or is wrong.
    pub capabilities: Option<Vec<Capability>>,
    /// Can it answer piece by piece? A stream asked of one that cannot is made of its whole answer.
    pub supports_streaming: Option<bool>,
    /// The most tokens of prompt and answer together.
    #[serde(default, deserialize_with = "bounded_option::<_, _, 1, 1_000_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub context_length: Option<u64>,
    /// The most tokens the model can write; what becomes of larger caps is said in `capabilities.over_limit`.
    #[serde(alias = "max_tokens", default, deserialize_with = "bounded_option::<_, _, 1, 100_000_000>")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub max_output_tokens: Option<u64>,
    /// The tier for this model, if it is not the channel's.
    #[serde(alias = "priority", default, deserialize_with = "bounded_option::<_, _, 1, 10>")]
    #[schemars(range(min = 1, max = 10))]
    pub tier: Option<u8>,
    /// The weight for this model, if it is not the channel's.
    #[serde(default, deserialize_with = "bounded_option::<_, _, 0, 1_000_000>")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub weight: Option<u32>,
    /// What this model on this channel may be asked.
    #[serde(default)]
    pub limits: Limits,
    /// What the model costs on this channel; comes before every other price.
    pub price: Option<PriceEntry>,
}

/// A chat dialect that upstreams speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChatDialect {
    OpenaiChat,
    OpenaiResponses,
    Anthropic,
    Gemini,
}

impl From<ChatDialect> for waypost_wire::Dialect {
    fn from(dialect: ChatDialect) -> Self {
        match dialect {
            ChatDialect::OpenaiChat => Self::OpenaiChat,
            ChatDialect::OpenaiResponses => Self::OpenaiResponses,
            ChatDialect::Anthropic => Self::Anthropic,
            ChatDialect::Gemini => Self::Gemini,
        }
    }
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// Until the connection stands, TLS included. 5 seconds unless set.
    pub connect: Option<Span>,
    /// From the request to the first byte of its answer. 60 seconds unless set.
    pub first_byte: Option<Span>,
    /// From the request to the first word of a streamed answer. 120 seconds unless set.
    pub first_token: Option<Span>,
    /// Between two bytes of an answer. 60 seconds unless set.
    pub idle: Option<Span>,
    /// For a request as a whole, all its attempts together; that of the channel tried first counts. 600 seconds unless set.
    pub total: Option<Span>,
}

impl ModelEntry {
    /// A model with nothing set but its name.
    pub fn named(name: impl Into<String>) -> Self {
        Self(Model { name: name.into(), ..Model::default() })
    }
}

/// By hand, because an untagged enum would forget where its parts stood.
impl<'de> Deserialize<'de> for ModelEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = ModelEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a model's name, or a map with `name`")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<ModelEntry, E> {
                Ok(ModelEntry::named(name))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ModelEntry, A::Error> {
                Model::deserialize(MapAccessDeserializer::new(map)).map(ModelEntry)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for ModelEntry {
    fn schema_name() -> Cow<'static, str> {
        "ModelEntry".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let model = generator.subschema_for::<Model>();
        schemars::json_schema!({
            "anyOf": [
                {"type": "string", "description": "The model's name, or a pattern with `*`."},
                model
            ]
        })
    }
}

fn first_tier() -> u8 {
    1
}

fn usual_weight() -> u32 {
    100
}

/// A channel as an empty entry would be, to build configs without a file.
impl Channel {
    pub fn new(name: impl Into<String>, provider: &str) -> Self {
        Self {
            name: name.into(),
            provider: Some(provider.to_owned()),
            base_url: None,
            api_key: None,
            api_keys: Vec::new(),
            credentials: Vec::new(),
            auth: None,
            models: None,
            model_mapping: BTreeMap::new(),
            tier: first_tier(),
            weight: usual_weight(),
            enabled: true,
            default: false,
            timeouts: Timeouts::default(),
            timeout: None,
            headers: BTreeMap::new(),
            api_version: None,
            dialects: Vec::new(),
            verify_tls: None,
            allow_private: false,
            limits: Limits::default(),
            max_rps: None,
            key_limits: Limits::default(),
            key_strategy: None,
            breaker: None,
            cooldowns: None,
            probe: None,
            discover: None,
            discovered: Vec::new(),
        }
    }
}
