//! The order of turns and blocks Anthropic insists on: who begins, what answers what, which thoughts come back.
//! It must not know options. Rules from the API reference and the guides on tool use and extended thinking.

use serde_json::{Map, Value};

use super::refuse;
use crate::fixtures;
use crate::script::Script;

/// Checks the conversation of a request that has the right shape.
pub(super) fn check(body: &Map<String, Value>, version: &str) -> Result<(), Script> {
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let Some(first) = messages.first() else {
        return Err(refuse("messages: at least one message is required"));
    };
    if first["role"] != "user" {
        return Err(refuse("messages: first message must use the \"user\" role"));
    }
    for (place, message) in messages.iter().enumerate() {
        checked_text(place, message, place + 1 == messages.len())?;
        checked_calls(place, message, messages.get(place + 1))?;
        let before = place.checked_sub(1).and_then(|before| messages.get(before));
        checked_results(place, message, before)?;
        checked_thoughts(place, message, version)?;
    }
    checked_loop(body, messages)
}

fn blocks(message: &Value) -> &[Value] {
    message["content"].as_array().map_or(&[], Vec::as_slice)
}

fn of_kind<'a>(message: &'a Value, kind: &'a str, id: &'a str) -> impl Iterator<Item = &'a str> {
    blocks(message).iter().filter(move |block| block["type"] == kind).filter_map(move |block| block[id].as_str())
}

fn checked_text(place: usize, message: &Value, last: bool) -> Result<(), Script> {
    let empty = message["content"] == "" || message["content"] == Value::Array(vec![]);
    let final_assistant = last && message["role"] == "assistant";
    if empty && !final_assistant {
        return Err(refuse(&format!(
            "messages.{place}: all messages must have non-empty content except for the optional final assistant message"
        )));
    }
    let texts: Vec<&str> = blocks(message).iter().filter_map(|block| block["text"].as_str()).collect();
    if texts.iter().any(|text| text.is_empty()) {
        return Err(refuse("messages: text content blocks must be non-empty"));
    }
    if texts.iter().any(|text| text.trim().is_empty()) {
        return Err(refuse("messages: text content blocks must contain non-whitespace text"));
    }
    let end = texts.last().copied().or(message["content"].as_str()).unwrap_or_default();
    if final_assistant && end.ends_with(char::is_whitespace) {
        return Err(refuse("messages: final assistant content cannot end with trailing whitespace"));
    }
    Ok(())
}

fn checked_calls(place: usize, message: &Value, next: Option<&Value>) -> Result<(), Script> {
    let calls: Vec<&str> = of_kind(message, "tool_use", "id").collect();
    let fits = |id: &&&str| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if calls.iter().filter(fits).count() < calls.len() {
        return Err(refuse(&format!(
            "messages.{place}.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
        )));
    }
    let answered =
        |id: &&str| next.is_some_and(|next| of_kind(next, "tool_result", "tool_use_id").any(|found| found == *id));
    let open: Vec<&str> = calls.into_iter().filter(|id| !answered(id)).collect();
    if open.is_empty() {
        return Ok(());
    }
    Err(refuse(&format!(
        "messages.{place}: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
        open.join(", ")
    )))
}

fn checked_results(place: usize, message: &Value, before: Option<&Value>) -> Result<(), Script> {
    let asked = |id: &&str| before.is_some_and(|before| of_kind(before, "tool_use", "id").any(|found| found == *id));
    if let Some(lost) = of_kind(message, "tool_result", "tool_use_id").find(|id| !asked(id)) {
        return Err(refuse(&format!(
            "messages.{place}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {lost}. Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
        )));
    }
    let mut kinds = blocks(message).iter().map(|block| block["type"] == "tool_result").skip_while(|result| *result);
    if kinds.any(|result| result) {
        return Err(refuse(&format!("messages.{place}: `tool_result` blocks must come before any other content")));
    }
    Ok(())
}

fn checked_thoughts(place: usize, message: &Value, version: &str) -> Result<(), Script> {
    for (index, block) in blocks(message).iter().enumerate() {
        let at = format!("messages.{place}.content.{index}");
        if block["type"] == "thinking" && !is_signed(block) {
            return Err(refuse(&format!("{at}: Invalid `signature` in `thinking` block")));
        }
        if version == "2026-10-21" && message["role"] == "assistant" && block["type"] == "document" {
            return Err(refuse(&format!("{at}: `document` blocks are not permitted in assistant messages")));
        }
    }
    Ok(())
}

/// Whether a thought is one of the recorded ones, to the byte.
fn is_signed(block: &Value) -> bool {
    let recordings = [fixtures::anthropic::THINKING, super::THOUGHT_CALL.whole];
    recordings.iter().any(|recording| {
        let whole: Value = serde_json::from_str(recording).unwrap_or_default();
        ["thinking", "signature"].iter().all(|field| whole["content"][0][field] == block[field])
    })
}

/// Inside a tool loop the turn being continued has to begin with its thoughts, as long as thinking is enabled.
fn checked_loop(body: &Map<String, Value>, messages: &[Value]) -> Result<(), Script> {
    let enabled = body.get("thinking").is_some_and(|thinking| thinking["type"] == "enabled");
    let continued = messages.last().is_some_and(|last| of_kind(last, "tool_result", "tool_use_id").next().is_some());
    let Some(place) = messages.iter().rposition(|message| message["role"] == "assistant") else {
        return Ok(());
    };
    let first = blocks(&messages[place]).first().map_or(&Value::Null, |block| &block["type"]);
    if !enabled || !continued || first == "thinking" || first == "redacted_thinking" {
        return Ok(());
    }
    Err(refuse(&format!(
        "messages.{place}.content.0.type: Expected `thinking` or `redacted_thinking`, but found {first}. When `thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks)."
    )))
}
