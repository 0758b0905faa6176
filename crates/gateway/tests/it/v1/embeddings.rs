//! `POST /v1/embeddings`.

use waypost_testkit::{Script, Upstream, fixtures};

use super::{EMBEDDING, not_json, openai, openai_error, refused};
use crate::harness::{Gateway, channel};

const PATH: &str = "/v1/embeddings";

#[tokio::test]
async fn embeddings_are_relayed_byte_for_byte_002_03() {
    let (upstream, gateway) = openai().await;
    let answer = gateway.post(PATH, EMBEDDING).await;
    assert_eq!((answer.status, answer.text()), (200, fixtures::openai::EMBEDDINGS));
    assert_eq!((upstream.last().path(), upstream.last().text()), ("/v1/embeddings", EMBEDDING));
}

#[tokio::test]
async fn bad_embedding_requests_are_refused_by_name_000_13() {
    let (upstream, gateway) = openai().await;
    let cases = [
        ("{}", "model"),
        (r#"{"input":"a"}"#, "model"),
        (r#"{"model":"m"}"#, "input"),
        (r#"{"model":"m","input":null}"#, "input"),
        (r#"{"model":"m","input":""}"#, "input"),
        (r#"{"model":"m","input":[]}"#, "input"),
        (r#"{"model":"m","input":7}"#, "input"),
        (r#"{"model":"m","input":[[1],[]]}"#, "input[1]"),
        (r#"{"model":"m","input":[1,-1]}"#, "input[1]"),
        (r#"{"model":"m","input":"a","encoding_format":"int8"}"#, "encoding_format"),
        (r#"{"model":"m","input":"a","dimensions":0}"#, "dimensions"),
        (r#"{"model":"m","input":"a","dimensions":"8"}"#, "dimensions"),
        (r#"{"model":"m","input":"a","user":[]}"#, "user"),
    ];
    refused(&gateway, &upstream, PATH, &cases).await;
    for body in not_json() {
        openai_error(&gateway.post(PATH, body).await, 400);
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn vectors_in_base64_and_odd_numbers_are_not_touched() {
    let upstream = Upstream::always(Script::reply(200, fixtures::openai::EMBEDDINGS_BASE64)).await;
    let gateway = Gateway::with_channels(&channel("main", "openai", &upstream.url(), "['*']")).await;
    let answer = gateway.post(PATH, r#"{"model":"m","input":[[1,2]],"encoding_format":"base64"}"#).await;
    assert_eq!(answer.text(), fixtures::openai::EMBEDDINGS_BASE64);
}

#[tokio::test]
async fn a_channel_that_cannot_embed_is_no_deployment_000_41() {
    let upstream = Upstream::start(vec![]).await;
    let gateway = Gateway::with_channels(&channel("claude", "anthropic", &upstream.url(), "[claude-sonnet-4-5]")).await;
    let answer = gateway.post(PATH, r#"{"model":"claude-sonnet-4-5","input":"a"}"#).await;
    assert_eq!(openai_error(&answer, 503)["code"], "upstream_unavailable");
    assert_eq!(upstream.hits(), 0);
}
