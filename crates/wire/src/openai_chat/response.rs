//! Reads an upstream's whole answer. Decides which of the vendors' spellings of the same thing counts. Tests are below.

use super::answer::{Answer, Call, Choice, Function, Message, Words, finish, parse, said};
use super::error;
use super::reasoning::{self, parts, thought};
use crate::chat::{self, Audio, Citation, Content, Image, Media, Part, Response, Text, ToolCall, ToolKind};
use crate::dialect::Decoded;
use crate::error::WireError;

type Result<T> = std::result::Result<T, WireError>;

/// See [`crate::dialect::UpstreamDialect::decode_response`].
pub(super) fn decode(body: &[u8]) -> Result<Decoded> {
    let answer = match parse(body) {
        Ok(answer) => answer,
        // Gemini wraps errors in an array, and others shape them in ways no answer has.
        Err(wrong) => return error::told(body).map(Decoded::Error).ok_or(wrong),
    };
    if answer.is_error() {
        return Ok(Decoded::Error(error::decode(body)));
    }
    if answer.choices.is_none() {
        let missing = || WireError::invalid("choices", "the answer has no `choices`");
        return error::told(body).map(Decoded::Error).ok_or_else(missing);
    }
    response(&answer).map(Decoded::Response)
}

fn response(answer: &Answer<'_>) -> Result<Response> {
    Ok(Response {
        id: said(&answer.id).map(str::to_owned),
        model: said(&answer.model).map(str::to_owned),
        created: answer.created(),
        choices: answer.choices.iter().flatten().map(choice).collect::<Result<_>>()?,
        usage: answer.usage(),
        service_tier: said(&answer.service_tier).map(str::to_owned),
        system_fingerprint: said(&answer.system_fingerprint).map(str::to_owned),
    })
}

fn choice(choice: &Choice<'_>) -> Result<chat::Choice> {
    let parts = choice.message().map(message).unwrap_or_default();
    let refused = parts.iter().any(|part| matches!(part.content, Content::Refusal(_)));
    let called = parts.iter().any(|part| matches!(part.content, Content::ToolCall(_)));
    let logprobs = choice.logprobs.map(|raw| serde_json::from_str(raw.get())).transpose();
    Ok(chat::Choice {
        index: choice.number(),
        finish: said(&choice.finish_reason).map(|word| finish(word, refused, called)),
        logprobs: logprobs
            .map_err(|_| WireError::invalid("choices[].logprobs", "the answer's `logprobs` cannot be read"))?,
        parts,
    })
}

/// What a message says, in the order models make it: thoughts, words, pictures, calls.
fn message(message: &Message<'_>) -> Vec<Part> {
    let details = message.reasoning_details.as_deref().unwrap_or_default();
    let mut said_parts = parts(details, message.plain_reasoning());
    words(message, &mut said_parts);
    said_parts.extend(said(&message.refusal).map(|text| Content::Refusal(text.to_owned()).into()));
    let images = message.images.iter().flatten().filter_map(|image| image.url());
    said_parts.extend(images.map(|url| Content::Image(Image { source: media(url), detail: None }).into()));
    if let Some(audio) = &message.audio {
        if message.content.is_none() && !audio.transcript().is_empty() {
            said_parts.push(Part::text(audio.transcript()));
        }
        // The answer does not say its format; the caller asked for it.
        said_parts.push(Content::Audio(Audio { data: audio.data().to_owned(), format: String::new() }).into());
    }
    said_parts.extend(message.tool_calls.iter().flatten().map(call));
    said_parts.extend(message.function_call.as_ref().map(function_call));
    reasoning::seal_calls(&mut said_parts);
    said_parts
}

/// Thoughts and words in `content`. The citations are the last text's, which they usually are the only one of.
fn words(message: &Message<'_>, parts: &mut Vec<Part>) {
    let mut citations: Vec<Citation> =
        message.annotations.iter().flatten().filter_map(|annotation| annotation.citation()).collect();
    let words = message.content.as_ref().map(|content| content.words()).unwrap_or_default();
    let last = words.iter().rposition(|words| matches!(words, Words::Said(_)));
    for (at, words) in words.into_iter().enumerate() {
        parts.push(match words {
            Words::Thought(text) => thought(text),
            Words::Said(text) => {
                let citations = if Some(at) == last { std::mem::take(&mut citations) } else { Vec::new() };
                Content::Text(Text { text: text.to_owned(), citations }).into()
            }
        });
    }
}

/// A picture at a URL, which may hold the picture itself.
fn media(url: &str) -> Media {
    let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    match inline {
        Some((media_type, data)) => Media::Base64 { media_type: media_type.to_owned(), data: data.to_owned() },
        None => Media::Url(url.to_owned()),
    }
}

fn call(call: &Call<'_>) -> Part {
    let tool_call = ToolCall {
        id: said(&call.id).unwrap_or_default().to_owned(),
        name: call.name().to_owned(),
        arguments: call.arguments().to_owned(),
        kind: call.kind(),
    };
    Part { signature: call.signature(), ..Content::ToolCall(tool_call).into() }
}

/// The one call of the old form, which has no id.
fn function_call(function: &Function<'_>) -> Part {
    let tool_call = ToolCall {
        id: String::new(),
        name: said(&function.name).unwrap_or_default().to_owned(),
        arguments: said(&function.arguments).unwrap_or_default().to_owned(),
        kind: ToolKind::Function,
    };
    Content::ToolCall(tool_call).into()
}

#[cfg(test)]
mod tests;
