//! Reads an upstream's whole answer, and the response objects and items that stream events hold.
//! Decides which items are parts of an answer and how it ended. Tests are below.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::decode_items::citation;
use super::{error, seal};
use crate::Dialect;
use crate::chat::{
    Choice, Content, FinishReason, Part, Reasoning, Response, Served, Signature, Text, ToolCall, ToolKind, Usage,
};
use crate::dialect::Decoded;
use crate::error::{RemoteError, WireError};
use crate::fields::token_count;

type Result<T> = std::result::Result<T, WireError>;

/// See [`crate::dialect::UpstreamDialect::decode_response`].
pub(super) fn decode(body: &[u8]) -> Result<Decoded> {
    let object: Object<'_> = parse(body)?;
    if let Some(error) = object.failure() {
        return Ok(Decoded::Error(error));
    }
    let Some(items) = &object.output else {
        return Err(WireError::invalid("output", "the answer has no `output`"));
    };
    let mut output = Output::default();
    for item in items {
        output.read(item)?;
    }
    let choice = Choice {
        index: 0,
        finish: object.finish(has_calls(&output.parts), has_refusal(&output.parts)),
        logprobs: (!output.logprobs.is_empty()).then(|| logprobs(output.logprobs)),
        parts: output.parts,
    };
    let usage = object.usage();
    Ok(Decoded::Response(Response {
        id: object.id.map(Cow::into_owned),
        model: object.model.map(Cow::into_owned),
        created: object.created_at.as_ref().and_then(token_count),
        choices: vec![choice],
        usage,
        service_tier: object.service_tier.map(Cow::into_owned),
        system_fingerprint: None,
    }))
}

/// A response object; fields that vary in shape between servers are read leniently.
#[derive(Deserialize)]
pub(super) struct Object<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) model: Option<Cow<'a, str>>,
    pub(super) created_at: Option<Value>,
    #[serde(borrow)]
    pub(super) status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    incomplete_details: Option<Value>,
    #[serde(borrow)]
    pub(super) output: Option<Vec<&'a RawValue>>,
    pub(super) usage: Option<Value>,
    #[serde(borrow)]
    service_tier: Option<Cow<'a, str>>,
    /// Servers that say an error without an object.
    code: Option<Value>,
    detail: Option<Value>,
    message: Option<Value>,
}

impl Object<'_> {
    /// What was used, and how it was served.
    pub(super) fn usage(&self) -> Option<Usage> {
        let served = self.service_tier.as_deref().and_then(Served::of);
        Some(Usage { served, ..usage(self.usage.as_ref()?)? })
    }

    /// The error inside, if this is a failed response or no response at all but an error body.
    pub(super) fn failure(&self) -> Option<RemoteError> {
        let status = self.status.as_deref();
        if let Some(raw) = self.error {
            let error = serde_json::from_str(raw.get()).unwrap_or(Value::Null);
            return Some(error::of_body(&json!({"error": error, "code": self.code})));
        }
        if matches!(status, Some("failed" | "cancelled")) {
            let code = status.map(str::to_owned);
            return Some(RemoteError { code, message: "the response failed".into(), ..RemoteError::default() });
        }
        if self.output.is_none() && (self.detail.is_some() || self.message.is_some()) {
            let body = json!({"code": self.code, "detail": self.detail, "message": self.message});
            return Some(error::of_error(&body));
        }
        None
    }

    /// Why the answer ended; `None` while it has not.
    pub(super) fn finish(&self, has_calls: bool, has_refusal: bool) -> Option<FinishReason> {
        match self.status.as_deref() {
            Some("incomplete") => Some(self.incomplete()),
            Some("in_progress" | "queued") => None,
            Some("completed") | None => Some(if has_calls {
                FinishReason::ToolCalls
            } else if has_refusal {
                FinishReason::Refusal(None)
            } else {
                FinishReason::Stop
            }),
            Some(other) => Some(FinishReason::Failed(other.to_owned())),
        }
    }

    pub(super) fn incomplete(&self) -> FinishReason {
        let details = self.incomplete_details.as_ref();
        match details.and_then(|details| details.get("reason")).and_then(Value::as_str) {
            Some("max_output_tokens" | "max_tokens") | None => FinishReason::Length,
            Some("content_filter") => FinishReason::ContentFilter,
            Some(other) => FinishReason::Failed(other.to_owned()),
        }
    }
}

/// Token counts; totals include the cache and reasoning here, as in the neutral form.
fn usage(usage: &Value) -> Option<Usage> {
    usage.as_object()?;
    let count = |pointer: &str| usage.pointer(pointer).and_then(token_count);
    Some(Usage {
        input: count("/input_tokens"),
        output: count("/output_tokens"),
        cache_read: count("/input_tokens_details/cached_tokens"),
        cache_write: count("/input_tokens_details/cache_write_tokens"),
        cache_write_1h: None,
        reasoning: count("/output_tokens_details/reasoning_tokens"),
        audio_input: count("/input_tokens_details/audio_tokens"),
        audio_output: count("/output_tokens_details/audio_tokens"),
        served: None,
    })
}

/// Log probabilities in chat's words.
pub(super) fn logprobs(content: Vec<Value>) -> Value {
    json!({"content": content, "refusal": null})
}

/// The parts of an answer, item by item.
#[derive(Default)]
pub(super) struct Output {
    pub(super) parts: Vec<Part>,
    pub(super) logprobs: Vec<Value>,
    /// A seal over the part that comes next.
    pub(super) next_seal: Option<Signature>,
}

/// An item, read only as far as its type.
#[derive(Deserialize)]
pub(super) struct Tag<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct MessageItem<'a> {
    #[serde(borrow)]
    content: Option<Vec<ContentPart<'a>>>,
}

#[derive(Deserialize)]
struct ContentPart<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    text: Option<String>,
    refusal: Option<String>,
    annotations: Option<Vec<Value>>,
    logprobs: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct ReasoningItem {
    id: Option<String>,
    summary: Option<Vec<Thought>>,
    content: Option<Vec<Thought>>,
    encrypted_content: Option<String>,
}

#[derive(Deserialize)]
struct Thought {
    text: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct CallItem {
    pub(super) call_id: Option<String>,
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) name: String,
    arguments: Option<String>,
    input: Option<String>,
}

impl CallItem {
    /// The id that the result must name; some servers give only the item's.
    pub(super) fn answer_to(&mut self) -> String {
        self.call_id.take().or_else(|| self.id.take()).unwrap_or_default()
    }
}

impl Output {
    /// Reads one item of `output`. Each part of a message is one part here, in order.
    pub(super) fn read(&mut self, item: &RawValue) -> Result<()> {
        let tag: Tag<'_> = parse(item.get().as_bytes())?;
        match &*tag.kind {
            "message" => self.message(item),
            "reasoning" => self.reasoning(item),
            "function_call" => self.call(item, ToolKind::Function),
            "custom_tool_call" => self.call(item, ToolKind::Custom),
            kind => {
                let value = parse(item.get().as_bytes())?;
                let dialect = Dialect::OpenaiResponses;
                self.parts.push(Content::Opaque { dialect, kind: kind.to_owned(), value }.into());
                Ok(())
            }
        }
    }

    fn message(&mut self, item: &RawValue) -> Result<()> {
        let message: MessageItem<'_> = parse(item.get().as_bytes())?;
        for part in message.content.unwrap_or_default() {
            let content = match &*part.kind {
                "refusal" => Content::Refusal(part.refusal.unwrap_or_default()),
                _ => {
                    self.logprobs.extend(part.logprobs.unwrap_or_default());
                    let citations = part.annotations.unwrap_or_default().iter().map(citation).collect();
                    Content::Text(Text { text: part.text.unwrap_or_default(), citations })
                }
            };
            self.parts.push(Part { content, cache: None, signature: self.next_seal.take() });
        }
        Ok(())
    }

    fn reasoning(&mut self, item: &RawValue) -> Result<()> {
        let item: ReasoningItem = parse(item.get().as_bytes())?;
        let texts = |thoughts: Option<Vec<Thought>>| -> Vec<String> {
            thoughts.unwrap_or_default().into_iter().filter_map(|thought| thought.text).collect()
        };
        let summary = texts(item.summary);
        let texts = if summary.is_empty() { texts(item.content) } else { summary };
        let (signature, redacted) = match item.encrypted_content.as_deref().and_then(seal::read) {
            Some((signature, seal::Over::Next)) => {
                self.next_seal = Some(signature);
                return Ok(());
            }
            Some((signature, over)) => (Some(signature), over == seal::Over::Redacted),
            None => (None, false),
        };
        let reasoning = Reasoning { text: texts.join("\n\n"), redacted, id: item.id };
        // Without words or a seal there is nothing to show or to send back.
        if !reasoning.text.is_empty() || signature.is_some() {
            self.parts.push(Part { content: Content::Reasoning(reasoning), cache: None, signature });
        }
        Ok(())
    }

    fn call(&mut self, item: &RawValue, kind: ToolKind) -> Result<()> {
        let mut item: CallItem = parse(item.get().as_bytes())?;
        let id = item.answer_to();
        let arguments = item.arguments.or(item.input).unwrap_or_default();
        let call = ToolCall { id, name: item.name, arguments, kind };
        self.parts.push(Part { content: Content::ToolCall(call), cache: None, signature: self.next_seal.take() });
        Ok(())
    }
}

fn has_calls(parts: &[Part]) -> bool {
    parts.iter().any(|part| matches!(part.content, Content::ToolCall(_)))
}

fn has_refusal(parts: &[Part]) -> bool {
    parts.iter().any(|part| matches!(part.content, Content::Refusal(_)))
}

/// Reads JSON of a known shape; anything else is a syntax error.
pub(super) fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T> {
    serde_json::from_slice(json)
        .map_err(|error| WireError::Syntax { at: error.column(), message: "it is not what the Responses API sends" })
}

#[cfg(test)]
mod tests;
