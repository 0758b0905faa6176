//! Reads the tools and the choice among them, in their present and their old spelling. Tests: `decode_request/tests.rs`.

use serde_json::Value;

use super::{Result, Strays, cache, keep};
use crate::Dialect;
use crate::chat::{Function, Tool, ToolChoice, ToolKind};
use crate::error::WireError;
use crate::fields::Fields;
use crate::peek::{missing, mistyped, not_one_of};

/// `tools`, and `functions` as tools.
pub(super) fn read(top: &mut Fields, strays: &mut Strays) -> Result<Vec<Tool>> {
    let mut tools = Vec::new();
    for (value, path) in top.array("tools")?.unwrap_or_default() {
        tools.push(tool(value, path, strays)?);
    }
    for (value, path) in top.array("functions")?.unwrap_or_default() {
        let mut old = Fields::of(value, path)?;
        tools.push(Tool::Function(function(&mut old)?));
        keep(old, "functions[]", strays);
    }
    Ok(tools)
}

fn tool(value: Value, path: String, strays: &mut Strays) -> Result<Tool> {
    let mut outer = Fields::of(value.clone(), path)?;
    let kind = outer.required_string("type")?;
    let tool = match &*kind {
        "function" => {
            let mut inner = outer.object("function")?.ok_or_else(|| missing(&outer.param("function")))?;
            let mut function = function(&mut inner)?;
            let outside = cache(&mut outer)?;
            function.cache = outside.or(function.cache);
            keep(inner, "tools[].function", strays);
            Tool::Function(function)
        }
        "custom" => {
            let mut inner = outer.object("custom")?.ok_or_else(|| missing(&outer.param("custom")))?;
            let custom = Tool::Custom {
                name: name(&mut inner)?,
                description: inner.string("description")?,
                format: inner.take("format"),
            };
            keep(inner, "tools[].custom", strays);
            custom
        }
        _ => return Ok(Tool::Hosted { dialect: Dialect::OpenaiChat, kind, value }),
    };
    keep(outer, "tools[]", strays);
    Ok(tool)
}

fn function(fields: &mut Fields) -> Result<Function> {
    let parameters = fields.take("parameters");
    if parameters.as_ref().is_some_and(|schema| !schema.is_object()) {
        return Err(mistyped(&fields.param("parameters"), "a JSON Schema object"));
    }
    Ok(Function {
        name: name(fields)?,
        description: fields.string("description")?,
        parameters,
        strict: fields.bool("strict")?,
        cache: cache(fields)?,
    })
}

fn name(fields: &mut Fields) -> Result<String> {
    let name = fields.required_string("name")?;
    if name.is_empty() {
        let param = fields.param("name");
        let message = format!("`{param}` must not be empty");
        return Err(WireError::invalid(param, message));
    }
    Ok(name)
}

/// `tool_choice`, else `function_call`.
pub(super) fn choice(top: &mut Fields) -> Result<Option<ToolChoice>> {
    let old = old_choice(top)?;
    let choice = match top.peek("tool_choice") {
        None => return Ok(old),
        Some(Value::String(_)) => word(&top.string("tool_choice")?.unwrap_or_default())?,
        Some(_) => top.object("tool_choice")?.map(chosen).transpose()?,
    };
    Ok(choice)
}

fn old_choice(top: &mut Fields) -> Result<Option<ToolChoice>> {
    match top.peek("function_call") {
        None => Ok(None),
        Some(Value::String(_)) => match &*top.string("function_call")?.unwrap_or_default() {
            "none" => Ok(Some(ToolChoice::None)),
            "auto" => Ok(Some(ToolChoice::Auto)),
            word => Err(not_one_of("function_call", word, &["none", "auto"])),
        },
        Some(_) => {
            let call = top.object("function_call")?;
            let name = call.map(|mut call| call.required_string("name")).transpose()?;
            Ok(name.map(|name| ToolChoice::Named { name, kind: ToolKind::Function }))
        }
    }
}

fn word(word: &str) -> Result<Option<ToolChoice>> {
    match word {
        "none" => Ok(Some(ToolChoice::None)),
        "auto" => Ok(Some(ToolChoice::Auto)),
        // `any` is Mistral's word.
        "required" | "any" => Ok(Some(ToolChoice::Required)),
        _ => Err(not_one_of("tool_choice", word, &["none", "auto", "required"])),
    }
}

fn chosen(mut choice: Fields) -> Result<ToolChoice> {
    let kind = choice.required_string("type")?;
    if kind != "allowed_tools" {
        let (name, kind) = named(choice, &kind)?;
        return Ok(ToolChoice::Named { name, kind });
    }
    let mut allowed = choice.object("allowed_tools")?.ok_or_else(|| missing(&choice.param("allowed_tools")))?;
    let required = match &*allowed.required_string("mode")? {
        "auto" => false,
        "required" => true,
        word => return Err(not_one_of(&allowed.param("mode"), word, &["auto", "required"])),
    };
    let tools = allowed.array("tools")?.ok_or_else(|| missing(&allowed.param("tools")))?;
    let names = tools.into_iter().map(|(value, path)| {
        let mut tool = Fields::of(value, path)?;
        let kind = tool.required_string("type")?;
        named(tool, &kind).map(|(name, _)| name)
    });
    Ok(ToolChoice::Allowed { names: names.collect::<Result<_>>()?, required })
}

/// The tool that an object with this `type` names.
fn named(mut tool: Fields, word: &str) -> Result<(String, ToolKind)> {
    let kind = match word {
        "function" => ToolKind::Function,
        "custom" => ToolKind::Custom,
        _ => return Err(not_one_of(&tool.param("type"), word, &["function", "custom", "allowed_tools"])),
    };
    let mut inner = tool.object(word)?.ok_or_else(|| missing(&tool.param(word)))?;
    Ok((name(&mut inner)?, kind))
}
