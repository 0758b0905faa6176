//! Tools and the choice among them, and the forced tool that stands for a JSON schema. Tests: `encode_request/tests.rs`.

use serde_json::{Map, Value, json};

use super::{Result, Writer, put, schema};
use crate::Dialect;
use crate::chat::{Function, Request, ResponseFormat, Tool, ToolChoice, ToolKind};
use crate::emulation::{JSON_TOOL, custom_schema, tool_name};
use crate::error::WireError;

/// What a request says about tools.
#[derive(Clone, Debug, Default)]
pub(super) struct Toolbox {
    pub(super) tools: Vec<Value>,
    pub(super) choice: Option<Value>,
    /// Some tool must be called.
    pub(super) forced: bool,
}

/// Writes `tools` and `tool_choice`.
pub(super) fn write(request: &Request, writer: &mut Writer<'_>) -> Result<Toolbox> {
    let mut tools = Vec::new();
    let mut foreign = None;
    for tool in allowed(request, writer)? {
        match tool {
            Tool::Function(function) => tools.push(self::function(function, writer)),
            Tool::Custom { name, description, format } => {
                writer.losses.emulated("tools[].custom");
                if format.is_some() {
                    writer.losses.dropped("tools[].custom.format");
                }
                tools.push(custom(name, description.as_deref()));
            }
            Tool::WebSearch(options) => tools.push(web_search(options, writer)),
            Tool::Hosted { dialect: Dialect::Anthropic, value, .. } => {
                let mut value = value.clone();
                writer.count_mark(&mut value);
                tools.push(value);
            }
            Tool::Hosted { kind, .. } => foreign = Some(kind),
        }
    }
    if let Some(kind) = foreign {
        if tools.is_empty() {
            let message = format!("`tools`: this model's provider has no hosted tool `{kind}`");
            return Err(WireError::unsupported("tools", message));
        }
        writer.losses.dropped(format!("tools[].{kind}"));
    }
    let mut choice = choice(request);
    if let Some(ResponseFormat::JsonSchema { description, schema, .. }) = &request.response_format
        && !writer.traits.json_schema
    {
        writer.losses.emulated("response_format");
        choice = choice_with_json(&choice, &mut tools);
        tools.push(json_tool(description.as_deref(), schema));
    }
    if tools.is_empty() && matches!(choice, Choice::Unsaid | Choice::Auto | Choice::None) {
        return Ok(Toolbox::default());
    }
    let forced = matches!(choice, Choice::Any | Choice::Tool(_));
    let choice = choice.draw(request.parallel_tool_calls == Some(false));
    Ok(Toolbox { tools, choice, forced })
}

/// The tools the caller allows: all of them, unless the choice names a few.
fn allowed<'a>(request: &'a Request, writer: &mut Writer<'_>) -> Result<Vec<&'a Tool>> {
    let Some(ToolChoice::Allowed { names, .. }) = &request.tool_choice else {
        return Ok(request.tools.iter().collect());
    };
    let named = |tool: &&Tool| match tool {
        Tool::Function(function) => names.contains(&function.name),
        Tool::Custom { name, .. } => names.contains(name),
        Tool::WebSearch(_) => names.iter().any(|name| name.starts_with("web_search")),
        Tool::Hosted { kind, value, .. } => {
            names.contains(kind)
                || value.get("name").and_then(Value::as_str).is_some_and(|name| names.iter().any(|it| it == name))
        }
    };
    let kept: Vec<&Tool> = request.tools.iter().filter(named).collect();
    if kept.is_empty() {
        return Err(WireError::invalid(
            "tool_choice",
            "`tool_choice` allows none of the tools in `tools`; name one of them",
        ));
    }
    writer.losses.emulated("tool_choice");
    Ok(kept)
}

fn function(function: &Function, writer: &mut Writer<'_>) -> Value {
    let mut tool = Map::new();
    tool.insert("name".to_owned(), function.name.as_str().into());
    put(&mut tool, "description", function.description.as_deref().map(Value::from));
    let strict = function.strict == Some(true) && writer.traits.json_schema;
    if function.strict == Some(true) && !strict {
        writer.losses.dropped("tools[].function.strict");
    }
    let parameters = input_schema(function.parameters.as_ref());
    let parameters =
        if strict { schema::closed(&parameters, "tools[].function.parameters", writer.losses) } else { parameters };
    tool.insert("input_schema".to_owned(), parameters);
    if strict {
        tool.insert("strict".to_owned(), true.into());
    }
    let mut tool = Value::Object(tool);
    writer.mark(&mut tool, function.cache.as_ref());
    tool
}

/// The API wants an object schema that says so.
fn input_schema(parameters: Option<&Value>) -> Value {
    match parameters {
        Some(Value::Object(schema)) if schema.contains_key("type") => Value::Object(schema.clone()),
        Some(Value::Object(schema)) => {
            let mut typed = Map::new();
            typed.insert("type".to_owned(), "object".into());
            typed.extend(schema.clone());
            Value::Object(typed)
        }
        Some(_) | None => json!({"type": "object", "properties": {}}),
    }
}

fn custom(name: &str, description: Option<&str>) -> Value {
    let mut tool = Map::new();
    tool.insert("name".to_owned(), tool_name(name, ToolKind::Custom).into());
    put(&mut tool, "description", description.map(Value::from));
    tool.insert("input_schema".to_owned(), custom_schema());
    tool.into()
}

fn json_tool(description: Option<&str>, schema: &Value) -> Value {
    json!({
        "name": JSON_TOOL,
        "description": description.unwrap_or("Gives the final answer to the user, in the required form."),
        "input_schema": input_schema(Some(schema)),
    })
}

/// OpenAI's options in the words of Anthropic's search tool.
fn web_search(options: &Value, writer: &mut Writer<'_>) -> Value {
    let mut tool = Map::new();
    tool.insert("type".to_owned(), "web_search_20250305".into());
    tool.insert("name".to_owned(), "web_search".into());
    if let Some(domains) = options.get("filters").and_then(|filters| filters.get("allowed_domains")) {
        tool.insert("allowed_domains".to_owned(), domains.clone());
    }
    if let Some(place) = options.get("user_location").and_then(Value::as_object) {
        let place = place.get("approximate").and_then(Value::as_object).unwrap_or(place);
        let mut location = Map::new();
        location.insert("type".to_owned(), "approximate".into());
        for key in ["city", "region", "country", "timezone"] {
            put(&mut location, key, place.get(key).filter(|value| value.is_string()).cloned());
        }
        tool.insert("user_location".to_owned(), location.into());
    }
    if options.get("search_context_size").is_some_and(|size| size != "medium") {
        writer.losses.dropped("web_search_options.search_context_size");
    }
    tool.into()
}

/// A tool choice in the words of Messages.
#[derive(Clone, Debug, PartialEq)]
enum Choice {
    Unsaid,
    None,
    Auto,
    Any,
    Tool(String),
}

fn choice(request: &Request) -> Choice {
    match &request.tool_choice {
        None => Choice::Unsaid,
        Some(ToolChoice::None) => Choice::None,
        Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => Choice::Auto,
        Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => Choice::Any,
        Some(ToolChoice::Named { name, kind }) => Choice::Tool(tool_name(name, *kind)),
    }
}

/// With the JSON tool beside the caller's own, some tool must be called; alone, it is the one. A tool the caller named
/// still comes first: the JSON answer is due on a later turn.
fn choice_with_json(choice: &Choice, tools: &mut Vec<Value>) -> Choice {
    match choice {
        Choice::Tool(name) => Choice::Tool(name.clone()),
        Choice::None => {
            tools.clear();
            Choice::Tool(JSON_TOOL.to_owned())
        }
        Choice::Unsaid | Choice::Auto | Choice::Any if tools.is_empty() => Choice::Tool(JSON_TOOL.to_owned()),
        Choice::Unsaid | Choice::Auto | Choice::Any => Choice::Any,
    }
}

impl Choice {
    fn draw(self, one_at_a_time: bool) -> Option<Value> {
        let mut choice = match self {
            Self::None => return Some(json!({"type": "none"})),
            Self::Unsaid if !one_at_a_time => return None,
            Self::Unsaid | Self::Auto => json!({"type": "auto"}),
            Self::Any => json!({"type": "any"}),
            Self::Tool(name) => json!({"type": "tool", "name": name}),
        };
        if one_at_a_time && let Some(choice) = choice.as_object_mut() {
            choice.insert("disable_parallel_tool_use".to_owned(), true.into());
        }
        Some(choice)
    }
}
