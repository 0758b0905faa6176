use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::sse;

const WEATHER: &str = "call_Tn4VwQ8zLs2RkYx6McJbPd0H";
const USE: &str = "toolu_017uLT5rXuBk0CNgwNiCMNBx";

fn post(path: &str, headers: &[(&str, &str)], body: &Value) -> Script {
    let mut recorded = Recorded {
        method: "POST".into(),
        path_and_query: path.into(),
        headers: Default::default(),
        body: Bytes::from(body.to_string()),
        connection: 0,
        received_at: std::time::Instant::now(),
    };
    for (name, value) in headers {
        recorded.headers.push(name, value);
    }
    answer(&recorded)
}

fn chat(body: Value) -> Script {
    let mut whole = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]});
    merge(&mut whole, body);
    post("/v1/chat/completions", &[("authorization", "Bearer key-good")], &whole)
}

fn responses(body: Value) -> Script {
    let mut whole = json!({"model": "gpt-4.1", "input": "hi"});
    merge(&mut whole, body);
    post("/v1/responses", &[("authorization", "Bearer key-good")], &whole)
}

fn messages(body: Value) -> Script {
    let mut whole =
        json!({"model": "claude-sonnet-4-5", "max_tokens": 4096, "messages": [{"role": "user", "content": "hi"}]});
    merge(&mut whole, body);
    post("/v1/messages", &[("x-api-key", "key-good"), ("anthropic-version", "2023-06-01")], &whole)
}

fn gemini(model: &str, body: Value) -> Script {
    let mut whole = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
    merge(&mut whole, body);
    post(&format!("/v1beta/models/{model}:generateContent"), &[("x-goog-api-key", "key-good")], &whole)
}

fn merge(whole: &mut Value, body: Value) {
    for (name, value) in body.as_object().unwrap() {
        whole[name] = value.clone();
    }
}

fn said(script: &Script) -> String {
    script.pieces.iter().map(|piece| String::from_utf8_lossy(piece)).collect()
}

fn assert_refused(script: &Script, words: &str) {
    let said = said(script);
    assert!(script.status == 400 && said.contains(words), "{}, not a refusal with {words:?}: {said}", script.status);
}

fn assert_answered(script: &Script, with: Take) {
    assert_eq!((script.status, said(script).as_str()), (200, with.whole));
}

fn weather_tool() -> Value {
    json!([{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}])
}

#[test]
fn every_recording_is_whole_json_and_whole_events() {
    for take in [openai::chat::TAKES, openai::responses::TAKES, anthropic::TAKES, gemini::TAKES].concat() {
        assert!(serde_json::from_str::<Value>(take.whole).unwrap().is_object());
        let events = sse::parse(take.stream.as_bytes());
        assert_eq!(crate::fixtures::events(take.stream).len(), events.len());
        for event in events.iter().filter(|event| event.data != "[DONE]") {
            assert!(event.json().is_object());
        }
    }
}

#[test]
fn a_stream_of_responses_is_numbered_without_a_gap_and_ends_completed() {
    for take in openai::responses::TAKES {
        let events = sse::parse(take.stream.as_bytes());
        for (place, event) in events.iter().enumerate() {
            assert_eq!(event.json()["sequence_number"], place);
            assert_eq!(event.event.as_deref(), event.json()["type"].as_str());
        }
        assert_eq!(events.last().unwrap().json()["type"], "response.completed");
    }
}

#[test]
fn chat_refuses_what_openai_refuses() {
    let call = json!({"id": WEATHER, "type": "function", "function": {"name": "get_weather", "arguments": "{}"}});
    let user = json!({"role": "user", "content": "hi"});
    for (body, words) in [
        (json!({"top_k": 4}), "Unknown parameter: 'top_k'."),
        (json!({"temperature": "warm"}), "Invalid type for 'temperature'"),
        (json!({"temperature": 3}), "Invalid 'temperature'"),
        (json!({"messages": []}), "empty array"),
        (json!({"messages": [{"role": "robot", "content": "hi"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "user", "content": "hi", "cache_control": {}}]}), "messages[0].cache_control"),
        (json!({"tools": []}), "Invalid 'tools': empty array"),
        (json!({"tool_choice": "auto"}), "'tool_choice' is only allowed"),
        (json!({"stream_options": {"include_usage": true}}), "only allowed when 'stream' is enabled"),
        (json!({"max_tokens": 1, "max_completion_tokens": 1}), "at the same time"),
        (json!({"stop": ["1", "2", "3", "4", "5"]}), "array too long"),
        (json!({"response_format": {"type": "json_object"}}), "the word 'json'"),
        (json!({"model": "o3-mini", "max_tokens": 5}), "max_completion_tokens"),
        (
            json!({"messages": [user, {"role": "assistant", "tool_calls": [call]}, user]}),
            "did not have response messages",
        ),
        (json!({"messages": [user, {"role": "assistant", "content": "x", "tool_calls": []}]}), "empty array"),
        (
            json!({"messages": [user, {"role": "tool", "tool_call_id": "x", "content": "y"}]}),
            "must be a response to a preceeding",
        ),
        (
            json!({"tools": [{"type": "function", "function": {"name": "f", "strict": true, "parameters": {"type": "object", "properties": {}}}}]}),
            "additionalProperties",
        ),
    ] {
        assert_refused(&chat(body), words);
    }
    assert_eq!(chat(json!({"model": "claude-sonnet-4-5"})).status, 404);
}

#[test]
fn chat_answers_what_was_asked() {
    let call = json!({"id": WEATHER, "type": "function", "function": {"name": "get_weather", "arguments": "{}"}});
    let looped = json!({"tools": weather_tool(), "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": WEATHER, "content": "21"},
    ]});
    let picture = json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]});
    assert_answered(&chat(json!({"tools": weather_tool()})), take!("openai_chat/tool_one"));
    assert_answered(&chat(looped), take!("openai_chat/tool_answer"));
    assert_answered(&chat(picture), take!("openai_chat/image"));
    let unasked = said(&chat(json!({"stream": true})));
    assert_eq!(unasked.matches("usage").count(), 0, "usage nobody asked for: {unasked}");
    let asked = said(&chat(json!({"stream": true, "stream_options": {"include_usage": true}})));
    assert!(asked.contains(r#""choices":[]"#), "{asked}");
}

#[test]
fn responses_refuse_what_openai_refuses() {
    let call = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"});
    for (body, words) in [
        (json!({"stop": ["x"]}), "Unknown parameter: 'stop'."),
        (json!({"max_output_tokens": 5}), "max_output_tokens"),
        (json!({"input": []}), "Missing required parameter: 'input'."),
        (
            json!({"input": [{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}]}),
            "input[0].content[0].type",
        ),
        (json!({"input": [call]}), "No tool output found for function call c."),
        (json!({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}), "No tool call found"),
        (
            json!({"tools": [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}]}),
            "additionalProperties",
        ),
        (json!({"previous_response_id": "resp_1"}), "previous_response_not_found"),
    ] {
        assert_refused(&responses(body), words);
    }
    assert_answered(&responses(json!({"reasoning": {"effort": "low"}})), take!("openai_responses/reasoning"));
}

#[test]
fn messages_refuse_what_anthropic_refuses() {
    let user = json!({"role": "user", "content": "hi"});
    let called = json!({"role": "assistant", "content": [{"type": "tool_use", "id": USE, "name": "f", "input": {}}]});
    let result = json!({"type": "tool_result", "tool_use_id": USE, "content": "x"});
    let answered = json!({"role": "user", "content": [result]});
    let thinking = json!({"type": "enabled", "budget_tokens": 1024});
    let forged = json!({"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": "y"}]});
    for (body, words) in [
        (json!({"max_tokens": null}), "max_tokens: Input should be a valid integer"),
        (json!({"temperature": null}), "temperature: Input should be a valid decimal"),
        (json!({"frequency_penalty": 1}), "frequency_penalty: Extra inputs are not permitted"),
        (json!({"temperature": 1.5}), "temperature: Input should be between 0 and 1"),
        (json!({"messages": [{"role": "assistant", "content": "x"}]}), "first message must use"),
        (json!({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}), "non-empty"),
        (json!({"messages": [user, called]}), "without `tool_result` blocks immediately after"),
        (json!({"messages": [user, answered]}), "unexpected `tool_use_id`"),
        (
            json!({"messages": [user, called, {"role": "user", "content": [{"type": "text", "text": "x"}, result]}]}),
            "must come before",
        ),
        (json!({"messages": [user, forged]}), "Invalid `signature`"),
        (json!({"messages": [user, called, answered], "thinking": thinking}), "Expected `thinking`"),
        (json!({"thinking": thinking, "max_tokens": 1024}), "must be greater than"),
        (json!({"thinking": thinking, "temperature": 0.5}), "may only be set to 1"),
        (json!({"stop_sequences": [" "]}), "non-whitespace"),
        (json!({"tool_choice": {"type": "auto"}}), "only be specified while providing tools"),
        (
            json!({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object", "properties": {}}}}}),
            "additionalProperties",
        ),
    ] {
        assert_refused(&messages(body), words);
    }
    let body = json!({"model": "claude-sonnet-4-5", "messages": [user]});
    assert_refused(&post("/v1/messages", &[("x-api-key", "key-good")], &body), "anthropic-version");
    let newer = [("authorization", "Bearer key-good"), ("anthropic-version", "2026-10-21")];
    let warm = json!({"model": "claude-sonnet-4-5", "max_tokens": 5, "temperature": 1, "messages": [user]});
    assert_refused(&post("/v1/messages", &newer, &warm), "temperature");
}

#[test]
fn messages_take_their_own_thoughts_back() {
    let whole: Value = serde_json::from_str(take!("anthropic/thinking_tool_use").whole).unwrap();
    let id = &whole["content"][1]["id"];
    let body = json!({
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": whole["content"]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "21"}]},
        ],
    });
    assert_answered(&messages(body), take!("anthropic/tool_answer"));
}

#[test]
fn gemini_refuses_what_google_refuses() {
    let user = json!({"role": "user", "parts": [{"text": "hi"}]});
    let called = json!({"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]});
    let wrong_count = json!({"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}, {"functionResponse": {"name": "f", "response": {}}}]});
    for (body, words) in [
        (json!({"temperature": 1}), "Unknown name \\\"temperature\\\""),
        (json!({"generationConfig": {"max_tokens": 1}}), "Unknown name \\\"max_tokens\\\" at 'generationConfig'"),
        (json!({"contents": []}), "contents is not specified"),
        (json!({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}), "valid role"),
        (json!({"contents": [called, user]}), "immediately after a user turn"),
        (json!({"contents": [user, called, wrong_count]}), "number of function response parts"),
        (
            json!({"contents": [user, {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": "x"}}]}]}),
            "response",
        ),
        (
            json!({"tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "object", "additionalProperties": false}}]}]}),
            "additionalProperties",
        ),
        (json!({"generationConfig": {"thinkingConfig": {"thinkingLevel": "low"}}}), "Thinking level is not supported"),
    ] {
        assert_refused(&gemini("gemini-2.5-flash", body), words);
    }
    assert_refused(&gemini("gemini-3-pro-preview", json!({"contents": [user, called]})), "thought_signature");
}

#[test]
fn each_api_wants_its_own_credential_and_model() {
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(post("/v1/chat/completions", &[("authorization", "Bearer nope")], &body).status, 401);
    assert_eq!(post("/v1/messages", &[("anthropic-version", "2023-06-01")], &body).status, 401);
    assert_eq!(post("/v1beta/models/gemini-2.5-flash:generateContent", &[], &body).status, 400);
    assert_eq!(gemini("gpt-4o", json!({})).status, 404);
    assert_eq!(messages(json!({"model": "gpt-4o"})).status, 404);
}

#[test]
fn a_marker_in_the_text_asks_for_an_error() {
    let marked = |text: &str| json!({"messages": [{"role": "user", "content": text}], "stream": true});
    assert_eq!(chat(marked("please [fail 503]")).status, 503);
    assert_eq!(messages(marked("please [fail 529]")).status, 529);
    assert!(said(&chat(marked("[break]"))).contains("server_error"));
    assert!(said(&messages(marked("[break]"))).contains("overloaded_error"));
    assert!(chat(marked("[cut]")).breaks.is_some());
    assert!(!said(&messages(marked("[cut]"))).is_empty() && messages(marked("[cut]")).breaks.is_some());
}
