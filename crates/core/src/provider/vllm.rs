//! vLLM and SGLang: local servers with an optional key.

use super::{Endpoint, OPENAI_LIKE, Provider};

pub(super) const PROVIDER: Provider = Provider {
    kind: "vllm",
    name: "vLLM",
    aliases: &["sglang"],
    origin: Some("http://127.0.0.1:8000"),
    credential_required: false,
    endpoints: &[Endpoint::CHAT, Endpoint::RESPONSES, Endpoint::MESSAGES, Endpoint::ANYTHING],
    ..OPENAI_LIKE
};
