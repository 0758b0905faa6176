//! OpenRouter, a router itself: speaks three dialects, names models `vendor/model`.

use super::{Endpoint, OPENAI_LIKE, Provider, Quirks};

pub(super) const PROVIDER: Provider = Provider {
    kind: "openrouter",
    name: "OpenRouter",
    origin: Some("https://openrouter.ai"),
    prefix: "/api/v1",
    endpoints: &[Endpoint::CHAT, Endpoint::RESPONSES, Endpoint::MESSAGES, Endpoint::ANYTHING],
    quirks: Quirks::COMPATIBLE,
    models: &["*/*"],
    hosts: &["openrouter.ai", ".openrouter.ai"],
    key_prefixes: &["sk-or-"],
    open_list: true,
    ..OPENAI_LIKE
};
