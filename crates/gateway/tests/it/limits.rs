//! Limits of accounts, keys and models as hints for scheduling, and the line where requests wait for a slot.

use std::time::Duration;

use waypost_testkit::{Gate, Request, Script, Upstream, fixtures};

use crate::harness::{Gateway, KEY};

const ASK: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello!"}]}"#;
const CHAT: &str = "/v1/chat/completions";

fn channel(name: &str, upstream: &Upstream, more: &str) -> String {
    format!(
        "- {{name: {name}, provider: openai, base_url: '{}/v1', api_key: sk-1, models: [m], {more}}}\n",
        upstream.url()
    )
}

async fn gateway(settings: &str, channels: &[String]) -> Gateway {
    Gateway::start(&format!("keys: [{{name: test, key: {KEY}}}]\n{settings}\nchannels:\n{}", channels.concat())).await
}

async fn well() -> Upstream {
    Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await
}

fn asked(gateway: &Gateway) -> tokio::task::JoinHandle<waypost_testkit::Answer> {
    let url = gateway.url().to_owned();
    tokio::spawn(async move { Request::post(CHAT, ASK).bearer(KEY).send(&url).await })
}

#[tokio::test]
async fn the_third_request_of_a_second_goes_to_the_next_endpoint_003_05() {
    let (first, second) = (well().await, well().await);
    let channels = [channel("a", &first, "maxRPS: 2"), channel("b", &second, "tier: 2")];
    let gateway = gateway("", &channels).await;
    for _ in 0..3 {
        assert_eq!(gateway.post(CHAT, ASK).await.status, 200);
    }
    assert_eq!((first.hits(), second.hits()), (2, 1));
}

#[tokio::test]
async fn what_a_provider_says_is_left_is_not_exceeded_003_18() {
    let last = Script::reply(200, fixtures::openai_chat::PLAIN)
        .header("x-ratelimit-remaining-requests", "0")
        .header("x-ratelimit-reset-requests", "6m0s");
    let (spent, other) = (Upstream::always(last).await, well().await);
    let gateway = gateway("", &[channel("a", &spent, ""), channel("b", &other, "tier: 2")]).await;
    for _ in 0..3 {
        assert_eq!(gateway.post(CHAT, ASK).await.status, 200);
    }
    assert_eq!((spent.hits(), other.hits()), (1, 2));
}

#[tokio::test]
async fn a_request_waits_for_the_slot_that_is_free_soon() {
    let account = well().await;
    let mut gateway = gateway("", &[channel("a", &account, "limits: {rps: 1}")]).await;
    assert_eq!(gateway.post(CHAT, ASK).await.status, 200);
    assert_eq!(gateway.post(CHAT, ASK).await.status, 200);
    let at: Vec<_> = account.requests().iter().map(|request| request.received_at).collect();
    assert!(at[1] - at[0] >= Duration::from_millis(900), "the limit was exceeded");
    let queued = [gateway.record().await, gateway.record().await].map(|record| record.stages.queued_us);
    assert!(queued[0].is_none() && queued[1] > Some(500_000), "{queued:?}");
}

#[tokio::test]
async fn a_wait_that_would_be_too_long_is_a_429_at_once_with_its_length() {
    let account = well().await;
    let gateway = gateway("", &[channel("a", &account, "limits: {rpm: 1}")]).await;
    assert_eq!(gateway.post(CHAT, ASK).await.status, 200);
    let answer = gateway.post(CHAT, ASK).await;
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert_eq!((answer.status, account.hits()), (429, 1));
    assert!((58..=61).contains(&wait), "{wait}");
}

#[tokio::test]
async fn those_who_wait_are_served_as_requests_end_and_in_their_order() {
    let gate = Gate::closed();
    let account = Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN).gated(&gate)).await;
    let settings = "routing: {queue: {wait: 20s}}";
    let gateway = gateway(settings, &[channel("a", &account, "limits: {concurrency: 1}")]).await;
    let mut waiting = vec![asked(&gateway)];
    account.wait_hits(1).await;
    for place in 1..4 {
        let url = gateway.url().to_owned();
        let body = ASK.replace("Hello!", &format!("number {place}"));
        waiting.push(tokio::spawn(async move { Request::post(CHAT, body).bearer(KEY).send(&url).await }));
        while gateway.app.queues.waiting() < place {
            tokio::task::yield_now().await;
        }
    }
    for served in 1..=4 {
        assert_eq!(account.wait_hits(served).await.len(), served, "more than one at a time");
        gate.pass(1);
    }
    for answer in waiting {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    let order: Vec<_> = account.requests().iter().skip(1).map(|request| request.text().contains("number")).collect();
    assert_eq!(order, [true, true, true]);
    for (place, request) in account.requests().iter().enumerate().skip(1) {
        assert!(request.text().contains(&format!("number {place}")), "{} came as number {place}", request.text());
    }
    assert_eq!(gateway.app.queues.waiting(), 0);
}

#[tokio::test]
async fn a_line_that_is_full_or_switched_off_refuses_at_once() {
    for (queue, fit) in [("{size: 1, wait: 20s}", 1), ("{enabled: false}", 0)] {
        let gate = Gate::closed();
        let account = Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN).gated(&gate)).await;
        let settings = format!("routing: {{queue: {queue}}}");
        let gateway = gateway(&settings, &[channel("a", &account, "limits: {concurrency: 1}")]).await;
        let mut served = vec![asked(&gateway)];
        account.wait_hits(1).await;
        if fit == 1 {
            served.push(asked(&gateway));
            while gateway.app.queues.waiting() < 1 {
                tokio::task::yield_now().await;
            }
        }
        let refused = gateway.post(CHAT, ASK).await;
        assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")), "{queue}");
        gate.pass(10);
        for answer in served {
            assert_eq!(answer.await.unwrap().status, 200);
        }
    }
}

#[tokio::test]
async fn whoever_leaves_the_line_makes_room() {
    let gate = Gate::closed();
    let account = Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN).gated(&gate)).await;
    let settings = "routing: {queue: {wait: 20s}}";
    let gateway = gateway(settings, &[channel("a", &account, "limits: {concurrency: 1}")]).await;
    let first = asked(&gateway);
    account.wait_hits(1).await;
    let gone = asked(&gateway);
    while gateway.app.queues.waiting() < 1 {
        tokio::task::yield_now().await;
    }
    gone.abort();
    while gateway.app.queues.waiting() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    gate.pass(10);
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(gateway.post(CHAT, ASK).await.status, 200);
}

#[tokio::test]
async fn tokens_are_reserved_and_corrected_by_what_was_used() {
    // Its answers report a few tokens; a request is estimated at some hundreds.
    let account = well().await;
    let settings = "routing: {queue: {enabled: false}}";
    let gateway = gateway(settings, &[channel("a", &account, "limits: {tpm: 600}")]).await;
    for _ in 0..5 {
        assert_eq!(gateway.post(CHAT, ASK).await.status, 200);
    }
}
