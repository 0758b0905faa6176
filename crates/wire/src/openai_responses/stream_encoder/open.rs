//! The items that are being written: what they hold so far, and the events of their parts.
//! Does not decide when they begin or end. Tested through the stream encoder.

use bytes::BytesMut;
use serde_json::Value;

use super::frames::{Body, Frames};
use crate::chat::ToolKind;
use crate::openai_responses::items;

/// The item that text or reasoning goes to.
pub(super) enum Open {
    Nothing,
    Message(Message),
    Reasoning(Reasoning),
}

pub(super) struct Message {
    pub(super) id: String,
    pub(super) index: usize,
    pub(super) content: Vec<Value>,
    pub(super) part: Option<Piece>,
}

/// The content part being written.
pub(super) struct Piece {
    pub(super) kind: PieceKind,
    pub(super) text: String,
    pub(super) annotations: Vec<Value>,
    pub(super) logprobs: Vec<Value>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PieceKind {
    Text,
    Refusal,
}

impl Piece {
    pub(super) fn json(&self) -> Value {
        match self.kind {
            PieceKind::Text => items::output_text(&self.text, &self.annotations, &self.logprobs),
            PieceKind::Refusal => items::refusal(&self.text),
        }
    }
}

pub(super) struct Reasoning {
    pub(super) id: String,
    pub(super) index: usize,
    pub(super) text: String,
}

pub(super) struct Call {
    pub(super) call: u32,
    pub(super) id: String,
    pub(super) index: usize,
    pub(super) call_id: String,
    pub(super) name: String,
    pub(super) kind: ToolKind,
    pub(super) arguments: String,
}

impl Message {
    pub(super) fn say(&mut self, kind: PieceKind, text: &str, frames: &mut Frames, out: &mut BytesMut) {
        let at = Body {
            item_id: Some(&self.id),
            output_index: Some(self.index),
            content_index: Some(self.content.len()),
            ..Body::default()
        };
        let part = match &mut self.part {
            Some(part) => part,
            none => {
                let part = none.insert(Piece { kind, text: String::new(), annotations: vec![], logprobs: vec![] });
                let json = part.json();
                frames.send(out, Body { kind: "response.content_part.added", part: Some(&json), ..at.clone() });
                part
            }
        };
        part.text.push_str(text);
        frames.send(
            out,
            match kind {
                PieceKind::Text => {
                    Body { kind: "response.output_text.delta", delta: Some(text), logprobs: Some(&[]), ..at }
                }
                PieceKind::Refusal => Body { kind: "response.refusal.delta", delta: Some(text), ..at },
            },
        );
    }

    pub(super) fn end_part(&mut self, frames: &mut Frames, out: &mut BytesMut) {
        let Some(part) = self.part.take() else {
            return;
        };
        let at = Body {
            item_id: Some(&self.id),
            output_index: Some(self.index),
            content_index: Some(self.content.len()),
            ..Body::default()
        };
        let whole = match part.kind {
            PieceKind::Text => Body {
                kind: "response.output_text.done",
                text: Some(&part.text),
                logprobs: Some(&part.logprobs),
                ..at.clone()
            },
            PieceKind::Refusal => Body { kind: "response.refusal.done", refusal: Some(&part.text), ..at.clone() },
        };
        frames.send(out, whole);
        let json = part.json();
        frames.send(out, Body { kind: "response.content_part.done", part: Some(&json), ..at });
        self.content.push(json);
    }
}

impl Call {
    pub(super) fn at(&self) -> Body<'_> {
        Body { item_id: Some(&self.id), output_index: Some(self.index), ..Body::default() }
    }

    pub(super) fn delta(&self, text: &str, frames: &mut Frames, out: &mut BytesMut) {
        let kind = match self.kind {
            ToolKind::Function => "response.function_call_arguments.delta",
            ToolKind::Custom => "response.custom_tool_call_input.delta",
        };
        frames.send(out, Body { kind, delta: Some(text), ..self.at() });
    }

    pub(super) fn done(&self, frames: &mut Frames, out: &mut BytesMut) {
        let body = match self.kind {
            ToolKind::Function => Body {
                kind: "response.function_call_arguments.done",
                name: Some(&self.name),
                arguments: Some(&self.arguments),
                ..self.at()
            },
            ToolKind::Custom => {
                Body { kind: "response.custom_tool_call_input.done", input: Some(&self.arguments), ..self.at() }
            }
        };
        frames.send(out, body);
    }
}
