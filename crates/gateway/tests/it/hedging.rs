//! A second deployment is asked when the first is slow to begin; whoever begins first answers, the other is cancelled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use waypost_core::usage::{AttemptOutcome, UsageRecord};
use waypost_testkit::{Script, Upstream, fixtures};

use crate::harness::{Gateway, KEY};

const ASK: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello!"}]}"#;
const CHAT: &str = "/v1/chat/completions";

fn well() -> Script {
    Script::reply(200, fixtures::openai_chat::PLAIN)
}

/// A first deployment that turns to this script once told, a second one, and a gateway that knows how fast they are.
async fn hedging(slow: Script, second: Script, settings: &str) -> (Upstream, Upstream, Gateway) {
    let turned = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&turned);
    let first = Upstream::by(move |_| if told.load(Ordering::SeqCst) { slow.clone() } else { well() }).await;
    let second = Upstream::always(second).await;
    let channel = |name, upstream: &Upstream, tier| {
        format!(
            "- {{name: {name}, provider: openai, base_url: '{}/v1', api_key: k, models: [m], tier: {tier}}}\n",
            upstream.url()
        )
    };
    let channels = [channel("first", &first, 1), channel("second", &second, 2)].concat();
    let text = format!("keys: [{{name: test, key: {KEY}}}]\nrouting: {{hedge: {{{settings}}}}}\nchannels:\n{channels}");
    let mut gateway = Gateway::start(&text).await;
    for _ in 0..25 {
        assert_eq!(gateway.post(CHAT, ASK).await.status, 200);
        gateway.record().await;
    }
    assert_eq!(second.hits(), 0, "nothing was slow");
    turned.store(true, Ordering::SeqCst);
    (first, second, gateway)
}

fn trail(record: &UsageRecord) -> Vec<(&str, AttemptOutcome, bool)> {
    record.trail.iter().map(|attempt| (&*attempt.deployment, attempt.outcome, attempt.hedge)).collect()
}

const ON: &str = "enabled: true, after: 30ms, max_percent: 50";

#[tokio::test]
async fn when_the_first_is_slow_the_second_answers_and_the_first_is_cancelled() {
    let (first, second, mut gateway) = hedging(Script::never_answer(), well(), ON).await;
    let answer = gateway.post(CHAT, ASK).await;
    assert_eq!((answer.status, answer.header("x-waypost-deployment")), (200, Some("second/m")));
    first.wait_aborted(1).await;
    assert_eq!(second.hits(), 1);
    let record = gateway.record().await;
    assert_eq!(
        trail(&record),
        [("first/m", AttemptOutcome::Cancelled, false), ("second/m", AttemptOutcome::Answered, true)]
    );
    gateway.assert_no_record();
    let live = gateway.app.live();
    let state = &live.snapshot.route("m").unwrap().tiers[0].deployments[0].state;
    assert!(!state.is_failing() && state.in_flight() == 0, "the loser is not to blame");
}

#[tokio::test]
async fn when_the_second_is_slower_still_the_first_answers() {
    let late = well().delay(Duration::from_millis(120));
    let (_first, second, mut gateway) = hedging(late, Script::never_answer(), ON).await;
    assert_eq!(gateway.post(CHAT, ASK).await.header("x-waypost-deployment"), Some("first/m"));
    second.wait_aborted(1).await;
    assert_eq!(trail(&gateway.record().await)[1], ("second/m", AttemptOutcome::Cancelled, true));
}

#[tokio::test]
async fn a_racer_that_fails_leaves_the_other_in_the_race() {
    let late = well().delay(Duration::from_millis(120));
    let (_first, _second, mut gateway) = hedging(late, Script::reply(500, ""), ON).await;
    let answer = gateway.post(CHAT, ASK).await;
    assert_eq!(answer.header("x-waypost-deployment"), Some("first/m"), "{}", answer.text());
    assert!(matches!(trail(&gateway.record().await)[1].1, AttemptOutcome::Failed(_)));

    let failing = Script::reply(500, "").delay(Duration::from_millis(60));
    let (_first, _second, mut gateway) = hedging(failing, well().delay(Duration::from_millis(120)), ON).await;
    assert_eq!(gateway.post(CHAT, ASK).await.header("x-waypost-deployment"), Some("second/m"));
    assert!(matches!(trail(&gateway.record().await)[0].1, AttemptOutcome::Failed(_)));
}

#[tokio::test]
async fn the_share_of_hedged_requests_is_capped_and_it_is_off_unless_switched_on() {
    let late = || well().delay(Duration::from_millis(60));
    for (settings, hedged) in [("enabled: true, after: 30ms, max_percent: 4", 1), ("after: 30ms", 0)] {
        let (_first, second, gateway) = hedging(late(), well(), settings).await;
        for _ in 0..4 {
            assert_eq!(gateway.post(CHAT, ASK).await.status, 200);
        }
        assert_eq!(second.hits(), hedged, "{settings}");
    }
}
