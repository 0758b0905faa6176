//! Reads an upstream's stream, of chat or of legacy completions: a state machine with one terminal state.
//! Decides which pieces belong to which call, and when a stream without `[DONE]` was whole all the same. Tests are below.

mod alike;
mod calls;

use self::alike::Pattern;
use self::calls::Calls;
use super::answer::{Answer, Choice, Message, Words, finish, parse, said};
use super::error;
use super::reasoning::Seal;
use crate::Dialect;
use crate::chat::event::Event;
use crate::chat::{Served, Signature, Usage};
use crate::dialect::StreamDecoder;
use crate::error::WireError;
use crate::sse::Frame;

type Result<T> = std::result::Result<T, WireError>;

/// See [`crate::dialect::Tap::stream_decoder`].
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    started: bool,
    ended: bool,
    choices: Vec<Progress>,
    /// What the latest chunk that said so said.
    served: Option<Served>,
    pattern: Pattern,
}

/// How far one of the parallel answers is.
#[derive(Debug, Default)]
struct Progress {
    choice: u32,
    calls: Calls,
    refused: bool,
    finished: bool,
}

impl StreamDecoder for Decoder {
    fn frame(&mut self, frame: &Frame, out: &mut Vec<Event>) -> Result<()> {
        let Some(data) = frame.data().map(<[u8]>::trim_ascii).filter(|data| !data.is_empty()) else {
            return Ok(());
        };
        if self.ended {
            return Ok(());
        }
        if data == b"[DONE]" {
            self.finish_calls(out);
            return self.end_with(Event::Done, out);
        }
        if frame.event() == Some("error") {
            return self.end_with(Event::Error(error::decode(data)), out);
        }
        if let Some(event) = self.pattern.read(data) {
            out.push(event);
            return Ok(());
        }
        match parse(data) {
            Ok(answer) => self.chunk(&answer, data, out),
            Err(wrong) => match error::told(data) {
                Some(error) => self.end_with(Event::Error(error), out),
                None => Err(wrong),
            },
        }
    }

    fn end(&mut self, out: &mut Vec<Event>) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        if self.choices.is_empty() || self.choices.iter().any(|choice| !choice.finished) {
            return Err(WireError::Unfinished);
        }
        self.end_with(Event::Done, out)
    }
}

impl Decoder {
    fn chunk(&mut self, answer: &Answer<'_>, data: &[u8], out: &mut Vec<Event>) -> Result<()> {
        if answer.is_error() {
            return self.end_with(Event::Error(error::decode(data)), out);
        }
        if answer.choices.is_none()
            && let Some(error) = error::told(data)
        {
            return self.end_with(Event::Error(error), out);
        }
        let before = out.len();
        self.start(answer, out);
        for choice in answer.choices.iter().flatten() {
            self.read(choice, out)?;
        }
        self.served = answer.served().or(self.served);
        let usage = answer.usage().map(|usage| Usage { served: self.served, ..usage });
        out.extend(usage.map(Event::Usage));
        let (choices, said) = (answer.choices.as_deref(), out.get(before..));
        self.pattern.learn(data, choices.unwrap_or_default(), said.unwrap_or_default());
        Ok(())
    }

    /// Azure's filter results come first and name nobody; the next chunk does.
    fn start(&mut self, answer: &Answer<'_>, out: &mut Vec<Event>) {
        let (id, model) = (said(&answer.id), said(&answer.model));
        let has_choices = answer.choices.as_ref().is_some_and(|choices| !choices.is_empty());
        if self.started || (id.is_none() && model.is_none() && !has_choices) {
            return;
        }
        self.started = true;
        out.push(Event::Start {
            id: id.map(str::to_owned),
            model: model.map(str::to_owned),
            created: answer.created(),
        });
    }

    fn read(&mut self, choice: &Choice<'_>, out: &mut Vec<Event>) -> Result<()> {
        let number = choice.number();
        if let Some(progress) = self.choices.iter_mut().find(|progress| progress.choice == number) {
            return progress.read(choice, out);
        }
        let mut progress = Progress { choice: number, ..Progress::default() };
        let read = progress.read(choice, out);
        self.choices.push(progress);
        read
    }

    fn finish_calls(&mut self, out: &mut Vec<Event>) {
        for progress in &mut self.choices {
            progress.calls.finish(progress.choice, out);
        }
    }

    fn end_with(&mut self, event: Event, out: &mut Vec<Event>) -> Result<()> {
        self.ended = true;
        out.push(event);
        Ok(())
    }
}

impl Progress {
    fn read(&mut self, choice: &Choice<'_>, out: &mut Vec<Event>) -> Result<()> {
        if let Some(text) = said(&choice.text) {
            out.push(Event::Text { choice: self.choice, text: text.to_owned() });
        }
        if let Some(delta) = choice.delta() {
            self.delta(delta, out);
        }
        if let Some(raw) = choice.logprobs {
            let value = serde_json::from_str(raw.get())
                .map_err(|_| WireError::invalid("choices[].logprobs", "the stream's `logprobs` cannot be read"))?;
            out.push(Event::Logprobs { choice: self.choice, value });
        }
        // Some vendors repeat the reason in every chunk that follows.
        if let Some(word) = said(&choice.finish_reason).filter(|_| !self.finished) {
            self.calls.finish(self.choice, out);
            self.finished = true;
            let reason = finish(word, self.refused, !self.calls.is_empty());
            out.push(Event::Finish { choice: self.choice, reason });
        }
        Ok(())
    }

    fn delta(&mut self, delta: &Message<'_>, out: &mut Vec<Event>) {
        let choice = self.choice;
        let strays = self.thoughts(delta, out);
        for words in delta.content.iter().flat_map(|content| content.words()) {
            out.push(match words {
                Words::Said(text) => Event::Text { choice, text: text.to_owned() },
                Words::Thought(text) => Event::Reasoning { choice, text: text.to_owned() },
            });
        }
        if let Some(text) = said(&delta.refusal) {
            self.refused = true;
            out.push(Event::Refusal { choice, text: text.to_owned() });
        }
        let citations = delta.annotations.iter().flatten().filter_map(|annotation| annotation.citation());
        out.extend(citations.map(|citation| Event::Citation { choice, citation }));
        if let Some(audio) = &delta.audio {
            let (data, transcript) = (audio.data().to_owned(), audio.transcript().to_owned());
            out.push(Event::Audio { choice, data, transcript });
        }
        out.extend(delta.images.iter().flatten().map(|_| Event::Opaque { kind: "image_url".to_owned() }));
        for call in delta.tool_calls.iter().flatten() {
            let stray = strays.iter().find(|(id, _)| said(&call.id) == Some(id));
            let signature = call.signature().or_else(|| stray.map(|(_, signature)| signature.clone()));
            self.calls.piece(choice, call, signature, out);
        }
        if let Some(function) = &delta.function_call {
            self.calls.function_piece(choice, function, out);
        }
    }

    /// Says the thoughts of a delta. What it gives back are Google's seals for calls of the same delta, by call id.
    fn thoughts(&self, delta: &Message<'_>, out: &mut Vec<Event>) -> Vec<(String, Signature)> {
        let choice = self.choice;
        let details = delta.reasoning_details.as_deref().unwrap_or_default();
        // The plain field says the same as the details, where those say anything.
        if let Some(text) = delta.plain_reasoning()
            && details.iter().all(|detail| detail.text().is_none())
        {
            out.push(Event::Reasoning { choice, text: text.to_owned() });
        }
        let mut strays = Vec::new();
        for detail in details {
            if let Some(text) = detail.text() {
                out.push(Event::Reasoning { choice, text: text.to_owned() });
            }
            match detail.seal() {
                Some(Seal { signature, id: Some(id), .. }) if seals_call(delta, &signature, &id) => {
                    strays.push((id, signature));
                }
                Some(Seal { signature, redacted, id }) => {
                    out.push(Event::ReasoningSeal { choice, signature, redacted, id });
                }
                None => {}
            }
        }
        strays
    }
}

/// OpenRouter hands Google's seals out beside the call they are over.
fn seals_call(delta: &Message<'_>, signature: &Signature, id: &str) -> bool {
    let mut calls = delta.tool_calls.iter().flatten();
    signature.dialect == Dialect::Gemini && calls.any(|call| said(&call.id) == Some(id))
}

#[cfg(test)]
mod tests;
