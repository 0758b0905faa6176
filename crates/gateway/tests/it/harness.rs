//! A live gateway for tests: the real app behind the real edge on a loopback port, its records in an inbox the test reads.
//!
//! Built from parts as `start` builds it. When it is dropped, it fails the test if a handler panicked.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};
use waypost_core::Secret;
use waypost_core::config::{Config, Format};
use waypost_core::health::States;
use waypost_core::snapshot::compile;
use waypost_core::usage::UsageRecord;
use waypost_gateway::app::{App, Live, Parts};
use waypost_gateway::callers::Callers;
use waypost_gateway::http;
use waypost_gateway::identity::Identity;
use waypost_gateway::jobs::Jobs;
use waypost_gateway::records::{Inbox, Records};
use waypost_gateway::serve::{Edge, Limits};
use waypost_gateway::upstream::{HttpTransport, Lookup, PoolSettings, system_lookup};
use waypost_store::money::Money;
use waypost_store::{Place, Store};
use waypost_testkit::{Answer, Request};

/// The key that [`Gateway::with_channels`] configures.
pub(crate) const KEY: &str = "wp-test-key-0123456789";

/// A bound for failing tests; no passing test waits this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway on a port.
pub(crate) struct Gateway {
    pub(crate) app: Arc<App>,
    /// What makes the first owner, over a database with nobody in it.
    pub(crate) setup_token: Option<Secret>,
    url: String,
    inbox: Inbox,
    edge: Edge,
}

impl Gateway {
    /// Starts a gateway with this configuration.
    pub(crate) async fn start(yaml: &str) -> Self {
        Self::start_with(yaml, Limits::default()).await
    }

    /// Starts a gateway with these `channels:` (YAML list items), one key, [`KEY`], and next to no pause between attempts.
    pub(crate) async fn with_channels(channels: &str) -> Self {
        Self::start(&format!(
            "keys: [{{name: test, key: {KEY}}}]\nretry: {{backoff: {{base: 1ms}}}}\nchannels:\n{channels}\n"
        ))
        .await
    }

    /// The same as [`Gateway::with_channels`], with names looked up in another way.
    pub(crate) async fn with_lookup(channels: &str, lookup: Lookup) -> Self {
        let yaml = format!("keys: [{{name: test, key: {KEY}}}]\nchannels:\n{channels}\n");
        Self::build(&yaml, Limits::default(), lookup).await
    }

    /// The same with limits of the edge.
    pub(crate) async fn start_with(yaml: &str, limits: Limits) -> Self {
        Self::build(yaml, limits, system_lookup()).await
    }

    /// The same as [`Gateway::start`], over a database.
    pub(crate) async fn with_store(yaml: &str, store: Store) -> Self {
        Self::build_over(yaml, Limits::default(), system_lookup(), (Some(store), None)).await
    }

    /// The same, with money.
    pub(crate) async fn with_money(yaml: &str, store: Store, money: Money) -> Self {
        Self::build_over(yaml, Limits::default(), system_lookup(), (Some(store), Some(money))).await
    }

    async fn build(yaml: &str, limits: Limits, lookup: Lookup) -> Self {
        Self::build_over(yaml, limits, lookup, (None, None)).await
    }

    async fn build_over(
        yaml: &str,
        limits: Limits,
        lookup: Lookup,
        (store, money): (Option<Store>, Option<Money>),
    ) -> Self {
        let config = Config::parse(yaml, Format::Yaml, "test.yaml", &|_| None).expect("the config can be read");
        let states = States::default();
        let snapshot = compile(&config, &states).expect("the config compiles");
        let jobs = Jobs::new();
        let (records, inbox) = Records::new();
        let transport = Box::new(HttpTransport::with_lookup(PoolSettings::default(), jobs.clone(), lookup));
        let live = Live::new(snapshot).expect("every channel has an address");
        let app = Arc::new(App::new(Parts {
            live,
            states,
            transport,
            records,
            limits: limits.clone(),
            store,
            money,
            entropy: 7,
        }));
        let setup_token = match &app.store {
            Some(store) => {
                let opened = Identity::open(store.clone(), &config.identity, NOW).await.expect("people can be let in");
                app.let_in(opened.identity);
                opened.setup_token
            }
            None => None,
        };
        if let Some(store) = app.store.clone() {
            app.callers.load(&app.states, &store).await.expect("its keys are read");
            jobs.spawn("keys of the database", Callers::follow(Arc::clone(&app), store, jobs.clone()));
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let url = format!("http://{address}");
        let drawing = Arc::clone(&app);
        let draw = Arc::new(move |status| http::edge_refusal(&drawing, status));
        let edge = Edge::drawing(limits, jobs.clone(), draw);
        app.note_edge(address, edge.glance());
        let (serving, handler) = (edge.clone(), Arc::clone(&app));
        jobs.spawn("accept loop", async move {
            serving.serve(listener, move |request, peer| http::answer(Arc::clone(&handler), request, peer)).await;
        });
        Self { app, setup_token, url, inbox, edge }
    }

    /// Takes another configuration into use.
    pub(crate) fn take(&self, yaml: &str) {
        let config = Config::parse(yaml, Format::Yaml, "test.yaml", &|_| None).expect("the config can be read");
        self.app.take(config).expect("the config can be used");
    }

    /// Waits until no connection and no request is open.
    pub(crate) async fn wait_empty(&self) {
        let empty = async {
            while self.edge.open_connections() + self.edge.open_requests() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, empty).await.expect("every connection and request ends");
    }

    /// Refuses new work from now on, and ends what is left after `grace`; tells on how many connections that was.
    pub(crate) async fn drain(&self, grace: Duration) -> usize {
        self.app.begin_drain();
        timeout(PATIENCE, self.edge.drain(Instant::now() + grace)).await.expect("the drain ends")
    }

    pub(crate) fn edge(&self) -> &Edge {
        &self.edge
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Posts JSON with [`KEY`].
    pub(crate) async fn post(&self, path: &str, json: impl Into<bytes::Bytes>) -> Answer {
        Request::post(path, json).bearer(KEY).send(&self.url).await
    }

    /// Gets a path with [`KEY`].
    pub(crate) async fn get(&self, path: &str) -> Answer {
        Request::get(path).bearer(KEY).send(&self.url).await
    }

    /// The next record; fails if none comes.
    pub(crate) async fn record(&mut self) -> UsageRecord {
        timeout(PATIENCE, self.inbox.recv()).await.expect("a record is filed").expect("the app lives")
    }

    /// No record is waiting.
    pub(crate) fn assert_no_record(&mut self) {
        assert!(self.inbox.try_recv().is_err(), "a record was filed");
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.edge.begin_drain();
        if !std::thread::panicking() {
            assert_eq!(self.app.panics(), 0, "a handler panicked");
        }
    }
}

/// Asks until there is something.
pub(crate) async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let looking = async {
        loop {
            match look().await {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    timeout(PATIENCE, looking).await.expect(what)
}

/// One channel as a YAML list item: name, provider, address, and models (`[a, b]` or `[{name: a, upstream: b}]`).
pub(crate) fn channel(name: &str, provider: &str, url: &str, models: &str) -> String {
    format!("- {{name: {name}, provider: {provider}, base_url: '{url}', api_key: sk-{name}, models: {models}}}\n")
}

/// An embedded database with nothing in it, in a folder that goes with it.
pub(crate) struct Database {
    pub(crate) store: Store,
    pub(crate) folder: PathBuf,
}

impl Database {
    pub(crate) async fn sqlite() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("store-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let store = Store::open(&Place::Sqlite(folder.join("app.db")), NOW).await.expect("SQLite opens");
        Self { store, folder }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A moment of 2026, in milliseconds since 1970.
pub(crate) const NOW: i64 = 1_790_000_000_000;
