//! `POST /v1/chat/completions`: what it refuses and which recording it answers with.
//! It must not know the other APIs. Rules from the API reference, "Chat"; tests in `provider/tests.rs`.

use serde_json::{Map, Value};

use super::*;
use crate::provider::ask::{Ask, Seen};
use crate::provider::{Take, cut, take};

const CACHE: Field = nil("prompt_cache_breakpoint", Shape::Any);
const TEXT_PART: &[Field] = &[must("text", Shape::Text), CACHE];
const TEXTS: Shape = Shape::Either(&[Shape::Text, Shape::List(&Shape::Tagged("type", &[("text", TEXT_PART)]))]);
const USER_PARTS: Shape = Shape::Tagged(
    "type",
    &[
        ("text", TEXT_PART),
        (
            "image_url",
            &[
                must(
                    "image_url",
                    Shape::Object(&[
                        must("url", Shape::Text),
                        may("detail", Shape::Words(&["auto", "low", "high", "original"])),
                    ]),
                ),
                CACHE,
            ],
        ),
        (
            "input_audio",
            &[must(
                "input_audio",
                Shape::Object(&[must("data", Shape::Text), must("format", Shape::Words(&["wav", "mp3"]))]),
            )],
        ),
        (
            "file",
            &[must(
                "file",
                Shape::Object(&[
                    may("file_data", Shape::Text),
                    may("file_id", Shape::Text),
                    may("filename", Shape::Text),
                ]),
            )],
        ),
    ],
);
const ASSISTANT_PARTS: Shape =
    Shape::Tagged("type", &[("text", TEXT_PART), ("refusal", &[must("refusal", Shape::Text)])]);
const CALL: Shape = Shape::Tagged(
    "type",
    &[
        (
            "function",
            &[
                must("id", Shape::Text),
                must("function", Shape::Object(&[must("name", Shape::Text), must("arguments", Shape::Text)])),
            ],
        ),
        (
            "custom",
            &[
                must("id", Shape::Text),
                must("custom", Shape::Object(&[must("name", Shape::Text), must("input", Shape::Text)])),
            ],
        ),
    ],
);
const SYSTEM: &[Field] = &[must("content", TEXTS), may("name", Shape::Text)];
const MESSAGE: Shape = Shape::Tagged(
    "role",
    &[
        ("system", SYSTEM),
        ("developer", SYSTEM),
        ("user", &[must("content", Shape::Either(&[Shape::Text, Shape::List(&USER_PARTS)])), may("name", Shape::Text)]),
        (
            "assistant",
            &[
                nil("content", Shape::Either(&[Shape::Text, Shape::List(&ASSISTANT_PARTS)])),
                nil("refusal", Shape::Text),
                may("name", Shape::Text),
                nil("audio", Shape::Object(&[must("id", Shape::Text)])),
                nil("annotations", Shape::List(&Shape::Any)),
                may("tool_calls", Shape::List(&CALL)),
                nil("function_call", Shape::Object(&[must("name", Shape::Text), must("arguments", Shape::Text)])),
            ],
        ),
        ("tool", &[must("content", TEXTS), must("tool_call_id", Shape::Text)]),
        ("function", &[nil("content", Shape::Text), must("name", Shape::Text)]),
    ],
);
const TOOL: Shape = Shape::Tagged(
    "type",
    &[
        (
            "function",
            &[must(
                "function",
                Shape::Object(&[
                    must("name", Shape::Text),
                    may("description", Shape::Text),
                    may("parameters", Shape::Any),
                    nil("strict", Shape::Bool),
                ]),
            )],
        ),
        (
            "custom",
            &[must(
                "custom",
                Shape::Object(&[must("name", Shape::Text), may("description", Shape::Text), may("format", Shape::Any)]),
            )],
        ),
    ],
);
const TOOL_CHOICE: Shape = Shape::Either(&[
    Shape::Words(&["none", "auto", "required"]),
    Shape::Tagged(
        "type",
        &[
            ("function", &[must("function", Shape::Object(&[must("name", Shape::Text)]))]),
            ("custom", &[must("custom", Shape::Object(&[must("name", Shape::Text)]))]),
            ("allowed_tools", &[must("allowed_tools", Shape::Any)]),
        ],
    ),
]);
const RESPONSE_FORMAT: Shape = Shape::Tagged(
    "type",
    &[
        ("text", &[]),
        ("json_object", &[]),
        (
            "json_schema",
            &[must(
                "json_schema",
                Shape::Object(&[
                    must("name", Shape::Text),
                    may("description", Shape::Text),
                    may("schema", Shape::Any),
                    nil("strict", Shape::Bool),
                ]),
            )],
        ),
    ],
);
const FIELDS: &[Field] = &[
    must("model", Shape::Text),
    must("messages", Shape::List(&MESSAGE)),
    nil("audio", Shape::Any),
    nil("frequency_penalty", PENALTY),
    nil("logit_bias", Shape::Any),
    nil("logprobs", Shape::Bool),
    nil("max_completion_tokens", POSITIVE),
    nil("max_tokens", POSITIVE),
    nil("metadata", Shape::Any),
    nil("modalities", Shape::List(&Shape::Words(&["text", "audio"]))),
    nil("moderation", Shape::Any),
    nil("n", POSITIVE),
    may("parallel_tool_calls", Shape::Bool),
    nil("prediction", Shape::Any),
    nil("presence_penalty", PENALTY),
    may("prompt_cache_key", Shape::Text),
    nil("prompt_cache_options", Shape::Any),
    nil("prompt_cache_retention", Shape::Text),
    nil("reasoning_effort", Shape::Words(&["none", "minimal", "low", "medium", "high", "xhigh", "max"])),
    may("response_format", RESPONSE_FORMAT),
    may("safety_identifier", Shape::Text),
    nil("seed", WHOLE),
    nil("service_tier", Shape::Words(&["auto", "default", "flex", "scale", "priority"])),
    nil("stop", Shape::Either(&[Shape::Text, Shape::List(&Shape::Text)])),
    nil("store", Shape::Bool),
    nil("stream", Shape::Bool),
    nil("stream_options", Shape::Object(STREAM_OPTIONS)),
    nil("temperature", TEMPERATURE),
    may("tool_choice", TOOL_CHOICE),
    may("tools", Shape::List(&TOOL)),
    nil("top_logprobs", COUNT),
    nil("top_p", UNIT),
    may("user", Shape::Text),
    nil("verbosity", Shape::Words(&["low", "medium", "high"])),
    may("web_search_options", Shape::Any),
];

const PLAIN: Take = Take { whole: fixtures::openai_chat::PLAIN, stream: fixtures::openai_chat::STREAM_USAGE };
const CALLS: Take = Take { whole: fixtures::openai_chat::TOOLS, stream: fixtures::openai_chat::TOOLS_STREAM };
const CALL_ONE: Take = take!("openai_chat/tool_one");
const TOOL_ANSWER: Take = take!("openai_chat/tool_answer");
const IMAGE: Take = take!("openai_chat/image");
const JSON: Take = take!("openai_chat/json");

/// The recordings this API answers with.
#[cfg(test)]
pub(crate) const TAKES: &[Take] = &[PLAIN, CALLS, CALL_ONE, TOOL_ANSWER, IMAGE, JSON];

pub(in crate::provider) fn answer(body: &Map<String, Value>) -> Reply {
    check(body, FIELDS).map_err(|wrong| refused(&wrong))?;
    known_model(body, &["gpt-", "o1", "o3", "o4"])?;
    let messages = list(body.get("messages"));
    checked_messages(messages)?;
    checked_tools(body)?;
    checked_options(body, messages)?;
    let usage = body.get("stream_options").is_some_and(|options| options["include_usage"] == true);
    Ok(chosen(seen(body, messages).ask(), is_true(body, "stream"), usage))
}

fn chosen(ask: Ask, streamed: bool, usage: bool) -> Script {
    let take = match ask {
        Ask::Fail(status) => return failure(status),
        Ask::Break if streamed => {
            return Script::stream(fixtures::events(fixtures::openai_chat::ERROR_IN_STREAM));
        }
        Ask::Cut if streamed => return cut(PLAIN.stream, 3),
        Ask::Break | Ask::Cut => return Script::cut_before_answer(),
        Ask::Call => CALL_ONE,
        Ask::Calls => CALLS,
        Ask::ToolAnswer => TOOL_ANSWER,
        Ask::Image => IMAGE,
        Ask::Json => JSON,
        // A chat completion does not show what was thought.
        Ask::Thinking | Ask::Plain => PLAIN,
    };
    if streamed && !usage {
        return Script::stream(without_usage(take.stream));
    }
    take.play(streamed)
}

/// The same recording as it is sent to a caller who did not ask for usage.
fn without_usage(stream: &str) -> Vec<bytes::Bytes> {
    let events = fixtures::events(stream);
    let spoken = events.into_iter().filter(|event| !event.starts_with(b"data: ") || !has_no_choices(event));
    spoken.map(|event| String::from_utf8_lossy(&event).replace(r#","usage":null"#, "").into_bytes().into()).collect()
}

fn has_no_choices(event: &[u8]) -> bool {
    memchr::memmem::find(event, br#""choices":[]"#).is_some()
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn checked_messages(messages: &[Value]) -> Result<(), Script> {
    if messages.is_empty() {
        let message =
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.";
        return Err(refuse(400, message, Some("messages"), Some("empty_array")));
    }
    let mut open: Vec<&str> = vec![];
    for (place, message) in messages.iter().enumerate() {
        let at = format!("messages.[{place}].role");
        if message["role"] == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            let Some(found) = open.iter().position(|call| *call == id) else {
                let message = "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.";
                return Err(refuse(400, message, Some(&at), None));
            };
            open.remove(found);
            continue;
        }
        if !open.is_empty() {
            return Err(unanswered(&open, &at));
        }
        open = checked_calls(message, place)?;
        checked_content(message, place)?;
    }
    if open.is_empty() { Ok(()) } else { Err(unanswered(&open, "messages")) }
}

fn unanswered(open: &[&str], at: &str) -> Script {
    let message = format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: {}",
        open.join(", ")
    );
    refuse(400, &message, Some(at), None)
}

fn checked_calls(message: &Value, place: usize) -> Result<Vec<&str>, Script> {
    let Some(calls) = message.get("tool_calls").and_then(Value::as_array) else {
        return Ok(vec![]);
    };
    let at = format!("messages[{place}].tool_calls");
    if calls.is_empty() {
        let message = format!(
            "Invalid '{at}': empty array. Expected an array with minimum length 1, but got an empty array instead."
        );
        return Err(refuse(400, &message, Some(&at), Some("empty_array")));
    }
    let ids: Vec<&str> = calls.iter().filter_map(|call| call["id"].as_str()).collect();
    if ids.iter().any(|id| id.len() > 40) {
        let message = format!("Invalid '{at}[0].id': string too long. Expected a string with maximum length 40.");
        return Err(refuse(400, &message, Some(&at), Some("string_above_max_length")));
    }
    Ok(ids)
}

fn checked_content(message: &Value, place: usize) -> Result<(), Script> {
    let empty = message["role"] == "assistant"
        && message.get("tool_calls").is_none()
        && message.get("content").is_none_or(Value::is_null)
        && message.get("refusal").is_none_or(Value::is_null)
        && message.get("function_call").is_none_or(Value::is_null);
    if empty || message["content"] == Value::Array(vec![]) {
        let at = format!("messages.[{place}].content");
        let message = format!("Invalid value for 'content': expected a string, got null. ({at})");
        return Err(refuse(400, &message, Some(&at), None));
    }
    for part in list(message.get("content")) {
        if let Some(url) = part.pointer("/image_url/url").and_then(Value::as_str) {
            checked_image(url)?;
        }
    }
    Ok(())
}

pub(super) fn checked_image(url: &str) -> Result<(), Script> {
    let inline = url.strip_prefix("data:image/").is_some_and(|rest| rest.contains(";base64,"));
    if inline || url.starts_with("https://") || url.starts_with("http://") {
        return Ok(());
    }
    let message = "Invalid image URL: expected a base64-encoded data URL with an image MIME type, or a URL.";
    Err(refuse(400, message, Some("url"), Some("invalid_image_url")))
}

fn checked_tools(body: &Map<String, Value>) -> Result<(), Script> {
    let Some(tools) = body.get("tools").and_then(Value::as_array) else {
        for name in ["tool_choice", "parallel_tool_calls"] {
            if body.contains_key(name) && body[name] != "none" {
                let message = format!("'{name}' is only allowed when 'tools' are specified.");
                return Err(refuse(400, &message, Some(name), None));
            }
        }
        return Ok(());
    };
    if tools.is_empty() {
        let message =
            "Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array instead.";
        return Err(refuse(400, message, Some("tools"), Some("empty_array")));
    }
    for (place, function) in tools.iter().enumerate().filter_map(|(place, tool)| Some((place, tool.get("function")?))) {
        let name = function["name"].as_str().unwrap_or_default();
        checked_name(name, &format!("tools[{place}].function.name"))?;
        if function["strict"] == true {
            checked_strict(&function["parameters"], name, &format!("tools[{place}].function.parameters"))?;
        }
    }
    let chosen = body.get("tool_choice").and_then(|choice| choice.pointer("/function/name"));
    match chosen {
        Some(name) if tools.iter().all(|tool| tool.pointer("/function/name") != Some(name)) => {
            let message = format!("Tool choice 'function' {name} not found in 'tools' parameter.");
            Err(refuse(400, &message, Some("tool_choice"), None))
        }
        _ => Ok(()),
    }
}

fn checked_options(body: &Map<String, Value>, messages: &[Value]) -> Result<(), Script> {
    let given = |name: &str| body.get(name).is_some_and(|value| !value.is_null());
    stream_options_need_stream(body)?;
    if given("max_tokens") && given("max_completion_tokens") {
        let message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.";
        return Err(refuse(400, message, Some("max_tokens"), Some("invalid_parameter_combination")));
    }
    if given("top_logprobs") && !is_true(body, "logprobs") {
        let message = "Invalid value for 'top_logprobs': 'logprobs' must be true.";
        return Err(refuse(400, message, Some("top_logprobs"), None));
    }
    if list(body.get("stop")).len() > 4 {
        let message = "Invalid 'stop': array too long. Expected an array with maximum length 4.";
        return Err(refuse(400, message, Some("stop"), Some("array_above_max_length")));
    }
    let format = body.get("response_format").unwrap_or(&Value::Null);
    if format["type"] == "json_object" && !Value::from(messages).to_string().to_lowercase().contains("json") {
        let message =
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.";
        return Err(refuse(400, message, Some("messages"), None));
    }
    if format["json_schema"]["strict"] == true {
        checked_strict(&format["json_schema"]["schema"], "response_format", "response_format")?;
    }
    only_what_reasoning_models_take(body, given("max_tokens"))
}

fn only_what_reasoning_models_take(body: &Map<String, Value>, old_limit: bool) -> Result<(), Script> {
    let model = body["model"].as_str().unwrap_or_default();
    if !["o1", "o3", "o4", "gpt-5"].iter().any(|family| model.starts_with(family)) {
        return Ok(());
    }
    if old_limit {
        let message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
        return Err(refuse(400, message, Some("max_tokens"), Some("unsupported_parameter")));
    }
    if body.get("temperature").and_then(Value::as_f64).is_some_and(|value| (value - 1.0).abs() > f64::EPSILON) {
        let message = "Unsupported value: 'temperature' does not support this value with this model. Only the default (1) value is supported.";
        return Err(refuse(400, message, Some("temperature"), Some("unsupported_value")));
    }
    Ok(())
}

fn seen(body: &Map<String, Value>, messages: &[Value]) -> Seen {
    let last_user = messages.iter().rfind(|message| message["role"] == "user");
    let content = last_user.map_or(&Value::Null, |message| &message["content"]);
    let parts = list(Some(content));
    let texts = parts.iter().filter_map(|part| part["text"].as_str()).chain(content.as_str());
    let tools = list(body.get("tools")).iter().filter_map(|tool| tool.pointer("/function/name")?.as_str());
    let chosen = body.get("tool_choice");
    let named = chosen.and_then(|choice| choice.pointer("/function/name")?.as_str());
    Seen {
        text: texts.collect::<Vec<_>>().join("\n"),
        tool_result: messages.last().is_some_and(|message| message["role"] == "tool"),
        image: parts.iter().any(|part| part["type"] == "image_url"),
        json: body.get("response_format").is_some_and(|format| format["type"] != "text"),
        thinking: false,
        tools: match chosen {
            Some(choice) if choice == "none" => vec![],
            _ => tools.filter(|tool| named.is_none_or(|name| name == *tool)).map(str::to_owned).collect(),
        },
        single: body.get("parallel_tool_calls") == Some(&Value::Bool(false)),
    }
}
