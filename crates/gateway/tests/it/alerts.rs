//! Alerts under a running gateway: what is seen of requests, and how people are told of it.

use std::sync::Arc;

use ring::hmac;
use serde_json::{Value, json};
use waypost_core::config;
use waypost_core::secret::Secret;
use waypost_core::usage::CostRecord;
use waypost_gateway::alerts::{Counts, Room, Sight, Webhook};
use waypost_gateway::jobs::Jobs;
use waypost_gateway::upstream::{HttpTransport, PoolSettings};
use waypost_store::Store;
use waypost_store::alerts::{Alert, AlertFilter, Kind, Owner, Sighting};
use waypost_store::page::Scope;
use waypost_testkit::{Script, Upstream, fixtures};

use crate::harness::{Database, Gateway, KEY, NOW};

const SECRET: &str = "a-secret-that-signs-posts";
const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello!"}],"max_tokens":1}"#;

fn settings(webhook: Option<String>) -> config::Alerts {
    config::Alerts { webhook, secret: Some(Secret::new(SECRET)), cost_per_hour: 1, ..config::Alerts::default() }
}

struct Told {
    room: Room,
    sight: Arc<Sight>,
    counts: Arc<Counts>,
    jobs: Jobs,
}

impl Told {
    fn over(store: &Store, settings: &config::Alerts) -> Self {
        let (sight, counts) = (Arc::<Sight>::default(), Arc::<Counts>::default());
        let jobs = Jobs::new();
        let transport = Box::new(HttpTransport::new(PoolSettings::default(), jobs.clone()));
        let webhook = Webhook::new(settings, transport).expect("the address is one");
        let shared = (Arc::clone(&sight), Arc::clone(&counts));
        Self { room: Room::new(store.clone(), settings.clone(), shared, webhook), sight, counts, jobs }
    }

    async fn round(&mut self, now: i64) {
        self.room.round(now, &self.jobs).await.expect("the database does its part");
    }

    fn count(&self, kind: &str) -> u64 {
        self.counts.by_kind().find(|(known, _)| *known == kind).map_or(0, |(_, count)| count)
    }
}

async fn all(store: &Store) -> Vec<Alert> {
    store.alerts(&Scope::All, &AlertFilter::default(), None, 100).await.expect("they can be read").rows
}

fn sighting() -> Sighting {
    let (kind, subject, owner) = (Kind::Budget, "bud_1".to_owned(), Owner::default());
    let (reached, bound) = (8_500_000_000, 10_000_000_000);
    Sighting { kind, subject, window_at: NOW, mark: 80, reached, bound, unit: "nano_usd", owner }
}

#[tokio::test]
async fn an_alert_is_posted_signed_until_it_is_taken_and_then_never_again_001_48() {
    let script = Upstream::start(vec![Script::reply(500, "no"), Script::reply(200, "")]).await;
    let database = Database::sqlite().await;
    let settings = settings(Some(format!("{}/hook?of=waypost", script.url())));
    let mut told = Told::over(&database.store, &settings);
    database.store.raise_alerts(&[sighting()], NOW).await.unwrap();
    told.round(NOW).await;
    assert_eq!((script.hits(), told.count("budget")), (1, 1));
    // It is not asked again at once, nor told again anywhere else.
    told.round(NOW + 9_000).await;
    assert_eq!(script.hits(), 1);
    // Another process goes on with it, such as the same one after a restart.
    let mut told = Told::over(&database.store, &settings);
    told.round(NOW + 10_000).await;
    told.round(NOW + 100_000).await;
    assert_eq!((script.hits(), told.count("budget")), (2, 0));
    assert_eq!(all(&database.store).await[0].told_at, NOW + 10_000);
    let [first, second] = &script.requests()[..] else { panic!("two posts") };
    assert_eq!((first.method.as_str(), first.path_and_query.as_str()), ("POST", "/hook?of=waypost"));
    assert_eq!(first.body, second.body, "it is the same each time");
    let body: Value = serde_json::from_slice(&first.body).unwrap();
    assert_eq!(body["message"], "the budget bud_1 has come to 80 %: 8.5 USD of 10 USD");
    assert_eq!((&body["mark"], &body["reached"]), (&json!(80), &json!(8_500_000_000_i64)));
    let signature = first.header("x-waypost-signature").and_then(|text| text.strip_prefix("sha256=")).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    assert_eq!(signature, waypost_store::digest::hex(hmac::sign(&key, &first.body).as_ref()));
}

#[tokio::test]
async fn a_webhook_reaches_nothing_that_an_upstream_could_not() {
    let database = Database::sqlite().await;
    let mut told = Told::over(&database.store, &settings(Some("http://169.254.169.254/latest/meta-data".to_owned())));
    database.store.raise_alerts(&[sighting()], NOW).await.unwrap();
    told.round(NOW).await;
    assert_eq!(told.counts.failed.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(all(&database.store).await[0].told_at, 0);
}

#[tokio::test]
async fn without_a_webhook_an_alert_is_told_once_by_the_log_and_what_is_old_is_never_posted() {
    let database = Database::sqlite().await;
    let mut told = Told::over(&database.store, &config::Alerts::default());
    database.store.raise_alerts(&[sighting()], NOW).await.unwrap();
    told.round(NOW).await;
    told.round(NOW + 1).await;
    assert_eq!((told.count("budget"), all(&database.store).await[0].told_at), (1, NOW));
}

#[tokio::test]
async fn key_usage_token_quota_and_cost_are_seen_once_each_002_r8() {
    let upstream = Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
    let database = Database::sqlite().await;
    let yaml = format!(
        "keys: [{{name: test, key: {KEY}, limits: {{rpm: 5, tokens_per_day: 150}}}}]\nadmin: {{metrics: open}}\n\
         channels: [{{name: up, provider: openai, base_url: '{}/v1', api_key: k, models: [m]}}]\n",
        upstream.url()
    );
    let mut gateway = Gateway::with_store(&yaml, database.store.clone()).await;
    let (settings, mut told) = (settings(None), Told::over(&database.store, &settings(None)));
    let mut see = async |settings: &config::Alerts, told: &Told, nano_usd: i64, at: i64| {
        assert_eq!(gateway.post("/v1/chat/completions", CHAT).await.status, 200);
        let mut record = gateway.record().await;
        record.cost = Some(CostRecord { nano_usd, price: "p".into(), arithmetic: "a".into() });
        told.sight.see(settings, &record, at);
        gateway.app.telemetry.sight.see(settings, &record, gateway.app.unix_millis());
    };
    for _ in 0..3 {
        see(&settings, &told, 300_000_000, NOW).await;
    }
    told.round(NOW).await;
    let kinds = async || {
        let mut kinds: Vec<_> =
            all(&database.store).await.into_iter().map(|it| (it.kind, it.subject, it.mark)).collect();
        kinds.sort();
        kinds
    };
    assert_eq!(kinds().await, [], "60 % of the requests, 56 % of the tokens and 0.9 USD are too little");
    for _ in 0..2 {
        see(&settings, &told, 300_000_000, NOW).await;
        told.round(NOW).await;
    }
    let (key, quota) = ("key_usage".to_owned(), "token_quota".to_owned());
    let subject = || "key:test".to_owned();
    let cost = ("cost".to_owned(), String::new(), 100);
    assert_eq!(kinds().await, [cost, (key, subject(), 80), (quota, subject(), 90)]);
    assert_eq!((told.count("cost"), told.count("key_usage"), told.count("token_quota")), (1, 1, 1));
    let page = gateway.get("/metrics").await;
    assert!(page.text().contains("waypost_key_usage_percent{key=\"test\"} 100"), "{}", page.text());
    assert!(page.text().contains("waypost_token_quota_percent{key=\"test\"}"), "{}", page.text());
}
