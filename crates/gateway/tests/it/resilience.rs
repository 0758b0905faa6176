//! What a year with unreliable accounts needs, through a live gateway: keys that take turns and are given up, deployments
//! that are isolated and tried out again, pauses, and one envelope around it all.

use std::time::Duration;

use waypost_core::usage::{AttemptOutcome, Outcome};
use waypost_core::verdict::Class;
use waypost_testkit::{ClosedPort, Gate, Request, Script, Upstream, fixtures};

use crate::harness::{Gateway, KEY};

const ASK: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello!"}]}"#;
const STREAM: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello!"}],"stream":true}"#;
const CHAT: &str = "/v1/chat/completions";

fn channel(name: &str, url: &str, more: &str) -> String {
    let key = if more.contains("api_key") || more.contains("credentials") { "" } else { "api_key: sk-1," };
    format!(
        "- {{name: {name}, provider: openai, dialects: [openai_chat], base_url: '{url}/v1', {key} models: [m], {more}}}\n"
    )
}

async fn gateway(settings: &str, channels: &[String]) -> Gateway {
    Gateway::start(&format!("keys: [{{name: test, key: {KEY}}}]\n{settings}\nchannels:\n{}", channels.concat())).await
}

fn well() -> Script {
    Script::reply(200, fixtures::openai_chat::PLAIN)
}

fn failing() -> Script {
    Script::reply(500, fixtures::openai_chat::ERROR_500)
}

async fn upstream(script: Script) -> Upstream {
    Upstream::always(script).await
}

/// Refuses these keys with this status, and answers everybody else.
async fn refusing(keys: &'static [&'static str], status: u16) -> Upstream {
    Upstream::by(move |request| {
        let key = request.header("authorization").unwrap_or_default();
        if keys.iter().any(|refused| key.ends_with(refused)) {
            Script::reply(status, "{}").header("retry-after", "30")
        } else {
            well()
        }
    })
    .await
}

fn keys_of(upstream: &Upstream) -> Vec<String> {
    let key = |header: &str| header.trim_start_matches("Bearer ").to_owned();
    upstream.requests().iter().map(|request| key(request.header("authorization").unwrap())).collect()
}

const PAUSE_LESS: &str = "retry: {backoff: {base: 1ms}}";

// === keys ===

#[tokio::test]
async fn three_keys_of_one_account_take_turns_002_07_002_08() {
    let account = upstream(well()).await;
    let gateway = gateway("", &[channel("a", &account.url(), "api_keys: [k1, k2, k3]")]).await;
    for _ in 0..4 {
        assert_eq!(gateway.post(CHAT, ASK).await.status, 200);
    }
    assert_eq!(keys_of(&account), ["k1", "k2", "k3", "k1"]);
}

#[tokio::test]
async fn a_limited_key_is_followed_by_the_next_within_the_same_request_002_20() {
    let account = refusing(&["k1"], 429).await;
    let mut gateway = gateway("", &[channel("a", &account.url(), "api_keys: [k1, k2]")]).await;
    let answer = gateway.post(CHAT, ASK).await;
    assert_eq!((answer.status, answer.header("x-waypost-attempts")), (200, Some("2")));
    let record = gateway.record().await;
    let trail: Vec<_> = record.trail.iter().map(|attempt| (&*attempt.credential, attempt.outcome)).collect();
    assert_eq!(trail, [("key-1", AttemptOutcome::Failed(Class::RateLimited)), ("key-2", AttemptOutcome::Answered)]);
    // As long as the provider asked for, nobody uses the limited key again.
    for _ in 0..3 {
        assert_eq!(gateway.post(CHAT, ASK).await.header("x-waypost-attempts"), Some("1"));
    }
    assert_eq!(keys_of(&account), ["k1", "k2", "k2", "k2", "k2"]);
}

#[tokio::test]
async fn a_dead_key_is_marked_and_not_sent_again_002_11() {
    for (status, class) in [(401, Class::CredentialDead), (402, Class::NoMoney)] {
        let account = refusing(&["k1"], status).await;
        let gateway = gateway("", &[channel("a", &account.url(), "api_keys: [k1, k2]")]).await;
        for _ in 0..4 {
            assert_eq!(gateway.post(CHAT, ASK).await.status, 200);
        }
        assert_eq!(keys_of(&account), ["k1", "k2", "k2", "k2", "k2"], "{status}");
        let live = gateway.app.live();
        let standing = live.snapshot.channels[0].credentials[0].state.standing();
        assert_eq!((standing.out, standing.status), (Some(class), Some(status)));
        assert_eq!((standing.requests, standing.failures), (1, 1), "002-12");
    }
}

#[tokio::test]
async fn the_strategy_of_keys_is_the_owners_choice_002_09_002_10() {
    for (strategy, most) in [("random", 35), ("least_used", 20)] {
        let account = upstream(well()).await;
        let settings = format!("defaults: {{key_strategy: {strategy}}}");
        let gateway = gateway(&settings, &[channel("a", &account.url(), "api_keys: [k1, k2, k3]")]).await;
        for _ in 0..60 {
            gateway.post(CHAT, ASK).await;
        }
        for key in ["k1", "k2", "k3"] {
            let uses = keys_of(&account).iter().filter(|used| *used == key).count();
            assert!(uses >= 5 && uses <= most, "{strategy}: {key} {uses} times");
        }
    }
}

// === attempts ===

#[tokio::test]
async fn alone_an_account_is_asked_again_up_to_max_attempts_002_28() {
    let account = upstream(failing()).await;
    let gateway = gateway(PAUSE_LESS, &[channel("a", &account.url(), "")]).await;
    assert_eq!((gateway.post(CHAT, ASK).await.status, account.hits()), (502, 3));
}

#[tokio::test]
async fn with_retries_off_the_first_failure_is_the_answer_002_27_003_09() {
    for settings in ["retry: {enabled: false}", "fallback: {enabled: false, maxRetries: 3}"] {
        let (first, second) = (upstream(Script::reply(503, "")).await, upstream(well()).await);
        let channels = [channel("a", &first.url(), ""), channel("b", &second.url(), "tier: 2")];
        let gateway = gateway(settings, &channels).await;
        let answer = gateway.post(CHAT, ASK).await;
        assert_eq!((answer.status, first.hits(), second.hits()), (502, 1, 0));
        assert_eq!(answer.header("x-waypost-attempts"), None);
    }
}

#[tokio::test]
async fn only_the_listed_statuses_are_tried_again_002_30() {
    let settings = "retry: {retry_on: [429, 500, 502, 503, 504], backoff: {base: 1ms}}";
    for (status, again) in [(429, true), (500, true), (502, true), (503, true), (504, true), (400, false), (529, false)]
    {
        let (first, second) = (upstream(Script::reply(status, "{}")).await, upstream(well()).await);
        let channels = [channel("a", &first.url(), ""), channel("b", &second.url(), "tier: 2")];
        let gateway = gateway(settings, &channels).await;
        gateway.post(CHAT, ASK).await;
        assert_eq!((first.hits(), second.hits()), (1, usize::from(again)), "{status}");
    }
}

#[tokio::test]
async fn five_failing_endpoints_and_three_retries_are_four_hits_003_10() {
    let mut upstreams = Vec::new();
    let mut channels = Vec::new();
    for tier in 1..=5 {
        let ill = upstream(failing()).await;
        channels.push(channel(&format!("c{tier}"), &ill.url(), &format!("priority: {tier}")));
        upstreams.push(ill);
    }
    let gateway = gateway("fallback: {maxRetries: 3}", &channels).await;
    assert_eq!(gateway.post(CHAT, ASK).await.status, 502);
    assert_eq!(upstreams.iter().map(Upstream::hits).collect::<Vec<_>>(), [1, 1, 1, 1, 0]);
}

#[tokio::test]
async fn pauses_between_endpoints_double_003_11() {
    let account = upstream(failing()).await;
    let channels = [
        channel("a", &account.url(), ""),
        channel("b", &account.url(), "tier: 2"),
        channel("c", &account.url(), "tier: 3"),
    ];
    let settings = "retry: {backoff: {base: 60ms, on_failover: true}}";
    let gateway = gateway(settings, &channels).await;
    assert_eq!(gateway.post(CHAT, ASK).await.status, 502);
    let at: Vec<_> = account.requests().iter().map(|request| request.received_at).collect();
    let gaps: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        gaps.len() == 2 && gaps[0] >= Duration::from_millis(60) && gaps[1] >= Duration::from_millis(120),
        "{gaps:?}"
    );
}

#[tokio::test]
async fn a_slow_endpoint_is_left_for_the_next_within_its_own_time_003_06() {
    let (slow, next) = (upstream(Script::never_answer()).await, upstream(well()).await);
    let channels =
        [channel("a", &slow.url(), "timeouts: {first_byte: 50ms, total: 30s}"), channel("b", &next.url(), "tier: 2")];
    let gateway = gateway("", &channels).await;
    assert_eq!(gateway.post(CHAT, ASK).await.header("x-waypost-deployment"), Some("b/m"));
    slow.wait_aborted(1).await;
}

#[tokio::test]
async fn a_stream_that_keeps_its_first_token_back_is_left_for_the_next() {
    // It sends comments, so that it is neither slow to begin nor silent.
    let mute = Script::stream(vec![": wait\n\n"; 400]).gap(Duration::from_millis(10));
    let (mute, next) = (upstream(mute).await, upstream(Script::stream([fixtures::openai_chat::STREAM])).await);
    let channels = [channel("a", &mute.url(), "timeouts: {first_token: 80ms}"), channel("b", &next.url(), "tier: 2")];
    let mut gateway = gateway("", &channels).await;
    let answer = gateway.post(CHAT, STREAM).await;
    assert_eq!((answer.status, answer.header("x-waypost-deployment")), (200, Some("b/m")));
    assert_eq!(gateway.record().await.trail[0].outcome, AttemptOutcome::Failed(Class::Timeout));
    mute.wait_aborted(1).await;
}

#[tokio::test]
async fn when_all_have_failed_the_fallback_channel_is_asked_once_000_33() {
    let (first, last) = (upstream(failing()).await, upstream(well()).await);
    let channels = [
        channel("first", &first.url(), ""),
        channel("last", &last.url(), "").replace("models: [m]", "models: [other]"),
    ];
    let gateway = gateway("routing: {fallback_channel: last}", &channels).await;
    let answer = gateway.post(CHAT, ASK).await;
    assert_eq!((answer.status, answer.header("x-waypost-deployment")), (200, Some("last/m")));
    assert_eq!((first.hits(), last.hits(), last.last().json()["model"].as_str().unwrap()), (1, 1, "m"));
}

#[tokio::test]
async fn the_trail_tells_every_attempt_in_its_order_003_31_000_29() {
    let closed = ClosedPort::take();
    let (ill, good) = (upstream(failing()).await, upstream(well()).await);
    let channels = [
        channel("closed", &closed.url(), ""),
        channel("ill", &ill.url(), "tier: 2"),
        channel("good", &good.url(), "tier: 3"),
    ];
    let mut gateway = gateway("", &channels).await;
    gateway.post(CHAT, ASK).await;
    let record = gateway.record().await;
    let trail: Vec<_> =
        record.trail.iter().map(|attempt| (&*attempt.deployment, attempt.outcome, attempt.status)).collect();
    assert_eq!(
        trail,
        [
            ("closed/m", AttemptOutcome::Failed(Class::Network), None),
            ("ill/m", AttemptOutcome::Failed(Class::ServerError), Some(500)),
            ("good/m", AttemptOutcome::Answered, Some(200)),
        ]
    );
    let times: Vec<_> = record.trail.iter().flat_map(|attempt| [attempt.started_us, attempt.ended_us]).collect();
    assert!(times.is_sorted(), "{times:?}");
    let stages = record.stages;
    let order = [stages.read_us, stages.planned_us, stages.answered_us, stages.first_token_us];
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{stages:?}");
}

// === breakers ===

#[tokio::test]
async fn after_five_failures_in_a_row_an_endpoint_is_left_alone_003_14_003_15_002_40_000_28_004_30() {
    let (ill, good) = (upstream(failing()).await, upstream(well()).await);
    let channels = [channel("ill", &ill.url(), ""), channel("good", &good.url(), "tier: 2")];
    let gateway = gateway("", &channels).await;
    for request in 1..=12 {
        assert_eq!(gateway.post(CHAT, ASK).await.status, 200);
        assert_eq!(ill.hits(), request.min(5));
    }
}

#[tokio::test]
async fn an_isolated_endpoint_is_tried_out_by_exactly_one_request_003_16() {
    let gate = Gate::closed();
    let held = gate.clone();
    let ill = std::sync::atomic::AtomicUsize::new(0);
    let ill = Upstream::by(move |_| {
        let earlier = ill.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if earlier < 2 { failing() } else { well().gated(&held) }
    })
    .await;
    let good = upstream(well()).await;
    let channels = [
        channel("ill", &ill.url(), "breaker: {failures: 2, open_for: 50ms, ramp: 1ms}"),
        channel("good", &good.url(), "tier: 2"),
    ];
    let gateway = gateway("", &channels).await;
    for _ in 0..2 {
        gateway.post(CHAT, ASK).await;
    }
    // Until one of them is the trial, which is held back; all others have been answered elsewhere.
    let url = gateway.url().to_owned();
    let trial = loop {
        let url = url.clone();
        let request = tokio::spawn(async move { Request::post(CHAT, ASK).bearer(KEY).send(&url).await });
        tokio::select! {
            _ = ill.wait_hits(3) => break request,
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
    };
    for _ in 0..10 {
        assert_eq!(gateway.post(CHAT, ASK).await.header("x-waypost-deployment"), Some("good/m"));
    }
    assert_eq!(ill.hits(), 3);
    gate.pass(100);
    trial.await.unwrap();
    while gateway.post(CHAT, ASK).await.header("x-waypost-deployment") != Some("ill/m") {}
}

#[tokio::test]
async fn with_the_breaker_off_a_failing_endpoint_stays_in_use_003_12() {
    let (ill, good) = (upstream(failing()).await, upstream(well()).await);
    let channels = [channel("ill", &ill.url(), "breaker: off"), channel("good", &good.url(), "tier: 2")];
    let gateway = gateway("", &channels).await;
    for _ in 0..10 {
        gateway.post(CHAT, ASK).await;
    }
    assert_eq!(ill.hits(), 10);
}

#[tokio::test]
async fn streams_that_break_after_their_first_token_count_against_their_deployment() {
    let stream = fixtures::openai_chat::STREAM;
    let middle = stream.len() / 2;
    let cutting =
        upstream(Script::stream([stream[..middle].to_owned(), stream[middle..].to_owned()]).cut_after(1)).await;
    let good = upstream(Script::stream([stream])).await;
    let channels = [channel("cutting", &cutting.url(), "breaker: fast"), channel("good", &good.url(), "tier: 2")];
    let mut gateway = gateway("", &channels).await;
    for _ in 0..6 {
        gateway.post(CHAT, STREAM).await;
    }
    assert_eq!((cutting.hits(), good.hits()), (3, 3));
    assert_eq!(gateway.record().await.outcome, Outcome::Broken);
}

#[tokio::test]
async fn a_callers_mistakes_and_departures_isolate_nobody() {
    let strict = upstream(Script::reply(400, r#"{"error":{"message":"no","type":"invalid_request_error"}}"#)).await;
    let gateway = gateway("", &[channel("a", &strict.url(), "breaker: fast")]).await;
    for request in 1..=8 {
        assert_eq!((gateway.post(CHAT, ASK).await.status, strict.hits()), (400, request));
    }
    let endless = Script::stream(vec![fixtures::openai_chat::STREAM.split_inclusive("\n\n").nth(1).unwrap(); 500])
        .gap(Duration::from_millis(5));
    let patient = upstream(endless).await;
    let gateway = self::gateway("", &[channel("a", &patient.url(), "breaker: fast")]).await;
    for request in 1..=5 {
        let mut live = Request::post(CHAT, STREAM).bearer(KEY).open(gateway.url()).await;
        assert!(live.next().await.is_some());
        live.hang_up();
        patient.wait_aborted(request).await;
    }
    assert_eq!(patient.hits(), 5);
}

#[tokio::test]
async fn with_all_isolated_the_answer_is_a_503_with_the_time_until_the_next_trial() {
    let ill = upstream(failing()).await;
    let gateway = gateway(PAUSE_LESS, &[channel("a", &ill.url(), "")]).await;
    gateway.post(CHAT, ASK).await;
    gateway.post(CHAT, ASK).await;
    let hits = ill.hits();
    let answer = gateway.post(CHAT, ASK).await;
    assert_eq!((answer.status, ill.hits()), (503, hits));
    assert_eq!(answer.json()["error"]["code"], "upstream_unavailable");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
}

#[tokio::test]
async fn what_a_provider_asks_for_is_granted_004_20() {
    let busy = upstream(Script::reply(503, "").header("retry-after", "7")).await;
    let good = upstream(well()).await;
    let channels = [channel("busy", &busy.url(), ""), channel("good", &good.url(), "tier: 2")];
    let gateway = gateway("", &channels).await;
    for _ in 0..5 {
        assert_eq!(gateway.post(CHAT, ASK).await.status, 200);
    }
    assert_eq!(busy.hits(), 1);
}

/// 004-19: each class of failure has its own reach.
#[tokio::test]
async fn each_class_of_failure_reaches_as_far_as_its_cause_004_19() {
    // What is asked after `m` failed so on the first key: the same model, and another model of the same account.
    let table = [
        // A refused key is out for every model; there is no other.
        (401, "no", "no"),
        (402, "no", "no"),
        // Limits, permissions and missing models concern one model.
        (403, "no", "yes"),
        (404, "no", "yes"),
        (429, "no", "yes"),
        // One failure of the server isolates nobody.
        (500, "yes", "yes"),
        (400, "yes", "yes"),
    ];
    for (status, same, other) in table {
        let asked = std::sync::atomic::AtomicBool::new(false);
        let account = Upstream::by(move |_| {
            let first = !asked.swap(true, std::sync::atomic::Ordering::SeqCst);
            if first { Script::reply(status, "{}").header("retry-after", "30") } else { well() }
        })
        .await;
        let channel = channel("a", &account.url(), "").replace("[m]", "[m, other]");
        let gateway = gateway("retry: {enabled: false}", &[channel]).await;
        gateway.post(CHAT, ASK).await;
        let reached = |model: &str| {
            let body = ASK.replace("\"m\"", &format!("\"{model}\""));
            let before = account.hits();
            let (gateway, account) = (&gateway, &account);
            async move {
                gateway.post(CHAT, body).await;
                if account.hits() > before { "yes" } else { "no" }
            }
        };
        let seen = if status == 500 {
            // The 500 asked for patience with its header, which is granted to the deployment.
            ("yes", reached("other").await)
        } else {
            (reached("m").await, reached("other").await)
        };
        assert_eq!(seen, (same, other), "{status}");
    }
}

#[tokio::test]
async fn what_may_have_created_something_is_not_asked_again() {
    let batch = r#"{"input_file_id":"file-1","endpoint":"/v1/chat/completions","completion_window":"24h"}"#;
    let lost = Script::reply(500, fixtures::openai_chat::ERROR_500);
    for (script, key, asked) in [
        (lost.clone(), None, 1),
        (Script::cut_before_answer(), None, 1),
        (lost, Some("mine"), 3),
        // These say that nothing was begun.
        (Script::reply(503, ""), None, 3),
    ] {
        let account = upstream(script).await;
        let gateway = gateway(PAUSE_LESS, &[channel("a", &account.url(), "")]).await;
        let mut request = Request::post("/v1/batches", batch).bearer(KEY);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = request.send(gateway.url()).await;
        assert_eq!((answer.status, account.hits()), (502, asked), "{}", answer.text());
    }
}
