//! The files that the founding documents show, and those that are shipped, loaded by the built binary and served from.

use std::path::PathBuf;

use serde_json::{Value, json};
use waypost_testkit::{Request, Script, Upstream, fixtures};

use crate::start::Waypost;

const CHAT: &str = "/v1/chat/completions";
const KEY: &str = "wp-founding-0123456789";

fn shipped(name: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(name)).unwrap()
}

fn ask(model: &str) -> Request {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "Hi"}]}).to_string();
    Request::post(CHAT, body).bearer(KEY)
}

async fn well() -> Upstream {
    Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await
}

#[tokio::test]
async fn models_providers_and_routing_serve_and_fall_back_000_20_000_30_000_31_000_33() {
    let (main, backup) = (Upstream::always(Script::reply(500, "{}")).await, well().await);
    let text = json!({
        "models": {"gpt-4o": {"provider": "main", "maxTokens": 4096, "supportsStreaming": true, "cost": 0.01}},
        "providers": {
            "main": {"type": "openai", "baseUrl": format!("{}/v1", main.url()), "apiKey": "sk-main", "timeout": 30000},
            "backup": {"type": "custom", "baseUrl": format!("{}/v1", backup.url()), "apiKey": "sk-backup", "timeout": 30000},
        },
        "routing": {"strategy": "load-based", "fallbackProvider": "backup"},
    });
    let waypost = Waypost::new().file("waypost.json", &text.to_string()).env("WAYPOST_API_KEY", KEY);
    let mut waypost = waypost.arguments(&["--port", "0"]).start().await;
    waypost.hear("waypost is ready").await;
    assert!(waypost.heard().contains("the file is in another format"), "{}", waypost.heard());
    let answer = ask("gpt-4o").send(waypost.url()).await;
    assert_eq!((answer.status, backup.hits()), (200, 1));
    assert_eq!(backup.last().header("authorization"), Some("Bearer sk-backup"));
    let models: Value = Request::get("/v1/models").bearer(KEY).send(waypost.url()).await.json();
    assert_eq!(models["data"][0]["id"], "gpt-4o");
}

#[tokio::test]
async fn an_endpoint_that_is_slower_than_its_timeout_is_passed_over_003_06() {
    let (slow, fast) = (Upstream::always(Script::never_answer()).await, well().await);
    let text = json!({
        "endpoints": [
            {"url": format!("{}/v1", slow.url()), "apiKey": "sk-1", "priority": 1, "maxRPS": 100, "timeout": 100, "weight": 1, "enabled": true},
            {"url": format!("{}/v1", fast.url()), "apiKey": "sk-2", "priority": 2, "maxRPS": 50, "timeout": 30000, "weight": 1, "enabled": true},
        ],
        "fallback": {"enabled": true, "maxRetries": 3, "backoffMs": 1, "circuitBreaker": true},
    });
    let waypost = Waypost::new().file("waypost.json", &text.to_string()).env("WAYPOST_API_KEY", KEY);
    let waypost = waypost.arguments(&["--port", "0"]).start().await;
    let answer = ask("gpt-4o").send(waypost.url()).await;
    assert_eq!((answer.status, answer.header("x-waypost-deployment")), (200, Some("endpoint-2/gpt-4o")));
    assert_eq!(slow.hits(), 1);
}

#[tokio::test]
async fn the_bundle_passes_the_check_with_a_report_002_22() {
    let text = "open_ai_http_proxy:\n  model_mappings:\n    global:\n      gpt-4: gpt-4-0613\n  defaults:\n    timeout: 30\n    verify_ssl: true\n  \
                retry:\n    enabled: true\n    max_attempts: 3\n    strategy: exponential\n    retry_on: [429, 500, 502, 503, 504]\n  \
                logging:\n    enabled: true\n    log_body: false\n";
    let waypost = Waypost::new().file("config/packages/open_ai_http_proxy.yaml", text);
    let (code, out, err) =
        waypost.arguments(&["config", "check", "config/packages/open_ai_http_proxy.yaml"]).run().await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains(":1:1: open_ai_http_proxy: understood: "), "{out}");
    assert!(out.ends_with("open_ai_http_proxy.yaml: ok, 0 channels, 0 models\n"), "{out}");
}

#[tokio::test]
async fn the_router_template_works_once_it_is_copied_and_filled_in_004_25_004_27() {
    let upstream = well().await;
    let filled = shipped("config/router_config.yaml.template")
        .replace("https://api.openai.com", &format!("{}/v1", upstream.url()))
        .replace("sk-your-openai-key", "sk-filled-in")
        .replace("wp-change-me-0123456789", KEY);
    let waypost = Waypost::new().file("config/router_config.yaml", &filled).arguments(&["--port", "0"]).start().await;
    let answer = ask("gpt-4o").send(waypost.url()).await;
    assert_eq!((answer.status, answer.header("x-waypost-deployment")), (200, Some("openai_gpt-4o/gpt-4o")));
    assert!(upstream.requests().iter().any(|seen| seen.header("authorization") == Some("Bearer sk-filled-in")));

    let plain = shipped("config/router_config.yaml.template");
    let check = Waypost::new().file("config/router_config.yaml", &plain).arguments(&["check"]);
    let (code, out, err) = check.run().await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    for words in [
        "understood: 3 providers and 3 channels",
        "model_groups: understood: 2 model groups",
        "cost_control: kept for later",
    ] {
        assert!(out.contains(words), "{out}");
    }
    assert!(out.ends_with("config/router_config.yaml: ok, 3 channels, 5 models\n"), "{out}");
}

#[tokio::test]
async fn the_groups_of_the_router_template_are_asked_like_models_004_07_004_22() {
    let gpt = Upstream::always(Script::reply(500, "{}")).await;
    let claude = Upstream::always(Script::reply(200, fixtures::anthropic::PLAIN)).await;
    let filled = shipped("config/router_config.yaml.template")
        .replace("https://api.openai.com", &format!("{}/v1", gpt.url()))
        .replace("https://api.anthropic.com", &claude.url())
        .replace("wp-change-me-0123456789", KEY);
    let waypost = Waypost::new().file("config/router_config.yaml", &filled).arguments(&["--port", "0"]).start().await;
    for group in ["auto:free", "auto:fast"] {
        let answer = ask(group).send(waypost.url()).await;
        assert_eq!(
            (answer.status, answer.header("x-waypost-deployment")),
            (200, Some("anthropic_claude/claude-3-5-sonnet-20241022")),
            "{}",
            answer.text()
        );
        assert_eq!(answer.json()["model"], group);
    }
    let models = Request::get("/v1/models").bearer(KEY).send(waypost.url()).await.json();
    let listed = models["data"].as_array().unwrap().iter();
    let kinds: Vec<_> = listed.map(|model| (model["id"].as_str().unwrap(), model["kind"].as_str())).collect();
    assert_eq!(
        kinds,
        [
            ("auto:fast", Some("group")),
            ("auto:free", Some("group")),
            ("claude-3-5-sonnet-20241022", None),
            ("gpt-4o", None),
            ("llama-3.1-8b-instant", None),
        ]
    );
}

#[tokio::test]
async fn every_shipped_example_is_read_003_35() {
    let (code, out, err) = Waypost::new()
        .file("waypost.yaml", &shipped("config/waypost.yaml.template"))
        .arguments(&["config", "check"])
        .run()
        .await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(!out.contains("warning") && out.contains("waypost.yaml: ok, 3 channels"), "{out}");
    for (name, channels) in [("env.example", 1), (".env.multi-endpoint.example", 3)] {
        let (code, out, err) = Waypost::new().file(".env", &shipped(name)).arguments(&["config", "check"]).run().await;
        assert_eq!((code, err.as_str()), (Some(0), ""), "{name}");
        assert!(out.contains(&format!("environment: ok, {channels} channels")), "{name}: {out}");
        assert!(!out.contains("means nothing"), "{name}: {out}");
    }
    // With every line in use, each is one that Waypost knows.
    let all = shipped("env.example");
    let lines = all.lines().map(|line| line.strip_prefix('#').filter(|rest| is_assignment(rest)).unwrap_or(line));
    let used = lines.collect::<Vec<_>>().join("\n");
    let (_, out, err) = Waypost::new()
        .file(".env", &used.replace("WAYPOST_CONFIG=waypost.yaml", ""))
        .arguments(&["config", "check"])
        .run()
        .await;
    assert!(err.is_empty() && !out.contains("means nothing"), "{out}{err}");
}

fn is_assignment(line: &str) -> bool {
    line.split_once('=').is_some_and(|(name, _)| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
}
