//! Renames the model in relayed answers and adds usage that is missing. Usage is never hidden: this dialect always
//! shows it. Tests are below.

use bytes::Bytes;
use memchr::memmem;

use super::answer::usage;
use crate::dialect::AnswerSplice;
use crate::splice::{Splice, find, quoted};

/// See [`crate::dialect::Tap::splice_answer`]. The model stands at the top of a body and in `response` of the
/// events that show the whole response.
pub(super) fn answer(json: &[u8], splice: &AnswerSplice<'_>) -> Option<Bytes> {
    let mut edits = Splice::default();
    if let Some(model) = splice.model {
        rename(json, &quoted(model), &mut edits);
    }
    if let Some(counts) = splice.usage {
        edits.set(json, "usage", &usage(counts).to_string()).ok()?;
    }
    (!edits.is_empty()).then(|| edits.apply(&Bytes::copy_from_slice(json)))
}

fn rename(json: &[u8], literal: &str, edits: &mut Splice) {
    // Nearly all frames are deltas, which name no model.
    if memmem::find(json, b"\"model\"").is_none() {
        return;
    }
    for path in [&["model"][..], &["response", "model"]] {
        if let Ok(Some(range)) = find(json, path)
            && let Some(value) = json.get(range.clone())
            && value.starts_with(b"\"")
            && value != literal.as_bytes()
        {
            edits.replace(range, literal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rename(json: &[u8]) -> Option<Bytes> {
        answer(json, &AnswerSplice { model: Some("fast"), hide_usage: true, ..AnswerSplice::default() })
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
    fn missing_usage_is_put_in_and_the_rest_stays() {
        let counts = crate::chat::Usage { input: Some(5), output: Some(2), ..Default::default() };
        let splice = AnswerSplice { usage: Some(&counts), ..AnswerSplice::default() };
        let edited = answer(br#"{"id":"resp_1", "usage":null,"x":1e0}"#, &splice).unwrap();
        let usage = r#"{"input_tokens":5,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},"output_tokens":2,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":7}"#;
        assert_eq!(edited, format!("{{\"id\":\"resp_1\", \"usage\":{usage},\"x\":1e0}}"));
    }

    #[test]
    fn nothing_changes_when_the_name_is_right_or_none_is_wanted() {
        assert_eq!(rename(br#"{"model":"fast"}"#), None);
        assert_eq!(answer(br#"{"model":"a"}"#, &AnswerSplice::default()), None);
    }
}
