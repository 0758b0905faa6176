//! When the simulator calls tools, and with which arguments.
//!
//! A call is made if one is demanded, or if none was answered yet in this turn and the question holds the tool's name or a
//! telling word of it (`get_weather` is called when "weather" is asked for). A question about several things
//! ("in Oslo and Paris") becomes one call for each, unless parallel calls are forbidden. Tests are in `answer.rs`.

use serde_json::{Map, Value, json};
use waypost_wire::chat::{Request, Tool, ToolChoice, ToolKind};

use super::model::Persona;
use super::prompt::Prompt;
use super::schema;

/// At most so many calls at once.
const MOST_CALLS: usize = 4;
/// Words of tool names that tell nothing.
const COMMON: [&str; 12] =
    ["call", "create", "data", "fetch", "find", "from", "info", "list", "make", "read", "tool", "with"];

/// One call to make.
#[derive(Debug, PartialEq)]
pub(crate) struct Planned {
    pub(crate) name: String,
    pub(crate) arguments: String,
    pub(crate) kind: ToolKind,
}

/// A tool that the caller runs.
#[derive(Clone, Copy)]
struct Callable<'a> {
    name: &'a str,
    kind: ToolKind,
    parameters: Option<&'a Value>,
}

/// The calls that answer this request; none means that words do.
pub(crate) fn plan(request: &Request, prompt: &Prompt<'_>, persona: Persona) -> Vec<Planned> {
    let Some(tool) = chosen(request, prompt, persona) else {
        return Vec::new();
    };
    let subjects = prompt.subjects();
    if request.parallel_tool_calls == Some(false) || subjects.len() < 2 || !takes_text(tool) {
        return vec![call(tool, prompt, &subjects.join(" and "))];
    }
    let subjects = subjects.iter().take(MOST_CALLS);
    subjects.map(|subject| call(tool, prompt, subject)).collect()
}

fn chosen<'a>(request: &'a Request, prompt: &Prompt<'_>, persona: Persona) -> Option<Callable<'a>> {
    let mut tools = request.tools.iter().filter_map(callable);
    let (allowed, demanded): (Option<&[String]>, bool) = match &request.tool_choice {
        Some(ToolChoice::None) => return None,
        Some(ToolChoice::Named { name, .. }) => return tools.find(|tool| tool.name == name),
        Some(ToolChoice::Allowed { names, required }) => (Some(names), *required),
        Some(ToolChoice::Required) => (None, true),
        Some(ToolChoice::Auto) | None => (None, false),
    };
    let may = |tool: &Callable<'_>| allowed.is_none_or(|names| names.iter().any(|name| name == tool.name));
    let tools: Vec<Callable<'a>> = tools.filter(may).collect();
    let open = prompt.results.is_empty();
    if !open && !demanded {
        return None;
    }
    let asked = tools.iter().find(|tool| is_asked_for(tool.name, prompt));
    let eager = demanded || persona == Persona::Tools;
    asked.or_else(|| tools.first().filter(|_| eager)).copied()
}

fn callable(tool: &Tool) -> Option<Callable<'_>> {
    match tool {
        Tool::Function(function) => {
            Some(Callable { name: &function.name, kind: ToolKind::Function, parameters: function.parameters.as_ref() })
        }
        Tool::Custom { name, .. } => Some(Callable { name, kind: ToolKind::Custom, parameters: None }),
        Tool::WebSearch(_) | Tool::Hosted { .. } => None,
    }
}

fn is_asked_for(name: &str, prompt: &Prompt<'_>) -> bool {
    let words = name.split(['_', '-', '.']).flat_map(split_at_capitals);
    let mut telling = words.filter(|word| word.len() >= 4 && !COMMON.contains(&word.to_lowercase().as_str()));
    prompt.mentions(name) || telling.any(|word| prompt.mentions(word))
}

fn split_at_capitals(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?.len_utf8();
        let next = rest.get(first..)?.find(char::is_uppercase);
        let (word, after) = rest.split_at(next.map_or(rest.len(), |at| at + first));
        rest = after;
        Some(word)
    })
}

/// Is there a place that one of several things could go into?
fn takes_text(tool: Callable<'_>) -> bool {
    let properties = tool.parameters.and_then(|schema| schema.get("properties"));
    let mut schemas = properties.and_then(Value::as_object).into_iter().flat_map(Map::values);
    let is_free = |schema: &Value| schema["type"] == "string" && schema.get("enum").is_none();
    tool.kind == ToolKind::Custom || schemas.any(is_free)
}

fn call(tool: Callable<'_>, prompt: &Prompt<'_>, subject: &str) -> Planned {
    let arguments = match (tool.kind, tool.parameters) {
        (ToolKind::Custom, _) => subject.to_owned(),
        (ToolKind::Function, None) => json!({}).to_string(),
        (ToolKind::Function, Some(schema)) => {
            let arguments = schema::instance(schema, prompt, subject);
            // A call's arguments are an object, even where the schema does not say so.
            let arguments = Some(arguments).filter(Value::is_object);
            arguments.unwrap_or_else(|| json!({})).to_string()
        }
    };
    Planned { name: tool.name.to_owned(), arguments, kind: tool.kind }
}
