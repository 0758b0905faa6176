//! Whole answers: read into the neutral model, or only surveyed for accounting.

use super::call_ids::CallIds;
use super::grounding::Cited;
use super::piece::{self, Candidate, Piece, Word};
use super::{error, part};
use crate::chat::{Choice, Content, FinishReason, Part, Response, Usage};
use crate::dialect::{Decoded, Survey};
use crate::error::{RemoteError, WireError};

pub(super) fn decode(body: &[u8]) -> Result<Decoded, WireError> {
    let piece = whole(body)?;
    if let Some(error) = remote_error(&piece) {
        return Ok(Decoded::Error(error));
    }
    let mut ids = CallIds::default();
    ids.answer(piece.response_id.as_ref().map(|id| id.0.as_ref()));
    let blocked = piece.is_blocked();
    let mut choices: Vec<Choice> =
        piece.candidates.unwrap_or_default().into_iter().map(|candidate| choice(candidate, &mut ids, body)).collect();
    if choices.is_empty() {
        if !blocked {
            return Err(WireError::invalid(
                "candidates",
                "the answer holds neither a candidate nor a reason for having none",
            ));
        }
        choices.push(Choice { finish: Some(FinishReason::ContentFilter), ..Choice::default() });
    }
    Ok(Decoded::Response(Response {
        id: piece.response_id.map(Word::owned),
        model: piece.model_version.map(Word::owned),
        choices,
        usage: piece.usage_metadata.map(Usage::from),
        ..Response::default()
    }))
}

pub(super) fn survey(body: &[u8]) -> Result<Survey, WireError> {
    let piece = whole(body)?;
    Ok(Survey {
        error: remote_error(&piece),
        output_bytes: piece.candidates.iter().flatten().map(output_bytes).sum(),
        usage: piece.usage_metadata.map(Usage::from),
    })
}

/// The error an answer turned out to be.
pub(super) fn remote_error(piece: &Piece<'_>) -> Option<RemoteError> {
    let json = piece.error?.get();
    Some(error::read(&serde_json::from_str(json).unwrap_or_default()))
}

/// The one object of a body, which must look like an answer or an error.
fn whole(body: &[u8]) -> Result<Piece<'_>, WireError> {
    piece::read(body)?
        .into_iter()
        .next()
        .filter(|piece| piece.candidates.is_some() || piece.prompt_feedback.is_some() || piece.error.is_some())
        .ok_or(WireError::Syntax { at: 0, message: "it is not a Gemini answer" })
}

fn choice(candidate: Candidate<'_>, ids: &mut CallIds, body: &[u8]) -> Choice {
    let raw_parts = candidate.content.and_then(|content| content.parts);
    // Keeps the place of parts that say nothing, because citations name parts by their place.
    let mut parts: Vec<Option<Part>> =
        raw_parts.unwrap_or_default().into_iter().map(|raw| part::read(raw, ids, body)).collect();
    let grounded = candidate.grounding_metadata.map(|found| found.cited());
    let recited = candidate.citation_metadata.map(|found| found.cited());
    for cited in [grounded, recited].into_iter().flatten().flatten() {
        cite(&mut parts, cited);
    }
    let parts: Vec<Part> = parts.into_iter().flatten().collect();
    let called = parts.iter().any(|part| matches!(part.content, Content::ToolCall(_)));
    Choice {
        index: candidate.index.unwrap_or(0),
        finish: candidate.finish_reason.map(|word| piece::finish(&word.0, called)),
        logprobs: candidate.logprobs_result.and_then(|result| result.into_openai()),
        parts,
    }
}

/// Puts a citation on the text it names, or on the first text if it names another part.
fn cite(parts: &mut [Option<Part>], cited: Cited) {
    let is_text = |part: &Option<Part>| part.as_ref().is_some_and(|part| matches!(part.content, Content::Text(_)));
    let named = parts.get(cited.part).is_some_and(is_text);
    let at = if named { Some(cited.part) } else { parts.iter().position(is_text) };
    if let Some(Some(part)) = at.and_then(|at| parts.get_mut(at))
        && let Content::Text(text) = &mut part.content
    {
        let citation = cited.within(&text.text);
        text.citations.push(citation);
    }
}

fn output_bytes(candidate: &Candidate<'_>) -> u64 {
    let parts = candidate.content.iter().flat_map(|content| &content.parts);
    parts
        .flatten()
        .map(|part| {
            let text = part.text.as_ref().map_or(0, |text| text.0.len());
            let arguments = part.function_call.as_ref().and_then(|call| call.args).map_or(0, |args| args.get().len());
            (text + arguments) as u64
        })
        .sum()
}

#[cfg(test)]
mod tests;
