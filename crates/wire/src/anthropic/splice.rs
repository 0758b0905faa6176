//! Renames the model in relayed answers: at the top of a body, under `message` in a stream's first frame.

use bytes::Bytes;

use crate::dialect::AnswerSplice;
use crate::splice::{Splice, find, quoted};

/// The edited body or frame; `None` if it is right as it is. Messages always shows usage, so none is ever hidden.
pub(super) fn answer(json: &[u8], splice: &AnswerSplice<'_>) -> Option<Bytes> {
    let model = splice.model?;
    // Most frames of a stream name no model; they are not worth a scan.
    memchr::memmem::find(json, b"\"model\"")?;
    let range = find(json, &["message", "model"]).ok()?.or_else(|| find(json, &["model"]).ok().flatten())?;
    let wanted = quoted(model);
    if json.get(range.clone()) == Some(wanted.as_bytes()) {
        return None;
    }
    let mut edit = Splice::default();
    edit.replace(range, wanted);
    Some(edit.apply(&Bytes::copy_from_slice(json)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(json: &str) -> Option<String> {
        let splice = AnswerSplice { model: Some("auto:fast"), hide_usage: true, usage: None };
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
    fn frames_without_a_model_or_with_the_right_one_stay_uncopied() {
        assert_eq!(renamed(r#"{"type":"content_block_delta","delta":{"partial_json":"{\"model\":1}"}}"#), None);
        assert_eq!(renamed(r#"{"content":[{"input":{"model":"claude-x"}}]}"#), None);
        assert_eq!(renamed(r#"{"model":"auto:fast"}"#), None);
        assert_eq!(answer(br#"{"model":"x"}"#, &AnswerSplice::default()), None);
    }
}
