//! `POST /v1/messages/count_tokens`: relayed to who can count, counted here for the others.

use waypost_testkit::Upstream;

use super::{anthropic, anthropic_error};
use crate::harness::{Gateway, channel};

const PATH: &str = "/v1/messages/count_tokens";
const BODY: &str = r#"{"model":"claude-sonnet-4-5","messages":[{"role":"user","content":"Hello, world"}]}"#;

#[tokio::test]
async fn an_anthropic_account_counts_for_itself() {
    let (upstream, gateway) = anthropic().await;
    for path in [PATH, "/v1/anthropic/messages/count_tokens", "/v1/anthropic/v1/messages/count_tokens"] {
        let answer = gateway.post(path, BODY).await;
        assert_eq!((answer.status, answer.text()), (200, r#"{"input_tokens":2095}"#));
    }
    assert_eq!((upstream.last().path(), upstream.last().text()), (PATH, BODY));
}

#[tokio::test]
async fn for_other_providers_the_built_in_tokenizer_counts() {
    let upstream = Upstream::start(vec![]).await;
    let gateway = Gateway::with_channels(&channel("main", "openai", &upstream.url(), "[claude-sonnet-4-5]")).await;

    let answer = gateway.post(PATH, BODY).await;

    assert_eq!((answer.status, answer.header("x-waypost-cost-basis")), (200, Some("counted")));
    let few = answer.json()["input_tokens"].as_u64().unwrap();
    assert!((3..20).contains(&few), "{few}");
    let longer = gateway.post(PATH, BODY.replace("Hello", &"Hello ".repeat(50))).await;
    assert_eq!(longer.json()["input_tokens"].as_u64().unwrap() - few, 49, "{}", longer.text());
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn a_request_that_cannot_be_counted_is_refused_000_13() {
    let (upstream, gateway) = anthropic().await;
    for body in ["", "{}", r#"{"model":"m"}"#, r#"{"model":"m","messages":[]}"#, r#"{"model":"m","messages":7}"#] {
        assert_eq!(anthropic_error(&gateway.post(PATH, body).await, 400)["type"], "invalid_request_error");
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn an_unknown_model_is_not_counted_000_38() {
    let upstream = Upstream::start(vec![]).await;
    let gateway = Gateway::with_channels(&channel("main", "openai", &upstream.url(), "[gpt-4o]")).await;
    assert_eq!(anthropic_error(&gateway.post(PATH, BODY).await, 404)["type"], "not_found_error");
}
