//! The shapes of items and parts, shared by whole answers, streams and requests. Decides spelling only.
//! Tested through the modules that use it.

use serde_json::{Map, Value, json};

use crate::chat::{Citation, Media, ToolKind};

/// A `reasoning` item. The text, if any, is its one summary.
pub(super) fn reasoning(id: Option<&str>, text: &str, encrypted: Option<&str>) -> Value {
    let summary = if text.is_empty() { json!([]) } else { json!([summary_text(text)]) };
    let mut item = Map::new();
    if let Some(id) = id {
        item.insert("id".into(), id.into());
    }
    item.insert("type".into(), "reasoning".into());
    item.insert("summary".into(), summary);
    if let Some(encrypted) = encrypted {
        item.insert("encrypted_content".into(), encrypted.into());
    }
    Value::Object(item)
}

pub(super) fn summary_text(text: &str) -> Value {
    json!({"type": "summary_text", "text": text})
}

/// A `message` item of an answer.
pub(super) fn message(id: &str, status: &str, content: Vec<Value>) -> Value {
    json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": content})
}

pub(super) fn output_text(text: &str, annotations: &[Value], logprobs: &[Value]) -> Value {
    json!({"type": "output_text", "text": text, "annotations": annotations, "logprobs": logprobs})
}

pub(super) fn refusal(text: &str) -> Value {
    json!({"type": "refusal", "refusal": text})
}

/// A citation of a web page; `None` for sources that have no address, which this dialect cannot cite by itself.
pub(super) fn annotation(citation: &Citation) -> Option<Value> {
    let url = citation.url.as_deref()?;
    let start = citation.start.unwrap_or(0);
    Some(json!({
        "type": "url_citation",
        "url": url,
        "title": citation.title.as_deref().unwrap_or(url),
        "start_index": start,
        "end_index": citation.end.unwrap_or(start),
    }))
}

/// A call item of an answer.
pub(super) fn call(kind: ToolKind, id: &str, status: &str, call_id: &str, name: &str, arguments: &str) -> Value {
    match kind {
        ToolKind::Function => json!({
            "id": id, "type": "function_call", "status": status,
            "call_id": call_id, "name": name, "arguments": arguments,
        }),
        ToolKind::Custom => json!({
            "id": id, "type": "custom_tool_call", "status": status,
            "call_id": call_id, "name": name, "input": arguments,
        }),
    }
}

/// The prefix of a call item's id.
pub(super) fn call_prefix(kind: ToolKind) -> &'static str {
    match kind {
        ToolKind::Function => "fc",
        ToolKind::Custom => "ctc",
    }
}

/// A function without arguments is called with an empty object; custom tools take any text.
pub(super) fn whole_arguments(kind: ToolKind, arguments: &str) -> &str {
    if kind == ToolKind::Function && arguments.trim().is_empty() { "{}" } else { arguments }
}

/// Reads a URL that may be a `data:` URL; `None` if it is one that is not base64.
pub(super) fn media(url: &str) -> Option<Media> {
    if !url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:")) {
        return Some(Media::Url(url.to_owned()));
    }
    let (head, data) = url.get(5..)?.split_once(',')?;
    let (media_type, encoding) = head.rsplit_once(';')?;
    let is_base64 = encoding.trim().eq_ignore_ascii_case("base64");
    is_base64.then(|| Media::Base64 { media_type: media_type.trim().to_owned(), data: data.to_owned() })
}

/// A `data:` URL of base64 text.
pub(super) fn data_url(media_type: &str, data: &str) -> String {
    format!("data:{media_type};base64,{data}")
}
