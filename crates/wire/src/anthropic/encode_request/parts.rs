//! One neutral part as a content block. Tests: `encode_request/tests.rs`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Result, Writer, put};
use crate::Dialect;
use crate::chat::{Content, File, Image, Media, Part, Reasoning, Signature, ToolCall, ToolKind, ToolResult};
use crate::emulation::{tool_name, wrap_custom};
use crate::error::WireError;

/// Pictures the API takes.
const PICTURES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// The block that says a part; `None` for blank text and for what must be left out.
pub(super) fn write(part: &Part, writer: &mut Writer<'_>) -> Result<Option<Value>> {
    let block = match &part.content {
        Content::Text(text) => {
            if !text.citations.is_empty() {
                writer.losses.dropped("messages[].annotations");
            }
            words(&text.text)
        }
        Content::Refusal(text) => words(text),
        Content::Image(image) => Some(self::image(image, writer)?),
        Content::File(file) => Some(self::file(file, writer)?),
        Content::Audio(_) => {
            return Err(unsupported("messages[].content[].input_audio", "this model does not take sound; send text"));
        }
        Content::Reasoning(reasoning) => {
            // A signed block goes back exactly as it came: no breakpoint may be put on it.
            return Ok(thought(reasoning, part.signature.as_ref(), writer));
        }
        Content::ToolCall(call) => Some(tool_use(call, writer)),
        Content::ToolResult(result) => Some(tool_result(result, writer)?),
        Content::Opaque { dialect: Dialect::Anthropic, value, .. } => {
            let mut value = value.clone();
            writer.count_mark(&mut value);
            Some(value)
        }
        Content::Opaque { kind, .. } => {
            writer.losses.dropped(format!("messages[].content[].{kind}"));
            None
        }
    };
    match block {
        Some(mut block) => {
            writer.mark(&mut block, part.cache.as_ref());
            Ok(Some(block))
        }
        None => {
            if part.cache.is_some() {
                writer.losses.dropped("cache_control");
            }
            Ok(None)
        }
    }
}

/// The API refuses text blocks of blanks only.
fn words(text: &str) -> Option<Value> {
    (!text.trim().is_empty()).then(|| json!({"type": "text", "text": text}))
}

fn image(image: &Image, writer: &mut Writer<'_>) -> Result<Value> {
    const FIELD: &str = "messages[].content[].image_url";
    if image.detail.as_deref().is_some_and(|detail| detail != "auto") {
        writer.losses.dropped("messages[].content[].image_url.detail");
    }
    let source = match &image.source {
        Media::Base64 { media_type, data } => picture(media_type, data)
            .ok_or_else(|| unsupported(FIELD, "this model takes pictures as JPEG, PNG, GIF or WebP"))?,
        Media::Url(url) => link(url, FIELD, writer)?,
        Media::FileId(_) => {
            return Err(unsupported(FIELD, "a file id of another provider is unknown here; send the picture"));
        }
        Media::Text(_) => return Err(unsupported(FIELD, "a picture cannot be plain text")),
    };
    Ok(json!({"type": "image", "source": source}))
}

fn picture(media_type: &str, data: &str) -> Option<Value> {
    let media_type = if media_type == "image/jpg" { "image/jpeg" } else { media_type };
    PICTURES.contains(&media_type).then(|| json!({"type": "base64", "media_type": media_type, "data": data}))
}

fn link(url: &str, field: &str, writer: &Writer<'_>) -> Result<Value> {
    if !url.starts_with("https://") {
        return Err(unsupported(field, "only https addresses and data URLs are taken"));
    }
    if !writer.traits.image_urls {
        return Err(unsupported(field, "this provider fetches nothing; send the content itself"));
    }
    Ok(json!({"type": "url", "url": url}))
}

fn file(file: &File, writer: &mut Writer<'_>) -> Result<Value> {
    const FIELD: &str = "messages[].content[].file";
    let source = match &file.source {
        Media::Base64 { media_type, data } if media_type == "application/pdf" => {
            json!({"type": "base64", "media_type": media_type, "data": data})
        }
        Media::Base64 { media_type, data } => {
            if let Some(source) = picture(media_type, data) {
                return Ok(json!({"type": "image", "source": source}));
            }
            let text = plain_text(media_type, data)
                .ok_or_else(|| unsupported(FIELD, "this model takes PDF and plain-text documents and pictures"))?;
            text_source(&text)
        }
        Media::Text(text) => text_source(text),
        Media::Url(url) => link(url, FIELD, writer)?,
        Media::FileId(_) => {
            return Err(unsupported(FIELD, "a file id of another provider is unknown here; send the file"));
        }
    };
    let mut block = Map::new();
    block.insert("type".to_owned(), "document".into());
    block.insert("source".to_owned(), source);
    put(&mut block, "title", file.filename.as_deref().map(Value::from));
    Ok(block.into())
}

fn text_source(text: &str) -> Value {
    json!({"type": "text", "media_type": "text/plain", "data": text})
}

/// The text of a document whose type promises text.
fn plain_text(media_type: &str, data: &str) -> Option<String> {
    let kind = media_type.split(';').next().unwrap_or_default().trim();
    let is_text = kind.starts_with("text/")
        || matches!(kind, "application/json" | "application/xml" | "application/yaml" | "application/x-yaml");
    if !is_text {
        return None;
    }
    String::from_utf8(STANDARD.decode(data).ok()?).ok()
}

/// Signed thoughts go back unmodified; unsigned ones and other providers' seals are no use to this API.
fn thought(reasoning: &Reasoning, signature: Option<&Signature>, writer: &mut Writer<'_>) -> Option<Value> {
    match signature {
        Some(Signature { dialect: Dialect::Anthropic, seal }) if reasoning.redacted => {
            Some(json!({"type": "redacted_thinking", "data": seal}))
        }
        Some(Signature { dialect: Dialect::Anthropic, seal }) => {
            Some(json!({"type": "thinking", "thinking": reasoning.text, "signature": seal}))
        }
        Some(_) | None => {
            writer.losses.dropped("messages[].reasoning_content");
            None
        }
    }
}

fn tool_use(call: &ToolCall, writer: &mut Writer<'_>) -> Value {
    let input = match call.kind {
        ToolKind::Custom => wrap_custom(&call.arguments),
        ToolKind::Function => match serde_json::from_str(&call.arguments) {
            Ok(input @ Value::Object(_)) => input,
            Ok(_) | Err(_) => {
                // Cut short by a length stop, or nonsense of the model's: the API wants an object all the same.
                if !call.arguments.trim().is_empty() {
                    writer.losses.dropped("messages[].tool_calls[].function.arguments");
                }
                Value::Object(Map::new())
            }
        },
    };
    json!({"type": "tool_use", "id": id(&call.id), "name": tool_name(&call.name, call.kind), "input": input})
}

fn tool_result(result: &ToolResult, writer: &mut Writer<'_>) -> Result<Value> {
    let mut content = Vec::new();
    for part in &result.content {
        content.extend(write(part, writer)?);
    }
    let mut block = Map::new();
    block.insert("type".to_owned(), "tool_result".into());
    block.insert("tool_use_id".to_owned(), id(&result.call_id).into());
    if !content.is_empty() {
        block.insert("content".to_owned(), content.into());
    }
    if result.is_error {
        block.insert("is_error".to_owned(), true.into());
    }
    Ok(block.into())
}

/// A call id the API takes (`^[a-zA-Z0-9_-]+$`). The same id always gives the same result, in calls and in results, and
/// different ids stay different because what is replaced leaves its code behind.
pub(super) fn id(id: &str) -> String {
    if id.is_empty() {
        return "call_".to_owned();
    }
    let mut written = String::with_capacity(id.len());
    for character in id.chars() {
        if character.is_ascii_alphanumeric() || matches!(character, '_' | '-') {
            written.push(character);
        } else {
            written.push_str(&format!("_{:x}_", u32::from(character)));
        }
    }
    written
}

fn unsupported(field: &str, why: &str) -> WireError {
    WireError::unsupported(field, format!("`{field}`: {why}"))
}
