//! An hour with unreliable providers: starts a Waypost over three scripted upstreams of which one at a time is ill in a random
//! way, asks it on a beat, and watches what it answers and what it takes of the machine.
//!
//! `soak --waypost target/release/waypost --minutes 60 --rate 60 --place target/soak [--seed 1]`. Prints a line a minute and a
//! table at the end; the exit code says whether every target was met. `cargo xtask soak` builds and starts it.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a tool of the workshop stops with the reason when it cannot go on"
)]
#![expect(clippy::print_stdout, reason = "its figures are for whoever started it")]

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval};
use waypost_testkit::{Client, Recorded, Request, Script, Upstream, Waypost, fixtures};

const KEY: &str = "wp-soak-key-0123456789";
/// How long one upstream is ill before it may be another's turn.
const SPELL: Duration = Duration::from_secs(15);
/// Requests under way at once.
const MOST: usize = 256;
/// Longer than any request may take: first-byte timeouts of all attempts together.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> ExitCode {
    let settings = Settings::from_arguments();
    let world = Arc::new(World::new(settings.seed));
    let mut upstreams = Vec::new();
    for number in 0..3 {
        let world = Arc::clone(&world);
        upstreams.push(Upstream::forgetful(move |request| world.script(number, request)).await);
    }
    let waypost = Waypost::start(&settings.waypost, &settings.place, &config(&upstreams)).await;
    println!("waypost {} on {}, seed {}, {} requests/s", waypost.pid(), waypost.url, settings.seed, settings.rate);

    let seen = Arc::new(Seen::default());
    let samples = drive(&settings, &world, &waypost, &seen).await;
    let ended = waypost.stop();
    drop(upstreams);
    report(&settings, &seen, &samples, ended)
}

struct Settings {
    waypost: PathBuf,
    place: PathBuf,
    minutes: u64,
    rate: u64,
    seed: u64,
}

impl Settings {
    fn from_arguments() -> Self {
        let mut named = HashMap::new();
        let mut arguments = std::env::args().skip(1);
        while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
            named.insert(name, value);
        }
        let number = |name: &str, usual: u64| {
            named.get(name).map_or(usual, |value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
        };
        let path = |name: &str| PathBuf::from(named.get(name).unwrap_or_else(|| panic!("{name} is missing")));
        Self {
            waypost: path("--waypost"),
            place: path("--place"),
            minutes: number("--minutes", 60),
            rate: number("--rate", 60).max(1),
            seed: number("--seed", 1),
        }
    }
}

// === the upstreams ===

/// What is wrong with whom, and which requests were cut on purpose after their first words.
struct World {
    seed: u64,
    began: Instant,
    throws: AtomicU64,
    cut: Mutex<HashSet<u64>>,
}

#[derive(Clone, Copy)]
enum Illness {
    ServerError,
    Limited,
    Reset,
    Closed,
    Stalls,
    CutsBeforeWords,
    CutsAfterWords,
    Garbage,
    DeadKey,
    Slow,
    Well,
}

const ILLNESSES: [Illness; 11] = [
    Illness::ServerError,
    Illness::Limited,
    Illness::Reset,
    Illness::Closed,
    Illness::Stalls,
    Illness::CutsBeforeWords,
    Illness::CutsAfterWords,
    Illness::Garbage,
    Illness::DeadKey,
    Illness::Slow,
    Illness::Well,
];

impl World {
    fn new(seed: u64) -> Self {
        Self { seed, began: Instant::now(), throws: AtomicU64::new(0), cut: Mutex::default() }
    }

    /// What an upstream does for a request. Of each spell one upstream is ill, wholly or in a third of its answers.
    fn script(&self, upstream: u64, request: &Recorded) -> Script {
        let spell = self.began.elapsed().as_secs() / SPELL.as_secs();
        let drawn = mix(self.seed ^ spell.wrapping_mul(0x9e37_79b9));
        let partly = drawn & 1 == 0;
        let ill = (drawn >> 1) % 3 == upstream && (!partly || self.throw().is_multiple_of(3));
        let illness = if ill { ILLNESSES[(drawn >> 8) as usize % ILLNESSES.len()] } else { Illness::Well };
        let said = request.json();
        let (stream, anthropic) = (said["stream"] == true, request.path().ends_with("/messages"));
        let events: &str = if anthropic { fixtures::anthropic::STREAM } else { fixtures::openai_chat::STREAM_USAGE };
        let plain: &str = if anthropic { fixtures::anthropic::PLAIN } else { fixtures::openai_chat::PLAIN };
        let pieces: Vec<&str> = events.split_inclusive("\n\n").collect();
        let well = || if stream { Script::stream(pieces.clone()) } else { Script::reply(200, plain) };
        match illness {
            Illness::ServerError => Script::reply(500, fixtures::openai_chat::ERROR_500),
            Illness::Limited => Script::reply(429, fixtures::openai_chat::ERROR_429).header("retry-after", "1"),
            Illness::Reset => Script::reset_before_answer(),
            Illness::Closed => Script::cut_before_answer(),
            Illness::Stalls => Script::never_answer(),
            Illness::CutsBeforeWords if stream => well().cut_after(1),
            Illness::CutsAfterWords if stream => {
                self.cut.lock().expect("no panic").insert(number_of(request));
                let most = pieces.len() - 2;
                well().cut_after(most)
            }
            Illness::CutsBeforeWords | Illness::CutsAfterWords | Illness::Garbage => {
                Script::reply(200, "<html>gateway error</html>")
            }
            Illness::DeadKey => Script::reply(401, fixtures::openai_chat::ERROR_401),
            Illness::Slow => well().delay(Duration::from_millis(200)),
            Illness::Well => well(),
        }
    }

    fn throw(&self) -> u64 {
        mix(self.seed ^ self.throws.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x2545_f491_4f6c_dd1d))
    }
}

/// The number a request carries in its text.
fn number_of(request: &Recorded) -> u64 {
    let text = request.text();
    let digits = text.split("number ").nth(1).unwrap_or_default();
    digits.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(u64::MAX)
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

// === the gateway ===

fn config(upstreams: &[Upstream]) -> String {
    let [one, two, three] = upstreams else { panic!("there are three upstreams") };
    format!(
        "server: {{port: 0}}
keys: [{{name: soak, key: {KEY}}}]
defaults: {{timeouts: {{first_byte: 1s, first_token: 2s, idle: 2s, total: 20s}}}}
cooldowns: {{dead_key: 5s, no_money: 5s}}
breaker: {{failures: 5, open_for: 2s, ramp: 2s}}
channels:
- {{name: one, provider: openai, dialects: [openai_chat], base_url: '{}/v1', api_keys: [sk-1, sk-2], models: [m]}}
- {{name: two, provider: openai, dialects: [openai_chat], base_url: '{}/v1', api_key: sk-3, models: [m]}}
- {{name: three, provider: anthropic, base_url: '{}', api_key: sk-4, models: [m], tier: 2}}
",
        one.url(),
        two.url(),
        three.url()
    )
}

/// What a process takes of the machine.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    resident_kb: u64,
    descriptors: u64,
    threads: u64,
}

fn sample(pid: u32, at: Duration) -> Option<Sample> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let descriptors = std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")).ok()?.count() as u64;
    Some(Sample { at, resident_kb: field("VmRSS:")?, descriptors, threads: field("Threads:")? })
}

// === the load ===

/// What was seen, by kind.
#[derive(Default)]
struct Seen {
    asked: AtomicU64,
    answered: AtomicU64,
    left: AtomicU64,
    /// Cut by an upstream after its first words, and told so.
    cut_and_told: AtomicU64,
    /// Cut, and shown as a clean finish; or anything else that must not be.
    dishonest: AtomicU64,
    failed: AtomicU64,
    not_asked: AtomicU64,
    reasons: Mutex<HashMap<String, u64>>,
}

impl Seen {
    fn read(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    fn fail(&self, reason: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        *self.reasons.lock().expect("no panic").entry(reason).or_default() += 1;
    }
}

async fn drive(settings: &Settings, world: &Arc<World>, waypost: &Waypost, seen: &Arc<Seen>) -> Vec<Sample> {
    let began = Instant::now();
    let whole = Duration::from_secs(settings.minutes * 60);
    let places = Arc::new(Semaphore::new(MOST));
    let mut beat = interval(Duration::from_micros(1_000_000 / settings.rate));
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut samples, mut number, mut minute) = (Vec::new(), 0, 0);
    let pid = waypost.pid();
    while began.elapsed() < whole {
        beat.tick().await;
        number += 1;
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let (world, seen, url) = (Arc::clone(world), Arc::clone(seen), waypost.url.clone());
                tokio::spawn(async move {
                    ask(&world, &seen, &url, number).await;
                    drop(place);
                });
            }
            Err(_) => {
                seen.not_asked.fetch_add(1, Ordering::Relaxed);
            }
        }
        if samples.last().is_none_or(|last: &Sample| began.elapsed() - last.at >= Duration::from_secs(10)) {
            samples.push(sample(pid, began.elapsed()).unwrap_or_else(|| panic!("waypost has ended")));
        }
        if began.elapsed().as_secs() / 60 > minute {
            minute += 1;
            tell(minute, seen, samples.last());
        }
    }
    // Whatever is under way comes to its end.
    let _ = tokio::time::timeout(PATIENCE, places.acquire_many(MOST as u32)).await;
    samples.extend(sample(pid, began.elapsed()));
    samples
}

fn tell(minute: u64, seen: &Seen, last: Option<&Sample>) {
    let read = Seen::read;
    let (resident, descriptors) = last.map_or((0, 0), |last| (last.resident_kb, last.descriptors));
    println!(
        "minute {minute}: asked {}, answered {}, left {}, cut and told {}, failed {}, dishonest {}, {resident} KB, {descriptors} fds",
        read(&seen.asked),
        read(&seen.answered),
        read(&seen.left),
        read(&seen.cut_and_told),
        read(&seen.failed),
        read(&seen.dishonest),
    );
    // The next line may be a minute away, and whoever reads may be a pipe.
    let _ = std::io::stdout().flush();
}

async fn ask(world: &World, seen: &Seen, url: &str, number: u64) {
    seen.asked.fetch_add(1, Ordering::Relaxed);
    let kind = world.throw() % 100;
    let messages = format!(r#"[{{"role":"user","content":"number {number}"}}]"#);
    let (path, body, stream) = match kind {
        0..45 => ("/v1/chat/completions", format!(r#"{{"model":"m","messages":{messages}}}"#), false),
        45..80 => ("/v1/chat/completions", format!(r#"{{"model":"m","messages":{messages},"stream":true}}"#), true),
        80..90 => ("/v1/messages", format!(r#"{{"model":"m","max_tokens":50,"messages":{messages}}}"#), false),
        _ => ("/v1/messages", format!(r#"{{"model":"m","max_tokens":50,"messages":{messages},"stream":true}}"#), true),
    };
    let leaves = stream && world.throw() % 100 < 7;
    let asking = tokio::time::timeout(PATIENCE, one(url, path, body, stream, leaves)).await;
    let was_cut = world.cut.lock().expect("no panic").remove(&number);
    match asking {
        Err(_) => seen.fail("no end within 30 s".to_owned()),
        Ok(Err(error)) => seen.fail(error),
        Ok(Ok(End::Left)) => {
            seen.left.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Ok(End::Whole)) => {
            seen.answered.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Ok(End::Told)) if was_cut => {
            seen.cut_and_told.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Ok(End::Told)) => seen.fail("an error event in a stream nobody cut".to_owned()),
        Ok(Ok(End::Silent)) => {
            seen.dishonest.fetch_add(1, Ordering::Relaxed);
        }
    }
}

enum End {
    Whole,
    /// The client hung up, as it meant to.
    Left,
    /// An error event.
    Told,
    /// Neither an end nor an error.
    Silent,
}

async fn one(url: &str, path: &str, body: String, stream: bool, leaves: bool) -> Result<End, String> {
    let request = Request::post(path, body).bearer(KEY);
    let mut client = Client::try_connect(url).await.map_err(|error| format!("cannot connect: {}", error.kind()))?;
    if !stream {
        let answer = client.try_send(&request).await.map_err(|error| format!("no answer: {}", error.kind()))?;
        let whole = answer.status == 200 && answer.ended == waypost_testkit::Ended::Whole;
        return if whole { Ok(End::Whole) } else { Err(format!("status {}", answer.status)) };
    }
    let mut live = client.open(&request).await.map_err(|error| format!("no answer: {}", error.kind()))?;
    if live.status != 200 {
        return Err(format!("status {}", live.status));
    }
    if leaves {
        let _ = live.next().await;
        live.hang_up();
        return Ok(End::Left);
    }
    let text = live.rest().await;
    let text = String::from_utf8_lossy(&text);
    let whole = text.contains("data: [DONE]") || text.contains("event: message_stop");
    let told = text.contains("\"error\"");
    Ok(match (whole, told) {
        (true, false) => End::Whole,
        (false, true) => End::Told,
        (true, true) | (false, false) => End::Silent,
    })
}

// === the verdict ===

fn report(settings: &Settings, seen: &Seen, samples: &[Sample], (code, lines): (Option<i32>, u64)) -> ExitCode {
    let read = Seen::read;
    let answerable = read(&seen.answered) + read(&seen.failed) + read(&seen.dishonest);
    let share = read(&seen.answered) as f64 * 100.0 / answerable.max(1) as f64;
    let warm = Duration::from_secs(if settings.minutes > 20 { 600 } else { settings.minutes * 20 });
    let settled: Vec<&Sample> = samples.iter().filter(|sample| sample.at >= warm).collect();
    let average =
        |part: &[&Sample]| part.iter().map(|sample| sample.resident_kb).sum::<u64>() as f64 / part.len().max(1) as f64;
    let tenth = (settled.len() / 10).max(1).min(settled.len());
    let (first, last) = (average(&settled[..tenth]), average(&settled[settled.len() - tenth..]));
    let growth = (last - first) * 100.0 / first.max(1.0);
    let most_fds = settled.iter().map(|sample| sample.descriptors).max().unwrap_or(0);
    let (fds_first, fds_last) =
        (settled.first().map_or(0, |s| s.descriptors), settled.last().map_or(0, |s| s.descriptors));
    let threads = settled.iter().map(|sample| sample.threads).max().unwrap_or(0);
    let rows = [
        ("requests asked", read(&seen.asked).to_string(), true),
        ("not asked: 256 were under way", read(&seen.not_asked).to_string(), true),
        ("answerable requests that succeeded", format!("{share:.3} %"), share >= 99.9),
        ("failed", read(&seen.failed).to_string(), true),
        ("cut after the first words, and told so", read(&seen.cut_and_told).to_string(), true),
        ("clients that hung up", read(&seen.left).to_string(), true),
        ("streams without an end or an error", read(&seen.dishonest).to_string(), read(&seen.dishonest) == 0),
        ("records in the access log", lines.to_string(), lines == read(&seen.asked)),
        ("resident at the beginning, after warm-up", format!("{:.1} MB", first / 1024.0), true),
        ("resident at the end", format!("{:.1} MB ({growth:+.1} %)", last / 1024.0), growth <= 5.0),
        ("file descriptors", format!("{fds_first} -> {fds_last}, at most {most_fds}"), fds_last <= fds_first + 50),
        ("threads at most", threads.to_string(), true),
        ("exit code at SIGTERM", format!("{code:?}"), code == Some(0)),
    ];
    for (name, value, met) in &rows {
        println!("{:<45} {value}{}", name, if *met { "" } else { "   MISSED" });
    }
    for (reason, count) in seen.reasons.lock().expect("no panic").iter() {
        println!("failed {count} times: {reason}");
    }
    if rows.iter().all(|(_, _, met)| *met) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
