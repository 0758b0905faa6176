//! The endpoints as callers see them, over real sockets: one file per URL, and one each for errors, routes and relayed paths.
//!
//! Here: sound requests, upstreams that answer them with recorded bytes, and what an error must look like.

mod chat_completions;
mod completions;
mod count_tokens;
mod embeddings;
mod errors;
mod estimate;
mod health;
mod messages;
mod models;
mod pass_through;
mod responses;
mod routes;
mod streaming;

use serde_json::Value;
use waypost_testkit::{Answer, Recorded, Script, Upstream, fixtures};

use crate::harness::{Gateway, channel};

const CHAT: &str = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Hello"}]}"#;
const RESPONSE: &str = r#"{"model":"gpt-4o","input":"Hello"}"#;
const COMPLETION: &str = r#"{"model":"gpt-3.5-turbo-instruct","prompt":"Say this is a test"}"#;
const EMBEDDING: &str = r#"{"model":"text-embedding-3-small","input":"Hello"}"#;
const MESSAGE: &str = r#"{"model":"claude-sonnet-4-5","max_tokens":64,"messages":[{"role":"user","content":"Hello"}]}"#;

/// An OpenAI account that serves every model name, and a gateway in front of it.
async fn openai() -> (Upstream, Gateway) {
    let upstream = Upstream::by(as_openai).await;
    let gateway = Gateway::with_channels(&channel("main", "openai", &upstream.url(), "['*']")).await;
    (upstream, gateway)
}

/// An Anthropic account that serves every model name, and a gateway in front of it.
async fn anthropic() -> (Upstream, Gateway) {
    let upstream = Upstream::by(as_anthropic).await;
    let gateway = Gateway::with_channels(&channel("claude", "anthropic", &upstream.url(), "['*']")).await;
    (upstream, gateway)
}

fn as_openai(request: &Recorded) -> Script {
    let streams = request.text().contains(r#""stream":true"#);
    match (request.path(), streams) {
        ("/v1/chat/completions", true) => Script::stream(fixtures::events(fixtures::openai_chat::STREAM_USAGE)),
        ("/v1/chat/completions", false) => Script::reply(200, fixtures::openai_chat::PLAIN),
        ("/v1/responses", true) => Script::stream(fixtures::events(fixtures::openai_responses::STREAM)),
        ("/v1/responses", false) => Script::reply(200, fixtures::openai_responses::PLAIN),
        ("/v1/completions", true) => Script::stream(fixtures::events(fixtures::openai::COMPLETION_STREAM)),
        ("/v1/completions", false) => Script::reply(200, fixtures::openai::COMPLETION),
        ("/v1/embeddings", _) => Script::reply(200, fixtures::openai::EMBEDDINGS),
        _ => Script::reply(
            404,
            r#"{"error":{"message":"Unknown request URL","type":"invalid_request_error","param":null,"code":"unknown_url"}}"#,
        ),
    }
}

fn as_anthropic(request: &Recorded) -> Script {
    match (request.path(), request.text().contains(r#""stream":true"#)) {
        ("/v1/messages", true) => Script::stream(fixtures::events(fixtures::anthropic::STREAM)),
        ("/v1/messages", false) => Script::reply(200, fixtures::anthropic::PLAIN),
        ("/v1/messages/count_tokens", _) => Script::reply(200, r#"{"input_tokens":2095}"#),
        _ => Script::reply(404, r#"{"type":"error","error":{"type":"not_found_error","message":"Not found"}}"#),
    }
}

/// The error object of an OpenAI answer: all four keys, no other, in a JSON body that a request id belongs to.
#[track_caller]
fn openai_error(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.header("x-request-id").is_some_and(|id| !id.is_empty()));
    let body = answer.json();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&body), ["error"]);
    let error = body["error"].clone();
    let mut found = keys(&error);
    found.sort();
    assert_eq!(found, ["code", "message", "param", "type"]);
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
    assert!(error["type"].is_string());
    error
}

/// The error object of an Anthropic answer, with the request's id beside it and in both headers.
#[track_caller]
fn anthropic_error(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let body = answer.json();
    assert_eq!(body["type"], "error");
    assert_eq!(body["request_id"].as_str(), answer.header("request-id"));
    assert_eq!(answer.header("x-request-id"), answer.header("request-id"));
    assert!(body["error"]["type"].is_string() && body["error"]["message"].is_string());
    body["error"].clone()
}

/// Every body is refused with a 400 that blames `param` (empty: none), and the upstream hears of none of them.
async fn refused(gateway: &Gateway, upstream: &Upstream, path: &str, cases: &[(&str, &str)]) {
    for (body, param) in cases {
        let answer = gateway.post(path, (*body).to_owned()).await;
        let error = openai_error(&answer, 400);
        assert_eq!(error["param"].as_str().unwrap_or_default(), *param, "{path} {body} -> {error}");
        assert_eq!(error["type"], "invalid_request_error");
    }
    assert_eq!(upstream.hits(), 0, "{path}");
}

/// Bodies that are no JSON document, or none that is safe to read.
fn not_json() -> Vec<Vec<u8>> {
    let deep = |open: &str, close: &str| format!(r#"{{"x":{}1{}}}"#, open.repeat(200), close.repeat(200)).into_bytes();
    vec![
        b"".to_vec(),
        b"   ".to_vec(),
        b"hello".to_vec(),
        b"{".to_vec(),
        br#"{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]"#.to_vec(),
        br#"{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]} trailing"#.to_vec(),
        br#"{"model":"gpt-4o"}{"model":"gpt-4o"}"#.to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        br#"{"temperature":NaN}"#.to_vec(),
        br#"{"temperature":Infinity}"#.to_vec(),
        br#"{"n":01}"#.to_vec(),
        br#"{'model':'gpt-4o'}"#.to_vec(),
        b"{\"model\":\"gpt\xff-4o\"}".to_vec(),
        br#"{"model":"\ud800"}"#.to_vec(),
        b"{\"user\":\"a\nb\"}".to_vec(),
        deep("[", "]"),
        deep(r#"{"a":"#, "}"),
    ]
}
