//! What models are called at providers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// What models are called at providers. A model's own `upstream` comes first, then its channel's `model_mapping`, the
/// provider's rule, the global one, and the name as it is. Rules are not chained. A `*` on both sides of a rule stands for
/// the same run of characters: `gpt-*: vendor/gpt-*`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelMappings {
    /// Rules for every provider: public name to upstream name.
    pub global: BTreeMap<String, String>,
    /// Rules for one kind of provider, by its kind.
    pub providers: BTreeMap<String, BTreeMap<String, String>>,
    /// Show the upstream's model name in answers rather than the one that was asked for.
    pub expose_actual: bool,
}
