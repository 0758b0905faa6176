//! What is known about each vendor, as data: address, login, dialects, deviations. Nothing outside branches on a vendor.
//! To add one that speaks OpenAI's dialect: one constant in a new file, its `mod` line here and its line in `all.rs`.
//! Knows no channel and no secret beyond dressing it as a header. Tests are here, in `all.rs` and in `catalogue.rs`.

mod all;
mod anthropic;
mod azure_openai;
mod catalogue;
mod cerebras;
mod deepseek;
mod endpoint;
mod gemini;
mod groq;
mod mistral;
mod moonshot;
mod ollama;
mod openai;
mod openai_compatible;
mod openrouter;
mod quirks;
mod qwen;
mod siliconflow;
mod simulator;
mod vllm;
mod xai;
mod zhipu;

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use waypost_wire::Dialect;
use waypost_wire::dialect::Traits;
use waypost_wire::peek::Features;

use crate::capability::Capabilities;
use crate::operation::Operation;
use crate::secret::Secret;

pub use all::{ALL, by_kind, detect, words};
pub use endpoint::{Endpoint, Place};
pub use quirks::Quirks;

/// A vendor, or a kind of server, that channels are accounts of.
#[derive(Debug)]
pub struct Provider {
    /// The word in configuration, metrics and headers.
    pub kind: &'static str,
    /// The vendor's own spelling, for people.
    pub name: &'static str,
    /// Its word in OpenTelemetry's conventions (`gen_ai.provider.name`), where that is not `kind`.
    pub telemetry_name: Option<&'static str>,
    /// Other words for it in configuration.
    pub aliases: &'static [&'static str],
    /// Scheme, host and port; `None` if every account has its own.
    pub origin: Option<&'static str>,
    /// The path in front of every endpoint, used where a base URL has no path of its own.
    pub prefix: &'static str,
    pub auth: Auth,
    /// Requests without a credential cannot succeed.
    pub credential_required: bool,
    /// Requests are answered inside the process; no address is ever dialled.
    pub built_in: bool,
    /// What it serves, preferred dialect first.
    pub endpoints: &'static [Endpoint],
    /// What it serves instead, on channels that set `api_version`. Empty if the setting means nothing here.
    pub versioned_endpoints: &'static [Endpoint],
    /// Headers every request carries unless the caller or the channel sets them.
    pub headers: &'static [(&'static str, &'static str)],
    pub quirks: Quirks,
    /// What none of its models can do.
    pub lacks: Features,
    /// Models go by names that their owner gave them, of which the catalogue knows nothing.
    pub owner_names: bool,
    /// The names its models are known by, for channels that list none.
    pub models: &'static [&'static str],
    /// Hosts (`api.example.com`, `.example.com` for all below it, `:8000` for a port) that tell the provider.
    pub hosts: &'static [&'static str],
    /// How its keys begin.
    pub key_prefixes: &'static [&'static str],
    /// Its list of models is told to whoever asks, so that it proves nothing of a key.
    pub open_list: bool,
}

/// How a credential is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// `Authorization: Bearer <key>`
    Bearer,
    /// `api-key: <key>`
    ApiKey,
    /// `x-api-key: <key>`
    XApiKey,
    /// `x-goog-api-key: <key>`
    XGoogApiKey,
}

impl Auth {
    /// The header that carries the credential, marked as sensitive. `None` if the text cannot stand in a header.
    pub fn header(self, credential: &Secret) -> Option<(HeaderName, HeaderValue)> {
        let (name, value) = match self {
            Self::Bearer => (AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", credential.expose()))),
            Self::ApiKey => (HeaderName::from_static("api-key"), HeaderValue::from_str(credential.expose())),
            Self::XApiKey => (HeaderName::from_static("x-api-key"), HeaderValue::from_str(credential.expose())),
            Self::XGoogApiKey => {
                (HeaderName::from_static("x-goog-api-key"), HeaderValue::from_str(credential.expose()))
            }
        };
        let mut value = value.ok()?;
        value.set_sensitive(true);
        Some((name, value))
    }
}

/// The base of a vendor's constant: OpenAI's dialect at `/v1` with a Bearer key and nothing odd.
pub(crate) const OPENAI_LIKE: Provider = Provider {
    kind: "",
    name: "",
    telemetry_name: None,
    aliases: &[],
    origin: None,
    prefix: "/v1",
    auth: Auth::Bearer,
    credential_required: true,
    built_in: false,
    endpoints: &[Endpoint::CHAT, Endpoint::ANYTHING],
    versioned_endpoints: &[],
    headers: &[],
    quirks: Quirks::COMPATIBLE,
    lacks: Features::NONE,
    owner_names: false,
    models: &["*"],
    hosts: &[],
    key_prefixes: &[],
    open_list: false,
};

impl Provider {
    /// Its word in metrics and traces that follow OpenTelemetry's conventions.
    pub fn telemetry_name(&self) -> &'static str {
        self.telemetry_name.unwrap_or(self.kind)
    }

    /// What serves the operation for a caller of this dialect. Chat prefers the caller's own dialect (a relay) and
    /// settles for the provider's first (a translation); everything else is served in its dialect or not at all.
    pub fn endpoint(&self, operation: Operation, dialect: Dialect, versioned: bool) -> Option<&'static Endpoint> {
        let endpoints = if versioned { self.versioned_endpoints } else { self.endpoints };
        let exact = |operation| {
            endpoints.iter().find(|endpoint| endpoint.operation == operation && endpoint.dialect == dialect)
        };
        match operation {
            Operation::Chat => exact(Operation::Chat)
                .or_else(|| endpoints.iter().find(|endpoint| endpoint.operation == Operation::Chat)),
            Operation::CountTokens => exact(Operation::CountTokens),
            Operation::Completions
            | Operation::Embeddings
            | Operation::Images
            | Operation::Audio
            | Operation::Models
            | Operation::Passthrough => exact(operation).or_else(|| exact(Operation::Passthrough)),
        }
    }

    /// What a model of this provider accepts, by its name there.
    pub fn traits(&self, upstream_model: &str) -> Traits {
        let mut traits = self.quirks.traits();
        catalogue::refine(&mut traits, upstream_model);
        traits
    }

    /// What a model of this provider can do, by its name there.
    pub fn capabilities(&self, upstream_model: &str) -> Capabilities {
        let mut capabilities = Capabilities::default();
        if !self.owner_names {
            catalogue::describe(&mut capabilities, upstream_model);
        }
        capabilities.say(Features::NONE, self.lacks);
        capabilities
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(auth: Auth) -> (String, String) {
        let (name, value) = auth.header(&Secret::new("k")).unwrap();
        assert!(value.is_sensitive());
        (name.to_string(), value.to_str().unwrap().to_owned())
    }

    #[test]
    fn each_login_has_its_header() {
        // 002-21
        let expected = [
            (Auth::Bearer, "authorization", "Bearer k"),
            (Auth::ApiKey, "api-key", "k"),
            (Auth::XApiKey, "x-api-key", "k"),
            (Auth::XGoogApiKey, "x-goog-api-key", "k"),
        ];
        for (auth, name, value) in expected {
            assert_eq!(header(auth), (name.to_owned(), value.to_owned()));
        }
        assert!(Auth::Bearer.header(&Secret::new("two\nlines")).is_none());
    }

    #[test]
    fn chat_prefers_the_callers_dialect_and_other_operations_never_change_it() {
        let openrouter = by_kind("openrouter").unwrap();
        let chat = |dialect| openrouter.endpoint(Operation::Chat, dialect, false).unwrap().dialect;
        assert_eq!(chat(Dialect::Anthropic), Dialect::Anthropic);
        assert_eq!(chat(Dialect::OpenaiResponses), Dialect::OpenaiResponses);
        assert_eq!(chat(Dialect::Gemini), Dialect::OpenaiChat);

        let anthropic = by_kind("anthropic").unwrap();
        let endpoint = |operation| anthropic.endpoint(operation, Dialect::OpenaiChat, false);
        assert_eq!(endpoint(Operation::Chat).unwrap().dialect, Dialect::Anthropic);
        assert!(endpoint(Operation::Embeddings).is_none());
        assert!(endpoint(Operation::Passthrough).is_none());
    }
}
