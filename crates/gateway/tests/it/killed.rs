//! The process is killed while it serves, again and again: after each start the books are whole, and every answer that was
//! delivered is charged exactly once. `WAYPOST_KILLS` says how often; a few times if it is not set.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use waypost_core::dice::Dice;
use waypost_testkit::postgres::Database;
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

async fn kill_again_and_again(name: &str, database: &str) {
    let kills: u64 = std::env::var("WAYPOST_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(5);
    let upstream = Upstream::forgetful(|_| answer()).await;
    let folder = Folder::new(name);
    let config = config(&upstream.url(), database);
    let (next, delivered) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
    let mut dice = Dice::seeded(20_261_126);
    for _ in 0..kills {
        let waypost = Waypost::start(Path::new(PROGRAM), &folder.0, &config).await;
        let stop = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            callers.spawn(ask(waypost.url.clone(), Arc::clone(&next), Arc::clone(&stop), Arc::clone(&delivered)));
        }
        tokio::time::sleep(Duration::from_micros(20_000 + dice.below(150_000))).await;
        // SIGKILL.
        drop(waypost);
        callers.join_all().await;
    }
    let waypost = Waypost::start(Path::new(PROGRAM), &folder.0, &config).await;
    assert_eq!(waypost.stop().0, Some(0));
    let run = |arguments: &[&str]| {
        let output = Command::new(PROGRAM).args(arguments).env_clear().current_dir(&folder.0).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    };
    let verified = run(&["ledger", "verify"]);
    let mut charged: HashMap<String, Vec<String>> = HashMap::new();
    for line in run(&["ledger", "export", "--format", "json"]).lines() {
        let told: Value = serde_json::from_str(line).unwrap();
        let request = told["request"].as_str().unwrap().split('~').next().unwrap().to_owned();
        charged.entry(request).or_default().push(told["cost"].to_string().replace('"', ""));
    }
    let delivered = delivered.lock().unwrap();
    assert!(delivered.len() as u64 > kills, "{} answers under {kills} kills", delivered.len());
    for n in delivered.iter() {
        assert_eq!(
            charged.get(&format!("n{n}")).map(Vec::as_slice),
            Some(&[COST.to_owned()][..]),
            "request n{n}; {verified}"
        );
    }
    assert!(charged.values().all(|ends| ends.len() == 1), "a request has one end");
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
