//! `POST /v1/messages`.

use waypost_testkit::{Request, Upstream, fixtures};

use super::{MESSAGE, anthropic, anthropic_error, as_openai, not_json};
use crate::harness::{Gateway, KEY, channel};

const PATH: &str = "/v1/messages";

#[tokio::test]
async fn a_message_is_relayed_byte_for_byte_with_the_callers_version() {
    let (upstream, gateway) = anthropic().await;
    let body =
        r#"{"x_foo":1, "model":"claude-sonnet-4-5","max_tokens":64,"messages":[{"role":"user","content":"Hi"}]}"#;
    let request = Request::post(PATH, body).header("x-api-key", KEY).header("anthropic-version", "2026-10-21");
    let request = request.header("anthropic-beta", "context-1m-2025-08-07");

    let answer = request.send(gateway.url()).await;

    assert_eq!((answer.status, answer.text()), (200, fixtures::anthropic::PLAIN));
    let seen = upstream.last();
    assert_eq!((seen.path(), seen.text()), ("/v1/messages", body));
    assert_eq!(seen.headers.all("anthropic-version").collect::<Vec<_>>(), ["2026-10-21"]);
    assert_eq!(seen.header("anthropic-beta"), Some("context-1m-2025-08-07"));
    assert_eq!(seen.headers.all("x-api-key").collect::<Vec<_>>(), ["sk-claude"]);
    assert_eq!(seen.header("authorization"), None);
}

#[tokio::test]
async fn bad_messages_requests_are_refused_in_anthropics_words_000_13() {
    let (upstream, gateway) = anthropic().await;
    let cases = [
        ("{}", "model"),
        (r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#, "max_tokens"),
        (r#"{"model":"m","max_tokens":5}"#, "messages"),
        (r#"{"model":"m","max_tokens":5,"messages":[]}"#, "messages"),
        (r#"{"model":"m","max_tokens":-1,"messages":[{"role":"user","content":"x"}]}"#, "max_tokens"),
        (r#"{"model":"m","max_tokens":5,"messages":[{"role":"tool","content":"x"}]}"#, "messages[0].role"),
        (r#"{"model":"m","max_tokens":5,"messages":[{"role":"user"}]}"#, "messages[0].content"),
        (r#"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{}]}]}"#, "messages[0].content[0].type"),
        (r#"{"model":"m","max_tokens":5,"temperature":9,"messages":[{"role":"user","content":"x"}]}"#, "temperature"),
        (r#"{"model":"m","max_tokens":5,"stream":"yes","messages":[{"role":"user","content":"x"}]}"#, "stream"),
        (r#"{"model":"m","max_tokens":5,"tools":{},"messages":[{"role":"user","content":"x"}]}"#, "tools"),
        (
            r#"{"model":"m","max_tokens":5,"stop_sequences":"x","messages":[{"role":"user","content":"x"}]}"#,
            "stop_sequences",
        ),
    ];
    for (body, param) in cases {
        let error = anthropic_error(&gateway.post(PATH, body).await, 400);
        assert_eq!(error["type"], "invalid_request_error", "{body}");
        // Anthropic's errors have no `param`: the sentence names the field.
        assert!(error["message"].as_str().unwrap().contains(&format!("`{param}`")), "{body}: {error}");
    }
    for body in not_json() {
        anthropic_error(&gateway.post(PATH, body).await, 400);
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn a_translated_answer_is_a_message_000_14() {
    let upstream = Upstream::by(as_openai).await;
    let gateway = Gateway::with_channels(&channel("main", "openai", &upstream.url(), "[claude-sonnet-4-5]")).await;

    let answer = gateway.post(PATH, MESSAGE).await;

    let json = answer.json();
    assert_eq!((json["type"].as_str(), json["role"].as_str()), (Some("message"), Some("assistant")));
    assert_eq!(json["model"], "claude-sonnet-4-5");
    assert_eq!(json["content"][0]["text"], "Hello! How can I assist you today?");
    assert_eq!(json["stop_reason"], "end_turn");
    assert_eq!((json["usage"]["input_tokens"].as_u64(), json["usage"]["output_tokens"].as_u64()), (Some(19), Some(10)));
    assert!(answer.header("request-id").is_some_and(|id| Some(id) == answer.header("x-request-id")));
}
