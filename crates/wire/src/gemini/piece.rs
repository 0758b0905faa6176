//! The shape of an answer: a whole body and each frame of a stream are the same object, borrowed from the bytes.
//! Fields nobody reads are skipped; what the fields mean is decided by the rooms beside this one.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::grounding::{CitationMetadata, Grounding};
use super::logprobs::LogprobsResult;
use super::usage::{self, UsageMetadata};
use crate::chat::FinishReason;
use crate::error::WireError;
use crate::fields;

/// Text that is copied only if it holds escapes.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Word<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl Word<'_> {
    pub(super) fn owned(self) -> String {
        self.0.into_owned()
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Piece<'a> {
    #[serde(borrow)]
    pub(super) candidates: Option<Vec<Candidate<'a>>>,
    #[serde(borrow)]
    pub(super) prompt_feedback: Option<PromptFeedback<'a>>,
    #[serde(default, deserialize_with = "usage::lenient")]
    pub(super) usage_metadata: Option<UsageMetadata>,
    #[serde(borrow)]
    pub(super) model_version: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) response_id: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate<'a> {
    pub(super) index: Option<u32>,
    #[serde(borrow)]
    pub(super) content: Option<Content<'a>>,
    #[serde(borrow)]
    pub(super) finish_reason: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) grounding_metadata: Option<Grounding<'a>>,
    #[serde(borrow)]
    pub(super) citation_metadata: Option<CitationMetadata<'a>>,
    #[serde(borrow)]
    pub(super) logprobs_result: Option<LogprobsResult<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Content<'a> {
    #[serde(borrow)]
    pub(super) parts: Option<Vec<RawPart<'a>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawPart<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Word<'a>>,
    pub(super) thought: Option<bool>,
    #[serde(borrow)]
    pub(super) thought_signature: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) function_call: Option<FunctionCall<'a>>,
    #[serde(borrow)]
    pub(super) inline_data: Option<Blob<'a>>,
    #[serde(borrow)]
    pub(super) executable_code: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) code_execution_result: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) file_data: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) tool_call: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) tool_response: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub(super) struct FunctionCall<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Word<'a>>,
    #[serde(borrow)]
    pub(super) name: Word<'a>,
    #[serde(borrow)]
    pub(super) args: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Blob<'a> {
    #[serde(borrow)]
    pub(super) mime_type: Word<'a>,
    #[serde(borrow)]
    pub(super) data: Word<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PromptFeedback<'a> {
    #[serde(borrow)]
    pub(super) block_reason: Option<Word<'a>>,
}

impl Piece<'_> {
    /// The prompt was refused before any candidate was made.
    pub(super) fn is_blocked(&self) -> bool {
        self.prompt_feedback.as_ref().is_some_and(|feedback| feedback.block_reason.is_some())
    }
}

/// Reads the object, or the objects of an array: errors come wrapped in one.
pub(super) fn read(json: &[u8]) -> Result<Vec<Piece<'_>>, WireError> {
    let wrapped = json.trim_ascii_start().first() == Some(&b'[');
    let pieces =
        if wrapped { serde_json::from_slice(json) } else { serde_json::from_slice(json).map(|piece| vec![piece]) };
    pieces.map_err(|error| WireError::Syntax { at: error.column(), message: "it is not a Gemini answer" })
}

/// What a `finishReason` means. `called` says whether the candidate made any function call in the whole answer, because
/// `STOP` covers both. A word that is not known is a failure, never a clean finish.
pub(super) fn finish(word: &str, called: bool) -> FinishReason {
    match word {
        "STOP" if called => FinishReason::ToolCalls,
        "STOP" => FinishReason::Stop,
        "MAX_TOKENS" => FinishReason::Length,
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "MODEL_ARMOR" => {
            FinishReason::ContentFilter
        }
        _ if word.starts_with("IMAGE_") => FinishReason::ContentFilter,

        _ => FinishReason::Failed(word.to_owned()),
    }
}

/// A count in whatever type it was sent; what is no number is absent.
pub(super) fn count<'de, D: Deserializer<'de>>(source: D) -> Result<Option<u64>, D::Error> {
    Value::deserialize(source).map(|value| fields::token_count(&value))
}

/// The JSON text without the spaces between its tokens; numbers and strings stay as they were written.
pub(super) fn compact(json: &str) -> String {
    let mut compacted = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for letter in json.chars() {
        if in_string {
            in_string = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
        } else if letter.is_ascii_whitespace() {
            continue;
        } else {
            in_string = letter == '"';
        }
        compacted.push(letter);
    }
    compacted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finish_reason_has_its_meaning() {
        assert_eq!(finish("STOP", false), FinishReason::Stop);
        assert_eq!(finish("STOP", true), FinishReason::ToolCalls);
        assert_eq!(finish("MAX_TOKENS", true), FinishReason::Length);
        for filtered in ["SAFETY", "RECITATION", "SPII", "IMAGE_SAFETY", "MODEL_ARMOR"] {
            assert_eq!(finish(filtered, true), FinishReason::ContentFilter);
        }
        for failed in [
            "MALFORMED_FUNCTION_CALL",
            "UNEXPECTED_TOOL_CALL",
            "MISSING_THOUGHT_SIGNATURE",
            "OTHER",
            "A_WORD_OF_TOMORROW",
        ] {
            assert_eq!(finish(failed, true), FinishReason::Failed(failed.to_owned()));
        }
    }

    #[test]
    fn compacting_touches_only_the_space_between_tokens() {
        assert_eq!(
            compact("{ \"a b\" : [ 1.10,\n 12345678901234567890123 ], \"q\\\" \\\\\" : \" x \" }"),
            "{\"a b\":[1.10,12345678901234567890123],\"q\\\" \\\\\":\" x \"}"
        );
    }
}
