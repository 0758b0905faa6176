//! OpenAI's door: its credentials, its error bodies, and the endpoints beside chat and responses.
//! It must not accept what the real API refuses. Error wording follows the API's own. Tests in `provider/tests.rs`.

pub(super) mod chat;
pub(super) mod responses;

use serde_json::{Map, Value, json};

use super::shape::{Fault, Field, Shape, Wrong, check, may, must, nil};
use super::{KEYS, object};
use crate::fixtures;
use crate::recorded::Recorded;
use crate::script::Script;

/// An answer, or the refusal that takes its place.
pub(super) type Reply = Result<Script, Script>;

pub(super) const UNIT: Shape = Shape::Number { least: 0.0, most: 1.0 };
pub(super) const TEMPERATURE: Shape = Shape::Number { least: 0.0, most: 2.0 };
pub(super) const PENALTY: Shape = Shape::Number { least: -2.0, most: 2.0 };
pub(super) const COUNT: Shape = Shape::Integer { least: 0 };
pub(super) const POSITIVE: Shape = Shape::Integer { least: 1 };
pub(super) const WHOLE: Shape = Shape::Integer { least: i64::MIN };

/// Lets a request in that has a known credential and a JSON body, and dresses the answer.
pub(super) fn guarded(request: &Recorded, answer: fn(&Map<String, Value>) -> Reply) -> Script {
    if let Err(refusal) = authorised(request) {
        return refusal;
    }
    let Some(body) = object(request) else {
        let message = "We could not parse the JSON body of your request.";
        return refuse(400, message, None, None);
    };
    dressed(answer(&body).unwrap_or_else(|refusal| refusal))
}

/// `GET /v1/models`.
pub(super) fn models(request: &Recorded) -> Script {
    match authorised(request) {
        Ok(()) => dressed(Script::reply(200, fixtures::openai::MODELS)),
        Err(refusal) => refusal,
    }
}

/// `POST /v1/embeddings`.
pub(super) fn embeddings(body: &Map<String, Value>) -> Reply {
    const INPUT: Shape = Shape::Either(&[
        Shape::Text,
        Shape::List(&Shape::Text),
        Shape::List(&COUNT),
        Shape::List(&Shape::List(&COUNT)),
    ]);
    const FIELDS: &[Field] = &[
        must("model", Shape::Text),
        must("input", INPUT),
        may("encoding_format", Shape::Words(&["float", "base64"])),
        may("dimensions", POSITIVE),
        may("user", Shape::Text),
    ];
    check(body, FIELDS).map_err(|wrong| refused(&wrong))?;
    known_model(body, &["text-embedding-"])?;
    let input = &body["input"];
    if input == "" || input == &json!([]) {
        return Err(refuse(400, "'$.input' is invalid. Please check the API reference.", None, None));
    }
    marked_failure(input.as_str().unwrap_or_default())?;
    let base64 = body.get("encoding_format").and_then(Value::as_str) == Some("base64");
    Ok(Script::reply(200, if base64 { fixtures::openai::EMBEDDINGS_BASE64 } else { fixtures::openai::EMBEDDINGS }))
}

/// `POST /v1/completions`, the legacy one.
pub(super) fn completions(body: &Map<String, Value>) -> Reply {
    const FIELDS: &[Field] = &[
        must("model", Shape::Text),
        nil("prompt", Shape::Either(&[Shape::Text, Shape::List(&Shape::Any)])),
        nil("best_of", POSITIVE),
        nil("echo", Shape::Bool),
        nil("frequency_penalty", PENALTY),
        nil("logit_bias", Shape::Any),
        nil("logprobs", COUNT),
        nil("max_tokens", COUNT),
        nil("n", POSITIVE),
        nil("presence_penalty", PENALTY),
        nil("seed", WHOLE),
        nil("stop", Shape::Either(&[Shape::Text, Shape::List(&Shape::Text)])),
        nil("stream", Shape::Bool),
        nil("stream_options", Shape::Object(STREAM_OPTIONS)),
        nil("suffix", Shape::Text),
        nil("temperature", TEMPERATURE),
        nil("top_p", UNIT),
        may("user", Shape::Text),
    ];
    check(body, FIELDS).map_err(|wrong| refused(&wrong))?;
    known_model(body, &["gpt-3.5-turbo-instruct", "babbage-", "davinci-"])?;
    stream_options_need_stream(body)?;
    marked_failure(body.get("prompt").and_then(Value::as_str).unwrap_or_default())?;
    if !is_true(body, "stream") {
        return Ok(Script::reply(200, fixtures::openai::COMPLETION));
    }
    let usage = body.get("stream_options").is_some_and(|options| options["include_usage"] == true);
    let stream = if usage { COMPLETION_STREAM_USAGE } else { fixtures::openai::COMPLETION_STREAM };
    Ok(Script::stream(fixtures::events(stream)))
}

const COMPLETION_STREAM_USAGE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/openai/completion_stream_usage.sse"));

pub(super) const STREAM_OPTIONS: &[Field] =
    &[may("include_usage", Shape::Bool), may("include_obfuscation", Shape::Bool)];

/// 404 for a path the API does not have.
pub(super) fn not_found(request: &Recorded) -> Script {
    let message = format!("Invalid URL ({} {})", request.method, request.path());
    refuse(404, &message, None, None)
}

pub(super) fn stream_options_need_stream(body: &Map<String, Value>) -> Result<(), Script> {
    if body.get("stream_options").is_some_and(|options| !options.is_null()) && !is_true(body, "stream") {
        let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(refuse(400, message, Some("stream_options"), None));
    }
    Ok(())
}

pub(super) fn known_model(body: &Map<String, Value>, families: &[&str]) -> Result<(), Script> {
    let model = body.get("model").and_then(Value::as_str).unwrap_or_default();
    if families.iter().any(|family| model.starts_with(family)) {
        return Ok(());
    }
    let message = format!("The model `{model}` does not exist or you do not have access to it.");
    Err(refuse(404, &message, None, Some("model_not_found")))
}

pub(super) fn marked_failure(text: &str) -> Result<(), Script> {
    let seen = super::ask::Seen { text: text.to_owned(), ..Default::default() };
    match seen.ask() {
        super::ask::Ask::Fail(status) => Err(failure(status)),
        _ => Ok(()),
    }
}

/// The error this API sends with that status, as recorded where there is a recording.
pub(super) fn failure(status: u16) -> Script {
    use fixtures::openai_chat as recorded;
    match status {
        400 => Script::reply(400, recorded::ERROR_400_CONTEXT),
        401 => Script::reply(401, recorded::ERROR_401),
        404 => Script::reply(404, recorded::ERROR_404_MODEL),
        429 => Script::reply(429, recorded::ERROR_429).header("retry-after", "7").header("retry-after-ms", "6420"),
        500 => Script::reply(500, recorded::ERROR_500),
        _ => refuse_as("server_error", status, "The server is overloaded or not ready yet.", None, None),
    }
}

pub(super) fn refuse(status: u16, message: &str, param: Option<&str>, code: Option<&str>) -> Script {
    refuse_as("invalid_request_error", status, message, param, code)
}

fn refuse_as(kind: &str, status: u16, message: &str, param: Option<&str>, code: Option<&str>) -> Script {
    let body = json!({"error": {"message": message, "type": kind, "param": param, "code": code}});
    Script::reply(status, format!("{body:#}\n"))
}

pub(super) fn refused(wrong: &Wrong) -> Script {
    let at = wrong.path.as_str();
    let (message, code) = match &wrong.what {
        Fault::Unknown => (format!("Unknown parameter: '{at}'."), "unknown_parameter"),
        Fault::Missing => (format!("Missing required parameter: '{at}'."), "missing_required_parameter"),
        Fault::Type(wanted) => (format!("Invalid type for '{at}': expected {wanted}."), "invalid_type"),
        Fault::Range(bounds) => (format!("Invalid '{at}': expected a value {bounds}."), "invalid_value"),
        Fault::Word(word) => (format!("Invalid value: '{word}' for '{at}'."), "invalid_value"),
    };
    refuse(400, &message, Some(at), Some(code))
}

pub(super) fn is_true(body: &Map<String, Value>, name: &str) -> bool {
    body.get(name) == Some(&Value::Bool(true))
}

/// `name` of a tool: what both chat and responses allow.
pub(super) fn checked_name(name: &str, at: &str) -> Result<(), Script> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if (1..=64).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    let message = format!("Invalid '{at}': string does not match pattern. Expected '^[a-zA-Z0-9_-]+$'.");
    Err(refuse(400, &message, Some(at), Some("invalid_value")))
}

/// A strict schema closes every object and requires every property.
pub(super) fn checked_strict(schema: &Value, name: &str, at: &str) -> Result<(), Script> {
    let Some(broken) = open_object(schema) else {
        return Ok(());
    };
    let message = format!("Invalid schema for '{name}': In context=(), {broken}.");
    Err(refuse(400, &message, Some(at), Some("invalid_json_schema")))
}

fn open_object(schema: &Value) -> Option<&'static str> {
    if let (Some(properties), Some(fields)) = (schema.get("properties"), schema.as_object()) {
        let required = fields.get("required").and_then(Value::as_array);
        let all = properties.as_object().is_some_and(|found| {
            found.keys().all(|name| required.is_some_and(|required| required.iter().any(|word| word == name.as_str())))
        });
        if fields.get("additionalProperties") != Some(&Value::Bool(false)) {
            return Some("'additionalProperties' is required to be supplied and to be false");
        }
        if !all {
            return Some("'required' is required to be supplied and to be an array including every key in properties");
        }
    }
    match schema {
        Value::Object(fields) => fields.values().find_map(open_object),
        Value::Array(items) => items.iter().find_map(open_object),
        _ => None,
    }
}

fn authorised(request: &Recorded) -> Result<(), Script> {
    let key = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    match key {
        Some("key-limited") => Err(Script::reply(429, fixtures::openai_chat::ERROR_429_QUOTA)),
        Some(key) if KEYS.contains(&key) => Ok(()),
        _ => Err(failure(401)),
    }
}

fn dressed(script: Script) -> Script {
    script
        .header("x-request-id", "req_5f1c8a7e2b9d4c3f8e6a0b7d9c2e4f61")
        .header("openai-organization", "acme-4kq2ve")
        .header("openai-processing-ms", "412")
        .header("openai-version", "2020-10-01")
        .header("x-ratelimit-limit-requests", "10000")
        .header("x-ratelimit-remaining-requests", "9999")
}
