//! Looking at a running gateway and steering it: who may, what is shown, what a reset does, and that no secret is anywhere.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use waypost_core::config::{Config, Format};
use waypost_gateway::jobs::Jobs;
use waypost_gateway::reload::{self, Fixed, Source};
use waypost_testkit::{Answer, Request, Script, Upstream, fixtures};

use crate::harness::{Gateway, KEY};

const TOKEN: &str = "an-admin-token-0123456789";
const CHAT: &str = "/v1/chat/completions";
const ASK: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello!"}]}"#;

fn well() -> Script {
    Script::reply(200, fixtures::openai_chat::PLAIN)
}

fn failing() -> Script {
    Script::reply(500, fixtures::openai_chat::ERROR_500)
}

fn channel(name: &str, url: &str, more: &str) -> String {
    format!(
        "- {{name: {name}, provider: openai, dialects: [openai_chat], base_url: '{url}/v1', api_key: sk-secret-{name}, models: [m], {more}}}\n"
    )
}

async fn gateway(settings: &str, channels: &[String]) -> Gateway {
    let yaml = format!(
        "admin: {{token: {TOKEN}}}\nkeys: [{{name: test, key: {KEY}}}]\n{settings}\nchannels:\n{}",
        channels.concat()
    );
    Gateway::start(&yaml).await
}

async fn get(gateway: &Gateway, path: &str) -> Answer {
    Request::get(path).bearer(TOKEN).send(gateway.url()).await
}

async fn shown(gateway: &Gateway, path: &str) -> Value {
    let answer = get(gateway, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

async fn post(gateway: &Gateway, path: &str) -> Answer {
    Request::post(path, "").bearer(TOKEN).send(gateway.url()).await
}

/// A gateway whose first channel has just been isolated, beside one that is well.
async fn one_isolated() -> (Upstream, Upstream, Gateway) {
    let (ill, good) = (Upstream::always(failing()).await, Upstream::always(well()).await);
    let channels = [channel("ill", &ill.url(), ""), channel("good", &good.url(), "tier: 2, limits: {rpm: 600}")];
    let gateway = gateway("", &channels).await;
    for _ in 0..6 {
        assert_eq!(gateway.post(CHAT, ASK).await.status, 200);
    }
    (ill, good, gateway)
}

// === who may ===

const PATHS: [&str; 8] = [
    "/admin",
    "/admin/deployments",
    "/admin/channels",
    "/admin/endpoints",
    "/admin/credentials",
    "/admin/explain?model=m",
    "/admin/config",
    "/admin/provider-kinds",
];

#[tokio::test]
async fn without_a_token_configured_there_is_nothing() {
    let gateway = Gateway::start(&format!("keys: [{{name: test, key: {KEY}}}]")).await;
    for path in PATHS {
        assert_eq!(get(&gateway, path).await.status, 404, "{path}");
    }
    assert_eq!(post(&gateway, "/admin/reload").await.status, 404);
}

#[tokio::test]
async fn whoever_lacks_the_token_is_told_the_same_at_every_path() {
    let gateway = gateway("", &[channel("a", "http://127.0.0.1:9", "")]).await;
    let refused = Request::get("/admin").send(gateway.url()).await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    let others = [
        Request::get("/admin").bearer(KEY),
        Request::get("/admin").bearer("an-admin-token-012345678"),
        Request::get("/admin").header("x-api-key", TOKEN),
        Request::get("/admin").header("authorization", &format!("Basic {TOKEN}")),
        Request::get("/admin").bearer("wrong").bearer(TOKEN),
        Request::get("/admin/nothing"),
        Request::post("/admin/reload", ""),
        Request::post("/admin/deployments/0/reset", ""),
    ];
    for request in others {
        let answer = request.send(gateway.url()).await;
        assert_eq!((answer.status, answer.text()), (401, refused.text()));
    }
    for path in PATHS {
        let answer = get(&gateway, path).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{path}");
        let browser = Request::get(path).bearer(TOKEN).header("origin", "https://app.example");
        assert_eq!(browser.send(gateway.url()).await.header("access-control-allow-origin"), None, "{path}");
    }
}

#[tokio::test]
async fn what_is_not_there_or_wrongly_asked_is_an_error_in_one_shape() {
    let gateway = gateway("", &[channel("a", "http://127.0.0.1:9", "")]).await;
    let cases = [
        (get(&gateway, "/admin/nothing").await, 404),
        (get(&gateway, "/admin/deployments/1").await, 404),
        (post(&gateway, "/admin/deployments/0123456789abcdef/reset").await, 404),
        (post(&gateway, "/admin/credentials/zz/reset").await, 404),
        (post(&gateway, "/admin/config").await, 405),
        (get(&gateway, "/admin/reload").await, 405),
        (get(&gateway, "/admin/deployments?limit=0").await, 400),
        (get(&gateway, "/admin/deployments?after=x").await, 400),
        (get(&gateway, "/admin/explain?model=nope").await, 404),
        (get(&gateway, "/admin/explain?model=m&operation=dance").await, 400),
        (post(&gateway, "/admin/reload").await, 400),
    ];
    for (answer, status) in cases {
        assert_eq!((answer.status, answer.header("cache-control")), (status, Some("no-store")), "{}", answer.text());
        assert!(answer.json()["error"]["message"].is_string());
    }
    assert_eq!(get(&gateway, "/admin/reload").await.header("allow"), Some("POST"));
}

// === what is shown ===

#[tokio::test]
async fn deployments_show_their_live_state_003_13() {
    let (_ill, _good, gateway) = one_isolated().await;
    let page = shown(&gateway, "/admin/deployments").await;
    assert_eq!((&page["total"], &page["next"]), (&json!(3), &Value::Null), "and where requests without a model go");
    let page = shown(&gateway, "/admin/deployments?model=m").await;
    let deployments = page["data"].as_array().unwrap();
    let of = |label: &str| deployments.iter().find(|one| one["label"] == label).unwrap().clone();
    let ill = of("ill/m");
    assert_eq!(
        (&ill["state"], &ill["healthy"], &ill["breaker"]["phase"]),
        (&json!("isolated"), &json!(false), &json!("open"))
    );
    assert_eq!(
        (&ill["requests"], &ill["failures"], &ill["failures_in_row"], &ill["opened"]),
        (&json!(5), &json!(5), &json!(5), &json!(1))
    );
    assert_eq!(ill["last_error"]["class"], "server_error");
    assert_eq!(ill["cooling"]["class"], "server_error");
    assert_eq!(ill["bar"]["reason"], "breaker");
    let wait = ill["breaker"]["next_trial_ms"].as_u64().unwrap();
    assert!((1..=60_000).contains(&wait), "{wait}");
    let good = of("good/m");
    assert_eq!((&good["state"], &good["requests"], &good["failures"]), (&json!("healthy"), &json!(6), &json!(0)));
    assert_eq!((&good["tier"], &good["upstream"], &good["last_error"]), (&json!(2), &json!("m"), &Value::Null));
    assert!(good["latency_ms"].as_u64().is_some());
}

#[tokio::test]
async fn channels_show_sums_limits_and_the_last_error_003_30() {
    let (_ill, _good, gateway) = one_isolated().await;
    let answer = shown(&gateway, "/admin/channels").await;
    assert_eq!((&answer["healthy"], &answer["total"]), (&json!(1), &json!(2)));
    let (good, ill) = (&answer["data"][0], &answer["data"][1]);
    assert_eq!(
        (&ill["name"], &ill["healthy"], &ill["requests"], &ill["failures"]),
        (&json!("ill"), &json!(false), &json!(5), &json!(5))
    );
    assert_eq!((&ill["states"], &ill["last_error"]["class"]), (&json!({"isolated": 1}), &json!("server_error")));
    assert_eq!(good["deployments"], json!({"healthy": 1, "total": 1}));
    assert_eq!(
        (&good["limits"]["rpm"], &good["limits"]["tpm"], &good["requests"]),
        (&json!(600), &Value::Null, &json!(6))
    );
    assert_eq!(good["credentials"][0]["uses"], 6);
    assert_eq!(shown(&gateway, "/admin/endpoints").await["total"], 2);
}

#[tokio::test]
async fn credentials_show_uses_errors_and_why_one_is_out_002_12() {
    let upstream = Upstream::by(|request| {
        let refused = request.header("authorization").is_some_and(|key| key.ends_with("sk-one"));
        if refused { Script::reply(401, "{}") } else { well() }
    })
    .await;
    let keys = "- {name: a, provider: openai, base_url: 'URL/v1', credentials: [{name: first, key: sk-one}, {name: second, key: sk-two}], models: [m]}\n";
    let gateway = gateway("", &[keys.replace("URL", &upstream.url())]).await;
    for _ in 0..3 {
        assert_eq!(gateway.post(CHAT, ASK).await.status, 200);
    }
    let answer = shown(&gateway, "/admin/credentials?channel=a").await;
    assert_eq!((&answer["healthy"], &answer["total"]), (&json!(1), &json!(2)));
    let (first, second) = (&answer["data"][0], &answer["data"][1]);
    assert_eq!(
        (&first["label"], &first["state"], &first["reason"], &first["status"]),
        (&json!("first"), &json!("out"), &json!("credential_dead"), &json!(401))
    );
    assert_eq!((&first["uses"], &first["errors"]), (&json!(1), &json!(1)));
    assert_eq!((&second["state"], &second["uses"], &second["errors"]), (&json!("in_use"), &json!(3), &json!(0)));
    assert!(second["last_used"].as_u64().is_some_and(|at| at > 1_600_000_000_000));

    let reset = post(&gateway, &format!("/admin/credentials/{}/reset", first["id"].as_str().unwrap())).await;
    assert_eq!((reset.status, reset.json()["state"].as_str()), (200, Some("in_use")));
    gateway.post(CHAT, ASK).await;
    gateway.post(CHAT, ASK).await;
    assert_eq!(shown(&gateway, "/admin/credentials").await["data"][0]["uses"], 2, "it is tried again");
}

#[tokio::test]
async fn a_credential_is_tested_on_order_which_changes_nothing_004_33() {
    let upstream = Upstream::by(|request| match request.header("authorization") {
        Some("Bearer sk-dead-0123456789") => Script::reply(401, fixtures::openai_chat::ERROR_401),
        _ if request.json()["model"] == "nope" => Script::reply(404, fixtures::openai_chat::ERROR_404_MODEL),
        _ => well(),
    })
    .await;
    let keys = "- {name: a, provider: openai, base_url: 'URL/v1', api_keys: [sk-good-0123456789, sk-dead-0123456789], models: [m]}\n";
    let gateway = gateway("", &[keys.replace("URL", &upstream.url())]).await;
    let answer = shown(&gateway, "/admin/credentials").await;
    let id = |at: usize| answer["data"][at]["id"].as_str().unwrap().to_owned();
    for (at, query, finding, status) in
        [(0, "", "valid", 200), (1, "", "invalid_key", 401), (0, "?model=nope", "model_missing", 404)]
    {
        let tested = post(&gateway, &format!("/admin/credentials/{}/test{query}", id(at))).await;
        let said = tested.json();
        assert_eq!((tested.status, &said["finding"], &said["status"]), (200, &json!(finding), &json!(status)));
        assert_eq!(said["channel"], "a");
        assert!(said["latency_ms"].is_u64() && said["message"].is_string());
        assert!(!tested.text().contains("sk-"), "{}", tested.text());
    }
    assert_eq!(shown(&gateway, "/admin/credentials").await, answer);
    assert_eq!(post(&gateway, "/admin/credentials/zz/test").await.status, 404);
    assert_eq!(post(&gateway, "/admin/deployments/zz/test").await.status, 404);
}

#[tokio::test]
async fn a_reset_deployment_is_as_good_as_new() {
    let (ill, _good, gateway) = one_isolated().await;
    assert_eq!(ill.hits(), 5);
    let page = shown(&gateway, "/admin/deployments?channel=ill&model=m").await;
    let id = page["data"][0]["id"].as_str().unwrap();
    let reset = post(&gateway, &format!("/admin/deployments/{id}/reset")).await;
    assert_eq!((reset.status, reset.json()["state"].as_str()), (200, Some("healthy")));
    assert_eq!(gateway.post(CHAT, ASK).await.status, 200);
    assert_eq!(ill.hits(), 6);
}

#[tokio::test]
async fn pages_show_every_deployment_once_whatever_their_size() {
    let models: Vec<_> = (0..23).map(|number| format!("model-{number:02}")).collect();
    let channels: Vec<_> = ["b", "a"]
        .map(|name| channel(name, "http://127.0.0.1:9", "").replace("[m]", &format!("[{}]", models.join(", "))))
        .to_vec();
    let gateway = gateway("", &channels).await;
    for limit in [1, 7, 46, 500] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = shown(&gateway, &format!("/admin/deployments?limit={limit}{after}")).await;
            let labels = page["data"].as_array().unwrap().iter();
            seen.extend(labels.map(|one| one["label"].as_str().unwrap().to_owned()));
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        let mut expected: Vec<_> = ["a", "b"]
            .iter()
            .flat_map(|channel| models.iter().map(move |model| format!("{channel}/{model}")))
            .collect();
        expected.push(seen.iter().find(|label| !label.contains('/')).unwrap().clone());
        expected.sort();
        assert!(seen.is_sorted());
        assert_eq!(seen, expected, "{limit}");
    }
}

#[tokio::test]
async fn explain_shows_the_strategy_and_every_candidate_000_25() {
    let (_ill, _good, gateway) = one_isolated().await;
    let answer = shown(&gateway, "/admin/explain?model=m").await;
    assert_eq!((&answer["strategy"], &answer["first"]), (&json!("weighted"), &json!("good/m")));
    let candidates = answer["candidates"].as_array().unwrap();
    assert_eq!((&candidates[0]["deployment"], &candidates[0]["place"]), (&json!("ill/m"), &Value::Null));
    assert_eq!(candidates[0]["veto"], "isolated: it failed too often");
    assert!(candidates[0]["wait_ms"].as_u64().is_some());
    let counting = shown(&gateway, "/admin/explain?model=m&operation=count_tokens").await;
    assert_eq!((&counting["first"], &counting["dialect"]), (&Value::Null, &json!("anthropic")));
}

#[tokio::test]
async fn the_configuration_is_shown_without_its_secrets_000_05() {
    let settings = "retry: {max_attempts: 7}\nrouting: {queue: {wait: 3s}, models: {m: {strategy: least_busy}}}";
    let more = "headers: {X-Team: sk-header-secret}, timeouts: {idle: 9s}, weight: 7, breaker: fast";
    let gateway = gateway(settings, &[channel("main", "http://127.0.0.1:9", more)]).await;
    let config = shown(&gateway, "/admin/config").await;
    let main = &config["channels"][0];
    assert_eq!((&main["name"], &main["base_url"]), (&json!("main"), &json!("http://127.0.0.1:9/v1")));
    assert_eq!((&main["timeouts"]["idle_ms"], &main["breaker"]["failures"]), (&json!(9000), &json!(3)));
    assert_eq!((&main["credentials"][0]["key"], &main["headers"]["x-team"]), (&json!("***"), &json!("***")));
    assert_eq!((&main["models"][0]["name"], &main["models"][0]["weight"]), (&json!("m"), &json!(7)));
    assert_eq!(config["keys"], json!([{"name": "test", "key": "***", "enabled": true, "models": ["*"]}]));
    assert_eq!((&config["retry"]["max_attempts"], &config["routing"]["queue"]["wait_ms"]), (&json!(7), &json!(3000)));
    assert_eq!(config["routing"]["models"]["m"], json!({"strategy": "least_busy", "hedge": null}));
    assert_eq!(config["admin"], json!({"token": "***", "metrics": "token"}));
}

#[tokio::test]
async fn provider_kinds_are_listed_001_19() {
    let gateway = gateway("", &[channel("a", "http://127.0.0.1:9", "")]).await;
    let kinds = shown(&gateway, "/admin/provider-kinds").await["provider_kinds"].clone();
    let kinds = kinds.as_array().unwrap();
    for kind in ["openai", "anthropic", "azure_openai", "gemini", "openai_compatible", "simulator"] {
        assert!(kinds.iter().any(|one| one["kind"] == kind), "{kind}");
    }
    let anthropic = kinds.iter().find(|one| one["kind"] == "anthropic").unwrap();
    assert_eq!((&anthropic["auth"], &anthropic["endpoints"][0]["dialect"]), (&json!("x_api_key"), &json!("anthropic")));
}

#[tokio::test]
async fn no_view_holds_a_secret() {
    let (_ill, _good, gateway) = one_isolated().await;
    for path in PATHS {
        let text = get(&gateway, path).await.text().to_owned();
        for secret in [KEY, TOKEN, "sk-secret"] {
            assert!(!text.contains(secret), "{path} tells {secret}");
        }
    }
}

// === reloads ===

/// A source whose text a test changes.
struct Text(Arc<Mutex<String>>);

impl Source for Text {
    fn load(&mut self) -> Result<Config, Vec<String>> {
        let parsed = Config::parse(&self.0.lock().unwrap(), Format::Yaml, "w.yaml", &|_| None);
        parsed.map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }
}

#[tokio::test]
async fn an_ordered_reload_is_answered_with_what_came_of_it() {
    let gateway = gateway("", &[channel("a", "http://127.0.0.1:9", "")]).await;
    let text = Arc::new(Mutex::new(format!("admin: {{token: {TOKEN}}}\nkeys: [{{name: new, key: {KEY}}}]")));
    let jobs = Jobs::new();
    let source = Box::new(Text(Arc::clone(&text)));
    jobs.spawn("reload", reload::run(Arc::clone(&gateway.app), source, Fixed::default(), jobs.clone()));
    let report = loop {
        let answer = post(&gateway, "/admin/reload").await;
        if answer.status == 200 {
            break answer.json();
        }
    };
    assert_eq!((&report["ok"], &report["trigger"], &report["generation"]), (&json!(true), &json!("order"), &json!(2)));
    assert_eq!(shown(&gateway, "/admin/config").await["keys"][0]["name"], "new");

    *text.lock().unwrap() = "chanels: []".to_owned();
    let mut live = Request::get("/admin/events").bearer(TOKEN).open(gateway.url()).await;
    assert!(live.next().await.is_some());
    let refused = post(&gateway, "/admin/reload").await;
    let heard = live.next_event().await.unwrap().what.json();
    assert_eq!((&heard["event"], &heard["ok"], &heard["trigger"]), (&json!("reload"), &json!(false), &json!("order")));
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!(refused.status, 400);
    assert!(message.contains("w.yaml:1:1") && message.contains("channels"), "{message}");
    let last = shown(&gateway, "/admin").await["last_reload"].clone();
    assert_eq!((&last["ok"], &last["refused"], &last["generation"]), (&json!(false), &json!(1), &json!(2)));
    assert!(jobs.drain(tokio::time::Instant::now() + std::time::Duration::from_secs(5)).await.is_empty());
}
