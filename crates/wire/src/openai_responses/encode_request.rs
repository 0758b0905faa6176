//! Writes a request for an upstream. Decides for each neutral field whether it is said, moved, left out or refused.
//! Tests are below; items are in [`super::encode_items`].

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::encode_items::{Writer, text_of};
use super::settings::{self, insert_some};
use crate::Dialect;
use crate::chat::{Content, Message, Request, Role, ThinkingMode, Tool, ToolChoice};
use crate::dialect::{Target, ThinkingStyle};
use crate::error::WireError;
use crate::loss::Losses;

type Result<T> = std::result::Result<T, WireError>;

/// The least `max_output_tokens` the API takes.
const MIN_OUTPUT_TOKENS: u64 = 16;

/// Fields the neutral model has no place for and that mean here what they mean in the dialects that send them.
const KNOWN_EXTRA: [&str; 8] = [
    "context_management",
    "include",
    "max_tool_calls",
    "moderation",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "truncation",
];

/// Fields whose silent loss would change what the request does.
const REFUSED_EXTRA: [&str; 6] =
    ["background", "container", "conversation", "mcp_servers", "previous_response_id", "prompt"];

/// See [`crate::dialect::UpstreamDialect::encode_request`].
pub(super) fn encode(request: &Request, target: &Target<'_>, losses: &mut Losses) -> Result<Bytes> {
    refuse(request)?;
    let mut body = Map::new();
    body.insert("model".into(), target.model.into());
    conversation(request, target, losses, &mut body)?;
    insert_some(&mut body, "max_output_tokens", output_cap(request, target, losses));
    insert_some(&mut body, "temperature", request.sampling.temperature);
    insert_some(&mut body, "top_p", request.sampling.top_p);
    tools(request, losses, &mut body)?;
    insert_some(&mut body, "parallel_tool_calls", request.parallel_tool_calls);
    insert_some(&mut body, "text", Some(settings::text(request)).filter(|text| !text.is_empty()));
    let include = thinking(request, target, losses, &mut body);
    insert_some(&mut body, "user", request.user.as_deref());
    if !request.metadata.is_empty() {
        body.insert("metadata".into(), request.metadata.clone().into());
    }
    insert_some(&mut body, "service_tier", request.service_tier.as_deref());
    insert_some(&mut body, "prompt_cache_key", request.prompt_cache_key.as_deref());
    // The conversation comes back whole each time, so nothing needs to be kept.
    body.insert("store".into(), request.store.unwrap_or(false).into());
    if request.stream {
        body.insert("stream".into(), true.into());
    }
    hints(request, losses);
    extra(request, losses, &mut body)?;
    insert_include(request, include, &mut body);
    vendor(request, target, losses, &mut body)?;
    Ok(Value::Object(body).to_string().into())
}

/// What this dialect has no words for and the caller relies on.
fn refuse(request: &Request) -> Result<()> {
    if !request.stop.is_empty() {
        return Err(unsupported("stop", "stop strings"));
    }
    if request.n.is_some_and(|n| n > 1) {
        return Err(unsupported("n", "several answers to one request"));
    }
    if request.audio_output.is_some() {
        return Err(unsupported("audio", "spoken answers"));
    }
    Ok(())
}

fn unsupported(param: &str, what: &str) -> WireError {
    WireError::unsupported(param, format!("the model's provider knows no {what}; leave `{param}` out"))
}

/// `instructions` for a leading system text, then `input`.
fn conversation(
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
    body: &mut Map<String, Value>,
) -> Result<()> {
    let mut messages = request.messages.as_slice();
    if let Some((first, rest)) = messages.split_first()
        && !rest.is_empty()
        && let Some(text) = instructions(first)
    {
        body.insert("instructions".into(), text.into());
        messages = rest;
    }
    let mut writer = Writer { items: Vec::new(), traits: target.traits, losses };
    for message in messages {
        writer.message(message)?;
    }
    body.insert("input".into(), writer.items.into());
    Ok(())
}

/// The text of a system message, if it is all text: cache breakpoints have no place in `instructions`.
fn instructions(message: &Message) -> Option<String> {
    if !matches!(message.role, Role::System | Role::Developer) || message.name.is_some() {
        return None;
    }
    let plain = |part: &crate::chat::Part| part.cache.is_none() && matches!(part.content, Content::Text(_));
    let texts: Vec<&str> = message.parts.iter().filter_map(text_of).collect();
    message.parts.iter().all(plain).then(|| texts.join("\n\n")).filter(|text| !text.is_empty())
}

fn output_cap(request: &Request, target: &Target<'_>, losses: &mut Losses) -> Option<u64> {
    let wanted = request.max_output_tokens?;
    let most = target.traits.max_output_tokens.unwrap_or(u64::MAX);
    let given = wanted.min(most).max(MIN_OUTPUT_TOKENS);
    if given != wanted {
        losses.clamped("max_completion_tokens");
    }
    Some(given)
}

fn tools(request: &Request, losses: &mut Losses, body: &mut Map<String, Value>) -> Result<()> {
    let mut tools = Vec::new();
    let mut foreign = None;
    for tool in &request.tools {
        match (settings::tool(tool), tool) {
            (Some(json), tool) => {
                if matches!(tool, Tool::Function(function) if function.cache.is_some()) {
                    losses.dropped("tools[].cache_control");
                }
                tools.push(json);
            }
            (None, Tool::Hosted { kind, .. }) => foreign = foreign.or(Some(kind)),
            (None, _) => {}
        }
    }
    if let Some(kind) = foreign {
        if tools.is_empty() {
            let message = format!("the tool `{kind}` runs at another provider than this model");
            return Err(WireError::unsupported("tools", message));
        }
        losses.dropped(format!("tools[].{kind}"));
    }
    let has_tools = !tools.is_empty();
    if has_tools {
        body.insert("tools".into(), tools.into());
    }
    match &request.tool_choice {
        // The API refuses a choice among no tools; these two say what happens anyway.
        Some(ToolChoice::None | ToolChoice::Auto) if !has_tools => {}
        Some(choice) => drop(body.insert("tool_choice".into(), settings::tool_choice(choice, &request.tools))),
        None => {}
    }
    Ok(())
}

/// `reasoning`; says which `include` values are needed to get seals and log probabilities.
fn thinking(
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
    body: &mut Map<String, Value>,
) -> Vec<&'static str> {
    let mut include = Vec::new();
    let mut seals = has_own_seals(request);
    if let Some(thinking) = &request.thinking {
        if target.traits.thinking == ThinkingStyle::Never {
            losses.dropped("reasoning_effort");
        } else {
            if matches!(thinking.mode, ThinkingMode::Budget(_)) && thinking.effort.is_none() {
                losses.emulated("thinking.budget_tokens");
            }
            let reasoning = settings::reasoning(thinking);
            if !reasoning.is_empty() {
                body.insert("reasoning".into(), reasoning.into());
            }
            seals |= thinking.mode != ThinkingMode::Off;
        }
    }
    if seals {
        include.push("reasoning.encrypted_content");
    }
    if let Some(logprobs) = request.logprobs {
        insert_some(body, "top_logprobs", logprobs.top);
        include.push("message.output_text.logprobs");
    }
    include
}

/// Does the history hold reasoning this dialect sealed?
fn has_own_seals(request: &Request) -> bool {
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    let mut seals = parts.filter_map(|part| part.signature.as_ref());
    seals.any(|signature| signature.dialect == Dialect::OpenaiResponses)
}

/// Hints this dialect has no words for.
fn hints(request: &Request, losses: &mut Losses) {
    let sampling = &request.sampling;
    for (field, said) in [
        ("top_k", sampling.top_k.is_some()),
        ("presence_penalty", sampling.presence_penalty.is_some()),
        ("frequency_penalty", sampling.frequency_penalty.is_some()),
        ("seed", sampling.seed.is_some()),
        ("logit_bias", sampling.logit_bias.is_some()),
    ] {
        if said {
            losses.dropped(field);
        }
    }
}

fn extra(request: &Request, losses: &mut Losses, body: &mut Map<String, Value>) -> Result<()> {
    for (field, value) in &request.extra {
        if KNOWN_EXTRA.contains(&field.as_str()) {
            body.insert(field.clone(), value.clone());
        } else if REFUSED_EXTRA.contains(&field.as_str()) && *value != json!(false) {
            return Err(unsupported(field, "such field"));
        } else {
            losses.dropped(field.clone());
        }
    }
    Ok(())
}

fn insert_include(request: &Request, needed: Vec<&str>, body: &mut Map<String, Value>) {
    let said = request.extra.get("include").and_then(Value::as_array);
    let mut include: Vec<Value> = said.cloned().unwrap_or_default();
    for value in needed {
        if !include.contains(&value.into()) {
            include.push(value.into());
        }
    }
    if !include.is_empty() {
        body.insert("include".into(), include.into());
    }
}

/// What the vendor refuses, takes under another name, or must not be asked.
fn vendor(request: &Request, target: &Target<'_>, losses: &mut Losses, body: &mut Map<String, Value>) -> Result<()> {
    for field in &target.traits.refuse {
        if body.contains_key(field) {
            return Err(unsupported(field, "such field"));
        }
    }
    for field in &target.traits.drop {
        // What was added above is nobody's loss.
        let ours = match field.as_str() {
            "store" => request.store.is_none(),
            "include" => !request.extra.contains_key("include"),
            _ => false,
        };
        if body.shift_remove(field).is_some() && !ours {
            losses.dropped(field.clone());
        }
    }
    for (from, to) in &target.traits.rename {
        if let Some(value) = body.shift_remove(from) {
            body.insert(to.clone(), value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
