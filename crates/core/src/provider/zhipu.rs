//! Zhipu (GLM).

use super::{Endpoint, OPENAI_LIKE, Provider};

pub(super) const PROVIDER: Provider = Provider {
    kind: "zhipu",
    name: "Zhipu",
    aliases: &["glm"],
    origin: Some("https://open.bigmodel.cn"),
    prefix: "/api/paas/v4",
    endpoints: &[Endpoint::CHAT, Endpoint::messages_at("/api/anthropic/v1/messages"), Endpoint::ANYTHING],
    models: &["glm-*", "embedding-*", "cogview-*", "cogvideox-*"],
    hosts: &["open.bigmodel.cn", "api.z.ai"],
    ..OPENAI_LIKE
};
