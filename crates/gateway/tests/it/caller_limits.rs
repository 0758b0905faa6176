//! Limits of callers: what is refused, what is told, what is given back, and that no path leads around them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::Value;
use waypost_gateway::jobs::Jobs;
use waypost_gateway::limits::today;
use waypost_gateway::logbook::{Logbook, RowCounts};
use waypost_gateway::telemetry::Wall;
use waypost_testkit::{Answer, Gate, Request, Script, Upstream, fixtures};

use crate::harness::{Database, Gateway};

const CHAT: &str = "/v1/chat/completions";
const ASK: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello!"}]}"#;
const A: &str = "wp-key-a-0123456789abcdef";
const B: &str = "wp-key-b-0123456789abcdef";

fn yaml(limits: &str, upstream: &Upstream) -> String {
    format!(
        "keys:\n- {{name: a, key: {A}, limits: {limits}}}\n- {{name: b, key: {B}}}\n\
         retry: {{enabled: false}}\nchannels:\n\
         - {{name: o, provider: openai, base_url: '{}/v1', api_key: sk-1, models: [m], default: true}}\n",
        upstream.url()
    )
}

async fn gateway(limits: &str, upstream: &Upstream) -> Gateway {
    Gateway::start(&yaml(limits, upstream)).await
}

async fn well() -> Upstream {
    Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await
}

async fn ask(gateway: &Gateway, key: &str) -> Answer {
    Request::post(CHAT, ASK).bearer(key).send(gateway.url()).await
}

fn error(answer: &Answer) -> Value {
    assert_eq!(answer.status, 429, "{}", answer.text());
    answer.json()["error"].clone()
}

fn number(answer: &Answer, name: &str) -> u64 {
    answer.header(name).expect(name).parse().expect(name)
}

#[tokio::test]
async fn the_third_call_of_a_key_with_two_a_minute_is_refused_and_another_key_is_not_001_10() {
    let upstream = well().await;
    let gateway = gateway("{rpm: 2}", &upstream).await;
    for left in ["1", "0"] {
        let answer = ask(&gateway, A).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-ratelimit-limit-requests"), Some("2"));
        assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some(left));
        assert!(answer.header("x-ratelimit-limit-tokens").is_none());
    }
    let refused = ask(&gateway, A).await;
    let told = error(&refused);
    assert_eq!(told["code"], "rate_limit_exceeded");
    assert!(told["message"].as_str().unwrap().contains("requests per minute of key `a` (limit 2)"), "{told}");
    assert!((55..=61).contains(&number(&refused, "retry-after")));
    assert!((55_000..=61_000).contains(&number(&refused, "retry-after-ms")));
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), Some("0"));
    let reset = refused.header("x-ratelimit-reset-requests").unwrap();
    assert!(reset == "1m0s" || reset == "1m1s" || reset.ends_with('s'), "{reset}");
    let other = ask(&gateway, B).await;
    assert_eq!((other.status, upstream.hits()), (200, 3));
    assert!(other.header("x-ratelimit-limit-requests").is_none(), "a key without limits is told none");
}

#[tokio::test]
async fn a_prompt_larger_than_a_keys_tokens_a_minute_is_refused_001_11() {
    let upstream = well().await;
    let gateway = gateway("{tpm: 100}", &upstream).await;
    let big = ASK.replace("Hello!", &"Hello! ".repeat(100));
    let refused = Request::post(CHAT, big.clone()).bearer(A).send(gateway.url()).await;
    let told = error(&refused);
    assert!(told["message"].as_str().unwrap().contains("tokens per minute of key `a` (limit 100)"), "{told}");
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    assert_eq!(number(&refused, "x-ratelimit-remaining-tokens"), 100, "nothing was taken");
    assert_eq!(Request::post(CHAT, big).bearer(B).send(gateway.url()).await.status, 200);
    // A small one fits; what it reserved is corrected to the 29 tokens that its provider reports.
    assert_eq!(ask(&gateway, A).await.status, 200);
    let models = Request::get("/v1/models").bearer(A).send(gateway.url()).await;
    assert_eq!(number(&models, "x-ratelimit-remaining-tokens"), 71);
    for _ in 0..2 {
        assert_eq!(ask(&gateway, A).await.status, 200);
    }
    error(&ask(&gateway, A).await);
}

#[tokio::test]
async fn a_days_tokens_are_counted_by_what_was_used() {
    let upstream = well().await;
    let gateway = gateway("{tokens_per_day: 100}", &upstream).await;
    for _ in 0..3 {
        assert_eq!(ask(&gateway, A).await.status, 200);
    }
    let told = error(&ask(&gateway, A).await);
    assert!(told["message"].as_str().unwrap().contains("tokens per day of key `a`"), "{told}");
    assert_eq!(upstream.hits(), 3);
}

#[tokio::test]
async fn what_was_taken_of_a_day_is_known_after_a_restart() {
    let upstream = well().await;
    let database = Database::sqlite().await;
    let text = yaml("{tokens_per_day: 100}", &upstream).replace("default: true", "default: true, limits: {rpd: 3}");
    let mut before = Gateway::with_store(&text, database.store.clone()).await;
    let (counts, jobs) = (Arc::<RowCounts>::default(), Jobs::new());
    let logbook = Logbook::start(database.store.clone(), Arc::clone(&counts), &jobs);
    for _ in 0..3 {
        assert_eq!(ask(&before, A).await.status, 200);
        logbook.file(&[before.record().await], &Wall::now(&before.app.clock));
    }
    while counts.written.load(Ordering::Relaxed) < 3 {
        tokio::task::yield_now().await;
    }
    drop(before);
    let after = Gateway::with_store(&text, database.store.clone()).await;
    today::remember(&after.app, &database.store).await.unwrap();
    let told = error(&ask(&after, A).await);
    assert!(told["message"].as_str().unwrap().contains("tokens per day of key `a`"), "{told}");
    assert_eq!(ask(&after, B).await.status, 429, "the account has had its requests of the day");
    assert_eq!(upstream.hits(), 3);
    // Without that, both would be let in.
    let forgetful = Gateway::with_store(&text, database.store.clone()).await;
    assert_eq!((ask(&forgetful, A).await.status, ask(&forgetful, B).await.status), (200, 200));
}

#[tokio::test]
async fn callers_of_anthropics_protocol_are_told_in_its_words() {
    let upstream = well().await;
    let gateway = gateway("{rpm: 1, tpm: 5000}", &upstream).await;
    let body = r#"{"model":"m","max_tokens":50,"messages":[{"role":"user","content":"Hello!"}]}"#;
    let ask = Request::post("/v1/messages", body).header("x-api-key", A);
    let answer = ask.send(gateway.url()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("anthropic-ratelimit-requests-limit"), Some("1"));
    assert_eq!(answer.header("anthropic-ratelimit-requests-remaining"), Some("0"));
    assert!(number(&answer, "anthropic-ratelimit-tokens-remaining") < 5000);
    let reset = answer.header("anthropic-ratelimit-requests-reset").unwrap();
    assert!(reset.starts_with("20") && reset.ends_with('Z') && reset.contains('T'), "{reset}");
    assert!(answer.header("x-ratelimit-limit-requests").is_none());
    let refused = ask.send(gateway.url()).await;
    assert_eq!(error(&refused)["type"], "rate_limit_error");
    assert!(refused.header("retry-after").is_some());
}

#[tokio::test]
async fn a_limit_is_never_exceeded_under_64_concurrent_callers() {
    let upstream = well().await;
    let gateway = gateway("{rpm: 10}", &upstream).await;
    let url = gateway.url().to_owned();
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { Request::post(CHAT, ASK).bearer(A).send(&url).await.status })
        })
        .collect();
    let mut admitted = 0;
    for caller in callers {
        match caller.await.unwrap() {
            200 => admitted += 1,
            other => assert_eq!(other, 429),
        }
    }
    assert_eq!((admitted, upstream.hits()), (10, 10));
}

#[tokio::test]
async fn no_more_run_at_once_than_may_and_whoever_ends_makes_room() {
    let gate = Gate::closed();
    let upstream = Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN).gated(&gate)).await;
    let gateway = gateway("{concurrency: 3}", &upstream).await;
    let asked = || {
        let url = gateway.url().to_owned();
        tokio::spawn(async move { Request::post(CHAT, ASK).bearer(A).send(&url).await.status })
    };
    let running: Vec<_> = (0..3).map(|_| asked()).collect();
    upstream.wait_hits(3).await;
    for _ in 0..10 {
        let refused = ask(&gateway, A).await;
        assert!(error(&refused)["message"].as_str().unwrap().contains("concurrent requests of key `a`"));
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    gate.pass(100);
    for running in running {
        assert_eq!(running.await.unwrap(), 200);
    }
    for _ in 0..3 {
        assert_eq!(ask(&gateway, A).await.status, 200);
    }
}

#[tokio::test]
async fn a_place_is_given_back_on_every_way_out() {
    let upstream = Upstream::by(|request| match request.text() {
        text if text.contains("fail") => Script::reply(503, "{}"),
        text if text.contains("stall") => {
            Script::stream([fixtures::openai_chat::STREAM]).split_every(400).stall_after(4)
        }
        text if text.contains("cut") => Script::stream([fixtures::openai_chat::STREAM]).split_every(400).cut_after(4),
        _ => Script::reply(200, fixtures::openai_chat::PLAIN),
    })
    .await;
    let mut gateway = gateway("{concurrency: 1, tpm: 1000}", &upstream).await;
    let say = |word: &str, stream: bool| {
        let body = ASK.replace("Hello!", word).replace("\"model\"", &format!("\"stream\":{stream},\"model\""));
        Request::post(CHAT, body).bearer(A)
    };
    for _ in 0..3 {
        assert!(say("fail", false).send(gateway.url()).await.status >= 500);
        gateway.record().await;
        let nonsense = Request::post(CHAT, "{\"model\":\"m\"").bearer(A).send(gateway.url()).await;
        assert_eq!(nonsense.status, 400);
        let unknown = Request::post(CHAT, ASK.replace("\"m\"", "\"x\"")).bearer(A).send(gateway.url()).await;
        assert_eq!(unknown.status, 404);
        let mut stalled = say("stall", true).open(gateway.url()).await;
        assert!(stalled.next().await.is_some());
        assert_eq!(ask(&gateway, A).await.status, 429, "its place is taken as long as it streams");
        stalled.hang_up();
        gateway.record().await;
        assert_eq!(say("cut", true).send(gateway.url()).await.status, 200);
        gateway.record().await;
        assert_eq!(ask(&gateway, A).await.status, 200);
        gateway.record().await;
    }
}

#[tokio::test]
async fn every_path_to_a_provider_counts_and_a_list_of_models_does_not() {
    let upstream = well().await;
    let gateway = gateway("{rpm: 1}", &upstream).await;
    assert_eq!(ask(&gateway, A).await.status, 200);
    let post = |path: &str, body: &str| Request::post(path, body.to_owned()).bearer(A);
    let messages = r#"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hi"}]}"#;
    for request in [
        post(CHAT, ASK),
        post("/v1/openai/chat/completions", ASK),
        post("/proxy/v1/chat/completions", ASK),
        post("/v1/responses", r#"{"model":"m","input":"Hi"}"#),
        post("/v1/messages", messages),
        post("/v1/messages/count_tokens", messages),
        post("/v1/completions", r#"{"model":"m","prompt":"Hi"}"#),
        post("/v1/embeddings", r#"{"model":"m","input":"Hi"}"#),
        post("/v1/images/generations", r#"{"model":"m","prompt":"Hi"}"#),
        post("/v1/batches", r#"{"input_file_id":"f","endpoint":"/v1/chat/completions","completion_window":"24h"}"#),
        Request::get("/v1/files").bearer(A),
    ] {
        let answer = request.send(gateway.url()).await;
        assert_eq!(answer.status, 429, "{request:?}: {}", answer.text());
    }
    // Another spelling of a path is none that leads to a provider.
    assert_eq!(post("/v1/Chat/Completions", ASK).send(gateway.url()).await.status, 404);
    let models = Request::get("/v1/models").bearer(A).send(gateway.url()).await;
    assert_eq!((models.status, models.header("x-ratelimit-remaining-requests")), (200, Some("0")));
    assert_eq!(upstream.hits(), 1);
}

#[tokio::test]
async fn errors_before_admission_tell_how_limits_stand_and_take_nothing() {
    let gateway = gateway("{rpm: 3}", &well().await).await;
    let answer = Request::post(CHAT, "nonsense").bearer(A).send(gateway.url()).await;
    assert_eq!((answer.status, answer.header("x-ratelimit-remaining-requests")), (400, Some("3")));
}

#[tokio::test]
async fn what_a_provider_says_of_its_own_limits_is_not_passed_on() {
    let said = Script::reply(200, fixtures::openai_chat::PLAIN)
        .header("x-ratelimit-limit-requests", "9999")
        .header("x-ratelimit-remaining-requests", "1234")
        .header("anthropic-ratelimit-requests-limit", "77")
        .header("retry-after", "9");
    let gateway = gateway("{rpm: 5}", &Upstream::always(said).await).await;
    let limited = ask(&gateway, A).await;
    assert_eq!(limited.header("x-ratelimit-remaining-requests"), Some("4"));
    for name in ["x-ratelimit-limit-requests", "anthropic-ratelimit-requests-limit", "retry-after"] {
        assert_eq!(ask(&gateway, B).await.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn a_reload_keeps_what_was_taken() {
    let upstream = well().await;
    let gateway = gateway("{rpm: 1}", &upstream).await;
    assert_eq!(ask(&gateway, A).await.status, 200);
    gateway.take(&yaml("{rpm: 2}", &upstream));
    assert_eq!(ask(&gateway, A).await.status, 200);
    assert_eq!(ask(&gateway, A).await.status, 429);
}
