//! Groq: refuses log probabilities and token biases with a 400.

use super::{Endpoint, OPENAI_LIKE, Provider, Quirks};

pub(super) const PROVIDER: Provider = Provider {
    kind: "groq",
    name: "Groq",
    origin: Some("https://api.groq.com"),
    prefix: "/openai/v1",
    endpoints: &[Endpoint::CHAT, Endpoint::RESPONSES, Endpoint::ANYTHING],
    quirks: Quirks {
        // Its tiers are not OpenAI's; the word is a hint.
        drop: &["service_tier"],
        refuse: &["logprobs", "top_logprobs", "logit_bias"],
        ..Quirks::COMPATIBLE
    },
    hosts: &["api.groq.com"],
    key_prefixes: &["gsk_"],
    ..OPENAI_LIKE
};
