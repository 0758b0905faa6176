//! Models of other vendors, as far as they are served by their vendor only. What open weights can take in lies in the
//! weights, so it is told; how much fits in is for whoever serves them.

use waypost_wire::peek::Features;

use super::{Family, JSON};
use crate::capability::Modality;

pub(super) const FAMILIES: &[Family] = &[
    // xAI. Reasoning models refuse the penalties and `stop`.
    Family::chat("grok-3").fits(131_072).can(JSON).cannot(Features::VISION.with(Features::AUDIO)),
    grok("grok-4").fits(256_000),
    grok("grok-4-fast").fits(2_000_000),
    grok("grok-4-1-fast").fits(2_000_000),
    Family { can: Features::STREAMING, cannot: Features::NONE, ..grok("grok-4.") },
    grok("grok-4.20").fits(1_000_000),
    grok("grok-4.3").fits(1_000_000),
    Family::chat("grok-code-fast").fits(256_000).can(JSON).cannot(Features::VISION.with(Features::AUDIO)),
    // DeepSeek's own names for whatever it serves now.
    text("deepseek-chat"),
    text("deepseek-reasoner").can(Features::REASONING),
    text("deepseek-v3"),
    text("deepseek-v3."),
    text("deepseek-v4").can(Features::REASONING),
    // Mistral's models that are not open.
    Family::chat("mistral-large").can(Features::VISION.with(JSON)).cannot(Features::AUDIO),
    text("mistral-large-2407"),
    text("mistral-large-2411"),
    Family::chat("mistral-medium").can(Features::VISION.with(JSON)).cannot(Features::AUDIO),
    text("codestral-"),
    Family::other("codestral-embed", Modality::Embedding),
    Family::other("mistral-embed", Modality::Embedding).fits(8_192),
    // Moonshot.
    text("kimi-k2-"),
    Family::chat("kimi-k2.5").can(Features::VISION.with(JSON).with(Features::REASONING)).cannot(Features::AUDIO),
    Family::chat("kimi-k2.6").can(Features::VISION.with(JSON).with(Features::REASONING)).cannot(Features::AUDIO),
    // Llama and gpt-oss, wherever they run.
    text("llama-3.1-"),
    text("llama-3.3-"),
    text("gpt-oss-"),
];

const fn grok(prefix: &'static str) -> Family {
    Family {
        drop: &["presence_penalty", "frequency_penalty"],
        refuse: &["stop"],
        ..Family::chat(prefix).can(Features::VISION.with(JSON)).cannot(Features::AUDIO)
    }
}

/// Takes in nothing but text. Whether it calls functions is for whoever serves it.
const fn text(prefix: &'static str) -> Family {
    Family { can: Features::NONE, ..Family::chat(prefix).cannot(Features::VISION.with(Features::AUDIO)) }
}
