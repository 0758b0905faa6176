//! `GET /health` and its kin: open to everybody, and silent about everything that is secret.

use serde_json::{Value, json};
use waypost_testkit::{Request, Script, Upstream, fixtures};

use super::openai_error;
use crate::harness::{Gateway, KEY, channel};

#[tokio::test]
async fn health_is_told_at_four_lengths_without_a_key_001_25() {
    let upstream = Upstream::start(vec![]).await;
    let gateway = Gateway::with_channels(&channel("secret-name", "openai", &upstream.url(), "[gpt-4o]")).await;
    for path in ["/health", "/healthz", "/health/live", "/live", "/health/ready", "/ready", "/health/detailed"] {
        let answer = Request::get(path).send(gateway.url()).await;
        assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("ok")), "{path}");
        for secret in [KEY, "sk-secret-name", "secret-name", "127.0.0.1"] {
            assert!(!answer.text().contains(secret), "{path} tells {secret}");
        }
    }
    let detailed = Request::get("/health/detailed").send(gateway.url()).await.json();
    assert_eq!(
        (detailed["channels"]["total"].as_u64(), detailed["keys"].as_u64(), detailed["panics"].as_u64()),
        (Some(1), Some(1), Some(0))
    );
}

#[tokio::test]
async fn a_stopping_instance_lives_but_is_not_ready() {
    let upstream = Upstream::start(vec![]).await;
    let gateway = Gateway::with_channels(&channel("main", "openai", &upstream.url(), "[gpt-4o]")).await;
    gateway.app.begin_drain();
    for (path, status) in [("/health/live", 200), ("/health/ready", 503), ("/health", 503), ("/health/detailed", 503)] {
        assert_eq!(Request::get(path).send(gateway.url()).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn other_methods_are_told_which_would_do() {
    let gateway = Gateway::start("open_mode: true").await;
    let answer = Request::post("/health", "{}").send(gateway.url()).await;
    assert_eq!(openai_error(&answer, 405)["code"], "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("GET, HEAD"));
}

const TOKEN: &str = "an-admin-token-0123456789";
const CHAT: &str = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Hello"}]}"#;

/// Two channels for one model, `ill` before `good`, and whether the second is there.
async fn ill_and_good(with_good: bool) -> (Upstream, Upstream, Gateway) {
    let ill = Upstream::always(Script::reply(500, fixtures::openai_chat::ERROR_500)).await;
    let good = Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
    let mut channels = channel("ill-one", "openai", &ill.url(), "[gpt-4o]").replace("}", ", breaker: fast}");
    if with_good {
        channels.push_str(&channel("good-one", "openai", &good.url(), "[gpt-4o]").replace("}", ", tier: 2}"));
    }
    let gateway = Gateway::start(&format!(
        "admin: {{token: {TOKEN}}}\nkeys: [{{name: test, key: {KEY}}}]\nretry: {{max_attempts: 2, backoff: {{base: 1ms}}}}\nchannels:\n{channels}"
    ))
    .await;
    (ill, good, gateway)
}

async fn get(gateway: &Gateway, path: &str) -> (u16, Value) {
    let answer = Request::get(path).send(gateway.url()).await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn health_counts_what_is_well_and_all_there_is_003_29_004_23() {
    let (_ill, _good, gateway) = ill_and_good(true).await;
    let (status, health) = get(&gateway, "/health").await;
    assert_eq!(
        (status, &health["status"], &health["healthy"], &health["total"]),
        (200, &json!("ok"), &json!(2), &json!(2))
    );
    for _ in 0..4 {
        assert_eq!(gateway.post("/v1/chat/completions", CHAT).await.status, 200);
    }
    let (status, health) = get(&gateway, "/health").await;
    assert_eq!(
        (status, &health["status"], &health["healthy"], &health["total"]),
        (200, &json!("degraded"), &json!(1), &json!(2))
    );
    assert_eq!(health["providers"], json!({"healthy": 1, "total": 1}));
    assert_eq!(health["channels"], json!({"healthy": 1, "total": 2}));
    assert_eq!(health["deployments"], json!({"healthy": 1, "total": 2}));
    assert_eq!(health["credentials"], json!({"healthy": 2, "total": 2}));
    assert_eq!(health["groups"], json!({"healthy": 1, "total": 1}));
    assert_eq!(health["states"], json!({"healthy": 1, "isolated": 1}));
    let (status, ready) = get(&gateway, "/health/ready").await;
    assert_eq!((status, ready), (200, json!({"status": "ok", "ready": true})), "one ill provider keeps nobody away");
}

#[tokio::test]
async fn a_gateway_whose_deployments_are_all_isolated_is_alive_but_not_ready() {
    let (_ill, _good, gateway) = ill_and_good(false).await;
    // The way without a model is at the same provider.
    for _ in 0..3 {
        gateway.post("/v1/chat/completions", CHAT).await;
        gateway.get("/v1/files").await;
    }
    let (status, ready) = get(&gateway, "/health/ready").await;
    assert_eq!((status, ready), (503, json!({"status": "down", "ready": false})));
    assert_eq!(get(&gateway, "/health/live").await.0, 200);
    assert_eq!(get(&gateway, "/health").await.1["status"], "down");
}

#[tokio::test]
async fn details_name_channels_and_their_errors_to_the_administrator_only_001_25_003_30() {
    let (_ill, _good, gateway) = ill_and_good(true).await;
    for _ in 0..4 {
        gateway.post("/v1/chat/completions", CHAT).await;
    }
    let (_, open) = get(&gateway, "/health/detailed").await;
    let ill = &open["channel_statistics"][0];
    assert_eq!((&ill["provider"], &ill["requests"], &ill["failures"]), (&json!("openai"), &json!(3), &json!(3)));
    assert_eq!((&ill["healthy"], &ill["states"]), (&json!(false), &json!({"isolated": 1})));
    assert_eq!((&open["in_flight"], &open["queued"], &open["last_reload"]["ok"]), (&json!(0), &json!(0), &json!(true)));
    assert!(open["uptime_seconds"].is_u64() && open["version"].is_string());
    for secret in ["ill-one", "good-one", "server_error", "127.0.0.1", KEY, TOKEN] {
        assert!(!open.to_string().contains(secret), "everybody is told {secret}");
    }
    let wrong = Request::get("/health/detailed").bearer(KEY).send(gateway.url()).await;
    assert_eq!((wrong.status, wrong.json()["channel_statistics"][0]["name"].as_str()), (200, None));
    let told = Request::get("/health/detailed").bearer(TOKEN).send(gateway.url()).await.json();
    let ill = &told["channel_statistics"][0];
    assert_eq!((&ill["name"], &ill["last_error"]["class"]), (&json!("ill-one"), &json!("server_error")));
    assert_eq!(told["last_reload"]["trigger"], "start");
}
