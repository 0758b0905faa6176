//! Writes a stream for a caller: one chunk per event, ended by `[DONE]`, or by an error frame and nothing more.
//! Decides that no choice ends cleanly unless the upstream said so. Tests are below.

mod frames;

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use self::frames::{CallDelta, Delta, Frames, NamedDelta};
use super::encode_response::{
    Held, NO_END, add, annotation, call_id, completion_id, extra_content, failure, finish_word,
};
use super::{DONE, error, reasoning};
use crate::chat::event::Event;
use crate::chat::{Citation, FinishReason, Reasoning, Signature, ToolKind, Usage};
use crate::dialect::{Reply, StreamEncoder};
use crate::error::Fault;
use crate::loss::Losses;
use crate::sse;

/// See [`crate::dialect::ClientDialect::stream_encoder`].
#[derive(Debug)]
pub(super) struct Encoder {
    reply: Reply,
    frames: Frames,
    started: bool,
    ended: bool,
    choices: BTreeMap<u32, Progress>,
    usage: Option<Usage>,
    losses: Losses,
}

/// How far one of the parallel answers is.
#[derive(Debug, Default)]
struct Progress {
    calls: Vec<Call>,
    /// The number of the reasoning block that is open or comes next.
    block: usize,
    thinking: bool,
    refused: bool,
    finished: bool,
}

#[derive(Debug)]
struct Call {
    call: u32,
    kind: ToolKind,
    /// Nothing was said of its arguments yet.
    silent: bool,
}

/// See [`crate::dialect::ClientDialect::usage_frame`].
pub(super) fn usage_frame(reply: &Reply, id: Option<&str>, usage: &Usage) -> Bytes {
    let frames = Frames {
        id: id.map_or_else(|| completion_id(None, reply), str::to_owned),
        created: reply.created,
        model: reply.model.clone(),
        include_usage: true,
    };
    let mut out = BytesMut::new();
    frames.usage(usage, &mut out);
    out.freeze()
}

impl StreamEncoder for Encoder {
    fn event(&mut self, event: &Event, out: &mut BytesMut) {
        if self.ended {
            return;
        }
        match event {
            Event::Start { id, created, .. } => self.start(id.as_deref(), *created, out),
            Event::Text { choice, text } => self.text(*choice, text, out),
            Event::Refusal { choice, text } => self.refusal(*choice, text, out),
            Event::Citation { choice, citation } => self.citation(*choice, citation, out),
            Event::Reasoning { choice, text } => self.reasoning(*choice, text, out),
            Event::ReasoningSeal { choice, signature, redacted, id } => {
                let sealed = Reasoning { text: String::new(), redacted: *redacted, id: id.clone() };
                self.seal(*choice, &sealed, signature, out);
            }
            Event::ToolCall { choice, call, id, name, kind, signature } => {
                let extra = extra_content(signature.as_ref());
                self.call(*choice, *call, NamedCall { id, name, kind: *kind, extra: extra.as_ref() }, out);
            }
            Event::ToolArguments { choice, call, text } => self.arguments(*choice, *call, text, out),
            Event::Audio { choice, data, transcript } => self.audio(*choice, data, transcript, out),
            Event::Logprobs { choice, value } => {
                self.progress(*choice, out);
                self.frames.logprobs(*choice, value, out);
            }
            Event::Opaque { kind } => self.losses.dropped(format!("choices[].message.content[].{kind}")),
            Event::Usage(usage) => self.usage.get_or_insert_default().absorb(usage),
            Event::Finish { choice, reason } => self.finish(*choice, reason, out),
            Event::Done => self.done(out),
            // The gateway draws errors of ours from it, with `error`.
            Event::Error(_) => {}
        }
    }

    fn error(&mut self, fault: &Fault<'_>, out: &mut BytesMut) {
        if !std::mem::replace(&mut self.ended, true) {
            sse::write(out, None, &error::encode(fault));
        }
    }

    fn losses(&self) -> &Losses {
        &self.losses
    }
}

/// A call as it is announced.
struct NamedCall<'a> {
    id: &'a str,
    name: &'a str,
    kind: ToolKind,
    extra: Option<&'a Value>,
}

impl Encoder {
    pub(super) fn new(reply: Reply) -> Self {
        let frames = Frames {
            id: completion_id(None, &reply),
            created: reply.created,
            model: reply.model.clone(),
            include_usage: reply.include_usage,
        };
        Self {
            reply,
            frames,
            started: false,
            ended: false,
            choices: BTreeMap::new(),
            usage: None,
            losses: Losses::default(),
        }
    }

    /// Says who answers, and that the first choice has begun: callers see life at once.
    fn start(&mut self, id: Option<&str>, created: Option<u64>, out: &mut BytesMut) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        self.frames.id = completion_id(id, &self.reply);
        self.frames.created = created.unwrap_or(self.frames.created);
        self.progress(0, out);
    }

    /// The choice; begun with its role if it is new.
    fn progress(&mut self, choice: u32, out: &mut BytesMut) -> &mut Progress {
        // What is said before anybody said who answers.
        self.started = true;
        self.choices.entry(choice).or_insert_with(|| {
            self.frames.delta(choice, Delta { role: Some("assistant"), content: Some(""), ..Delta::default() }, out);
            Progress::default()
        })
    }

    fn text(&mut self, choice: u32, text: &str, out: &mut BytesMut) {
        if text.is_empty() {
            return;
        }
        self.progress(choice, out).end_block();
        self.frames.delta(choice, Delta { content: Some(text), ..Delta::default() }, out);
    }

    fn refusal(&mut self, choice: u32, text: &str, out: &mut BytesMut) {
        if text.is_empty() {
            return;
        }
        let progress = self.progress(choice, out);
        progress.end_block();
        progress.refused = true;
        self.frames.delta(choice, Delta { refusal: Some(text), ..Delta::default() }, out);
    }

    fn citation(&mut self, choice: u32, citation: &Citation, out: &mut BytesMut) {
        let Some(annotation) = annotation(citation, 0) else {
            return self.losses.dropped("choices[].message.annotations");
        };
        self.progress(choice, out);
        self.frames.delta(choice, Delta { annotations: Some([&annotation]), ..Delta::default() }, out);
    }

    /// The text stands in the details too, so that a client that keeps those sends back each block with its seal.
    fn reasoning(&mut self, choice: u32, text: &str, out: &mut BytesMut) {
        if text.is_empty() {
            return;
        }
        let progress = self.progress(choice, out);
        progress.thinking = true;
        let detail = json!({"type": "reasoning.text", "text": text, "index": progress.block});
        let delta = Delta { reasoning_content: Some(text), reasoning_details: Some(&[detail]), ..Delta::default() };
        self.frames.delta(choice, delta, out);
    }

    fn seal(&mut self, choice: u32, sealed: &Reasoning, signature: &Signature, out: &mut BytesMut) {
        let progress = self.progress(choice, out);
        if sealed.redacted {
            progress.end_block();
        }
        let details = reasoning::details(sealed, Some(signature), progress.block);
        progress.thinking = true;
        progress.end_block();
        self.frames.delta(choice, Delta { reasoning_details: Some(&details), ..Delta::default() }, out);
    }

    fn call(&mut self, choice: u32, call: u32, named: NamedCall<'_>, out: &mut BytesMut) {
        let progress = self.progress(choice, out);
        progress.end_block();
        let index = progress.calls.len();
        progress.calls.push(Call { call, kind: named.kind, silent: true });
        let id = call_id(named.id, &self.reply, choice, index);
        let delta = NamedDelta { index, id: &id, name: named.name, kind: named.kind, extra: named.extra };
        self.frames.call(choice, &CallDelta::named(&delta), out);
    }

    fn arguments(&mut self, choice: u32, call: u32, text: &str, out: &mut BytesMut) {
        let calls = &mut self.progress(choice, out).calls;
        let Some((index, call)) = calls.iter_mut().enumerate().rfind(|(_, open)| open.call == call) else {
            return self.losses.dropped("choices[].message.tool_calls[]");
        };
        if !text.is_empty() {
            call.silent = false;
            let kind = call.kind;
            self.frames.call(choice, &CallDelta::arguments(index, kind, text), out);
        }
    }

    fn audio(&mut self, choice: u32, data: &str, transcript: &str, out: &mut BytesMut) {
        self.progress(choice, out).end_block();
        let mut audio = json!({"id": format!("audio_{}", self.reply.id)});
        add(&mut audio, "data", Some(data).filter(|said| !said.is_empty()));
        add(&mut audio, "transcript", Some(transcript).filter(|said| !said.is_empty()));
        self.frames.delta(choice, Delta { audio: Some(&audio), ..Delta::default() }, out);
    }

    fn finish(&mut self, choice: u32, reason: &FinishReason, out: &mut BytesMut) {
        let progress = self.progress(choice, out);
        if std::mem::replace(&mut progress.finished, true) {
            return;
        }
        let unsaid = !progress.refused;
        let calls = std::mem::take(&mut progress.calls);
        if let FinishReason::Refusal(Some(why)) = reason
            && unsaid
        {
            self.refusal(choice, why, out);
        }
        let held = Held { called: !calls.is_empty(), refused: self.progress(choice, out).refused };
        match finish_word(reason, held, &mut self.losses) {
            Ok(word) => {
                self.complete(choice, &calls, out);
                self.frames.finish(choice, word, out);
            }
            Err(message) => self.fail(&message, out),
        }
    }

    /// A function that takes nothing is still called with an object.
    fn complete(&mut self, choice: u32, calls: &[Call], out: &mut BytesMut) {
        for (index, call) in calls.iter().enumerate() {
            if call.silent && call.kind == ToolKind::Function {
                self.frames.call(choice, &CallDelta::arguments(index, call.kind, "{}"), out);
            }
        }
    }

    fn done(&mut self, out: &mut BytesMut) {
        if self.choices.is_empty() || self.choices.values().any(|progress| !progress.finished) {
            return self.fail(NO_END, out);
        }
        if let Some(usage) = self.usage.filter(|_| self.reply.include_usage) {
            self.frames.usage(&usage, out);
        }
        out.extend_from_slice(DONE);
        self.ended = true;
    }

    fn fail(&mut self, message: &str, out: &mut BytesMut) {
        self.ended = true;
        sse::write(out, None, failure(message).to_string().as_bytes());
    }
}

impl Progress {
    /// Something else than thoughts comes: further thoughts are another block.
    fn end_block(&mut self) {
        self.block += usize::from(std::mem::take(&mut self.thinking));
    }
}

#[cfg(test)]
mod tests;
