//! Reads an upstream's stream: an incremental state machine with one terminal state.
//! Decides what of the much repeated text is said once: deltas first, whole items only for what had none. Tests are below.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::decode_items::citation;
use super::error;
use super::response::{CallItem, Object, Output, Tag, logprobs, parse};
use crate::chat::event::Event;
use crate::chat::{Content, Part, Signature, ToolKind};
use crate::dialect::StreamDecoder;
use crate::error::{RemoteError, WireError};
use crate::sse::Frame;

type Result<T> = std::result::Result<T, WireError>;

/// The item that a picture comes in.
const PICTURE: &str = "image_generation_call";

/// See [`crate::dialect::Tap::stream_decoder`].
#[derive(Default)]
pub(super) struct Decoder {
    started: bool,
    ended: bool,
    /// By output position. A position that begins anew replaces what was there: some servers number nothing.
    items: BTreeMap<u64, Item>,
    calls: u32,
    refused: bool,
    /// A seal over the call that comes next.
    next_seal: Option<Signature>,
}

/// What was said of one output item.
#[derive(Default)]
struct Item {
    call: Option<u32>,
    /// Content or summary positions that had deltas.
    said: Vec<u64>,
    cited: bool,
    done: bool,
}

impl Item {
    /// Notes a delta at this position; says whether it is the first there.
    fn say(&mut self, position: u64) -> bool {
        let new = !self.said.contains(&position);
        if new {
            self.said.push(position);
        }
        new
    }
}

/// Any event. Values that have several shapes stay raw until the type says which.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(default)]
    output_index: u64,
    #[serde(default)]
    content_index: u64,
    #[serde(default)]
    summary_index: u64,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    annotation: Option<&'a RawValue>,
    #[serde(borrow)]
    logprobs: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl StreamDecoder for Decoder {
    fn frame(&mut self, frame: &Frame, out: &mut Vec<Event>) -> Result<()> {
        let Some(data) = frame.data().filter(|data| !data.is_empty() && *data != b"[DONE]") else {
            return Ok(());
        };
        if self.ended {
            return Ok(());
        }
        let body: Body<'_> = parse(data)?;
        match &*body.kind {
            "response.output_text.delta" => self.text(&body, body.delta, out),
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                self.arguments(&body, body.delta, out)
            }
            "response.reasoning_summary_text.delta" => self.thought(&body, body.summary_index, body.delta, out),
            "response.reasoning_text.delta" => self.thought(&body, body.content_index, body.delta, out),
            "response.refusal.delta" => self.refusal(&body, body.delta, out),
            "response.output_text.done" => self.rest(&body, body.content_index, body.text, Self::text, out),
            "response.refusal.done" => self.rest(&body, body.content_index, body.refusal, Self::refusal, out),
            "response.function_call_arguments.done" => self.rest(&body, 0, body.arguments, Self::arguments, out),
            "response.custom_tool_call_input.done" => self.rest(&body, 0, body.input, Self::arguments, out),
            "response.output_text.annotation.added" => self.annotation(&body, out),
            "response.created" | "response.in_progress" | "response.queued" => self.start(&body, out),
            "response.output_item.added" => self.added(&body, out),
            "response.output_item.done" => self.done(&body, out),
            "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
                self.terminal(&body, out)
            }
            // A picture that is not done yet.
            "response.image_generation_call.partial_image" => {
                out.push(Event::Opaque { kind: PICTURE.to_owned() });
                Ok(())
            }
            "error" => self.fail(error::of_body(&parse(data)?), out),
            "" if body.error.is_some() => self.fail(error::of_body(&parse(data)?), out),
            _ => Ok(()),
        }
    }

    fn end(&mut self, _out: &mut Vec<Event>) -> Result<()> {
        if self.ended { Ok(()) } else { Err(WireError::Unfinished) }
    }
}

impl Decoder {
    fn start(&mut self, body: &Body<'_>, out: &mut Vec<Event>) -> Result<()> {
        let Some(response) = body.response.filter(|_| !self.started) else {
            return Ok(());
        };
        let object: Object<'_> = parse(response.get().as_bytes())?;
        self.started = true;
        out.push(Event::Start {
            id: object.id.map(Cow::into_owned),
            model: object.model.map(Cow::into_owned),
            created: object.created_at.as_ref().and_then(crate::fields::token_count),
        });
        Ok(())
    }

    /// An item begins. Calls are announced now, so that their arguments can flow.
    fn added(&mut self, body: &Body<'_>, out: &mut Vec<Event>) -> Result<()> {
        let Some(raw) = body.item else {
            return Ok(());
        };
        self.items.insert(body.output_index, Item::default());
        let tag: Tag<'_> = parse(raw.get().as_bytes())?;
        match call_kind(&tag.kind) {
            Some(kind) => {
                let mut item: CallItem = parse(raw.get().as_bytes())?;
                let id = item.answer_to();
                self.announce(body.output_index, id, item.name, kind, out);
            }
            None if !matches!(&*tag.kind, "message" | "reasoning") => {
                out.push(Event::Opaque { kind: tag.kind.into_owned() });
            }
            None => {}
        }
        Ok(())
    }

    fn announce(&mut self, index: u64, id: String, name: String, kind: ToolKind, out: &mut Vec<Event>) {
        let call = self.calls;
        self.calls = self.calls.saturating_add(1);
        self.item(index).call = Some(call);
        out.push(Event::ToolCall { choice: 0, call, id, name, kind, signature: self.next_seal.take() });
    }

    fn text(&mut self, body: &Body<'_>, text: Option<&RawValue>, out: &mut Vec<Event>) -> Result<()> {
        self.item(body.output_index).say(body.content_index);
        out.push(Event::Text { choice: 0, text: string(text)? });
        if let Some(raw) = body.logprobs.filter(|raw| raw.get().len() > 2) {
            let value = logprobs(parse(raw.get().as_bytes())?);
            out.push(Event::Logprobs { choice: 0, value });
        }
        Ok(())
    }

    fn refusal(&mut self, body: &Body<'_>, text: Option<&RawValue>, out: &mut Vec<Event>) -> Result<()> {
        self.refused = true;
        self.item(body.output_index).say(body.content_index);
        out.push(Event::Refusal { choice: 0, text: string(text)? });
        Ok(())
    }

    /// A piece of reasoning; a further summary is a paragraph of its own.
    fn thought(&mut self, body: &Body<'_>, position: u64, text: Option<&RawValue>, out: &mut Vec<Event>) -> Result<()> {
        let item = self.item(body.output_index);
        let further = item.say(position) && item.said.len() > 1;
        let text = string(text)?;
        let text = if further { format!("\n\n{text}") } else { text };
        out.push(Event::Reasoning { choice: 0, text });
        Ok(())
    }

    /// Arguments of a call that was announced; those of others come with their whole item.
    fn arguments(&mut self, body: &Body<'_>, text: Option<&RawValue>, out: &mut Vec<Event>) -> Result<()> {
        let item = self.item(body.output_index);
        if let Some(call) = item.call {
            item.say(0);
            out.push(Event::ToolArguments { choice: 0, call, text: string(text)? });
        }
        Ok(())
    }

    /// A whole text, told after its deltas: news only if there were none.
    fn rest(
        &mut self,
        body: &Body<'_>,
        position: u64,
        text: Option<&RawValue>,
        say: impl Fn(&mut Self, &Body<'_>, Option<&RawValue>, &mut Vec<Event>) -> Result<()>,
        out: &mut Vec<Event>,
    ) -> Result<()> {
        let told = self.item(body.output_index).said.contains(&position);
        if told || text.is_none_or(|text| text.get() == "\"\"") {
            return Ok(());
        }
        say(self, body, text, out)
    }

    fn annotation(&mut self, body: &Body<'_>, out: &mut Vec<Event>) -> Result<()> {
        if let Some(raw) = body.annotation {
            self.item(body.output_index).cited = true;
            let value: Value = parse(raw.get().as_bytes())?;
            out.push(Event::Citation { choice: 0, citation: citation(&value) });
        }
        Ok(())
    }

    fn done(&mut self, body: &Body<'_>, out: &mut Vec<Event>) -> Result<()> {
        match body.item {
            Some(item) => self.whole(body.output_index, item, out),
            None => Ok(()),
        }
    }

    /// An item is complete: says what its deltas did not.
    fn whole(&mut self, index: u64, raw: &RawValue, out: &mut Vec<Event>) -> Result<()> {
        let mut output = Output::default();
        output.read(raw)?;
        self.next_seal = output.next_seal.take().or_else(|| self.next_seal.take());
        let known = self.items.contains_key(&index);
        let item = self.item(index);
        if std::mem::replace(&mut item.done, true) {
            return Ok(());
        }
        let (said, cited, call) = (item.said.clone(), item.cited, item.call);
        for (position, part) in (0..).zip(output.parts) {
            let told = said.contains(&position);
            match part.content {
                Content::Text(text) => {
                    if !told && !text.text.is_empty() {
                        out.push(Event::Text { choice: 0, text: text.text });
                    }
                    let citations = text.citations.into_iter().filter(|_| !cited);
                    out.extend(citations.map(|citation| Event::Citation { choice: 0, citation }));
                }
                Content::Refusal(text) => {
                    self.refused = true;
                    if !told {
                        out.push(Event::Refusal { choice: 0, text });
                    }
                }
                Content::Reasoning(_) => reasoning(part, !said.is_empty(), out),
                Content::ToolCall(tool) => {
                    if call.is_none() {
                        self.announce(index, tool.id, tool.name, tool.kind, out);
                    }
                    if let Some(call) = self.item(index).call
                        && !told
                        && !tool.arguments.is_empty()
                    {
                        out.push(Event::ToolArguments { choice: 0, call, text: tool.arguments });
                    }
                }
                // Others say nothing new when they are done.
                Content::Opaque { kind, .. } if !known || kind == PICTURE => out.push(Event::Opaque { kind }),
                Content::Opaque { .. }
                | Content::Image(_)
                | Content::File(_)
                | Content::Audio(_)
                | Content::ToolResult(_) => {}
            }
        }
        if !output.logprobs.is_empty() && said.is_empty() {
            out.push(Event::Logprobs { choice: 0, value: logprobs(output.logprobs) });
        }
        Ok(())
    }

    fn terminal(&mut self, body: &Body<'_>, out: &mut Vec<Event>) -> Result<()> {
        let Some(raw) = body.response else {
            let message = format!("the stream ended with `{}`", body.kind);
            return self.fail(RemoteError { message, ..RemoteError::default() }, out);
        };
        self.start(body, out)?;
        let object: Object<'_> = parse(raw.get().as_bytes())?;
        if let Some(usage) = object.usage() {
            out.push(Event::Usage(usage));
        }
        if matches!(&*body.kind, "response.failed" | "response.cancelled") || object.failure().is_some() {
            let code = Some(body.kind.trim_start_matches("response.").to_owned());
            let unnamed = || RemoteError { code, message: "the response failed".into(), ..RemoteError::default() };
            return self.fail(object.failure().unwrap_or_else(unnamed), out);
        }
        if self.items.is_empty() {
            // A server that streams nothing but the end.
            for (index, item) in (0..).zip(object.output.iter().flatten()) {
                self.whole(index, item, out)?;
            }
        }
        let reason = match &*body.kind {
            "response.incomplete" => Some(object.incomplete()),
            _ => object.finish(self.calls > 0, self.refused),
        };
        let Some(reason) = reason else {
            return Err(WireError::Unfinished);
        };
        out.push(Event::Finish { choice: 0, reason });
        out.push(Event::Done);
        self.ended = true;
        Ok(())
    }

    fn fail(&mut self, error: RemoteError, out: &mut Vec<Event>) -> Result<()> {
        self.ended = true;
        out.push(Event::Error(error));
        Ok(())
    }

    /// The item at this position; made known if an upstream did not announce it.
    fn item(&mut self, index: u64) -> &mut Item {
        self.items.entry(index).or_default()
    }
}

fn reasoning(part: Part, told: bool, out: &mut Vec<Event>) {
    let Content::Reasoning(reasoning) = part.content else {
        return;
    };
    if !told && !reasoning.text.is_empty() {
        out.push(Event::Reasoning { choice: 0, text: reasoning.text });
    }
    if let Some(signature) = part.signature {
        let redacted = reasoning.redacted;
        out.push(Event::ReasoningSeal { choice: 0, signature, redacted, id: reasoning.id });
    }
}

fn call_kind(item: &str) -> Option<ToolKind> {
    match item {
        "function_call" => Some(ToolKind::Function),
        "custom_tool_call" => Some(ToolKind::Custom),
        _ => None,
    }
}

fn string(raw: Option<&RawValue>) -> Result<String> {
    raw.map_or_else(|| Ok(String::new()), |raw| parse(raw.get().as_bytes()))
}

#[cfg(test)]
mod tests;
