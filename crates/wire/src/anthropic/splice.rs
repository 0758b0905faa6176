//! Renames the model in relayed answers: at the top of a body, under `message` in a stream's first frame; and adds usage
//! that is missing. Tests are below.

use bytes::Bytes;
use serde_json::Value;

use super::usage;
use crate::dialect::AnswerSplice;
use crate::splice::{Splice, find, quoted};

/// The edited body or frame; `None` if it is right as it is. Messages always shows usage, so none is ever hidden.
pub(super) fn answer(json: &[u8], splice: &AnswerSplice<'_>) -> Option<Bytes> {
    let mut edits = Splice::default();
    if let Some(model) = splice.model {
        rename(json, quoted(model), &mut edits);
    }
    if let Some(counts) = splice.usage {
        let counts = Value::Object(usage::encode(counts, 0));
        edits.set(json, "usage", &counts.to_string()).ok()?;
    }
    (!edits.is_empty()).then(|| edits.apply(&Bytes::copy_from_slice(json)))
}

fn rename(json: &[u8], wanted: String, edits: &mut Splice) {
    // Most frames of a stream name no model; they are not worth a scan.
    if memchr::memmem::find(json, b"\"model\"").is_none() {
        return;
    }
    let at = |path: &[&str]| find(json, path).ok().flatten();
    if let Some(range) = at(&["message", "model"]).or_else(|| at(&["model"]))
        && let Some(value) = json.get(range.clone())
        && value.starts_with(b"\"")
        && value != wanted.as_bytes()
    {
        edits.replace(range, wanted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(json: &str) -> Option<String> {
        let splice = AnswerSplice { model: Some("auto:fast"), hide_usage: true, ..AnswerSplice::default() };
        answer(json.as_bytes(), &splice).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn a_body_and_a_first_frame_are_renamed_in_place() {
        assert_eq!(
            renamed(r#"{ "model" : "claude-x", "usage":{"input_tokens":1} }"#).as_deref(),
            Some(r#"{ "model" : "auto:fast", "usage":{"input_tokens":1} }"#)
        );
        assert_eq!(
            renamed(r#"{"type":"message_start","message":{"id":"m","model":"claude-x"}}"#).as_deref(),
            Some(r#"{"type":"message_start","message":{"id":"m","model":"auto:fast"}}"#)
        );
    }

    #[test]
    fn missing_usage_is_put_in_and_the_rest_stays() {
        let counts = crate::chat::Usage { input: Some(5), output: Some(2), ..Default::default() };
        let splice = AnswerSplice { usage: Some(&counts), ..AnswerSplice::default() };
        assert_eq!(
            answer(br#"{ "content":[],"x":1e0}"#, &splice).unwrap(),
            &br#"{"usage":{"input_tokens":5,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":2}, "content":[],"x":1e0}"#[..]
        );
    }

    #[test]
    fn frames_without_a_model_or_with_the_right_one_stay_uncopied() {
        assert_eq!(renamed(r#"{"type":"content_block_delta","delta":{"partial_json":"{\"model\":1}"}}"#), None);
        assert_eq!(renamed(r#"{"content":[{"input":{"model":"claude-x"}}]}"#), None);
        assert_eq!(renamed(r#"{"model":"auto:fast"}"#), None);
        assert_eq!(answer(br#"{"model":"x"}"#, &AnswerSplice::default()), None);
    }
}
