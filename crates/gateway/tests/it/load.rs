//! A built gateway under the load of a few callers, and what each of them was told, to be held against its books afterwards.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use waypost_core::money::NanoUsd;
use waypost_testkit::{Client, Gate, Request, Script, Upstream, Waypost};

use crate::harness::KEY;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_waypost");
/// The key of whoever has a budget; [`KEY`] has none.
pub(crate) const PAID: &str = "wp-test-key-of-a-payer-0123456789";
pub(crate) const ADMIN: &str = "an-admin-token-0123456789";
/// What every answer costs: ten tokens in, seven out, at 1 and 2 USD for a million.
pub(crate) const COST: NanoUsd = NanoUsd(24_000);
pub(crate) const CHAT: &str = "/v1/chat/completions";
/// How long something may take that should take no time at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const ASK: &str = r#"{"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}"#;
/// How many pieces of a stream are sent before its gate.
const BEFORE_THE_GATE: usize = 2;

pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("load-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a caller was told.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) request: String,
    pub(crate) key: &'static str,
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) retry_after: Option<String>,
}

impl Told {
    /// It was told to come again in a moment, since the gateway cannot keep books now.
    pub(crate) fn is_put_off(&self) -> bool {
        self.status == 503 && self.retry_after.as_deref() == Some("1") && self.code == "overloaded"
    }
}

/// A gateway's folder, its upstream, and what its callers were told so far.
pub(crate) struct Load {
    pub(crate) folder: Folder,
    program: PathBuf,
    config: String,
    next: Arc<AtomicU64>,
    told: Arc<Mutex<Vec<Told>>>,
    /// Streams come to their end when it lets them.
    pub(crate) gate: Gate,
    sent: Arc<AtomicU64>,
    _upstream: Upstream,
}

impl Load {
    /// `settings` are lines of YAML; a `{folder}` in them is the gateway's.
    pub(crate) async fn new(name: &str, settings: &str) -> Self {
        let gate = Gate::closed();
        let is_behind = gate.clone();
        let stream = move || Script::stream(stream()).gated_after(BEFORE_THE_GATE, &is_behind);
        let sent: Arc<AtomicU64> = Arc::default();
        let seen = Arc::clone(&sent);
        let choose = move |request: &waypost_testkit::Recorded| {
            seen.fetch_add(1, Ordering::Relaxed);
            if request.text().contains("stream") { stream() } else { answer() }
        };
        let upstream = Upstream::forgetful(choose).await;
        let folder = Folder::new(name);
        let settings = settings.replace("{folder}", &folder.0.display().to_string());
        let config = format!(
            "server: {{port: 0}}\n{settings}admin: {{token: {ADMIN}}}\n\
             keys: [{{name: test, key: {KEY}}}, {{name: paid, key: {PAID}}}]\nretry: {{max_attempts: 1}}\nbreaker: off\n\
             prices: [{{model: m, input: 1, output: 2}}]\n\
             channels: [{{name: one, provider: openai_compatible, base_url: '{}', api_key: k, models: [m]}}]\n",
            upstream.url()
        );
        let (next, told) = (Arc::default(), Arc::default());
        Self { folder, program: PROGRAM.into(), config, next, told, gate, sent, _upstream: upstream }
    }

    /// Runs the program through this script.
    pub(crate) fn through(self, program: PathBuf) -> Self {
        Self { program, ..self }
    }

    pub(crate) async fn start(&self) -> Waypost {
        Waypost::start(&self.program, &self.folder.0, &self.config).await
    }

    /// Callers with these keys who ask until they are told to stop or the gateway is gone.
    pub(crate) fn callers(&self, waypost: &Waypost, stop: &Arc<AtomicBool>, keys: &[&'static str]) -> JoinSet<()> {
        let mut callers = JoinSet::new();
        for key in keys {
            let (url, next, told) = (waypost.url.clone(), Arc::clone(&self.next), Arc::clone(&self.told));
            callers.spawn(ask(url, key, next, Arc::clone(stop), told));
        }
        callers
    }

    /// How many requests the upstream was sent.
    pub(crate) fn sent(&self) -> usize {
        usize::try_from(self.sent.load(Ordering::Relaxed)).unwrap()
    }

    /// A stream that has begun, and its request's id.
    pub(crate) async fn stream(&self, waypost: &Waypost) -> (waypost_testkit::client::Live, String) {
        let request = request_id(&self.next);
        let body = ASK.replace("\"model\"", "\"stream\": true, \"model\"");
        let ask = Request::post(CHAT, body).bearer(KEY).header("x-request-id", &request);
        let mut live = ask.open(&waypost.url).await;
        assert_eq!(live.status, 200);
        for _ in 0..BEFORE_THE_GATE {
            live.next_event().await.expect("it begins");
        }
        (live, request)
    }

    /// Lets a stream come to its end, as its caller sees it.
    pub(crate) async fn finish(&self, live: (waypost_testkit::client::Live, String)) {
        let (mut live, request) = live;
        self.gate.pass(100);
        let rest = timeout(PATIENCE, live.rest()).await.expect("it ends");
        assert!(String::from_utf8_lossy(&rest).contains("data: [DONE]"), "it is whole: {rest:?}");
        assert_eq!(live.ended(), Some(&waypost_testkit::client::Ended::Whole));
        let told = Told { request, key: KEY, status: 200, code: String::new(), retry_after: None };
        self.told.lock().unwrap().push(told);
    }

    /// How many answers are such.
    pub(crate) fn count(&self, such: impl Fn(&Told) -> bool) -> usize {
        self.told.lock().unwrap().iter().filter(|told| such(told)).count()
    }

    pub(crate) fn delivered(&self) -> usize {
        self.count(|told| told.status == 200)
    }

    /// Waits until so many more answers are such.
    pub(crate) async fn more(&self, what: &str, count: usize, such: impl Fn(&Told) -> bool) {
        let enough = self.count(&such) + count;
        let waited = timeout(PATIENCE, async {
            while self.count(&such) < enough {
                sleep(Duration::from_millis(5)).await;
            }
        });
        if waited.await.is_err() {
            let mut heard: HashMap<(&str, u16, String), usize> = HashMap::new();
            for told in self.told.lock().unwrap().iter() {
                *heard.entry((told.key, told.status, told.code.clone())).or_default() += 1;
            }
            let found = self.count(&such);
            assert!(found >= enough, "{what}: {found} of {enough}; so far they were told: {heard:?}");
        }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.try_run(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// The program's end, whatever it is.
    pub(crate) fn try_run(&self, arguments: &[&str]) -> Output {
        let config = self.folder.0.join("waypost.yaml");
        let mut command = Command::new(&self.program);
        command.args(arguments).arg("--config").arg(config).env_clear().current_dir(&self.folder.0);
        command.output().unwrap()
    }

    /// The books are whole; every answer that was delivered is in them once, and none that was refused. Gives what each
    /// request was charged.
    pub(crate) fn check(&self) -> HashMap<String, NanoUsd> {
        let verified = self.run(&["ledger", "verify"]);
        let mut charged: HashMap<String, Vec<NanoUsd>> = HashMap::new();
        for line in self.run(&["ledger", "export", "--format", "json"]).lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let Some(request) = line["request"].as_str().and_then(|name| name.split_once('~')) else { continue };
            let cost = line["cost"].as_str().unwrap().parse().unwrap();
            charged.entry(request.0.to_owned()).or_default().push(cost);
        }
        for told in self.told.lock().unwrap().iter() {
            let cost = charged.get(&told.request).map_or(&[][..], Vec::as_slice);
            let right: &[NanoUsd] = if told.status == 200 { &[COST] } else { &[] };
            assert_eq!(cost, right, "{told:?}; {verified}");
        }
        assert!(charged.values().all(|ends| ends.len() == 1), "a request has one end");
        charged.into_iter().filter_map(|(request, ends)| Some((request, *ends.first()?))).collect()
    }

    /// What all requests of a key were charged together.
    pub(crate) fn spent(&self, key: &str, charged: &HashMap<String, NanoUsd>) -> i64 {
        let told = self.told.lock().unwrap();
        let asked = told.iter().filter(|told| told.key == key);
        asked.filter_map(|told| charged.get(&told.request)).map(|cost| cost.get()).sum()
    }

    /// Gives [`PAID`] a hard budget without end.
    pub(crate) async fn limit(&self, waypost: &Waypost, amount: &str) {
        let body = json!({ "scope": "key:paid", "window": "total", "amount": amount });
        let made = Request::post("/admin/budgets", body.to_string()).bearer(ADMIN).send(&waypost.url).await;
        assert_eq!(made.status, 201, "{}", made.text());
    }
}

/// A number from the environment, for runs that take longer than a test should.
pub(crate) fn said(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(usual)
}

/// How long something is away.
pub(crate) fn outage() -> Duration {
    Duration::from_millis(said("WAYPOST_OUTAGE_MS", 2_000))
}

fn answer() -> Script {
    let message = json!({ "role": "assistant", "content": "hello" });
    let choices = json!([{ "index": 0, "message": message, "finish_reason": "stop" }]);
    let answer = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage() });
    Script::reply(200, answer.to_string())
}

fn usage() -> Value {
    json!({ "prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17 })
}

/// Two words, and then, behind the gate, the end.
fn stream() -> Vec<String> {
    let chunk = |choices: Value, usage: Value| {
        let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, "usage": usage });
        format!("data: {chunk}\n\n")
    };
    let word = |delta: Value, reason: Value| json!([{ "index": 0, "delta": delta, "finish_reason": reason }]);
    vec![
        chunk(word(json!({ "role": "assistant", "content": "hello" }), Value::Null), Value::Null),
        chunk(word(json!({ "content": " you" }), Value::Null), Value::Null),
        chunk(word(json!({}), json!("stop")), Value::Null),
        chunk(json!([]), usage()),
        "data: [DONE]\n\n".to_owned(),
    ]
}

fn request_id(next: &AtomicU64) -> String {
    format!("n{}", next.fetch_add(1, Ordering::Relaxed))
}

async fn ask(url: String, key: &'static str, next: Arc<AtomicU64>, stop: Arc<AtomicBool>, told: Arc<Mutex<Vec<Told>>>) {
    let Ok(mut client) = Client::try_connect(&url).await else { return };
    while !stop.load(Ordering::Relaxed) {
        let request = request_id(&next);
        let ask = Request::post(CHAT, ASK).bearer(key).header("x-request-id", &request);
        let Ok(answer) = client.try_send(&ask).await else { return };
        let code = match answer.status {
            200 => String::new(),
            _ => answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned(),
        };
        let retry_after = answer.header("retry-after").map(str::to_owned);
        let status = answer.status;
        told.lock().unwrap().push(Told { request, key, status, code, retry_after });
        if status != 200 {
            // Whoever is refused does not hammer.
            sleep(Duration::from_millis(5)).await;
        }
    }
}
