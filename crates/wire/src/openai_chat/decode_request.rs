//! Reads a caller's request for translation. Decides what each top-level field means to any provider; what has no
//! neutral place goes to `extra` under its path. Knows no provider. Tests: `decode_request/tests.rs`.

mod messages;
mod parts;
mod tools;

use serde_json::{Map, Value};

use crate::chat::{CacheBreakpoint, Effort, Logprobs, Request, ResponseFormat, Sampling, Thinking, ThinkingMode, Tool};
use crate::error::WireError;
use crate::fields::Fields;
use crate::peek::{missing, mistyped, not_one_of};

type Result<T> = std::result::Result<T, WireError>;

/// What nobody took inside messages, parts and tools, by path without positions.
type Strays = Map<String, Value>;

const MAX_STOPS: usize = 4;

/// See [`crate::dialect::ClientDialect::decode_request`].
pub(super) fn decode(body: &[u8]) -> Result<Request> {
    let mut top = Fields::parse(body)?;
    let mut strays = Strays::new();
    let model = top.required_string("model")?;
    let messages = messages::read(&mut top, &mut strays)?;
    let mut tools = tools::read(&mut top, &mut strays)?;
    tools.extend(web_search(&mut top)?);
    let mut request = Request {
        model,
        messages,
        tools,
        tool_choice: tools::choice(&mut top)?,
        parallel_tool_calls: top.bool("parallel_tool_calls")?,
        max_output_tokens: output_cap(&mut top)?,
        sampling: sampling(&mut top)?,
        stop: stop(&mut top)?,
        n: top.u64("n")?,
        logprobs: logprobs(&mut top)?,
        response_format: response_format(&mut top, &mut strays)?,
        thinking: thinking(&mut top)?,
        verbosity: top.string("verbosity")?,
        user: user(&mut top)?,
        metadata: top.object("metadata")?.map(Fields::rest).unwrap_or_default(),
        service_tier: top.string("service_tier")?,
        prompt_cache_key: top.string("prompt_cache_key")?,
        store: top.bool("store")?,
        audio_output: audio_output(&mut top)?,
        stream: top.bool("stream")?.unwrap_or(false),
        include_usage: include_usage(&mut top, &mut strays)?,
        extra: Map::new(),
    };
    request.extra = top.rest();
    request.extra.extend(strays);
    Ok(request)
}

/// Keeps what nobody took, under its path.
fn keep(fields: Fields, path: &str, strays: &mut Strays) {
    strays.extend(fields.rest().into_iter().map(|(key, value)| (format!("{path}.{key}"), value)));
}

/// A breakpoint after a part or tool: OpenAI's own, or `cache_control` as OpenRouter takes it over from Anthropic.
fn cache(fields: &mut Fields) -> Result<Option<CacheBreakpoint>> {
    let own = fields.take("prompt_cache_breakpoint");
    let Some(mut control) = fields.object("cache_control")? else {
        return Ok(own.map(|_| CacheBreakpoint::default()));
    };
    Ok(Some(CacheBreakpoint { ttl: control.string("ttl")? }))
}

fn output_cap(top: &mut Fields) -> Result<Option<u64>> {
    let old_name = top.u64("max_tokens")?;
    Ok(top.u64("max_completion_tokens")?.or(old_name))
}

fn sampling(top: &mut Fields) -> Result<Sampling> {
    let logit_bias = top.take("logit_bias");
    if logit_bias.as_ref().is_some_and(|bias| !bias.is_object()) {
        return Err(mistyped("logit_bias", "an object"));
    }
    Ok(Sampling {
        temperature: top.f64("temperature")?,
        top_p: top.f64("top_p")?,
        // No field of OpenAI's, but many who follow it have it.
        top_k: top_k(top)?,
        presence_penalty: top.f64("presence_penalty")?,
        frequency_penalty: top.f64("frequency_penalty")?,
        seed: top.i64("seed")?,
        logit_bias: logit_bias.filter(|bias| bias.as_object().is_some_and(|bias| !bias.is_empty())),
    })
}

/// Some vendors write -1 for "all tokens", which is what silence means.
fn top_k(top: &mut Fields) -> Result<Option<u64>> {
    Ok(top.i64("top_k")?.and_then(|top_k| u64::try_from(top_k).ok()).filter(|top_k| *top_k > 0))
}

fn stop(top: &mut Fields) -> Result<Vec<String>> {
    match top.peek("stop") {
        None => Ok(Vec::new()),
        Some(Value::String(_)) => Ok(top.string("stop")?.into_iter().collect()),
        Some(Value::Array(stops)) if stops.len() > MAX_STOPS => {
            Err(WireError::invalid("stop", "`stop` takes at most 4 strings"))
        }
        Some(Value::Array(_)) => top.array("stop")?.unwrap_or_default().into_iter().map(string).collect(),
        Some(_) => Err(mistyped("stop", "a string or an array of strings")),
    }
}

fn string((value, path): (Value, String)) -> Result<String> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(mistyped(&path, "a string")),
    }
}

fn logprobs(top: &mut Fields) -> Result<Option<Logprobs>> {
    let wanted = top.bool("logprobs")?.unwrap_or(false);
    let alternatives = top.u64("top_logprobs")?;
    if !wanted && alternatives.is_some_and(|count| count > 0) {
        return Err(WireError::invalid("top_logprobs", "`top_logprobs` needs `logprobs` to be true"));
    }
    Ok(wanted.then_some(Logprobs { top: alternatives }))
}

fn response_format(top: &mut Fields, strays: &mut Strays) -> Result<Option<ResponseFormat>> {
    let Some(mut format) = top.object("response_format")? else { return Ok(None) };
    let kind = format.required_string("type")?;
    let read = match &*kind {
        "text" => ResponseFormat::Text,
        "json_object" => ResponseFormat::JsonObject,
        "json_schema" => {
            let mut named = format.object("json_schema")?.ok_or_else(|| missing(&format.param("json_schema")))?;
            let read = json_schema(&mut named)?;
            keep(named, "response_format.json_schema", strays);
            read
        }
        _ => return Err(not_one_of(&format.param("type"), &kind, &["text", "json_object", "json_schema"])),
    };
    keep(format, "response_format", strays);
    Ok(Some(read))
}

fn json_schema(named: &mut Fields) -> Result<ResponseFormat> {
    let schema = named.take("schema").unwrap_or_else(|| Value::Object(Map::new()));
    if !schema.is_object() {
        return Err(mistyped(&named.param("schema"), "a JSON Schema object"));
    }
    Ok(ResponseFormat::JsonSchema {
        name: named.required_string("name")?,
        description: named.string("description")?,
        schema,
        strict: named.bool("strict")?,
    })
}

const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

fn thinking(top: &mut Fields) -> Result<Option<Thinking>> {
    let Some(word) = top.string("reasoning_effort")? else { return Ok(None) };
    let effort = match &*word {
        "none" => return Ok(Some(Thinking { mode: ThinkingMode::Off, ..Thinking::default() })),
        "minimal" => Effort::Minimal,
        "low" => Effort::Low,
        "medium" => Effort::Medium,
        "high" => Effort::High,
        "xhigh" => Effort::XHigh,
        "max" => Effort::Max,
        _ => return Err(not_one_of("reasoning_effort", &word, &EFFORTS)),
    };
    Ok(Some(Thinking { effort: Some(effort), ..Thinking::default() }))
}

/// `user`, or the name that replaced it. If both are there, the newer one stays for whoever knows it.
fn user(top: &mut Fields) -> Result<Option<String>> {
    match top.string("user")? {
        Some(user) => Ok(Some(user)),
        None => top.string("safety_identifier"),
    }
}

/// `audio`, if sound is among the wanted modalities.
fn audio_output(top: &mut Fields) -> Result<Option<Value>> {
    let modalities = top.array("modalities")?.unwrap_or_default();
    let wanted: Vec<String> = modalities.into_iter().map(string).collect::<Result<_>>()?;
    let audio = top.object("audio")?.map(Fields::rest);
    match audio {
        _ if !wanted.iter().any(|modality| modality == "audio") => Ok(None),
        Some(audio) => Ok(Some(audio.into())),
        None => Err(missing("audio")),
    }
}

fn web_search(top: &mut Fields) -> Result<Option<Tool>> {
    Ok(top.object("web_search_options")?.map(|options| Tool::WebSearch(options.rest().into())))
}

fn include_usage(top: &mut Fields, strays: &mut Strays) -> Result<bool> {
    let Some(mut options) = top.object("stream_options")? else { return Ok(false) };
    let include = options.bool("include_usage")?.unwrap_or(false);
    keep(options, "stream_options", strays);
    Ok(include)
}

#[cfg(test)]
mod tests;
