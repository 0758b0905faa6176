//! The provider inside the gateway: answers without a network or an account, for trying things out and for set-up.

use super::{Endpoint, OPENAI_LIKE, Provider, Quirks};
use crate::operation::Operation;

pub(super) const PROVIDER: Provider = Provider {
    kind: "simulator",
    name: "Simulator",
    origin: Some("http://simulator.invalid"),
    credential_required: false,
    built_in: true,
    endpoints: &[
        Endpoint::CHAT,
        Endpoint::RESPONSES,
        Endpoint::MESSAGES,
        Endpoint::COUNT_TOKENS,
        Endpoint::openai(Operation::Completions, "/completions"),
        Endpoint::openai(Operation::Embeddings, "/embeddings"),
    ],
    quirks: Quirks::NONE,
    models: &["sim/*"],
    ..OPENAI_LIKE
};
