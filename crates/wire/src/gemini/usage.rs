//! Gemini's token counts, normalised: its output count leaves the thoughts out and its input count the tool prompts.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::piece::count;
use crate::chat::{Served, Usage};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct UsageMetadata {
    #[serde(deserialize_with = "count")]
    prompt_token_count: Option<u64>,
    #[serde(deserialize_with = "count")]
    tool_use_prompt_token_count: Option<u64>,
    #[serde(deserialize_with = "count")]
    cached_content_token_count: Option<u64>,
    #[serde(deserialize_with = "count")]
    candidates_token_count: Option<u64>,
    #[serde(deserialize_with = "count")]
    thoughts_token_count: Option<u64>,
    #[serde(deserialize_with = "count")]
    total_token_count: Option<u64>,
    prompt_tokens_details: Option<Vec<ModalityCount>>,
    candidates_tokens_details: Option<Vec<ModalityCount>>,
    #[serde(deserialize_with = "word")]
    service_tier: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ModalityCount {
    modality: Option<String>,
    #[serde(deserialize_with = "count")]
    token_count: Option<u64>,
}

/// Reads counts; those of another shape are absent, for no answer is worse for them.
pub(super) fn lenient<'de, D: Deserializer<'de>>(source: D) -> Result<Option<UsageMetadata>, D::Error> {
    let value = Value::deserialize(source)?;
    Ok(if value.is_object() { serde_json::from_value(value).ok() } else { None })
}

impl From<UsageMetadata> for Usage {
    fn from(counts: UsageMetadata) -> Self {
        let input = sum(counts.prompt_token_count, counts.tool_use_prompt_token_count);
        Self {
            input,
            output: sum(counts.candidates_token_count, counts.thoughts_token_count)
                .or_else(|| nothing_written(input, counts.total_token_count)),
            cache_read: counts.cached_content_token_count,
            cache_write: None,
            cache_write_1h: None,
            reasoning: counts.thoughts_token_count,
            audio_input: audio(counts.prompt_tokens_details),
            audio_output: audio(counts.candidates_tokens_details),
            served: counts.service_tier.as_deref().and_then(served),
        }
    }
}

/// A word; of another shape it is absent.
fn word<'de, D: Deserializer<'de>>(source: D) -> Result<Option<String>, D::Error> {
    let value = Value::deserialize(source)?;
    Ok(value.as_str().map(str::to_ascii_lowercase))
}

/// The tier that answered.
fn served(word: &str) -> Option<Served> {
    let word = word.strip_prefix("service_tier_").unwrap_or(word);
    if word == "unspecified" { None } else { Served::of(word) }
}

fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (None, None) => None,
        (one, other) => Some(one.unwrap_or(0).saturating_add(other.unwrap_or(0))),
    }
}

/// Counts of zero are left out on the wire; a total says what they were.
fn nothing_written(input: Option<u64>, total: Option<u64>) -> Option<u64> {
    Some(total?.saturating_sub(input?))
}

fn audio(details: Option<Vec<ModalityCount>>) -> Option<u64> {
    details?
        .into_iter()
        .filter(|detail| detail.modality.as_deref() == Some("AUDIO"))
        .filter_map(|detail| detail.token_count)
        .reduce(u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(json: &str) -> Usage {
        serde_json::from_str::<UsageMetadata>(json).unwrap().into()
    }

    #[test]
    fn output_includes_thoughts_and_input_includes_tool_prompts_and_cache() {
        let usage = usage(
            r#"{"promptTokenCount":100,"cachedContentTokenCount":60,"toolUsePromptTokenCount":7,
                "candidatesTokenCount":20,"thoughtsTokenCount":30,"totalTokenCount":157,
                "promptTokensDetails":[{"modality":"TEXT","tokenCount":90},{"modality":"AUDIO","tokenCount":10}],
                "candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":5}]}"#,
        );
        assert_eq!(
            usage,
            Usage {
                input: Some(107),
                output: Some(50),
                cache_read: Some(60),
                cache_write: None,
                cache_write_1h: None,
                reasoning: Some(30),
                audio_input: Some(10),
                audio_output: Some(5),
                served: None,
            }
        );
        assert_eq!(usage.total(), 157);
    }

    #[test]
    fn the_tier_that_answered_is_told_if_it_is_said() {
        let served = |tier: &str| usage(&format!(r#"{{"promptTokenCount":8,"serviceTier":{tier}}}"#)).served;
        assert_eq!((served(r#""flex""#), served(r#""STANDARD""#)), (Some(Served::Flex), Some(Served::Standard)));
        assert_eq!((served(r#""unspecified""#), served("7"), served("null")), (None, None, None));
    }

    #[test]
    fn a_blocked_prompt_wrote_nothing() {
        let usage = usage(r#"{"promptTokenCount":8,"totalTokenCount":8}"#);
        assert_eq!((usage.input, usage.output), (Some(8), Some(0)));
    }

    #[test]
    fn odd_counts_break_nothing() {
        let odd = usage(
            r#"{"promptTokenCount":-3,"candidatesTokenCount":"12","thoughtsTokenCount":2.0,"cachedContentTokenCount":null}"#,
        );
        assert_eq!((odd.input, odd.output), (None, Some(2)));
        assert_eq!(usage("{}"), Usage::default());
    }
}
