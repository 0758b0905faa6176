//! Writes a request for a chat upstream. Decides for each neutral field whether it is said, moved, left out or refused;
//! names fields as chat does. Knows no vendor: what differs is in [`Traits`](crate::dialect::Traits).
//! Tests: `encode_request/tests.rs`.

mod messages;
mod parts;
mod tools;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::chat::{Effort, Request, ResponseFormat, Sampling, Thinking, ThinkingMode};
use crate::dialect::{MaxTokensField, StreamUsage, Target, ThinkingStyle, Traits};
use crate::error::WireError;
use crate::loss::Losses;

type Result<T> = std::result::Result<T, WireError>;

const MAX_STOPS: usize = 4;

/// Top-level fields that have no neutral place and are written back: OpenAI's, and those of vendors and routers that
/// follow it. A list, because a field of another dialect must never reach a chat upstream.
const OWN: [&str; 16] = [
    "chat_template_kwargs",
    "enable_thinking",
    "min_p",
    "moderation",
    "plugins",
    "prediction",
    "prompt_cache_options",
    "prompt_cache_retention",
    "prompt_mode",
    "provider",
    "repetition_penalty",
    "safe_prompt",
    "safety_identifier",
    "search_parameters",
    "thinking_budget",
    "transforms",
];

/// Fields of other dialects whose loss would change what the request does.
const REFUSED: [&str; 6] = ["background", "container", "conversation", "mcp_servers", "previous_response_id", "prompt"];

/// See [`crate::dialect::UpstreamDialect::encode_request`].
pub(super) fn encode(request: &Request, target: &Target<'_>, losses: &mut Losses) -> Result<Bytes> {
    let traits = target.traits;
    let mut body = Map::new();
    body.insert("model".to_owned(), target.model.into());
    let mut messages = messages::write(request, traits, losses)?;
    if request.response_format == Some(ResponseFormat::JsonObject) {
        messages::ask_for_json(request, &mut messages, losses);
    }
    body.insert("messages".to_owned(), messages.into());
    output_cap(request, traits, &mut body, losses);
    sampling(&request.sampling, &mut body, losses);
    stop(request, &mut body)?;
    put(&mut body, "n", request.n);
    logprobs(request, &mut body);
    put(&mut body, "response_format", request.response_format.as_ref().map(format));
    tools::write(request, traits, &mut body, losses)?;
    put(&mut body, "reasoning_effort", effort(request, traits, losses));
    put(&mut body, "verbosity", request.verbosity.as_deref());
    if let Some(audio) = &request.audio_output {
        body.insert("modalities".to_owned(), json!(["text", "audio"]));
        body.insert("audio".to_owned(), audio.clone());
    }
    identity(request, &mut body);
    extra(request, &mut body, losses)?;
    stream(request, traits, &mut body, losses);
    obey(request, traits, &mut body, losses)?;
    Ok(Value::Object(body).to_string().into())
}

fn put(object: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(key.to_owned(), value.into());
    }
}

fn unsupported(field: &str, why: &str) -> WireError {
    WireError::unsupported(field, format!("`{field}`: {why}"))
}

fn output_cap(request: &Request, traits: &Traits, body: &mut Map<String, Value>, losses: &mut Losses) {
    let Some(wanted) = request.max_output_tokens else { return };
    let given = traits.max_output_tokens.map_or(wanted, |most| wanted.min(most));
    if given < wanted {
        losses.clamped("max_completion_tokens");
    }
    let field = match traits.max_tokens_field {
        MaxTokensField::MaxCompletionTokens => "max_completion_tokens",
        MaxTokensField::MaxTokens => "max_tokens",
    };
    body.insert(field.to_owned(), given.into());
}

fn sampling(sampling: &Sampling, body: &mut Map<String, Value>, losses: &mut Losses) {
    put(body, "temperature", sampling.temperature);
    put(body, "top_p", sampling.top_p);
    put(body, "presence_penalty", sampling.presence_penalty);
    put(body, "frequency_penalty", sampling.frequency_penalty);
    put(body, "seed", sampling.seed);
    put(body, "logit_bias", sampling.logit_bias.clone());
    if sampling.top_k.is_some() {
        losses.dropped("top_k");
    }
}

fn stop(request: &Request, body: &mut Map<String, Value>) -> Result<()> {
    if request.stop.len() > MAX_STOPS {
        return Err(unsupported("stop", "this model takes at most 4 stop strings"));
    }
    if !request.stop.is_empty() {
        body.insert("stop".to_owned(), json!(request.stop));
    }
    Ok(())
}

fn logprobs(request: &Request, body: &mut Map<String, Value>) {
    if let Some(logprobs) = request.logprobs {
        body.insert("logprobs".to_owned(), true.into());
        put(body, "top_logprobs", logprobs.top);
    }
}

fn format(format: &ResponseFormat) -> Value {
    match format {
        ResponseFormat::Text => json!({"type": "text"}),
        ResponseFormat::JsonObject => json!({"type": "json_object"}),
        ResponseFormat::JsonSchema { name, description, schema, strict } => {
            let mut named = Map::new();
            named.insert("name".to_owned(), name.as_str().into());
            put(&mut named, "description", description.as_deref());
            named.insert("schema".to_owned(), schema.clone());
            put(&mut named, "strict", *strict);
            json!({"type": "json_schema", "json_schema": named})
        }
    }
}

fn effort(request: &Request, traits: &Traits, losses: &mut Losses) -> Option<&'static str> {
    let thinking = request.thinking.as_ref()?;
    if traits.thinking == ThinkingStyle::Never {
        // A model that never thinks does what "off" asks for.
        if thinking.mode != ThinkingMode::Off {
            losses.dropped("reasoning_effort");
        }
        return None;
    }
    if thinking.summary.is_some() {
        losses.dropped("reasoning.summary");
    }
    effort_word(thinking, losses)
}

fn effort_word(thinking: &Thinking, losses: &mut Losses) -> Option<&'static str> {
    match (thinking.mode, thinking.effort) {
        (ThinkingMode::Off, _) => Some("none"),
        (_, Some(effort)) => Some(word(effort)),
        (ThinkingMode::Unsaid | ThinkingMode::Adaptive, None) => None,
        (ThinkingMode::Budget(tokens), None) => {
            losses.emulated("thinking.budget_tokens");
            Some(match tokens {
                ..=1024 => "low",
                1025..=8192 => "medium",
                _ => "high",
            })
        }
    }
}

fn word(effort: Effort) -> &'static str {
    match effort {
        Effort::Minimal => "minimal",
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::XHigh => "xhigh",
        Effort::Max => "max",
    }
}

fn identity(request: &Request, body: &mut Map<String, Value>) {
    put(body, "user", request.user.as_deref());
    if !request.metadata.is_empty() {
        body.insert("metadata".to_owned(), request.metadata.clone().into());
    }
    put(body, "service_tier", request.service_tier.as_deref());
    put(body, "prompt_cache_key", request.prompt_cache_key.as_deref());
    put(body, "store", request.store);
}

fn extra(request: &Request, body: &mut Map<String, Value>, losses: &mut Losses) -> Result<()> {
    for (field, value) in &request.extra {
        if OWN.contains(&field.as_str()) || is_thinking_switch(field, value) {
            body.insert(field.clone(), value.clone());
        } else if REFUSED.contains(&field.as_str()) {
            if *value != Value::Bool(false) {
                return Err(unsupported(
                    field,
                    "this model has no such feature and the answer would differ without it",
                ));
            }
        } else if field != OBFUSCATION {
            losses.dropped(field.as_str());
        }
    }
    Ok(())
}

/// DeepSeek's switch. It looks like Anthropic's, but that one is always understood and never left over.
fn is_thinking_switch(field: &str, value: &Value) -> bool {
    field == "thinking" && value.get("type").is_some_and(|kind| kind == "enabled" || kind == "disabled")
}

/// Padding against eavesdroppers who count bytes; only streams have it.
const OBFUSCATION: &str = "stream_options.include_obfuscation";

/// Usage is always asked for, because somebody has to account for it; the caller sees it only if asked.
fn stream(request: &Request, traits: &Traits, body: &mut Map<String, Value>, losses: &mut Losses) {
    let padded = request.extra.get(OBFUSCATION);
    let asked = request.stream && traits.stream_usage == StreamUsage::Asked;
    if padded.is_some() && !asked {
        losses.dropped(OBFUSCATION);
    }
    if request.stream {
        body.insert("stream".to_owned(), true.into());
    }
    if asked {
        let mut options = Map::new();
        options.insert("include_usage".to_owned(), true.into());
        put(&mut options, "include_obfuscation", padded.cloned());
        body.insert("stream_options".to_owned(), options.into());
    }
}

/// What the vendor refuses, must not be asked, or takes under another name.
fn obey(request: &Request, traits: &Traits, body: &mut Map<String, Value>, losses: &mut Losses) -> Result<()> {
    for field in &traits.refuse {
        // One answer is what everybody gives.
        let is_default = field == "n" && request.n == Some(1);
        if body.contains_key(field) && !is_default {
            return Err(unsupported(field, "this provider does not take it"));
        }
        body.shift_remove(field);
    }
    for field in &traits.drop {
        let ours = field == "stream_options" && !request.include_usage;
        if body.shift_remove(field).is_some() && !ours {
            losses.dropped(field.as_str());
        }
    }
    for (from, to) in &traits.rename {
        if let Some(value) = body.shift_remove(from) {
            body.insert(to.clone(), value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
