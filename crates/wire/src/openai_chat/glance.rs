//! The edits to a chunk of a relayed stream without a scan of it, for chunks as nearly every provider writes them: one model,
//! at the top and before anything nested, and no usage but a last `null`. Decides only whether a chunk is so; any other is
//! left to the scan. Tests are below.

use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;
use memchr::memmem::Finder;

use crate::dialect::AnswerSplice;
use crate::splice::quoted;

// To get ready for a search costs more than to look through a chunk.
static MODEL: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"model\""));
static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"usage\""));
/// A name may hide behind it.
static ESCAPED: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\\u"));
const NO_USAGE: &[u8] = b",\"usage\":null}";

/// What the scan would make of valid JSON: `Some(None)` if nothing has to change. `None`: it has to be scanned.
pub(super) fn edited(json: &[u8], splice: &AnswerSplice<'_>) -> Option<Option<Bytes>> {
    let has = |bytes: &[u8], word: &Finder<'_>| word.find(bytes).is_some();
    if splice.usage.is_some() || has(json, &ESCAPED) {
        return None;
    }
    let idle = splice.hide_usage && json.ends_with(NO_USAGE);
    let (kept, brace) = if idle { (json.get(..json.len() - NO_USAGE.len())?, "}") } else { (json, "") };
    if splice.hide_usage && has(kept, &USAGE) {
        return None;
    }
    let name = splice.model.filter(|_| has(kept, &MODEL));
    let Some(name) = name else {
        return Some(idle.then(|| [kept, brace.as_bytes()].concat().into()));
    };
    let at = MODEL.find(kept)?;
    let (before, behind) = (kept.get(..at)?, kept.get(at + MODEL.needle().len()..)?);
    let nested = before.get(1..).is_none_or(|inside| memchr2(b'{', b'[', inside).is_some());
    let is_key = before.ends_with(b",") || before == b"{";
    if nested || !is_key || has(behind, &MODEL) {
        return None;
    }
    let value = behind.strip_prefix(b":\"")?;
    let end = memchr2(b'"', b'\\', value).filter(|end| value.get(*end) == Some(&b'"'))?;
    let shown = quoted(name);
    if !idle && shown.get(1..shown.len() - 1)?.as_bytes() == value.get(..end)? {
        return Some(None);
    }
    let start = at + MODEL.needle().len() + 1;
    let mut edited = BytesMut::with_capacity(kept.len() + shown.len());
    for piece in [kept.get(..start)?, shown.as_bytes(), kept.get(start + end + 2..)?, brace.as_bytes()] {
        edited.extend_from_slice(piece);
    }
    Some(Some(edited.freeze()))
}

#[cfg(test)]
mod tests {
    use super::super::splice::scanned;
    use super::*;

    const NAMES: [&str; 3] = ["auto:fast", "x", "a\"b\\c"];

    fn splices() -> impl Iterator<Item = AnswerSplice<'static>> {
        let names = NAMES.into_iter().map(Some).chain([None]);
        names.flat_map(|model| [true, false].map(|hide_usage| AnswerSplice { model, hide_usage, usage: None }))
    }

    #[test]
    fn a_glance_says_what_the_scan_says_or_nothing() {
        let chunks = [
            r#"{"id":"c","model":"auto:fast","choices":[{"delta":{"content":"a \"model\" and its \"usage\""}}]}"#,
            r#"{"id":"c","object":"o","created":1,"model":"x-2026","choices":[{"delta":{"content":"b"}}],"usage":null}"#,
            r#"{"model":"x","choices":[],"usage":null}"#,
            r#"{"model":"x","choices":[],"usage":null }"#,
            r#"{"model":"x","usage":{"prompt_tokens":1},"choices":[1]}"#,
            r#"{"model":"x","choices":[{"usage":1}],"usage":null}"#,
            r#"{"model" : "auto:fast","choices":[]}"#,
            r#"{"model":"auto:faster","choices":[]}"#,
            r#"{"mod\u0065l":"x","choices":[]}"#,
            r#"{"model":"y","us\u0061ge":{"prompt_tokens":1},"choices":[1]}"#,
            r#"{"model":"a\"b","choices":[1]}"#,
            r#"{"choices":[{"model":"y"}],"model":"x"}"#,
            r#"{"choices":[{"delta":{"model":"y"}}]}"#,
            r#"{"a":{"model":"y"},"b":1}"#,
            r#"{"choices":["model"],"model":"y"}"#,
            r#"{"a":"model","model":"y"}"#,
            r#"{"a":"model"}"#,
            r#"{"choices":[1],"usage":null}"#,
            r#"{"model":null,"choices":[1]}"#,
            r#"{"model":"y"}"#,
            r#"{}"#,
        ];
        for splice in splices() {
            for chunk in chunks {
                if let Some(glanced) = edited(chunk.as_bytes(), &splice) {
                    assert_eq!(glanced, scanned(chunk.as_bytes(), &splice), "{chunk} {splice:?}");
                }
            }
        }
    }

    #[test]
    fn the_chunks_of_providers_are_not_scanned() {
        let usual = [
            r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-5-2026","choices":[{"index":0,"delta":{"content":"a"}}],"usage":null}"#,
            r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"auto:fast","choices":[{"index":0,"delta":{"content":"a"}}]}"#,
        ];
        for chunk in usual {
            let splice = AnswerSplice { model: Some("auto:fast"), hide_usage: true, usage: None };
            assert!(edited(chunk.as_bytes(), &splice).is_some(), "{chunk}");
        }
    }
}
