//! Cerebras.

use super::{OPENAI_LIKE, Provider};

pub(super) const PROVIDER: Provider = Provider {
    kind: "cerebras",
    name: "Cerebras",
    origin: Some("https://api.cerebras.ai"),
    hosts: &["api.cerebras.ai"],
    key_prefixes: &["csk-"],
    ..OPENAI_LIKE
};
