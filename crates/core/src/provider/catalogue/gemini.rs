//! Gemini, from the model pages of its API's documentation. A thinking budget up to 2.5, a level since 3.

use ThinkingStyle::{Adaptive, Budget, Never};
use waypost_wire::dialect::ThinkingStyle;
use waypost_wire::peek::Features;

use super::{Family, JSON};
use crate::capability::Modality;

const MILLION: u64 = 1_048_576;

pub(super) const FAMILIES: &[Family] = &[
    gemini("gemini-1.5").fits(MILLION).writes(8_192).thinks(Never),
    gemini("gemini-1.5-pro").fits(2_097_152).writes(8_192).thinks(Never),
    gemini("gemini-2.0").fits(MILLION).writes(8_192).thinks(Never),
    gemini("gemini-2.5").fits(MILLION).writes(65_536).thinks(Budget),
    pictures("gemini-2.5-flash-image").fits(65_536).writes(32_768),
    Family::other("gemini-2.5-flash-preview-tts", Modality::Speech).fits(8_192),
    Family::other("gemini-2.5-pro-preview-tts", Modality::Speech).fits(8_192),
    gemini("gemini-3").fits(MILLION).writes(65_536).thinks(Adaptive),
    Family::chat("gemini-3.").thinks(Adaptive),
    gemini("gemini-3.1").fits(MILLION).writes(65_536).thinks(Adaptive),
    gemini("gemini-3.5-flash").fits(MILLION).writes(65_536).thinks(Adaptive),
    gemini("gemini-flash-latest").fits(MILLION).writes(65_536).thinks(Adaptive),
    gemini("gemini-flash-lite-latest").fits(MILLION).writes(65_536).thinks(Adaptive),
    pictures("gemini-3-pro-image").fits(131_072).writes(32_768).thinks(Adaptive),
    pictures("gemini-3.1-flash-image").fits(131_072).writes(65_536).thinks(Adaptive),
    Family::other("gemini-embedding-", Modality::Embedding).fits(2_048),
    Family::other("text-embedding-004", Modality::Embedding).fits(2_048),
    Family::other("imagen-", Modality::Image),
];

const fn gemini(prefix: &'static str) -> Family {
    Family::chat(prefix).can(Features::VISION.with(Features::AUDIO).with(JSON))
}

/// Draws as well as it writes.
const fn pictures(prefix: &'static str) -> Family {
    Family { modality: Modality::Image, ..Family::chat(prefix).can(Features::VISION).cannot(Features::TOOLS) }
}
