//! `POST /v1/chat/completions/estimate`: what a request would cost, without sending one.

use serde_json::{Value, json};
use waypost_core::money::NanoUsd;
use waypost_testkit::{Request, Upstream};

use super::openai_error;
use crate::harness::{Gateway, KEY, channel};

const PATH: &str = "/v1/chat/completions/estimate";
const BODY: &str = r#"{"model":"gpt-4o","max_tokens":100,"messages":[{"role":"user","content":"hello world"}]}"#;

/// Two accounts that serve the model, the second of which has a price of its own.
async fn gateway(upstream: &Upstream, more: &str) -> Gateway {
    let channels = [
        channel("main", "openai", &upstream.url(), "[gpt-4o]"),
        channel("relay", "openai_compatible", &upstream.url(), "[gpt-4o, free]"),
    ];
    Gateway::start(&format!(
        "keys: [{{name: test, key: {KEY}}}]\nrouting: {{strategy: priority}}\nprices: [{{channel: relay, model: gpt-4o, input: 1, output: 4, effective_from: 2026-01-01}}]\n{more}\nchannels:\n{}\n",
        channels.join("\n")
    ))
    .await
}

fn candidate<'a>(estimate: &'a Value, deployment: &str) -> &'a Value {
    let candidates = estimate["candidates"].as_array().unwrap();
    candidates.iter().find(|one| one["deployment"] == deployment).unwrap()
}

#[tokio::test]
async fn each_deployment_is_estimated_at_its_own_price_and_nothing_is_sent() {
    let upstream = Upstream::start(vec![]).await;
    let mut gateway = gateway(&upstream, "").await;

    let answer = gateway.post(PATH, BODY).await;

    assert_eq!(answer.status, 200, "{}", answer.text());
    let estimate = answer.json();
    // Two words, three tokens around the message and three before the answer.
    assert_eq!(
        (&estimate["input_tokens"], &estimate["currency"], &estimate["n"]),
        (&json!(8), &json!("USD"), &json!(1))
    );
    let main = candidate(&estimate, "main/gpt-4o");
    assert_eq!(main["output_tokens_at_most"], 100);
    assert_eq!(main["input_tokens_at_most"], BODY.len());
    // 8 x 1.25; 8 x 2.5 + 100 x 10; bytes x 2.5 + 100 x 10, in millionths.
    assert_eq!((&main["cost"]["lowest"], &main["cost"]["expected"]), (&json!("0.00001"), &json!("0.00102")));
    // The request leaves it to the provider how it is served, and priority costs 1.7 times as much.
    let worst = NanoUsd((BODY.len() as i64 * 2500 + 1_000_000) * 17 / 10);
    assert_eq!(main["cost"]["worst"], worst.to_string());
    assert_eq!(main["cost"]["arithmetic"], "8 input at 2.5 + 100 output at 10 USD/1M = 0.00102 USD");
    assert_eq!(main["price"]["origin"], "embedded");
    let relay = candidate(&estimate, "relay/gpt-4o");
    assert_eq!((&relay["cost"]["expected"], &relay["price"]["origin"]), (&json!("0.000408"), &json!("file")));
    let id = relay["price"]["version"].as_str().unwrap();
    assert!(id.starts_with("file:relay/gpt-4o@1767225600#"), "{id}");
    assert_eq!(upstream.hits(), 0);
    gateway.assert_no_record();
}

#[tokio::test]
async fn without_a_cap_the_model_s_own_is_taken_and_every_answer_is_counted() {
    let upstream = Upstream::start(vec![]).await;
    let gateway = gateway(&upstream, "pricing: {output_cap: 1000}").await;
    let body = r#"{"model":"gpt-4o","n":2,"messages":[{"role":"user","content":"hello world"}]}"#;
    let estimate = gateway.post(PATH, body).await.json();
    let main = candidate(&estimate, "main/gpt-4o");
    assert_eq!(main["output_tokens_at_most"], 1000);
    // 8 x 2.5 + 2 x 256 x 10.
    assert_eq!(main["cost"]["expected"], "0.00514");
    let many = body.replace("\"n\":2", "\"max_tokens\":100000");
    let estimate = gateway.post(PATH, many).await.json();
    assert_eq!(candidate(&estimate, "main/gpt-4o")["output_tokens_at_most"], 16_384);
}

#[tokio::test]
async fn a_model_without_a_price_has_no_amount_rather_than_zero() {
    let upstream = Upstream::start(vec![]).await;
    let body = BODY.replace("gpt-4o", "free");
    let told = |gateway: Gateway, body: String| async move {
        let estimate = gateway.post(PATH, body).await.json();
        candidate(&estimate, "relay/free").clone()
    };
    let unknown = told(gateway(&upstream, "").await, body.clone()).await;
    assert_eq!((&unknown["cost"], &unknown["price"]), (&Value::Null, &Value::Null));
    let ceiling = "pricing: {unknown: ceiling, ceiling: {input: 100, output: 100}}";
    let known = told(gateway(&upstream, ceiling).await, body).await;
    assert_eq!((&known["cost"]["expected"], &known["price"]["origin"]), (&json!("0.0108"), &json!("ceiling")));
}

#[tokio::test]
async fn the_simulator_shows_money_without_a_key() {
    let gateway =
        Gateway::start(&format!("keys: [{{name: test, key: {KEY}}}]\nchannels: [{{name: sim, provider: simulator}}]"))
            .await;
    let estimate = gateway.post(PATH, BODY.replace("gpt-4o", "sim/chat")).await.json();
    assert_eq!(candidate(&estimate, "sim/sim/chat")["cost"]["expected"], "0.000208");
}

#[tokio::test]
async fn what_could_not_be_asked_cannot_be_estimated() {
    let upstream = Upstream::start(vec![]).await;
    let gateway = gateway(&upstream, "").await;
    assert_eq!(openai_error(&gateway.post(PATH, "{}").await, 400)["param"], "model");
    assert_eq!(openai_error(&gateway.post(PATH, BODY.replace("gpt-4o", "nope")).await, 404)["code"], "model_not_found");
    let stranger = Request::post(PATH, BODY).bearer("wp-wrong-key-000000000").send(gateway.url()).await;
    assert_eq!(openai_error(&stranger, 401)["code"], "invalid_api_key");
    let wrong = gateway.get(PATH).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
    assert_eq!(upstream.hits(), 0);
}
