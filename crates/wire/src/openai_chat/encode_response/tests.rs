use super::*;
use crate::Dialect;
use crate::chat::{Reasoning, Usage};
use crate::dialect::Decoded;
use crate::openai_chat::response;

fn reply() -> Reply {
    Reply {
        id: "7f".to_owned(),
        created: 1_795_000_001,
        model: "fast".to_owned(),
        include_usage: false,
        input_estimate: 0,
        request: std::sync::Arc::default(),
    }
}

fn written(response: &Response) -> (Value, Losses) {
    let mut losses = Losses::default();
    let body = encode(response, &reply(), &mut losses);
    (serde_json::from_slice(&body).unwrap(), losses)
}

fn answer(parts: Vec<Part>, finish: FinishReason) -> Response {
    let choice = Choice { parts, finish: Some(finish), ..Choice::default() };
    Response { choices: vec![choice], ..Response::default() }
}

fn call(id: &str, arguments: &str, kind: ToolKind) -> Part {
    Content::ToolCall(ToolCall { id: id.to_owned(), name: "f".to_owned(), arguments: arguments.to_owned(), kind })
        .into()
}

fn sealed(content: Content, dialect: Dialect, seal: &str) -> Part {
    Part { content, cache: None, signature: Some(Signature { dialect, seal: seal.to_owned() }) }
}

fn finish_reason(parts: Vec<Part>, finish: FinishReason) -> Value {
    written(&answer(parts, finish)).0["choices"][0]["finish_reason"].take()
}

#[test]
fn an_answer_has_the_fields_of_the_api_in_their_order() {
    let mut response = answer(vec![Part::text("Hi")], FinishReason::Stop);
    response.id = Some("msg_1".to_owned());
    response.usage = Some(Usage { input: Some(3), output: Some(1), ..Usage::default() });
    let body = encode(&response, &reply(), &mut Losses::default());
    let expected = concat!(
        r#"{"id":"chatcmpl-7f","object":"chat.completion","created":1795000001,"model":"fast","choices":[{"index":0,"#,
        r#""message":{"role":"assistant","content":"Hi","refusal":null},"logprobs":null,"finish_reason":"stop"}],"#,
        r#""usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#
    );
    assert_eq!(body, expected);
}

#[test]
fn every_golden_answer_reads_back_as_it_was() {
    macro_rules! golden {
        ($($case:literal),*) => {
            [$(&include_bytes!(concat!("../../../tests/golden/chat/openai_chat/", $case, ".response.json"))[..]),*]
        };
    }
    for body in golden!("text", "tools", "parallel_tools", "thinking", "length", "usage_cached", "n", "logprobs") {
        let Decoded::Response(mut response) = response::decode(body).unwrap() else { unreachable!() };
        let encoded = encode(&response, &reply(), &mut Losses::default());
        response.model = Some("fast".to_owned());
        response.id = Some(completion_id(response.id.as_deref(), &reply()));
        assert_eq!(response::decode(&encoded).unwrap(), Decoded::Response(response));
    }
}

#[test]
fn calls_always_have_an_id_and_whole_arguments() {
    let parts = vec![call("", "", ToolKind::Function), call("c", "ls", ToolKind::Custom)];
    let (body, _) = written(&answer(parts, FinishReason::Stop));
    let expected = json!([
        {"id": "call_7f_0", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "c", "type": "custom", "custom": {"name": "f", "input": "ls"}},
    ]);
    assert_eq!(body["choices"][0]["message"]["tool_calls"], expected);
    assert_eq!(body["choices"][0]["message"]["content"], Value::Null);
    assert_eq!(body["choices"][0]["finish_reason"], "tool_calls");
}

#[test]
fn seals_travel_in_the_fields_that_clients_send_back() {
    let thought = |text: &str, redacted| Content::Reasoning(Reasoning { text: text.to_owned(), redacted, id: None });
    let mut google = call("c", "{}", ToolKind::Function);
    google.signature = Some(Signature { dialect: Dialect::Gemini, seal: "g".to_owned() });
    let parts = vec![
        sealed(thought("why", false), Dialect::Anthropic, "s"),
        sealed(thought("", true), Dialect::Anthropic, "r"),
        google,
    ];
    let (body, _) = written(&answer(parts, FinishReason::ToolCalls));
    let message = &body["choices"][0]["message"];
    assert_eq!(message["reasoning_content"], "why");
    let details = json!([
        {"type": "reasoning.text", "text": "why", "signature": "s", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "r", "format": "anthropic-claude-v1", "index": 1},
    ]);
    assert_eq!(message["reasoning_details"], details);
    assert_eq!(message["tool_calls"][0]["extra_content"], json!({"google": {"thought_signature": "g"}}));
}

#[test]
fn only_the_five_known_words_end_an_answer() {
    let text = || vec![Part::text("a")];
    assert_eq!(finish_reason(text(), FinishReason::StopSequence(Some("x".into()))), "stop");
    assert_eq!(finish_reason(text(), FinishReason::ContextWindow), "length");
    assert_eq!(finish_reason(text(), FinishReason::ContentFilter), "content_filter");
    assert_eq!(finish_reason(text(), FinishReason::ToolCalls), "stop");
    assert_eq!(finish_reason(vec![call("c", "{}", ToolKind::Function)], FinishReason::Length), "length");
    let (paused, losses) = written(&answer(text(), FinishReason::Pause));
    assert_eq!(paused["choices"][0]["finish_reason"], "stop");
    assert_eq!(losses.iter().map(ToString::to_string).collect::<Vec<_>>(), ["choices[].finish_reason=emulated"]);
}

#[test]
fn a_refusal_keeps_its_words_and_is_no_plain_stop() {
    let refused = vec![Content::Refusal("No.".to_owned()).into()];
    let (body, _) = written(&answer(refused, FinishReason::Stop));
    assert_eq!(body["choices"][0]["message"]["refusal"], "No.");
    assert_eq!(body["choices"][0]["finish_reason"], "content_filter");
    let (body, _) = written(&answer(vec![Part::text("I")], FinishReason::Refusal(Some("Policy.".to_owned()))));
    assert_eq!(body["choices"][0]["message"]["refusal"], "Policy.");
    assert_eq!(body["choices"][0]["message"]["content"], "I");
}

#[test]
fn what_failed_or_never_ended_is_an_error_body() {
    let failed = written(&answer(vec![Part::text("a")], FinishReason::Failed("MALFORMED".to_owned()))).0;
    assert!(failed["error"]["message"].as_str().unwrap().contains("MALFORMED"));
    assert_eq!(failed.get("choices"), None);
    let endless = Response { choices: vec![Choice::default()], ..Response::default() };
    for response in [endless, Response::default()] {
        assert_eq!(written(&response).0["error"]["type"], "server_error");
    }
}

#[test]
fn citations_point_into_the_joined_text_and_what_cannot_be_said_is_a_loss() {
    let cited = |text: &str, url: Option<&str>| {
        let citation = Citation { url: url.map(str::to_owned), start: Some(0), end: Some(1), ..Citation::default() };
        Content::Text(crate::chat::Text { text: text.to_owned(), citations: vec![citation] }).into()
    };
    let opaque = Content::Opaque { dialect: Dialect::Anthropic, kind: "server_tool_use".into(), value: Value::Null };
    let parts = vec![Part::text("é, "), cited("b", Some("https://b")), cited("c", None), opaque.into()];
    let (body, losses) = written(&answer(parts, FinishReason::Stop));
    let message = &body["choices"][0]["message"];
    assert_eq!(message["content"], "é, bc");
    let citation = json!({"start_index": 3, "end_index": 4, "title": "https://b", "url": "https://b"});
    assert_eq!(message["annotations"], json!([{"type": "url_citation", "url_citation": citation}]));
    let lost: Vec<_> = losses.iter().map(ToString::to_string).collect();
    assert_eq!(lost, ["choices[].message.annotations=dropped", "choices[].message.content[].server_tool_use=dropped"]);
}
