//! Anthropic's Messages: what it refuses and which recording it answers with.
//! It must not accept what the real API refuses. Rules from the API reference, "Messages"; tests in `provider/tests.rs`.

mod turns;

use serde_json::{Map, Value, json};

use super::ask::{Ask, Seen};
use super::shape::{Fault, Field, Shape, Wrong, check, may, must};
use super::{KEYS, Take, cut, object, take};
use crate::fixtures;
use crate::recorded::Recorded;
use crate::script::Script;

const CACHE: Field =
    may("cache_control", Shape::Tagged("type", &[("ephemeral", &[may("ttl", Shape::Words(&["5m", "1h"]))])]));
const TEXT: (&str, &[Field]) = ("text", &[must("text", Shape::Text), CACHE, may("citations", Shape::Any)]);
const SOURCE: Shape = Shape::Tagged(
    "type",
    &[
        (
            "base64",
            &[
                must("media_type", Shape::Words(&["image/jpeg", "image/png", "image/gif", "image/webp"])),
                must("data", Shape::Text),
            ],
        ),
        ("url", &[must("url", Shape::Text)]),
        ("file", &[must("file_id", Shape::Text)]),
    ],
);
const IMAGE_BLOCK: (&str, &[Field]) = ("image", &[must("source", SOURCE), CACHE]);
const DOCUMENT_SOURCE: Shape = Shape::Tagged(
    "type",
    &[
        ("base64", &[must("media_type", Shape::Words(&["application/pdf"])), must("data", Shape::Text)]),
        ("text", &[must("media_type", Shape::Words(&["text/plain"])), must("data", Shape::Text)]),
        ("content", &[must("content", Shape::Any)]),
        ("url", &[must("url", Shape::Text)]),
        ("file", &[must("file_id", Shape::Text)]),
    ],
);
const DOCUMENT: (&str, &[Field]) = (
    "document",
    &[
        must("source", DOCUMENT_SOURCE),
        may("title", Shape::Text),
        may("context", Shape::Text),
        may("citations", Shape::Any),
        CACHE,
    ],
);
const RESULT_BLOCK: Shape = Shape::Tagged("type", &[TEXT, IMAGE_BLOCK, DOCUMENT]);
const BLOCK: Shape = Shape::Tagged(
    "type",
    &[
        TEXT,
        IMAGE_BLOCK,
        DOCUMENT,
        (
            "tool_use",
            &[
                must("id", Shape::Text),
                must("name", Shape::Text),
                must("input", Shape::Object(&[])),
                CACHE,
                may("caller", Shape::Any),
            ],
        ),
        (
            "tool_result",
            &[
                must("tool_use_id", Shape::Text),
                may("content", Shape::Either(&[Shape::Text, Shape::List(&RESULT_BLOCK)])),
                may("is_error", Shape::Bool),
                CACHE,
            ],
        ),
        ("thinking", &[must("thinking", Shape::Text), must("signature", Shape::Text)]),
        ("redacted_thinking", &[must("data", Shape::Text)]),
    ],
);
const MESSAGE: Shape = Shape::Object(&[
    must("role", Shape::Words(&["user", "assistant", "system"])),
    must("content", Shape::Either(&[Shape::Text, Shape::List(&BLOCK)])),
]);
const TOOL: Shape = Shape::Object(&[
    may("type", Shape::Words(&["custom"])),
    must("name", Shape::Text),
    may("description", Shape::Text),
    must("input_schema", Shape::Any),
    may("strict", Shape::Bool),
    may("eager_input_streaming", Shape::Bool),
    CACHE,
]);
const PARALLEL: Field = may("disable_parallel_tool_use", Shape::Bool);
const TOOL_CHOICE: Shape = Shape::Tagged(
    "type",
    &[("auto", &[PARALLEL]), ("any", &[PARALLEL]), ("tool", &[must("name", Shape::Text), PARALLEL]), ("none", &[])],
);
const DISPLAY: Field = may("display", Shape::Words(&["summarized", "omitted"]));
const THINKING: Shape = Shape::Tagged(
    "type",
    &[
        ("enabled", &[must("budget_tokens", Shape::Integer { least: 1024 }), DISPLAY]),
        ("adaptive", &[DISPLAY]),
        ("disabled", &[]),
    ],
);
const OUTPUT: Shape = Shape::Object(&[
    may("format", Shape::Tagged("type", &[("json_schema", &[must("schema", Shape::Any)])])),
    may("effort", Shape::Words(&["low", "medium", "high", "xhigh", "max"])),
]);
const UNIT: Shape = Shape::Number { least: 0.0, most: 1.0 };
/// What may be asked for beside the length of the answer, which counting does without.
const COUNTED: &[Field] = &[
    must("model", Shape::Text),
    must("messages", Shape::List(&MESSAGE)),
    CACHE,
    may("output_config", OUTPUT),
    may("system", Shape::Either(&[Shape::Text, Shape::List(&Shape::Tagged("type", &[TEXT]))])),
    may("thinking", THINKING),
    may("tool_choice", TOOL_CHOICE),
    may("tools", Shape::List(&TOOL)),
];
const CREATED: &[Field] = &[
    must("max_tokens", Shape::Integer { least: 1 }),
    must("model", Shape::Text),
    must("messages", Shape::List(&MESSAGE)),
    CACHE,
    may("container", Shape::Text),
    may("inference_geo", Shape::Text),
    may("metadata", Shape::Object(&[may("user_id", Shape::Text)])),
    may("output_config", OUTPUT),
    may("service_tier", Shape::Words(&["auto", "standard_only"])),
    may("stop_sequences", Shape::List(&Shape::Text)),
    may("stream", Shape::Bool),
    may("system", Shape::Either(&[Shape::Text, Shape::List(&Shape::Tagged("type", &[TEXT]))])),
    may("temperature", UNIT),
    may("thinking", THINKING),
    may("tool_choice", TOOL_CHOICE),
    may("tools", Shape::List(&TOOL)),
    may("top_k", Shape::Integer { least: 0 }),
    may("top_p", UNIT),
];

const PLAIN: Take = Take { whole: fixtures::anthropic::PLAIN, stream: fixtures::anthropic::STREAM };
const CALLS: Take = Take { whole: fixtures::anthropic::TOOL_USE, stream: fixtures::anthropic::TOOL_USE_STREAM };
const CALL_ONE: Take = take!("anthropic/tool_use_one");
const THOUGHT_CALL: Take = take!("anthropic/thinking_tool_use");
const TOOL_ANSWER: Take = take!("anthropic/tool_answer");
const IMAGE: Take = take!("anthropic/image");
const JSON: Take = take!("anthropic/json");
const THOUGHT: Take = Take { whole: fixtures::anthropic::THINKING, stream: fixtures::anthropic::THINKING_STREAM };
const COUNT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/anthropic/count_tokens.json"));

/// The recordings this API answers with.
#[cfg(test)]
pub(super) const TAKES: &[Take] = &[PLAIN, CALLS, CALL_ONE, THOUGHT_CALL, TOOL_ANSWER, IMAGE, JSON, THOUGHT];

/// `POST /v1/messages`.
pub(super) fn messages(request: &Recorded) -> Script {
    dressed(guarded(request, CREATED).map_or_else(|refusal| refusal, |body| chosen(&body)))
}

/// `POST /v1/messages/count_tokens`.
pub(super) fn count_tokens(request: &Recorded) -> Script {
    dressed(guarded(request, COUNTED).map_or_else(|refusal| refusal, |_| Script::reply(200, COUNT)))
}

fn guarded(request: &Recorded, fields: &[Field]) -> Result<Map<String, Value>, Script> {
    authorised(request)?;
    let Some(version) = request.header("anthropic-version") else {
        return Err(refuse("anthropic-version: header is required"));
    };
    let body = object(request).ok_or_else(|| refuse("The request body is not valid JSON."))?;
    check(&body, fields).map_err(|wrong| refused(&wrong))?;
    known_model(&body)?;
    turns::check(&body, version)?;
    checked_options(&body, version)?;
    Ok(body)
}

fn chosen(body: &Map<String, Value>) -> Script {
    let streamed = body.get("stream") == Some(&Value::Bool(true));
    let seen = seen(body);
    let take = match seen.ask() {
        Ask::Fail(status) => return failure(status),
        Ask::Break if streamed => return Script::stream(fixtures::events(fixtures::anthropic::ERROR_IN_STREAM)),
        Ask::Cut if streamed => return cut(PLAIN.stream, 5),
        Ask::Break | Ask::Cut => return Script::cut_before_answer(),
        Ask::Call | Ask::Calls if seen.thinking => THOUGHT_CALL,
        Ask::Call => CALL_ONE,
        Ask::Calls => CALLS,
        Ask::ToolAnswer => TOOL_ANSWER,
        Ask::Image => IMAGE,
        Ask::Json => JSON,
        Ask::Thinking => THOUGHT,
        Ask::Plain => PLAIN,
    };
    take.play(streamed)
}

fn checked_options(body: &Map<String, Value>, version: &str) -> Result<(), Script> {
    let fixed = |name: &&&str| body.contains_key(**name);
    match version {
        "2023-06-01" => {}
        "2026-10-21" => {
            if let Some(name) = ["temperature", "top_p", "top_k"].iter().find(fixed) {
                return Err(refuse(&format!("{name}: Extra inputs are not permitted")));
            }
        }
        _ => return Err(refuse(&format!("anthropic-version: \"{version}\" is not a valid version"))),
    }
    let blank = |stop: &Value| stop.as_str().is_some_and(|text| text.trim().is_empty());
    if body.get("stop_sequences").and_then(Value::as_array).is_some_and(|stops| stops.iter().any(blank)) {
        return Err(refuse("stop_sequences: each stop sequence must contain non-whitespace"));
    }
    checked_tools(body)?;
    checked_thinking(body)?;
    match body.get("output_config").and_then(|config| config.pointer("/format/schema")) {
        Some(schema) => checked_schema(schema),
        None => Ok(()),
    }
}

fn checked_tools(body: &Map<String, Value>) -> Result<(), Script> {
    let tools = body.get("tools").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for (place, tool) in tools.iter().enumerate() {
        if tool["input_schema"]["type"] != "object" {
            return Err(refuse(&format!("tools.{place}.custom.input_schema.type: Field required")));
        }
        let name = tool["name"].as_str().unwrap_or_default();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !(1..=128).contains(&name.len()) || !name.bytes().all(fits) {
            return Err(refuse(&format!(
                "tools.{place}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
            )));
        }
    }
    match body.get("tool_choice") {
        Some(_) if tools.is_empty() => Err(refuse("tool_choice may only be specified while providing tools.")),
        Some(choice) if choice["type"] == "tool" && tools.iter().all(|tool| tool["name"] != choice["name"]) => {
            Err(refuse(&format!("Tool '{}' not found in provided tools", choice["name"].as_str().unwrap_or_default())))
        }
        _ => Ok(()),
    }
}

fn checked_thinking(body: &Map<String, Value>) -> Result<(), Script> {
    let thinking = body.get("thinking").unwrap_or(&Value::Null);
    if thinking.is_null() || thinking["type"] == "disabled" {
        return Ok(());
    }
    let budget = thinking["budget_tokens"].as_i64();
    if let (Some(budget), Some(most)) = (budget, body.get("max_tokens").and_then(Value::as_i64))
        && budget >= most
    {
        return Err(refuse(
            "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking#max-tokens-and-context-window-size",
        ));
    }
    if body.get("temperature").and_then(Value::as_f64).is_some_and(|value| (value - 1.0).abs() > f64::EPSILON) {
        return Err(refuse("`temperature` may only be set to 1 when thinking is enabled."));
    }
    match body.get("tool_choice").map(|choice| &choice["type"]) {
        Some(kind) if kind == "any" || kind == "tool" => {
            Err(refuse("Thinking may not be enabled when tool_choice forces tool use."))
        }
        _ => Ok(()),
    }
}

/// Structured output takes closed objects and no bounds.
fn checked_schema(schema: &Value) -> Result<(), Script> {
    if let Value::Object(fields) = schema {
        if fields.contains_key("properties") && fields.get("additionalProperties") != Some(&Value::Bool(false)) {
            return Err(refuse(
                "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false",
            ));
        }
        let bounds = ["minimum", "maximum", "minLength", "maxLength", "multipleOf"];
        if let Some(bound) = bounds.iter().find(|bound| fields.get(**bound).is_some_and(|value| !value.is_object())) {
            return Err(refuse(&format!(
                "output_config.format.schema: For 'integer' type, property '{bound}' is not supported"
            )));
        }
    }
    match schema {
        Value::Object(fields) => fields.values().try_for_each(checked_schema),
        Value::Array(items) => items.iter().try_for_each(checked_schema),
        _ => Ok(()),
    }
}

fn seen(body: &Map<String, Value>) -> Seen {
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let blocks = |message: &Value| message["content"].as_array().cloned().unwrap_or_default();
    let said = |message: &&Value| {
        message["role"] == "user"
            && (message["content"].is_string() || blocks(message).iter().any(|block| block["type"] != "tool_result"))
    };
    let last_said = messages.iter().rfind(said).cloned().unwrap_or_default();
    let parts = blocks(&last_said);
    let texts = parts.iter().filter_map(|part| part["text"].as_str()).chain(last_said["content"].as_str());
    let tools = body.get("tools").and_then(Value::as_array).into_iter().flatten();
    let choice = body.get("tool_choice").unwrap_or(&Value::Null);
    let named = choice["name"].as_str();
    let tools = tools.filter_map(|tool| tool["name"].as_str()).filter(|tool| named.is_none_or(|name| name == *tool));
    let thinking = body.get("thinking").unwrap_or(&Value::Null);
    Seen {
        text: texts.collect::<Vec<_>>().join("\n"),
        tool_result: messages
            .last()
            .is_some_and(|last| blocks(last).iter().any(|block| block["type"] == "tool_result")),
        image: parts.iter().any(|part| part["type"] == "image"),
        json: body.get("output_config").is_some_and(|config| config["format"].is_object()),
        thinking: !thinking.is_null() && thinking["type"] != "disabled",
        tools: if choice["type"] == "none" { vec![] } else { tools.map(str::to_owned).collect() },
        single: choice["disable_parallel_tool_use"] == true,
    }
}

fn known_model(body: &Map<String, Value>) -> Result<(), Script> {
    let model = body["model"].as_str().unwrap_or_default();
    if model.starts_with("claude-") {
        return Ok(());
    }
    Err(error(404, "not_found_error", &format!("model: {model}")))
}

/// Either header will do; with both, `x-api-key` counts.
fn authorised(request: &Recorded) -> Result<(), Script> {
    let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    match request.header("x-api-key").or(bearer) {
        Some("key-limited") => Err(failure(429)),
        Some(key) if KEYS.contains(&key) => Ok(()),
        _ => Err(failure(401)),
    }
}

fn failure(status: u16) -> Script {
    use fixtures::anthropic as recorded;
    match status {
        400 => Script::reply(400, recorded::ERROR_400),
        401 => Script::reply(401, recorded::ERROR_401),
        404 => Script::reply(404, recorded::ERROR_404_MODEL),
        429 => Script::reply(429, recorded::ERROR_429).header("retry-after", "7"),
        500 => Script::reply(500, recorded::ERROR_500),
        529 => Script::reply(529, recorded::ERROR_529),
        _ => error(status, "api_error", "Service unavailable"),
    }
}

fn refused(wrong: &Wrong) -> Script {
    let at = wrong.path.replace('[', ".").replace(']', "");
    refuse(&match &wrong.what {
        Fault::Unknown => format!("{at}: Extra inputs are not permitted"),
        Fault::Missing => format!("{at}: Field required"),
        Fault::Type(wanted) => format!("{at}: Input should be a valid {wanted}"),
        Fault::Range(bounds) => format!("{at}: Input should be {bounds}"),
        Fault::Word(word) => format!("{at}: Input tag {word} does not match any of the expected tags"),
    })
}

pub(super) fn refuse(message: &str) -> Script {
    error(400, "invalid_request_error", message)
}

fn error(status: u16, kind: &str, message: &str) -> Script {
    let body = json!({
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": "req_011CVKq8rTwXz5NmLbHgJdPc",
    });
    Script::reply(status, body.to_string())
}

fn dressed(script: Script) -> Script {
    script
        .header("request-id", "req_011CVKq8rTwXz5NmLbHgJdPc")
        .header("anthropic-organization-id", "7f0c2b9e-41d6-4a58-8c3d-5e9b1a6f2d70")
        .header("anthropic-ratelimit-requests-limit", "4000")
        .header("anthropic-ratelimit-requests-remaining", "3999")
}
