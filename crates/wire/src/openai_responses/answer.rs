//! Writes answers for a caller: the whole response object, and its parts that streams show too.
//! Decides status and echo; item shapes are in [`super::items`]. Tests are below.

use bytes::Bytes;
use serde_json::{Value, json};

use super::seal::{self, Over};
use super::{items, settings};
use crate::Dialect;
use crate::chat::{Choice, Content, FinishReason, Media, Part, Reasoning, Response, Text, ToolCall, Usage};
use crate::dialect::Reply;
use crate::loss::Losses;

/// How an answer ended, or that it has not.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Status {
    InProgress,
    Completed,
    Incomplete(&'static str),
    Failed { code: String, message: String },
}

impl Status {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete(_) => "incomplete",
            Self::Failed { .. } => "failed",
        }
    }

    /// The status of the item that was being written when the answer ended this way.
    pub(super) fn item_word(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::InProgress | Self::Incomplete(_) | Self::Failed { .. } => "incomplete",
        }
    }

    /// The status an end means. An answer without an end is a failure, never a clean one.
    pub(super) fn of(finish: Option<&FinishReason>, refused: bool, losses: &mut Losses) -> Self {
        match finish {
            Some(FinishReason::StopSequence(Some(_))) => {
                losses.dropped("stop_sequence");
                Self::Completed
            }
            Some(FinishReason::Stop | FinishReason::StopSequence(None) | FinishReason::ToolCalls) => Self::Completed,
            Some(FinishReason::Length | FinishReason::ContextWindow) => Self::Incomplete("max_output_tokens"),
            Some(FinishReason::ContentFilter) => Self::Incomplete("content_filter"),
            // With its words shown as a refusal the answer is whole; without them the end must say it.
            Some(FinishReason::Refusal(_)) if refused => Self::Completed,
            Some(FinishReason::Refusal(_)) => Self::Incomplete("content_filter"),
            Some(FinishReason::Pause) => {
                losses.dropped("stop_reason");
                Self::Completed
            }
            Some(FinishReason::Failed(word)) => Self::failed(format!("the model's provider ended the answer: {word}")),
            None => Self::failed("the model's provider gave no end to the answer".into()),
        }
    }

    fn failed(message: String) -> Self {
        Self::Failed { code: "server_error".into(), message }
    }
}

/// What varies in a response object.
pub(super) struct Shown<'a> {
    pub(super) id: &'a str,
    pub(super) created: u64,
    pub(super) status: &'a Status,
    pub(super) output: &'a [Value],
    pub(super) usage: Option<&'a Usage>,
    pub(super) service_tier: Option<&'a str>,
}

/// See [`crate::dialect::ClientDialect::encode_response`].
pub(super) fn encode(response: &Response, reply: &Reply, losses: &mut Losses) -> Bytes {
    let choice = response.choices.first();
    if response.choices.len() > 1 {
        losses.dropped("choices[]");
    }
    let parts = choice.map(|choice| choice.parts.as_slice()).unwrap_or_default();
    let status = Status::of(choice.and_then(|choice| choice.finish.as_ref()), has_refusal(parts), losses);
    let output = choice.map(|choice| output(choice, &status, reply, losses)).unwrap_or_default();
    let shown = Shown {
        id: &response_id(response.id.as_deref(), reply),
        created: response.created.unwrap_or(reply.created),
        status: &status,
        output: &output,
        usage: response.usage.as_ref(),
        service_tier: response.service_tier.as_deref(),
    };
    object(reply, &shown).to_string().into()
}

/// The upstream's id if it is one of this dialect, else ours.
pub(super) fn response_id(upstream: Option<&str>, reply: &Reply) -> String {
    upstream.filter(|id| id.starts_with("resp_")).map_or_else(|| format!("resp_{}", reply.id), str::to_owned)
}

/// The whole response object, with every field the SDKs require and the request's settings echoed.
pub(super) fn object(reply: &Reply, shown: &Shown<'_>) -> Value {
    let request = &*reply.request;
    let (error, incomplete) = match shown.status {
        Status::Failed { code, message } => (json!({"code": code, "message": message}), Value::Null),
        Status::Incomplete(reason) => (Value::Null, json!({"reason": reason})),
        Status::InProgress | Status::Completed => (Value::Null, Value::Null),
    };
    let mut text = settings::text(request);
    text.entry("format").or_insert_with(|| json!({"type": "text"}));
    let reasoning = request.thinking.as_ref().map(settings::reasoning).unwrap_or_default();
    let tools: Vec<Value> = request.tools.iter().filter_map(settings::tool).collect();
    let choice = request.tool_choice.as_ref();
    let extra = |key: &str| request.extra.get(key).cloned().unwrap_or_default();
    json!({
        "id": shown.id,
        "object": "response",
        "created_at": shown.created,
        "status": shown.status.word(),
        "background": false,
        "error": error,
        "incomplete_details": incomplete,
        "instructions": null,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": extra("max_tool_calls"),
        "model": reply.model,
        "output": shown.output,
        "parallel_tool_calls": request.parallel_tool_calls.unwrap_or(true),
        "previous_response_id": null,
        "prompt_cache_key": request.prompt_cache_key,
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "safety_identifier": extra("safety_identifier"),
        "service_tier": shown.service_tier.or(request.service_tier.as_deref()).unwrap_or("default"),
        // A translated answer is kept nowhere, whatever was asked.
        "store": false,
        "temperature": request.sampling.temperature.unwrap_or(1.0),
        "text": text,
        "tool_choice": choice.map_or_else(|| "auto".into(), |choice| settings::tool_choice(choice, &request.tools)),
        "tools": tools,
        "top_logprobs": request.logprobs.and_then(|logprobs| logprobs.top).unwrap_or(0),
        "top_p": request.sampling.top_p.unwrap_or(1.0),
        "truncation": request.extra.get("truncation").cloned().unwrap_or_else(|| "disabled".into()),
        "usage": shown.usage.map(usage),
        "user": request.user,
        "metadata": request.metadata,
    })
}

/// All details are required, so what the provider did not say is zero.
pub(super) fn usage(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input.unwrap_or(0),
        "input_tokens_details": {
            "cached_tokens": usage.cache_read.unwrap_or(0),
            "cache_write_tokens": usage.cache_write.unwrap_or(0),
        },
        "output_tokens": usage.output.unwrap_or(0),
        "output_tokens_details": {"reasoning_tokens": usage.reasoning.unwrap_or(0)},
        "total_tokens": usage.total(),
    })
}

/// The items of an answer.
fn output(choice: &Choice, status: &Status, reply: &Reply, losses: &mut Losses) -> Vec<Value> {
    let logprobs = choice.logprobs.as_ref().and_then(|logprobs| logprobs.get("content")).and_then(Value::as_array);
    let mut output = Output { items: Vec::new(), content: Vec::new(), logprobs, reply, losses };
    let last = choice.parts.len().saturating_sub(1);
    for (at, part) in choice.parts.iter().enumerate() {
        let word = if at == last { status.item_word() } else { "completed" };
        output.part(part, word);
    }
    if let Some(why) = unsaid_refusal(choice.finish.as_ref(), has_refusal(&choice.parts)) {
        output.content.push(items::refusal(why));
    }
    output.said(status.item_word());
    output.items
}

/// Why the model declined, if it said so only at the end: its words stand in the message like any refusal.
pub(super) fn unsaid_refusal(finish: Option<&FinishReason>, refused: bool) -> Option<&str> {
    match finish {
        Some(FinishReason::Refusal(Some(why))) if !refused => Some(why),
        _ => None,
    }
}

fn has_refusal(parts: &[Part]) -> bool {
    parts.iter().any(|part| matches!(part.content, Content::Refusal(_)))
}

struct Output<'a> {
    items: Vec<Value>,
    /// The parts of the message that is being gathered.
    content: Vec<Value>,
    /// Log probabilities, until the first text takes them.
    logprobs: Option<&'a Vec<Value>>,
    reply: &'a Reply,
    losses: &'a mut Losses,
}

impl Output<'_> {
    fn part(&mut self, part: &Part, status: &str) {
        match &part.content {
            Content::Text(text) => self.text(text, part),
            Content::Refusal(words) => self.content.push(items::refusal(words)),
            Content::Reasoning(reasoning) => self.reasoning(reasoning, part),
            Content::ToolCall(call) => self.call(call, part, status),
            Content::Opaque { dialect: Dialect::OpenaiResponses, value, .. } => self.item(value.clone()),
            Content::Opaque { kind, .. } => self.losses.dropped(format!("choices[].message.content[].{kind}")),
            Content::Image(image) => match &image.source {
                Media::Base64 { data, .. } => {
                    let id = self.id("ig");
                    let call =
                        json!({"id": id, "type": "image_generation_call", "status": "completed", "result": data});
                    self.item(call);
                }
                Media::Url(_) | Media::FileId(_) | Media::Text(_) => {
                    self.losses.dropped("choices[].message.images");
                }
            },
            Content::File(_) => self.losses.dropped("choices[].message.file"),
            Content::Audio(_) => self.losses.dropped("choices[].message.audio"),
            Content::ToolResult(_) => self.losses.dropped("choices[].message.content"),
        }
    }

    fn text(&mut self, text: &Text, part: &Part) {
        self.seal_next(part);
        let annotations: Vec<Value> = text.citations.iter().filter_map(items::annotation).collect();
        if annotations.len() < text.citations.len() {
            self.losses.dropped("choices[].message.annotations");
        }
        if text.citations.iter().any(|citation| citation.cited_text.is_some()) {
            self.losses.dropped("choices[].message.annotations[].cited_text");
        }
        let logprobs = self.logprobs.take().map(Vec::as_slice).unwrap_or_default();
        self.content.push(items::output_text(&text.text, &annotations, logprobs));
    }

    fn reasoning(&mut self, reasoning: &Reasoning, part: &Part) {
        let over = if reasoning.redacted { Over::Redacted } else { Over::Thinking };
        let encrypted = part.signature.as_ref().map(|signature| seal::write(signature, over));
        let id = self.id("rs");
        self.item(items::reasoning(Some(&id), &reasoning.text, encrypted.as_deref()));
    }

    fn call(&mut self, call: &ToolCall, part: &Part, status: &str) {
        self.seal_next(part);
        let id = self.id(items::call_prefix(call.kind));
        let call_id = if call.id.is_empty() { self.id("call") } else { call.id.clone() };
        let arguments = items::whole_arguments(call.kind, &call.arguments);
        self.item(items::call(call.kind, &id, status, &call_id, &call.name, arguments));
    }

    /// A seal on a call or a text travels in a reasoning item before it.
    fn seal_next(&mut self, part: &Part) {
        if let Some(signature) = &part.signature {
            let id = self.id("rs");
            self.item(items::reasoning(Some(&id), "", Some(&seal::write(signature, Over::Next))));
        }
    }

    fn item(&mut self, item: Value) {
        self.said("completed");
        self.items.push(item);
    }

    /// Ends the message that is being gathered.
    fn said(&mut self, status: &str) {
        if !self.content.is_empty() {
            let id = format!("msg_{}_{}", self.reply.id, self.items.len());
            let content = std::mem::take(&mut self.content);
            self.items.push(items::message(&id, status, content));
        }
    }

    /// An id for the next item that is no message: one behind the message that is still being gathered.
    fn id(&self, prefix: &str) -> String {
        let position = self.items.len() + usize::from(!self.content.is_empty());
        format!("{prefix}_{}_{position}", self.reply.id)
    }
}

#[cfg(test)]
mod tests;
