//! What models can do, and what becomes of requests that ask for more.

use schemars::JsonSchema;
use serde::Deserialize;
use waypost_wire::peek::Features;

/// What becomes of requests that ask for more than a deployment can do. What is known of it comes from the file, else from
/// the catalogue inside Waypost; what nobody knows is never refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CapabilityPolicy {
    /// The deployment lacks what the request needs: tools, vision, audio, JSON, or room for the prompt.
    pub missing: Missing,
    /// The request sets a larger output cap than the model can write.
    pub over_limit: OverLimit,
    /// A stream is asked of a model that has none.
    pub streaming: Unstreamed,
}

/// What becomes of a request when a deployment lacks what it needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// The deployment is passed over; the request is refused with 400 if no other is left.
    #[default]
    Skip,
    /// The request is refused with 400, whatever other deployments of the model could do.
    Refuse,
    /// Nothing is looked at; the provider will judge.
    Ignore,
}

/// What becomes of an output cap above what the model can write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OverLimit {
    /// It is lowered, and the caller is told in `x-waypost-losses`.
    #[default]
    Clamp,
    /// As with `missing`: the deployment is passed over or the request refused.
    Refuse,
}

/// What becomes of a stream that is asked of a model that has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unstreamed {
    /// The answer is fetched whole and told as a stream.
    #[default]
    Adapt,
    /// As with `missing`: the deployment is passed over or the request refused.
    Refuse,
}

/// Something that a model can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    Streaming,
    #[serde(alias = "functions", alias = "function_calling")]
    Tools,
    #[serde(alias = "images")]
    Vision,
    Audio,
    JsonMode,
    #[serde(alias = "structured_outputs")]
    JsonSchema,
    #[serde(alias = "thinking")]
    Reasoning,
}

impl Capability {
    /// The same as a set; a model that follows a schema answers in JSON without one too.
    pub fn features(self) -> Features {
        match self {
            Self::Streaming => Features::STREAMING,
            Self::Tools => Features::TOOLS,
            Self::Vision => Features::VISION,
            Self::Audio => Features::AUDIO,
            Self::JsonMode => Features::JSON_MODE,
            Self::JsonSchema => Features::JSON_SCHEMA.with(Features::JSON_MODE),
            Self::Reasoning => Features::REASONING,
        }
    }
}
