//! Providers that die under load: callers notice nothing while another is well, and the dead one is not drowned.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use waypost_testkit::{Answer, Request, Script, Upstream, fixtures};

use crate::harness::{Gateway, KEY};

const ASK: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello!"}]}"#;
const CHAT: &str = "/v1/chat/completions";

/// A provider that dies when it is told to.
struct Mortal {
    upstream: Upstream,
    dead: Arc<AtomicBool>,
}

impl Mortal {
    async fn dying(of: Script) -> Self {
        let dead = Arc::new(AtomicBool::new(false));
        let is_dead = Arc::clone(&dead);
        let well = Script::reply(200, fixtures::openai_chat::PLAIN);
        let upstream =
            Upstream::by(move |_| if is_dead.load(Ordering::SeqCst) { of.clone() } else { well.clone() }).await;
        Self { upstream, dead }
    }

    fn die(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    fn channel(&self, name: &str) -> String {
        format!(
            "- {{name: {name}, provider: openai, base_url: '{}/v1', api_key: k, models: [m]}}\n",
            self.upstream.url()
        )
    }
}

async fn gateway(settings: &str, providers: [&Mortal; 2]) -> Gateway {
    let channels = [providers[0].channel("one"), providers[1].channel("two")].concat();
    Gateway::start(&format!("keys: [{{name: test, key: {KEY}}}]\n{settings}\nchannels:\n{channels}")).await
}

/// Asks 200 times a second, on a beat.
async fn ask(gateway: &Gateway, times: usize) -> Vec<Answer> {
    let mut beat = interval(Duration::from_millis(5));
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut asked = Vec::with_capacity(times);
    for _ in 0..times {
        beat.tick().await;
        let url = gateway.url().to_owned();
        asked.push(tokio::spawn(async move { Request::post(CHAT, ASK).bearer(KEY).send(&url).await }));
    }
    let mut answers = Vec::with_capacity(times);
    for answer in asked {
        answers.push(answer.await.unwrap());
    }
    answers
}

#[tokio::test]
async fn one_of_two_providers_dies_under_load_and_no_caller_notices_000_26_003_39() {
    let deaths =
        [Script::reply(500, fixtures::openai_chat::ERROR_500), Script::reset_before_answer(), Script::never_answer()];
    for death in deaths {
        let story = format!("{death:?}");
        let (dying, well) = (Mortal::dying(death).await, Mortal::dying(Script::reply(500, "")).await);
        let settings = "defaults: {timeouts: {first_byte: 500ms}}\nrouting: {strategy: round_robin}";
        let gateway = gateway(settings, [&dying, &well]).await;
        assert!(ask(&gateway, 100).await.iter().all(|answer| answer.status == 200));
        assert_eq!(dying.upstream.hits(), 50);

        dying.die();
        let answers = ask(&gateway, 200).await;
        let failed = answers.iter().filter(|answer| answer.status != 200).count();
        assert_eq!(failed, 0, "{story}");
        // Of 200 requests its share would have been 100; it saw what was under way before its first failures came back.
        let hits = dying.upstream.hits() - 50;
        assert!((1..=110).contains(&hits), "{hits} hits after its death: {story}");
    }
}

#[tokio::test]
async fn when_all_providers_die_the_load_on_them_is_bounded_and_callers_are_told_soon_003_39() {
    let (one, two) = (Mortal::dying(Script::reply(503, "")).await, Mortal::dying(Script::reply(503, "")).await);
    // Without breakers, so that the budget alone bounds the repetition.
    let settings = "breaker: off\nretry: {backoff: {base: 1ms}, budget: {percent: 10, floor: 10}}";
    let gateway = gateway(settings, [&one, &two]).await;
    one.die();
    two.die();
    let answers = ask(&gateway, 300).await;
    assert!(answers.iter().all(|answer| answer.status == 502));
    let hits = one.upstream.hits() + two.upstream.hits();
    assert!(hits >= 300, "each was tried: {hits}");
    assert!(hits <= 330 + 2, "300 requests became {hits} calls");

    // With them, next to nothing reaches the dead.
    let gateway = self::gateway("retry: {backoff: {base: 1ms}}", [&one, &two]).await;
    let before = one.upstream.hits() + two.upstream.hits();
    let answers = ask(&gateway, 300).await;
    assert!(answers.iter().all(|answer| matches!(answer.status, 502 | 503)));
    assert!(answers.iter().skip(150).all(|answer| answer.header("retry-after").is_some()));
    let hits = one.upstream.hits() + two.upstream.hits() - before;
    assert!(hits <= 60, "{hits} calls for 300 requests");
}
