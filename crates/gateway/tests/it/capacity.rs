//! At 95 % of what a provider grants, hardly a call meets a 429: what is configured or learned of limits is obeyed.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use waypost_testkit::{Request, Script, Upstream, fixtures};

use crate::harness::{Gateway, KEY};

const ASK: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello!"}]}"#;
const CHAT: &str = "/v1/chat/completions";
/// What the provider grants in a second.
const GRANTED: u64 = 100;

/// Bursts of ten requests; about two and a half seconds.
const BURSTS: usize = 24;

/// How a provider counts.
#[derive(Clone, Copy, Debug)]
enum Counting {
    /// So many in each second of its clock.
    Window,
    /// A bucket that is refilled steadily.
    Bucket,
}

/// A provider that enforces its limit, says what is left, and counts refusals.
struct Strict {
    counting: Counting,
    began: Instant,
    window: u64,
    left: f64,
    at: Instant,
    refused: usize,
}

impl Strict {
    fn new(counting: Counting) -> Self {
        let now = Instant::now();
        Self { counting, began: now, window: 0, left: GRANTED as f64, at: now, refused: 0 }
    }

    fn answer(&mut self) -> Script {
        let now = Instant::now();
        let whole = GRANTED as f64;
        let reset = match self.counting {
            Counting::Window => {
                let since = now - self.began;
                if since.as_secs() != self.window {
                    (self.window, self.left) = (since.as_secs(), whole);
                }
                1.0 - since.subsec_nanos() as f64 / 1e9
            }
            Counting::Bucket => {
                self.left = (self.left + (now - self.at).as_secs_f64() * whole).min(whole);
                self.at = now;
                (whole - self.left) / whole
            }
        };
        let script = if self.left >= 1.0 {
            self.left -= 1.0;
            Script::reply(200, fixtures::openai_chat::PLAIN)
        } else {
            self.refused += 1;
            Script::reply(429, fixtures::openai_chat::ERROR_429).header("retry-after-ms", "100")
        };
        script
            .header("x-ratelimit-limit-requests", &GRANTED.to_string())
            .header("x-ratelimit-remaining-requests", &(self.left as u64).to_string())
            .header("x-ratelimit-reset-requests", &format!("{}ms", (reset * 1000.0).ceil() as u64))
    }
}

/// Asks at 95 % of what is granted, in bursts of ten; gives the calls the provider saw, those it refused, and how many
/// callers were refused.
async fn ask(counting: Counting, settings: &'static str) -> (usize, usize, usize) {
    let strict = std::sync::Arc::new(Mutex::new(Strict::new(counting)));
    let answering = std::sync::Arc::clone(&strict);
    let upstream = Upstream::by(move |_| answering.lock().unwrap().answer()).await;
    let gateway = Gateway::start(&format!(
        "keys: [{{name: test, key: {KEY}}}]\nchannels: [{{name: a, provider: openai, base_url: '{}/v1', api_key: k, models: [m], {settings}}}]",
        upstream.url()
    ))
    .await;
    let mut beat = interval(Duration::from_micros(10 * 1_000_000 * 100 / (GRANTED * 95)));
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut asked = Vec::new();
    for _ in 0..BURSTS {
        beat.tick().await;
        for _ in 0..10 {
            let url = gateway.url().to_owned();
            asked.push(tokio::spawn(async move { Request::post(CHAT, ASK).bearer(KEY).send(&url).await }));
        }
    }
    let mut refused = 0;
    for answer in asked {
        refused += usize::from(answer.await.unwrap().status != 200);
    }
    let calls = upstream.hits();
    let strict = strict.lock().unwrap().refused;
    (calls, strict, refused)
}

#[tokio::test]
async fn at_95_per_cent_of_capacity_hardly_a_call_meets_a_429_003_18() {
    let cases = [
        (Counting::Window, "limits: {rps: 95}"),
        (Counting::Bucket, "limits: {rps: 95}"),
        (Counting::Window, ""),
        (Counting::Bucket, ""),
    ];
    let asking = cases.map(|(counting, settings)| tokio::spawn(ask(counting, settings)));
    for ((counting, settings), asked) in cases.into_iter().zip(asking) {
        let (calls, limited, refused) = asked.await.unwrap();
        let story =
            format!("{counting:?} with `{settings}`: {calls} calls, {limited} met a 429, {refused} callers refused");
        assert!(calls * 100 >= BURSTS * 10 * 99 && limited * 200 < calls && refused * 100 <= BURSTS * 10, "{story}");
    }
}
