//! Anthropic. Translated requests are pinned to the API version that still has sampling parameters; a caller that
//! speaks the dialect itself sends its own version.

use waypost_wire::Dialect;
use waypost_wire::peek::Features;

use super::{Auth, Endpoint, OPENAI_LIKE, Provider, Quirks};
use crate::operation::Operation;

pub(super) const PROVIDER: Provider = Provider {
    kind: "anthropic",
    name: "Anthropic",
    origin: Some("https://api.anthropic.com"),
    // SDKs take a base URL without the version and add `/v1` themselves; so do the paths below.
    prefix: "",
    auth: Auth::XApiKey,
    endpoints: &[
        Endpoint::new(Operation::Chat, Dialect::Anthropic, "/v1/messages"),
        Endpoint::new(Operation::CountTokens, Dialect::Anthropic, "/v1/messages/count_tokens"),
        Endpoint::new(Operation::Passthrough, Dialect::Anthropic, "/v1{path}"),
    ],
    headers: &[("anthropic-version", "2023-06-01")],
    quirks: Quirks::NONE,
    lacks: Features::AUDIO,
    models: &["claude-*"],
    hosts: &["api.anthropic.com"],
    key_prefixes: &["sk-ant-"],
    ..OPENAI_LIKE
};
