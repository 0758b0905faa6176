//! Errors as callers see them: one shape per dialect, a status for each class, and nothing of an upstream's insides.

use http_body_util::BodyExt as _;
use serde_json::Value;
use waypost_core::{GatewayError, key_text};
use waypost_gateway::http::reply;
use waypost_gateway::serve::Limits;
use waypost_testkit::{Answer, Client, ClosedPort, Request, Script, Upstream, fixtures};
use waypost_wire::dialect::Face;

use super::{CHAT, MESSAGE, RESPONSE, anthropic_error, openai, openai_error};
use crate::harness::{Gateway, KEY, channel};

/// The three mounts with a chat body of their own, all for a model of this name.
const MOUNTS: [(&str, &str, &str); 3] = [
    ("/v1/chat/completions", CHAT, "gpt-4o"),
    ("/v1/responses", RESPONSE, "gpt-4o"),
    ("/v1/messages", MESSAGE, "claude-sonnet-4-5"),
];

/// The answer is an error of this status in the dialect of its mount; gives its words.
#[track_caller]
fn drawn(path: &str, answer: &Answer, status: u16) -> Value {
    if path.contains("messages") { anthropic_error(answer, status) } else { openai_error(answer, status) }
}

/// A gateway whose one channel is at `url`, with these settings, and serves the models of all mounts.
async fn at(url: &str, settings: &str) -> Gateway {
    let channel = channel("main", "openai", url, "[gpt-4o, claude-sonnet-4-5]");
    Gateway::with_channels(&channel.replace("name: main,", &format!("name: main, {settings}"))).await
}

/// What every mount answers while the upstream does this.
async fn through(script: Script, status: u16) -> Vec<Answer> {
    let upstream = Upstream::always(script).await;
    let mut answers = vec![];
    for (path, body, _) in MOUNTS {
        // Anew for each, so that none sees what the last one taught the gateway.
        let gateway = at(&upstream.url(), "").await;
        let answer = gateway.post(path, body).await;
        drawn(path, &answer, status);
        answers.push(answer);
    }
    answers
}

#[tokio::test]
async fn a_bad_body_is_400_in_every_dialect_and_files_no_record_000_35() {
    let (upstream, mut gateway) = openai().await;
    for (path, ..) in MOUNTS {
        for body in ["{", "", "[]", "{}"] {
            assert_eq!(drawn(path, &gateway.post(path, body).await, 400)["type"], "invalid_request_error");
        }
    }
    gateway.assert_no_record();
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn a_wrong_key_is_401_with_one_constant_body_and_no_upstream_hit_000_36() {
    let (upstream, gateway) = openai().await;
    let mut bodies = std::collections::BTreeSet::new();
    let keys = [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic d3A6eA==",
        &format!("Bearer {KEY}x"),
        &format!("Bearer {}", &KEY[1..]),
    ];
    for key in keys {
        // The body is never looked at: even a bad one is a 401.
        for body in [CHAT, "{"] {
            let answer =
                Request::post("/v1/chat/completions", body).header("authorization", key).send(gateway.url()).await;
            let error = openai_error(&answer, 401);
            assert_eq!((error["code"].as_str(), error["param"].as_str()), (Some("invalid_api_key"), None));
            bodies.insert(answer.text().to_owned());
        }
    }
    for path in ["/v1/models", "/v1/files", "/v1/models/gpt-4o"] {
        bodies.insert(Request::get(path).send(gateway.url()).await.text().to_owned());
    }
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    let answer = Request::post("/v1/messages", MESSAGE).header("x-api-key", "wrong").send(gateway.url()).await;
    assert_eq!(anthropic_error(&answer, 401)["type"], "authentication_error");
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn a_mistyped_key_is_told_so_in_every_dialect_and_not_repeated() {
    let upstream = Upstream::start(vec![]).await;
    // Somebody's own key may look like one of ours.
    let own = format!("wp-{}1", "0".repeat(43));
    let gateway = Gateway::start(&format!(
        "security: {{block: {{after: 5, window: 1m, for: 10m}}}}\nkeys: [{{name: test, key: {KEY}}}, {{name: own, key: {own}}}]\nchannels:\n{}",
        channel("main", "openai", &upstream.url(), "[gpt-4o, claude-sonnet-4-5]")
    ))
    .await;
    let good = key_text::write([7; 32]);
    let wrong = format!("{}{}", &good.expose()[..46], if good.expose().ends_with('x') { 'y' } else { 'x' });
    for _ in 0..30 {
        for (path, body, _) in MOUNTS {
            let answer = Request::post(path, body).bearer(&wrong).send(gateway.url()).await;
            let error = drawn(path, &answer, 401);
            assert!(error["message"].as_str().unwrap().contains("mistyped"), "{error}");
            assert!(!answer.text().contains(&wrong[3..20]) && !answer.text().contains(&wrong[40..]), "{error}");
        }
    }
    let other = Request::get("/v1/models").bearer(good.expose()).send(gateway.url()).await;
    assert!(!openai_error(&other, 401)["message"].as_str().unwrap().contains("mistyped"), "it is only unknown");
    for key in [KEY, &own] {
        let served = Request::get("/v1/models").bearer(key).send(gateway.url()).await;
        assert_eq!(served.status, 200, "nobody is blocked for a typing error");
    }
    let counted: Vec<_> = gateway.app.security.counts().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counted, [("bad_key", 1), ("mistyped_key", 90)]);
}

#[tokio::test]
async fn a_key_without_the_model_is_403_000_37() {
    let upstream = Upstream::start(vec![]).await;
    let gateway = Gateway::start(&format!(
        "keys: [{{name: few, key: {KEY}, models: ['o3*']}}, {{name: off, key: wp-off-0123456789, enabled: false}}]\nchannels:\n{}",
        channel("main", "openai", &upstream.url(), "[gpt-4o, claude-sonnet-4-5]")
    ))
    .await;
    for (path, body, model) in MOUNTS {
        let error = drawn(path, &gateway.post(path, body).await, 403);
        assert!(error["message"].as_str().unwrap().contains(model));
    }
    // Where a request names no model, a key that is limited to some may not go either.
    openai_error(&gateway.get("/v1/files").await, 403);
    let off = Request::get("/v1/models").bearer("wp-off-0123456789").send(gateway.url()).await;
    assert_eq!(openai_error(&off, 401)["code"], "key_disabled");
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn an_unknown_model_or_path_is_404_000_38() {
    let upstream = Upstream::start(vec![]).await;
    let gateway = Gateway::with_channels(&channel("main", "openai", &upstream.url(), "[gpt-4.1]")).await;
    for (path, body, _) in MOUNTS {
        drawn(path, &gateway.post(path, body).await, 404);
    }
    let error = openai_error(&gateway.post("/v1/chat/completions", CHAT.replace("4o", "41")).await, 404);
    assert_eq!((error["code"].as_str(), error["param"].as_str()), (Some("model_not_found"), Some("model")));
    assert!(error["message"].as_str().unwrap().contains("`gpt-4.1`"), "{error}");
    for path in [
        "/",
        "/v2/models",
        "/v1",
        "/v1/",
        "/v1/openai",
        "/v1/anthropic",
        "/nope",
        "/v1//models",
        "/v1/a/../models",
        "/v1/a%2fb",
        "/v1/files/%2e%2e/x",
    ] {
        assert_eq!(openai_error(&gateway.get(path).await, 404)["code"], "not_found", "{path}");
    }
    for path in ["/v1/messages/nope", "/v1/anthropic/nope", "/v1/anthropic/v1/files"] {
        assert_eq!(anthropic_error(&gateway.get(path).await, 404)["type"], "not_found_error", "{path}");
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn an_upstreams_limit_is_429_with_its_retry_after_000_39() {
    let limited = Script::reply(429, fixtures::openai_chat::ERROR_429).header("retry-after", "7");
    for answer in through(limited, 429).await {
        assert_eq!(answer.header("retry-after"), Some("7"));
        // The account's limits and organisation are the gateway owner's.
        assert!(!answer.text().contains("org-"), "{}", answer.text());
    }
    for answer in through(Script::reply(429, fixtures::openai_chat::ERROR_429), 429).await {
        assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    }
}

/// No request can make the gateway panic, so the answer to a fault of its own is drawn here and not provoked.
#[tokio::test]
async fn a_fault_of_our_own_is_500_and_says_nothing_of_its_cause_000_40() {
    for face in [Face::OPENAI_CHAT, Face::OPENAI_RESPONSES, Face::ANTHROPIC] {
        let answer = reply::error(&GatewayError::internal("disk /dev/sda1 is full"), face, "req_1");
        assert_eq!(answer.status(), 500);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let json: Value = serde_json::from_slice(&body).unwrap();
        assert!(json["error"]["message"].is_string() && !json.to_string().contains("sda1"), "{json}");
    }
}

#[tokio::test]
async fn a_dead_upstream_is_502_in_json_000_41() {
    let closed = ClosedPort::take();
    let gateway = at(&closed.url(), "").await;
    for (path, body, _) in MOUNTS {
        let error = drawn(path, &gateway.post(path, body).await, 502);
        assert!(!error.to_string().contains("127.0.0.1"), "{error}");
    }
    openai_error(&gateway.get("/v1/files").await, 502);
}

#[tokio::test]
async fn an_upstream_that_fails_or_talks_nonsense_is_502_and_is_never_echoed_000_41() {
    let page = "<html>Traceback: db at 10.0.0.3</html>";
    let scripts = [
        Script::reply(500, fixtures::openai_chat::ERROR_500),
        Script::reply(503, page).header("content-type", "text/html"),
        Script::reply(200, page).header("content-type", "text/html"),
        Script::reply(200, "{}"),
        Script::reply(302, "").header("location", "http://10.0.0.3/"),
        Script::reply(401, fixtures::openai_chat::ERROR_401),
        Script::reply(429, fixtures::openai_chat::ERROR_429_QUOTA),
        Script::cut_before_answer(),
        Script::reset_before_answer(),
        Script::reply(200, fixtures::openai_chat::PLAIN).cut_after(0),
        Script::raw("SSH-2.0-OpenSSH_9.6\r\n").close_silently(),
    ];
    for script in scripts {
        for answer in through(script, 502).await {
            assert!(!answer.text().contains("10.0.0.3") && !answer.text().contains("sk-"), "{}", answer.text());
            assert_eq!(answer.header("location"), None);
        }
    }
}

#[tokio::test]
async fn nothing_that_serves_the_model_is_503_000_41() {
    let upstream = Upstream::start(vec![]).await;
    let gateway = at(&upstream.url(), "enabled: false, ").await;
    for (path, body, _) in MOUNTS {
        let answer = gateway.post(path, body).await;
        drawn(path, &answer, 503);
        assert!(answer.header("retry-after").is_some());
    }
    openai_error(&gateway.get("/v1/files").await, 503);
}

#[tokio::test]
async fn a_stopping_instance_is_503_000_41() {
    let (upstream, gateway) = openai().await;
    gateway.app.begin_drain();
    for (path, body, _) in MOUNTS {
        let answer = gateway.post(path, body).await;
        drawn(path, &answer, 503);
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert_eq!(openai_error(&gateway.get("/v1/models").await, 503)["code"], "shutting_down");
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn an_upstream_that_is_too_slow_is_504_000_41() {
    let silent = Upstream::always(Script::never_answer()).await;
    for timeouts in ["timeouts: {first_byte: 60ms}, ", "timeouts: {total: 60ms}, "] {
        let gateway = at(&silent.url(), timeouts).await;
        for (path, body, _) in MOUNTS {
            drawn(path, &gateway.post(path, body).await, 504);
        }
    }
    let stalls =
        Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN).split_every(20).stall_after(1)).await;
    let gateway = at(&stalls.url(), "timeouts: {idle: 60ms}, ").await;
    openai_error(&gateway.post("/v1/chat/completions", CHAT).await, 504);
}

#[tokio::test]
async fn a_providers_own_judgement_of_the_request_reaches_the_caller() {
    let answers = through(Script::reply(400, fixtures::openai_chat::ERROR_400_CONTEXT), 400).await;
    let error = &answers[0].json()["error"];
    assert_eq!((error["code"].as_str(), error["param"].as_str()), (Some("context_length_exceeded"), Some("messages")));
    assert!(error["message"].as_str().unwrap().contains("maximum context length"), "{error}");
}

#[tokio::test]
async fn a_wrong_method_is_405_and_told_which_would_do_000_04() {
    let (upstream, gateway) = openai().await;
    for path in ["/v1/embeddings", "/v1/completions", "/v1/openai/embeddings"] {
        let answer = gateway.get(path).await;
        assert_eq!(openai_error(&answer, 405)["code"], "method_not_allowed");
        assert_eq!(answer.header("allow"), Some("POST"));
    }
    for path in ["/v1/messages", "/v1/anthropic/v1/messages", "/v1/messages/count_tokens"] {
        let answer = gateway.get(path).await;
        anthropic_error(&answer, 405);
        assert_eq!(answer.header("allow"), Some("POST"));
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn too_large_a_body_is_413_declared_or_counted_000_04() {
    let upstream = Upstream::start(vec![]).await;
    let yaml = format!(
        "keys: [{{name: test, key: {KEY}}}]\nchannels:\n{}",
        channel("main", "openai", &upstream.url(), "['*']")
    );
    let gateway = Gateway::start_with(&yaml, Limits { max_body_bytes: 1000, ..Limits::default() }).await;
    for (path, ..) in MOUNTS {
        let error = drawn(path, &gateway.post(path, " ".repeat(1001)).await, 413);
        assert!(error["message"].as_str().unwrap().contains("1000"));
        drawn(path, &gateway.post(path, " ".repeat(1000)).await, 400);
    }
    let chunked = |path: &str, kind: &str| {
        let piece = format!("12c\r\n{}\r\n", "a".repeat(300)).repeat(4);
        format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n{piece}0\r\n\r\n"
        )
    };
    for (path, kind) in [("/v1/chat/completions", "application/json"), ("/v1/unheard/of", "application/octet-stream")] {
        let mut client = Client::connect(gateway.url()).await;
        client.write(chunked(path, kind).as_bytes()).await.unwrap();
        assert_eq!(openai_error(&client.answer().await.unwrap(), 413)["code"], "request_too_large", "{path}");
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn what_the_edge_refuses_has_the_same_shape_000_04() {
    let (upstream, gateway) = openai().await;
    let post = |path: &str| Request::post(path, CHAT).bearer(KEY);
    for (path, ..) in MOUNTS {
        drawn(path, &post(path).header("content-encoding", "gzip").send(gateway.url()).await, 415);
        drawn(path, &post(path).header("x-big", &"x".repeat(70_000)).send(gateway.url()).await, 431);
    }
    let long = format!("/v1/{}", "x".repeat(9000));
    assert_eq!(openai_error(&post(&long).send(gateway.url()).await, 414)["code"], "uri_too_long");
    openai_error(&post("/v1/chat/completions").header("host", "a").header("host", "b").send(gateway.url()).await, 400);
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn every_answer_tells_browsers_to_neither_run_nor_frame_nor_guess_it_001_37() {
    let (_upstream, gateway) = openai().await;
    let answers = [
        gateway.post("/v1/chat/completions", CHAT).await,
        gateway.post("/v1/messages", "{").await,
        gateway.get("/nothing").await,
        gateway.get("/health").await,
        Request::get("/v1/models").send(gateway.url()).await,
    ];
    for answer in answers {
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value));
        }
        assert_eq!(answer.header("strict-transport-security"), None, "there is no TLS here");
    }
}
