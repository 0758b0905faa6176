//! `POST /v1/completions`, the legacy one.

use waypost_testkit::{Script, Upstream, fixtures};

use super::{COMPLETION, not_json, openai, openai_error, refused};
use crate::harness::{Gateway, channel};

const PATH: &str = "/v1/completions";

#[tokio::test]
async fn a_completion_is_relayed_byte_for_byte_002_02() {
    let (upstream, gateway) = openai().await;
    let answer = gateway.post(PATH, COMPLETION).await;
    assert_eq!((answer.status, answer.text()), (200, fixtures::openai::COMPLETION));
    assert_eq!((upstream.last().path(), upstream.last().text()), ("/v1/completions", COMPLETION));
}

#[tokio::test]
async fn bad_completion_requests_are_refused_by_name_000_11() {
    let (upstream, gateway) = openai().await;
    let cases = [
        ("{}", "model"),
        (r#"{"model":"m"}"#, "prompt"),
        (r#"{"model":"m","prompt":null}"#, "prompt"),
        (r#"{"model":"m","prompt":[]}"#, "prompt"),
        (r#"{"model":"m","prompt":{}}"#, "prompt"),
        (r#"{"model":"m","prompt":["a",1]}"#, "prompt"),
        (r#"{"model":"m","prompt":"a","n":0}"#, "n"),
        (r#"{"model":"m","prompt":"a","best_of":21}"#, "best_of"),
        (r#"{"model":"m","prompt":"a","temperature":9}"#, "temperature"),
        (r#"{"model":"m","prompt":"a","max_tokens":-1}"#, "max_tokens"),
        (r#"{"model":"m","prompt":"a","logprobs":6}"#, "logprobs"),
        (r#"{"model":"m","prompt":"a","stream":"yes"}"#, "stream"),
        (r#"{"model":"m","prompt":"a","stop":["1","2","3","4","5"]}"#, "stop"),
        (r#"{"model":"m","prompt":"a","echo":"no"}"#, "echo"),
        (r#"{"model":"m","prompt":"a","prompt":"b"}"#, "prompt"),
    ];
    refused(&gateway, &upstream, PATH, &cases).await;
    for body in not_json() {
        openai_error(&gateway.post(PATH, body).await, 400);
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn an_upstream_name_is_spliced_in_and_hidden_again_002_16() {
    let upstream = Upstream::always(Script::reply(200, fixtures::openai::COMPLETION)).await;
    let models = "[{name: instruct, upstream: gpt-3.5-turbo-instruct}]";
    let gateway = Gateway::with_channels(&channel("main", "openai", &upstream.url(), models)).await;

    let answer = gateway.post(PATH, r#"{"prompt":"a", "model" : "instruct" ,"x":1}"#).await;

    assert_eq!(upstream.last().text(), r#"{"prompt":"a", "model" : "gpt-3.5-turbo-instruct" ,"x":1}"#);
    let expected = fixtures::openai::COMPLETION.replace("gpt-3.5-turbo-instruct:20230824-v2", "instruct");
    assert_eq!(answer.text(), expected);
}
