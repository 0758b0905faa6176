//! How a channel is asked whether it is well, apart from real requests.

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::Span;

/// Ask the account from time to time whether it is well.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Probe {
    /// What is asked.
    pub kind: ProbeKind,
    /// How often each key is asked. At least 10 seconds.
    pub every: Span,
    /// The model of a `chat` probe, by its public name; the channel's first that is written out if left out.
    pub model: Option<String>,
}

impl Default for Probe {
    fn default() -> Self {
        Self { kind: ProbeKind::Models, every: Span::seconds(300), model: None }
    }
}

/// What a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    /// The list of models, which costs nothing.
    Models,
    /// One token, which proves most.
    Chat,
}
