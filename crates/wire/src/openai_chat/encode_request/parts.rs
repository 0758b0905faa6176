//! Writes content parts, and what stands beside them in an assistant's turn: calls and thoughts.
//! Tests: `encode_request/tests.rs`.

use serde_json::{Map, Value, json};

use super::{Result, put, unsupported};
use crate::Dialect;
use crate::chat::{CacheBreakpoint, Content, File, Image, Media, Part, ToolCall, ToolKind};
use crate::dialect::Traits;
use crate::loss::Losses;
use crate::openai_chat::content::data_url;

/// The longest id of a call the API takes.
const CALL_ID_MAX: usize = 40;

/// The list of parts as JSON: one string if it is a single text, which everybody takes.
pub(super) fn content(mut parts: Vec<Value>) -> Value {
    let is_bare = |part: &Value| part.get("text").is_some() && part.as_object().is_some_and(|part| part.len() == 2);
    if let [part] = parts.as_mut_slice()
        && is_bare(part)
    {
        return part.get_mut("text").map(Value::take).unwrap_or_default();
    }
    if parts.is_empty() { "".into() } else { parts.into() }
}

/// One part of a prompt; `None` for empty text and for what must be left out.
pub(super) fn write(part: &Part, traits: &Traits, losses: &mut Losses) -> Result<Option<Value>> {
    let mut json = match &part.content {
        Content::Text(text) => {
            if !text.citations.is_empty() {
                losses.dropped("messages[].annotations");
            }
            text_part(&text.text)
        }
        Content::Refusal(words) => text_part(words),
        Content::Image(image) => Some(self::image(image, traits)?),
        Content::File(file) => Some(self::file(file, losses)?),
        Content::Audio(audio) => {
            Some(json!({"type": "input_audio", "input_audio": {"data": audio.data, "format": audio.format}}))
        }
        Content::Opaque { kind, .. } => {
            losses.dropped(format!("messages[].content[].{kind}"));
            None
        }
        // No dialect lets a user think or call.
        Content::Reasoning(_) | Content::ToolCall(_) | Content::ToolResult(_) => {
            losses.dropped("messages[].content");
            None
        }
    };
    if let Some(cache) = &part.cache {
        breakpoint(cache, json.as_mut(), traits, losses);
    }
    Ok(json)
}

fn text_part(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!({"type": "text", "text": text}))
}

/// Marks a part as the end of a cached prefix, where the vendor knows that.
fn breakpoint(cache: &CacheBreakpoint, part: Option<&mut Value>, traits: &Traits, losses: &mut Losses) {
    const FIELD: &str = "prompt_cache_breakpoint";
    if cache.ttl.is_some() {
        losses.dropped("messages[].content[].cache_control.ttl");
    }
    match part.and_then(Value::as_object_mut) {
        Some(part) if !traits.drop.iter().any(|dropped| dropped == FIELD) => {
            part.insert(FIELD.to_owned(), json!({"mode": "explicit"}));
        }
        Some(_) | None => losses.dropped("messages[].content[].prompt_cache_breakpoint"),
    }
}

fn image(image: &Image, traits: &Traits) -> Result<Value> {
    const FIELD: &str = "messages[].content[].image_url";
    let url = match &image.source {
        Media::Base64 { media_type, data } => data_url(media_type, data),
        Media::Url(_) if !traits.image_urls => {
            return Err(unsupported(FIELD, "this provider fetches no images; send the image as a base64 data URL"));
        }
        Media::Url(url) => url.clone(),
        Media::FileId(_) => {
            return Err(unsupported(FIELD, "this model takes no file ids for images; send the image or its address"));
        }
        Media::Text(_) => return Err(unsupported(FIELD, "a picture cannot be plain text")),
    };
    let mut inner = Map::new();
    inner.insert("url".to_owned(), url.into());
    put(&mut inner, "detail", image.detail.as_deref());
    Ok(json!({"type": "image_url", "image_url": inner}))
}

fn file(file: &File, losses: &mut Losses) -> Result<Value> {
    const FIELD: &str = "messages[].content[].file";
    let mut inner = Map::new();
    match &file.source {
        Media::Base64 { media_type, data } => {
            // The API refuses file data without a name.
            let name = file.filename.as_deref().unwrap_or("document.pdf");
            inner.insert("filename".to_owned(), name.into());
            inner.insert("file_data".to_owned(), data_url(media_type, data).into());
        }
        // Whose account the id belongs to cannot be known here.
        Media::FileId(id) => drop(inner.insert("file_id".to_owned(), id.as_str().into())),
        Media::Text(text) => {
            // Every model reads text, few read text files.
            losses.emulated(FIELD);
            let named = file.filename.as_deref().map(|name| format!("{name}:\n{text}"));
            return Ok(json!({"type": "text", "text": named.as_ref().unwrap_or(text)}));
        }
        Media::Url(_) => {
            return Err(unsupported(FIELD, "this model takes no addresses of documents; send the document itself"));
        }
    }
    Ok(json!({"type": "file", "file": inner}))
}

/// An entry of `tool_calls`. Seals over calls are other providers', so they stay behind.
pub(super) fn call(call: &ToolCall, part: &Part, losses: &mut Losses) -> Value {
    if part.signature.is_some() {
        losses.dropped("messages[].tool_calls[].extra_content");
    }
    let id = call_id(&call.id);
    match call.kind {
        ToolKind::Function => {
            // A function without arguments is called with an empty object.
            let arguments = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
            json!({"id": id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
        }
        ToolKind::Custom => json!({"id": id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}),
    }
}

/// The id as it is, or a shorter one that is the same for the same id, so that call and result still match.
pub(super) fn call_id(id: &str) -> String {
    if id.len() <= CALL_ID_MAX {
        return id.to_owned();
    }
    // FNV-1a: no secret is at stake, only that two ids of one request differ.
    let hash = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let head: String = id.chars().filter(char::is_ascii_alphanumeric).take(18).collect();
    format!("call_{head}_{hash:016x}")
}

/// Is this a seal that chat upstreams made, so that it may go back to them?
pub(super) fn is_own(part: &Part) -> bool {
    part.signature.as_ref().is_some_and(|signature| signature.dialect == Dialect::OpenaiChat)
}
