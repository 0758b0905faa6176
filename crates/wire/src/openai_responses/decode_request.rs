//! Reads a caller's request for translation. Decides what each top-level field means to any provider, and refuses what
//! only a provider that keeps history could do. Tests are below; items are in [`super::decode_items`].

use serde_json::{Map, Value, json};

use super::decode_items::Items;
use super::settings::effort_of;
use crate::Dialect;
use crate::chat::{
    Function, Logprobs, Message, Part, Request, ResponseFormat, Role, Sampling, Thinking, ThinkingMode, Tool,
    ToolChoice, ToolKind,
};
use crate::error::WireError;
use crate::fields::Fields;
use crate::peek::{missing, mistyped, not_one_of};

type Result<T> = std::result::Result<T, WireError>;

/// See [`crate::dialect::ClientDialect::decode_request`].
pub(super) fn decode(body: &[u8]) -> Result<Request> {
    let mut top = Fields::parse(body)?;
    refuse_state(&mut top)?;
    let mut unknown = Map::new();
    let model = top.required_string("model")?;
    let messages = messages(&mut top, &mut unknown)?;
    let logprobs = logprobs(&mut top, &mut unknown)?;
    let (response_format, verbosity) = text(&mut top, &mut unknown)?;
    let mut request = Request {
        model,
        messages,
        tools: tools(&mut top, &mut unknown)?,
        tool_choice: tool_choice(&mut top)?,
        parallel_tool_calls: top.bool("parallel_tool_calls")?,
        max_output_tokens: top.u64("max_output_tokens")?,
        sampling: Sampling { temperature: top.f64("temperature")?, top_p: top.f64("top_p")?, ..Sampling::default() },
        logprobs,
        response_format,
        verbosity,
        thinking: thinking(&mut top, &mut unknown)?,
        metadata: top.object("metadata")?.map(Fields::rest).unwrap_or_default(),
        service_tier: top.string("service_tier")?,
        prompt_cache_key: top.string("prompt_cache_key")?,
        store: top.bool("store")?,
        stream: top.bool("stream")?.unwrap_or(false),
        include_usage: true,
        ..Request::default()
    };
    request.user = top.string("user")?;
    if request.user.is_none() {
        request.user = top.string("safety_identifier")?;
    }
    if let Some(options) = top.object("stream_options")? {
        collect(&mut unknown, "stream_options", options);
    }
    request.extra = top.rest();
    request.extra.extend(unknown);
    Ok(request)
}

/// What needs a provider that keeps history, or an answer that comes later.
fn refuse_state(top: &mut Fields) -> Result<()> {
    let stateful = [
        (
            "previous_response_id",
            "the earlier response is not stored where this model runs; send the whole conversation as `input`",
        ),
        (
            "conversation",
            "stored conversations are not kept where this model runs; send the whole conversation as `input`",
        ),
        ("prompt", "stored prompts are not known where this model runs; send `instructions` and `input`"),
    ];
    for (key, message) in stateful {
        if top.take(key).is_some() {
            return Err(WireError::unsupported(key, message));
        }
    }
    if top.bool("background")? == Some(true) {
        let message = "background responses are not kept where this model runs; leave `background` out and stream";
        return Err(WireError::unsupported("background", message));
    }
    Ok(())
}

fn messages(top: &mut Fields, unknown: &mut Map<String, Value>) -> Result<Vec<Message>> {
    let mut items = Items::default();
    if let Some(text) = top.string("instructions")?.filter(|text| !text.is_empty()) {
        items.messages.push(Message { role: Role::System, parts: vec![Part::text(text)], name: None });
    }
    match top.peek("input") {
        None => return Err(missing("input")),
        Some(Value::String(_)) => {
            let parts = top.string("input")?.map(Part::text).into_iter().collect();
            items.messages.push(Message { role: Role::User, parts, name: None });
        }
        Some(Value::Array(values)) if values.is_empty() => {
            return Err(WireError::invalid("input", "`input` must hold at least one item"));
        }
        Some(Value::Array(_)) => {
            for (value, path) in top.array("input")?.unwrap_or_default() {
                items.read(value, path)?;
            }
        }
        Some(_) => return Err(mistyped("input", "a string or an array of items")),
    }
    unknown.extend(items.unknown);
    Ok(items.messages)
}

/// `top_logprobs`, and the parts of `include` that have a meaning elsewhere.
fn logprobs(top: &mut Fields, unknown: &mut Map<String, Value>) -> Result<Option<Logprobs>> {
    let wanted = top.u64("top_logprobs")?;
    let mut asked = wanted.is_some_and(|count| count > 0);
    let mut rest = Vec::new();
    for (value, path) in top.array("include")?.unwrap_or_default() {
        match value.as_str() {
            Some("message.output_text.logprobs") => asked = true,
            // Answers always carry the seals that their provider gave.
            Some("reasoning.encrypted_content") => {}
            Some(_) => rest.push(value),
            None => return Err(mistyped(&path, "a string")),
        }
    }
    if !rest.is_empty() {
        unknown.insert("include".into(), rest.into());
    }
    Ok(asked.then_some(Logprobs { top: wanted }))
}

fn text(top: &mut Fields, unknown: &mut Map<String, Value>) -> Result<(Option<ResponseFormat>, Option<String>)> {
    let Some(mut text) = top.object("text")? else {
        return Ok((None, None));
    };
    let verbosity = text.string("verbosity")?;
    let format = text.object("format")?.map(format).transpose()?;
    collect(unknown, "text", text);
    Ok((format, verbosity))
}

fn format(mut format: Fields) -> Result<ResponseFormat> {
    let kind = format.required_string("type")?;
    match &*kind {
        "text" => Ok(ResponseFormat::Text),
        "json_object" => Ok(ResponseFormat::JsonObject),
        "json_schema" => Ok(ResponseFormat::JsonSchema {
            name: format.required_string("name")?,
            description: format.string("description")?,
            schema: format.take("schema").ok_or_else(|| missing(&format.param("schema")))?,
            strict: format.bool("strict")?,
        }),
        _ => Err(not_one_of(&format.param("type"), &kind, &["text", "json_object", "json_schema"])),
    }
}

fn thinking(top: &mut Fields, unknown: &mut Map<String, Value>) -> Result<Option<Thinking>> {
    let Some(mut reasoning) = top.object("reasoning")? else {
        return Ok(None);
    };
    let mut thinking = Thinking::default();
    match reasoning.string("effort")?.as_deref() {
        None => {}
        Some("none") => thinking.mode = ThinkingMode::Off,
        Some(word) => {
            let words = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
            let unknown_word = || not_one_of(&reasoning.param("effort"), word, &words);
            thinking.effort = Some(effort_of(word).ok_or_else(unknown_word)?);
        }
    }
    let old_name = reasoning.string("generate_summary")?;
    thinking.summary = reasoning.string("summary")?.or(old_name);
    collect(unknown, "reasoning", reasoning);
    Ok((thinking != Thinking::default()).then_some(thinking))
}

fn tools(top: &mut Fields, unknown: &mut Map<String, Value>) -> Result<Vec<Tool>> {
    let tools = top.array("tools")?.unwrap_or_default();
    tools.into_iter().map(|(value, path)| tool(value, path, unknown)).collect()
}

fn tool(value: Value, path: String, unknown: &mut Map<String, Value>) -> Result<Tool> {
    let mut tool = Fields::of(value.clone(), path)?;
    let kind = tool.required_string("type")?;
    let read = match &*kind {
        "function" => function(&mut tool)?,
        "custom" => Tool::Custom {
            name: tool.required_string("name")?,
            description: tool.string("description")?,
            format: tool.take("format").map(chat_format),
        },
        search if search.starts_with("web_search") => return Ok(Tool::WebSearch(web_search_options(tool))),
        _ => return Ok(Tool::Hosted { dialect: Dialect::OpenaiResponses, kind, value }),
    };
    collect(unknown, "tools[]", tool);
    Ok(read)
}

/// A custom tool's format in Chat's words, where a grammar is an object of its own.
fn chat_format(format: Value) -> Value {
    match format {
        Value::Object(mut grammar) if grammar.get("type").is_some_and(|kind| kind == "grammar") => {
            grammar.shift_remove("type");
            json!({"type": "grammar", "grammar": grammar})
        }
        other => other,
    }
}

fn function(tool: &mut Fields) -> Result<Tool> {
    let name = tool.required_string("name")?;
    let description = tool.string("description")?;
    let param = tool.param("parameters");
    let parameters = tool.take("parameters");
    if parameters.as_ref().is_some_and(|schema| !schema.is_object()) {
        return Err(mistyped(&param, "a JSON Schema object"));
    }
    // Silence means strict here, as far as the schema allows: elsewhere an open schema with `strict` is an error.
    let strict = match tool.bool("strict")? {
        None if parameters.as_ref().is_some_and(is_closed) => Some(true),
        said => said,
    };
    Ok(Tool::Function(Function { name, description, parameters, strict, cache: None }))
}

/// Does every object of this schema forbid other properties and require all of its own?
fn is_closed(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => {
            let closed = match map.get("properties").and_then(Value::as_object) {
                None => map.get("type").and_then(Value::as_str) != Some("object"),
                Some(properties) => {
                    let required = map.get("required").and_then(Value::as_array);
                    let names = required.into_iter().flatten().filter_map(Value::as_str);
                    let missing =
                        properties.len().saturating_sub(names.filter(|name| properties.contains_key(*name)).count());
                    missing == 0 && map.get("additionalProperties") == Some(&Value::Bool(false))
                }
            };
            closed && map.values().all(is_closed)
        }
        Value::Array(items) => items.iter().all(is_closed),
        _ => true,
    }
}

/// The tool's options in chat's words: the place stands one level deeper there.
fn web_search_options(tool: Fields) -> Value {
    let mut options = tool.rest();
    if let Some(Value::Object(mut place)) = options.shift_remove("user_location") {
        let kind = place.shift_remove("type").unwrap_or_else(|| "approximate".into());
        options.insert("user_location".into(), json!({"type": kind, "approximate": place}));
    }
    options.into()
}

fn tool_choice(top: &mut Fields) -> Result<Option<ToolChoice>> {
    match top.peek("tool_choice") {
        None => Ok(None),
        Some(Value::String(_)) => {
            let word = top.string("tool_choice")?.unwrap_or_default();
            match &*word {
                "none" => Ok(Some(ToolChoice::None)),
                "auto" => Ok(Some(ToolChoice::Auto)),
                "required" => Ok(Some(ToolChoice::Required)),
                _ => Err(not_one_of("tool_choice", &word, &["none", "auto", "required"])),
            }
        }
        Some(_) => top.object("tool_choice")?.map(chosen).transpose(),
    }
}

fn chosen(mut choice: Fields) -> Result<ToolChoice> {
    let kind = choice.required_string("type")?;
    if kind != "allowed_tools" {
        let (name, kind) = named(choice, &kind)?;
        return Ok(ToolChoice::Named { name, kind });
    }
    let mode = choice.string("mode")?;
    let required = match mode.as_deref() {
        None | Some("auto") => false,
        Some("required") => true,
        Some(word) => return Err(not_one_of(&choice.param("mode"), word, &["auto", "required"])),
    };
    let allowed = choice.array("tools")?.ok_or_else(|| missing(&choice.param("tools")))?;
    let names = allowed.into_iter().map(|(value, path)| {
        let mut tool = Fields::of(value, path)?;
        let kind = tool.required_string("type")?;
        named(tool, &kind).map(|(name, _)| name)
    });
    Ok(ToolChoice::Allowed { names: names.collect::<Result<_>>()?, required })
}

fn named(mut tool: Fields, kind: &str) -> Result<(String, ToolKind)> {
    let kind = match kind {
        "function" => ToolKind::Function,
        "custom" => ToolKind::Custom,
        _ => {
            let message = format!("choosing the tool `{kind}` cannot be translated for the model's provider");
            return Err(WireError::unsupported(tool.param("type"), message));
        }
    };
    Ok((tool.required_string("name")?, kind))
}

/// Keeps what nobody took, under its path.
fn collect(unknown: &mut Map<String, Value>, path: &str, fields: Fields) {
    unknown.extend(fields.rest().into_iter().map(|(key, value)| (format!("{path}.{key}"), value)));
}

#[cfg(test)]
mod tests;
