//! A Messages request on its way in. Validates what the API would; what has no neutral place goes to `extra`.
//!
//! Knows nothing of API versions: fields that only one of them refuses are read in both. Tests: here.

use serde_json::Value;

use super::blocks::{self, Strays};
use crate::Dialect;
use crate::chat::{
    Content, Effort, Function, Message, Part, Request, ResponseFormat, Role, Sampling, Thinking, ThinkingMode, Tool,
    ToolChoice, ToolKind,
};
use crate::error::WireError;
use crate::fields::Fields;
use crate::peek::{missing, mistyped, not_one_of};

type Result<T> = std::result::Result<T, WireError>;

/// Reads a whole request.
pub(super) fn decode(body: &[u8]) -> Result<Request> {
    let mut fields = Fields::parse(body)?;
    let mut strays = Strays::new();
    let mut request = Request {
        model: fields.required_string("model")?,
        max_output_tokens: Some(fields.u64("max_tokens")?.ok_or_else(|| missing("max_tokens"))?),
        sampling: Sampling {
            temperature: fields.f64("temperature")?,
            top_p: fields.f64("top_p")?,
            top_k: fields.u64("top_k")?,
            ..Sampling::default()
        },
        stop: stop_sequences(&mut fields)?,
        stream: fields.bool("stream")?.unwrap_or(false),
        include_usage: true,
        ..Request::default()
    };
    if let Some(system) = fields.take("system") {
        let parts = blocks::content(Some(system), "system", &mut strays)?;
        request.messages.push(Message { role: Role::System, parts, name: None });
    }
    messages(&mut fields, &mut request.messages, &mut strays)?;
    for (tool, path) in fields.array("tools")?.unwrap_or_default() {
        request.tools.push(self::tool(tool, &path, &mut strays)?);
    }
    tool_choice(&mut fields, &mut request, &mut strays)?;
    thinking(&mut fields, &mut request, &mut strays)?;
    output_config(&mut fields, &mut request, &mut strays)?;
    if let Some(mut metadata) = fields.object("metadata")? {
        request.user = metadata.string("user_id")?;
        blocks::keep(metadata, &mut strays);
    }
    request.service_tier = fields.string("service_tier")?.map(|tier| match tier.as_str() {
        "standard_only" => "default".to_owned(),
        _ => tier,
    });
    request.extra = fields.rest();
    request.extra.extend(strays);
    Ok(request)
}

fn stop_sequences(fields: &mut Fields) -> Result<Vec<String>> {
    let items = fields.array("stop_sequences")?.unwrap_or_default();
    items
        .into_iter()
        .map(|(item, path)| match item {
            Value::String(text) => Ok(text),
            _ => Err(mistyped(&path, "a string")),
        })
        .collect()
}

fn messages(fields: &mut Fields, out: &mut Vec<Message>, strays: &mut Strays) -> Result<()> {
    let items = fields.array("messages")?.ok_or_else(|| missing("messages"))?;
    if items.is_empty() {
        return Err(WireError::invalid("messages", "`messages` must hold at least one message"));
    }
    for (item, path) in items {
        let mut message = Fields::of(item, path)?;
        let role = match message.required_string("role")?.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            other => return Err(not_one_of(&message.param("role"), other, &["user", "assistant", "system"])),
        };
        let path = message.param("content");
        let parts = blocks::content(message.take("content"), &path, strays)?;
        blocks::keep(message, strays);
        match role {
            Role::User => split_results(parts, out),
            Role::System | Role::Developer | Role::Assistant | Role::Tool => {
                out.push(Message { role, parts, name: None });
            }
        }
    }
    Ok(())
}

/// A user turn may mix tool results with words; in neutral terms the results are messages of their own.
fn split_results(parts: Vec<Part>, out: &mut Vec<Message>) {
    let mut run: Option<Message> = None;
    for part in parts {
        let role = if matches!(part.content, Content::ToolResult(_)) { Role::Tool } else { Role::User };
        match &mut run {
            Some(message) if message.role == role => message.parts.push(part),
            _ => out.extend(run.replace(Message { role, parts: vec![part], name: None })),
        }
    }
    out.push(run.unwrap_or(Message { role: Role::User, parts: Vec::new(), name: None }));
}

fn tool(value: Value, path: &str, strays: &mut Strays) -> Result<Tool> {
    let kind = match value.get("type") {
        None | Some(Value::Null) => "custom".to_owned(),
        Some(Value::String(kind)) => kind.clone(),
        Some(_) => return Err(mistyped(&format!("{path}.type"), "a string")),
    };
    if kind != "custom" {
        return Ok(Tool::Hosted { dialect: Dialect::Anthropic, kind, value });
    }
    let mut fields = Fields::of(value, path)?;
    fields.take("type");
    let function = Function {
        name: fields.required_string("name")?,
        description: fields.string("description")?,
        parameters: match fields.take("input_schema") {
            Some(schema @ Value::Object(_)) => Some(schema),
            Some(_) => return Err(mistyped(&fields.param("input_schema"), "an object")),
            None => return Err(missing(&fields.param("input_schema"))),
        },
        strict: fields.bool("strict")?,
        cache: blocks::cache(&mut fields)?,
    };
    blocks::keep(fields, strays);
    Ok(Tool::Function(function))
}

fn tool_choice(fields: &mut Fields, request: &mut Request, strays: &mut Strays) -> Result<()> {
    let Some(mut choice) = fields.object("tool_choice")? else { return Ok(()) };
    request.tool_choice = Some(match choice.required_string("type")?.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Named { name: choice.required_string("name")?, kind: ToolKind::Function },
        other => return Err(not_one_of(&choice.param("type"), other, &["auto", "any", "tool", "none"])),
    });
    request.parallel_tool_calls = choice.bool("disable_parallel_tool_use")?.map(|disabled| !disabled);
    blocks::keep(choice, strays);
    Ok(())
}

/// `enabled` and `adaptive` thinking is neutral; a kind nobody else has goes to `extra` as it is.
fn thinking(fields: &mut Fields, request: &mut Request, strays: &mut Strays) -> Result<()> {
    let kind = fields.peek("thinking").and_then(|it| it.get("type")).and_then(Value::as_str).map(str::to_owned);
    if kind.as_deref().is_some_and(|kind| !matches!(kind, "enabled" | "adaptive" | "disabled")) {
        return Ok(());
    }
    let Some(mut thinking) = fields.object("thinking")? else { return Ok(()) };
    let kind = thinking.required_string("type")?;
    let display = thinking.string("display")?;
    let mode = match kind.as_str() {
        "enabled" => {
            let budget = thinking.u64("budget_tokens")?.ok_or_else(|| missing("thinking.budget_tokens"))?;
            ThinkingMode::Budget(budget)
        }
        "adaptive" => ThinkingMode::Adaptive,
        _ => ThinkingMode::Off,
    };
    let shown = match display.as_deref() {
        Some("summarized") => true,
        Some(other) => {
            strays.insert("thinking.display".to_owned(), other.into());
            false
        }
        None => kind == "enabled",
    };
    blocks::keep(thinking, strays);
    request.thinking = Some(Thinking { mode, effort: None, summary: shown.then(|| "auto".to_owned()) });
    Ok(())
}

fn output_config(fields: &mut Fields, request: &mut Request, strays: &mut Strays) -> Result<()> {
    let Some(mut config) = fields.object("output_config")? else { return Ok(()) };
    if let Some(effort) = config.string("effort")? {
        let effort = match effort.as_str() {
            "low" => Effort::Low,
            "medium" => Effort::Medium,
            "high" => Effort::High,
            "xhigh" => Effort::XHigh,
            "max" => Effort::Max,
            other => {
                return Err(not_one_of("output_config.effort", other, &["low", "medium", "high", "xhigh", "max"]));
            }
        };
        request.thinking.get_or_insert_default().effort = Some(effort);
    }
    if let Some(mut format) = config.object("format")? {
        match format.required_string("type")?.as_str() {
            "json_schema" => {}
            other => return Err(not_one_of(&format.param("type"), other, &["json_schema"])),
        }
        request.response_format = Some(ResponseFormat::JsonSchema {
            name: "response".to_owned(),
            description: None,
            schema: format.take("schema").ok_or_else(|| missing(&format.param("schema")))?,
            strict: Some(true),
        });
        blocks::keep(format, strays);
    }
    blocks::keep(config, strays);
    Ok(())
}

#[cfg(test)]
mod tests;
