//! DeepSeek: thoughts must be sent back in tool loops. Serves Anthropic's dialect beside its own.

use super::{Endpoint, OPENAI_LIKE, Provider, Quirks};

pub(super) const PROVIDER: Provider = Provider {
    kind: "deepseek",
    name: "DeepSeek",
    origin: Some("https://api.deepseek.com"),
    prefix: "",
    endpoints: &[Endpoint::CHAT, Endpoint::messages_at("/anthropic/v1/messages"), Endpoint::ANYTHING],
    quirks: Quirks { reasoning_content: true, ..Quirks::COMPATIBLE },
    models: &["deepseek-*"],
    hosts: &["api.deepseek.com"],
    ..OPENAI_LIKE
};
