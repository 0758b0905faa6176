//! A neutral request as a `generateContent` body. Every field arrives, is refused, or is reported as a loss; nothing goes
//! silently. Names of fields in errors and losses are OpenAI chat's, because the neutral model no longer knows the
//! caller's spelling. What differs between models is in [`Traits`]. Tests: `request/tests.rs`.

mod contents;
mod generation;
mod parts;
mod thinking;
mod tools;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::chat::Request;
use crate::dialect::Traits;
use crate::error::WireError;
use crate::loss::Losses;

type Result<T> = std::result::Result<T, WireError>;

/// Fields of other dialects whose loss would change the meaning.
const REFUSED: [&str; 6] = ["background", "container", "conversation", "mcp_servers", "previous_response_id", "prompt"];

/// Writes the body. The model and the wish to stream are in the path, not here.
pub(super) fn encode(request: &Request, traits: &Traits, losses: &mut Losses) -> Result<Bytes> {
    let conversation = contents::write(request, traits, losses)?;
    let toolbox = tools::write(request, losses)?;
    let mut generation = generation::write(request, traits, losses)?;
    traits.obey(&mut generation, losses)?;

    let mut body = Map::new();
    body.insert("contents".to_owned(), conversation.contents.into());
    put_list(&mut body, "tools", toolbox.tools);
    put(&mut body, "toolConfig", toolbox.config);
    put(&mut body, "systemInstruction", conversation.system);
    put_object(&mut body, "generationConfig", generation);
    put(&mut body, "serviceTier", service_tier(request, losses));
    drop_hints(request, losses);
    drop_extra(request, losses)?;
    traits.obey(&mut body, losses)?;
    Ok(Value::Object(body).to_string().into())
}

fn put(object: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(key.to_owned(), value.into());
    }
}

fn put_list(object: &mut Map<String, Value>, key: &str, list: Vec<Value>) {
    put(object, key, (!list.is_empty()).then_some(list));
}

fn put_object(object: &mut Map<String, Value>, key: &str, value: Map<String, Value>) {
    put(object, key, (!value.is_empty()).then_some(value));
}

fn unsupported(field: &str, why: &str) -> WireError {
    WireError::unsupported(field, format!("`{field}`: {why}"))
}

/// OpenAI's `auto` leaves the choice to the provider, which is what saying nothing does.
fn service_tier(request: &Request, losses: &mut Losses) -> Option<&'static str> {
    match request.service_tier.as_deref()? {
        "auto" => None,
        "flex" => Some("flex"),
        "priority" => Some("priority"),
        "default" | "standard" | "standard_only" => Some("standard"),
        _ => {
            losses.dropped("service_tier");
            None
        }
    }
}

/// Hints that Gemini has no words for.
fn drop_hints(request: &Request, losses: &mut Losses) {
    let hints = [
        ("logit_bias", request.sampling.logit_bias.is_some()),
        ("parallel_tool_calls", request.parallel_tool_calls == Some(false)),
        ("verbosity", request.verbosity.is_some()),
        ("user", request.user.is_some()),
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

/// Fields only another dialect knows: Gemini answers 400 to names it does not know.
fn drop_extra(request: &Request, losses: &mut Losses) -> Result<()> {
    for (key, value) in &request.extra {
        if !REFUSED.contains(&key.as_str()) {
            losses.dropped(key.as_str());
        } else if !matches!(value, Value::Null | Value::Bool(false)) {
            return Err(unsupported(key, "this model has no such feature and the answer would differ without it"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
