//! Token counts as OpenAI and the vendors that follow it report them, read leniently, and as callers are shown them.
//! Decides what counts as input and output. Tests are below.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize as Read, Serialize};
use serde_json::value::RawValue;

use crate::chat::Usage;

/// A number as [`crate::fields::token_count`] reads it, without a document: anything that is no number is absent,
/// and so is what is negative or has a fraction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) Option<u64>);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

struct CountVisitor;

impl<'de> Visitor<'de> for CountVisitor {
    type Value = Count;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a count")
    }

    fn visit_u64<E>(self, value: u64) -> Result<Count, E> {
        Ok(Count(Some(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Count, E> {
        Ok(Count(u64::try_from(value).ok()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Count, E> {
        Ok(Count((value >= 0.0 && value.fract() == 0.0).then(|| value.min(9.0e15) as u64)))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Count, E> {
        Ok(Count(None))
    }

    fn visit_str<E>(self, _: &str) -> Result<Count, E> {
        Ok(Count(None))
    }

    fn visit_unit<E>(self) -> Result<Count, E> {
        Ok(Count(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Count, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Count(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Count, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Count(None))
    }
}

/// A `usage` object of chat completions, legacy completions or embeddings.
#[derive(Clone, Debug, Default, Read)]
#[serde(default)]
pub(crate) struct Reported {
    prompt_tokens: Count,
    completion_tokens: Count,
    total_tokens: Count,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's older word for cached tokens.
    prompt_cache_hit_tokens: Count,
}

/// Reads a `usage` field; one of another shape is absent, for no answer is worse for it.
pub(crate) fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Reported>, D::Error> {
    let raw = Option::<&RawValue>::deserialize(deserializer)?;
    Ok(raw.and_then(|raw| serde_json::from_str(raw.get()).ok()))
}

#[derive(Clone, Debug, Default, Read)]
#[serde(default)]
struct PromptDetails {
    cached_tokens: Count,
    cache_write_tokens: Count,
    audio_tokens: Count,
}

#[derive(Clone, Debug, Default, Read)]
#[serde(default)]
struct CompletionDetails {
    reasoning_tokens: Count,
    audio_tokens: Count,
}

impl Reported {
    /// The neutral counts; `None` if the object says nothing.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let prompt = self.prompt_tokens_details.clone().unwrap_or_default();
        let completion = self.completion_tokens_details.clone().unwrap_or_default();
        let usage = Usage {
            input: self.prompt_tokens.0,
            output: self.output(completion.reasoning_tokens.0),
            cache_read: prompt.cached_tokens.0.or(self.prompt_cache_hit_tokens.0),
            cache_write: prompt.cache_write_tokens.0,
            cache_write_1h: None,
            reasoning: completion.reasoning_tokens.0,
            audio_input: prompt.audio_tokens.0,
            audio_output: completion.audio_tokens.0,
            served: None,
        };
        (usage != Usage::default()).then_some(usage)
    }

    /// xAI leaves reasoning out of `completion_tokens`; the total gives it away.
    fn output(&self, reasoning: Option<u64>) -> Option<u64> {
        let (Some(written), Some(reasoning)) = (self.completion_tokens.0, reasoning) else {
            return self.completion_tokens.0;
        };
        let both = written.saturating_add(reasoning);
        let total = self.prompt_tokens.0.unwrap_or(0).saturating_add(both);
        if self.total_tokens.0 == Some(total) { Some(both) } else { Some(written) }
    }
}

/// Usage as a caller sees it. Details are shown only where they are known.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens_details: Option<ShownPrompt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<ShownCompletion>,
}

#[derive(Debug, Serialize)]
struct ShownPrompt {
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_tokens: Option<u64>,
}

#[derive(Debug, Serialize)]
struct ShownCompletion {
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio_tokens: Option<u64>,
}

impl From<&Usage> for Shown {
    fn from(usage: &Usage) -> Self {
        let prompt = usage.cache_read.or(usage.cache_write).or(usage.audio_input);
        let completion = usage.reasoning.or(usage.audio_output);
        Self {
            prompt_tokens: usage.input.unwrap_or(0),
            completion_tokens: usage.output.unwrap_or(0),
            total_tokens: usage.total(),
            prompt_tokens_details: prompt.map(|_| ShownPrompt {
                cached_tokens: usage.cache_read,
                cache_write_tokens: usage.cache_write,
                audio_tokens: usage.audio_input,
            }),
            completion_tokens_details: completion
                .map(|_| ShownCompletion { reasoning_tokens: usage.reasoning, audio_tokens: usage.audio_output }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<Usage> {
        serde_json::from_str::<Reported>(json).unwrap().usage()
    }

    #[test]
    fn odd_counts_never_break_the_reading() {
        let usage = read(
            r#"{"prompt_tokens":-3,"completion_tokens":2.0,"total_tokens":"x","prompt_tokens_details":{"cached_tokens":null,"audio_tokens":[1]}}"#,
        );
        let expected = Usage { output: Some(2), ..Usage::default() };
        assert_eq!(usage, Some(expected));
        assert_eq!(read(r#"{"prompt_tokens":7.5,"completion_tokens":{"a":1}}"#), None);
    }

    #[test]
    fn reasoning_left_out_of_the_completion_is_added_only_if_the_total_says_so() {
        let with = |total: u64| {
            read(&format!(
                r#"{{"prompt_tokens":10,"completion_tokens":5,"total_tokens":{total},"completion_tokens_details":{{"reasoning_tokens":3}}}}"#
            ))
            .unwrap()
            .output
        };
        assert_eq!(with(15), Some(5));
        assert_eq!(with(18), Some(8));
    }

    #[test]
    fn shown_usage_reads_back_as_it_was_and_adds_up() {
        let usage = Usage {
            input: Some(20),
            output: Some(9),
            cache_read: Some(4),
            cache_write: Some(3),
            cache_write_1h: None,
            reasoning: Some(2),
            audio_input: None,
            audio_output: Some(1),
            served: None,
        };
        let json = serde_json::to_string(&Shown::from(&usage)).unwrap();
        assert!(json.contains(r#""total_tokens":29"#));
        assert_eq!(read(&json), Some(usage));
    }

    #[test]
    fn deepseeks_cache_hits_count_as_cached() {
        let usage = read(r#"{"prompt_tokens":9,"prompt_cache_hit_tokens":8}"#).unwrap();
        assert_eq!(usage.cache_read, Some(8));
    }
}
