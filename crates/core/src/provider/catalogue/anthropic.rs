//! Claude. From the model pages of the vendor's documentation. Native JSON schemas came with 4.5; before, a forced tool
//! stands in when a request is translated, so nothing is said of them. The switch to self-paced thinking came with 4.6.

use ThinkingStyle::{Adaptive, Budget, Never};
use waypost_wire::dialect::ThinkingStyle;
use waypost_wire::peek::Features;

use super::Family;

pub(super) const FAMILIES: &[Family] = &[
    claude("claude-3-").fits(200_000).writes(4_096).thinks(Never),
    claude("claude-3-5-").fits(200_000).writes(8_192).thinks(Never),
    claude("claude-3-7-").fits(200_000).writes(64_000).thinks(Budget),
    claude("claude-opus-4-").fits(200_000),
    claude("claude-opus-4-0").fits(200_000).writes(32_000).thinks(Budget),
    claude("claude-opus-4-1").fits(200_000).writes(32_000).thinks(Budget),
    claude("claude-opus-4-2025").fits(200_000).writes(32_000).thinks(Budget),
    schemas("claude-opus-4-5").fits(200_000).writes(64_000).thinks(Budget),
    schemas("claude-opus-4-6").fits(1_000_000).writes(128_000).thinks(Adaptive),
    schemas("claude-opus-4-7").fits(1_000_000).writes(128_000).thinks(Adaptive),
    schemas("claude-opus-4-8").fits(1_000_000).writes(128_000).thinks(Adaptive),
    schemas("claude-opus-5").fits(1_000_000).writes(128_000).thinks(Adaptive),
    claude("claude-sonnet-4-").fits(200_000),
    claude("claude-sonnet-4-0").fits(200_000).writes(64_000).thinks(Budget),
    claude("claude-sonnet-4-2025").fits(200_000).writes(64_000).thinks(Budget),
    schemas("claude-sonnet-4-5").fits(200_000).writes(64_000).thinks(Budget),
    schemas("claude-sonnet-4-6").fits(1_000_000).writes(128_000).thinks(Adaptive),
    schemas("claude-sonnet-5").fits(1_000_000).writes(128_000).thinks(Adaptive),
    claude("claude-haiku-4-").fits(200_000),
    schemas("claude-haiku-4-5").fits(200_000).writes(64_000).thinks(Budget),
    schemas("claude-fable-5").fits(1_000_000).writes(128_000).thinks(Adaptive),
];

const fn claude(prefix: &'static str) -> Family {
    Family::chat(prefix).can(Features::VISION).cannot(Features::AUDIO)
}

const fn schemas(prefix: &'static str) -> Family {
    claude(prefix).can(Features::JSON_SCHEMA)
}
