use super::*;

macro_rules! golden {
    ($case:literal) => {
        include_bytes!(concat!("../../../tests/golden/chat/openai_responses/", $case, ".response.json"))
    };
}

fn read(body: &[u8]) -> Response {
    match decode(body).unwrap() {
        Decoded::Response(response) => response,
        Decoded::Error(error) => panic!("{error:?}"),
    }
}

fn finish(body: &[u8]) -> FinishReason {
    read(body).choices[0].finish.clone().unwrap()
}

fn failure(body: &[u8]) -> RemoteError {
    match decode(body).unwrap() {
        Decoded::Error(error) => error,
        Decoded::Response(response) => panic!("{response:?}"),
    }
}

#[test]
fn a_text_answer_is_read_whole() {
    let response = read(golden!("text"));
    assert_eq!(response.id.as_deref(), Some("resp_0d2f6a7c"));
    assert_eq!(response.model.as_deref(), Some("gpt-5.6-terra-2026-10-01"));
    assert_eq!((response.created, response.service_tier.as_deref()), (Some(1_795_000_000), Some("default")));
    assert_eq!(response.choices[0].parts, [Part::text("Hello there.")]);
    assert_eq!(response.choices[0].finish, Some(FinishReason::Stop));
}

#[test]
fn totals_include_the_cache() {
    let expected = Usage {
        input: Some(2400),
        output: Some(4),
        cache_read: Some(2048),
        cache_write: Some(256),
        cache_write_1h: None,
        reasoning: Some(0),
        served: Some(Served::Standard),
        ..Usage::default()
    };
    assert_eq!(read(golden!("usage_cached")).usage, Some(expected));
}

#[test]
fn every_end_is_told_apart() {
    assert_eq!(finish(golden!("parallel_tools")), FinishReason::ToolCalls);
    assert_eq!(finish(golden!("refusal")), FinishReason::Refusal(None));
    assert_eq!(finish(golden!("length")), FinishReason::Length);
    assert_eq!(finish(golden!("content_filter")), FinishReason::ContentFilter);
    let steered = br#"{"status":"incomplete","incomplete_details":{"reason":"steered"},"output":[]}"#;
    assert_eq!(finish(steered), FinishReason::Failed("steered".into()));
    assert_eq!(read(br#"{"status":"queued","output":[]}"#).choices[0].finish, None);
}

#[test]
fn reasoning_keeps_its_seal_and_its_paragraphs() {
    let response = read(golden!("thinking"));
    let part = &response.choices[0].parts[0];
    assert_eq!(
        part.content,
        Content::Reasoning(Reasoning {
            text: "391 = 17 · 23.\n\nSo it is not prime.".into(),
            redacted: false,
            id: Some("rs_1".into())
        })
    );
    let seal = part.signature.as_ref().unwrap();
    assert_eq!((seal.dialect, seal.seal.as_str()), (Dialect::OpenaiResponses, "gAAAAABreasoning"));
}

#[test]
fn calls_sources_and_hosted_items_keep_their_order() {
    let response = read(golden!("parallel_tools"));
    let [text, first, second] = &response.choices[0].parts[..] else { panic!("{response:?}") };
    assert_eq!(*text, Part::text("I'll look up both."));
    assert!(
        matches!(&first.content, Content::ToolCall(call) if call.id == "call_Z1" && call.arguments == r#"{"city":"Paris"}"#)
    );
    assert!(matches!(&second.content, Content::ToolCall(call) if call.id == "call_Z2"));

    let response = read(golden!("web_search"));
    let [search, text] = &response.choices[0].parts[..] else { panic!("{response:?}") };
    assert!(matches!(&search.content, Content::Opaque { kind, .. } if kind == "web_search_call"));
    let Content::Text(text) = &text.content else { panic!("no text") };
    assert_eq!((text.citations[0].url.as_deref(), text.citations[0].end), (Some("https://example.com/"), Some(12)));
    assert_eq!(response.choices[0].finish, Some(FinishReason::Stop));
}

#[test]
fn log_probabilities_are_put_in_chats_words() {
    let logprobs = read(golden!("logprobs")).choices[0].logprobs.clone().unwrap();
    assert_eq!(logprobs["content"][0]["token"], "Hello");
}

#[test]
fn errors_of_every_dress_are_errors() {
    assert_eq!(failure(golden!("error")).code.as_deref(), Some("context_length_exceeded"));
    let failed = br#"{"status":"failed","error":{"code":"rate_limit_exceeded","message":"slow"},"output":[]}"#;
    assert_eq!(failure(failed).message, "slow");
    assert_eq!(failure(br#"{"status":"cancelled","output":[]}"#).code.as_deref(), Some("cancelled"));
    assert_eq!(failure(br#"{"code":"x","error":"no model"}"#).message, "no model");
    assert_eq!(failure(br#"{"detail":"bad"}"#).message, "bad");
}

#[test]
fn other_json_is_no_answer() {
    assert!(decode(b"{}").is_err());
    assert!(decode(b"<html>").is_err());
    assert!(decode(br#"{"output":[{"no":"type"}]}"#).is_err());
}

#[test]
fn absurd_counts_break_nothing() {
    let usage = serde_json::json!({"input_tokens": -4, "output_tokens": "many", "input_tokens_details": null});
    assert_eq!(super::usage(&usage), Some(Usage::default()));
    assert_eq!(super::usage(&Value::Null), None);
}
