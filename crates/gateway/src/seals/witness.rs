//! Watches a translated answer for sealed reasoning before tool calls and has it remembered.
//! Changes nothing in the answer. Tests: `simulator/tests/dialects.rs` and the SDK suites' tool loops.

use std::sync::Arc;

use waypost_core::ids::ChannelId;
use waypost_wire::chat::event::Event;
use waypost_wire::chat::{Content, Part, Reasoning};

use super::{Sealed, Seals};

/// The watcher of one answer. Only the first choice is watched: sealed models give no other.
pub struct SealWitness {
    seals: Arc<Seals>,
    channel: ChannelId,
    text: String,
    reasoning: Vec<Part>,
}

impl SealWitness {
    pub fn new(seals: Arc<Seals>, channel: ChannelId) -> Self {
        Self { seals, channel, text: String::new(), reasoning: Vec::new() }
    }

    /// Takes note of one event of the answer.
    pub fn see(&mut self, event: &Event) {
        match event {
            Event::Reasoning { choice: 0, text } => self.text.push_str(text),
            Event::ReasoningSeal { choice: 0, signature, redacted, id } => {
                let text = std::mem::take(&mut self.text);
                let content = Content::Reasoning(Reasoning { text, redacted: *redacted, id: id.clone() });
                self.reasoning.push(Part { signature: Some(signature.clone()), ..content.into() });
            }
            Event::ToolCall { choice: 0, id, signature, .. } if signature.is_some() || !self.reasoning.is_empty() => {
                let sealed = Sealed { reasoning: self.reasoning.clone(), call: signature.clone() };
                self.seals.remember(self.channel, id, sealed);
            }
            _ => {}
        }
    }

    /// The same for the parts of a whole answer.
    pub fn see_parts(&mut self, parts: &[Part]) {
        for part in parts {
            match &part.content {
                Content::Reasoning(_) if part.signature.is_some() => self.reasoning.push(part.clone()),
                Content::ToolCall(call) if part.signature.is_some() || !self.reasoning.is_empty() => {
                    let sealed = Sealed { reasoning: self.reasoning.clone(), call: part.signature.clone() };
                    self.seals.remember(self.channel, &call.id, sealed);
                }
                _ => {}
            }
        }
    }
}
