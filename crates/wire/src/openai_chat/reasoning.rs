//! Thoughts and their seals in the extension fields that chat clients and vendors share: `reasoning_details` (as
//! OpenRouter shapes them) and `extra_content.google.thought_signature`. Decides which dialect a seal belongs to, so that
//! a client which echoes its history gives every provider its own seals back, unaltered. Tests are below.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answer::{Text, said};
use crate::Dialect;
use crate::chat::{Content, Part, Reasoning, Signature};

/// One entry of `reasoning_details`, or a block of Anthropic's as `thinking_blocks` holds it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Detail<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow, alias = "thinking")]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    summary: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    format: Option<Text<'a>>,
}

/// The end of a reasoning block, or a block of its own.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seal {
    pub(super) signature: Signature,
    pub(super) redacted: bool,
    pub(super) id: Option<String>,
}

/// A seal whose format is none of ours, kept whole so that it can be written back: chat vendors invent formats freely.
#[derive(Serialize)]
struct Kept<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<&'a str>,
    format: &'a str,
}

impl Detail<'_> {
    /// The readable part.
    pub(super) fn text(&self) -> Option<&str> {
        said(&self.text).or_else(|| said(&self.summary))
    }

    pub(super) fn seal(&self) -> Option<Seal> {
        let data = said(&self.data);
        let text = said(&self.signature).or(data)?;
        // OpenRouter: a missing format means Anthropic's, which was the first.
        let format = said(&self.format).unwrap_or(ANTHROPIC);
        let dialect = dialect(format);
        let seal = if dialect == Dialect::OpenaiChat {
            let kept =
                Kept { kind: said(&self.kind).unwrap_or(ENCRYPTED), data, signature: said(&self.signature), format };
            serde_json::to_string(&kept).ok()?
        } else {
            text.to_owned()
        };
        Some(Seal {
            signature: Signature { dialect, seal },
            redacted: dialect == Dialect::Anthropic && data.is_some(),
            id: said(&self.id).map(str::to_owned),
        })
    }
}

/// The thoughts of one message. `plain` is the same text in the older field, used where the details hold none.
pub(super) fn parts(details: &[Detail<'_>], plain: Option<&str>) -> Vec<Part> {
    let mut blocks = Blocks::default();
    for detail in details {
        blocks.open.push_str(detail.text().unwrap_or_default());
        if let Some(seal) = detail.seal() {
            blocks.close(seal);
        }
    }
    let mut parts = blocks.finish();
    if let Some(plain) = plain {
        tell(&mut parts, plain);
    }
    parts
}

/// Blocks as they are read: text goes to the open one, a seal closes it.
#[derive(Default)]
struct Blocks {
    closed: Vec<Part>,
    open: String,
}

impl Blocks {
    fn close(&mut self, seal: Seal) {
        // A withheld thought has no text, nor has a seal over a call; what is open was thought before it.
        let over_call = seal.signature.dialect == Dialect::Gemini && seal.id.is_some();
        if (seal.redacted || over_call) && !self.open.is_empty() {
            self.closed.push(thought(std::mem::take(&mut self.open)));
        }
        let reasoning = Reasoning { text: std::mem::take(&mut self.open), redacted: seal.redacted, id: seal.id };
        self.closed.push(Part { content: Content::Reasoning(reasoning), cache: None, signature: Some(seal.signature) });
    }

    fn finish(mut self) -> Vec<Part> {
        if !self.open.is_empty() {
            self.closed.push(thought(self.open));
        }
        self.closed
    }
}

/// Gives the plain text to blocks that are all silent.
fn tell(parts: &mut Vec<Part>, plain: &str) {
    let mut silent = parts.iter_mut().filter_map(|part| match &mut part.content {
        Content::Reasoning(reasoning) => Some(reasoning),
        _ => None,
    });
    if silent.by_ref().any(|reasoning| !reasoning.text.is_empty()) {
        return;
    }
    let unsaid = parts.iter_mut().filter(|part| !is_over_call(part)).find_map(|part| match &mut part.content {
        Content::Reasoning(reasoning) if !reasoning.redacted => Some(reasoning),
        _ => None,
    });
    match unsaid {
        Some(reasoning) => plain.clone_into(&mut reasoning.text),
        None => parts.insert(0, thought(plain)),
    }
}

/// A thought without a seal.
pub(super) fn thought(text: impl Into<String>) -> Part {
    Content::Reasoning(Reasoning { text: text.into(), ..Reasoning::default() }).into()
}

/// Google's seal over a tool call.
pub(super) fn thought_signature(seal: &str) -> Signature {
    Signature { dialect: Dialect::Gemini, seal: seal.to_owned() }
}

/// The seal of a tool call, if it is Google's: `extra_content.google.thought_signature`.
pub(super) fn google_seal(signature: Option<&Signature>) -> Option<&str> {
    signature.filter(|signature| signature.dialect == Dialect::Gemini).map(|signature| signature.seal.as_str())
}

/// Moves Google's seals whose entry names a tool call onto that call (OpenRouter hands them out this way).
pub(super) fn seal_calls(parts: &mut Vec<Part>) {
    let (strays, mut kept): (Vec<Part>, Vec<Part>) = parts.drain(..).partition(is_over_call);
    for stray in strays {
        let Content::Reasoning(Reasoning { id: Some(id), .. }) = &stray.content else {
            continue;
        };
        let call = kept.iter_mut().find(|part| matches!(&part.content, Content::ToolCall(call) if call.id == *id));
        match call {
            Some(call) => call.signature = call.signature.take().or(stray.signature),
            None => kept.insert(0, stray),
        }
    }
    *parts = kept;
}

/// Is this nothing but Google's seal over a call, with the call's id for its own?
fn is_over_call(part: &Part) -> bool {
    matches!(&part.content, Content::Reasoning(it) if it.text.is_empty() && it.id.is_some())
        && google_seal(part.signature.as_ref()).is_some()
}

/// The entries of `reasoning_details` that say one block, numbered from `index`.
pub(super) fn details(reasoning: &Reasoning, signature: Option<&Signature>, index: usize) -> Vec<Value> {
    let text = reasoning.text.as_str();
    let Some(Signature { dialect, seal }) = signature else {
        return vec![json!({"type": TEXT, "text": text, "index": index})];
    };
    let encrypted = |format: &str| {
        let mut detail = Map::from_iter([
            ("type".to_owned(), ENCRYPTED.into()),
            ("data".to_owned(), seal.as_str().into()),
            ("format".to_owned(), format.into()),
            ("index".to_owned(), index.into()),
        ]);
        if let Some(id) = &reasoning.id {
            detail.insert("id".to_owned(), id.as_str().into());
        }
        Value::Object(detail)
    };
    let signed =
        |format: &str| json!({"type": TEXT, "text": text, "signature": seal, "format": format, "index": index});
    let summary = json!({"type": SUMMARY, "summary": text, "format": OPENAI, "index": index});
    match dialect {
        Dialect::Anthropic if reasoning.redacted => vec![encrypted(ANTHROPIC)],
        Dialect::Anthropic => vec![signed(ANTHROPIC)],
        Dialect::Gemini if text.is_empty() => vec![encrypted(GOOGLE)],
        Dialect::Gemini => vec![signed(GOOGLE)],
        Dialect::OpenaiResponses if text.is_empty() => vec![encrypted(OPENAI)],
        Dialect::OpenaiResponses => vec![summary, encrypted(OPENAI)],
        Dialect::OpenaiChat => kept_details(reasoning, seal, index),
    }
}

/// The entries for a seal of a format that is none of ours.
fn kept_details(reasoning: &Reasoning, seal: &str, index: usize) -> Vec<Value> {
    let Ok(mut kept) = serde_json::from_str::<Map<String, Value>>(seal) else {
        return Vec::new();
    };
    kept.insert("index".to_owned(), json!(index));
    if let Some(id) = &reasoning.id {
        kept.insert("id".to_owned(), json!(id));
    }
    let mut details = Vec::new();
    if !reasoning.text.is_empty() {
        details.push(json!({"type": TEXT, "text": reasoning.text, "index": index}));
    }
    details.push(Value::Object(kept));
    details
}

const TEXT: &str = "reasoning.text";
const SUMMARY: &str = "reasoning.summary";
const ENCRYPTED: &str = "reasoning.encrypted";

const ANTHROPIC: &str = "anthropic-claude-v1";
const GOOGLE: &str = "google-gemini-v1";
const OPENAI: &str = "openai-responses-v1";

fn dialect(format: &str) -> Dialect {
    match format {
        ANTHROPIC => Dialect::Anthropic,
        GOOGLE => Dialect::Gemini,
        OPENAI => Dialect::OpenaiResponses,
        _ => Dialect::OpenaiChat,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str, redacted: bool, id: Option<&str>, dialect: Dialect, seal: &str) -> Part {
        Part {
            content: Content::Reasoning(Reasoning { text: text.to_owned(), redacted, id: id.map(str::to_owned) }),
            cache: None,
            signature: Some(Signature { dialect, seal: seal.to_owned() }),
        }
    }

    fn read(json: &Value, plain: Option<&str>) -> Vec<Part> {
        let json = json.to_string();
        parts(&serde_json::from_str::<Vec<Detail<'_>>>(&json).unwrap(), plain)
    }

    #[test]
    fn every_seal_comes_back_for_the_dialect_that_made_it() {
        let kept = r#"{"type":"reasoning.encrypted","data":"x1","format":"xai-responses-v1"}"#;
        let blocks = vec![
            block("thought", false, None, Dialect::Anthropic, "sig"),
            block("", false, None, Dialect::Anthropic, "omitted"),
            block("", true, None, Dialect::Anthropic, "redacted"),
            block("plan", false, None, Dialect::Gemini, "g1"),
            block("", false, None, Dialect::Gemini, "g2"),
            block("sum", false, Some("rs_1"), Dialect::OpenaiResponses, "enc"),
            block("why", false, None, Dialect::OpenaiChat, kept),
            thought("open"),
        ];
        let mut written = Vec::new();
        for (index, part) in blocks.iter().enumerate() {
            let Content::Reasoning(reasoning) = &part.content else { unreachable!() };
            written.extend(details(reasoning, part.signature.as_ref(), index));
        }
        assert_eq!(read(&Value::Array(written), Some("ignored")), blocks);
    }

    #[test]
    fn streamed_pieces_kept_as_a_list_are_one_block() {
        let pieces = json!([
            {"type": "reasoning.text", "text": "a", "index": 0},
            {"type": "reasoning.text", "text": "b", "index": 0, "signature": null},
            {"type": "reasoning.text", "signature": "s", "index": 0, "format": "anthropic-claude-v1"},
            {"type": "reasoning.encrypted", "data": "r", "format": "anthropic-claude-v1", "index": 1},
        ]);
        let expected =
            vec![block("ab", false, None, Dialect::Anthropic, "s"), block("", true, None, Dialect::Anthropic, "r")];
        assert_eq!(read(&pieces, None), expected);
    }

    #[test]
    fn blocks_of_anthropics_are_read_as_they_are() {
        let blocks = json!([
            {"type": "thinking", "thinking": "a", "signature": "s"},
            {"type": "redacted_thinking", "data": "r"},
        ]);
        let expected =
            vec![block("a", false, None, Dialect::Anthropic, "s"), block("", true, None, Dialect::Anthropic, "r")];
        assert_eq!(read(&blocks, Some("a")), expected);
    }

    #[test]
    fn silent_blocks_take_their_words_from_the_plain_field() {
        let encrypted = json!([{"type": "reasoning.encrypted", "data": "e", "format": "openai-responses-v1"}]);
        assert_eq!(read(&encrypted, Some("words")), [block("words", false, None, Dialect::OpenaiResponses, "e")]);
        assert_eq!(read(&json!([]), Some("words")), [thought("words")]);
    }
}
