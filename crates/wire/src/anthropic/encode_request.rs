//! A neutral request as a Messages body. Every field arrives, is refused, or is reported as a loss; nothing goes silently.
//!
//! Names of fields in errors and losses are OpenAI chat's, because the neutral model no longer knows the caller's spelling.
//! Knows nothing of vendors: what differs between them is in [`Traits`]. Tests: here and in `encode_request/tests.rs`.

mod messages;
mod parts;
mod schema;
mod thinking;
mod tools;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::chat::{CacheBreakpoint, Request, ResponseFormat};
use crate::dialect::{Target, Traits};
use crate::error::WireError;
use crate::loss::Losses;

type Result<T> = std::result::Result<T, WireError>;

/// What `max_tokens` is if neither the caller nor the model's entry says.
const DEFAULT_MAX_TOKENS: u64 = 4096;

/// How many prompt-cache breakpoints the API takes.
const MAX_BREAKPOINTS: usize = 4;

/// The longest `metadata.user_id`, in characters.
const MAX_USER_ID: usize = 256;

/// The least `top_p` the API takes while the model thinks.
const LEAST_THINKING_TOP_P: f64 = 0.95;

/// Top-level fields of Messages that have no neutral place and are written back.
const OWN: [&str; 9] = [
    "cache_control",
    "container",
    "diagnostics",
    "inference_geo",
    "mcp_servers",
    "speed",
    "thinking",
    "user_profile_id",
    "workspace_id",
];

/// Fields of other dialects whose loss would change the meaning.
const REFUSED: [&str; 4] = ["previous_response_id", "conversation", "prompt", "background"];

/// Writes the body.
pub(super) fn encode(request: &Request, target: &Target<'_>, losses: &mut Losses) -> Result<Bytes> {
    refuse(request)?;
    let traits = target.traits;
    let mut writer = Writer { traits, losses, breakpoints: usize::from(request.extra.contains_key("cache_control")) };
    let toolbox = tools::write(request, &mut writer)?;
    let conversation = messages::write(request, &mut writer)?;
    let Writer { losses, .. } = writer;
    let mut max_tokens = max_tokens(request, traits, losses);
    let hindrance =
        thinking::Hindrance { forced_tool: toolbox.forced, unsigned_tool_loop: conversation.unsigned_tool_loop };
    let thought = thinking::decide(request, traits, &hindrance, &mut max_tokens, losses);

    let mut body = Map::new();
    body.insert("model".to_owned(), target.model.into());
    body.insert("max_tokens".to_owned(), max_tokens.into());
    put_list(&mut body, "system", conversation.system);
    body.insert("messages".to_owned(), conversation.messages.into());
    put_list(&mut body, "tools", toolbox.tools);
    put(&mut body, "tool_choice", toolbox.choice);
    put(&mut body, "thinking", thought.thinking.clone());
    put(&mut body, "output_config", output_config(request, traits, thought.effort, losses));
    sampling(request, traits, thought.on, &mut body, losses);
    stop(request, &mut body, losses);
    identity(request, &mut body, losses);
    if request.stream {
        body.insert("stream".to_owned(), true.into());
    }
    drop_hints(request, losses);
    extra(request, &mut body, losses)?;
    traits.obey(&mut body, losses)?;
    Ok(Value::Object(body).to_string().into())
}

/// A tool call's id as the API takes it; the same everywhere for the same id.
pub(super) fn block_id(id: &str) -> String {
    parts::id(id)
}

/// What the parts of the writer share: the target's ways, the losses, and the breakpoints spent so far.
struct Writer<'a> {
    traits: &'a Traits,
    losses: &'a mut Losses,
    breakpoints: usize,
}

impl Writer<'_> {
    /// Marks a block or tool as the end of a cached prefix, as long as the API takes one more.
    fn mark(&mut self, block: &mut Value, cache: Option<&CacheBreakpoint>) {
        let (Some(cache), Some(block)) = (cache, block.as_object_mut()) else { return };
        if self.breakpoints >= MAX_BREAKPOINTS {
            self.losses.dropped("cache_control");
            return;
        }
        self.breakpoints += 1;
        let mut control = Map::new();
        control.insert("type".to_owned(), "ephemeral".into());
        put(&mut control, "ttl", cache.ttl.clone().map(Value::from));
        block.insert("cache_control".to_owned(), control.into());
    }

    /// Counts the breakpoint that a block of Messages' own already carries, or takes it away.
    fn count_mark(&mut self, block: &mut Value) {
        let Some(block) = block.as_object_mut().filter(|block| block.contains_key("cache_control")) else { return };
        if self.breakpoints >= MAX_BREAKPOINTS {
            block.shift_remove("cache_control");
            self.losses.dropped("cache_control");
        } else {
            self.breakpoints += 1;
        }
    }
}

fn put(object: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        object.insert(key.to_owned(), value);
    }
}

fn put_list(object: &mut Map<String, Value>, key: &str, list: Vec<Value>) {
    if !list.is_empty() {
        object.insert(key.to_owned(), list.into());
    }
}

fn refuse(request: &Request) -> Result<()> {
    let unsupported = |param: &str, why: &str| Err(WireError::unsupported(param, format!("`{param}`: {why}")));
    if request.n.is_some_and(|n| n > 1) {
        return unsupported("n", "this model gives one answer for a request; ask once for each");
    }
    if request.logprobs.is_some() {
        return unsupported("logprobs", "this model does not report token probabilities");
    }
    if request.audio_output.is_some() {
        return unsupported("audio", "this model does not speak; ask for text only");
    }
    Ok(())
}

fn max_tokens(request: &Request, traits: &Traits, losses: &mut Losses) -> u64 {
    let wanted = request.max_output_tokens.or(traits.max_output_tokens).unwrap_or(DEFAULT_MAX_TOKENS);
    let most = traits.max_output_tokens.unwrap_or(u64::MAX);
    if wanted > most {
        losses.clamped("max_tokens");
    }
    wanted.min(most)
}

fn output_config(request: &Request, traits: &Traits, effort: Option<&str>, losses: &mut Losses) -> Option<Value> {
    let mut config = Map::new();
    put(&mut config, "effort", effort.map(Value::from));
    if let Some(ResponseFormat::JsonSchema { description, schema, .. }) = &request.response_format
        && traits.json_schema
    {
        if description.is_some() {
            losses.dropped("response_format.json_schema.description");
        }
        let schema = schema::closed(schema, "response_format.json_schema.schema", losses);
        config.insert("format".to_owned(), json!({"type": "json_schema", "schema": schema}));
    }
    (!config.is_empty()).then(|| config.into())
}

fn sampling(request: &Request, traits: &Traits, thinks: bool, body: &mut Map<String, Value>, losses: &mut Losses) {
    let wanted = &request.sampling;
    if let Some(temperature) = wanted.temperature {
        let refused = !traits.sampling || (thinks && temperature.min(1.0) < 1.0);
        if refused {
            losses.dropped("temperature");
        } else {
            if temperature > 1.0 {
                losses.clamped("temperature");
            }
            body.insert("temperature".to_owned(), temperature.min(1.0).into());
        }
    }
    if let Some(top_p) = wanted.top_p {
        if !traits.sampling {
            losses.dropped("top_p");
        } else if thinks && top_p < LEAST_THINKING_TOP_P {
            losses.clamped("top_p");
            body.insert("top_p".to_owned(), LEAST_THINKING_TOP_P.into());
        } else {
            body.insert("top_p".to_owned(), top_p.into());
        }
    }
    if let Some(top_k) = wanted.top_k {
        if traits.sampling && !thinks {
            body.insert("top_k".to_owned(), top_k.into());
        } else {
            losses.dropped("top_k");
        }
    }
}

fn stop(request: &Request, body: &mut Map<String, Value>, losses: &mut Losses) {
    let kept: Vec<Value> =
        request.stop.iter().filter(|stop| !stop.trim().is_empty()).map(|stop| stop.as_str().into()).collect();
    if kept.len() < request.stop.len() {
        losses.dropped("stop");
    }
    put_list(body, "stop_sequences", kept);
}

fn identity(request: &Request, body: &mut Map<String, Value>, losses: &mut Losses) {
    if let Some(user) = &request.user {
        if user.chars().count() > MAX_USER_ID {
            losses.clamped("user");
        }
        let user: String = user.chars().take(MAX_USER_ID).collect();
        body.insert("metadata".to_owned(), json!({"user_id": user}));
    }
    match request.service_tier.as_deref() {
        None => {}
        Some("auto") => drop(body.insert("service_tier".to_owned(), "auto".into())),
        Some("default") => drop(body.insert("service_tier".to_owned(), "standard_only".into())),
        Some(_) => losses.dropped("service_tier"),
    }
}

/// Hints that Messages has no words for.
fn drop_hints(request: &Request, losses: &mut Losses) {
    let sampling = &request.sampling;
    let hints = [
        ("presence_penalty", sampling.presence_penalty.is_some_and(|penalty| penalty != 0.0)),
        ("frequency_penalty", sampling.frequency_penalty.is_some_and(|penalty| penalty != 0.0)),
        ("seed", sampling.seed.is_some()),
        ("logit_bias", sampling.logit_bias.is_some()),
        ("verbosity", request.verbosity.is_some()),
        ("metadata", !request.metadata.is_empty()),
        ("prompt_cache_key", request.prompt_cache_key.is_some()),
        // Nothing is stored there, as a caller who says `false` wants it.
        ("store", request.store == Some(true)),
    ];
    for (field, given) in hints {
        if given {
            losses.dropped(field);
        }
    }
}

fn extra(request: &Request, body: &mut Map<String, Value>, losses: &mut Losses) -> Result<()> {
    for (key, value) in &request.extra {
        if REFUSED.contains(&key.as_str()) {
            if *value == Value::Bool(false) {
                continue;
            }
            let message = format!("`{key}`: this model has no such feature and the answer would differ without it");
            return Err(WireError::unsupported(key, message));
        }
        // OpenAI's Responses has a list of the same name.
        let own = OWN.contains(&key.as_str()) || (key == "context_management" && value.is_object());
        match key.split_once('.') {
            None if own => drop(body.insert(key.clone(), value.clone())),
            Some(("output_config", field)) => put_inside(body, "output_config", field, value),
            Some(("thinking", "display")) if thinks(body) => put_inside(body, "thinking", "display", value),
            Some(_) | None => losses.dropped(key.as_str()),
        }
    }
    Ok(())
}

fn thinks(body: &Map<String, Value>) -> bool {
    let kind = body.get("thinking").and_then(|thinking| thinking.get("type")).and_then(Value::as_str);
    kind.is_some_and(|kind| kind != "disabled")
}

fn put_inside(body: &mut Map<String, Value>, object: &str, field: &str, value: &Value) {
    let object = body.entry(object.to_owned()).or_insert_with(|| Value::Object(Map::new()));
    if let Some(object) = object.as_object_mut() {
        object.insert(field.to_owned(), value.clone());
    }
}

#[cfg(test)]
mod tests;
