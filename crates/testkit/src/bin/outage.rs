//! Providers that die under 200 requests a second: what callers see, what the dead one sees, and how long callers wait when
//! everybody is dead. `outage --waypost target/release/waypost --place target/outage`; `cargo xtask outage` starts it.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a tool of the workshop stops with the reason when it cannot go on"
)]
#![expect(clippy::print_stdout, reason = "its figures are for whoever started it")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use waypost_testkit::{Client, Request, Script, Upstream, Waypost, fixtures};

const KEY: &str = "wp-outage-key-0123456789";
const RATE: u64 = 200;
/// The deadline of a request.
const TOTAL: Duration = Duration::from_millis(1500);
/// How much later than its deadline a caller may be answered.
const GRACE: Duration = Duration::from_millis(50);

/// A provider that dies in some way, and counts what it sees.
struct Provider {
    upstream: Upstream,
    dead: Arc<AtomicBool>,
    hits: Arc<AtomicU64>,
}

impl Provider {
    async fn dying(of: Script) -> Self {
        let (dead, hits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (is_dead, counted) = (Arc::clone(&dead), Arc::clone(&hits));
        let upstream = Upstream::forgetful(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            if is_dead.load(Ordering::Relaxed) { of.clone() } else { Script::reply(200, fixtures::openai_chat::PLAIN) }
        })
        .await;
        Self { upstream, dead, hits }
    }

    fn die(&self) {
        self.dead.store(true, Ordering::Relaxed);
        self.hits.store(0, Ordering::Relaxed);
    }

    fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }
}

/// What callers saw in a phase.
struct Phase {
    asked: u64,
    well: u64,
    slowest: Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let path = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name).unwrap_or_else(|| panic!("{name} is missing"));
        PathBuf::from(arguments.get(at + 1).unwrap_or_else(|| panic!("{name} has no value")))
    };
    let (program, place) = (path("--waypost"), path("--place"));
    let mut met = true;
    println!(
        "{:<10} {:<22} {:>6} {:>6} {:>12} {:>14} {:>14}",
        "death", "phase", "asked", "200", "slowest ms", "hits on dead", "allowed"
    );
    let deaths = [
        ("500", Script::reply(500, fixtures::openai_chat::ERROR_500)),
        ("reset", Script::reset_before_answer()),
        ("silence", Script::never_answer()),
    ];
    for (name, death) in deaths {
        let (one, two) = (Provider::dying(death.clone()).await, Provider::dying(death).await);
        let waypost = Waypost::start(&program, &place, &config(&one, &two)).await;
        let calm = ask(&waypost.url, Duration::from_secs(3)).await;
        one.die();
        let one_dead = ask(&waypost.url, Duration::from_secs(5)).await;
        let (hits, allowed) = (one.hits(), one_dead.asked / 2 * 11 / 10);
        one.die();
        two.die();
        let all_dead = ask(&waypost.url, Duration::from_secs(5)).await;
        let (all_hits, all_allowed) = (one.hits() + two.hits(), all_dead.asked * 11 / 10);
        let row = |phase: &str, seen: &Phase, hits: u64, allowed: u64, ok: bool| {
            println!(
                "{name:<10} {phase:<22} {:>6} {:>6} {:>12.1} {hits:>14} {allowed:>14}{}",
                seen.asked,
                seen.well,
                seen.slowest.as_secs_f64() * 1000.0,
                if ok { "" } else { "   MISSED" }
            );
            ok
        };
        met &= row("both well", &calm, 0, 0, calm.well == calm.asked);
        met &= row("one dead", &one_dead, hits, allowed, one_dead.well == one_dead.asked && hits <= allowed);
        let in_time = all_dead.slowest <= TOTAL + GRACE;
        met &= row("both dead", &all_dead, all_hits, all_allowed, in_time && all_hits <= all_allowed);
        drop(waypost);
    }
    println!("every request was to end within {:?}", TOTAL + GRACE);
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn config(one: &Provider, two: &Provider) -> String {
    let channel = |name: &str, provider: &Provider| {
        format!(
            "- {{name: {name}, provider: openai, base_url: '{}/v1', api_key: k, models: [m]}}\n",
            provider.upstream.url()
        )
    };
    format!(
        "server: {{port: 0}}
keys: [{{name: outage, key: {KEY}}}]
routing: {{strategy: round_robin}}
defaults: {{timeouts: {{connect: 500ms, first_byte: 600ms, total: {}ms}}}}
channels:
{}{}",
        TOTAL.as_millis(),
        channel("one", one),
        channel("two", two)
    )
}

/// Asks on a beat for so long, and waits for every answer.
async fn ask(url: &str, span: Duration) -> Phase {
    let mut beat = interval(Duration::from_micros(1_000_000 / RATE));
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (began, mut asking) = (Instant::now(), Vec::new());
    while began.elapsed() < span {
        beat.tick().await;
        let url = url.to_owned();
        asking.push(tokio::spawn(async move {
            let body = r#"{"model":"m","messages":[{"role":"user","content":"Hello!"}]}"#;
            let request = Request::post("/v1/chat/completions", body).bearer(KEY);
            let mut client = Client::try_connect(&url).await.expect("the gateway accepts");
            let started = Instant::now();
            let answer = client.try_send(&request).await.expect("the gateway answers");
            (answer.status, started.elapsed())
        }));
    }
    let mut phase = Phase { asked: 0, well: 0, slowest: Duration::ZERO };
    for asked in asking {
        let (status, took) = asked.await.expect("a request that ends");
        phase.asked += 1;
        phase.well += u64::from(status == 200);
        phase.slowest = phase.slowest.max(took);
    }
    phase
}
