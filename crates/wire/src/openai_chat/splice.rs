//! Edits to relayed answers: the model's name, usage the caller did not ask for, usage the upstream did not give.
//! One scan, no document; everything else stays as the upstream wrote it. Serves chat and what shares its envelope.
//! Tests are below.

use std::ops::Range;

use bytes::Bytes;

use super::glance;
use super::usage::{Reported, Shown};
use crate::chat::Usage;
use crate::dialect::AnswerSplice;
use crate::error::WireError;
use crate::scan::{Kind, Scanner};
use crate::splice::{Splice, quoted};

/// See [`crate::dialect::Tap::splice_answer`].
pub(crate) fn answer(json: &[u8], splice: &AnswerSplice<'_>) -> Option<Bytes> {
    if splice.model.is_none() && splice.usage.is_none() && !splice.hide_usage {
        return None;
    }
    if let Some(edited) = glance::edited(json, splice) {
        return edited;
    }
    scanned(json, splice)
}

/// The same by a scan.
pub(super) fn scanned(json: &[u8], splice: &AnswerSplice<'_>) -> Option<Bytes> {
    // `[DONE]` and garbled bytes pass as they are; the decoder beside the relay judges them.
    let seen = Seen::look(json).ok()?;
    if splice.hide_usage && seen.choices == Some(Choices::None) && seen.usage_kind == Some(Kind::Object) {
        return Some(Bytes::new());
    }
    let mut edits = Edits::default();
    edits.model(json, &seen, splice.model);
    if splice.hide_usage {
        edits.drop_usage(json, &seen);
    } else if let Some(usage) = splice.usage
        && seen.choices.is_some()
        && !seen.reported(json).is_some_and(|reported| reported.is_complete())
    {
        edits.put_usage(&seen, &serde_json::to_string(&Shown::from(usage)).ok()?);
    }
    edits.apply(json)
}

/// What stands at the top of an answer.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    model: Option<Range<usize>>,
    usage: Option<Range<usize>>,
    usage_kind: Option<Kind>,
    /// From the comma before `usage`, or from its key if it is the first.
    usage_member: Option<Range<usize>>,
    choices: Option<Choices>,
    /// `data`, which embeddings have in place of choices.
    pub(crate) has_data: bool,
    /// Just behind the last member, and whether there is one.
    end: usize,
    empty: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choices {
    None,
    Some,
}

impl Seen {
    pub(crate) fn look(json: &[u8]) -> Result<Self, WireError> {
        Scanner::document(json, |scanner| {
            let mut seen = Self { end: scanner.offset() + 1, empty: true, ..Self::default() };
            scanner.object(|scanner, key| seen.member(scanner, key))?;
            Ok(seen)
        })
    }

    fn member(&mut self, scanner: &mut Scanner<'_>, key: &str) -> Result<(), WireError> {
        let (before, kind) = (self.end, scanner.kind()?);
        let value = match key {
            "choices" if kind == Kind::Array => {
                let start = scanner.offset();
                let mut choices = Choices::None;
                scanner.array(|scanner, _| {
                    choices = Choices::Some;
                    scanner.skip().map(drop)
                })?;
                self.choices = Some(choices);
                start..scanner.offset()
            }
            _ => scanner.skip()?,
        };
        self.end = value.end;
        self.empty = false;
        match key {
            "model" if kind == Kind::String => self.model = Some(value),
            "data" if kind == Kind::Array => self.has_data = true,
            "usage" => {
                self.usage_member = Some(before..value.end);
                self.usage_kind = Some(kind);
                self.usage = Some(value);
            }
            _ => {}
        }
        Ok(())
    }

    /// The usage the upstream gave, if it can be read.
    pub(crate) fn reported(&self, json: &[u8]) -> Option<Usage> {
        let value = json.get(self.usage.clone()?)?;
        serde_json::from_slice::<Reported>(value).ok()?.usage()
    }
}

/// The edits to one answer.
#[derive(Default)]
pub(crate) struct Edits {
    splice: Splice,
    any: bool,
}

impl Edits {
    pub(crate) fn model(&mut self, json: &[u8], seen: &Seen, name: Option<&str>) {
        if let (Some(name), Some(at)) = (name, &seen.model) {
            let shown = quoted(name);
            if json.get(at.clone()) != Some(shown.as_bytes()) {
                self.replace(at.clone(), shown);
            }
        }
    }

    /// Takes the member out with one comma: the one before it, or the one after it if it comes first.
    fn drop_usage(&mut self, json: &[u8], seen: &Seen) {
        let Some(member) = seen.usage_member.clone() else {
            return;
        };
        let is_first = json.get(member.clone()).is_none_or(|bytes| !bytes.trim_ascii_start().starts_with(b","));
        let rest = json.get(member.end..).unwrap_or_default();
        let blanks = rest.len() - rest.trim_ascii_start().len();
        let has_comma = is_first && rest.get(blanks) == Some(&b',');
        let end = if has_comma { member.end + blanks + 1 } else { member.end };
        self.replace(member.start..end, String::new());
    }

    /// Puts usage in the place of what is there, or behind everything else.
    pub(crate) fn put_usage(&mut self, seen: &Seen, usage: &str) {
        match &seen.usage {
            Some(at) => self.replace(at.clone(), usage.to_owned()),
            None => {
                let comma = if seen.empty { "" } else { "," };
                self.replace(seen.end..seen.end, format!("{comma}\"usage\":{usage}"));
            }
        }
    }

    /// The edited answer; `None` if nothing had to change.
    pub(crate) fn apply(self, json: &[u8]) -> Option<Bytes> {
        self.any.then(|| self.splice.apply(&Bytes::copy_from_slice(json)))
    }

    fn replace(&mut self, at: Range<usize>, with: String) {
        self.any = true;
        self.splice.replace(at, with);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spliced(json: &str, hide_usage: bool) -> Option<String> {
        let splice = AnswerSplice { model: Some("auto:fast"), hide_usage, usage: None };
        answer(json.as_bytes(), &splice).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    fn filled(json: &str) -> Option<String> {
        let usage = Usage { input: Some(7), output: Some(2), ..Usage::default() };
        let splice = AnswerSplice { usage: Some(&usage), ..AnswerSplice::default() };
        answer(json.as_bytes(), &splice).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn only_the_models_name_changes() {
        let chunk = r#"{ "model":"gpt-x","choices":[{"delta":{"content":"\u00e9","model":"y"}}], "n":1e0}"#;
        assert_eq!(spliced(chunk, true).unwrap(), chunk.replace("gpt-x", "auto:fast"));
    }

    #[test]
    fn a_right_answer_a_terminal_mark_and_garbage_are_left_alone() {
        for json in [r#"{"model":"auto:fast","choices":[1]}"#, "[DONE]", "{", r#"{"model":null}"#] {
            assert_eq!(spliced(json, true), None, "{json}");
        }
    }

    #[test]
    fn a_usage_chunk_is_hidden_only_if_the_caller_did_not_ask_for_it() {
        let chunk = r#"{"model":"auto:fast","choices":[],"usage":{"prompt_tokens":1}}"#;
        assert_eq!(spliced(chunk, true).as_deref(), Some(""));
        assert_eq!(spliced(chunk, false), None);
    }

    #[test]
    fn filter_results_without_choices_are_no_usage_chunk() {
        let chunk = r#"{"choices":[],"model":"auto:fast","prompt_filter_results":[]}"#;
        assert_eq!(spliced(chunk, true), None);
    }

    #[test]
    fn unasked_usage_leaves_other_chunks_with_one_comma_wherever_it_stands() {
        let bare = r#"{"model":"auto:fast","choices":[{"index":0}]}"#;
        for usage in ["null", r#"{"prompt_tokens":1,"x":[1,2]}"#] {
            for chunk in [
                format!(r#"{{"model":"auto:fast","choices":[{{"index":0}}],"usage":{usage}}}"#),
                format!(r#"{{"model":"auto:fast" , "usage" : {usage},"choices":[{{"index":0}}]}}"#),
                format!(r#"{{"usage":{usage} ,"model":"auto:fast","choices":[{{"index":0}}]}}"#),
            ] {
                let left = spliced(&chunk, true).unwrap();
                assert_eq!(left.replace(' ', ""), bare, "{chunk}");
                assert_eq!(spliced(&chunk, false), None);
            }
        }
        assert_eq!(spliced(r#"{ "usage":null }"#, true).unwrap().replace(' ', ""), "{}");
    }

    #[test]
    fn a_whole_answer_gets_the_usage_it_lacks() {
        let shown = r#"{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}"#;
        let expected = format!(r#"{{"choices":[{{}}],"usage":{shown}}}"#);
        for lacking in [
            r#"{"choices":[{}]}"#,
            r#"{"choices":[{}],"usage":null}"#,
            r#"{"choices":[{}],"usage":{}}"#,
            r#"{"choices":[{}],"usage":{"prompt_tokens":7,"completion_tokens":null}}"#,
            r#"{"choices":[{}],"usage":"none"}"#,
        ] {
            assert_eq!(filled(lacking).as_deref(), Some(&*expected), "{lacking}");
        }
        assert_eq!(filled(r#"{"choices":[{}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#), None);
        assert_eq!(filled(r#"{"error":{"message":"no"}}"#), None);
    }
}
