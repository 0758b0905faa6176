//! One part of an answer, read into the neutral model; whole answers and streams both read their parts here.

use serde_json::Value;
use serde_json::value::RawValue;

use super::call_ids::CallIds;
use super::piece::{Blob, FunctionCall, RawPart, Word, compact};
use crate::Dialect;
use crate::chat::{Audio, Content, File, Image, Media, Part, Reasoning, Signature, Text, ToolCall, ToolKind};
use crate::emulation::{Called, called, unwrap_custom};

/// What the part says; `None` if it says nothing. `piece` is the JSON it stands in.
pub(super) fn read(mut raw: RawPart<'_>, ids: &mut CallIds, piece: &[u8]) -> Option<Part> {
    let signature = raw.thought_signature.take().map(|seal| Signature { dialect: Dialect::Gemini, seal: seal.owned() });
    let content = match opaque(&raw) {
        Some(opaque) => Some(opaque),
        None => plain(raw, ids, piece),
    };
    let content = match content {
        Some(content) => content,
        // Streams deliver the last seal in a part without text.
        None if signature.is_some() => Content::Reasoning(Reasoning::default()),
        None => return None,
    };
    Some(Part { content, cache: None, signature })
}

fn plain(raw: RawPart<'_>, ids: &mut CallIds, piece: &[u8]) -> Option<Content> {
    let thought = raw.thought == Some(true);
    if let Some(call) = raw.function_call {
        return Some(tool_call(call, ids, piece));
    }
    if let Some(blob) = raw.inline_data {
        return Some(if thought { sketch(blob) } else { media(blob) });
    }
    let text = raw.text?.owned();
    if text.is_empty() {
        return None;
    }
    Some(if thought {
        Content::Reasoning(Reasoning { text, ..Reasoning::default() })
    } else {
        Content::Text(Text { text, citations: Vec::new() })
    })
}

fn tool_call(call: FunctionCall<'_>, ids: &mut CallIds, piece: &[u8]) -> Content {
    let id = call.id.map(Word::owned).filter(|id| !id.is_empty());
    let id = id.unwrap_or_else(|| ids.next(piece));
    let arguments = call.args.map_or_else(|| "{}".to_owned(), |args| compact(args.get()));
    let name = call.name.owned();
    Content::ToolCall(match called(&name) {
        Called::Tool { name, kind: ToolKind::Custom } => {
            ToolCall { id, name, arguments: unwrap_custom(&arguments), kind: ToolKind::Custom }
        }
        Called::Tool { .. } | Called::JsonResponse => ToolCall { id, name, arguments, kind: ToolKind::Function },
    })
}

/// A picture made while thinking is not part of the answer.
fn sketch(blob: Blob<'_>) -> Content {
    Content::Opaque {
        dialect: Dialect::Gemini,
        kind: "inlineData".to_owned(),
        value: serde_json::json!({"mimeType": blob.mime_type.0, "data": blob.data.0}),
    }
}

fn media(blob: Blob<'_>) -> Content {
    let (media_type, data) = (blob.mime_type.owned(), blob.data.owned());
    if let Some(format) = media_type.strip_prefix("audio/") {
        return Content::Audio(Audio { format: audio_format(format), data });
    }
    let is_image = media_type.starts_with("image/");
    let source = Media::Base64 { media_type, data };
    if is_image {
        Content::Image(Image { source, detail: None })
    } else {
        Content::File(File { source, filename: None })
    }
}

/// OpenAI's short name of an audio type; speech models answer `audio/L16;codec=pcm;rate=24000`.
fn audio_format(subtype: &str) -> String {
    let name = subtype.split(';').next().unwrap_or_default().trim();
    match name.to_ascii_lowercase().as_str() {
        "l16" | "pcm" => "pcm16".to_owned(),
        "mpeg" => "mp3".to_owned(),
        "x-wav" | "wave" => "wav".to_owned(),
        other => other.to_owned(),
    }
}

/// The parts that only this dialect can carry: code it ran and tools it called by itself.
fn opaque(raw: &RawPart<'_>) -> Option<Content> {
    let kinds = [
        ("executableCode", raw.executable_code),
        ("codeExecutionResult", raw.code_execution_result),
        ("fileData", raw.file_data),
        ("toolCall", raw.tool_call),
        ("toolResponse", raw.tool_response),
    ];
    kinds.into_iter().find_map(|(kind, value)| {
        Some(Content::Opaque { dialect: Dialect::Gemini, kind: kind.to_owned(), value: document(value?) })
    })
}

fn document(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap_or_default()
}
