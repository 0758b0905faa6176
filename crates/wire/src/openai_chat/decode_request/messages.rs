//! Reads the conversation. Decides in which order the pieces of an assistant's turn stand: thoughts, words, calls.
//! Tests: `decode_request/tests.rs`.

use serde::Deserialize as _;
use serde_json::Value;

use super::parts::content;
use super::{Result, Strays, keep};
use crate::Dialect;
use crate::chat::{Content, Message, Part, Role, ToolCall, ToolKind, ToolResult};
use crate::error::WireError;
use crate::fields::Fields;
use crate::openai_chat::answer::Annotation;
use crate::openai_chat::reasoning::{self, Detail};
use crate::peek::{missing, mistyped, not_one_of};

const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];

/// `messages`.
pub(super) fn read(top: &mut Fields, strays: &mut Strays) -> Result<Vec<Message>> {
    let items = top.array("messages")?.ok_or_else(|| missing("messages"))?;
    if items.is_empty() {
        return Err(WireError::invalid("messages", "`messages` must hold at least one message"));
    }
    let mut reader = Reader { messages: Vec::with_capacity(items.len()), old_call: None, strays };
    for (value, path) in items {
        reader.message(Fields::of(value, path)?)?;
    }
    Ok(reader.messages)
}

struct Reader<'a> {
    messages: Vec<Message>,
    /// The id given to the last `function_call`, which had none: the `function` message answers it.
    old_call: Option<String>,
    strays: &'a mut Strays,
}

impl Reader<'_> {
    fn message(&mut self, mut fields: Fields) -> Result<()> {
        let word = fields.required_string("role")?;
        let (role, parts) = match &*word {
            "system" => (Role::System, self.said(&mut fields)?),
            "developer" => (Role::Developer, self.said(&mut fields)?),
            "user" => (Role::User, self.said(&mut fields)?),
            "assistant" => (Role::Assistant, self.turn(&mut fields)?),
            "tool" => (Role::Tool, vec![self.result(&mut fields)?]),
            "function" => (Role::Tool, vec![self.old_result(&mut fields)?]),
            _ => return Err(not_one_of(&fields.param("role"), &word, &ROLES)),
        };
        let name = fields.string("name")?;
        keep(fields, "messages[]", self.strays);
        // The results of one turn are one message in the neutral model.
        match self.messages.last_mut() {
            Some(last) if role == Role::Tool && last.role == Role::Tool => last.parts.extend(parts),
            _ => self.messages.push(Message { role, parts, name }),
        }
        Ok(())
    }

    /// The content of a role that must say something.
    fn said(&mut self, fields: &mut Fields) -> Result<Vec<Part>> {
        if fields.peek("content").is_none() {
            return Err(missing(&fields.param("content")));
        }
        content(fields, self.strays)
    }

    fn turn(&mut self, fields: &mut Fields) -> Result<Vec<Part>> {
        let mut parts = thoughts(fields)?;
        let mut said = content(fields, self.strays)?;
        cite(fields, &mut said);
        parts.extend(said);
        parts.extend(fields.string("refusal")?.map(|words| Content::Refusal(words).into()));
        if let Some(value) = fields.take("audio") {
            parts.push(Content::Opaque { dialect: Dialect::OpenaiChat, kind: "audio".to_owned(), value }.into());
        }
        for (value, path) in fields.array("tool_calls")?.unwrap_or_default() {
            parts.push(call(Fields::of(value, path)?, self.strays)?);
        }
        if let Some(mut old) = fields.object("function_call")? {
            parts.push(self.old_call(&mut old)?);
        }
        reasoning::seal_calls(&mut parts);
        Ok(parts)
    }

    fn result(&mut self, fields: &mut Fields) -> Result<Part> {
        let call_id = fields.required_string("tool_call_id")?;
        let content = self.said(fields)?;
        let kind = self.kind_of(&call_id);
        let name = fields.string("name")?;
        Ok(Content::ToolResult(ToolResult { call_id, name, content, is_error: false, kind }).into())
    }

    /// Which kind of call an id belongs to; the latest one, if clients reuse ids.
    fn kind_of(&self, id: &str) -> ToolKind {
        let parts = self.messages.iter().rev().flat_map(|message| &message.parts);
        let mut calls = parts.filter_map(|part| match &part.content {
            Content::ToolCall(call) => Some(call),
            _ => None,
        });
        calls.find(|call| call.id == id).map_or(ToolKind::Function, |call| call.kind)
    }

    /// Old calls have no ids, so each gets one from its place in the conversation.
    fn old_call(&mut self, call: &mut Fields) -> Result<Part> {
        let id = format!("call_{}", self.messages.len());
        let name = call.required_string("name")?;
        let arguments = call.required_string("arguments")?;
        self.old_call = Some(id.clone());
        Ok(Content::ToolCall(ToolCall { id, name, arguments, kind: ToolKind::Function }).into())
    }

    fn old_result(&mut self, fields: &mut Fields) -> Result<Part> {
        let name = fields.required_string("name")?;
        let call_id = self.old_call.take().ok_or_else(|| {
            let message = format!("`{}` answers no `function_call` of the assistant before it", fields.path());
            WireError::invalid(fields.path(), message)
        })?;
        let content = content(fields, self.strays)?;
        let kind = ToolKind::Function;
        Ok(Content::ToolResult(ToolResult { call_id, name: Some(name), content, is_error: false, kind }).into())
    }
}

/// Thoughts that a client hands back in the fields in which vendors, and we, give them out. The shapes are nobody's
/// standard, so entries that are not understood are left out rather than refused.
fn thoughts(fields: &mut Fields) -> Result<Vec<Part>> {
    let newer = fields.string("reasoning")?;
    let plain = fields.string("reasoning_content")?.or(newer).filter(|text| !text.is_empty());
    let blocks = fields.take("thinking_blocks");
    let details = fields.take("reasoning_details").or(blocks);
    let items = details.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let details: Vec<Detail<'_>> = items.iter().filter_map(|item| Detail::deserialize(item).ok()).collect();
    Ok(reasoning::parts(&details, plain.as_deref()))
}

/// `annotations` of an answer that is handed back belong to its words.
fn cite(fields: &mut Fields, said: &mut [Part]) {
    let annotations = fields.take("annotations");
    let items = annotations.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let read = items.iter().filter_map(|item| Annotation::deserialize(item).ok()?.citation()).collect();
    let text = said.iter_mut().find_map(|part| match &mut part.content {
        Content::Text(text) => Some(text),
        _ => None,
    });
    if let Some(text) = text {
        text.citations = read;
    }
}

fn call(mut fields: Fields, strays: &mut Strays) -> Result<Part> {
    let id = fields.required_string("id")?;
    // Some clients leave the type out; it can be only one then.
    let kind = fields.string("type")?;
    let (kind, key, arguments) = match kind.as_deref() {
        None | Some("function") => (ToolKind::Function, "function", "arguments"),
        Some("custom") => (ToolKind::Custom, "custom", "input"),
        Some(word) => return Err(not_one_of(&fields.param("type"), word, &["function", "custom"])),
    };
    let mut inner = fields.object(key)?.ok_or_else(|| missing(&fields.param(key)))?;
    let call =
        ToolCall { id, name: inner.required_string("name")?, arguments: inner.required_string(arguments)?, kind };
    let signature = google_seal(&mut fields)?.map(|seal| reasoning::thought_signature(&seal));
    // Where a call stood in a stream means nothing in a history.
    fields.take("index");
    keep(inner, &format!("messages[].tool_calls[].{key}"), strays);
    keep(fields, "messages[].tool_calls[]", strays);
    Ok(Part { content: Content::ToolCall(call), cache: None, signature })
}

/// `extra_content.google.thought_signature`.
fn google_seal(call: &mut Fields) -> Result<Option<String>> {
    let Some(Value::Object(mut extra)) = call.take("extra_content") else { return Ok(None) };
    match extra.get_mut("google").and_then(|google| google.get_mut("thought_signature")).map(Value::take) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(seal)) => Ok(Some(seal).filter(|seal| !seal.is_empty())),
        Some(_) => Err(mistyped(&call.param("extra_content.google.thought_signature"), "a string")),
    }
}
