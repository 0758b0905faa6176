//! Writes the conversation. Decides its order: the results of calls come right behind them, each in a message of its own,
//! and what a tool message cannot hold follows in a user message. Tests: `encode_request/tests.rs`.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::parts::{self, call_id};
use super::{Result, put};
use crate::Dialect;
use crate::chat::{Content, Message, Part, Request, Role, ToolResult};
use crate::dialect::Traits;
use crate::loss::Losses;
use crate::openai_chat::reasoning;

/// What the API wants to read somewhere before it promises a JSON object.
const ASK_FOR_JSON: &str = "Answer with one JSON object.";

/// `messages`.
pub(super) fn write(request: &Request, traits: &Traits, losses: &mut Losses) -> Result<Vec<Value>> {
    let all = &request.messages;
    let mut writer = Writer { traits, losses, written: Vec::with_capacity(all.len()), shown: Vec::new() };
    // Results that were moved up to their calls, as (message, part).
    let mut moved = HashSet::new();
    for (at, message) in all.iter().enumerate() {
        match message.role {
            Role::System => writer.prompt("system", message)?,
            Role::Developer if !traits.developer_role => writer.prompt("system", message)?,
            Role::Developer => writer.prompt("developer", message)?,
            Role::User => writer.prompt("user", message)?,
            Role::Assistant => {
                writer.turn(message);
                for (result_at, part_at, result) in answers(all, at) {
                    if moved.insert((result_at, part_at)) {
                        writer.result(result)?;
                    }
                }
            }
            Role::Tool => {
                for (part_at, part) in message.parts.iter().enumerate() {
                    match &part.content {
                        Content::ToolResult(_) if moved.contains(&(at, part_at)) => {}
                        Content::ToolResult(result) => writer.result(result)?,
                        _ => writer.losses.dropped("messages[].content"),
                    }
                }
            }
        }
    }
    writer.show();
    Ok(writer.written)
}

/// The results that answer the calls of the message at `at`, with their places, in their order. The search ends when all
/// calls are answered, so it is short unless the history is broken.
fn answers(messages: &[Message], at: usize) -> Vec<(usize, usize, &ToolResult)> {
    let calls = messages.get(at).into_iter().flat_map(|message| &message.parts);
    let mut open: HashSet<&str> = calls
        .filter_map(|part| match &part.content {
            Content::ToolCall(call) => Some(call.id.as_str()),
            _ => None,
        })
        .collect();
    let mut answers = Vec::new();
    for (result_at, message) in messages.iter().enumerate().skip(at.saturating_add(1)) {
        if open.is_empty() {
            break;
        }
        for (part_at, part) in message.parts.iter().enumerate() {
            match &part.content {
                Content::ToolResult(result) if message.role == Role::Tool && open.remove(result.call_id.as_str()) => {
                    answers.push((result_at, part_at, result));
                }
                // A later call with the same id takes the results that follow it.
                Content::ToolCall(call) => drop(open.remove(call.id.as_str())),
                _ => {}
            }
        }
    }
    answers
}

struct Writer<'a> {
    traits: &'a Traits,
    losses: &'a mut Losses,
    written: Vec<Value>,
    /// Parts that tools gave and tool messages cannot hold; a user message shows them after the results.
    shown: Vec<Value>,
}

impl Writer<'_> {
    /// A message of the system or the user.
    fn prompt(&mut self, role: &str, message: &Message) -> Result<()> {
        self.show();
        let mut content = Vec::new();
        for part in &message.parts {
            content.extend(parts::write(part, self.traits, self.losses)?);
        }
        self.push(role, parts::content(content), message);
        Ok(())
    }

    fn push(&mut self, role: &str, content: Value, message: &Message) {
        let mut json = said(role, content);
        put(&mut json, "name", self.name(message));
        self.written.push(json.into());
    }

    /// The speaker's name, where the vendor takes it.
    fn name<'m>(&mut self, message: &'m Message) -> Option<&'m str> {
        const FIELD: &str = "messages[].name";
        let name = message.name.as_deref()?;
        if self.traits.drop.iter().any(|dropped| dropped == FIELD) {
            self.losses.dropped(FIELD);
            return None;
        }
        Some(name)
    }

    /// The assistant's turn: words in `content`, everything else in fields beside it.
    fn turn(&mut self, message: &Message) {
        self.show();
        let mut turn = Turn::default();
        for part in &message.parts {
            self.piece(part, &mut turn);
        }
        let name = self.name(message);
        self.written.push(turn.message(name).into());
    }

    fn piece<'p>(&mut self, part: &'p Part, turn: &mut Turn<'p>) {
        match &part.content {
            Content::Text(_) => {
                // Text is never refused.
                turn.content.extend(parts::write(part, self.traits, self.losses).ok().flatten());
                return;
            }
            Content::Refusal(words) => turn.refusal.push_str(words),
            Content::ToolCall(call) => turn.calls.push(parts::call(call, part, self.losses)),
            Content::Reasoning(_) => self.thought(part, turn),
            Content::Opaque { dialect: Dialect::OpenaiChat, kind, value } if kind == "audio" => {
                turn.audio = Some(value.clone());
            }
            Content::Opaque { kind, .. } => self.losses.dropped(format!("messages[].content[].{kind}")),
            Content::Audio(_) => self.losses.dropped("messages[].audio"),
            Content::Image(_) => self.losses.dropped("messages[].images"),
            Content::File(_) | Content::ToolResult(_) => self.losses.dropped("messages[].content"),
        }
        if part.cache.is_some() {
            self.losses.dropped("messages[].content[].prompt_cache_breakpoint");
        }
    }

    /// A thought goes back to whoever sealed it, or as text to a vendor that insists on it; to nobody else.
    fn thought<'p>(&mut self, part: &'p Part, turn: &mut Turn<'p>) {
        let Content::Reasoning(reasoning) = &part.content else { return };
        if parts::is_own(part) {
            turn.details.extend(reasoning::details(reasoning, part.signature.as_ref(), turn.thoughts));
            turn.thoughts += 1;
        }
        if self.traits.reasoning_content && !reasoning.text.is_empty() {
            turn.reasoning.push(&reasoning.text);
        } else if !parts::is_own(part) {
            self.losses.dropped("messages[].reasoning_content");
        }
    }

    /// One `tool` message. It holds text only; the rest is shown in a user message later.
    fn result(&mut self, result: &ToolResult) -> Result<()> {
        let mut content = Vec::new();
        let mut shown = Vec::new();
        for part in &result.content {
            let is_text = matches!(part.content, Content::Text(_) | Content::Refusal(_));
            let written = parts::write(part, self.traits, self.losses)?;
            if is_text { content.extend(written) } else { shown.extend(written) }
        }
        let id = call_id(&result.call_id);
        if !shown.is_empty() {
            self.losses.emulated("messages[].content[].tool_result");
            content.push(json!({"type": "text", "text": "[The tool's attachment follows in the next user message.]"}));
            self.shown.push(json!({"type": "text", "text": format!("Attachment of the tool result {id}:")}));
            self.shown.append(&mut shown);
        }
        if result.is_error {
            mark_error(&mut content);
        }
        self.written.push(json!({"role": "tool", "tool_call_id": id, "content": joined(content)}));
        Ok(())
    }

    /// Shows what the tools gave, once all their results are written.
    fn show(&mut self) {
        if !self.shown.is_empty() {
            let content = std::mem::take(&mut self.shown);
            self.written.push(said("user", content.into()).into());
        }
    }
}

fn said(role: &str, content: Value) -> Map<String, Value> {
    Map::from_iter([("role".to_owned(), role.into()), ("content".to_owned(), content)])
}

/// Says in words what the dialect has no flag for.
fn mark_error(content: &mut Vec<Value>) {
    let first = content.first_mut().and_then(|part| part.get_mut("text"));
    match first {
        Some(text) => *text = format!("Error: {}", text.as_str().unwrap_or_default()).into(),
        None => content.push(json!({"type": "text", "text": "Error: the tool failed"})),
    }
}

/// Texts as one string, which every vendor takes; a list only if a breakpoint has to stand in it.
fn joined(content: Vec<Value>) -> Value {
    if content.iter().any(|part| part.get("prompt_cache_breakpoint").is_some()) {
        return content.into();
    }
    let texts: Vec<&str> = content.iter().filter_map(|part| part.get("text")?.as_str()).collect();
    texts.join("\n").into()
}

/// The pieces of an assistant message.
#[derive(Default)]
struct Turn<'a> {
    content: Vec<Value>,
    refusal: String,
    calls: Vec<Value>,
    details: Vec<Value>,
    /// How many thoughts the details say.
    thoughts: usize,
    reasoning: Vec<&'a str>,
    audio: Option<Value>,
}

impl Turn<'_> {
    fn message(self, name: Option<&str>) -> Map<String, Value> {
        let speaks_elsewhere = !self.calls.is_empty() || !self.refusal.is_empty() || self.audio.is_some();
        let content = match parts::content(self.content) {
            Value::String(text) if text.is_empty() && speaks_elsewhere => Value::Null,
            content => content,
        };
        let mut json = said("assistant", content);
        put(&mut json, "refusal", Some(self.refusal).filter(|words| !words.is_empty()));
        put(&mut json, "name", name);
        put(&mut json, "audio", self.audio);
        put(&mut json, "reasoning_content", Some(self.reasoning.join("\n\n")).filter(|text| !text.is_empty()));
        // The API refuses empty lists.
        put(&mut json, "reasoning_details", Some(self.details).filter(|details| !details.is_empty()));
        put(&mut json, "tool_calls", Some(self.calls).filter(|calls| !calls.is_empty()));
        json
    }
}

/// Puts the word "json" into the prompt if it is nowhere in it: the API refuses to promise an object otherwise.
pub(super) fn ask_for_json(request: &Request, messages: &mut Vec<Value>, losses: &mut Losses) {
    if request.messages.iter().flat_map(|message| &message.parts).any(says_json) {
        return;
    }
    losses.emulated("response_format");
    let system = messages.first_mut().and_then(|first| {
        let is_prompt = matches!(first.get("role")?.as_str()?, "system" | "developer");
        first.get_mut("content").filter(|_| is_prompt)
    });
    match system {
        Some(Value::String(text)) => {
            text.push_str("\n\n");
            text.push_str(ASK_FOR_JSON);
        }
        Some(Value::Array(content)) => content.push(json!({"type": "text", "text": ASK_FOR_JSON})),
        _ => messages.insert(0, said("system", ASK_FOR_JSON.into()).into()),
    }
}

fn says_json(part: &Part) -> bool {
    match &part.content {
        Content::Text(text) => text.text.to_ascii_lowercase().contains("json"),
        Content::ToolResult(result) => result.content.iter().any(says_json),
        _ => false,
    }
}
