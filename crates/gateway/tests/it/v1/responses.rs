//! `POST /v1/responses`.

use waypost_testkit::{Upstream, fixtures};

use super::{RESPONSE, as_anthropic, not_json, openai, openai_error, refused};
use crate::harness::{Gateway, channel};

const PATH: &str = "/v1/responses";

#[tokio::test]
async fn a_response_is_relayed_byte_for_byte() {
    let (upstream, gateway) = openai().await;
    let answer = gateway.post(PATH, RESPONSE).await;
    assert_eq!((answer.status, answer.text()), (200, fixtures::openai_responses::PLAIN));
    assert_eq!((upstream.last().path(), upstream.last().text()), ("/v1/responses", RESPONSE));
}

#[tokio::test]
async fn bad_responses_requests_are_refused_by_name_000_13() {
    let (upstream, gateway) = openai().await;
    let cases = [
        ("{}", "model"),
        (r#"{"model":"m"}"#, "input"),
        (r#"{"model":"m","input":[]}"#, "input"),
        (r#"{"model":"m","input":7}"#, "input"),
        (r#"{"model":"m","input":["a"]}"#, "input[0]"),
        (r#"{"model":"m","input":[{"role":"robot","content":"a"}]}"#, "input[0].role"),
        (r#"{"model":"m","input":[{"role":"user"}]}"#, "input[0].content"),
        (r#"{"model":"m","input":[{"role":"user","content":7}]}"#, "input[0].content"),
        (r#"{"model":"m","input":"a","temperature":9}"#, "temperature"),
        (r#"{"model":"m","input":"a","max_output_tokens":0}"#, "max_output_tokens"),
        (r#"{"model":"m","input":"a","stream":"yes"}"#, "stream"),
        (r#"{"model":"m","input":"a","tools":{}}"#, "tools"),
        (r#"{"model":"m","input":"a","tools":[{}]}"#, "tools[0].type"),
        (r#"{"model":"m","input":"a","tool_choice":"any"}"#, "tool_choice"),
        (r#"{"model":"m","input":"a","instructions":7}"#, "instructions"),
        (r#"{"model":"m","model":"n","input":"a"}"#, "model"),
    ];
    refused(&gateway, &upstream, PATH, &cases).await;
    for body in not_json() {
        openai_error(&gateway.post(PATH, body).await, 400);
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn a_translated_answer_is_a_response_object_000_14() {
    let upstream = Upstream::by(as_anthropic).await;
    let gateway = Gateway::with_channels(&channel("claude", "anthropic", &upstream.url(), "[gpt-4o]")).await;

    let json = gateway.post(PATH, RESPONSE).await.json();

    assert_eq!((json["object"].as_str(), json["status"].as_str()), (Some("response"), Some("completed")));
    assert_eq!(json["output"][0]["content"][0]["text"], "Hello! How can I help you today?");
    assert_eq!(json["usage"]["input_tokens"].as_u64(), Some(1036));
}

#[tokio::test]
async fn what_only_openai_stores_cannot_be_asked_of_another_provider() {
    let upstream = Upstream::start(vec![]).await;
    let gateway = Gateway::with_channels(&channel("claude", "anthropic", &upstream.url(), "[gpt-4o]")).await;
    let answer = gateway.post(PATH, r#"{"model":"gpt-4o","input":"a","previous_response_id":"resp_1"}"#).await;
    assert_eq!(openai_error(&answer, 400)["param"], "previous_response_id");
    assert_eq!(upstream.hits(), 0);
}
