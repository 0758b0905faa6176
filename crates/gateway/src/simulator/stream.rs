//! An answer as a stream: the events that tell it, and the pieces of bytes that an encoder makes of them.
//! Collecting the events gives the whole answer back. Knows no fault. Tests are in `answer/tests.rs` and `tests.rs`.

use bytes::BytesMut;
use waypost_wire::chat::event::Event;
use waypost_wire::chat::{Choice, Content, Part, Reasoning, Response, ToolCall};
use waypost_wire::dialect::StreamEncoder;

use super::body::Piece;
use crate::tokens;

/// The answer, a word or so at a time.
pub(crate) fn events(response: &Response) -> Vec<Event> {
    let mut events =
        vec![Event::Start { id: response.id.clone(), model: response.model.clone(), created: response.created }];
    for choice in &response.choices {
        push_choice(choice, &mut events);
    }
    events.extend(response.usage.map(Event::Usage));
    events.push(Event::Done);
    events
}

/// What the encoder makes of the events. Pieces that carry some of the answer are paced.
pub(crate) fn encode(events: &[Event], encoder: &mut dyn StreamEncoder) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for event in events {
        let mut bytes = BytesMut::new();
        encoder.event(event, &mut bytes);
        pieces.push(Piece { bytes: bytes.freeze(), paced: carries_answer(event) });
    }
    pieces
}

fn carries_answer(event: &Event) -> bool {
    matches!(event, Event::Text { .. } | Event::Reasoning { .. } | Event::ToolArguments { .. })
}

fn push_choice(choice: &Choice, events: &mut Vec<Event>) {
    let mut calls = 0;
    for part in &choice.parts {
        match &part.content {
            Content::ToolCall(call) => {
                push_call(choice.index, calls, call, events);
                calls += 1;
            }
            Content::Reasoning(reasoning) => push_reasoning(choice.index, reasoning, part, events),
            Content::Text(text) => {
                let pieces = tokens::pieces(&text.text).map(String::from);
                events.extend(pieces.map(|text| Event::Text { choice: choice.index, text }));
            }
            // The simulator says nothing else.
            Content::Refusal(_)
            | Content::Image(_)
            | Content::File(_)
            | Content::Audio(_)
            | Content::ToolResult(_)
            | Content::Opaque { .. } => {}
        }
    }
    events.extend(choice.finish.clone().map(|reason| Event::Finish { choice: choice.index, reason }));
}

fn push_call(choice: u32, number: u32, call: &ToolCall, events: &mut Vec<Event>) {
    events.push(Event::ToolCall {
        choice,
        call: number,
        id: call.id.clone(),
        name: call.name.clone(),
        kind: call.kind,
        signature: None,
    });
    let pieces = tokens::pieces(&call.arguments).map(String::from);
    events.extend(pieces.map(|text| Event::ToolArguments { choice, call: number, text }));
}

fn push_reasoning(choice: u32, reasoning: &Reasoning, part: &Part, events: &mut Vec<Event>) {
    let pieces = tokens::pieces(&reasoning.text).map(String::from);
    events.extend(pieces.map(|text| Event::Reasoning { choice, text }));
    events.extend(part.signature.clone().map(|signature| Event::ReasoningSeal {
        choice,
        signature,
        redacted: reasoning.redacted,
        id: reasoning.id.clone(),
    }));
}
