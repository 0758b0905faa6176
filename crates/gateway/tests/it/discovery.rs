//! Models that accounts tell of themselves: asked seldom, served as if listed, kept when an account falls silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use waypost_core::config::{Config, Format};
use waypost_gateway::jobs::Jobs;
use waypost_testkit::{Script, Upstream};

use crate::harness::{Gateway, KEY};

const ANSWER: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"x","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;

fn list(names: &[&str]) -> Script {
    let items: Vec<String> = names.iter().map(|name| format!(r#"{{"id":"{name}","object":"model"}}"#)).collect();
    Script::reply(200, format!(r#"{{"object":"list","data":[{}]}}"#, items.join(",")))
}

fn yaml(channels: &str) -> String {
    format!("keys: [{{name: test, key: {KEY}}}]\nretry: {{backoff: {{base: 1ms}}}}\nchannels:\n{channels}\n")
}

/// A gateway whose accounts can be asked, with the config that what they say is added to.
struct Asking {
    gateway: Gateway,
    base: Config,
}

impl Asking {
    async fn start(channels: &str) -> Self {
        let yaml = yaml(channels);
        let base = Config::parse(&yaml, Format::Yaml, "test.yaml", &|_| None).unwrap();
        Self { gateway: Gateway::start(&yaml).await, base }
    }

    /// Asks, and takes over what is new.
    async fn refresh(&self) -> bool {
        let changed = self.gateway.app.discovery.refresh(&self.gateway.app).await;
        changed && self.gateway.app.take(self.base.clone()).is_ok()
    }

    async fn listed(&self) -> Vec<String> {
        let body = self.gateway.get("/v1/models").await.json();
        let models = body["data"].as_array().unwrap();
        models.iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
    }

    async fn chat(&self, model: &str) -> u16 {
        let body = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hi"}}]}}"#);
        self.gateway.post("/v1/chat/completions", body).await.status
    }
}

#[tokio::test]
async fn a_change_of_the_upstreams_list_shows_after_a_refresh_000_23() {
    let upstream =
        Upstream::start(vec![list(&["new-1", "new-2"]), Script::reply(200, ANSWER), list(&["new-2", "new-3"])]).await;
    let channel = format!(
        "- {{name: a, provider: openai_compatible, base_url: '{}', api_key: sk-a, models: [listed], discover: {{}}}}",
        upstream.url()
    );
    let asking = Asking::start(&channel).await;
    assert_eq!(asking.listed().await, ["listed"]);
    assert_eq!(asking.chat("new-1").await, 404);

    assert!(asking.refresh().await);
    assert_eq!(asking.listed().await, ["listed", "new-1", "new-2"]);
    let asked = upstream.requests().remove(0);
    assert_eq!((asked.method.as_str(), asked.path_and_query.as_str()), ("GET", "/v1/models"));
    assert_eq!(asked.header("authorization"), Some("Bearer sk-a"));
    assert_eq!(asking.chat("new-1").await, 200);

    assert!(asking.refresh().await);
    assert_eq!(asking.listed().await, ["listed", "new-2", "new-3"]);
    assert_eq!(asking.chat("new-1").await, 404);
}

#[tokio::test]
async fn a_hundred_readers_of_the_list_cause_one_upstream_call_000_54() {
    let upstream = Upstream::start(vec![list(&["m"])]).await;
    let channel = format!(
        "- {{name: a, provider: openai_compatible, base_url: '{}', api_key: k, models: [], discover: {{}}}}",
        upstream.url()
    );
    let asking = Asking::start(&channel).await;
    asking.refresh().await;
    for _ in 0..100 {
        assert_eq!(asking.listed().await, ["m"]);
    }
    assert_eq!(upstream.hits(), 1);
}

#[tokio::test]
async fn an_account_that_falls_silent_or_talks_nonsense_keeps_its_last_list() {
    let failures = [Script::reply(500, "{}"), Script::reply(200, "<html>"), Script::reply(200, r#"{"error":{}}"#)];
    let mut scripts = vec![list(&["kept"])];
    scripts.extend(failures.iter().cloned());
    let upstream = Upstream::start(scripts).await;
    let channel = format!(
        "- {{name: a, provider: openai_compatible, base_url: '{}', api_key: k, models: [], discover: {{}}}}",
        upstream.url()
    );
    let asking = Asking::start(&channel).await;
    assert!(asking.refresh().await);
    for _ in &failures {
        assert!(!asking.refresh().await);
        assert_eq!(asking.listed().await, ["kept"]);
    }
}

#[tokio::test]
async fn only_wanted_names_are_taken_and_the_next_key_is_tried_where_one_fails() {
    let upstream = Upstream::by(|request| match request.header("authorization") {
        Some("Bearer dead") => Script::reply(401, "{}"),
        _ => list(&["gpt-4o", "gpt-4o-audio", "dall-e-3", "evil*"]),
    })
    .await;
    let channel = format!(
        "- {{name: a, provider: openai, base_url: '{}/v1', api_keys: [dead, alive], models: [], discover: {{include: ['gpt-*'], exclude: ['*-audio']}}}}",
        upstream.url()
    );
    let asking = Asking::start(&channel).await;
    asking.refresh().await;
    assert_eq!(asking.listed().await, ["gpt-4o"]);
    assert_eq!(upstream.hits(), 2);
}

#[tokio::test]
async fn anthropic_and_gemini_are_asked_in_their_own_ways() {
    let upstream = Upstream::by(|request| {
        match (request.path_and_query.as_str(), request.header("x-api-key"), request.header("x-goog-api-key")) {
            ("/v1/models?limit=1000", Some("ka"), None) => {
                Script::reply(200, r#"{"data":[{"type":"model","id":"claude-x","display_name":"X"}],"has_more":false}"#)
            }
            ("/v1beta/models?pageSize=1000", None, Some("kg")) => {
                Script::reply(200, r#"{"models":[{"name":"models/gemini-x"}]}"#)
            }
            _ => Script::reply(404, "{}"),
        }
    })
    .await;
    let url = upstream.url();
    let asking = Asking::start(&format!(
        "- {{name: a, provider: anthropic, base_url: '{url}', api_key: ka, models: [], discover: {{}}}}\n\
         - {{name: g, provider: gemini, base_url: '{url}', api_key: kg, models: [], discover: {{}}}}\n\
         - {{name: off, provider: openai, base_url: '{url}', api_key: k, models: [], discover: {{enabled: false}}}}"
    ))
    .await;
    asking.refresh().await;
    assert_eq!(asking.listed().await, ["claude-x", "gemini-x"]);
    assert_eq!(upstream.hits(), 2);
}

#[tokio::test]
async fn the_job_asks_at_its_start_and_when_it_is_told_to_and_ends_with_the_others() {
    let later = Arc::new(AtomicBool::new(false));
    let is_later = Arc::clone(&later);
    let upstream =
        Upstream::by(move |_| list(if is_later.load(Ordering::Acquire) { &["late"] } else { &["early"] })).await;
    let channel = format!(
        "- {{name: a, provider: openai_compatible, base_url: '{}', api_key: k, models: [], discover: {{}}}}",
        upstream.url()
    );
    let asking = Arc::new(Asking::start(&channel).await);
    let jobs = Jobs::new();
    let changed = {
        let asking = Arc::clone(&asking);
        move || assert!(asking.gateway.app.take(asking.base.clone()).is_ok())
    };
    let app = Arc::clone(&asking.gateway.app);
    let discovery = Arc::clone(&app.discovery);
    jobs.spawn("model discovery", discovery.run(app, jobs.clone(), changed));
    shows(&asking, "early").await;
    later.store(true, Ordering::Release);
    asking.gateway.app.discovery.ask_now();
    shows(&asking, "late").await;
    assert_eq!(upstream.hits(), 2);
    let soon = tokio::time::Instant::now() + Duration::from_secs(5);
    assert_eq!(jobs.drain(soon).await, Vec::<&str>::new());
}

async fn shows(asking: &Asking, model: &str) {
    let shown = async {
        while asking.listed().await != [model] {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), shown).await.expect("the list is taken over");
}
