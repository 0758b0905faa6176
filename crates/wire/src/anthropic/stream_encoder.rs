//! Neutral events as a Messages stream: blocks opened when something is said, one at a time. What would interleave with
//! an unfinished call waits until the call is whole. `message_delta` waits for usage or the end. Tests: here.

use std::collections::VecDeque;

use bytes::BytesMut;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::encode_request::block_id;
use super::finish::Stop;
use super::{error, response, usage};
use crate::Dialect;
use crate::chat::event::Event;
use crate::chat::{FinishReason, Signature, ToolKind, Usage};
use crate::dialect::{Reply, StreamEncoder};
use crate::error::Fault;
use crate::loss::Losses;
use crate::splice::quoted;
use crate::sse;

/// The frame that keeps a quiet stream alive; it may stand anywhere after the first frame.
pub const PING: &[u8] = b"event: ping\ndata: {\"type\":\"ping\"}\n\n";

/// Writes one stream.
#[derive(Debug)]
pub(super) struct Encoder {
    reply: Reply,
    losses: Losses,
    /// The upstream's id of the message.
    id: Option<String>,
    started: bool,
    /// Index of the next block.
    next: u64,
    open: Open,
    /// What must wait for the open call to become whole, in order.
    waiting: VecDeque<Piece>,
    called: bool,
    /// The calls whose input is free text.
    custom: Vec<u32>,
    refused: bool,
    usage: Usage,
    finish: Option<FinishReason>,
    /// `message_delta` was written.
    summed_up: bool,
    ended: bool,
}

/// The block that is being written.
#[derive(Debug, Default)]
enum Open {
    #[default]
    Nothing,
    Text,
    Thinking,
    Call {
        call: u32,
        input: JsonEnd,
    },
}

/// Something to say, in the order it came.
#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Citation(Value),
    Thought(String),
    Seal { signature: Signature, redacted: bool },
    Call { call: u32, id: String, name: String, arguments: String },
}

#[derive(Serialize)]
struct BlockDelta<'a> {
    r#type: &'static str,
    index: u64,
    delta: Delta<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Delta<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'a str },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: &'a str },
    #[serde(rename = "citations_delta")]
    Citations { citation: &'a Value },
}

impl StreamEncoder for Encoder {
    fn event(&mut self, event: &Event, out: &mut BytesMut) {
        let is_over = self.ended || (self.summed_up && *event != Event::Done);
        if is_over || !self.is_first_choice(event) {
            return;
        }
        match event {
            // The first frame counts the input, and an upstream that counts it at the start does so right behind this.
            Event::Start { id, .. } => self.id = self.id.take().or_else(|| id.clone()),
            Event::Text { text, .. } => self.piece(Piece::Text(text.clone()), out),
            Event::Refusal { text, .. } => {
                self.refused = true;
                self.piece(Piece::Text(text.clone()), out);
            }
            Event::Citation { citation, .. } => match response::citation(citation) {
                Some(citation) => self.piece(Piece::Citation(citation), out),
                None => self.losses.dropped("content[].citations"),
            },
            Event::Reasoning { text, .. } => self.piece(Piece::Thought(text.clone()), out),
            Event::ReasoningSeal { signature, redacted, .. } => {
                self.piece(Piece::Seal { signature: signature.clone(), redacted: *redacted }, out);
            }
            Event::ToolCall { call, id, name, kind, .. } => {
                let id = if id.is_empty() { format!("call_{}_{call}", self.reply.id) } else { block_id(id) };
                let call = Piece::Call { call: *call, id, name: name.clone(), arguments: self.opening(*call, *kind) };
                self.piece(call, out);
            }
            Event::ToolArguments { call, text, .. } if self.custom.contains(call) => {
                let literal = quoted(text);
                self.arguments(*call, literal.get(1..literal.len() - 1).unwrap_or_default(), out);
            }
            Event::ToolArguments { call, text, .. } => self.arguments(*call, text, out),
            Event::Audio { .. } => self.losses.dropped("content[].audio"),
            Event::Logprobs { .. } => self.losses.dropped("logprobs"),
            Event::Opaque { kind } => self.losses.dropped(format!("content[].{kind}")),
            Event::Usage(usage) => {
                self.usage.absorb(usage);
                if self.finish.is_some() && self.usage.is_complete() {
                    self.sum_up(out);
                }
            }
            Event::Finish { reason, .. } => self.finish = Some(reason.clone()),
            Event::Done => self.done(out),
            // Drawn by `error`, in our own words.
            Event::Error(_) => {}
        }
    }

    fn error(&mut self, fault: &Fault<'_>, out: &mut BytesMut) {
        if !self.ended {
            self.ended = true;
            sse::write(out, Some("error"), &error::encode(fault));
        }
    }

    fn losses(&self) -> &Losses {
        &self.losses
    }
}

impl Encoder {
    pub(super) fn new(reply: Reply) -> Self {
        Self {
            reply,
            losses: Losses::default(),
            id: None,
            started: false,
            next: 0,
            open: Open::Nothing,
            waiting: VecDeque::new(),
            called: false,
            custom: Vec::new(),
            refused: false,
            usage: Usage::default(),
            finish: None,
            summed_up: false,
            ended: false,
        }
    }

    /// A message is one answer; what belongs to others is left out.
    fn is_first_choice(&mut self, event: &Event) -> bool {
        let choice = match event {
            Event::Text { choice, .. }
            | Event::Citation { choice, .. }
            | Event::Refusal { choice, .. }
            | Event::Reasoning { choice, .. }
            | Event::ReasoningSeal { choice, .. }
            | Event::ToolCall { choice, .. }
            | Event::ToolArguments { choice, .. }
            | Event::Audio { choice, .. }
            | Event::Logprobs { choice, .. }
            | Event::Finish { choice, .. } => *choice,
            Event::Start { .. } | Event::Opaque { .. } | Event::Usage(_) | Event::Error(_) | Event::Done => 0,
        };
        if choice != 0 {
            self.losses.dropped("n");
        }
        choice == 0
    }

    fn start(&mut self, out: &mut BytesMut) {
        if self.started {
            return;
        }
        self.started = true;
        let start = json!({"type": "message_start", "message": {
            "id": response::message_id(self.id.as_deref(), &self.reply),
            "type": "message",
            "role": "assistant",
            "model": self.reply.model,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": usage::encode(&self.usage, self.reply.input_estimate),
        }});
        frame(out, "message_start", &start);
        out.extend_from_slice(PING);
    }

    /// Says a piece now, or after what already waits.
    fn piece(&mut self, piece: Piece, out: &mut BytesMut) {
        self.start(out);
        if self.waiting.is_empty() && !self.is_inside_call() {
            self.say(piece, out);
        } else {
            self.wait(piece);
        }
    }

    /// A call whose arguments are not whole yet must not be closed: more may come.
    fn is_inside_call(&self) -> bool {
        matches!(&self.open, Open::Call { input, .. } if !input.is_whole())
    }

    /// How a call's input begins. Free text stands in an object here, as in a whole answer; [`Self::close`] ends it.
    fn opening(&mut self, call: u32, kind: ToolKind) -> String {
        match kind {
            ToolKind::Function => String::new(),
            ToolKind::Custom => {
                self.custom.push(call);
                "{\"input\":\"".to_owned()
            }
        }
    }

    fn wait(&mut self, piece: Piece) {
        match (self.waiting.back_mut(), piece) {
            (Some(Piece::Text(waiting)), Piece::Text(text)) | (Some(Piece::Thought(waiting)), Piece::Thought(text)) => {
                waiting.push_str(&text);
            }
            (_, piece) => self.waiting.push_back(piece),
        }
    }

    fn arguments(&mut self, call: u32, text: &str, out: &mut BytesMut) {
        if text.is_empty() {
            return;
        }
        match &mut self.open {
            Open::Call { call: open, input } if *open == call => {
                input.read(text);
                let index = self.next;
                delta(out, index, Delta::InputJson { partial_json: text });
                self.say_waiting(out);
            }
            Open::Call { .. } | Open::Nothing | Open::Text | Open::Thinking => {
                let waiting = self.waiting.iter_mut().find_map(|piece| match piece {
                    Piece::Call { call: of, arguments, .. } if *of == call => Some(arguments),
                    _ => None,
                });
                match waiting {
                    Some(arguments) => arguments.push_str(text),
                    // Its block is closed already: the upstream went on after a whole JSON value.
                    None => self.losses.dropped("content[].input"),
                }
            }
        }
    }

    /// Says what waited, as far as no unfinished call is in the way.
    fn say_waiting(&mut self, out: &mut BytesMut) {
        while !self.is_inside_call()
            && let Some(piece) = self.waiting.pop_front()
        {
            self.say(piece, out);
        }
    }

    fn say(&mut self, piece: Piece, out: &mut BytesMut) {
        match piece {
            Piece::Text(text) if text.is_empty() => {}
            Piece::Text(text) => {
                if !matches!(self.open, Open::Text) {
                    self.open(Open::Text, &json!({"type": "text", "text": ""}), out);
                }
                delta(out, self.next, Delta::Text { text: &text });
            }
            Piece::Citation(citation) => {
                if matches!(self.open, Open::Text) {
                    delta(out, self.next, Delta::Citations { citation: &citation });
                } else {
                    self.losses.dropped("content[].citations");
                }
            }
            Piece::Thought(text) if text.is_empty() => {}
            Piece::Thought(text) => {
                self.open_thinking(out);
                delta(out, self.next, Delta::Thinking { thinking: &text });
            }
            Piece::Seal { signature, .. } if signature.dialect != Dialect::Anthropic => {
                // Another provider's seal says nothing here but that its thought is over.
                if matches!(self.open, Open::Thinking) {
                    self.close(out);
                }
            }
            Piece::Seal { signature, redacted: true } => {
                self.open(Open::Nothing, &json!({"type": "redacted_thinking", "data": signature.seal}), out);
                self.stop_block(out);
            }
            Piece::Seal { signature, redacted: false } => {
                self.open_thinking(out);
                delta(out, self.next, Delta::Signature { signature: &signature.seal });
                self.close(out);
            }
            Piece::Call { call, id, name, arguments } => {
                self.called = true;
                let mut input = JsonEnd::default();
                input.read(&arguments);
                let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
                self.open(Open::Call { call, input }, &block, out);
                if !arguments.is_empty() {
                    delta(out, self.next, Delta::InputJson { partial_json: &arguments });
                }
            }
        }
    }

    fn open_thinking(&mut self, out: &mut BytesMut) {
        if !matches!(self.open, Open::Thinking) {
            self.open(Open::Thinking, &json!({"type": "thinking", "thinking": "", "signature": ""}), out);
        }
    }

    fn open(&mut self, open: Open, block: &Value, out: &mut BytesMut) {
        self.close(out);
        self.open = open;
        let start = json!({"type": "content_block_start", "index": self.next, "content_block": block});
        frame(out, "content_block_start", &start);
    }

    fn close(&mut self, out: &mut BytesMut) {
        match std::mem::take(&mut self.open) {
            Open::Nothing => return,
            Open::Call { call, .. } if self.custom.contains(&call) => {
                delta(out, self.next, Delta::InputJson { partial_json: "\"}" });
            }
            Open::Call { .. } | Open::Text | Open::Thinking => {}
        }
        self.stop_block(out);
    }

    fn stop_block(&mut self, out: &mut BytesMut) {
        frame(out, "content_block_stop", &json!({"type": "content_block_stop", "index": self.next}));
        self.next += 1;
    }

    /// Ends all blocks and says how the answer ended. Says nothing if no stop reason fits.
    fn sum_up(&mut self, out: &mut BytesMut) {
        let Some(finish) = self.finish.clone().filter(|_| !self.summed_up) else { return };
        self.start(out);
        while let Some(piece) = self.waiting.pop_front() {
            self.say(piece, out);
        }
        let Some(stop) = Stop::of(&finish, self.called, self.refused) else { return };
        self.close(out);
        let mut delta = Map::new();
        stop.write(&mut delta);
        let counts = usage::encode(&self.usage, self.reply.input_estimate);
        frame(out, "message_delta", &json!({"type": "message_delta", "delta": delta, "usage": counts}));
        self.summed_up = true;
    }

    fn done(&mut self, out: &mut BytesMut) {
        self.sum_up(out);
        self.ended = true;
        if self.summed_up {
            frame(out, "message_stop", &json!({"type": "message_stop"}));
        } else {
            sse::write(out, Some("error"), &response::failed(&self.reply));
        }
    }
}

fn delta(out: &mut BytesMut, index: u64, delta: Delta<'_>) {
    frame(out, "content_block_delta", &BlockDelta { r#type: "content_block_delta", index, delta });
}

fn frame(out: &mut BytesMut, event: &str, data: &impl Serialize) {
    // Strings, numbers and maps of them always serialise.
    if let Ok(json) = serde_json::to_vec(data) {
        sse::write(out, Some(event), &json);
    }
}

/// Notices when a JSON object that arrives in pieces is whole.
#[derive(Clone, Copy, Debug, Default)]
struct JsonEnd {
    depth: u32,
    begun: bool,
    in_string: bool,
    escaped: bool,
}

impl JsonEnd {
    fn read(&mut self, text: &str) {
        for byte in text.bytes() {
            match (self.in_string, byte) {
                (true, _) if self.escaped => self.escaped = false,
                (true, b'\\') => self.escaped = true,
                (true, b'"') => self.in_string = false,
                (false, b'"') => self.in_string = true,
                (false, b'{' | b'[') => {
                    self.begun = true;
                    self.depth = self.depth.saturating_add(1);
                }
                (false, b'}' | b']') => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn is_whole(self) -> bool {
        self.begun && self.depth == 0
    }
}

#[cfg(test)]
mod tests;
