//! The conversation as turns: the first is the user's, neighbours of one role are one turn, and the results of a turn's
//! calls stand first in the next. Tests: `encode_request/tests.rs`.

use serde_json::{Value, json};

use super::{Result, Writer, parts};
use crate::chat::{Content, Message, Part, Request, ResponseFormat, Role};

/// What stands in for a user turn that the API requires and the caller did not write.
const OPENING: &str = "Begin.";

const JSON_LINE: &str = "Answer with one JSON object and nothing else: no words before or after it, no code fence.";

/// `system` and `messages`.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub(super) system: Vec<Value>,
    pub(super) messages: Vec<Value>,
    /// It ends with results of calls whose turn holds no signed thoughts.
    pub(super) unsigned_tool_loop: bool,
}

/// Writes the conversation.
pub(super) fn write(request: &Request, writer: &mut Writer<'_>) -> Result<Conversation> {
    let is_instruction = |message: &&Message| matches!(message.role, Role::System | Role::Developer);
    let leading = request.messages.iter().take_while(is_instruction).count();
    let (instructions, conversation) = request.messages.split_at(leading);
    let mut system = Vec::new();
    for message in instructions {
        note_name(message, writer);
        for part in &message.parts {
            system.extend(parts::write(part, writer)?);
        }
    }
    if request.response_format == Some(ResponseFormat::JsonObject) {
        writer.losses.emulated("response_format");
        system.push(text(JSON_LINE));
    }
    let turns = turns(conversation, writer)?;
    let unsigned_tool_loop = is_unsigned_tool_loop(&turns);
    let messages = turns.into_iter().map(Turn::draw).collect();
    Ok(Conversation { system, messages, unsigned_tool_loop })
}

/// One turn: tool results, then everything else.
#[derive(Debug, Default)]
struct Turn {
    assistant: bool,
    results: Vec<Value>,
    blocks: Vec<Value>,
}

impl Turn {
    fn draw(self) -> Value {
        let role = if self.assistant { "assistant" } else { "user" };
        let mut content = self.results;
        content.extend(self.blocks);
        json!({"role": role, "content": content})
    }

    fn has(&self, kinds: &[&str]) -> bool {
        self.blocks.iter().any(|block| block_type(block).is_some_and(|kind| kinds.contains(&kind)))
    }

    /// Signed thoughts open an assistant turn; those that already do, and all later ones, stay where they stood.
    fn open_with_thoughts(&mut self) {
        let is_thought = |block: &Value| matches!(block_type(block), Some("thinking" | "redacted_thinking"));
        if self.blocks.first().is_some_and(|block| !is_thought(block)) {
            self.blocks.sort_by_key(|block| !is_thought(block));
        }
    }
}

fn turns(messages: &[Message], writer: &mut Writer<'_>) -> Result<Vec<Turn>> {
    let mut turns: Vec<Turn> = Vec::new();
    for message in messages {
        note_name(message, writer);
        if matches!(message.role, Role::System | Role::Developer) {
            writer.losses.emulated("messages[].role");
        }
        let assistant = message.role == Role::Assistant;
        let mut turn = match turns.pop() {
            Some(last) if last.assistant == assistant => last,
            last => {
                turns.extend(last);
                Turn { assistant, ..Turn::default() }
            }
        };
        let mut opens = assistant && turn.blocks.is_empty();
        for part in &message.parts {
            add(part, &mut turn, writer)?;
        }
        opens &= !turn.blocks.is_empty();
        if opens {
            turn.open_with_thoughts();
        }
        if !(turn.blocks.is_empty() && turn.results.is_empty()) {
            turns.push(turn);
        }
    }
    trim_last(&mut turns);
    if turns.first().is_none_or(|turn| turn.assistant) {
        writer.losses.emulated("messages");
        turns.insert(0, Turn { blocks: vec![text(OPENING)], ..Turn::default() });
    }
    Ok(turns)
}

fn add(part: &Part, turn: &mut Turn, writer: &mut Writer<'_>) -> Result<()> {
    let blocks = parts::write(part, writer)?;
    match part.content {
        Content::ToolResult(_) => turn.results.extend(blocks),
        _ => turn.blocks.extend(blocks),
    }
    Ok(())
}

/// A last assistant turn is the beginning of the answer, which must not end in white space.
fn trim_last(turns: &mut [Turn]) {
    let Some(turn) = turns.last_mut().filter(|turn| turn.assistant) else { return };
    if let Some(Value::String(text)) = turn.blocks.last_mut().and_then(|block| block.get_mut("text")) {
        text.truncate(text.trim_end().len());
    }
}

/// Does the conversation wait for the model after tool results, without the thoughts that led to the calls?
fn is_unsigned_tool_loop(turns: &[Turn]) -> bool {
    let [.., calls, results] = turns else { return false };
    calls.assistant
        && !results.results.is_empty()
        && calls.has(&["tool_use"])
        && !calls.has(&["thinking", "redacted_thinking"])
}

fn note_name(message: &Message, writer: &mut Writer<'_>) {
    if message.name.is_some() {
        writer.losses.dropped("messages[].name");
    }
}

fn block_type(block: &Value) -> Option<&str> {
    block.get("type").and_then(Value::as_str)
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}
