use std::sync::Arc;

use super::*;
use crate::chat::{
    Citation, Function, Image, Logprobs, Request, ResponseFormat, Sampling, Signature, Tool, ToolChoice, ToolKind,
};
use crate::dialect::Decoded;
use crate::openai_responses::response;

fn reply(request: Request) -> Reply {
    Reply {
        id: "x1".into(),
        created: 1_795_000_000,
        model: "fast".into(),
        include_usage: true,
        input_estimate: 0,
        request: Arc::new(request),
    }
}

fn answer(parts: Vec<Part>, finish: Option<FinishReason>) -> Response {
    let choice = Choice { index: 0, parts, finish, logprobs: None };
    Response { choices: vec![choice], ..Response::default() }
}

fn say(response: &Response) -> Value {
    let mut losses = Losses::default();
    serde_json::from_slice(&encode(response, &reply(Request::default()), &mut losses)).unwrap()
}

fn sealed(content: Content, dialect: Dialect) -> Part {
    Part { content, cache: None, signature: Some(Signature { dialect, seal: "S".into() }) }
}

#[test]
fn every_field_the_sdks_require_is_there() {
    let usage = Usage { input: Some(9), output: Some(3), cache_read: Some(4), reasoning: Some(1), ..Usage::default() };
    let body = say(&Response { usage: Some(usage), ..answer(vec![Part::text("hi")], Some(FinishReason::Stop)) });
    assert_eq!(
        body,
        json!({
            "id": "resp_x1", "object": "response", "created_at": 1_795_000_000, "status": "completed",
            "background": false, "error": null, "incomplete_details": null, "instructions": null,
            "max_output_tokens": null, "max_tool_calls": null, "model": "fast",
            "output": [{
                "id": "msg_x1_0", "type": "message", "status": "completed", "role": "assistant",
                "content": [{"type": "output_text", "text": "hi", "annotations": [], "logprobs": []}],
            }],
            "parallel_tool_calls": true, "previous_response_id": null, "prompt_cache_key": null,
            "reasoning": {"effort": null, "summary": null}, "safety_identifier": null, "service_tier": "default",
            "store": false, "temperature": 1.0, "text": {"format": {"type": "text"}}, "tool_choice": "auto",
            "tools": [], "top_logprobs": 0, "top_p": 1.0, "truncation": "disabled",
            "usage": {
                "input_tokens": 9, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
                "output_tokens": 3, "output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": 12,
            },
            "user": null, "metadata": {},
        })
    );
}

#[test]
fn the_requests_settings_are_echoed() {
    let request = Request {
        tools: vec![Tool::Function(Function { name: "f".into(), ..Function::default() })],
        tool_choice: Some(ToolChoice::Required),
        parallel_tool_calls: Some(false),
        max_output_tokens: Some(99),
        sampling: Sampling { temperature: Some(0.2), top_p: Some(0.9), ..Sampling::default() },
        response_format: Some(ResponseFormat::JsonObject),
        verbosity: Some("low".into()),
        logprobs: Some(Logprobs { top: Some(2) }),
        metadata: json!({"a": "b"}).as_object().cloned().unwrap(),
        user: Some("u".into()),
        extra: json!({"truncation": "auto"}).as_object().cloned().unwrap(),
        ..Request::default()
    };
    let bytes = encode(&answer(vec![], Some(FinishReason::Stop)), &reply(request), &mut Losses::default());
    let body: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(body["tools"][0]["strict"], false);
    assert_eq!((&body["tool_choice"], &body["parallel_tool_calls"]), (&json!("required"), &json!(false)));
    assert_eq!(
        (&body["max_output_tokens"], &body["temperature"], &body["top_p"]),
        (&json!(99), &json!(0.2), &json!(0.9))
    );
    assert_eq!(body["text"], json!({"format": {"type": "json_object"}, "verbosity": "low"}));
    assert_eq!((&body["top_logprobs"], &body["truncation"]), (&json!(2), &json!("auto")));
    assert_eq!((&body["metadata"]["a"], &body["user"]), (&json!("b"), &json!("u")));
}

#[test]
fn every_end_has_its_status() {
    let end = |finish| say(&answer(vec![Part::text("a")], finish));
    let incomplete = |body: &Value| (body["status"].clone(), body["incomplete_details"]["reason"].clone());
    for finish in [FinishReason::Stop, FinishReason::ToolCalls, FinishReason::StopSequence(None), FinishReason::Pause] {
        assert_eq!(end(Some(finish))["status"], "completed");
    }
    let cut = end(Some(FinishReason::Length));
    assert_eq!(incomplete(&cut), (json!("incomplete"), json!("max_output_tokens")));
    assert_eq!(cut["output"][0]["status"], "incomplete");
    assert_eq!(incomplete(&end(Some(FinishReason::ContextWindow))).1, "max_output_tokens");
    assert_eq!(incomplete(&end(Some(FinishReason::ContentFilter))).1, "content_filter");
    assert_eq!(incomplete(&end(Some(FinishReason::Refusal(None)))).1, "content_filter");
    for finish in [Some(FinishReason::Failed("OTHER".into())), None] {
        let body = end(finish);
        assert_eq!((&body["status"], &body["error"]["code"]), (&json!("failed"), &json!("server_error")));
    }
    let refusal = say(&answer(vec![Content::Refusal("no".into()).into()], Some(FinishReason::Refusal(None))));
    assert_eq!(refusal["status"], "completed");
    assert_eq!(refusal["output"][0]["content"], json!([{"type": "refusal", "refusal": "no"}]));
}

#[test]
fn foreign_seals_travel_in_reasoning_items_before_what_they_seal() {
    let thought = |text: &str, redacted| Content::Reasoning(Reasoning { text: text.into(), redacted, id: None });
    let call = Content::ToolCall(ToolCall {
        id: String::new(),
        name: "f".into(),
        arguments: String::new(),
        kind: ToolKind::Function,
    });
    let parts = vec![
        sealed(thought("hm", false), Dialect::Anthropic),
        sealed(thought("", true), Dialect::Anthropic),
        Part::text("a"),
        sealed(call, Dialect::Gemini),
    ];
    let body = say(&answer(parts, Some(FinishReason::ToolCalls)));
    let output = &body["output"];
    assert_eq!(output[0]["encrypted_content"], "waypost:anthropic:thinking:S");
    assert_eq!(output[0]["summary"][0]["text"], "hm");
    assert_eq!(output[1]["encrypted_content"], "waypost:anthropic:redacted:S");
    assert_eq!(output[2]["type"], "message");
    assert_eq!(output[3]["encrypted_content"], "waypost:gemini:next:S");
    assert_eq!(
        output[4],
        json!({"id": "fc_x1_4", "type": "function_call", "status": "completed", "call_id": "call_x1_4", "name": "f", "arguments": "{}"})
    );
    let ids: Vec<&str> = output.as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["rs_x1_0", "rs_x1_1", "msg_x1_2", "rs_x1_3", "fc_x1_4"]);
}

#[test]
fn what_cannot_be_said_is_a_loss() {
    let parts = vec![
        Content::Text(Text { text: "a".into(), citations: vec![Citation::default()] }).into(),
        Content::Opaque { dialect: Dialect::Anthropic, kind: "server_tool_use".into(), value: json!({}) }.into(),
        Content::Image(Image {
            source: Media::Base64 { media_type: "image/png".into(), data: "iV".into() },
            detail: None,
        })
        .into(),
    ];
    let mut response = answer(parts, Some(FinishReason::Pause));
    response.choices.push(Choice::default());
    let mut losses = Losses::default();
    let bytes = encode(&response, &reply(Request::default()), &mut losses);
    let body: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(body["output"][1]["type"], "image_generation_call");
    let lost: Vec<String> = losses.iter().map(ToString::to_string).collect();
    assert_eq!(
        lost,
        [
            "choices[]=dropped",
            "stop_reason=dropped",
            "choices[].message.annotations=dropped",
            "choices[].message.content[].server_tool_use=dropped",
        ]
    );
}

#[test]
fn an_answer_is_read_back_as_it_was_meant() {
    for body in [
        &include_bytes!("../../../tests/golden/chat/openai_responses/parallel_tools.response.json")[..],
        include_bytes!("../../../tests/golden/chat/openai_responses/thinking.response.json"),
        include_bytes!("../../../tests/golden/chat/openai_responses/refusal.response.json"),
        include_bytes!("../../../tests/golden/chat/openai_responses/length.response.json"),
        include_bytes!("../../../tests/golden/chat/openai_responses/content_filter.response.json"),
        include_bytes!("../../../tests/golden/chat/openai_responses/usage_cached.response.json"),
        include_bytes!("../../../tests/golden/chat/openai_responses/logprobs.response.json"),
        include_bytes!("../../../tests/golden/chat/openai_responses/web_search.response.json"),
    ] {
        let Ok(Decoded::Response(first)) = response::decode(body) else { panic!("no answer") };
        let again = encode(&first, &reply(Request::default()), &mut Losses::default());
        let Ok(Decoded::Response(mut second)) = response::decode(&again) else { panic!("no answer") };
        second.model.clone_from(&first.model);
        for part in &mut second.choices[0].parts {
            if let Content::Reasoning(reasoning) = &mut part.content {
                reasoning.id = Some("rs_1".into());
            }
        }
        assert_eq!(first, second);
    }
}
