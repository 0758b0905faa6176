//! Writes a whole answer for a caller, and the pieces that streams show too. Decides how ends, calls and sources look;
//! an answer without a clean end becomes an error body. Tests are below.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::reasoning::{details, google_seal};
use super::usage::Shown;
use crate::chat::{
    Choice, Citation, Content, FinishReason, Media, Part, Reasoning, Response, Signature, ToolCall, ToolKind,
};
use crate::dialect::Reply;
use crate::loss::Losses;

/// See [`crate::dialect::ClientDialect::encode_response`].
pub(super) fn encode(response: &Response, reply: &Reply, losses: &mut Losses) -> Bytes {
    let mut choices = Vec::new();
    for choice in &response.choices {
        match encode_choice(choice, reply, losses) {
            Ok(choice) => choices.push(choice),
            Err(message) => return failure(&message).to_string().into(),
        }
    }
    if choices.is_empty() {
        return failure(NO_END).to_string().into();
    }
    let mut body = json!({
        "id": completion_id(response.id.as_deref(), reply),
        "object": "chat.completion",
        "created": response.created.unwrap_or(reply.created),
        "model": reply.model,
        "choices": choices,
    });
    add(&mut body, "usage", response.usage.as_ref().map(Shown::from));
    add(&mut body, "service_tier", response.service_tier.as_ref());
    add(&mut body, "system_fingerprint", response.system_fingerprint.as_ref());
    body.to_string().into()
}

/// What is told of an answer that just stops.
pub(super) const NO_END: &str = "the model's provider gave no end to the answer";

/// An error in place of an end.
pub(super) fn failure(message: &str) -> Value {
    json!({"error": {"message": message, "type": "server_error", "param": null, "code": null}})
}

/// The upstream's id if it is one of this dialect, else ours.
pub(super) fn completion_id(upstream: Option<&str>, reply: &Reply) -> String {
    upstream.filter(|id| id.starts_with("chatcmpl-")).map_or_else(|| format!("chatcmpl-{}", reply.id), str::to_owned)
}

/// The upstream's id of a call, else one of ours.
pub(super) fn call_id(upstream: &str, reply: &Reply, choice: u32, position: usize) -> String {
    match (upstream, choice) {
        ("", 0) => format!("call_{}_{position}", reply.id),
        ("", choice) => format!("call_{}_{choice}_{position}", reply.id),
        (id, _) => id.to_owned(),
    }
}

/// What else an answer holds decides how its end is told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    pub(super) called: bool,
    pub(super) refused: bool,
}

/// How an answer ended, in one of the five words that clients know; what failed has none, but a sentence.
pub(super) fn finish_word(finish: &FinishReason, held: Held, losses: &mut Losses) -> Result<&'static str, String> {
    Ok(match finish {
        // Some upstreams end calls with a plain stop; a client would then not run them.
        FinishReason::Stop | FinishReason::ToolCalls if held.called => "tool_calls",
        FinishReason::Stop | FinishReason::ToolCalls if held.refused => "content_filter",
        FinishReason::StopSequence(Some(_)) => {
            losses.dropped("stop_sequence");
            "stop"
        }
        FinishReason::Stop | FinishReason::ToolCalls | FinishReason::StopSequence(None) => "stop",
        FinishReason::Length | FinishReason::ContextWindow => "length",
        FinishReason::ContentFilter | FinishReason::Refusal(_) => "content_filter",
        FinishReason::Pause => {
            losses.emulated("choices[].finish_reason");
            "stop"
        }
        FinishReason::Failed(word) => return Err(format!("the model's provider ended the answer: {word}")),
    })
}

/// A citation of a web page; `None` for sources without an address. `offset` is what was said before the cited text.
pub(super) fn annotation(citation: &Citation, offset: u64) -> Option<Value> {
    let url = citation.url.as_deref()?;
    let start = citation.start.unwrap_or(0);
    let mut cited = json!({
        "start_index": start.saturating_add(offset),
        "end_index": citation.end.unwrap_or(start).saturating_add(offset),
        "title": citation.title.as_deref().unwrap_or(url),
        "url": url,
    });
    add(&mut cited, "content", citation.cited_text.as_ref());
    Some(json!({"type": "url_citation", "url_citation": cited}))
}

/// Google's seal over a call, where its own compatible API puts it.
pub(super) fn extra_content(signature: Option<&Signature>) -> Option<Value> {
    google_seal(signature).map(|seal| json!({"google": {"thought_signature": seal}}))
}

/// Adds a field that is absent where there is nothing to say.
pub(super) fn add(object: &mut Value, key: &str, value: Option<impl Serialize>) {
    if let (Some(value), Some(object)) = (value, object.as_object_mut()) {
        object.insert(key.to_owned(), json!(value));
    }
}

fn encode_choice(choice: &Choice, reply: &Reply, losses: &mut Losses) -> Result<Value, String> {
    let mut message = Message::new(choice.index, reply, losses);
    for part in &choice.parts {
        message.part(part);
    }
    let finish = choice.finish.as_ref().ok_or(NO_END)?;
    if let FinishReason::Refusal(Some(why)) = finish
        && message.refusal.is_none()
    {
        message.refusal = Some(why.clone());
    }
    let held = Held { called: !message.calls.is_empty(), refused: message.refusal.is_some() };
    let word = finish_word(finish, held, message.losses)?;
    Ok(json!({
        "index": choice.index,
        "message": message.finish(),
        "logprobs": choice.logprobs,
        "finish_reason": word,
    }))
}

/// The one message of a choice, as it is gathered.
struct Message<'a> {
    choice: u32,
    reply: &'a Reply,
    losses: &'a mut Losses,
    text: Option<String>,
    refusal: Option<String>,
    annotations: Vec<Value>,
    thoughts: String,
    details: Vec<Value>,
    /// A thought has a seal, which the caller must be able to send back.
    sealed: bool,
    blocks: usize,
    audio: Option<Value>,
    images: Vec<Value>,
    calls: Vec<Value>,
}

impl<'a> Message<'a> {
    fn new(choice: u32, reply: &'a Reply, losses: &'a mut Losses) -> Self {
        Self {
            choice,
            reply,
            losses,
            text: None,
            refusal: None,
            annotations: Vec::new(),
            thoughts: String::new(),
            details: Vec::new(),
            sealed: false,
            blocks: 0,
            audio: None,
            images: Vec::new(),
            calls: Vec::new(),
        }
    }

    fn part(&mut self, part: &Part) {
        match &part.content {
            Content::Text(text) => {
                self.text(&text.text, &text.citations);
                self.seal(part.signature.as_ref());
            }
            Content::Refusal(words) => self.refusal.get_or_insert_default().push_str(words),
            Content::Reasoning(reasoning) => {
                self.thoughts.push_str(&reasoning.text);
                self.details.extend(details(reasoning, part.signature.as_ref(), self.blocks));
                self.blocks += 1;
                self.sealed |= part.signature.is_some();
            }
            Content::ToolCall(call) => self.call(call, part.signature.as_ref()),
            Content::Audio(audio) => self.audio(&audio.data),
            Content::Image(image) => self.image(&image.source),
            Content::Opaque { kind, .. } => self.losses.dropped(format!("choices[].message.content[].{kind}")),
            Content::File(_) => self.losses.dropped("choices[].message.file"),
            Content::ToolResult(_) => self.losses.dropped("choices[].message.content"),
        }
    }

    fn text(&mut self, text: &str, citations: &[Citation]) {
        let said = self.text.get_or_insert_default();
        let offset = if citations.is_empty() { 0 } else { said.chars().count() as u64 };
        said.push_str(text);
        for citation in citations {
            match annotation(citation, offset) {
                Some(annotation) => self.annotations.push(annotation),
                None => self.losses.dropped("choices[].message.annotations"),
            }
        }
    }

    /// A seal over a text follows it, as in a stream.
    fn seal(&mut self, signature: Option<&Signature>) {
        if signature.is_some() {
            self.details.extend(details(&Reasoning::default(), signature, self.blocks));
            self.blocks += 1;
            self.sealed = true;
        }
    }

    fn call(&mut self, call: &ToolCall, signature: Option<&Signature>) {
        let id = call_id(&call.id, self.reply, self.choice, self.calls.len());
        let mut written = match call.kind {
            ToolKind::Function => {
                let arguments = if call.arguments.is_empty() { "{}" } else { &call.arguments };
                json!({"id": id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
            }
            ToolKind::Custom => {
                json!({"id": id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}})
            }
        };
        add(&mut written, "extra_content", extra_content(signature));
        self.calls.push(written);
    }

    /// What was said is in the text; nothing is kept for later turns, so it expires at once.
    fn audio(&mut self, data: &str) {
        self.audio = Some(json!({
            "id": format!("audio_{}", self.reply.id),
            "expires_at": self.reply.created,
            "data": data,
            "transcript": "",
        }));
    }

    fn image(&mut self, source: &Media) {
        let url = match source {
            Media::Base64 { media_type, data } => format!("data:{media_type};base64,{data}"),
            Media::Url(url) => url.clone(),
            Media::FileId(_) | Media::Text(_) => return self.losses.dropped("choices[].message.images"),
        };
        self.images.push(json!({"type": "image_url", "image_url": {"url": url}}));
    }

    fn finish(self) -> Value {
        let mut message = Map::new();
        message.insert("role".to_owned(), json!("assistant"));
        message.insert("content".to_owned(), json!(self.text));
        message.insert("refusal".to_owned(), json!(self.refusal));
        let mut list = |key: &str, items: Vec<Value>| {
            if !items.is_empty() {
                message.insert(key.to_owned(), Value::Array(items));
            }
        };
        list("annotations", self.annotations);
        list("images", self.images);
        list("tool_calls", self.calls);
        if self.sealed {
            list("reasoning_details", self.details);
        }
        if !self.thoughts.is_empty() {
            message.insert("reasoning_content".to_owned(), json!(self.thoughts));
        }
        if let Some(audio) = self.audio {
            message.insert("audio".to_owned(), audio);
        }
        Value::Object(message)
    }
}

#[cfg(test)]
mod tests;
