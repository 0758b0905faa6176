//! `POST /v1/responses`, stateless: what it refuses and which recording it answers with.
//! It must not know the other APIs. Rules from the API reference, "Responses"; tests in `provider/tests.rs`.

use serde_json::{Map, Value};

use super::chat::checked_image;
use super::*;
use crate::provider::ask::{Ask, Seen};
use crate::provider::{Take, cut, take};

const INPUT_PARTS: Shape = Shape::Tagged(
    "type",
    &[
        ("input_text", &[must("text", Shape::Text), nil("prompt_cache_breakpoint", Shape::Any)]),
        (
            "input_image",
            &[
                nil("image_url", Shape::Text),
                nil("file_id", Shape::Text),
                may("detail", Shape::Words(&["auto", "low", "high", "original"])),
            ],
        ),
        (
            "input_file",
            &[
                nil("file_data", Shape::Text),
                nil("file_id", Shape::Text),
                nil("file_url", Shape::Text),
                may("filename", Shape::Text),
            ],
        ),
        ("input_audio", &[must("input_audio", Shape::Any)]),
    ],
);
const OUTPUT_PARTS: Shape = Shape::Tagged(
    "type",
    &[
        (
            "output_text",
            &[must("text", Shape::Text), may("annotations", Shape::List(&Shape::Any)), nil("logprobs", Shape::Any)],
        ),
        ("refusal", &[must("refusal", Shape::Text)]),
    ],
);
const ASKED: Shape = Shape::Either(&[Shape::Text, Shape::List(&INPUT_PARTS)]);
const STATUS: Field = nil("status", Shape::Words(&["in_progress", "completed", "incomplete"]));
const TYPE: Field = may("type", Shape::Words(&["message"]));
const ASKING: &[Field] = &[TYPE, nil("id", Shape::Text), STATUS, must("content", ASKED)];
const MESSAGE: Shape = Shape::Tagged(
    "role",
    &[
        ("user", ASKING),
        ("system", ASKING),
        ("developer", ASKING),
        (
            "assistant",
            &[
                TYPE,
                nil("id", Shape::Text),
                STATUS,
                nil("phase", Shape::Text),
                must("content", Shape::Either(&[Shape::Text, Shape::List(&OUTPUT_PARTS)])),
            ],
        ),
    ],
);
const SUMMARY: Shape = Shape::Tagged("type", &[("summary_text", &[must("text", Shape::Text)])]);
const ITEM: Shape = Shape::Tagged(
    "type",
    &[
        (
            "function_call",
            &[
                nil("id", Shape::Text),
                STATUS,
                must("call_id", Shape::Text),
                must("name", Shape::Text),
                must("arguments", Shape::Text),
                nil("namespace", Shape::Text),
            ],
        ),
        (
            "function_call_output",
            &[nil("id", Shape::Text), STATUS, must("call_id", Shape::Text), must("output", ASKED)],
        ),
        (
            "custom_tool_call",
            &[
                nil("id", Shape::Text),
                STATUS,
                must("call_id", Shape::Text),
                must("name", Shape::Text),
                must("input", Shape::Text),
            ],
        ),
        ("custom_tool_call_output", &[nil("id", Shape::Text), must("call_id", Shape::Text), must("output", ASKED)]),
        (
            "reasoning",
            &[
                may("id", Shape::Text),
                STATUS,
                must("summary", Shape::List(&SUMMARY)),
                nil("content", Shape::Any),
                nil("encrypted_content", Shape::Text),
            ],
        ),
        ("item_reference", &[must("id", Shape::Text)]),
    ],
);
const TOOL: Shape = Shape::Tagged(
    "type",
    &[
        (
            "function",
            &[
                must("name", Shape::Text),
                nil("description", Shape::Text),
                nil("parameters", Shape::Any),
                nil("strict", Shape::Bool),
            ],
        ),
        ("custom", &[must("name", Shape::Text), may("description", Shape::Text), may("format", Shape::Any)]),
    ],
);
const TOOL_CHOICE: Shape = Shape::Either(&[
    Shape::Words(&["none", "auto", "required"]),
    Shape::Tagged(
        "type",
        &[
            ("function", &[must("name", Shape::Text)]),
            ("custom", &[must("name", Shape::Text)]),
            ("allowed_tools", &[must("mode", Shape::Words(&["auto", "required"])), must("tools", Shape::Any)]),
        ],
    ),
]);
const FORMAT: Shape = Shape::Tagged(
    "type",
    &[
        ("text", &[]),
        ("json_object", &[]),
        (
            "json_schema",
            &[
                must("name", Shape::Text),
                nil("description", Shape::Text),
                must("schema", Shape::Any),
                nil("strict", Shape::Bool),
            ],
        ),
    ],
);
const EFFORT: Shape = Shape::Words(&["none", "minimal", "low", "medium", "high", "xhigh", "max"]);
const FIELDS: &[Field] = &[
    must("model", Shape::Text),
    must("input", Shape::Either(&[Shape::Text, Shape::List(&Shape::Any)])),
    nil("background", Shape::Bool),
    nil("context_management", Shape::Any),
    nil("conversation", Shape::Any),
    nil("include", Shape::List(&Shape::Text)),
    nil("instructions", Shape::Text),
    nil("max_output_tokens", Shape::Integer { least: 16 }),
    nil("max_tool_calls", POSITIVE),
    nil("metadata", Shape::Any),
    nil("parallel_tool_calls", Shape::Bool),
    nil("previous_response_id", Shape::Text),
    nil("prompt", Shape::Any),
    nil("prompt_cache_key", Shape::Text),
    nil("prompt_cache_options", Shape::Any),
    nil("prompt_cache_retention", Shape::Text),
    nil(
        "reasoning",
        Shape::Object(&[nil("effort", EFFORT), nil("summary", Shape::Words(&["auto", "concise", "detailed"]))]),
    ),
    nil("safety_identifier", Shape::Text),
    nil("service_tier", Shape::Words(&["auto", "default", "flex", "scale", "priority"])),
    nil("store", Shape::Bool),
    nil("stream", Shape::Bool),
    nil("stream_options", Shape::Object(&[may("include_obfuscation", Shape::Bool)])),
    nil("temperature", TEMPERATURE),
    nil("text", Shape::Object(&[may("format", FORMAT), nil("verbosity", Shape::Words(&["low", "medium", "high"]))])),
    may("tool_choice", TOOL_CHOICE),
    nil("tools", Shape::List(&TOOL)),
    nil("top_logprobs", COUNT),
    nil("top_p", UNIT),
    nil("truncation", Shape::Words(&["auto", "disabled"])),
    nil("user", Shape::Text),
];

const PLAIN: Take = Take { whole: fixtures::openai_responses::PLAIN, stream: fixtures::openai_responses::STREAM };
const CALL_ONE: Take =
    Take { whole: fixtures::openai_responses::FUNCTION_CALL, stream: fixtures::openai_responses::FUNCTION_CALL_STREAM };
const CALLS: Take = take!("openai_responses/function_calls");
const TOOL_ANSWER: Take = take!("openai_responses/tool_answer");
const IMAGE: Take = take!("openai_responses/image");
const JSON: Take = take!("openai_responses/json");
const REASONING: Take = take!("openai_responses/reasoning");

/// The recordings this API answers with.
#[cfg(test)]
pub(crate) const TAKES: &[Take] = &[PLAIN, CALL_ONE, CALLS, TOOL_ANSWER, IMAGE, JSON, REASONING];

pub(in crate::provider) fn answer(body: &Map<String, Value>) -> Reply {
    check(body, FIELDS).map_err(|wrong| refused(&wrong))?;
    known_model(body, &["gpt-", "o1", "o3", "o4"])?;
    stream_options_need_stream(body)?;
    let input = body["input"].as_array().map_or(&[][..], Vec::as_slice);
    if body["input"] == "" || body["input"] == Value::Array(vec![]) {
        let message = "Missing required parameter: 'input'.";
        return Err(refuse(400, message, Some("input"), Some("missing_required_parameter")));
    }
    if body.get("previous_response_id").is_some_and(Value::is_string) {
        return Err(Script::reply(400, fixtures::openai_responses::ERROR_400_PREVIOUS));
    }
    checked_items(input)?;
    checked_calls(input)?;
    checked_tools(body)?;
    Ok(chosen(seen(body, input).ask(), is_true(body, "stream")))
}

fn chosen(ask: Ask, streamed: bool) -> Script {
    let take = match ask {
        Ask::Fail(status) => return failure(status),
        Ask::Break if streamed => {
            return Script::stream(fixtures::events(fixtures::openai_responses::FAILED_STREAM));
        }
        Ask::Cut if streamed => return cut(PLAIN.stream, 6),
        Ask::Break | Ask::Cut => return Script::cut_before_answer(),
        Ask::Call => CALL_ONE,
        Ask::Calls => CALLS,
        Ask::ToolAnswer => TOOL_ANSWER,
        Ask::Image => IMAGE,
        Ask::Json => JSON,
        Ask::Thinking => REASONING,
        Ask::Plain => PLAIN,
    };
    take.play(streamed)
}

/// An item without a type is a message.
fn checked_items(input: &[Value]) -> Result<(), Script> {
    for (place, item) in input.iter().enumerate() {
        let is_message = item.get("type").is_none_or(|kind| kind == "message");
        let shape = if is_message { MESSAGE } else { ITEM };
        shape.judge(&format!("input[{place}]"), item).map_err(|wrong| refused(&wrong))?;
        for part in item["content"].as_array().into_iter().chain(item["output"].as_array()).flatten() {
            if let Some(url) = part.get("image_url").and_then(Value::as_str) {
                checked_image(url)?;
            }
        }
    }
    Ok(())
}

fn checked_calls(input: &[Value]) -> Result<(), Script> {
    let ids = |kind: &'static str| {
        input.iter().filter(move |item| item["type"] == kind).filter_map(|item| item["call_id"].as_str())
    };
    if let Some(lost) = ids("function_call_output").find(|id| ids("function_call").all(|call| call != *id)) {
        let message = format!("No tool call found for function call output with call_id {lost}.");
        return Err(refuse(400, &message, Some("input"), None));
    }
    if let Some(open) = ids("function_call").find(|id| ids("function_call_output").all(|output| output != *id)) {
        let message = format!("No tool output found for function call {open}.");
        return Err(refuse(400, &message, Some("input"), None));
    }
    match ids("function_call").find(|id| id.len() > 64) {
        Some(_) => {
            let message = "Invalid 'input': call_id too long. Expected a string with maximum length 64.";
            Err(refuse(400, message, Some("input"), Some("string_above_max_length")))
        }
        None => Ok(()),
    }
}

fn checked_tools(body: &Map<String, Value>) -> Result<(), Script> {
    for (place, tool) in body.get("tools").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let name = tool["name"].as_str().unwrap_or_default();
        checked_name(name, &format!("tools[{place}].name"))?;
        // Strict is what a function is unless it says otherwise.
        if tool["type"] == "function" && tool.get("strict") != Some(&Value::Bool(false)) {
            checked_strict(&tool["parameters"], name, &format!("tools[{place}].parameters"))?;
        }
    }
    let format = body.get("text").map_or(&Value::Null, |text| &text["format"]);
    if format["type"] == "json_object" && !body["input"].to_string().to_lowercase().contains("json") {
        let message = "Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'.";
        return Err(refuse(400, message, Some("input"), None));
    }
    if format["type"] == "json_schema" && format["strict"] == true {
        checked_strict(&format["schema"], "response_format", "text.format.schema")?;
    }
    Ok(())
}

fn seen(body: &Map<String, Value>, input: &[Value]) -> Seen {
    let last_user = input.iter().rfind(|item| item["role"] == "user");
    let content = last_user.map_or(&body["input"], |item| &item["content"]);
    let parts = content.as_array().map_or(&[][..], Vec::as_slice);
    let texts = parts.iter().filter_map(|part| part["text"].as_str()).chain(content.as_str());
    let chosen = body.get("tool_choice");
    let named = chosen.and_then(|choice| choice["name"].as_str());
    let tools = body.get("tools").and_then(Value::as_array).into_iter().flatten();
    let tools = tools.filter_map(|tool| tool["name"].as_str()).filter(|tool| named.is_none_or(|name| name == *tool));
    let reasoning = body.get("reasoning").unwrap_or(&Value::Null);
    Seen {
        text: texts.collect::<Vec<_>>().join("\n"),
        tool_result: input.last().is_some_and(|item| item["type"] == "function_call_output"),
        image: parts.iter().any(|part| part["type"] == "input_image"),
        json: body.get("text").is_some_and(|text| text["format"].is_object() && text["format"]["type"] != "text"),
        thinking: reasoning["effort"].is_string() && reasoning["effort"] != "none",
        tools: if chosen.is_some_and(|choice| choice == "none") { vec![] } else { tools.map(str::to_owned).collect() },
        single: body.get("parallel_tool_calls") == Some(&Value::Bool(false)),
    }
}
