//! What happens, heard while it happens: every stage of a request, breakers, reloads; and how listening ends.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;
use waypost_testkit::{Live, Request, Script, Upstream, fixtures};

use crate::harness::{Gateway, KEY};
use crate::start::Waypost;

const TOKEN: &str = "an-admin-token-0123456789";
const CHAT: &str = "/v1/chat/completions";
const ASK: &str = r#"{"model":"m","messages":[{"role":"user","content":"a secret question"}]}"#;

/// A bound for failing tests; no passing test waits this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// A channel that fails before one that is well; its breaker opens at the first failure.
async fn failing_over() -> (Upstream, Upstream, Gateway) {
    let ill = Upstream::always(Script::reply(500, fixtures::openai_chat::ERROR_500)).await;
    let good = Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
    let channel = |name: &str, url: &str, more: &str| {
        format!(
            "- {{name: {name}, provider: openai, dialects: [openai_chat], base_url: '{url}/v1', api_key: sk-secret, models: [m, other], {more}}}\n"
        )
    };
    let gateway = Gateway::start(&format!(
        "admin: {{token: {TOKEN}}}\nkeys: [{{name: test, key: {KEY}}}]\nretry: {{backoff: {{base: 1ms}}}}\nchannels:\n{}{}",
        channel("ill", &ill.url(), "breaker: {failures: 1}"),
        channel("good", &good.url(), "tier: 2"),
    ))
    .await;
    (ill, good, gateway)
}

/// Listens; when this returns, everything that happens from then on is heard.
async fn listen(gateway: &Gateway, query: &str) -> Live {
    let path = format!("/admin/events{query}");
    let mut live = Request::get(&path).bearer(TOKEN).open(gateway.url()).await;
    assert_eq!(live.status, 200);
    let first = timeout(PATIENCE, live.next()).await.expect("it begins at once").unwrap();
    assert_eq!(&first.what[..], b": listening\n\n");
    live
}

/// The next event as its name and data.
async fn heard(live: &mut Live) -> (String, Value) {
    let event = timeout(PATIENCE, live.next_event()).await.expect("something is heard").expect("it goes on").what;
    let data = event.json();
    let name = event.event.expect("it has a name");
    assert_eq!(data["event"].as_str(), Some(&*name));
    assert!(data["at"].as_u64().is_some_and(|at| at > 1_600_000_000_000), "{data}");
    (name, data)
}

#[tokio::test]
async fn every_stage_of_a_request_is_heard_in_its_order_000_09_000_69() {
    let (_ill, _good, gateway) = failing_over().await;
    let mut live = listen(&gateway, "").await;
    let answer = gateway.post(CHAT, ASK).await;
    assert_eq!(answer.status, 200);
    let mut all = Vec::new();
    while all.last().is_none_or(|(name, _): &(String, Value)| name != "request_end") {
        all.push(heard(&mut live).await);
    }
    let names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "request_start",
            "route",
            "attempt_start",
            "attempt_end",
            "breaker",
            "attempt_start",
            "attempt_end",
            "request_end"
        ]
    );
    for (name, data) in all.iter().filter(|(name, _)| name != "breaker") {
        assert_eq!(data["request_id"].as_str(), answer.header("x-request-id"), "{name}");
        assert_eq!((&data["key"], &data["model"]), (&json!("test"), &json!("m")), "{name}");
    }
    let data = |place: usize| &all[place].1;
    assert_eq!((&data(0)["operation"], &data(0)["stream"]), (&json!("chat"), &json!(false)));
    assert_eq!((&data(1)["strategy"], &data(1)["deployments"]), (&json!("weighted"), &json!(["ill/m", "good/m"])));
    assert_eq!(
        (&data(2)["attempt"], &data(2)["deployment"], &data(2)["trial"]),
        (&json!(1), &json!("ill/m"), &json!(false))
    );
    assert_eq!((&data(3)["outcome"], &data(3)["status"]), (&json!("server_error"), &json!(500)));
    assert_eq!(
        (&data(4)["deployment"], &data(4)["from"], &data(4)["to"]),
        (&json!("ill/m"), &json!("closed"), &json!("open"))
    );
    assert_eq!(
        (&data(6)["attempt"], &data(6)["outcome"], &data(6)["status"]),
        (&json!(2), &json!("answered"), &json!(200))
    );
    let end = data(7);
    assert_eq!((&end["outcome"], &end["status"], &end["attempts"]), (&json!("complete"), &json!(200), &json!(2)));
    assert_eq!(end["deployment"], "good/m");
    assert!(end["input_tokens"].is_u64() && end["latency_ms"].is_u64());
    let text = format!("{all:?}");
    for secret in ["a secret question", "sk-secret", KEY, TOKEN] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_filter_lets_through_what_was_asked_for() {
    let (_ill, _good, gateway) = failing_over().await;
    let mut by_model = listen(&gateway, "?model=other").await;
    let mut by_key = listen(&gateway, "?key=nobody").await;
    gateway.post(CHAT, ASK).await;
    gateway.post(CHAT, ASK.replace("\"m\"", "\"other\"")).await;
    let (name, data) = heard(&mut by_model).await;
    assert_eq!((name.as_str(), &data["model"]), ("request_start", &json!("other")));
    for deployment in ["ill/m", "ill/other"] {
        let (name, data) = heard(&mut by_key).await;
        assert_eq!((name.as_str(), data["deployment"].as_str()), ("breaker", Some(deployment)), "nobody's request");
    }
}

#[tokio::test]
async fn a_caller_who_leaves_ends_its_attempt_and_its_request() {
    let (_ill, _good, gateway) = failing_over().await;
    let stuck = Upstream::always(Script::never_answer()).await;
    gateway.take(&format!(
        "admin: {{token: {TOKEN}}}\nkeys: [{{name: test, key: {KEY}}}]\nchannels:\n- {{name: stuck, provider: openai, base_url: '{}/v1', api_key: k, models: [m]}}\n",
        stuck.url()
    ));
    let mut live = listen(&gateway, "").await;
    let url = gateway.url().to_owned();
    let asking = tokio::spawn(async move { Request::post(CHAT, ASK).bearer(KEY).send(&url).await });
    stuck.wait_hits(1).await;
    asking.abort();
    let mut all = Vec::new();
    while all.last().is_none_or(|(name, _): &(String, Value)| name != "request_end") {
        all.push(heard(&mut live).await);
    }
    let ends: Vec<_> = all.iter().rev().take(2).map(|(name, data)| (name.as_str(), data["outcome"].as_str())).collect();
    assert_eq!(ends, [("request_end", Some("abandoned")), ("attempt_end", Some("cancelled"))]);
}

#[tokio::test]
async fn sixteen_listen_and_one_more_is_told_to_come_back() {
    let (_ill, _good, gateway) = failing_over().await;
    let mut all = Vec::new();
    for _ in 0..16 {
        all.push(listen(&gateway, "").await);
    }
    let refused = Request::get("/admin/events").bearer(TOKEN).send(gateway.url()).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("30")));
    all.pop().unwrap().hang_up();
    let open = async {
        loop {
            let live = Request::get("/admin/events").bearer(TOKEN).open(gateway.url()).await;
            if live.status == 200 {
                return;
            }
        }
    };
    timeout(PATIENCE, open).await.expect("the place of one who left is free again");
}

#[tokio::test]
async fn listening_ends_when_the_gateway_stops() {
    let (_ill, _good, gateway) = failing_over().await;
    let mut live = listen(&gateway, "").await;
    assert_eq!(gateway.drain(PATIENCE).await, 0, "nothing had to be cut");
    assert_eq!(live.next_event().await, None);
    assert_eq!(live.ended(), Some(&waypost_testkit::Ended::Whole));
}

#[tokio::test]
async fn nobody_listens_without_the_token() {
    let (_ill, _good, gateway) = failing_over().await;
    for request in [Request::get("/admin/events"), Request::get("/admin/events").bearer(KEY)] {
        assert_eq!(request.send(gateway.url()).await.status, 401);
    }
    assert!(!gateway.app.events.is_watched());
}

#[tokio::test]
async fn with_debug_the_log_says_why_a_request_was_refused_000_69() {
    let mut waypost = Waypost::new().arguments(&["--port", "0", "--debug"]).env("LOG_LEVEL", "info").start().await;
    assert_eq!(Request::post(CHAT, ASK).bearer("wp-wrong").send(waypost.url()).await.status, 401);
    waypost.hear("\"message\":\"refused\"").await;
    assert!(!waypost.heard().contains("wp-wrong"));
}
