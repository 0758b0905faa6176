//! OpenAI's models, from the model pages of its documentation. Snapshots with a date behind the name share its line.

use ThinkingStyle::{Adaptive, Never};
use waypost_wire::dialect::ThinkingStyle;
use waypost_wire::peek::Features;

use super::{Family, JSON};
use crate::capability::Modality;

const MILLION: u64 = 1_047_576;

pub(super) const FAMILIES: &[Family] = &[
    blind("gpt-3.5-turbo").fits(16_385).writes(4_096).thinks(Never).cannot(Features::JSON_SCHEMA),
    blind("gpt-3.5-turbo-instruct").fits(4_096).writes(4_096).thinks(Never).cannot(Features::TOOLS.with(JSON)),
    blind("gpt-4").fits(8_192).writes(8_192).thinks(Never).cannot(JSON),
    blind("gpt-4-32k").fits(32_768).writes(8_192).thinks(Never).cannot(JSON),
    seeing("gpt-4-turbo").fits(128_000).writes(4_096).thinks(Never).cannot(Features::JSON_SCHEMA),
    blind("gpt-4-turbo-preview").fits(128_000).writes(4_096).thinks(Never).cannot(Features::JSON_SCHEMA),
    blind("gpt-4-1106-preview").fits(128_000).writes(4_096).thinks(Never).cannot(Features::JSON_SCHEMA),
    blind("gpt-4-0125-preview").fits(128_000).writes(4_096).thinks(Never).cannot(Features::JSON_SCHEMA),
    seeing("gpt-4-vision-preview").fits(128_000).writes(4_096).thinks(Never).cannot(Features::TOOLS.with(JSON)),
    seeing("gpt-4.5-preview").fits(128_000).writes(16_384).thinks(Never),
    seeing("gpt-4o").fits(128_000).writes(16_384).thinks(Never),
    seeing("chatgpt-4o-latest").fits(128_000).writes(16_384).thinks(Never).cannot(Features::TOOLS),
    seeing("gpt-4o-2024-05-13").fits(128_000).writes(4_096).thinks(Never).cannot(Features::JSON_SCHEMA),
    speaking("gpt-4o-audio-preview").fits(128_000).writes(16_384).thinks(Never),
    speaking("gpt-4o-mini-audio-preview").fits(128_000).writes(16_384).thinks(Never),
    speaking("gpt-audio").fits(128_000).writes(16_384).thinks(Never),
    blind("gpt-4o-search-preview").fits(128_000).writes(16_384).thinks(Never).cannot(Features::TOOLS),
    blind("gpt-4o-mini-search-preview").fits(128_000).writes(16_384).thinks(Never).cannot(Features::TOOLS),
    Family::other("gpt-4o-transcribe", Modality::Transcription),
    Family::other("gpt-4o-mini-transcribe", Modality::Transcription),
    Family::other("gpt-4o-mini-tts", Modality::Speech),
    Family::other("gpt-4o-realtime", Modality::Realtime),
    Family::other("gpt-4o-mini-realtime", Modality::Realtime),
    Family::other("gpt-realtime", Modality::Realtime),
    seeing("gpt-4.1").fits(MILLION).writes(32_768).thinks(Never),
    seeing("gpt-5").fits(400_000).writes(128_000).thinks(Adaptive),
    seeing("gpt-5-chat").fits(128_000).writes(16_384).thinks(Never).cannot(Features::TOOLS),
    seeing("gpt-5-pro").fits(400_000).writes(272_000).thinks(Adaptive),
    Family::chat("gpt-5.").thinks(Adaptive),
    seeing("gpt-5.1").fits(400_000).writes(128_000).thinks(Adaptive),
    seeing("gpt-5.2").fits(400_000).writes(128_000).thinks(Adaptive),
    seeing("gpt-5.3-codex").fits(400_000).writes(128_000).thinks(Adaptive),
    seeing("gpt-5.1-chat").fits(128_000).writes(16_384).thinks(Adaptive),
    seeing("gpt-5.2-chat").fits(128_000).writes(16_384).thinks(Adaptive),
    seeing("gpt-5.3-chat").fits(128_000).writes(16_384).thinks(Adaptive),
    seeing("gpt-5.3-codex-spark").fits(128_000).writes(32_000).thinks(Adaptive),
    seeing("gpt-5.4").fits(1_050_000).writes(128_000).thinks(Adaptive),
    seeing("gpt-5.4-mini").fits(400_000).writes(128_000).thinks(Adaptive),
    seeing("gpt-5.4-nano").fits(400_000).writes(128_000).thinks(Adaptive),
    seeing("gpt-5.5").fits(1_050_000).writes(128_000).thinks(Adaptive),
    seeing("gpt-5.6").fits(1_050_000).writes(128_000).thinks(Adaptive),
    seeing("o1").fits(200_000).writes(100_000).thinks(Adaptive),
    seeing("o1-pro").fits(200_000).writes(100_000).thinks(Adaptive).cannot(Features::STREAMING),
    blind("o1-mini").fits(128_000).writes(65_536).thinks(Adaptive).cannot(Features::TOOLS.with(JSON)),
    blind("o1-preview").fits(128_000).writes(32_768).thinks(Adaptive).cannot(Features::TOOLS.with(JSON)),
    seeing("o3").fits(200_000).writes(100_000).thinks(Adaptive),
    blind("o3-mini").fits(200_000).writes(100_000).thinks(Adaptive),
    seeing("o4-mini").fits(200_000).writes(100_000).thinks(Adaptive),
    Family::other("text-embedding-3-", Modality::Embedding).fits(8_191),
    Family::other("text-embedding-ada-002", Modality::Embedding).fits(8_191),
    Family::other("omni-moderation-", Modality::Moderation),
    Family::other("text-moderation-", Modality::Moderation),
    Family::other("dall-e-", Modality::Image),
    Family::other("gpt-image-", Modality::Image),
    Family::other("whisper-", Modality::Transcription),
    Family::other("tts-1", Modality::Speech),
];

/// Takes pictures but no sound, and answers in JSON.
const fn seeing(prefix: &'static str) -> Family {
    Family::chat(prefix).can(Features::VISION.with(JSON)).cannot(Features::AUDIO)
}

const fn blind(prefix: &'static str) -> Family {
    seeing(prefix).cannot(Features::VISION)
}

/// Hears and speaks. Of JSON nothing is documented.
const fn speaking(prefix: &'static str) -> Family {
    Family::chat(prefix).can(Features::AUDIO).cannot(Features::VISION)
}
