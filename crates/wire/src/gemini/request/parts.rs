//! One neutral part as a part of Gemini's. Results of tools are not written here, because they need the calls they
//! answer. Tests: `request/tests.rs`.

use serde_json::{Map, Value, json};

use super::{Result, unsupported};
use crate::Dialect;
use crate::chat::{Audio, Content, File, Image, Media, Part, Reasoning, Signature, ToolCall, ToolKind};
use crate::emulation::{tool_name, wrap_custom};
use crate::loss::Losses;

/// Where the API can fetch a file by itself: its own Files API and Google's buckets.
const FETCHED: [&str; 2] = ["https://generativelanguage.googleapis.com/", "gs://"];

/// Documents the API reads, beside text, pictures, sound and films.
const DOCUMENTS: [&str; 4] = ["application/pdf", "application/json", "application/xml", "application/rtf"];

/// The part that says a part; `None` for empty text, for results, and for what must be left out.
pub(super) fn write(part: &Part, losses: &mut Losses) -> Result<Option<Value>> {
    if part.cache.is_some() {
        losses.dropped("cache_control");
    }
    let seal = own_seal(part.signature.as_ref());
    let written = match &part.content {
        Content::Text(text) => {
            if !text.citations.is_empty() {
                losses.dropped("messages[].annotations");
            }
            words(&text.text, seal)
        }
        Content::Refusal(text) => words(text, seal),
        Content::Image(image) => Some(self::image(image, losses)?),
        Content::File(file) => Some(self::file(file, losses)?),
        Content::Audio(audio) => Some(sound(audio)),
        Content::Reasoning(reasoning) => thought(reasoning, seal, losses),
        Content::ToolCall(call) => Some(function_call(call, losses)),
        Content::Opaque { dialect: Dialect::Gemini, kind, value } => Some(json!({kind: value})),
        Content::Opaque { kind, .. } => {
            losses.dropped(format!("messages[].content[].{kind}"));
            None
        }
        Content::ToolResult(_) => None,
    };
    Ok(written.map(|part| sealed(part, seal)))
}

/// The name under which a call's tool is declared.
pub(super) fn called_name(call: &ToolCall) -> String {
    tool_name(&call.name, call.kind)
}

/// Another provider's seal is never sent here.
fn own_seal(signature: Option<&Signature>) -> Option<&str> {
    signature.filter(|signature| signature.dialect == Dialect::Gemini).map(|signature| signature.seal.as_str())
}

/// Puts the seal on the very part it came with.
fn sealed(mut part: Value, seal: Option<&str>) -> Value {
    if let (Some(part), Some(seal)) = (part.as_object_mut(), seal) {
        part.insert("thoughtSignature".to_owned(), seal.into());
    }
    part
}

/// The API refuses empty text, unless it carries a seal.
fn words(text: &str, seal: Option<&str>) -> Option<Value> {
    (!text.is_empty() || seal.is_some()).then(|| json!({"text": text}))
}

/// Sealed thoughts go back unmodified; unsealed ones and other providers' are no use to this API.
fn thought(reasoning: &Reasoning, seal: Option<&str>, losses: &mut Losses) -> Option<Value> {
    if seal.is_none() {
        losses.dropped("messages[].reasoning_content");
        return None;
    }
    // A seal without words came with an empty part of the answer, not with a thought.
    Some(match reasoning.text.as_str() {
        "" => json!({"text": ""}),
        text => json!({"text": text, "thought": true}),
    })
}

fn image(image: &Image, losses: &mut Losses) -> Result<Value> {
    const FIELD: &str = "messages[].content[].image_url";
    if image.detail.as_deref().is_some_and(|detail| detail != "auto") {
        losses.dropped("messages[].content[].image_url.detail");
    }
    match &image.source {
        Media::Base64 { media_type, data } => Ok(inline(media_type, data)),
        Media::Url(url) => fetched(url, FIELD),
        Media::FileId(_) => {
            Err(unsupported(FIELD, "a file id of another provider is unknown here; send the picture itself"))
        }
        Media::Text(_) => Err(unsupported(FIELD, "a picture cannot be plain text")),
    }
}

fn file(file: &File, losses: &mut Losses) -> Result<Value> {
    const FIELD: &str = "messages[].content[].file";
    if file.filename.is_some() {
        losses.dropped("messages[].content[].file.filename");
    }
    match &file.source {
        Media::Base64 { media_type, data } if is_read(media_type) => Ok(inline(media_type, data)),
        Media::Base64 { .. } => {
            Err(unsupported(FIELD, "this model reads PDF, text, pictures, sound and films; send one of these"))
        }
        Media::Text(text) => Ok(json!({"text": text})),
        Media::Url(url) => fetched(url, FIELD),
        Media::FileId(_) => {
            Err(unsupported(FIELD, "a file id of another provider is unknown here; send the file itself"))
        }
    }
}

fn is_read(media_type: &str) -> bool {
    let kind = media_type.split(';').next().unwrap_or_default().trim();
    let family = kind.split('/').next().unwrap_or_default();
    matches!(family, "text" | "image" | "audio" | "video") || DOCUMENTS.contains(&kind)
}

fn sound(audio: &Audio) -> Value {
    let kind = if audio.format == "pcm16" { "L16" } else { &audio.format };
    inline(&format!("audio/{kind}"), &audio.data)
}

fn inline(media_type: &str, data: &str) -> Value {
    let media_type = if media_type == "image/jpg" { "image/jpeg" } else { media_type };
    json!({"inlineData": {"mimeType": media_type, "data": data}})
}

fn fetched(url: &str, field: &str) -> Result<Value> {
    if FETCHED.iter().any(|place| url.starts_with(place)) {
        return Ok(json!({"fileData": {"fileUri": url}}));
    }
    Err(unsupported(field, "this model fetches nothing from other places; send the content as a data URL"))
}

/// Calls are paired with their responses by order and name: ids of other providers mean nothing here.
fn function_call(call: &ToolCall, losses: &mut Losses) -> Value {
    json!({"functionCall": {"name": called_name(call), "args": arguments(call, losses)}})
}

fn arguments(call: &ToolCall, losses: &mut Losses) -> Value {
    match call.kind {
        ToolKind::Custom => wrap_custom(&call.arguments),
        ToolKind::Function => match serde_json::from_str(&call.arguments) {
            Ok(arguments @ Value::Object(_)) => arguments,
            Ok(_) | Err(_) => {
                // Cut short by a length stop, or nonsense of the model's: the API wants an object all the same.
                if !call.arguments.trim().is_empty() {
                    losses.dropped("messages[].tool_calls[].function.arguments");
                }
                Value::Object(Map::new())
            }
        },
    }
}
