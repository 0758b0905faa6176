//! Renames the model in relayed answers. Usage is never hidden: this dialect always shows it. Tests are below.

use bytes::Bytes;
use memchr::memmem;

use crate::dialect::AnswerSplice;
use crate::splice::{Splice, find, quoted};

/// See [`crate::dialect::Tap::splice_answer`]. The model stands at the top of a body and in `response` of the
/// events that show the whole response.
pub(super) fn answer(json: &[u8], splice: &AnswerSplice<'_>) -> Option<Bytes> {
    let model = splice.model?;
    // Nearly all frames are deltas, which name no model.
    memmem::find(json, b"\"model\"")?;
    let literal = quoted(model);
    let mut edits = Splice::default();
    for path in [&["model"][..], &["response", "model"]] {
        if let Ok(Some(range)) = find(json, path)
            && let Some(value) = json.get(range.clone())
            && value.starts_with(b"\"")
            && value != literal.as_bytes()
        {
            edits.replace(range, literal.clone());
        }
    }
    let original = Bytes::copy_from_slice(json);
    let edited = edits.apply(&original);
    (edited != original).then_some(edited)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rename(json: &[u8]) -> Option<Bytes> {
        answer(json, &AnswerSplice { model: Some("fast"), hide_usage: true, usage: None })
    }

    #[test]
    fn the_model_is_renamed_in_bodies_and_in_whole_response_events_only() {
        assert_eq!(rename(br#"{"id":"resp_1", "model":"gpt-5"}"#).unwrap(), r#"{"id":"resp_1", "model":"fast"}"#);
        assert_eq!(
            rename(br#"{"type":"response.created","response":{"model" : "gpt-5","usage":null}}"#).unwrap(),
            r#"{"type":"response.created","response":{"model" : "fast","usage":null}}"#
        );
        assert_eq!(rename(br#"{"type":"response.output_text.delta","delta":"\"model\""}"#), None);
        assert_eq!(rename(br#"{"item":{"model":"gpt-5"}}"#), None);
        assert_eq!(rename(br#"{"model":null}"#), None);
    }

    #[test]
    fn nothing_changes_when_the_name_is_right_or_none_is_wanted() {
        assert_eq!(rename(br#"{"model":"fast"}"#), None);
        assert_eq!(answer(br#"{"model":"a"}"#, &AnswerSplice::default()), None);
    }
}
