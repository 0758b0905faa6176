//! The shape of chunks. Decides field order and which fields are null rather than absent; knows nothing of the stream.

use bytes::BytesMut;
use serde::Serialize;
use serde_json::Value;

use crate::chat::{ToolKind, Usage};
use crate::openai_chat::usage::Shown;
use crate::sse;

/// What all chunks of a stream share.
#[derive(Debug)]
pub(super) struct Frames {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: String,
    pub(super) include_usage: bool,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Shown>>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    delta: Delta<'a>,
    logprobs: Option<&'a Value>,
    finish_reason: Option<&'a str>,
}

/// What is new in a choice.
#[derive(Default, Serialize)]
pub(super) struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) annotations: Option<[&'a Value; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_calls: Option<[&'a CallDelta<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_details: Option<&'a [Value]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) audio: Option<&'a Value>,
}

/// A tool call, or a piece of its arguments.
#[derive(Serialize)]
pub(super) struct CallDelta<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<Function<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom: Option<Custom<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<&'a Value>,
}

#[derive(Serialize)]
struct Function<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

#[derive(Serialize)]
struct Custom<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    input: &'a str,
}

/// A call as it begins.
pub(super) struct NamedDelta<'a> {
    pub(super) index: usize,
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) kind: ToolKind,
    pub(super) extra: Option<&'a Value>,
}

impl<'a> CallDelta<'a> {
    pub(super) fn named(call: &NamedDelta<'a>) -> Self {
        let kind = match call.kind {
            ToolKind::Function => "function",
            ToolKind::Custom => "custom",
        };
        let unnamed = Self::new(call.index, call.kind, Some(call.name), "");
        Self { id: Some(call.id), kind: Some(kind), extra_content: call.extra, ..unnamed }
    }

    pub(super) fn arguments(index: usize, kind: ToolKind, text: &'a str) -> Self {
        Self::new(index, kind, None, text)
    }

    fn new(index: usize, kind: ToolKind, name: Option<&'a str>, text: &'a str) -> Self {
        let (function, custom) = match kind {
            ToolKind::Function => (Some(Function { name, arguments: text }), None),
            ToolKind::Custom => (None, Some(Custom { name, input: text })),
        };
        Self { index, id: None, kind: None, function, custom, extra_content: None }
    }
}

impl Frames {
    pub(super) fn delta(&self, choice: u32, delta: Delta<'_>, out: &mut BytesMut) {
        self.choice(Choice { index: choice, delta, logprobs: None, finish_reason: None }, out);
    }

    pub(super) fn call(&self, choice: u32, call: &CallDelta<'_>, out: &mut BytesMut) {
        self.delta(choice, Delta { tool_calls: Some([call]), ..Delta::default() }, out);
    }

    pub(super) fn logprobs(&self, choice: u32, logprobs: &Value, out: &mut BytesMut) {
        let delta = Delta::default();
        self.choice(Choice { index: choice, delta, logprobs: Some(logprobs), finish_reason: None }, out);
    }

    pub(super) fn finish(&self, choice: u32, word: &str, out: &mut BytesMut) {
        let delta = Delta::default();
        self.choice(Choice { index: choice, delta, logprobs: None, finish_reason: Some(word) }, out);
    }

    /// The chunk that ends a stream for callers who asked for usage.
    pub(super) fn usage(&self, usage: &Usage, out: &mut BytesMut) {
        self.send(&[], Some(Some(Shown::from(usage))), out);
    }

    fn choice(&self, choice: Choice<'_>, out: &mut BytesMut) {
        self.send(&[choice], self.include_usage.then_some(None), out);
    }

    fn send(&self, choices: &[Choice<'_>], usage: Option<Option<Shown>>, out: &mut BytesMut) {
        let object = "chat.completion.chunk";
        let chunk = Chunk { id: &self.id, object, created: self.created, model: &self.model, choices, usage };
        // Strings, numbers and maps of them always serialise.
        if let Ok(json) = serde_json::to_vec(&chunk) {
            sse::write(out, None, &json);
        }
    }
}
