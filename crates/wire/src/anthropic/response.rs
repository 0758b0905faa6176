//! Whole answers: read from an upstream, drawn for a client, surveyed while relayed. Tests: here.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::blocks::{self, Strays};
use super::encode_request::block_id;
use super::finish::{self, Stop};
use super::lenient::Text as Lenient;
use super::{error, usage};
use crate::Dialect;
use crate::chat::{
    Choice, Citation, Content, FinishReason, Part, Reasoning, Response, Signature, Text, ToolCall, ToolKind,
};
use crate::dialect::{Decoded, Reply, Survey};
use crate::error::WireError;
use crate::fields::Fields;
use crate::loss::Losses;

/// Reads an answer or an error object.
pub(super) fn decode(body: &[u8]) -> Result<Decoded, WireError> {
    let mut fields = Fields::parse(body)?;
    if fields.peek("type").and_then(Value::as_str) == Some("error") || fields.peek("error").is_some() {
        return Ok(Decoded::Error(error::decode(body)));
    }
    let content = fields.array("content")?.ok_or_else(not_an_answer)?;
    let mut parts = Vec::with_capacity(content.len());
    for (block, path) in content {
        let part = blocks::part(block, &path, &mut Strays::new())?;
        if part != Part::text("") {
            parts.push(part);
        }
    }
    let reason = fields.string("stop_reason")?;
    let sequence = fields.string("stop_sequence")?;
    let details = fields.take("stop_details");
    let finish = reason.map(|reason| match finish::decode(&reason, sequence, details.as_ref()) {
        // The only call was the tool that stands for a JSON answer.
        FinishReason::ToolCalls if !calls(&parts) => FinishReason::Stop,
        other => other,
    });
    let counts = fields.take("usage");
    Ok(Decoded::Response(Response {
        id: fields.string("id")?,
        model: fields.string("model")?,
        created: None,
        choices: vec![Choice { index: 0, parts, finish, logprobs: None }],
        usage: counts.as_ref().and_then(usage::decode),
        service_tier: counts.as_ref().and_then(service_tier),
        system_fingerprint: None,
    }))
}

/// Draws an answer. One that failed, or never said how it ended, is drawn as an error object: no stop reason fits.
pub(super) fn encode(response: &Response, reply: &Reply, losses: &mut Losses) -> Bytes {
    if response.choices.len() > 1 {
        losses.dropped("n");
    }
    let Some(choice) = response.choices.first() else { return failed(reply) };
    if choice.logprobs.is_some() {
        losses.dropped("logprobs");
    }
    let refused = choice.parts.iter().any(|part| matches!(part.content, Content::Refusal(_)));
    let stop = choice.finish.as_ref().and_then(|finish| Stop::of(finish, calls(&choice.parts), refused));
    let Some(stop) = stop else { return failed(reply) };
    let mut content = Vec::with_capacity(choice.parts.len());
    for part in &choice.parts {
        let made_up = || format!("call_{}_{}", reply.id, content.len());
        content.extend(block(part, made_up, losses));
    }
    let mut counts = usage::encode(&response.usage.unwrap_or_default(), reply.input_estimate);
    match response.service_tier.as_deref() {
        Some("default") => drop(counts.insert("service_tier".to_owned(), "standard".into())),
        Some("priority") => drop(counts.insert("service_tier".to_owned(), "priority".into())),
        Some(_) => losses.dropped("service_tier"),
        None => {}
    }
    let mut message = Map::new();
    message.insert("id".to_owned(), message_id(response.id.as_deref(), reply).into());
    message.insert("type".to_owned(), "message".into());
    message.insert("role".to_owned(), "assistant".into());
    message.insert("model".to_owned(), reply.model.as_str().into());
    message.insert("content".to_owned(), content.into());
    stop.write(&mut message);
    message.insert("usage".to_owned(), counts.into());
    Value::Object(message).to_string().into()
}

/// Reads what accounting needs.
pub(super) fn survey(body: &[u8]) -> Result<Survey, WireError> {
    let answer: Surveyed<'_> = serde_json::from_slice(body)
        .map_err(|error| WireError::Syntax { at: error.column(), message: "it is not a Messages answer" })?;
    if answer.r#type.0 == "error" || answer.error.is_some() {
        return Ok(Survey { error: Some(error::decode(body)), ..Survey::default() });
    }
    let content = answer.content.ok_or_else(not_an_answer)?;
    let output_bytes = content.iter().map(SurveyedBlock::bytes).sum();
    Ok(Survey { usage: answer.usage.as_ref().and_then(usage::decode), error: None, output_bytes })
}

/// The id of an answer: the upstream's, or one made of the reply's.
pub(super) fn message_id(given: Option<&str>, reply: &Reply) -> String {
    given.filter(|id| !id.is_empty()).map_or_else(|| format!("msg_{}", reply.id), str::to_owned)
}

/// A citation of a web page; others cannot be said, because Messages wants positions in the source.
pub(super) fn citation(citation: &Citation) -> Option<Value> {
    let url = citation.url.as_deref()?;
    Some(json!({
        "type": "web_search_result_location",
        "cited_text": citation.cited_text.as_deref().unwrap_or_default(),
        "url": url,
        "title": citation.title,
        "encrypted_index": "",
    }))
}

#[derive(Deserialize)]
struct Surveyed<'a> {
    #[serde(borrow, default)]
    r#type: Lenient<'a>,
    #[serde(borrow)]
    content: Option<Vec<SurveyedBlock<'a>>>,
    usage: Option<Value>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct SurveyedBlock<'a> {
    #[serde(borrow, default)]
    text: Lenient<'a>,
    #[serde(borrow, default)]
    thinking: Lenient<'a>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

impl SurveyedBlock<'_> {
    fn bytes(&self) -> u64 {
        let input = self.input.map_or(0, |input| input.get().len());
        let bytes = self.text.0.len().saturating_add(self.thinking.0.len()).saturating_add(input);
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

fn not_an_answer() -> WireError {
    WireError::invalid("content", "the upstream's answer has no `content`: it is not a Messages answer")
}

fn calls(parts: &[Part]) -> bool {
    parts.iter().any(|part| matches!(part.content, Content::ToolCall(_)))
}

/// The tier that answered, in OpenAI's words.
fn service_tier(usage: &Value) -> Option<String> {
    let tier = usage.get("service_tier")?.as_str()?;
    Some(if tier == "standard" { "default" } else { tier }.to_owned())
}

/// The error object of an answer that has no clean end.
pub(super) fn failed(reply: &Reply) -> Bytes {
    json!({
        "type": "error",
        "error": {"type": "api_error", "message": "The upstream ended its answer without saying that it was complete."},
        "request_id": reply.id,
    })
    .to_string()
    .into()
}

fn block(part: &Part, made_up_id: impl FnOnce() -> String, losses: &mut Losses) -> Option<Value> {
    match &part.content {
        Content::Text(text) => self::text(text, losses),
        Content::Refusal(text) => (!text.is_empty()).then(|| json!({"type": "text", "text": text})),
        Content::Reasoning(reasoning) => thinking(reasoning, part.signature.as_ref()),
        Content::ToolCall(call) => Some(tool_use(call, made_up_id, losses)),
        Content::Opaque { dialect: Dialect::Anthropic, value, .. } => Some(value.clone()),
        Content::Opaque { kind, .. } => {
            losses.dropped(format!("content[].{kind}"));
            None
        }
        Content::Image(_) => dropped("content[].image", losses),
        Content::File(_) => dropped("content[].file", losses),
        Content::Audio(_) => dropped("content[].audio", losses),
        Content::ToolResult(_) => dropped("content[].tool_result", losses),
    }
}

fn dropped(field: &str, losses: &mut Losses) -> Option<Value> {
    losses.dropped(field);
    None
}

fn text(text: &Text, losses: &mut Losses) -> Option<Value> {
    if text.text.is_empty() {
        return None;
    }
    let citations: Vec<Value> = text.citations.iter().filter_map(citation).collect();
    if citations.len() < text.citations.len() {
        losses.dropped("content[].citations");
    }
    let mut block = Map::new();
    block.insert("type".to_owned(), "text".into());
    block.insert("text".to_owned(), text.text.as_str().into());
    if !citations.is_empty() {
        block.insert("citations".to_owned(), citations.into());
    }
    Some(block.into())
}

/// Another provider's seal is left out: the API that made this dialect would refuse it.
fn thinking(reasoning: &Reasoning, signature: Option<&Signature>) -> Option<Value> {
    let seal = signature.filter(|signature| signature.dialect == Dialect::Anthropic).map(|it| it.seal.as_str());
    match (seal, reasoning.redacted) {
        (Some(seal), true) => Some(json!({"type": "redacted_thinking", "data": seal})),
        (None, _) if reasoning.text.is_empty() => None,
        (seal, _) => {
            Some(json!({"type": "thinking", "thinking": reasoning.text, "signature": seal.unwrap_or_default()}))
        }
    }
}

fn tool_use(call: &ToolCall, made_up_id: impl FnOnce() -> String, losses: &mut Losses) -> Value {
    let input = match (call.kind, serde_json::from_str(&call.arguments)) {
        (ToolKind::Custom, _) => json!({"input": call.arguments}),
        (ToolKind::Function, Ok(input @ Value::Object(_))) => input,
        (ToolKind::Function, Ok(_) | Err(_)) => {
            // Cut short by a length stop: the stop reason says so, and the input must be an object all the same.
            if !call.arguments.trim().is_empty() {
                losses.dropped("content[].input");
            }
            json!({})
        }
    };
    let id = if call.id.is_empty() { made_up_id() } else { block_id(&call.id) };
    json!({"type": "tool_use", "id": id, "name": call.name, "input": input})
}

#[cfg(test)]
mod tests;
