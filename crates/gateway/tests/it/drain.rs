//! The end of an instance: not ready first, then no new work, then streams to their end or to an honest cut.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;
use waypost_core::usage::Outcome;
use waypost_gateway::serve::Limits;
use waypost_testkit::{Client, Ended, Gate, Request, Script, Upstream as Scripted, fixtures};

use crate::dialects::{Caller, Upstream};
use crate::harness::{Gateway, KEY};
use crate::start::{Running, Waypost};

/// A bound for failing tests; no passing test waits this long.
const PATIENCE: Duration = Duration::from_secs(10);

async fn gateway(channels: &str) -> Gateway {
    let yaml = format!("keys: [{{name: test, key: {KEY}}}]\nchannels:\n{channels}\n");
    Gateway::start_with(&yaml, Limits { drain_idle: PATIENCE, ..Limits::default() }).await
}

/// The binary in front of this upstream, with these settings of the server.
async fn binary(server: &str, upstream: &Scripted) -> Running {
    let text = format!(
        "server: {{port: 0, {server}}}\nkeys: [{{name: a, key: {KEY}}}]\nchannels:\n{}",
        Upstream::Chat.channel("one", &upstream.url(), "")
    );
    Waypost::new().file("waypost.yaml", &text).start().await
}

fn chat(body: impl Into<bytes::Bytes>) -> Request {
    Request::post(Caller::Chat.path(), body).bearer(KEY)
}

#[tokio::test]
async fn a_kept_connection_is_told_that_the_instance_stops_and_is_closed_then() {
    let healthy = Scripted::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
    let gateway = gateway(&Upstream::Chat.channel("one", &healthy.url(), "")).await;
    let mut kept = Client::connect(gateway.url()).await;
    assert_eq!(kept.send(&chat(Caller::Chat.request())).await.status, 200);

    let draining = async { assert_eq!(gateway.drain(PATIENCE).await, 0) };
    let late = async {
        while Client::try_connect(gateway.url()).await.is_ok() {
            tokio::task::yield_now().await;
        }
        let answer = kept.send(&chat(Caller::Chat.request())).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (503, &json!("shutting_down")));
        assert_eq!((answer.header("retry-after"), answer.header("connection")), (Some("1"), Some("close")));
        assert_eq!(timeout(PATIENCE, kept.read_raw()).await.expect("it is closed").0, b"");
    };
    tokio::join!(draining, late);
    assert_eq!(healthy.hits(), 1);
}

#[tokio::test]
async fn a_stream_that_outlives_the_grace_ends_with_an_error_event_in_every_dialect() {
    for caller in Caller::ALL {
        for upstream in [caller.own(), Upstream::Gemini] {
            let spoken = upstream.speaks() + 1;
            let endless = Scripted::start(vec![Script::stream(upstream.events()).stall_after(spoken)]).await;
            let mut gateway = gateway(&upstream.channel("one", &endless.url(), "")).await;
            let request = Request::post(caller.path(), caller.stream_request()).bearer(KEY);
            let mut live = request.open(gateway.url()).await;
            let mut events = vec![];
            while caller.text(&events).is_empty() {
                events.push(live.next_event().await.expect("the stream goes on").what);
            }

            assert_eq!(gateway.drain(Duration::from_millis(1)).await, 1);

            while let Some(event) = live.next_event().await {
                events.push(event.what);
            }
            let story = format!("{caller:?} over {upstream:?}: {events:?}");
            assert!(caller.ends_in_error(&events) && !caller.is_clean(&events), "{story}");
            assert!(events.last().unwrap().data.contains("shutting down"), "{story}");
            assert_eq!(live.ended(), Some(&Ended::Whole), "{story}");
            endless.wait_aborted(1).await;
            let record = gateway.record().await;
            assert_eq!((record.outcome, record.status), (Outcome::Broken, 200), "{story}");
            assert!(record.usage.output > Some(0), "what was delivered is counted: {story}");
        }
    }
}

#[tokio::test]
async fn a_request_that_outlives_the_grace_without_an_answer_is_told_to_come_back() {
    let silent = Scripted::always(Script::never_answer()).await;
    let mut gateway = gateway(&Upstream::Chat.channel("one", &silent.url(), "")).await;
    let mut client = Client::connect(gateway.url()).await;
    client.write(&chat(Caller::Chat.request()).to_bytes("a")).await.unwrap();
    silent.wait_hits(1).await;
    gateway.drain(Duration::from_millis(1)).await;
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (503, &json!("shutting_down")));
    assert_eq!((answer.header("retry-after"), answer.header("connection")), (Some("1"), Some("close")));
    assert!(answer.header("x-request-id").is_some());
    silent.wait_aborted(1).await;
    assert_eq!(gateway.record().await.outcome, Outcome::Abandoned);
}

#[tokio::test]
async fn bytes_in_which_nothing_can_be_said_break_off_instead_of_ending() {
    let stalling = Scripted::always(Script::reply(200, "0123456789").split_every(5).stall_after(1)).await;
    let mut gateway = gateway(&Upstream::Chat.channel("one", &stalling.url(), "default: true,")).await;
    let mut live = Request::get("/v1/files/f/content").bearer(KEY).open(gateway.url()).await;
    assert!(live.next().await.is_some());
    gateway.drain(Duration::from_millis(1)).await;
    live.rest().await;
    assert!(matches!(live.ended(), Some(Ended::Cut(_))), "{:?}", live.ended());
    assert_eq!(gateway.record().await.outcome, Outcome::Abandoned);
}

// === the binary ===

#[tokio::test]
async fn after_sigterm_it_is_first_not_ready_but_serves_and_a_second_one_ends_it_at_once() {
    let endless = Scripted::always(Script::stream(Upstream::Chat.events()).stall_after(3)).await;
    let mut waypost = binary("drain_delay: 1h, shutdown_grace: 1h", &endless).await;
    let mut live = chat(Caller::Chat.stream_request()).open(waypost.url()).await;
    assert!(live.next_event().await.is_some());
    assert_eq!(Request::get("/health/ready").send(waypost.url()).await.status, 200);

    waypost.terminate();
    waypost.hear("not ready any more, still serving").await;

    let ready = Request::get("/health/ready").send(waypost.url()).await;
    assert_eq!((ready.status, &ready.json()["ready"]), (503, &json!(false)));
    assert_eq!(Request::get("/health/live").send(waypost.url()).await.status, 200);
    assert_eq!(chat(Caller::Chat.stream_request()).open(waypost.url()).await.status, 200, "new work is served");

    waypost.terminate();
    waypost.hear("ending at once").await;
    let mut last = String::new();
    while let Some(event) = live.next_event().await {
        last = event.what.data;
    }
    assert!(last.contains("shutting down"), "{last}");
    assert_eq!(waypost.exit_code().await, Some(0));
}

#[tokio::test]
async fn between_the_delay_and_the_end_streams_finish_and_new_work_is_refused() {
    let gate = Gate::closed();
    let events = Upstream::Chat.events();
    let all = events.len();
    let upstream = Scripted::always(Script::stream(events).gated(&gate)).await;
    let mut waypost = binary("drain_delay: 20ms", &upstream).await;
    gate.pass(3);
    let mut live = chat(Caller::Chat.stream_request()).open(waypost.url()).await;
    assert!(live.next_event().await.is_some());

    waypost.terminate();
    waypost.hear("not ready any more").await;
    waypost.hear("requests in flight may finish").await;
    timeout(PATIENCE, async { while Client::try_connect(waypost.url()).await.is_ok() {} }).await.expect("closed");

    gate.pass(all);
    let mut last = String::new();
    while let Some(event) = live.next_event().await {
        last = event.what.data;
    }
    assert_eq!((last.as_str(), live.ended()), ("[DONE]", Some(&Ended::Whole)));
    assert_eq!(waypost.log_line().await["outcome"], "complete");
    assert_eq!(waypost.exit_code().await, Some(0));
    assert!(!waypost.heard().contains("cut at the end"), "{}", waypost.heard());
}
