//! Content blocks on their way in: the same in a request's history and in an answer. Blocks that only Messages knows
//! become [`Content::Opaque`]; fields that have no neutral place are handed back as strays. Tests: here.

use serde_json::{Map, Value};

use crate::Dialect;
use crate::chat::{
    CacheBreakpoint, Citation, Content, File, Image, Media, Part, Reasoning, Signature, Text, ToolCall, ToolKind,
    ToolResult,
};
use crate::emulation::{Called, called, unwrap_custom};
use crate::error::WireError;
use crate::fields::Fields;
use crate::peek::{missing, mistyped, not_one_of};

type Result<T> = std::result::Result<T, WireError>;

/// Fields nobody has a place for, by path with array positions as `[]`.
pub(super) type Strays = Map<String, Value>;

/// Reads message content: a string or an array of blocks.
pub(super) fn content(value: Option<Value>, path: &str, strays: &mut Strays) -> Result<Vec<Part>> {
    match value {
        None => Err(missing(path)),
        Some(Value::String(text)) => Ok(vec![Part::text(text)]),
        Some(Value::Array(blocks)) => {
            blocks.into_iter().enumerate().map(|(at, block)| part(block, &format!("{path}[{at}]"), strays)).collect()
        }
        Some(_) => Err(mistyped(path, "a string or an array of content blocks")),
    }
}

/// Reads one block.
pub(super) fn part(block: Value, path: &str, strays: &mut Strays) -> Result<Part> {
    let kind = match block.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        Some(_) => return Err(mistyped(&format!("{path}.type"), "a string")),
        None if block.is_object() => return Err(missing(&format!("{path}.type"))),
        None => return Err(mistyped(path, "an object")),
    };
    if is_opaque(&kind, &block) {
        return Ok(Content::Opaque { dialect: Dialect::Anthropic, kind, value: block }.into());
    }
    let mut fields = Fields::of(block, path)?;
    fields.take("type");
    let cache = cache(&mut fields)?;
    let (content, seal) = match kind.as_str() {
        "text" => (text(&mut fields)?, None),
        "image" => (image(&mut fields)?, None),
        "document" => (document(&mut fields)?, None),
        "thinking" => {
            let text = fields.string("thinking")?.unwrap_or_default();
            (Content::Reasoning(Reasoning { text, ..Reasoning::default() }), fields.string("signature")?)
        }
        "redacted_thinking" => {
            let seal = fields.required_string("data")?;
            (Content::Reasoning(Reasoning { redacted: true, ..Reasoning::default() }), Some(seal))
        }
        "tool_use" => (tool_use(&mut fields)?, None),
        _ => (tool_result(&mut fields, strays)?, None),
    };
    keep(fields, strays);
    let signature = seal.filter(|seal| !seal.is_empty()).map(|seal| Signature { dialect: Dialect::Anthropic, seal });
    Ok(Part { content, cache, signature })
}

/// Takes `cache_control`.
pub(super) fn cache(fields: &mut Fields) -> Result<Option<CacheBreakpoint>> {
    let Some(mut control) = fields.object("cache_control")? else { return Ok(None) };
    let ttl = control.string("ttl")?;
    match control.required_string("type")?.as_str() {
        "ephemeral" => Ok(Some(CacheBreakpoint { ttl })),
        other => Err(not_one_of(&control.param("type"), other, &["ephemeral"])),
    }
}

/// Hands what is left of an object to the strays.
pub(super) fn keep(fields: Fields, strays: &mut Strays) {
    let path = pattern(fields.path());
    for (key, value) in fields.rest() {
        strays.insert(format!("{path}.{key}"), value);
    }
}

/// Reads one citation; `None` if it names no source.
pub(super) fn citation(value: &Value) -> Option<Citation> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let citation = Citation {
        url: text("url").or_else(|| text("source").filter(|source| source.starts_with("http"))),
        title: text("title").or_else(|| text("document_title")),
        // Messages counts positions in the cited document, the neutral model in the answer: they must not be mixed up.
        start: None,
        end: None,
        cited_text: text("cited_text"),
    };
    (citation != Citation::default()).then_some(citation)
}

/// Is this a block that only Messages can carry?
fn is_opaque(kind: &str, block: &Value) -> bool {
    match kind {
        "text" | "image" | "thinking" | "redacted_thinking" | "tool_use" | "tool_result" => false,
        "document" => {
            let source = block.get("source");
            source.and_then(|source| source.get("type")).and_then(Value::as_str) == Some("content")
                && !source.and_then(|source| source.get("content")).is_some_and(Value::is_string)
        }
        _ => true,
    }
}

fn text(fields: &mut Fields) -> Result<Content> {
    let text = fields.required_string("text")?;
    let citations = fields.array("citations")?.unwrap_or_default();
    let citations = citations.iter().filter_map(|(value, _)| citation(value)).collect();
    Ok(Content::Text(Text { text, citations }))
}

fn image(fields: &mut Fields) -> Result<Content> {
    let source = source(fields, &["base64", "url", "file"])?;
    Ok(Content::Image(Image { source, detail: None }))
}

fn document(fields: &mut Fields) -> Result<Content> {
    let source = source(fields, &["base64", "text", "url", "file", "content"])?;
    // `citations: {enabled: false}` is the default said aloud.
    let citations = fields.peek("citations").and_then(|it| it.get("enabled")).and_then(Value::as_bool);
    if citations == Some(false) {
        fields.take("citations");
    }
    Ok(Content::File(File { source, filename: fields.string("title")? }))
}

fn source(fields: &mut Fields, allowed: &[&str]) -> Result<Media> {
    let mut source = fields.object("source")?.ok_or_else(|| missing(&fields.param("source")))?;
    let kind = source.required_string("type")?;
    if !allowed.contains(&kind.as_str()) {
        return Err(not_one_of(&source.param("type"), &kind, allowed));
    }
    match kind.as_str() {
        "base64" => Ok(Media::Base64 {
            media_type: source.required_string("media_type")?,
            data: source.required_string("data")?,
        }),
        "url" => source.required_string("url").map(Media::Url),
        "file" => {
            let message = "a file id is known to one Anthropic account only; send the file itself";
            Err(WireError::unsupported(source.param("file_id"), message))
        }
        "text" => source.required_string("data").map(Media::Text),
        _ => source.required_string("content").map(Media::Text),
    }
}

fn tool_use(fields: &mut Fields) -> Result<Content> {
    let id = fields.required_string("id")?;
    let name = fields.required_string("name")?;
    let arguments = match fields.take("input") {
        Some(input @ Value::Object(_)) => input.to_string(),
        None => "{}".to_owned(),
        Some(_) => return Err(mistyped(&fields.param("input"), "an object")),
    };
    // Who called it is told for information.
    fields.take("caller");
    Ok(match called(&name) {
        Called::JsonResponse => Content::Text(Text { text: arguments, citations: Vec::new() }),
        Called::Tool { name, kind: ToolKind::Custom } => {
            Content::ToolCall(ToolCall { id, name, arguments: unwrap_custom(&arguments), kind: ToolKind::Custom })
        }
        Called::Tool { name, kind } => Content::ToolCall(ToolCall { id, name, arguments, kind }),
    })
}

fn tool_result(fields: &mut Fields, strays: &mut Strays) -> Result<Content> {
    let call_id = fields.required_string("tool_use_id")?;
    let is_error = fields.bool("is_error")?.unwrap_or(false);
    let path = fields.param("content");
    let parts = match fields.take("content") {
        None => Vec::new(),
        given => content(given, &path, strays)?,
    };
    let content = parts.into_iter().map(as_result).collect();
    Ok(Content::ToolResult(ToolResult { call_id, name: None, content, is_error, kind: ToolKind::Function }))
}

/// Results hold text, images and files; what else Messages allows there is said as text rather than lost.
fn as_result(part: Part) -> Part {
    let Part { content, cache, signature } = part;
    let content = match content {
        Content::Opaque { value, .. } => Content::Text(Text {
            text: search_result(&value).unwrap_or_else(|| value.to_string()),
            citations: Vec::new(),
        }),
        other => other,
    };
    Part { content, cache, signature }
}

fn search_result(block: &Value) -> Option<String> {
    let text = |key: &str| block.get(key).and_then(Value::as_str);
    let words = block.get("content")?.as_array()?.iter().filter_map(|block| block.get("text")?.as_str());
    Some([text("title")?, text("source")?].into_iter().chain(words).collect::<Vec<_>>().join("\n"))
}

/// A path with array positions as `[]`.
fn pattern(path: &str) -> String {
    let mut inside = false;
    path.chars()
        .filter(|character| {
            match character {
                '[' => inside = true,
                ']' => inside = false,
                _ => return !inside,
            }
            true
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(block: Value) -> (Part, Strays) {
        let mut strays = Strays::new();
        let part = part(block, "messages[3].content[1]", &mut strays).unwrap();
        (part, strays)
    }

    fn refused(block: Value) -> String {
        part(block, "messages[3].content[1]", &mut Strays::new()).unwrap_err().param().unwrap_or_default().to_owned()
    }

    #[test]
    fn thinking_keeps_its_seal_and_redacted_thinking_is_all_seal() {
        let (thought, _) = read(json!({"type": "thinking", "thinking": "hm", "signature": "c2ln"}));
        assert_eq!(thought.signature, Some(Signature { dialect: Dialect::Anthropic, seal: "c2ln".to_owned() }));
        let (redacted, _) = read(json!({"type": "redacted_thinking", "data": "ZGF0YQ=="}));
        assert!(
            matches!(&redacted.content, Content::Reasoning(thought) if thought.redacted && thought.text.is_empty())
        );
        assert_eq!(redacted.signature.unwrap().seal, "ZGF0YQ==");
        let (unsigned, _) = read(json!({"type": "thinking", "thinking": "hm", "signature": ""}));
        assert_eq!(unsigned.signature, None);
    }

    #[test]
    fn a_call_of_a_reserved_tool_is_read_as_what_it_stands_for() {
        let (json_answer, _) =
            read(json!({"type": "tool_use", "id": "t", "name": "waypost_json_response", "input": {"a": 1}}));
        assert_eq!(json_answer, Part::text("{\"a\":1}"));
        let (custom, _) =
            read(json!({"type": "tool_use", "id": "t", "name": "waypost_custom_patch", "input": {"input": "x\ny"}}));
        let Content::ToolCall(call) = custom.content else { panic!("a call was expected") };
        assert_eq!((call.name.as_str(), call.arguments.as_str(), call.kind), ("patch", "x\ny", ToolKind::Custom));
    }

    #[test]
    fn hosted_blocks_and_search_results_stay_whole() {
        for kind in ["server_tool_use", "web_search_tool_result", "search_result", "container_upload", "mcp_tool_use"] {
            let block = json!({"type": kind, "id": "srvtoolu_1", "name": "web_search", "input": {}});
            let (part, _) = read(block.clone());
            assert_eq!(
                part.content,
                Content::Opaque { dialect: Dialect::Anthropic, kind: kind.to_owned(), value: block }
            );
        }
    }

    #[test]
    fn every_document_source_is_understood() {
        let sources = [
            (
                json!({"type": "base64", "media_type": "application/pdf", "data": "JVBE"}),
                Media::Base64 { media_type: "application/pdf".to_owned(), data: "JVBE".to_owned() },
            ),
            (json!({"type": "text", "media_type": "text/plain", "data": "hello"}), Media::Text("hello".to_owned())),
            (json!({"type": "url", "url": "https://x/y.pdf"}), Media::Url("https://x/y.pdf".to_owned())),
            (json!({"type": "content", "content": "words"}), Media::Text("words".to_owned())),
        ];
        for (source, media) in sources {
            let (part, strays) = read(json!({"type": "document", "source": source, "title": "T", "context": "C"}));
            assert_eq!(part.content, Content::File(File { source: media, filename: Some("T".to_owned()) }));
            assert_eq!(strays["messages[].content[].context"], "C");
        }
    }

    #[test]
    fn a_file_that_lives_in_one_account_is_refused_where_it_stands() {
        let block = json!({"type": "image", "source": {"type": "file", "file_id": "file_1"}});
        assert_eq!(refused(block), "messages[3].content[1].source.file_id");
    }

    #[test]
    fn what_only_messages_can_put_into_a_tool_result_becomes_text() {
        let (part, _) = read(json!({"type": "tool_result", "tool_use_id": "t", "is_error": true, "content": [
            {"type": "search_result", "source": "https://x", "title": "X", "content": [{"type": "text", "text": "found"}]},
            {"type": "tool_reference", "tool_name": "y"}]}));
        let Content::ToolResult(result) = part.content else { panic!("a result was expected") };
        assert!(result.is_error);
        assert_eq!(result.content[0], Part::text("X\nhttps://x\nfound"));
        assert_eq!(result.content[1], Part::text("{\"type\":\"tool_reference\",\"tool_name\":\"y\"}"));
    }

    #[test]
    fn errors_name_the_exact_place() {
        assert_eq!(refused(json!({"text": "x"})), "messages[3].content[1].type");
        assert_eq!(refused(json!({"type": "text"})), "messages[3].content[1].text");
        assert_eq!(refused(json!({"type": "image", "source": {"type": "data"}})), "messages[3].content[1].source.type");
        assert_eq!(
            refused(json!({"type": "tool_use", "id": "a", "name": "b", "input": "{}"})),
            "messages[3].content[1].input"
        );
        assert_eq!(
            refused(json!({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": 1}]})),
            "messages[3].content[1].content[0].text"
        );
    }
}
