//! Puts a stream's events together to the whole answer they are, so that the two can be compared.

use serde_json::Value;
use waypost_wire::chat::event::Event;
use waypost_wire::chat::{Audio, Choice, Content, Part, Reasoning, Response, Text, ToolCall, Usage};

/// The answer these events are.
pub(crate) fn collect(events: &[Event]) -> Response {
    let mut collector = Collector::default();
    events.iter().for_each(|event| collector.event(event));
    let mut response = collector.response;
    response.choices.sort_by_key(|choice| choice.index);
    response
}

/// An answer as a stream can tell it: neighbouring texts are one text, neighbouring unsealed thoughts one thought,
/// blocks that only their dialect can carry are left out (their event has no value), and so are the two fields that
/// no event has, and the tier, which some tell only of a whole answer. Arguments that are JSON are compared as JSON.
pub(crate) fn as_streamed(mut response: Response) -> Response {
    response.service_tier = None;
    response.system_fingerprint = None;
    if let Some(usage) = &mut response.usage {
        usage.served = None;
    }
    for choice in &mut response.choices {
        let mut parts: Vec<Part> = Vec::new();
        for mut part in std::mem::take(&mut choice.parts) {
            if let Content::ToolCall(call) = &mut part.content
                && let Ok(json) = serde_json::from_str::<Value>(&call.arguments)
            {
                call.arguments = json.to_string();
            }
            match (parts.last_mut(), &part.content) {
                (_, Content::Opaque { .. }) => {}
                (_, Content::Text(text)) if text.text.is_empty() && text.citations.is_empty() => {}
                // No event seals a text: its seal follows it.
                (_, Content::Text(_)) if part.signature.is_some() => {
                    let signature = part.signature.take();
                    let sealed = Content::Reasoning(Reasoning::default());
                    parts.extend([part, Part { content: sealed, cache: None, signature }]);
                }
                (Some(Part { content: Content::Text(last), .. }), Content::Text(text)) if part.signature.is_none() => {
                    last.text += &text.text;
                    last.citations.extend(text.citations.clone());
                }
                (Some(Part { content: Content::Reasoning(last), signature: None, .. }), Content::Reasoning(next))
                    if !next.redacted =>
                {
                    last.text += &next.text;
                    last.id = last.id.take().or_else(|| next.id.clone());
                    let signature = part.signature.take();
                    if let Some(last) = parts.last_mut() {
                        last.signature = signature;
                    }
                }
                _ => parts.push(part),
            }
        }
        choice.parts = parts;
    }
    response
}

#[derive(Default)]
struct Collector {
    response: Response,
    /// Where the parts of calls stand: choice, call, position.
    calls: Vec<(u32, u32, usize)>,
}

impl Collector {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Start { id, model, created } => {
                self.response.id.clone_from(id);
                self.response.model.clone_from(model);
                self.response.created = *created;
            }
            Event::Text { choice, text } => match self.last(*choice) {
                Some(Part { content: Content::Text(last), .. }) => last.text += text,
                _ => self.push(*choice, Part::text(text)),
            },
            Event::Citation { choice, citation } => match self.last(*choice) {
                Some(Part { content: Content::Text(last), .. }) => last.citations.push(citation.clone()),
                _ => {
                    let text = Text { text: String::new(), citations: vec![citation.clone()] };
                    self.push(*choice, Content::Text(text).into());
                }
            },
            Event::Refusal { choice, text } => match self.last(*choice) {
                Some(Part { content: Content::Refusal(last), .. }) => *last += text,
                _ => self.push(*choice, Content::Refusal(text.clone()).into()),
            },
            Event::Reasoning { choice, text } => match self.last(*choice) {
                Some(Part { content: Content::Reasoning(last), signature: None, .. }) => last.text += text,
                _ => {
                    let reasoning = Reasoning { text: text.clone(), ..Reasoning::default() };
                    self.push(*choice, Content::Reasoning(reasoning).into());
                }
            },
            Event::ReasoningSeal { choice, signature, redacted, id } => match self.last(*choice) {
                Some(part) if !redacted && part.signature.is_none() && is_reasoning(part) => {
                    part.signature = Some(signature.clone());
                    if let Content::Reasoning(reasoning) = &mut part.content {
                        reasoning.id.clone_from(id);
                    }
                }
                _ => {
                    let reasoning = Reasoning { text: String::new(), redacted: *redacted, id: id.clone() };
                    let content = Content::Reasoning(reasoning);
                    self.push(*choice, Part { content, cache: None, signature: Some(signature.clone()) });
                }
            },
            Event::ToolCall { choice, call, id, name, kind, signature } => {
                let position = self.choice(*choice).parts.len();
                self.calls.push((*choice, *call, position));
                let tool = ToolCall { id: id.clone(), name: name.clone(), arguments: String::new(), kind: *kind };
                let content = Content::ToolCall(tool);
                self.push(*choice, Part { content, cache: None, signature: signature.clone() });
            }
            Event::ToolArguments { choice, call, text } => {
                let found = self.calls.iter().find(|(of, number, _)| (of, number) == (choice, call));
                let position = found.expect("arguments follow their call").2;
                if let Content::ToolCall(tool) = &mut self.choice(*choice).parts[position].content {
                    tool.arguments += text;
                }
            }
            Event::Audio { choice, data, .. } => match self.last(*choice) {
                Some(Part { content: Content::Audio(last), .. }) => last.data += data,
                _ => self.push(*choice, Content::Audio(Audio { data: data.clone(), format: String::new() }).into()),
            },
            Event::Logprobs { choice, value } => match &mut self.choice(*choice).logprobs {
                Some(whole) => join(whole, value),
                none => *none = Some(value.clone()),
            },
            Event::Usage(usage) => self.response.usage.get_or_insert_with(Usage::default).absorb(usage),
            Event::Finish { choice, reason } => self.choice(*choice).finish = Some(reason.clone()),
            Event::Opaque { .. } | Event::Error(_) | Event::Done => {}
        }
    }

    fn choice(&mut self, index: u32) -> &mut Choice {
        let found = self.response.choices.iter().position(|choice| choice.index == index);
        let position = found.unwrap_or_else(|| {
            self.response.choices.push(Choice { index, ..Choice::default() });
            self.response.choices.len() - 1
        });
        &mut self.response.choices[position]
    }

    fn last(&mut self, choice: u32) -> Option<&mut Part> {
        self.choice(choice).parts.last_mut()
    }

    fn push(&mut self, choice: u32, part: Part) {
        self.choice(choice).parts.push(part);
    }
}

fn is_reasoning(part: &Part) -> bool {
    matches!(part.content, Content::Reasoning(_))
}

/// Lists of the later piece follow those of the earlier.
fn join(whole: &mut Value, piece: &Value) {
    for (key, value) in piece.as_object().into_iter().flatten() {
        match (whole.get_mut(key), value) {
            (Some(Value::Array(items)), Value::Array(more)) => items.extend(more.iter().cloned()),
            (Some(Value::Null) | None, value) => whole[key] = value.clone(),
            _ => {}
        }
    }
}
