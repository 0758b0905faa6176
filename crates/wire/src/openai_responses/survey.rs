//! Reads what accounting needs from an answer that is relayed as it is, and nothing else. Tests are below.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::response::{Object, parse};
use crate::dialect::Survey;
use crate::error::WireError;

/// See [`crate::dialect::Tap::survey_response`].
pub(super) fn survey(body: &[u8]) -> Result<Survey, WireError> {
    let object: Object<'_> = parse(body)?;
    let error = object.failure();
    if object.output.is_none() && error.is_none() {
        return Err(WireError::invalid("output", "the answer has no `output`"));
    }
    let output_bytes = object.output.iter().flatten().map(|item| size(item)).sum();
    Ok(Survey { usage: object.usage(), error, output_bytes })
}

/// An item's texts, wherever its type keeps them. Items of other shapes count for nothing.
#[derive(Deserialize)]
struct Texts<'a> {
    #[serde(borrow, default)]
    arguments: Cow<'a, str>,
    #[serde(borrow, default)]
    input: Cow<'a, str>,
    #[serde(borrow)]
    content: Option<Vec<Piece<'a>>>,
    #[serde(borrow)]
    summary: Option<Vec<Piece<'a>>>,
}

#[derive(Deserialize)]
struct Piece<'a> {
    #[serde(borrow, default)]
    text: Cow<'a, str>,
    #[serde(borrow, default)]
    refusal: Cow<'a, str>,
}

fn size(item: &RawValue) -> u64 {
    let Ok(texts) = serde_json::from_str::<Texts<'_>>(item.get()) else {
        return 0;
    };
    let pieces = texts.content.iter().chain(&texts.summary).flatten();
    let pieces: usize = pieces.map(|piece| piece.text.len() + piece.refusal.len()).sum();
    (texts.arguments.len() + texts.input.len() + pieces) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_and_sizes_are_read_and_the_rest_is_skipped() {
        let survey =
            survey(include_bytes!("../../tests/golden/chat/openai_responses/parallel_tools.response.json")).unwrap();
        let usage = survey.usage.unwrap();
        assert_eq!((usage.input, usage.output, usage.reasoning), (Some(312), Some(93), Some(40)));
        assert_eq!(survey.error, None);
        let expected = "I'll look up both.".len() + 2 * r#"{"city":"Paris"}"#.len() - 1;
        assert_eq!(survey.output_bytes, expected as u64);
    }

    #[test]
    fn an_error_dressed_as_an_answer_is_seen_and_other_json_is_refused() {
        let failed = survey(
            br#"{"object":"response","status":"failed","error":{"code":"server_error","message":"x"},"output":[]}"#,
        );
        assert_eq!(failed.unwrap().error.unwrap().code.as_deref(), Some("server_error"));
        let error = survey(br#"{"error":{"message":"no","type":"server_error","param":null,"code":null}}"#);
        assert_eq!(error.unwrap().error.unwrap().message, "no");
        assert!(survey(b"{}").is_err());
        assert!(survey(b"<html></html>").is_err());
    }
}
