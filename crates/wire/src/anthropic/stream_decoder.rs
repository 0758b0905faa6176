//! An upstream's stream as neutral events. One state per open block; the end is only what `message_stop` says, or a stop
//! reason that arrived before the bytes ended. Tests: here.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::blocks::citation;
use super::lenient::Text;
use super::usage::Counts;
use super::{error, finish};
use crate::Dialect;
use crate::chat::event::Event;
use crate::chat::{FinishReason, Signature, ToolKind};
use crate::dialect::StreamDecoder;
use crate::emulation::{Called, called, unwrap_custom};
use crate::error::WireError;
use crate::sse::Frame;

/// Reads one stream.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// The blocks that are open, by their index in the stream; in practice never more than one.
    open: Vec<(u64, Block)>,
    calls: u32,
    counts: Counts,
    finished: bool,
    /// `Done` or `Error` was given.
    ended: bool,
}

#[derive(Debug)]
enum Block {
    Text,
    Thinking {
        seal: String,
    },
    Call {
        call: u32,
        input: String,
        said: bool,
    },
    /// A function that stands for a free-text tool: its text is known when the block is whole.
    Custom {
        call: u32,
        input: String,
    },
    /// The tool that stands for a JSON answer.
    Json {
        input: String,
        said: bool,
    },
    /// A block that only Messages can carry.
    Opaque,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow, default)]
    r#type: Text<'a>,
    #[serde(default)]
    index: Option<u64>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    content_block: Option<Start<'a>>,
    #[serde(borrow)]
    message: Option<Message<'a>>,
    usage: Option<Value>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default)]
    model: Text<'a>,
    usage: Option<Value>,
}

#[derive(Deserialize)]
struct Start<'a> {
    #[serde(borrow, default)]
    r#type: Text<'a>,
    #[serde(borrow, default)]
    text: Text<'a>,
    #[serde(borrow, default)]
    thinking: Text<'a>,
    #[serde(borrow, default)]
    signature: Text<'a>,
    #[serde(borrow, default)]
    data: Text<'a>,
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    r#type: Text<'a>,
    #[serde(borrow, default)]
    text: Text<'a>,
    #[serde(borrow, default)]
    partial_json: Text<'a>,
    #[serde(borrow, default)]
    thinking: Text<'a>,
    #[serde(borrow, default)]
    signature: Text<'a>,
    citation: Option<Value>,
    #[serde(borrow, default)]
    stop_reason: Text<'a>,
    #[serde(borrow, default)]
    stop_sequence: Text<'a>,
    stop_details: Option<Value>,
}

impl StreamDecoder for Decoder {
    fn frame(&mut self, frame: &Frame, out: &mut Vec<Event>) -> Result<(), WireError> {
        let Some(json) = frame.data().filter(|data| !self.ended && !data.is_empty()) else { return Ok(()) };
        let data: Data<'_> = serde_json::from_slice(json)
            .map_err(|error| WireError::Syntax { at: error.column(), message: "a stream event cannot be parsed" })?;
        if data.r#type.0 == "error" || data.error.is_some() {
            self.ended = true;
            out.push(Event::Error(error::decode(json)));
            return Ok(());
        }
        match &*data.r#type.0 {
            "message_start" => self.message_start(data.message, out),
            "content_block_start" => self.block_start(data.index.unwrap_or(0), data.content_block, out),
            "content_block_delta" => self.block_delta(data.index.unwrap_or(0), data.delta, out)?,
            "content_block_stop" => self.block_stop(data.index.unwrap_or(0), out),
            "message_delta" => self.message_delta(data.delta, data.usage.as_ref(), out),
            "message_stop" => return self.finish_stream(out),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<Event>) -> Result<(), WireError> {
        if self.ended { Ok(()) } else { self.finish_stream(out) }
    }
}

impl Decoder {
    fn finish_stream(&mut self, out: &mut Vec<Event>) -> Result<(), WireError> {
        self.ended = true;
        if !self.finished {
            return Err(WireError::Unfinished);
        }
        out.push(Event::Done);
        Ok(())
    }

    fn message_start(&mut self, message: Option<Message<'_>>, out: &mut Vec<Event>) {
        let Some(message) = message else { return };
        out.push(Event::Start { id: message.id.some(), model: message.model.some(), created: None });
        self.report(message.usage.as_ref(), out);
    }

    fn report(&mut self, usage: Option<&Value>, out: &mut Vec<Event>) {
        let Some(usage) = usage else { return };
        self.counts.take(usage);
        out.extend(self.counts.usage().map(Event::Usage));
    }

    fn block_start(&mut self, index: u64, start: Option<Start<'_>>, out: &mut Vec<Event>) {
        let Some(start) = start else { return };
        self.block_stop(index, out);
        let block = match &*start.r#type.0 {
            "text" => {
                say(start.text, out);
                Block::Text
            }
            "thinking" => {
                think(start.thinking, out);
                Block::Thinking { seal: start.signature.0.into_owned() }
            }
            "redacted_thinking" => {
                out.extend(start.data.some().map(|seal| sealed(seal, true)));
                Block::Opaque
            }
            "tool_use" => self.call(start, out),
            kind => {
                out.push(Event::Opaque { kind: kind.to_owned() });
                Block::Opaque
            }
        };
        self.open.push((index, block));
    }

    fn call(&mut self, start: Start<'_>, out: &mut Vec<Event>) -> Block {
        // Some vendors send the whole input at once, in place of the empty object.
        let input = start.input.map(RawValue::get).filter(|input| input.len() > 2 && input.starts_with('{'));
        let input = input.unwrap_or_default().to_owned();
        match called(&start.name.0) {
            Called::JsonResponse => Block::Json { input, said: false },
            Called::Tool { name, kind } => {
                let call = self.calls;
                self.calls = self.calls.saturating_add(1);
                let id = start.id.0.into_owned();
                out.push(Event::ToolCall { choice: 0, call, id, name, kind, signature: None });
                match kind {
                    ToolKind::Function => Block::Call { call, input, said: false },
                    ToolKind::Custom => Block::Custom { call, input },
                }
            }
        }
    }

    fn block_delta(&mut self, index: u64, delta: Option<Delta<'_>>, out: &mut Vec<Event>) -> Result<(), WireError> {
        let Some(delta) = delta else { return Ok(()) };
        let block = self.open.iter_mut().find(|(at, _)| *at == index).map(|(_, block)| block);
        match (&*delta.r#type.0, block) {
            ("text_delta", Some(Block::Opaque)) => {}
            ("text_delta", _) => say(delta.text, out),
            ("thinking_delta", _) => think(delta.thinking, out),
            ("signature_delta", Some(Block::Thinking { seal })) => seal.push_str(&delta.signature.0),
            ("citations_delta", _) => {
                let citation = delta.citation.as_ref().and_then(citation);
                out.extend(citation.map(|citation| Event::Citation { choice: 0, citation }));
            }
            ("input_json_delta", Some(Block::Call { call, said, .. })) => {
                if let Some(text) = delta.partial_json.some() {
                    *said = true;
                    out.push(Event::ToolArguments { choice: 0, call: *call, text });
                }
            }
            ("input_json_delta", Some(Block::Custom { input, .. })) => input.push_str(&delta.partial_json.0),
            ("input_json_delta", Some(Block::Json { said, .. })) => {
                *said |= !delta.partial_json.0.is_empty();
                say(delta.partial_json, out);
            }
            ("input_json_delta", None) => {
                return Err(WireError::invalid(
                    "index",
                    "the upstream sent a tool's input for a block it never opened",
                ));
            }
            _ => {}
        }
        Ok(())
    }

    fn block_stop(&mut self, index: u64, out: &mut Vec<Event>) {
        let Some(place) = self.open.iter().position(|(at, _)| *at == index) else { return };
        let (_, block) = self.open.swap_remove(place);
        match block {
            Block::Text | Block::Opaque => {}
            Block::Thinking { seal } => {
                if !seal.is_empty() {
                    out.push(sealed(seal, false));
                }
            }
            Block::Call { call, input, said: false } => {
                let text = if input.is_empty() { "{}".to_owned() } else { input };
                out.push(Event::ToolArguments { choice: 0, call, text });
            }
            Block::Custom { call, input } => {
                out.push(Event::ToolArguments { choice: 0, call, text: unwrap_custom(&input) });
            }
            Block::Json { input, said: false } => {
                let text = if input.is_empty() { "{}".to_owned() } else { input };
                out.push(Event::Text { choice: 0, text });
            }
            Block::Call { .. } | Block::Json { .. } => {}
        }
    }

    fn message_delta(&mut self, delta: Option<Delta<'_>>, usage: Option<&Value>, out: &mut Vec<Event>) {
        self.report(usage, out);
        let Some(delta) = delta else { return };
        let Some(word) = delta.stop_reason.some().filter(|_| !self.finished) else { return };
        // A stream that forgets to close a block still closes it here.
        while let Some(&(index, _)) = self.open.first() {
            self.block_stop(index, out);
        }
        self.finished = true;
        let reason = match finish::decode(&word, delta.stop_sequence.some(), delta.stop_details.as_ref()) {
            // The only call was the tool that stands for a JSON answer.
            FinishReason::ToolCalls if self.calls == 0 => FinishReason::Stop,
            other => other,
        };
        out.push(Event::Finish { choice: 0, reason });
    }
}

fn say(text: Text<'_>, out: &mut Vec<Event>) {
    out.extend(text.some().map(|text| Event::Text { choice: 0, text }));
}

fn think(text: Text<'_>, out: &mut Vec<Event>) {
    out.extend(text.some().map(|text| Event::Reasoning { choice: 0, text }));
}

fn sealed(seal: String, redacted: bool) -> Event {
    let signature = Signature { dialect: Dialect::Anthropic, seal };
    Event::ReasoningSeal { choice: 0, signature, redacted, id: None }
}

#[cfg(test)]
mod tests;
