//! Tools and the choice among them. Tests: `request/tests.rs`.

use serde_json::{Map, Value, json};

use super::{Result, put, unsupported};
use crate::Dialect;
use crate::chat::{Function, Request, Tool, ToolChoice, ToolKind};
use crate::emulation::{custom_schema, tool_name};
use crate::error::WireError;
use crate::loss::Losses;

/// What a request says about tools.
#[derive(Clone, Debug, Default)]
pub(super) struct Toolbox {
    pub(super) tools: Vec<Value>,
    /// `toolConfig`
    pub(super) config: Option<Value>,
}

/// Writes `tools` and `toolConfig`. All functions stand in one entry, as the API wants it.
pub(super) fn write(request: &Request, losses: &mut Losses) -> Result<Toolbox> {
    let offered = offered(request, losses)?;
    let functions: Vec<Value> = offered.iter().filter_map(|tool| declaration(tool, losses)).collect();
    let hosted: Vec<Value> = offered.iter().filter_map(|tool| hosted(tool, losses)).collect();
    note_foreign(&offered, functions.is_empty() && hosted.is_empty(), losses)?;
    let config = config(request, &functions, losses);
    let mut tools = Vec::new();
    if !functions.is_empty() {
        tools.push(json!({"functionDeclarations": functions}));
    }
    tools.extend(hosted);
    Ok(Toolbox { tools, config })
}

/// The tools to offer. The API can name the functions of which one must be called, but not those of which one may be
/// called; then only these are offered. And it may use a tool it runs itself whenever that is offered.
fn offered<'a>(request: &'a Request, losses: &mut Losses) -> Result<Vec<&'a Tool>> {
    let all = request.tools.iter();
    match &request.tool_choice {
        Some(ToolChoice::Allowed { names, required }) => {
            if *required && !allowed_functions(request, names).is_empty() {
                return Ok(all.collect());
            }
            let kept: Vec<&Tool> = all.filter(|tool| is_named(tool, names)).collect();
            if kept.is_empty() {
                let message = "`tool_choice` allows none of the tools in `tools`; name one of them";
                return Err(WireError::invalid("tool_choice", message));
            }
            losses.emulated("tool_choice");
            Ok(kept)
        }
        Some(ToolChoice::None) => Ok(all.filter(|tool| function_name(tool).is_some()).collect()),
        _ => Ok(all.collect()),
    }
}

fn is_named(tool: &Tool, names: &[String]) -> bool {
    match tool {
        Tool::Function(Function { name, .. }) | Tool::Custom { name, .. } => names.contains(name),
        Tool::WebSearch(_) => names.iter().any(|name| name.starts_with("web_search")),
        Tool::Hosted { kind, .. } => names.contains(kind),
    }
}

/// The name under which a tool of the caller's is declared.
fn function_name(tool: &Tool) -> Option<String> {
    match tool {
        Tool::Function(function) => Some(tool_name(&function.name, ToolKind::Function)),
        Tool::Custom { name, .. } => Some(tool_name(name, ToolKind::Custom)),
        Tool::WebSearch(_) | Tool::Hosted { .. } => None,
    }
}

/// An entry of `functionDeclarations`.
fn declaration(tool: &Tool, losses: &mut Losses) -> Option<Value> {
    let (description, schema) = match tool {
        Tool::Function(function) => {
            if function.strict == Some(true) {
                losses.dropped("tools[].function.strict");
            }
            if function.cache.is_some() {
                losses.dropped("cache_control");
            }
            (&function.description, input_schema(function.parameters.as_ref()))
        }
        Tool::Custom { description, format, .. } => {
            losses.emulated("tools[].custom");
            if format.is_some() {
                losses.dropped("tools[].custom.format");
            }
            (description, Some(custom_schema()))
        }
        Tool::WebSearch(_) | Tool::Hosted { .. } => return None,
    };
    let mut declaration = Map::new();
    put(&mut declaration, "name", function_name(tool));
    put(&mut declaration, "description", description.as_deref());
    put(&mut declaration, "parametersJsonSchema", schema);
    Some(declaration.into())
}

/// A schema that says nothing means a function without parameters, which is declared without a schema.
fn input_schema(parameters: Option<&Value>) -> Option<Value> {
    parameters.filter(|schema| schema.as_object().is_some_and(|schema| !schema.is_empty())).cloned()
}

/// The entry of a tool that the API runs itself.
fn hosted(tool: &Tool, losses: &mut Losses) -> Option<Value> {
    match tool {
        Tool::WebSearch(options) => {
            for key in options.as_object().into_iter().flat_map(Map::keys) {
                losses.dropped(format!("web_search_options.{key}"));
            }
            Some(json!({"googleSearch": {}}))
        }
        Tool::Hosted { dialect: Dialect::Gemini, kind, value } => Some(json!({kind: value})),
        Tool::Hosted { .. } | Tool::Function(_) | Tool::Custom { .. } => None,
    }
}

/// Tools that another provider runs: refused if they were all the caller offered.
fn note_foreign(offered: &[&Tool], alone: bool, losses: &mut Losses) -> Result<()> {
    for tool in offered {
        let Tool::Hosted { dialect, kind, .. } = tool else { continue };
        if *dialect == Dialect::Gemini {
            continue;
        }
        if alone {
            return Err(unsupported("tools", &format!("this model's provider has no hosted tool `{kind}`")));
        }
        losses.dropped(format!("tools[].{kind}"));
    }
    Ok(())
}

fn config(request: &Request, functions: &[Value], losses: &mut Losses) -> Option<Value> {
    let choice = request.tool_choice.as_ref()?;
    let forces = !matches!(choice, ToolChoice::None | ToolChoice::Auto | ToolChoice::Allowed { required: false, .. });
    if functions.is_empty() {
        if forces {
            losses.dropped("tool_choice");
        }
        return None;
    }
    let mode = match choice {
        ToolChoice::None => "NONE",
        _ if forces => "ANY",
        _ => "AUTO",
    };
    let mut calling = Map::new();
    calling.insert("mode".to_owned(), mode.into());
    put(&mut calling, "allowedFunctionNames", forced_names(request, choice));
    Some(json!({"functionCallingConfig": calling}))
}

/// The functions one of which must be called, if the caller named any.
fn forced_names(request: &Request, choice: &ToolChoice) -> Option<Vec<String>> {
    match choice {
        ToolChoice::Named { name, kind } => Some(vec![tool_name(name, *kind)]),
        ToolChoice::Allowed { required: true, names } => Some(allowed_functions(request, names)),
        ToolChoice::None | ToolChoice::Auto | ToolChoice::Required | ToolChoice::Allowed { required: false, .. } => {
            None
        }
    }
}

fn allowed_functions(request: &Request, names: &[String]) -> Vec<String> {
    request.tools.iter().filter(|tool| is_named(tool, names)).filter_map(function_name).collect()
}
