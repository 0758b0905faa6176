//! `GET /health` and its kin: open to everybody, and silent about everything that is secret.

use waypost_testkit::{Request, Upstream};

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
        (detailed["channels"].as_u64(), detailed["keys"].as_u64(), detailed["panics"].as_u64()),
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
