//! Writes a stream for a caller: the full event set with rising sequence numbers, ended by the whole response.
//! Decides which items are open; text and reasoning one at a time, calls side by side, as they may interleave. The end
//! is held back until the stream's own end, because usage comes late. Tests are below.

mod frames;
mod open;

use bytes::BytesMut;
use serde_json::Value;

use self::frames::{Body, Frames, summary};
use self::open::{Call, Message, Open, PieceKind, Reasoning};
use super::answer::{Shown, Status, object, response_id, unsaid_refusal};
use super::items;
use super::seal::{self, Over};
use crate::chat::event::Event;
use crate::chat::{Citation, FinishReason, Signature, ToolKind, Usage};
use crate::dialect::{Reply, StreamEncoder};
use crate::error::Fault;
use crate::loss::Losses;

/// See [`crate::dialect::ClientDialect::stream_encoder`].
pub(super) struct Encoder {
    frames: Frames,
    reply: Reply,
    id: String,
    created: u64,
    started: bool,
    ended: bool,
    /// Items by position; null while one is open.
    output: Vec<Value>,
    open: Open,
    calls: Vec<Call>,
    status: Option<Status>,
    usage: Option<Usage>,
    refused: bool,
    losses: Losses,
}

impl StreamEncoder for Encoder {
    fn event(&mut self, event: &Event, out: &mut BytesMut) {
        if self.ended {
            return;
        }
        match event {
            Event::Start { id, created, .. } => self.begin(id.as_deref(), *created, out),
            Event::Text { choice: 0, text } => self.piece(PieceKind::Text, text, out),
            Event::Refusal { choice: 0, text } => self.piece(PieceKind::Refusal, text, out),
            Event::Citation { choice: 0, citation } => self.citation(citation, out),
            Event::Logprobs { choice: 0, value } => self.logprobs(value),
            Event::Reasoning { choice: 0, text } => self.reasoning(text, out),
            Event::ReasoningSeal { choice: 0, signature, redacted, .. } => self.seal(signature, *redacted, out),
            Event::ToolCall { choice: 0, call, id, name, kind, signature } => {
                if let Some(signature) = signature {
                    self.sealed_alone(signature, Over::Next, out);
                }
                self.call(*call, id, name, *kind, out);
            }
            Event::ToolArguments { choice: 0, call, text } => self.arguments(*call, text, out),
            Event::Finish { choice: 0, reason } => self.finish(reason, out),
            Event::Usage(usage) => self.usage.get_or_insert_default().absorb(usage),
            Event::Done => self.done(out),
            Event::Audio { .. } => self.losses.dropped("choices[].message.audio"),
            Event::Opaque { kind } => self.losses.dropped(format!("choices[].message.content[].{kind}")),
            // The gateway draws errors of ours from it, with `error`.
            Event::Error(_) => {}
            Event::Text { .. }
            | Event::Refusal { .. }
            | Event::Citation { .. }
            | Event::Logprobs { .. }
            | Event::Reasoning { .. }
            | Event::ReasoningSeal { .. }
            | Event::ToolCall { .. }
            | Event::ToolArguments { .. }
            | Event::Finish { .. } => self.losses.dropped("choices[]"),
        }
    }

    fn error(&mut self, fault: &Fault<'_>, out: &mut BytesMut) {
        let code = fault.openai_code.unwrap_or(fault.openai_type).to_owned();
        self.end(Status::Failed { code, message: fault.message.to_owned() }, out);
    }

    fn losses(&self) -> &Losses {
        &self.losses
    }
}

impl Encoder {
    pub(super) fn new(reply: Reply) -> Self {
        Self {
            frames: Frames::default(),
            id: response_id(None, &reply),
            created: reply.created,
            reply,
            started: false,
            ended: false,
            output: Vec::new(),
            open: Open::Nothing,
            calls: Vec::new(),
            status: None,
            usage: None,
            refused: false,
            losses: Losses::default(),
        }
    }

    fn begin(&mut self, id: Option<&str>, created: Option<u64>, out: &mut BytesMut) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        self.id = response_id(id, &self.reply);
        self.created = created.unwrap_or(self.created);
        let response = self.response(&Status::InProgress);
        for kind in ["response.created", "response.in_progress"] {
            self.frames.send(out, Body { kind, response: Some(&response), ..Body::default() });
        }
    }

    fn response(&self, status: &Status) -> Value {
        let output: Vec<Value> = self.output.iter().filter(|item| !item.is_null()).cloned().collect();
        let shown = Shown {
            id: &self.id,
            created: self.created,
            status,
            output: &output,
            usage: self.usage.as_ref(),
            service_tier: None,
        };
        object(&self.reply, &shown)
    }

    /// Reserves the next position and names the item there.
    fn place(&mut self, prefix: &str, out: &mut BytesMut) -> (String, usize) {
        self.begin(None, None, out);
        let index = self.output.len();
        self.output.push(Value::Null);
        (format!("{prefix}_{}_{index}", self.reply.id), index)
    }

    fn item_added(&mut self, index: usize, item: &Value, out: &mut BytesMut) {
        let kind = "response.output_item.added";
        self.frames.send(out, Body { kind, output_index: Some(index), item: Some(item), ..Body::default() });
    }

    fn item_done(&mut self, index: usize, item: Value, out: &mut BytesMut) {
        let kind = "response.output_item.done";
        self.frames.send(out, Body { kind, output_index: Some(index), item: Some(&item), ..Body::default() });
        if let Some(place) = self.output.get_mut(index) {
            *place = item;
        }
    }

    /// A piece of text or refusal.
    fn piece(&mut self, kind: PieceKind, text: &str, out: &mut BytesMut) {
        if text.is_empty() {
            return;
        }
        self.refused |= kind == PieceKind::Refusal;
        if !matches!(self.open, Open::Message(_)) {
            self.close("completed", out);
            let (id, index) = self.place("msg", out);
            self.item_added(index, &items::message(&id, "in_progress", Vec::new()), out);
            self.open = Open::Message(Message { id, index, content: Vec::new(), part: None });
        }
        let Open::Message(message) = &mut self.open else {
            return;
        };
        if message.part.as_ref().is_some_and(|part| part.kind != kind) {
            message.end_part(&mut self.frames, out);
        }
        message.say(kind, text, &mut self.frames, out);
    }

    fn citation(&mut self, citation: &Citation, out: &mut BytesMut) {
        if citation.cited_text.is_some() {
            self.losses.dropped("choices[].message.annotations[].cited_text");
        }
        if let Some(annotation) = items::annotation(citation)
            && let Open::Message(Message { id, index, content, part: Some(part) }) = &mut self.open
            && part.kind == PieceKind::Text
        {
            let body = Body {
                kind: "response.output_text.annotation.added",
                item_id: Some(id),
                output_index: Some(*index),
                content_index: Some(content.len()),
                annotation_index: Some(part.annotations.len()),
                annotation: Some(&annotation),
                ..Body::default()
            };
            self.frames.send(out, body);
            part.annotations.push(annotation);
        } else {
            self.losses.dropped("choices[].message.annotations");
        }
    }

    /// Log probabilities follow the text they belong to, which is gone by then: they are told with the whole text.
    fn logprobs(&mut self, value: &Value) {
        let content = value.get("content").and_then(Value::as_array);
        match &mut self.open {
            Open::Message(Message { part: Some(part), .. }) => {
                part.logprobs.extend(content.into_iter().flatten().cloned())
            }
            _ => self.losses.dropped("choices[].logprobs"),
        }
    }

    fn reasoning(&mut self, text: &str, out: &mut BytesMut) {
        if text.is_empty() {
            return;
        }
        if !matches!(self.open, Open::Reasoning(_)) {
            self.close("completed", out);
            let (id, index) = self.place("rs", out);
            self.item_added(index, &items::reasoning(Some(&id), "", None), out);
            let part = items::summary_text("");
            self.frames
                .send(out, Body { part: Some(&part), ..summary("response.reasoning_summary_part.added", &id, index) });
            self.open = Open::Reasoning(Reasoning { id, index, text: String::new() });
        }
        if let Open::Reasoning(open) = &mut self.open {
            open.text.push_str(text);
            let body = summary("response.reasoning_summary_text.delta", &open.id, open.index);
            self.frames.send(out, Body { delta: Some(text), ..body });
        }
    }

    fn seal(&mut self, signature: &Signature, redacted: bool, out: &mut BytesMut) {
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Reasoning(open) if !redacted => {
                self.end_reasoning(open, Some(&seal::write(signature, Over::Thinking)), out);
            }
            open => {
                self.open = open;
                self.sealed_alone(signature, if redacted { Over::Redacted } else { Over::Thinking }, out);
            }
        }
    }

    /// A reasoning item that is nothing but its seal.
    fn sealed_alone(&mut self, signature: &Signature, over: Over, out: &mut BytesMut) {
        self.close("completed", out);
        let (id, index) = self.place("rs", out);
        self.item_added(index, &items::reasoning(Some(&id), "", None), out);
        self.item_done(index, items::reasoning(Some(&id), "", Some(&seal::write(signature, over))), out);
    }

    fn end_reasoning(&mut self, open: Reasoning, encrypted: Option<&str>, out: &mut BytesMut) {
        let Reasoning { id, index, text } = open;
        let body = summary("response.reasoning_summary_text.done", &id, index);
        self.frames.send(out, Body { text: Some(&text), ..body });
        let part = items::summary_text(&text);
        let body = summary("response.reasoning_summary_part.done", &id, index);
        self.frames.send(out, Body { part: Some(&part), ..body });
        self.item_done(index, items::reasoning(Some(&id), &text, encrypted), out);
    }

    fn call(&mut self, call: u32, call_id: &str, name: &str, kind: ToolKind, out: &mut BytesMut) {
        self.close("completed", out);
        let (id, index) = self.place(items::call_prefix(kind), out);
        let call_id = match call_id {
            "" => format!("call_{}_{index}", self.reply.id),
            call_id => call_id.to_owned(),
        };
        self.item_added(index, &items::call(kind, &id, "in_progress", &call_id, name, ""), out);
        self.calls.push(Call { call, id, index, call_id, name: name.to_owned(), kind, arguments: String::new() });
    }

    fn arguments(&mut self, call: u32, text: &str, out: &mut BytesMut) {
        let Some(call) = self.calls.iter_mut().rfind(|open| open.call == call) else {
            self.losses.dropped("choices[].message.tool_calls[]");
            return;
        };
        if !text.is_empty() {
            call.arguments.push_str(text);
            call.delta(text, &mut self.frames, out);
        }
    }

    /// Ends the open text or reasoning.
    fn close(&mut self, status: &str, out: &mut BytesMut) {
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing => {}
            Open::Reasoning(open) => self.end_reasoning(open, None, out),
            Open::Message(mut message) => {
                message.end_part(&mut self.frames, out);
                let item = items::message(&message.id, status, message.content);
                self.item_done(message.index, item, out);
            }
        }
    }

    /// The model stopped: everything ends but the stream, since usage may follow.
    fn finish(&mut self, reason: &FinishReason, out: &mut BytesMut) {
        if self.status.is_some() {
            return;
        }
        let status = Status::of(Some(reason), self.refused, &mut self.losses);
        if let Some(why) = unsaid_refusal(Some(reason), self.refused) {
            self.piece(PieceKind::Refusal, why, out);
        }
        let last = self.output.len().saturating_sub(1);
        for mut call in std::mem::take(&mut self.calls) {
            let whole = items::whole_arguments(call.kind, &call.arguments).to_owned();
            if whole != call.arguments {
                call.delta(&whole, &mut self.frames, out);
                call.arguments = whole;
            }
            call.done(&mut self.frames, out);
            let word = if call.index == last { status.item_word() } else { "completed" };
            let item = items::call(call.kind, &call.id, word, &call.call_id, &call.name, &call.arguments);
            self.item_done(call.index, item, out);
        }
        self.close(status.item_word(), out);
        self.status = Some(status);
    }

    fn done(&mut self, out: &mut BytesMut) {
        let status = self.status.take().unwrap_or_else(|| Status::of(None, false, &mut self.losses));
        self.end(status, out);
    }

    /// The terminal event. It comes once.
    fn end(&mut self, status: Status, out: &mut BytesMut) {
        if self.ended {
            return;
        }
        self.begin(None, None, out);
        let kind = match status {
            Status::Completed => "response.completed",
            Status::Incomplete(_) => "response.incomplete",
            Status::InProgress | Status::Failed { .. } => "response.failed",
        };
        let response = self.response(&status);
        self.frames.send(out, Body { kind, response: Some(&response), ..Body::default() });
        self.ended = true;
    }
}

#[cfg(test)]
mod tests;
