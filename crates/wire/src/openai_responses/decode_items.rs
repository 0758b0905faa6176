//! Reads `input` items into messages. Decides which neighbouring items are one message and what cannot be translated.
//! Knows nothing of settings; tests are beside the request decoder.

use serde_json::{Map, Value};

use super::{items, peek::ROLES, seal};
use crate::Dialect;
use crate::chat::{
    Audio, CacheBreakpoint, Citation, Content, File, Image, Media, Message, Part, Reasoning, Role, Signature, Text,
    ToolCall, ToolKind, ToolResult,
};
use crate::error::WireError;
use crate::fields::Fields;
use crate::peek::{missing, mistyped, not_one_of};

type Result<T> = std::result::Result<T, WireError>;

/// Calls that the provider ran itself: their outcome is in the text that follows, so they may be left out elsewhere.
const HOSTED: [&str; 9] = [
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "mcp_call",
    "mcp_list_tools",
    "tool_search_call",
    "tool_search_output",
    "program",
];

/// Hints on items and parts that carry no meaning to another provider.
const HINTS: [&str; 4] = ["id", "status", "phase", "logprobs"];

/// The messages read so far.
#[derive(Default)]
pub(super) struct Items {
    pub(super) messages: Vec<Message>,
    /// Fields inside items that nobody understood, by path without positions.
    pub(super) unknown: Map<String, Value>,
    /// A seal over the item that comes next.
    next_seal: Option<Signature>,
}

impl Items {
    /// Reads one item.
    pub(super) fn read(&mut self, value: Value, path: String) -> Result<()> {
        let mut item = Fields::of(value.clone(), path)?;
        let kind = item.string("type")?;
        match kind.as_deref() {
            None | Some("message") => self.message(&mut item)?,
            Some("function_call") => self.call(&mut item, ToolKind::Function, "arguments")?,
            Some("custom_tool_call") => self.call(&mut item, ToolKind::Custom, "input")?,
            Some("function_call_output") => self.output(&mut item, ToolKind::Function)?,
            Some("custom_tool_call_output") => self.output(&mut item, ToolKind::Custom)?,
            Some("reasoning") => self.reasoning(&mut item)?,
            Some("item_reference") => {
                let message = "item references point into a history that only OpenAI has; send the item itself";
                return Err(WireError::unsupported(item.path(), message));
            }
            Some(kind) if HOSTED.contains(&kind) => {
                let dialect = Dialect::OpenaiResponses;
                self.assistant(Content::Opaque { dialect, kind: kind.to_owned(), value }.into());
                return Ok(());
            }
            Some(kind) => {
                let message = format!("items of type `{kind}` cannot be translated for the model's provider");
                return Err(WireError::unsupported(item.param("type"), message));
            }
        }
        self.leftover("input[]", item);
        Ok(())
    }

    fn message(&mut self, item: &mut Fields) -> Result<()> {
        let word = item.required_string("role")?;
        let role = match &*word {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            "developer" => Role::Developer,
            _ => return Err(not_one_of(&item.param("role"), &word, &ROLES)),
        };
        let mut parts = self.content(item, "content")?;
        if role == Role::Assistant {
            if let Some(first) = parts.first_mut() {
                first.signature = self.next_seal.take();
            }
            parts.into_iter().for_each(|part| self.assistant(part));
        } else {
            self.messages.push(Message { role, parts, name: None });
        }
        Ok(())
    }

    fn call(&mut self, item: &mut Fields, kind: ToolKind, arguments: &str) -> Result<()> {
        let call = ToolCall {
            id: item.required_string("call_id")?,
            name: item.required_string("name")?,
            arguments: item.required_string(arguments)?,
            kind,
        };
        let signature = self.next_seal.take();
        self.assistant(Part { content: Content::ToolCall(call), cache: None, signature });
        Ok(())
    }

    fn output(&mut self, item: &mut Fields, kind: ToolKind) -> Result<()> {
        let call_id = item.required_string("call_id")?;
        let content = self.content(item, "output")?;
        let result = ToolResult { call_id, name: item.string("name")?, content, is_error: false, kind };
        self.append(Role::Tool, Content::ToolResult(result).into());
        Ok(())
    }

    /// A reasoning item, or a seal over what follows in the dress of one.
    fn reasoning(&mut self, item: &mut Fields) -> Result<()> {
        let mut texts = self.thoughts(item, "summary")?;
        let content = self.thoughts(item, "content")?;
        if texts.is_empty() {
            texts = content;
        }
        let sealed = item.string("encrypted_content")?.and_then(|encrypted| seal::read(&encrypted));
        let id = item.string("id")?;
        let (signature, redacted) = match sealed {
            Some((signature, seal::Over::Next)) => {
                self.next_seal = Some(signature);
                return Ok(());
            }
            Some((signature, over)) => (Some(signature), over == seal::Over::Redacted),
            None => (None, false),
        };
        let reasoning = Reasoning { text: texts.join("\n\n"), redacted, id };
        if !reasoning.text.is_empty() || signature.is_some() {
            self.assistant(Part { content: Content::Reasoning(reasoning), cache: None, signature });
        }
        Ok(())
    }

    fn thoughts(&mut self, item: &mut Fields, key: &str) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        for (value, path) in item.array(key)?.unwrap_or_default() {
            let mut part = Fields::of(value, path)?;
            texts.push(part.required_string("text")?);
        }
        Ok(texts)
    }

    /// A text, or a list of parts.
    fn content(&mut self, item: &mut Fields, key: &str) -> Result<Vec<Part>> {
        match item.peek(key) {
            None => Err(missing(&item.param(key))),
            Some(Value::String(_)) => Ok(item.string(key)?.map(Part::text).into_iter().collect()),
            Some(Value::Array(_)) => {
                let values = item.array(key)?.unwrap_or_default();
                values.into_iter().map(|(value, path)| self.part(value, path, key)).collect()
            }
            Some(_) => Err(mistyped(&item.param(key), "a string or an array of parts")),
        }
    }

    fn part(&mut self, value: Value, path: String, list: &str) -> Result<Part> {
        let mut part = Fields::of(value, path)?;
        let kind = part.required_string("type")?;
        let content = match &*kind {
            "input_text" | "output_text" | "text" | "summary_text" => {
                Content::Text(Text { text: part.required_string("text")?, citations: annotations(&mut part)? })
            }
            "refusal" => Content::Refusal(part.required_string("refusal")?),
            "input_image" => image(&mut part)?,
            "input_file" => file(&mut part)?,
            "input_audio" => audio(&mut part)?,
            _ => {
                let message = format!("parts of type `{kind}` cannot be translated for the model's provider");
                return Err(WireError::unsupported(part.param("type"), message));
            }
        };
        let cache = part.take("prompt_cache_breakpoint").map(|_| CacheBreakpoint::default());
        self.leftover(&format!("input[].{list}[]"), part);
        Ok(Part { content, cache, signature: None })
    }

    /// Appends to the assistant's turn.
    fn assistant(&mut self, part: Part) {
        self.append(Role::Assistant, part);
    }

    /// Appends to the last message if it has this role, else begins one: here a turn is several items.
    fn append(&mut self, role: Role, part: Part) {
        match self.messages.last_mut() {
            Some(last) if last.role == role => last.parts.push(part),
            _ => self.messages.push(Message { role, parts: vec![part], name: None }),
        }
    }

    fn leftover(&mut self, path: &str, fields: Fields) {
        let rest = fields.rest().into_iter().filter(|(key, _)| !HINTS.contains(&key.as_str()));
        self.unknown.extend(rest.map(|(key, value)| (format!("{path}.{key}"), value)));
    }
}

fn annotations(part: &mut Fields) -> Result<Vec<Citation>> {
    let annotations = part.array("annotations")?.unwrap_or_default();
    Ok(annotations.into_iter().map(|(value, _)| citation(&value)).collect())
}

/// Reads an annotation; citations of files have a name instead of an address.
pub(super) fn citation(annotation: &Value) -> Citation {
    let text = |key: &str| annotation.get(key).and_then(Value::as_str).map(str::to_owned);
    let number = |key: &str| annotation.get(key).and_then(Value::as_u64);
    Citation {
        url: text("url"),
        title: text("title").or_else(|| text("filename")),
        start: number("start_index"),
        end: number("end_index"),
        cited_text: None,
    }
}

fn image(part: &mut Fields) -> Result<Content> {
    let param = part.param("image_url");
    let source = match (part.string("image_url")?, part.string("file_id")?) {
        (Some(url), _) => items::media(&url).ok_or_else(|| not_base64(&param))?,
        (None, Some(id)) => Media::FileId(id),
        (None, None) => return Err(missing(&param)),
    };
    Ok(Content::Image(Image { source, detail: part.string("detail")? }))
}

fn file(part: &mut Fields) -> Result<Content> {
    let param = part.param("file_data");
    let filename = part.string("filename")?;
    let source = match (part.string("file_data")?, part.string("file_url")?, part.string("file_id")?) {
        (Some(data), ..) => match items::media(&data).ok_or_else(|| not_base64(&param))? {
            // Bare base64: the name is all that tells the type.
            Media::Url(data) => Media::Base64 { media_type: media_type(filename.as_deref()).to_owned(), data },
            media @ (Media::Base64 { .. } | Media::FileId(_) | Media::Text(_)) => media,
        },
        (None, Some(url), _) => Media::Url(url),
        (None, None, Some(id)) => Media::FileId(id),
        (None, None, None) => return Err(missing(&param)),
    };
    Ok(Content::File(File { source, filename }))
}

fn media_type(filename: Option<&str>) -> &'static str {
    match filename.and_then(|name| name.rsplit_once('.')).map(|(_, extension)| extension) {
        Some("txt") => "text/plain",
        Some("md") => "text/markdown",
        Some("csv") => "text/csv",
        Some("json") => "application/json",
        Some("html") => "text/html",
        _ => "application/pdf",
    }
}

fn audio(part: &mut Fields) -> Result<Content> {
    let mut audio = part.object("input_audio")?.ok_or_else(|| missing(&part.param("input_audio")))?;
    Ok(Content::Audio(Audio { data: audio.required_string("data")?, format: audio.required_string("format")? }))
}

fn not_base64(param: &str) -> WireError {
    WireError::invalid(param, format!("`{param}` is a data URL, so it must be base64: `data:<type>;base64,<data>`"))
}
