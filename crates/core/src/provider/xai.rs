//! xAI: Responses is its primary API. What its reasoning models refuse is in the table of models.

use super::{Endpoint, OPENAI_LIKE, Provider, Quirks};

pub(super) const PROVIDER: Provider = Provider {
    kind: "xai",
    name: "xAI",
    telemetry_name: Some("x_ai"),
    origin: Some("https://api.x.ai"),
    endpoints: &[Endpoint::CHAT, Endpoint::RESPONSES, Endpoint::ANYTHING],
    quirks: Quirks { max_tokens_field: Quirks::NONE.max_tokens_field, ..Quirks::COMPATIBLE },
    models: &["grok-*"],
    hosts: &["api.x.ai", ".api.x.ai"],
    key_prefixes: &["xai-"],
    ..OPENAI_LIKE
};
