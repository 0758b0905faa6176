//! Mistral: refuses fields it does not know with a 422, reports usage unasked, has its own word for a forced tool.

use waypost_wire::dialect::{StreamUsage, ToolChoiceRequired};

use super::{OPENAI_LIKE, Provider, Quirks};

pub(super) const PROVIDER: Provider = Provider {
    kind: "mistral",
    name: "Mistral",
    telemetry_name: Some("mistral_ai"),
    origin: Some("https://api.mistral.ai"),
    quirks: Quirks {
        drop: &["user", "store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "verbosity"],
        refuse: &["logprobs", "top_logprobs", "logit_bias"],
        rename: &[("seed", "random_seed")],
        stream_usage: StreamUsage::Always,
        tool_choice_required: ToolChoiceRequired::Any,
        ..Quirks::COMPATIBLE
    },
    models: &[
        "mistral-*",
        "ministral-*",
        "magistral-*",
        "codestral-*",
        "devstral-*",
        "pixtral-*",
        "voxtral-*",
        "open-mistral-*",
        "open-mixtral-*",
    ],
    hosts: &["api.mistral.ai"],
    ..OPENAI_LIKE
};
