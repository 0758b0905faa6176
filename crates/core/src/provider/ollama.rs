//! Ollama: a local server without keys. Knows no `tool_choice`, no token biases, and images only inline.

use super::{Endpoint, OPENAI_LIKE, Provider, Quirks};

pub(super) const PROVIDER: Provider = Provider {
    kind: "ollama",
    name: "Ollama",
    origin: Some("http://127.0.0.1:11434"),
    credential_required: false,
    endpoints: &[Endpoint::CHAT, Endpoint::RESPONSES, Endpoint::MESSAGES, Endpoint::ANYTHING],
    quirks: Quirks { drop: &["tool_choice"], refuse: &["logit_bias", "n"], image_urls: false, ..Quirks::COMPATIBLE },
    hosts: &[":11434", "ollama.com"],
    ..OPENAI_LIKE
};
