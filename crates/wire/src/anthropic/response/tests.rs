use std::sync::Arc;

use super::*;
use crate::chat::{Request, Usage};

macro_rules! golden {
    ($case:literal) => {
        include_bytes!(concat!("../../../tests/golden/chat/anthropic/", $case, ".response.json")).as_slice()
    };
}

fn answer(body: &[u8]) -> Response {
    match decode(body).unwrap() {
        Decoded::Response(response) => response,
        Decoded::Error(error) => panic!("an answer was expected, not {error:?}"),
    }
}

fn reply() -> Reply {
    Reply {
        id: "r1".to_owned(),
        created: 1,
        model: "auto:fast".to_owned(),
        include_usage: true,
        input_estimate: 33,
        request: Arc::new(Request::default()),
    }
}

fn drawn(response: &Response) -> (Value, Vec<String>) {
    let mut losses = Losses::default();
    let body = encode(response, &reply(), &mut losses);
    (serde_json::from_slice(&body).unwrap(), losses.iter().map(ToString::to_string).collect())
}

fn one(parts: Vec<Part>, finish: Option<FinishReason>) -> Response {
    Response { choices: vec![Choice { parts, finish, ..Choice::default() }], ..Response::default() }
}

fn call(id: &str, arguments: &str) -> Part {
    Content::ToolCall(ToolCall {
        id: id.to_owned(),
        name: "f".to_owned(),
        arguments: arguments.to_owned(),
        kind: ToolKind::Function,
    })
    .into()
}

#[test]
fn every_recorded_answer_comes_back_as_it_was_but_for_the_model() {
    for body in [
        golden!("text"),
        golden!("tools"),
        golden!("parallel_tools"),
        golden!("thinking"),
        golden!("length"),
        golden!("usage_cached"),
        golden!("stop"),
    ] {
        let mut expected: Value = serde_json::from_slice(body).unwrap();
        expected["model"] = "auto:fast".into();
        // The split of cache writes by lifetime is not neutral.
        expected["usage"].as_object_mut().unwrap().shift_remove("cache_creation");
        let (again, losses) = drawn(&answer(body));
        assert_eq!(again, expected);
        assert_eq!(losses, Vec::<String>::new());
    }
}

#[test]
fn refusals_and_hosted_tools_are_understood() {
    let refusal = answer(golden!("refusal"));
    assert!(matches!(&refusal.choices[0].finish, Some(FinishReason::Refusal(Some(why))) if why.contains("attack")));
    let search = answer(golden!("web_search"));
    let kinds: Vec<&str> = search.choices[0]
        .parts
        .iter()
        .map(|part| match &part.content {
            Content::Opaque { kind, .. } => kind.as_str(),
            Content::Text(text) => text.citations[0].url.as_deref().unwrap(),
            other => panic!("unexpected {other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["server_tool_use", "web_search_tool_result", "https://blog.rust-lang.org"]);
}

#[test]
fn a_forced_json_answer_is_text_with_a_plain_end() {
    let body = br#"{"type":"message","content":[{"type":"tool_use","id":"t","name":"waypost_json_response","input":{"a":1}}],"stop_reason":"tool_use"}"#;
    let choice = &answer(body).choices[0];
    assert_eq!(choice.parts, [Part::text("{\"a\":1}")]);
    assert_eq!(choice.finish, Some(FinishReason::Stop));
}

#[test]
fn an_error_object_is_an_error_and_another_body_is_none_of_ours() {
    assert!(
        matches!(decode(golden!("error")), Ok(Decoded::Error(error)) if error.kind.as_deref() == Some("rate_limit_error"))
    );
    for body in [&b"{}"[..], b"[]", b"<html>", br#"{"choices":[]}"#] {
        assert!(decode(body).is_err() && survey(body).is_err());
    }
}

#[test]
fn an_openai_answer_is_drawn_in_this_dialects_words() {
    let mut response = one(
        vec![
            Content::Reasoning(Reasoning { text: "hm".to_owned(), ..Reasoning::default() }).into(),
            Part::text("Let me see."),
            call("call.9", ""),
            call("", "{\"cut\":"),
        ],
        Some(FinishReason::Stop),
    );
    response.usage = Some(Usage { input: Some(100), cache_read: Some(60), output: Some(5), ..Usage::default() });
    let (body, losses) = drawn(&response);
    assert_eq!((&body["id"], &body["model"]), (&json!("msg_r1"), &json!("auto:fast")));
    assert_eq!(body["stop_reason"], "tool_use");
    assert_eq!(body["content"][0], json!({"type": "thinking", "thinking": "hm", "signature": ""}));
    assert_eq!(body["content"][2], json!({"type": "tool_use", "id": "call_2e_9", "name": "f", "input": {}}));
    assert_eq!((&body["content"][3]["id"], &body["content"][3]["input"]), (&json!("call_r1_3"), &json!({})));
    assert_eq!((&body["usage"]["input_tokens"], &body["usage"]["cache_read_input_tokens"]), (&json!(40), &json!(60)));
    assert_eq!(losses, ["content[].input=dropped"]);
}

#[test]
fn refusal_text_is_text_with_its_own_stop_reason() {
    let (body, _) = drawn(&one(vec![Content::Refusal("No.".to_owned()).into()], Some(FinishReason::Stop)));
    assert_eq!(body["content"], json!([{"type": "text", "text": "No."}]));
    assert_eq!((&body["stop_reason"], &body["stop_details"]["type"]), (&json!("refusal"), &json!("refusal")));
}

#[test]
fn an_answer_without_a_clean_end_is_drawn_as_an_error() {
    for finish in [None, Some(FinishReason::Failed("malformed".to_owned()))] {
        assert_eq!(drawn(&one(vec![Part::text("x")], finish)).0["type"], "error");
    }
}

#[test]
fn other_providers_seals_are_left_out() {
    let signature = Some(Signature { dialect: Dialect::OpenaiResponses, seal: "gAAA".to_owned() });
    let thought = |text: &str| Content::Reasoning(Reasoning { text: text.to_owned(), ..Reasoning::default() });
    let parts = vec![
        Part { content: thought("hm"), cache: None, signature: signature.clone() },
        Part { content: thought(""), cache: None, signature },
    ];
    let (body, _) = drawn(&one(parts, Some(FinishReason::Stop)));
    assert_eq!(body["content"], json!([{"type": "thinking", "thinking": "hm", "signature": ""}]));
}

#[test]
fn a_survey_counts_what_accounting_needs() {
    let cached = survey(golden!("usage_cached")).unwrap();
    assert_eq!((cached.usage.unwrap().input, cached.output_bytes), (Some(20_059), 4));
    let called = survey(golden!("tools")).unwrap();
    assert!(called.output_bytes > 30);
    assert_eq!(survey(golden!("error")).unwrap().error.unwrap().kind.as_deref(), Some("rate_limit_error"));
    let odd = survey(br#"{"content":[{"type":"text","text":null,"input":3}],"usage":"none"}"#).unwrap();
    assert_eq!(odd.usage, None);
}
