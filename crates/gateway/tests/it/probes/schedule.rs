//! When probes ask: by virtual time, with a transport that needs no socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, sleep};
use waypost_core::config::{Config, Format};
use waypost_core::health::States;
use waypost_core::snapshot::compile;
use waypost_gateway::app::{App, Live, Parts};
use waypost_gateway::jobs::Jobs;
use waypost_gateway::probe;
use waypost_gateway::records::Records;
use waypost_gateway::serve::Limits;
use waypost_gateway::upstream::{Answer, AnswerBody, BoxFuture, Failure, Outgoing, Timeouts, Transport};

/// Counts what it is asked, and answers every question with a list of models.
#[derive(Clone, Default)]
struct Listing(Arc<AtomicUsize>);

impl Transport for Listing {
    fn send(&self, _: Outgoing, _: Timeouts) -> BoxFuture<'_, Result<Answer, Failure>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {
            let body = AnswerBody::full(r#"{"data":[{"id":"m"}]}"#);
            Ok(Answer { status: StatusCode::OK, headers: HeaderMap::new(), body })
        })
    }
}

struct Probing {
    app: Arc<App>,
    jobs: Jobs,
    asked: Listing,
}

impl Probing {
    fn start(channels: &str) -> Self {
        let states = States::default();
        let snapshot = compile(&config(channels), &states).unwrap();
        let (asked, jobs, (records, _)) = (Listing::default(), Jobs::new(), Records::new());
        let live = Live::new(snapshot).unwrap();
        let transport = Box::new(asked.clone());
        let app = Arc::new(App::new(Parts {
            live,
            states,
            transport,
            records,
            limits: Limits::default(),
            store: None,
            money: None,
            entropy: 7,
        }));
        jobs.spawn("probes", probe::run(Arc::clone(&app), jobs.clone()));
        Self { app, jobs, asked }
    }

    fn take(&self, channels: &str) {
        self.app.take(config(channels)).unwrap();
    }

    /// How often somebody was asked within so many seconds.
    async fn asked_within(&self, seconds: u64) -> usize {
        let before = self.asked.0.load(Ordering::Relaxed);
        sleep(Duration::from_secs(seconds)).await;
        self.asked.0.load(Ordering::Relaxed) - before
    }
}

fn config(channels: &str) -> Config {
    Config::parse(&format!("channels: [{channels}]"), Format::Yaml, "test.yaml", &|_| None).unwrap()
}

fn channel(name: &str, every: &str) -> String {
    let probe = if every.is_empty() { String::new() } else { format!(", probe: {{every: {every}}}") };
    format!("{{name: {name}, provider: openai, api_keys: [k1, k2], models: [m]{probe}}}")
}

#[tokio::test(start_paused = true)]
async fn each_key_is_asked_once_in_so_long_004_17() {
    let probing = Probing::start(&format!("{}, {}", channel("a", "100s"), channel("b", "")));
    assert_eq!(probing.asked_within(100).await, 2);
    assert_eq!(probing.asked_within(1000).await, 20);
    let counts = probing.app.probes.counts();
    assert_eq!(
        counts.iter().map(|(channel, finding, count)| (&**channel, *finding, *count)).collect::<Vec<_>>(),
        [("a", "valid", 22)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_reload_begins_ends_and_changes_probes() {
    let probing = Probing::start(&channel("a", ""));
    assert_eq!((probing.asked_within(500).await, probing.jobs.live()), (0, 1));
    probing.take(&channel("a", "100s"));
    assert_eq!((probing.asked_within(100).await, probing.jobs.live()), (2, 2));
    probing.take(&channel("a", "10s"));
    assert_eq!(probing.asked_within(100).await, 20);
    // Reloads that change nothing neither delay nor repeat a question.
    for _ in 0..50 {
        probing.take(&channel("a", "10s"));
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!((probing.asked_within(50).await, probing.jobs.live()), (10, 2));
    probing.take(&channel("b", "10s"));
    assert_eq!(probing.asked_within(100).await, 20);
    assert_eq!(probing.jobs.live(), 2, "the job of a channel that is gone ends");
    assert!(probing.app.probes.counts().iter().all(|(channel, ..)| &**channel == "b"));
    probing.take(&channel("b", ""));
    assert_eq!((probing.asked_within(100).await, probing.jobs.live()), (0, 1));
    probing.take(&channel("b", "10s"));
    assert_eq!((probing.asked_within(100).await, probing.jobs.live()), (20, 2));
}

#[tokio::test(start_paused = true)]
async fn probes_end_with_the_gateway() {
    let probing = Probing::start(&channel("a", "10s"));
    assert!(probing.asked_within(100).await > 0);
    probing.app.begin_leaving();
    assert_eq!((probing.asked_within(100).await, probing.jobs.live()), (0, 1));
    let soon = Instant::now() + Duration::from_secs(1);
    assert_eq!(probing.jobs.drain(soon).await, Vec::<&str>::new());
}
