//! The conversation as turns: the first is the user's, neighbours of one role are one turn, and every turn with calls is
//! followed by one that answers each of them, in their order. Instructions are gathered, wherever they stood.
//! Tests: `request/tests.rs`.

use serde_json::{Map, Value, json};

use super::{Result, parts};
use crate::chat::{Content, Message, Request, Role, ToolCall, ToolResult};
use crate::dialect::{ThinkingStyle, Traits};
use crate::error::WireError;
use crate::loss::Losses;

/// What stands in for a user turn that the API requires and the caller did not write.
const OPENING: &str = "Begin.";

/// Google's documented seal for calls whose own was lost or never was: models that think refuse unsealed calls.
const SKIP_VALIDATION: &str = "skip_thought_signature_validator";

/// `contents` and `systemInstruction`.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub(super) contents: Vec<Value>,
    pub(super) system: Option<Value>,
}

/// Writes the conversation.
pub(super) fn write(request: &Request, traits: &Traits, losses: &mut Losses) -> Result<Conversation> {
    let mut instructions = Vec::new();
    let mut turns = Turns::default();
    for message in &request.messages {
        if message.name.is_some() {
            losses.dropped("messages[].name");
        }
        match message.role {
            Role::System | Role::Developer => {
                if !turns.0.is_empty() {
                    losses.emulated("messages[].role");
                }
                instruct(message, &mut instructions, losses)?;
            }
            Role::User | Role::Assistant | Role::Tool => turns.add(message, losses)?,
        }
    }
    let mut turns = turns.0;
    if turns.first().is_none_or(|turn| turn.model) {
        losses.emulated("messages");
        turns.insert(0, Turn { parts: vec![json!({"text": OPENING})], ..Turn::default() });
    }
    if traits.thinking != ThinkingStyle::Never {
        turns.iter_mut().for_each(|turn| turn.seal(losses));
    }
    let system = (!instructions.is_empty()).then(|| json!({"parts": instructions}));
    Ok(Conversation { contents: draw(turns, losses)?, system })
}

fn instruct(message: &Message, instructions: &mut Vec<Value>, losses: &mut Losses) -> Result<()> {
    for part in &message.parts {
        if !matches!(part.content, Content::Text(_) | Content::Refusal(_)) {
            let message =
                "`messages[].content`: this model takes instructions as text only; put the rest into a user message";
            return Err(WireError::unsupported("messages[].content", message));
        }
        instructions.extend(parts::write(part, losses)?);
    }
    Ok(())
}

/// One turn. Results wait beside the other parts until the calls they answer are known.
#[derive(Debug, Default)]
struct Turn<'a> {
    model: bool,
    calls: Vec<&'a ToolCall>,
    results: Vec<&'a ToolResult>,
    parts: Vec<Value>,
}

#[derive(Debug, Default)]
struct Turns<'a>(Vec<Turn<'a>>);

impl<'a> Turns<'a> {
    /// Appends a message to the last turn, or to a new one if another speaks.
    fn add(&mut self, message: &'a Message, losses: &mut Losses) -> Result<()> {
        let model = message.role == Role::Assistant;
        let mut turn = match self.0.pop() {
            Some(last) if last.model == model => last,
            last => {
                self.0.extend(last);
                Turn { model, ..Turn::default() }
            }
        };
        for part in &message.parts {
            match &part.content {
                Content::ToolResult(result) => turn.results.push(result),
                Content::ToolCall(call) => turn.calls.push(call),
                _ => {}
            }
            turn.parts.extend(parts::write(part, losses)?);
        }
        if !(turn.parts.is_empty() && turn.results.is_empty()) {
            self.0.push(turn);
        }
        Ok(())
    }
}

impl Turn<'_> {
    /// Seals the first call of the turn if its own seal is missing.
    fn seal(&mut self, losses: &mut Losses) {
        let is_call = |part: &&mut Value| part.get("functionCall").is_some();
        if let Some(Value::Object(call)) = self.parts.iter_mut().find(is_call)
            && !call.contains_key("thoughtSignature")
        {
            losses.emulated("messages[].tool_calls[].extra_content");
            call.insert("thoughtSignature".to_owned(), SKIP_VALIDATION.into());
        }
    }
}

fn draw(turns: Vec<Turn<'_>>, losses: &mut Losses) -> Result<Vec<Value>> {
    let mut contents = Vec::new();
    let mut open: Vec<&ToolCall> = Vec::new();
    for turn in turns {
        let mut parts = answers(&open, &turn.results, losses)?;
        parts.extend(turn.parts);
        let role = if turn.model { "model" } else { "user" };
        contents.push(json!({"role": role, "parts": parts}));
        open = turn.calls;
    }
    Ok(contents)
}

/// One response for each open call, in the order of the calls, then the pictures and files of the results.
fn answers(open: &[&ToolCall], results: &[&ToolResult], losses: &mut Losses) -> Result<Vec<Value>> {
    let mut left = results.to_vec();
    let (mut responses, mut attachments) = (Vec::new(), Vec::new());
    for call in open {
        let Some(at) = left.iter().position(|result| result.call_id == call.id) else {
            let id = &call.id;
            let message = format!("the tool call `{id}` has no result; answer it before the conversation goes on");
            return Err(WireError::invalid("messages", message));
        };
        let result = left.remove(at);
        responses.push(response(call, result, losses));
        for part in result.content.iter().filter(|part| !is_words(&part.content)) {
            attachments.extend(parts::write(part, losses)?);
        }
    }
    if let Some(orphan) = left.first() {
        let id = &orphan.call_id;
        let message = format!("the tool result for `{id}` answers no call of the turn before it");
        return Err(WireError::invalid("messages", message));
    }
    responses.append(&mut attachments);
    Ok(responses)
}

fn is_words(content: &Content) -> bool {
    matches!(content, Content::Text(_) | Content::Refusal(_))
}

fn response(call: &ToolCall, result: &ToolResult, losses: &mut Losses) -> Value {
    let mut response = Map::new();
    response.insert("name".to_owned(), parts::called_name(call).into());
    if result.content.iter().any(|part| part.cache.is_some() && is_words(&part.content)) {
        losses.dropped("cache_control");
    }
    let said = said(result);
    let object = match serde_json::from_str(&said) {
        Ok(Value::Object(object)) if !result.is_error => object,
        _ => {
            let key = if result.is_error { "error" } else { "output" };
            Map::from_iter([(key.to_owned(), said.into())])
        }
    };
    response.insert("response".to_owned(), object.into());
    json!({"functionResponse": response})
}

/// The words of a result; its texts stand on lines of their own.
fn said(result: &ToolResult) -> String {
    let words = result.content.iter().filter_map(|part| match &part.content {
        Content::Text(text) => Some(text.text.as_str()),
        Content::Refusal(text) => Some(text.as_str()),
        _ => None,
    });
    words.collect::<Vec<_>>().join("\n")
}
