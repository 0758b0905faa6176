//! OpenAI, whose API the dialects are named after.

use super::{Endpoint, OPENAI_LIKE, Provider, Quirks};

pub(super) const PROVIDER: Provider = Provider {
    kind: "openai",
    name: "OpenAI",
    origin: Some("https://api.openai.com"),
    endpoints: &[Endpoint::CHAT, Endpoint::RESPONSES, Endpoint::ANYTHING],
    quirks: Quirks::NONE,
    models: &[
        "gpt-*",
        "chatgpt-*",
        "o1*",
        "o3*",
        "o4*",
        "codex-*",
        "computer-use-*",
        "text-embedding-*",
        "omni-moderation-*",
        "text-moderation-*",
        "dall-e-*",
        "sora-*",
        "whisper-*",
        "tts-*",
        "davinci-*",
        "babbage-*",
        "ft:*",
    ],
    hosts: &["api.openai.com", ".api.openai.com"],
    key_prefixes: &["sk-", "sk-proj-", "sk-svcacct-"],
    ..OPENAI_LIKE
};
