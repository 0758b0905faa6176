//! Settings that requests say and answers echo: tools, tool choice, text format, reasoning. Decides their spelling.
//! Tested through the request encoder and the echo in answers.

use serde_json::{Map, Value, json};

use crate::Dialect;
use crate::chat::{Effort, Request, ResponseFormat, Thinking, ThinkingMode, Tool, ToolChoice, ToolKind};

/// A tool; `None` if it runs at another provider.
pub(super) fn tool(tool: &Tool) -> Option<Value> {
    match tool {
        Tool::Function(function) => {
            let mut json = Map::new();
            json.insert("type".into(), "function".into());
            json.insert("name".into(), function.name.as_str().into());
            insert_some(&mut json, "description", function.description.as_deref());
            let parameters = function.parameters.clone();
            let parameters = parameters.unwrap_or_else(|| json!({"type": "object", "properties": {}}));
            json.insert("parameters".into(), parameters);
            // Strictness is the default here and nowhere else, so silence would change the meaning.
            json.insert("strict".into(), function.strict.unwrap_or(false).into());
            Some(Value::Object(json))
        }
        Tool::Custom { name, description, format } => {
            let mut json = Map::new();
            json.insert("type".into(), "custom".into());
            json.insert("name".into(), name.as_str().into());
            insert_some(&mut json, "description", description.as_deref());
            insert_some(&mut json, "format", format.as_ref().map(custom_format));
            Some(Value::Object(json))
        }
        Tool::WebSearch(options) => Some(web_search(options)),
        Tool::Hosted { dialect: Dialect::OpenaiResponses, value, .. } => Some(value.clone()),
        Tool::Hosted { .. } => None,
    }
}

/// Chat's format of a custom tool: the same words, with the grammar one level higher.
fn custom_format(format: &Value) -> Value {
    let Some(grammar) = format.get("grammar").and_then(Value::as_object) else { return format.clone() };
    let mut json = Map::new();
    json.insert("type".into(), "grammar".into());
    json.extend(grammar.clone());
    Value::Object(json)
}

/// Chat's `web_search_options` as a tool: the same words, with the place one level higher.
fn web_search(options: &Value) -> Value {
    let mut json = Map::new();
    json.insert("type".into(), "web_search".into());
    for (key, value) in options.as_object().into_iter().flatten() {
        let flat = value.get("approximate").and_then(Value::as_object).filter(|_| key == "user_location");
        let value = flat.map_or_else(
            || value.clone(),
            |place| {
                let mut location = Map::new();
                location.insert("type".into(), "approximate".into());
                location.extend(place.clone());
                Value::Object(location)
            },
        );
        json.insert(key.clone(), value);
    }
    Value::Object(json)
}

/// A tool choice. `tools` says of which kind an allowed tool is.
pub(super) fn tool_choice(choice: &ToolChoice, tools: &[Tool]) -> Value {
    match choice {
        ToolChoice::None => "none".into(),
        ToolChoice::Auto => "auto".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Named { name, kind } => json!({"type": kind_word(*kind), "name": name}),
        ToolChoice::Allowed { names, required } => {
            let allowed: Vec<Value> =
                names.iter().map(|name| json!({"type": kind_word(kind_of(name, tools)), "name": name})).collect();
            json!({"type": "allowed_tools", "mode": if *required { "required" } else { "auto" }, "tools": allowed})
        }
    }
}

fn kind_of(wanted: &str, tools: &[Tool]) -> ToolKind {
    let custom = tools.iter().any(|tool| matches!(tool, Tool::Custom { name, .. } if name == wanted));
    if custom { ToolKind::Custom } else { ToolKind::Function }
}

fn kind_word(kind: ToolKind) -> &'static str {
    match kind {
        ToolKind::Function => "function",
        ToolKind::Custom => "custom",
    }
}

/// `text.format`.
pub(super) fn format(format: &ResponseFormat) -> Value {
    match format {
        ResponseFormat::Text => json!({"type": "text"}),
        ResponseFormat::JsonObject => json!({"type": "json_object"}),
        ResponseFormat::JsonSchema { name, description, schema, strict } => {
            let mut json = Map::new();
            json.insert("type".into(), "json_schema".into());
            json.insert("name".into(), name.as_str().into());
            insert_some(&mut json, "description", description.as_deref());
            json.insert("schema".into(), schema.clone());
            json.insert("strict".into(), strict.unwrap_or(false).into());
            Value::Object(json)
        }
    }
}

/// `text`, with what the request says about it; empty if it says nothing.
pub(super) fn text(request: &Request) -> Map<String, Value> {
    let mut json = Map::new();
    insert_some(&mut json, "format", request.response_format.as_ref().map(format));
    insert_some(&mut json, "verbosity", request.verbosity.as_deref());
    json
}

/// `reasoning`, with what the request says about it; empty if the default decides.
pub(super) fn reasoning(thinking: &Thinking) -> Map<String, Value> {
    let mut json = Map::new();
    insert_some(&mut json, "effort", effort(thinking));
    insert_some(&mut json, "summary", thinking.summary.as_deref());
    json
}

fn effort(thinking: &Thinking) -> Option<&'static str> {
    match (thinking.mode, thinking.effort) {
        (ThinkingMode::Off, _) => Some("none"),
        (_, Some(effort)) => Some(effort_word(effort)),
        (ThinkingMode::Budget(..=1024), None) => Some("low"),
        (ThinkingMode::Budget(..=8192), None) => Some("medium"),
        (ThinkingMode::Budget(_), None) => Some("high"),
        (ThinkingMode::Unsaid | ThinkingMode::Adaptive, None) => None,
    }
}

const EFFORTS: [(&str, Effort); 6] = [
    ("minimal", Effort::Minimal),
    ("low", Effort::Low),
    ("medium", Effort::Medium),
    ("high", Effort::High),
    ("xhigh", Effort::XHigh),
    ("max", Effort::Max),
];

fn effort_word(effort: Effort) -> &'static str {
    match effort {
        Effort::Minimal => "minimal",
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::XHigh => "xhigh",
        Effort::Max => "max",
    }
}

/// The effort a word names; `none` is not among them.
pub(super) fn effort_of(word: &str) -> Option<Effort> {
    EFFORTS.iter().find(|(known, _)| *known == word).map(|(_, effort)| *effort)
}

/// Inserts a value that is there.
pub(super) fn insert_some(json: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        json.insert(key.to_owned(), value.into());
    }
}
