//! Streams of `alt=sse`: every frame is a piece shaped like a whole answer, calls arrive whole, and nothing marks the end.
//! So a finish is held until the bytes end: only then is it known whether the candidate called a function, and some
//! models repeat `STOP` in every piece. Without a finish for each candidate the stream is unfinished.

use std::collections::BTreeMap;

use super::call_ids::CallIds;
use super::piece::{self, Candidate, Piece, Word};
use super::{part, response};
use crate::chat::event::Event;
use crate::chat::{Citation, Content, FinishReason, Part, Usage};
use crate::dialect::StreamDecoder;
use crate::error::WireError;
use crate::sse::Frame;

#[derive(Debug, Default)]
pub(super) struct Decoder {
    started: bool,
    /// `Done` or `Error` was given.
    over: bool,
    /// The prompt was refused; counts only if no candidate came.
    blocked: bool,
    ids: CallIds,
    /// By index.
    candidates: BTreeMap<u32, Progress>,
}

/// What is remembered of one candidate.
#[derive(Debug, Default)]
struct Progress {
    index: u32,
    calls: u32,
    /// The text so far: citations count its bytes.
    text: String,
    cited: Vec<Citation>,
    finish: Option<String>,
}

impl StreamDecoder for Decoder {
    fn frame(&mut self, frame: &Frame, out: &mut Vec<Event>) -> Result<(), WireError> {
        let Some(data) = frame.data() else {
            return Ok(());
        };
        for piece in piece::read(data)? {
            if self.over {
                return Ok(());
            }
            self.piece(piece, data, out);
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<Event>) -> Result<(), WireError> {
        if self.over {
            return Ok(());
        }
        let finishes = self.finishes().ok_or(WireError::Unfinished)?;
        out.extend(finishes);
        out.push(Event::Done);
        self.over = true;
        Ok(())
    }
}

impl Decoder {
    fn piece(&mut self, piece: Piece<'_>, json: &[u8], out: &mut Vec<Event>) {
        if let Some(error) = response::remote_error(&piece) {
            out.push(Event::Error(error));
            self.over = true;
            return;
        }
        self.blocked |= piece.is_blocked();
        self.ids.answer(piece.response_id.as_ref().map(|id| id.0.as_ref()));
        if !self.started {
            self.started = true;
            out.push(Event::Start {
                id: piece.response_id.map(Word::owned),
                model: piece.model_version.map(Word::owned),
                created: None,
            });
        }
        // The counts first: dialects that begin with the input's count can then say it.
        if let Some(counts) = piece.usage_metadata {
            out.push(Event::Usage(Usage::from(counts)));
        }
        for candidate in piece.candidates.unwrap_or_default() {
            self.candidate(candidate, json, out);
        }
    }

    fn candidate(&mut self, candidate: Candidate<'_>, json: &[u8], out: &mut Vec<Event>) {
        let index = candidate.index.unwrap_or(0);
        let progress = self.candidates.entry(index).or_insert_with(|| Progress { index, ..Progress::default() });
        let parts = candidate.content.and_then(|content| content.parts);
        for raw in parts.unwrap_or_default() {
            if let Some(part) = part::read(raw, &mut self.ids, json) {
                progress.part(part, out);
            }
        }
        let grounded = candidate.grounding_metadata.map(|found| found.cited());
        let recited = candidate.citation_metadata.map(|found| found.cited());
        for cited in [grounded, recited].into_iter().flatten().flatten() {
            let citation = cited.within(&progress.text);
            progress.cite(citation, out);
        }
        if let Some(value) = candidate.logprobs_result.and_then(|result| result.into_openai()) {
            out.push(Event::Logprobs { choice: progress.index, value });
        }
        if let Some(word) = candidate.finish_reason {
            progress.finish = Some(word.owned());
        }
    }

    /// How each candidate ended; `None` if one did not, or if there was none.
    fn finishes(&self) -> Option<Vec<Event>> {
        if self.candidates.is_empty() && self.blocked {
            return Some(vec![Event::Finish { choice: 0, reason: FinishReason::ContentFilter }]);
        }
        let finish = |progress: &Progress| {
            Some(Event::Finish {
                choice: progress.index,
                reason: piece::finish(progress.finish.as_deref()?, progress.calls > 0),
            })
        };
        let finishes: Vec<Event> = self.candidates.values().map(finish).collect::<Option<_>>()?;
        (!finishes.is_empty()).then_some(finishes)
    }
}

impl Progress {
    fn part(&mut self, part: Part, out: &mut Vec<Event>) {
        let choice = self.index;
        match part.content {
            Content::Text(text) => {
                self.text.push_str(&text.text);
                out.push(Event::Text { choice, text: text.text });
            }
            Content::Reasoning(reasoning) if !reasoning.text.is_empty() => {
                out.push(Event::Reasoning { choice, text: reasoning.text });
            }
            Content::ToolCall(call) => {
                let number = self.calls;
                self.calls = self.calls.saturating_add(1);
                out.push(Event::ToolCall {
                    choice,
                    call: number,
                    id: call.id,
                    name: call.name,
                    kind: call.kind,
                    signature: part.signature,
                });
                out.push(Event::ToolArguments { choice, call: number, text: call.arguments });
                return;
            }
            Content::Audio(audio) => out.push(Event::Audio { choice, data: audio.data, transcript: String::new() }),
            Content::Opaque { kind, .. } => out.push(Event::Opaque { kind }),
            // No event can carry bytes of these; saying so beats silence.
            Content::Image(_) | Content::File(_) => out.push(Event::Opaque { kind: "inlineData".to_owned() }),
            Content::Reasoning(_) | Content::Refusal(_) | Content::ToolResult(_) => {}
        }
        if let Some(signature) = part.signature {
            out.push(Event::ReasoningSeal { choice, signature, redacted: false, id: None });
        }
    }

    /// Pieces may repeat what earlier ones cited.
    fn cite(&mut self, citation: Citation, out: &mut Vec<Event>) {
        if self.cited.contains(&citation) {
            return;
        }
        self.cited.push(citation.clone());
        out.push(Event::Citation { choice: self.index, citation });
    }
}

#[cfg(test)]
mod tests;
