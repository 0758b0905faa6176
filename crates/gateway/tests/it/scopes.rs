//! What a key may be used for: endpoints, addresses, time. And whom the gateway believes where a caller is.

use serde_json::json;
use waypost_testkit::{Answer, Request, Script, Upstream, fixtures};

use crate::harness::Gateway;

const CHAT: &str = "/v1/chat/completions";
const ASK: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello!"}]}"#;
const KEY: &str = "wp-key-a-0123456789abcdef";

async fn gateway(settings: &str, scopes: &str) -> (Gateway, Upstream) {
    let upstream = Upstream::by(|request| {
        let embeds = request.path_and_query.contains("embeddings");
        let body = if embeds { fixtures::openai::EMBEDDINGS } else { fixtures::openai_chat::PLAIN };
        Script::reply(200, body)
    })
    .await;
    let yaml = format!(
        "{settings}\nkeys: [{{name: a, key: {KEY}, {scopes}}}]\nchannels:\n\
         - {{name: o, provider: openai, base_url: '{}/v1', api_key: sk-1, models: [m], default: true}}\n",
        upstream.url()
    );
    (Gateway::start(&yaml).await, upstream)
}

async fn post(gateway: &Gateway, path: &str, body: &str) -> Answer {
    Request::post(path, body.to_owned()).bearer(KEY).send(gateway.url()).await
}

#[tokio::test]
async fn a_key_limited_to_embeddings_cannot_chat_whatever_the_path_002_49() {
    let (gateway, upstream) = gateway("", "endpoints: [embeddings]").await;
    let chat = post(&gateway, CHAT, ASK).await;
    let error = chat.json()["error"].clone();
    assert_eq!((chat.status, error["code"].as_str()), (403, Some("not_allowed")));
    assert!(error["message"].as_str().unwrap().contains("limited to `embeddings`"), "{error}");
    let messages = r#"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hi"}]}"#;
    for (path, body) in [
        ("/v1/chat/completions/x", ASK),
        ("/v1/openai/chat/completions", ASK),
        ("/v1/responses", r#"{"model":"m","input":"Hi"}"#),
        ("/v1/messages", messages),
        ("/v1/anthropic/v1/messages", messages),
        ("/v1/messages/count_tokens", messages),
        ("/v1/completions", r#"{"model":"m","prompt":"Hi"}"#),
        ("/v1/images/generations", r#"{"model":"m","prompt":"Hi"}"#),
        // Refused before its body is looked at.
        ("/v1/files", "nonsense"),
    ] {
        let answer = post(&gateway, path, body).await;
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
    }
    for path in ["/v1/Chat/completions", "/v1/chat/complet%69ons", "/v1/openai/messages", "/v1/m%65ssages"] {
        assert_eq!(post(&gateway, path, messages).await.status, 404, "{path}");
    }
    assert_eq!(upstream.hits(), 0);
    let embeddings = post(&gateway, "/v1/embeddings", r#"{"model":"m","input":"Hi"}"#).await;
    assert_eq!(embeddings.status, 200, "{}", embeddings.text());
    assert_eq!(Request::get("/v1/models").bearer(KEY).send(gateway.url()).await.status, 200);
}

#[tokio::test]
async fn a_key_whose_time_is_over_is_refused_and_says_so() {
    let (expired, _upstream) = gateway("", "expires_at: 2020-01-31").await;
    let answer = post(&expired, CHAT, ASK).await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (401, Some("key_expired")));
    let (valid, _upstream) = gateway("", "expires_at: 2999-01-31").await;
    assert_eq!(post(&valid, CHAT, ASK).await.status, 200);
}

#[tokio::test]
async fn a_key_is_used_only_from_where_it_may_be_and_only_trusted_proxies_are_believed() {
    let from = |gateway: &Gateway, header: &'static str, value: &'static str| {
        let url = gateway.url().to_owned();
        async move { Request::post(CHAT, ASK).bearer(KEY).header(header, value).send(&url).await }
    };
    let (direct, _upstream) = gateway("", "addresses: [127.0.0.0/8]").await;
    assert_eq!(post(&direct, CHAT, ASK).await.status, 200);
    let (elsewhere, upstream) = gateway("", "addresses: [10.0.0.0/8]").await;
    let answer = from(&elsewhere, "x-forwarded-for", "10.1.1.1").await;
    assert_eq!(answer.status, 403, "a header of a caller's own making opened the door");
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("127.0.0.1"), "{}", answer.text());
    assert_eq!(Request::get("/v1/models").bearer(KEY).send(elsewhere.url()).await.status, 403);
    assert_eq!(upstream.hits(), 0);

    let (mut behind, _upstream) = gateway("server: {trusted_proxies: [127.0.0.1]}", "addresses: [10.0.0.0/8]").await;
    assert_eq!(from(&behind, "x-forwarded-for", "10.1.1.1").await.status, 200);
    assert_eq!(behind.record().await.client, "10.1.1.1".parse().ok());
    assert_eq!(from(&behind, "forwarded", "for=10.1.1.2;proto=https").await.status, 200);
    for value in ["192.0.2.1", "10.1.1.1, 192.0.2.1", "unknown"] {
        assert_eq!(from(&behind, "x-forwarded-for", value).await.status, 403, "{value}");
    }
    assert_eq!(post(&behind, CHAT, ASK).await.status, 403, "the proxy did not say who called it");
}

#[tokio::test]
async fn an_administrator_sees_what_a_key_is_held_to() {
    const TOKEN: &str = "wp-admin-token-0123456789abcdef";
    let settings = format!(
        "admin: {{token: {TOKEN}}}\nserver: {{trusted_proxies: [10.0.0.0/8]}}\nsecurity: {{block: {{after: 5}}}}"
    );
    let scopes = "endpoints: [chat], addresses: [127.0.0.1], expires_at: 2999-12-31, limits: {rpm: 7}, user: alice";
    let (gateway, _upstream) = gateway(&settings, scopes).await;
    let config = Request::get("/admin/config").bearer(TOKEN).send(gateway.url()).await.json();
    let key = &config["keys"][0];
    assert_eq!((&key["endpoints"], &key["addresses"]), (&json!(["chat"]), &json!(["127.0.0.1"])));
    assert_eq!((&key["limits"]["rpm"], &key["user"]), (&json!(7), &json!("alice")));
    assert_eq!(config["server"]["trusted_proxies"], json!(["10.0.0.0/8"]));
    let block = json!({ "after": 5, "window_ms": 60_000, "for_ms": 600_000 });
    assert_eq!(config["security"]["block"], block);
}
