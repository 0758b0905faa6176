//! The process is killed while it serves, again and again, and its database goes away under it: afterwards the books are whole,
//! and every answer that was delivered is charged exactly once. `WAYPOST_KILLS` says how often it is killed, `WAYPOST_OUTAGE_MS`
//! how long the database is away; little of both if they are not set.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use waypost_core::dice::Dice;
use waypost_store::{Place, Store};
use waypost_testkit::postgres::{Cluster, Database};
use waypost_testkit::{Client, Request, Script, Upstream, Waypost};

use crate::harness::KEY;

const PROGRAM: &str = env!("CARGO_BIN_EXE_waypost");
const CALLERS: usize = 8;
/// What every answer costs: ten tokens in, seven out, at 1 and 2 USD for a million.
const COST: &str = "0.000024";

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("killed-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn config(upstream: &str, database: &str) -> String {
    format!(
        "server: {{port: 0}}\n{database}keys: [{{name: test, key: {KEY}}}]\nretry: {{max_attempts: 1}}\nbreaker: off\n\
         prices: [{{model: m, input: 1, output: 2}}]\n\
         channels: [{{name: one, provider: openai_compatible, base_url: '{upstream}', api_key: k, models: [m]}}]\n"
    )
}

fn answer() -> Script {
    let message = json!({ "role": "assistant", "content": "hello" });
    let choices = json!([{ "index": 0, "message": message, "finish_reason": "stop" }]);
    let usage = json!({ "prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17 });
    let answer = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage });
    Script::reply(200, answer.to_string())
}

/// Asks until it is told to stop or the gateway is gone; notes which requests were answered in full.
async fn ask(url: String, next: Arc<AtomicU64>, stop: Arc<AtomicBool>, delivered: Arc<Mutex<Vec<u64>>>) {
    let Ok(mut client) = Client::try_connect(&url).await else { return };
    while !stop.load(Ordering::Relaxed) {
        let n = next.fetch_add(1, Ordering::Relaxed);
        let body = r#"{"model": "m", "messages": [{"role": "user", "content": "hi"}]}"#;
        let request = Request::post("/v1/chat/completions", body).bearer(KEY).header("x-request-id", &format!("n{n}"));
        match client.try_send(&request).await {
            Ok(answer) if answer.status == 200 => delivered.lock().unwrap().push(n),
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// A gateway under load, and what its callers have had of it.
struct Load {
    folder: Folder,
    config: String,
    next: Arc<AtomicU64>,
    delivered: Arc<Mutex<Vec<u64>>>,
    _upstream: Upstream,
}

impl Load {
    async fn new(name: &str, database: &str) -> Self {
        let upstream = Upstream::forgetful(|_| answer()).await;
        let config = config(&upstream.url(), database);
        let (next, delivered) = (Arc::default(), Arc::default());
        Self { folder: Folder::new(name), config, next, delivered, _upstream: upstream }
    }

    async fn start(&self) -> Waypost {
        Waypost::start(Path::new(PROGRAM), &self.folder.0, &self.config).await
    }

    /// Callers who ask until they are told to stop.
    fn callers(&self, waypost: &Waypost, stop: &Arc<AtomicBool>) -> JoinSet<()> {
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (next, delivered) = (Arc::clone(&self.next), Arc::clone(&self.delivered));
            callers.spawn(ask(waypost.url.clone(), next, Arc::clone(stop), delivered));
        }
        callers
    }

    fn delivered(&self) -> usize {
        self.delivered.lock().unwrap().len()
    }

    fn run(&self, arguments: &[&str]) -> String {
        let database = ["--config", "waypost.yaml"];
        let output =
            Command::new(PROGRAM).args(arguments).args(database).env_clear().current_dir(&self.folder.0).output();
        let output = output.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// The books are whole, and every answer that was delivered is in them once.
    fn check(&self) {
        let verified = self.run(&["ledger", "verify"]);
        let mut charged: HashMap<String, Vec<String>> = HashMap::new();
        for line in self.run(&["ledger", "export", "--format", "json"]).lines() {
            let told: Value = serde_json::from_str(line).unwrap();
            let request = told["request"].as_str().unwrap().split('~').next().unwrap().to_owned();
            charged.entry(request).or_default().push(told["cost"].to_string().replace('"', ""));
        }
        for n in self.delivered.lock().unwrap().iter() {
            let cost = charged.get(&format!("n{n}")).map(Vec::as_slice);
            assert_eq!(cost, Some(&[COST.to_owned()][..]), "request n{n}; {verified}");
        }
        assert!(charged.values().all(|ends| ends.len() == 1), "a request has one end");
    }
}

/// A number from the environment, for runs that take longer than a test should.
fn said(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(usual)
}

async fn kill_again_and_again(name: &str, database: &str) {
    let kills = said("WAYPOST_KILLS", 5);
    let load = Load::new(name, database).await;
    let mut dice = Dice::seeded(20_261_126);
    for _ in 0..kills {
        let waypost = load.start().await;
        let callers = load.callers(&waypost, &Arc::default());
        tokio::time::sleep(Duration::from_micros(20_000 + dice.below(150_000))).await;
        // SIGKILL.
        drop(waypost);
        callers.join_all().await;
    }
    assert_eq!(load.start().await.stop().0, Some(0));
    assert!(load.delivered() as u64 > kills, "{} answers under {kills} kills", load.delivered());
    load.check();
}

/// Load before, while and after something is away.
async fn without(load: &Load, waypost: Waypost, away: impl AsyncFnOnce(Duration)) {
    let stop = Arc::new(AtomicBool::new(false));
    let callers = load.callers(&waypost, &stop);
    let more = async |than: usize| {
        while load.delivered() <= than + 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, more(0)).await.expect("it serves before");
    let before = load.delivered();
    away(Duration::from_millis(said("WAYPOST_OUTAGE_MS", 2_000))).await;
    let after = load.delivered();
    // Nobody's money is limited here, so the journal is all that it needs.
    assert!(after > before + 20, "it serves meanwhile: {before}, then {after}");
    tokio::time::timeout(patience, more(after)).await.expect("it serves after");
    stop.store(true, Ordering::Relaxed);
    callers.join_all().await;
    assert_eq!(waypost.stop().0, Some(0));
    // What the database did not take in time is in the journal, for the next start.
    assert_eq!(load.start().await.stop().0, Some(0));
    load.check();
}

#[tokio::test]
async fn no_delivered_answer_is_lost_or_charged_twice_on_sqlite() {
    kill_again_and_again("sqlite", "").await;
}

#[tokio::test]
async fn no_delivered_answer_is_lost_or_charged_twice_on_postgres() {
    let database = Database::create();
    kill_again_and_again("postgres", &format!("database: {{url: '{}'}}\n", database.url())).await;
}

#[tokio::test]
async fn a_postgres_that_stops_under_load_loses_nothing() {
    let mut cluster = Cluster::start();
    let load = Load::new("stopped", &format!("database: {{url: '{}/postgres'}}\n", cluster.url())).await;
    let waypost = load.start().await;
    without(&load, waypost, async |time| {
        cluster.stop();
        tokio::time::sleep(time).await;
        cluster.resume();
    })
    .await;
}

#[tokio::test]
async fn a_sqlite_file_that_somebody_else_has_locked_loses_nothing() {
    let load = Load::new("locked", "").await;
    let waypost = load.start().await;
    let place = Place::Sqlite(load.folder.0.join("database/app.db"));
    let other = Store::connect(&place).await.unwrap();
    without(&load, waypost, async |time| {
        let held = other.begin().await.unwrap();
        tokio::time::sleep(time).await;
        held.rollback().await.unwrap();
    })
    .await;
    other.close().await;
}
