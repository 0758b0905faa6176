//! Writes messages as `input` items for an upstream. Decides the order of items and what of a history cannot be said.
//! Knows nothing of settings; tests are beside the request encoder.

use serde_json::{Map, Value, json};

use super::settings::insert_some;
use super::{items, seal};
use crate::Dialect;
use crate::chat::{
    CacheBreakpoint, Content, File, Image, Media, Message, Part, Reasoning, Role, ToolCall, ToolKind, ToolResult,
};
use crate::dialect::Traits;
use crate::error::WireError;
use crate::loss::Losses;

type Result<T> = std::result::Result<T, WireError>;

/// The longest `call_id` the API takes.
const CALL_ID_MAX: usize = 64;

/// Writes items, one message at a time.
pub(super) struct Writer<'a> {
    pub(super) items: Vec<Value>,
    pub(super) traits: &'a Traits,
    pub(super) losses: &'a mut Losses,
}

impl Writer<'_> {
    pub(super) fn message(&mut self, message: &Message) -> Result<()> {
        if message.name.is_some() {
            self.losses.dropped("messages[].name");
        }
        match message.role {
            Role::System => self.prompt("system", message),
            Role::Developer if !self.traits.developer_role => self.prompt("system", message),
            Role::Developer => self.prompt("developer", message),
            Role::User => self.prompt("user", message),
            Role::Assistant => self.turn(message),
            Role::Tool => self.results(message),
        }
    }

    /// A message of input parts. Hosted blocks of this dialect stand beside it as items of their own.
    fn prompt(&mut self, role: &str, message: &Message) -> Result<()> {
        let mut content = Vec::new();
        for part in &message.parts {
            match &part.content {
                Content::ToolResult(result) => self.result(result)?,
                Content::Opaque { dialect, kind, value } => self.opaque(*dialect, kind, value),
                _ => content.extend(self.input(part)?),
            }
        }
        if !content.is_empty() {
            self.items.push(json!({"type": "message", "role": role, "content": content}));
        }
        Ok(())
    }

    /// An assistant's turn: texts are gathered into messages, everything else is an item of its own, in order.
    fn turn(&mut self, message: &Message) -> Result<()> {
        let mut content = Vec::new();
        for part in &message.parts {
            if part.cache.is_some() {
                self.losses.dropped("messages[].content[].prompt_cache_breakpoint");
            }
            match &part.content {
                Content::Text(text) if text.text.is_empty() => {}
                Content::Text(text) => {
                    let annotations: Vec<Value> = text.citations.iter().filter_map(items::annotation).collect();
                    if annotations.len() < text.citations.len() {
                        self.losses.dropped("messages[].annotations");
                    }
                    content.push(json!({"type": "output_text", "text": text.text, "annotations": annotations}));
                }
                Content::Refusal(words) => content.push(items::refusal(words)),
                Content::Reasoning(reasoning) => {
                    self.said(&mut content);
                    self.reasoning(reasoning, part);
                }
                Content::ToolCall(call) => {
                    self.said(&mut content);
                    self.call(call);
                }
                Content::Opaque { dialect, kind, value } => {
                    self.said(&mut content);
                    self.opaque(*dialect, kind, value);
                }
                Content::ToolResult(result) => {
                    self.said(&mut content);
                    self.result(result)?;
                }
                Content::Image(_) => self.losses.dropped("messages[].images"),
                Content::File(_) => self.losses.dropped("messages[].file"),
                Content::Audio(_) => self.losses.dropped("messages[].audio"),
            }
        }
        self.said(&mut content);
        Ok(())
    }

    /// Ends the message that is being gathered.
    fn said(&mut self, content: &mut Vec<Value>) {
        if !content.is_empty() {
            let content = std::mem::take(content);
            self.items.push(json!({"type": "message", "role": "assistant", "content": content}));
        }
    }

    /// Reasoning is taken back only under the provider's own seal.
    fn reasoning(&mut self, reasoning: &Reasoning, part: &Part) {
        match &part.signature {
            Some(signature) if signature.dialect == Dialect::OpenaiResponses => {
                let encrypted = seal::write(signature, seal::Over::Thinking);
                self.items.push(items::reasoning(reasoning.id.as_deref(), &reasoning.text, Some(&encrypted)));
            }
            _ => self.losses.dropped("messages[].reasoning_content"),
        }
    }

    fn call(&mut self, call: &ToolCall) {
        let call_id = call_id(&call.id);
        let arguments = items::whole_arguments(call.kind, &call.arguments);
        self.items.push(match call.kind {
            ToolKind::Function => {
                json!({"type": "function_call", "call_id": call_id, "name": call.name, "arguments": arguments})
            }
            ToolKind::Custom => {
                json!({"type": "custom_tool_call", "call_id": call_id, "name": call.name, "input": arguments})
            }
        });
    }

    fn results(&mut self, message: &Message) -> Result<()> {
        for part in &message.parts {
            match &part.content {
                Content::ToolResult(result) => self.result(result)?,
                _ => self.losses.dropped("messages[].content"),
            }
        }
        Ok(())
    }

    /// A tool's result: one string if it is all text, else a list of parts.
    fn result(&mut self, result: &ToolResult) -> Result<()> {
        let mark = if result.is_error { "Error: " } else { "" };
        let is_text = |part: &Part| matches!(part.content, Content::Text(_)) && part.cache.is_none();
        let output = if result.content.iter().all(is_text) {
            let texts: Vec<&str> = result.content.iter().filter_map(text_of).collect();
            format!("{mark}{}", texts.join("\n")).into()
        } else {
            let mut output = Vec::new();
            if result.is_error {
                output.push(json!({"type": "input_text", "text": mark.trim_end()}));
            }
            for part in &result.content {
                output.extend(self.input(part)?);
            }
            Value::Array(output)
        };
        let kind = match result.kind {
            ToolKind::Function => "function_call_output",
            ToolKind::Custom => "custom_tool_call_output",
        };
        self.items.push(json!({"type": kind, "call_id": call_id(&result.call_id), "output": output}));
        Ok(())
    }

    fn opaque(&mut self, dialect: Dialect, kind: &str, value: &Value) {
        if dialect == Dialect::OpenaiResponses {
            self.items.push(value.clone());
        } else {
            self.losses.dropped(format!("messages[].content[].{kind}"));
        }
    }

    /// One input part; none for what only an answer can hold.
    fn input(&mut self, part: &Part) -> Result<Option<Value>> {
        let mut json = match &part.content {
            Content::Text(text) => input_text(&text.text),
            Content::Refusal(words) => input_text(words),
            Content::Image(image) => self.image(image)?,
            Content::File(file) => self.file(file)?,
            Content::Audio(_) => {
                let message = "the model's provider takes no audio; send its transcript";
                return Err(WireError::unsupported("messages[].content[].input_audio", message));
            }
            Content::Reasoning(_) | Content::ToolCall(_) | Content::ToolResult(_) | Content::Opaque { .. } => {
                self.losses.dropped("messages[].content");
                return Ok(None);
            }
        };
        if let Some(cache) = &part.cache {
            self.breakpoint(cache, &mut json);
        }
        Ok(Some(Value::Object(json)))
    }

    fn breakpoint(&mut self, cache: &CacheBreakpoint, part: &mut Map<String, Value>) {
        let field = "prompt_cache_breakpoint";
        if cache.ttl.is_some() {
            self.losses.dropped("messages[].content[].cache_control.ttl");
        }
        if self.traits.drop.iter().any(|dropped| dropped == field) {
            self.losses.dropped("messages[].content[].prompt_cache_breakpoint");
        } else {
            part.insert(field.into(), json!({"mode": "explicit"}));
        }
    }

    fn image(&mut self, image: &Image) -> Result<Map<String, Value>> {
        let mut json = typed("input_image");
        match &image.source {
            Media::Base64 { media_type, data } => {
                json.insert("image_url".into(), items::data_url(media_type, data).into());
            }
            Media::Url(_) if !self.traits.image_urls => {
                let message = "the model's provider fetches no images; send the image as a base64 data URL";
                return Err(WireError::unsupported("messages[].content[].image_url", message));
            }
            Media::Url(url) => drop(json.insert("image_url".into(), url.as_str().into())),
            Media::FileId(id) => drop(json.insert("file_id".into(), id.as_str().into())),
            Media::Text(_) => {
                let message = "an image must be a URL, base64 data or a file id";
                return Err(WireError::unsupported("messages[].content[].image_url", message));
            }
        }
        insert_some(&mut json, "detail", image.detail.as_deref());
        Ok(json)
    }

    fn file(&mut self, file: &File) -> Result<Map<String, Value>> {
        let mut json = typed("input_file");
        match &file.source {
            Media::Base64 { media_type, data } => {
                // The API refuses file data without a name.
                let name = file.filename.as_deref().unwrap_or("document.pdf");
                json.insert("filename".into(), name.into());
                json.insert("file_data".into(), items::data_url(media_type, data).into());
            }
            Media::Url(url) => {
                json.insert("file_url".into(), url.as_str().into());
                self.unnamed(file);
            }
            Media::FileId(id) => {
                json.insert("file_id".into(), id.as_str().into());
                self.unnamed(file);
            }
            Media::Text(text) => {
                // Every model reads text, few read text files.
                self.losses.emulated("messages[].content[].file");
                let name = file.filename.as_deref();
                return Ok(input_text(&name.map_or_else(|| text.clone(), |name| format!("{name}:\n{text}"))));
            }
        }
        Ok(json)
    }

    /// Only file data has a name here.
    fn unnamed(&mut self, file: &File) {
        if file.filename.is_some() {
            self.losses.dropped("messages[].content[].file.filename");
        }
    }
}

/// The text of a text part.
pub(super) fn text_of(part: &Part) -> Option<&str> {
    match &part.content {
        Content::Text(text) => Some(&text.text),
        _ => None,
    }
}

fn typed(kind: &str) -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), kind.into())])
}

fn input_text(text: &str) -> Map<String, Value> {
    let mut json = typed("input_text");
    json.insert("text".into(), text.into());
    json
}

/// The id as it is, or a shorter one that is the same for the same id, so that call and result still match.
fn call_id(id: &str) -> String {
    if id.len() <= CALL_ID_MAX {
        return id.to_owned();
    }
    // FNV-1a: no secret is at stake, only that two ids of one request differ.
    let hash = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let head: String = id.chars().filter(char::is_ascii_alphanumeric).take(24).collect();
    format!("call_{head}_{hash:016x}")
}
