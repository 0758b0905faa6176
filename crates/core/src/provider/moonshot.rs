//! Moonshot (Kimi).

use super::{Endpoint, OPENAI_LIKE, Provider};

pub(super) const PROVIDER: Provider = Provider {
    kind: "moonshot",
    name: "Moonshot",
    aliases: &["kimi"],
    origin: Some("https://api.moonshot.cn"),
    endpoints: &[Endpoint::CHAT, Endpoint::messages_at("/anthropic/v1/messages"), Endpoint::ANYTHING],
    models: &["kimi-*", "moonshot-*"],
    hosts: &["api.moonshot.cn", "api.moonshot.ai"],
    ..OPENAI_LIKE
};
