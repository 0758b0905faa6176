//! A whole answer told as the stream it might have been: for callers that asked for a stream of a model that has none.
//! Decides nothing: an answer without a finish gives a stream without one. Tests: `tests/square/streams.rs`.

use super::event::Event;
use super::{Choice, Content, FinishReason, Part, Response, ToolCall};

/// The events of a whole answer, each block in one piece. Ends with [`Event::Done`].
pub fn replay(response: &Response) -> Vec<Event> {
    let mut events =
        vec![Event::Start { id: response.id.clone(), model: response.model.clone(), created: response.created }];
    for choice in &response.choices {
        let mut calls = 0;
        choice.parts.iter().for_each(|part| told(choice.index, part, &mut calls, &mut events));
        ended(choice, &mut events);
    }
    events.extend(response.usage.map(Event::Usage));
    events.push(Event::Done);
    events
}

fn told(choice: u32, part: &Part, calls: &mut u32, events: &mut Vec<Event>) {
    match &part.content {
        Content::Text(text) => {
            events.push(Event::Text { choice, text: text.text.clone() });
            let citations = text.citations.iter().cloned();
            events.extend(citations.map(|citation| Event::Citation { choice, citation }));
            sealed(choice, part, false, None, events);
        }
        Content::Refusal(text) => events.push(Event::Refusal { choice, text: text.clone() }),
        Content::Reasoning(reasoning) => {
            if !reasoning.text.is_empty() {
                events.push(Event::Reasoning { choice, text: reasoning.text.clone() });
            }
            sealed(choice, part, reasoning.redacted, reasoning.id.clone(), events);
        }
        Content::ToolCall(call) => called(choice, *calls, call, part, events),
        Content::Audio(audio) => {
            events.push(Event::Audio { choice, data: audio.data.clone(), transcript: String::new() });
        }
        Content::Opaque { kind, .. } => events.push(Event::Opaque { kind: kind.clone() }),
        Content::Image(_) => events.push(Event::Opaque { kind: "image".to_owned() }),
        Content::File(_) => events.push(Event::Opaque { kind: "file".to_owned() }),
        // Answers call tools; only requests hold what those gave back.
        Content::ToolResult(_) => {}
    }
    *calls += u32::from(matches!(part.content, Content::ToolCall(_)));
}

fn called(choice: u32, call: u32, tool: &ToolCall, part: &Part, events: &mut Vec<Event>) {
    let signature = part.signature.clone();
    events.push(Event::ToolCall {
        choice,
        call,
        id: tool.id.clone(),
        name: tool.name.clone(),
        kind: tool.kind,
        signature,
    });
    events.push(Event::ToolArguments { choice, call, text: tool.arguments.clone() });
}

fn sealed(choice: u32, part: &Part, redacted: bool, id: Option<String>, events: &mut Vec<Event>) {
    if let Some(signature) = part.signature.clone() {
        events.push(Event::ReasoningSeal { choice, signature, redacted, id });
    }
}

fn ended(choice: &Choice, events: &mut Vec<Event>) {
    let number = choice.index;
    events.extend(choice.logprobs.clone().map(|value| Event::Logprobs { choice: number, value }));
    let finish = |reason: &FinishReason| Event::Finish { choice: number, reason: reason.clone() };
    events.extend(choice.finish.as_ref().map(finish));
}
