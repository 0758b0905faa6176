//! Google Gemini by its native API. The key goes into a header, never into the query, which gets logged.

use waypost_wire::Dialect;

use super::{Auth, Endpoint, OPENAI_LIKE, Provider, Quirks};
use crate::operation::Operation;

pub(super) const PROVIDER: Provider = Provider {
    kind: "gemini",
    name: "Google Gemini",
    telemetry_name: Some("gcp.gemini"),
    aliases: &["google"],
    origin: Some("https://generativelanguage.googleapis.com"),
    prefix: "/v1beta",
    auth: Auth::XGoogApiKey,
    endpoints: &[
        Endpoint {
            stream_path: Some("/models/{model}:streamGenerateContent?alt=sse"),
            ..Endpoint::new(Operation::Chat, Dialect::Gemini, "/models/{model}:generateContent")
        },
        Endpoint::new(Operation::Models, Dialect::Gemini, "/models"),
    ],
    quirks: Quirks::NONE,
    models: &["gemini-*", "gemma-*"],
    hosts: &["generativelanguage.googleapis.com"],
    key_prefixes: &["AIza"],
    ..OPENAI_LIKE
};
