//! Configurations that change under a running gateway: taken over whole, or not at all, and nobody in flight notices.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use waypost_core::config::{Config, Format};
use waypost_gateway::jobs::Jobs;
use waypost_gateway::reload::{self, Fixed, Source};
use waypost_testkit::{Gate, Request, Script, Upstream, fixtures};

use crate::harness::{Gateway, KEY};
use crate::start::Waypost;

const ASK: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello!"}]}"#;
const STREAM: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello!"}],"stream":true}"#;
const CHAT: &str = "/v1/chat/completions";

async fn well() -> Upstream {
    Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await
}

fn config(channels: &[String]) -> String {
    format!("keys: [{{name: test, key: {KEY}}}]\nchannels:\n{}", channels.concat())
}

fn channel(name: &str, upstream: &Upstream, more: &str) -> String {
    format!(
        "- {{name: {name}, provider: openai, dialects: [openai_chat], base_url: '{}/v1', api_key: sk-1, models: [m], {more}}}\n",
        upstream.url()
    )
}

#[tokio::test]
async fn a_provider_added_while_running_takes_requests_000_21_003_27() {
    let (first, second) = (well().await, well().await);
    let gateway = Gateway::start(&config(&[channel("first", &first, "tier: 2")])).await;
    assert_eq!(gateway.post(CHAT, ASK).await.header("x-waypost-deployment"), Some("first/m"));
    gateway.take(&config(&[channel("first", &first, "tier: 2"), channel("second", &second, "")]));
    assert_eq!(gateway.post(CHAT, ASK).await.header("x-waypost-deployment"), Some("second/m"));
}

#[tokio::test]
async fn a_stream_in_flight_does_not_notice_that_its_channel_is_gone_000_22() {
    let gate = Gate::closed();
    let pieces: Vec<_> = fixtures::openai_chat::STREAM.split_inclusive("\n\n").collect();
    let count = pieces.len();
    let (old, new) = (Upstream::always(Script::stream(pieces).gated(&gate)).await, well().await);
    let mut gateway = Gateway::start(&config(&[channel("old", &old, "")])).await;
    gate.pass(3);
    let mut live = Request::post(CHAT, STREAM).bearer(KEY).open(gateway.url()).await;
    assert!(live.next_event().await.is_some());
    gateway.take(&config(&[channel("new", &new, "")]).replace(KEY, "wp-another-key-0123456789"));
    gate.pass(count);
    let rest = String::from_utf8(live.rest().await.to_vec()).unwrap();
    assert!(rest.ends_with("data: [DONE]\n\n"), "{rest}");
    assert_eq!(gateway.record().await.deployment.as_deref(), Some("old/m"));
    assert_eq!(gateway.post(CHAT, ASK).await.status, 401, "the old key is gone at once");
}

#[tokio::test]
async fn a_breaker_stays_open_over_a_reload_that_has_nothing_to_do_with_it() {
    let (ill, good) = (Upstream::always(Script::reply(500, "")).await, well().await);
    let channels = |more: &str| {
        config(&[channel("ill", &ill, "breaker: fast"), channel("good", &good, &format!("tier: 2, {more}"))])
    };
    let gateway = Gateway::start(&channels("")).await;
    for _ in 0..5 {
        gateway.post(CHAT, ASK).await;
    }
    assert_eq!(ill.hits(), 3);
    gateway.take(&channels("weight: 7"));
    gateway.post(CHAT, ASK).await;
    assert_eq!(ill.hits(), 3);
}

/// A source whose text a test changes.
struct Text(Arc<Mutex<String>>, Arc<AtomicUsize>);

impl Source for Text {
    fn load(&mut self) -> Result<Config, Vec<String>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        let text = self.0.lock().unwrap().clone();
        Config::parse(&text, Format::Yaml, "w.yaml", &|_| None)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }
}

#[tokio::test]
async fn an_order_is_answered_with_what_came_of_it_and_a_mistake_changes_nothing() {
    let (first, second) = (well().await, well().await);
    let before = config(&[channel("first", &first, "")]);
    let gateway = Gateway::start(&before).await;
    let text = Arc::new(Mutex::new(before));
    assert!(gateway.app.reloads.reload().await.is_none(), "nothing reloads here yet");
    let jobs = Jobs::new();
    let source = Box::new(Text(Arc::clone(&text), Arc::default()));
    jobs.spawn("reload", reload::run(Arc::clone(&gateway.app), source, Fixed::default(), jobs.clone()));
    let report = loop {
        if let Some(report) = gateway.app.reloads.reload().await {
            break report;
        }
        tokio::task::yield_now().await;
    };
    assert!(report.is_ok() && report.generation == 2 && report.trigger == "order", "{report:?}");

    *text.lock().unwrap() = config(&[channel("second", &second, "tier: 11, wieght: 3")]);
    let report = gateway.app.reloads.reload().await.unwrap();
    assert_eq!((report.generation, report.refused), (2, 1));
    assert!(report.errors.iter().all(|error| error.starts_with("w.yaml:3:")), "{report:?}");
    assert!(report.errors.iter().any(|error| error.contains("weight")), "the nearest name is missing: {report:?}");
    assert_eq!(*gateway.app.last_reload(), report);
    assert_eq!(gateway.post(CHAT, ASK).await.header("x-waypost-deployment"), Some("first/m"));

    *text.lock().unwrap() =
        format!("server: {{port: 4000}}\nlogging: {{level: debug}}\n{}", config(&[channel("second", &second, "")]));
    let report = gateway.app.reloads.reload().await.unwrap();
    assert_eq!((report.generation, report.restart.as_slice()), (3, &["server.port", "logging"][..]));
    assert_eq!(gateway.post(CHAT, ASK).await.header("x-waypost-deployment"), Some("second/m"));
    assert!(jobs.drain(tokio::time::Instant::now() + std::time::Duration::from_secs(5)).await.is_empty());
}

#[cfg(unix)]
#[tokio::test]
async fn a_changed_file_and_a_signal_are_obeyed_and_a_broken_file_is_told_with_its_line_000_20_000_22() {
    let (first, second) = (well().await, well().await);
    let text = |channel: String| format!("server: {{port: 0}}\n{}", config(&[channel]));
    let mut running = Waypost::new().file("waypost.yaml", &text(channel("first", &first, ""))).start().await;
    let ask = Request::post(CHAT, ASK).bearer(KEY);
    assert_eq!(ask.send(running.url()).await.header("x-waypost-deployment"), Some("first/m"));

    running.write("waypost.yaml", &text(channel("second", &second, "")));
    running.hear("\"trigger\":\"file\"").await;
    assert_eq!(ask.send(running.url()).await.header("x-waypost-deployment"), Some("second/m"));

    running.write("waypost.yaml", "channels: [\n");
    running.hear("the old one stays in use").await;
    assert!(running.heard().contains("waypost.yaml:"), "{}", running.heard());
    assert_eq!(ask.send(running.url()).await.header("x-waypost-deployment"), Some("second/m"));

    running.write("waypost.yaml", &text(channel("third", &first, "")));
    running.signal("HUP");
    running.hear("\"generation\":3").await;
    assert_eq!(ask.send(running.url()).await.header("x-waypost-deployment"), Some("third/m"));

    // Nothing is read for a request: the file can go. 000-56
    running.remove("waypost.yaml");
    assert_eq!(ask.send(running.url()).await.status, 200);
}
