//! Writes the tools and the choice among them. Decides which of them a chat upstream can have.
//! Tests: `encode_request/tests.rs`.

use serde_json::{Map, Value, json};

use super::{Result, put, unsupported};
use crate::Dialect;
use crate::chat::{Function, Request, Tool, ToolChoice, ToolKind};
use crate::dialect::{ToolChoiceRequired, Traits};
use crate::loss::Losses;

/// `tools`, `tool_choice`, `parallel_tool_calls` and `web_search_options`.
pub(super) fn write(
    request: &Request,
    traits: &Traits,
    body: &mut Map<String, Value>,
    losses: &mut Losses,
) -> Result<()> {
    let mut tools = Vec::new();
    let mut search = None;
    let mut foreign = Vec::new();
    for tool in &request.tools {
        match tool {
            Tool::Function(function) => tools.push(self::function(function, losses)),
            Tool::Custom { name, description, format } => tools.push(custom(name, description.as_deref(), format)),
            Tool::WebSearch(options) => search = Some(options.clone()),
            Tool::Hosted { dialect: Dialect::OpenaiChat, value, .. } => tools.push(value.clone()),
            Tool::Hosted { kind, .. } => foreign.push(kind),
        }
    }
    for kind in foreign {
        if tools.is_empty() && search.is_none() {
            return Err(unsupported("tools", &format!("the tool `{kind}` runs at another provider than this model")));
        }
        losses.dropped(format!("tools[].{kind}"));
    }
    let has_tools = !tools.is_empty();
    put(body, "tools", Some(tools).filter(|_| has_tools));
    put(body, "tool_choice", choice(request, traits, has_tools));
    // The API refuses this without tools, where it says nothing.
    put(body, "parallel_tool_calls", request.parallel_tool_calls.filter(|_| has_tools));
    put(body, "web_search_options", search);
    Ok(())
}

fn function(function: &Function, losses: &mut Losses) -> Value {
    if function.cache.is_some() {
        losses.dropped("tools[].cache_control");
    }
    let mut inner = Map::new();
    inner.insert("name".to_owned(), function.name.as_str().into());
    put(&mut inner, "description", function.description.as_deref());
    put(&mut inner, "parameters", function.parameters.clone());
    put(&mut inner, "strict", function.strict);
    json!({"type": "function", "function": inner})
}

fn custom(name: &str, description: Option<&str>, format: &Option<Value>) -> Value {
    let mut inner = Map::new();
    inner.insert("name".to_owned(), name.into());
    put(&mut inner, "description", description);
    put(&mut inner, "format", format.clone());
    json!({"type": "custom", "custom": inner})
}

fn choice(request: &Request, traits: &Traits, has_tools: bool) -> Option<Value> {
    match request.tool_choice.as_ref()? {
        // The API refuses a choice among no tools; these two say what happens anyway.
        ToolChoice::None | ToolChoice::Auto if !has_tools => None,
        ToolChoice::None => Some("none".into()),
        ToolChoice::Auto => Some("auto".into()),
        ToolChoice::Required => Some(match traits.tool_choice_required {
            ToolChoiceRequired::Required => "required".into(),
            ToolChoiceRequired::Any => "any".into(),
        }),
        ToolChoice::Named { name, kind } => Some(named(name, *kind)),
        ToolChoice::Allowed { names, required } => Some(allowed(names, *required, &request.tools)),
    }
}

fn named(name: &str, kind: ToolKind) -> Value {
    match kind {
        ToolKind::Function => json!({"type": "function", "function": {"name": name}}),
        ToolKind::Custom => json!({"type": "custom", "custom": {"name": name}}),
    }
}

fn allowed(names: &[String], required: bool, tools: &[Tool]) -> Value {
    let is_custom = |wanted: &str| tools.iter().any(|tool| matches!(tool, Tool::Custom { name, .. } if name == wanted));
    let tools: Vec<Value> = names
        .iter()
        .map(|name| named(name, if is_custom(name) { ToolKind::Custom } else { ToolKind::Function }))
        .collect();
    let mode = if required { "required" } else { "auto" };
    json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}})
}
