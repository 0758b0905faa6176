//! The built binary as its owner meets it: what it prints, what it refuses and how, and how it ends.

use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;
use waypost_testkit::{Client, Gate, Request, Script, Upstream, fixtures};

/// A bound for failing tests; no passing test waits this long.
const PATIENCE: Duration = Duration::from_secs(20);
const CHAT: &str = "/v1/chat/completions";

/// A binary to be started in an empty folder with no environment but this.
pub(crate) struct Waypost {
    folder: PathBuf,
    command: Command,
}

impl Waypost {
    pub(crate) fn new() -> Self {
        Self::run_by(Command::new(env!("CARGO_BIN_EXE_waypost")))
    }

    /// One that may have only so many files and sockets open.
    pub(crate) fn with_descriptors(most: u32) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &format!("ulimit -n {most}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_waypost")]);
        Self::run_by(shell)
    }

    fn run_by(mut command: Command) -> Self {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let name = format!("start-{}-{}", std::process::id(), FOLDERS.fetch_add(1, Ordering::Relaxed));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        command.env_clear().current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { folder, command }
    }

    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        let file = self.folder.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
        self
    }

    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it to its end: exit code, standard output, standard error.
    pub(crate) async fn run(mut self) -> (Option<i32>, String, String) {
        let child = self.command.spawn().unwrap();
        let pid = child.id();
        let ended = tokio::task::spawn_blocking(|| child.wait_with_output());
        let output = timeout(PATIENCE, ended).await.inspect_err(|_| signal(pid, "KILL"));
        let output = output.expect("it ends").unwrap().unwrap();
        std::fs::remove_dir_all(&self.folder).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// Starts it and waits until it is ready.
    pub(crate) async fn start(self) -> Running {
        let mut running = self.run_on();
        running.hear("waypost is ready").await;
        let ready = running.heard.lines().find(|line| line.contains("waypost is ready")).unwrap();
        let ready: Value = serde_json::from_str(ready).unwrap();
        running.url = format!("http://{}", ready["address"].as_str().unwrap());
        running
    }

    /// Starts it and lets it run.
    pub(crate) fn run_on(mut self) -> Running {
        let mut child = self.command.spawn().unwrap();
        let (lines, said) = mpsc::unbounded_channel();
        watch(child.stderr.take().unwrap(), lines);
        let (lines, logged) = mpsc::unbounded_channel();
        watch(child.stdout.take().unwrap(), lines);
        Running { child: Some(child), said, logged, folder: self.folder, url: String::new(), heard: String::new() }
    }
}

fn watch(stream: impl Read + Send + 'static, lines: mpsc::UnboundedSender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
}

pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

pub(crate) struct Running {
    child: Option<Child>,
    said: mpsc::UnboundedReceiver<String>,
    logged: mpsc::UnboundedReceiver<String>,
    folder: PathBuf,
    url: String,
    /// Everything on standard error so far.
    heard: String,
}

impl Running {
    /// Waits until these words are on standard error.
    pub(crate) async fn hear(&mut self, words: &str) {
        while !self.heard.contains(words) {
            let line = timeout(PATIENCE, self.said.recv()).await.expect("it says something");
            assert!(line.is_some(), "it ended after\n{}", self.heard);
            self.heard.push_str(&line.unwrap());
            self.heard.push('\n');
        }
    }

    /// The next line of the access log.
    pub(crate) async fn log_line(&mut self) -> Value {
        serde_json::from_str(&self.print_line().await).unwrap()
    }

    /// The next line on standard output.
    pub(crate) async fn print_line(&mut self) -> String {
        timeout(PATIENCE, self.logged.recv()).await.expect("it prints").expect("it lives")
    }

    /// The next line of a gateway that is ending, on standard error; none at its end.
    pub(crate) async fn said_to_the_end(&mut self) -> Option<String> {
        timeout(PATIENCE, self.said.recv()).await.expect("it ends")
    }

    /// The same on standard output.
    pub(crate) async fn logged_to_the_end(&mut self) -> Option<String> {
        timeout(PATIENCE, self.logged.recv()).await.expect("it ends")
    }

    /// What it said on standard error, as far as a test waited for it.
    pub(crate) fn heard(&self) -> &str {
        &self.heard
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Changes a file in its folder.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.join(name), text).unwrap();
    }

    /// A path in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.folder.join(name)).unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    pub(crate) fn terminate(&self) {
        signal(self.child.as_ref().unwrap().id(), "TERM");
    }

    /// Waits for its end.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        let mut child = self.child.take().unwrap();
        let pid = child.id();
        let ended = tokio::task::spawn_blocking(move || child.wait());
        let status = timeout(PATIENCE, ended).await.inspect_err(|_| signal(pid, "KILL"));
        status.expect("it ends").unwrap().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// README's request.
fn hello(key: &str) -> Request {
    let body = r#"{"model": "sim/chat", "messages": [{"role": "user", "content": "Hello!"}]}"#;
    Request::post(CHAT, body).bearer(key)
}

// === without a file ===

#[tokio::test]
async fn without_anything_it_says_how_to_try_it_and_answers_the_readme() {
    let mut waypost = Waypost::new().arguments(&["--port", "0"]).start().await;
    waypost.hear("sim/chat").await;
    for words in ["No configuration and no provider key", "wp-simulator", "curl http://127.0.0.1:", CHAT] {
        assert!(waypost.heard.contains(words), "{}", waypost.heard);
    }
    assert!(!waypost.heard.contains("WARN"), "{}", waypost.heard);

    let answer = hello("wp-simulator").send(&waypost.url).await;
    assert_eq!((answer.status, &answer.json()["object"]), (200, &json!("chat.completion")));
    assert!(answer.text().contains("Hello"));
    let logged = waypost.log_line().await;
    assert_eq!(logged["request_id"].as_str(), answer.header("x-request-id"));
    assert_eq!(hello("wp-other").send(&waypost.url).await.status, 401);

    let body = r#"{"model":"sim/chat","max_tokens":200,"messages":[{"role":"user","content":"Hello!"}]}"#;
    let message = Request::post("/v1/messages", body).header("x-api-key", "wp-simulator").send(&waypost.url).await;
    assert_eq!((message.status, &message.json()["content"][0]["type"]), (200, &json!("text")));

    let models = Request::get("/v1/models").bearer("wp-simulator").send(&waypost.url).await.json();
    let names: Vec<_> = models["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    for name in ["sim/chat", "sim/fail-503", "sim/slow", "sim/cut"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[tokio::test]
async fn an_api_key_in_the_environment_is_an_account_behind_a_key_of_its_own() {
    let upstream = Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
    let waypost = Waypost::new().arguments(&["--port", "0"]).env("OPENAI_API_KEY", "sk-mine");
    let mut waypost = waypost.env("OPENAI_BASE_URL", &upstream.url()).start().await;
    waypost.hear("Key for your applications: ").await;
    let key = waypost.heard.split("Key for your applications: ").nth(1).unwrap().lines().next().unwrap().to_owned();
    assert!(key.starts_with("wp-") && key.len() > 40, "{key}");
    assert!(!waypost.heard.contains("sk-mine") && !waypost.heard.contains("simulator"), "{}", waypost.heard);

    let health = Request::get("/health/detailed").send(&waypost.url).await.json();
    assert_eq!((&health["provider_kinds"], &health["channels"]["total"]), (&json!(["openai"]), &json!(1)));
    assert_eq!(hello("wp-simulator").send(&waypost.url).await.status, 401);
    let body = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Hello!"}]}"#;
    assert_eq!(Request::post(CHAT, body).bearer(&key).send(&waypost.url).await.status, 200);
    assert_eq!(upstream.last().header("authorization"), Some("Bearer sk-mine"));
}

#[tokio::test]
async fn a_key_given_in_the_environment_is_not_printed() {
    let waypost = Waypost::new().arguments(&["--port", "0"]).env("ANTHROPIC_API_KEY", "sk-ant-1");
    let mut waypost = waypost.env("WAYPOST_API_KEY", "wp-given-0123456789").start().await;
    let health = Request::get("/health/detailed").send(&waypost.url).await.json();
    assert_eq!(health["provider_kinds"], json!(["anthropic"]));
    let models = Request::get("/v1/models").bearer("wp-given-0123456789").send(&waypost.url).await;
    assert_eq!(models.status, 200);
    waypost.terminate();
    assert_eq!(waypost.exit_code().await, Some(0));
    waypost.hear("stopping").await;
    assert!(!waypost.heard.contains("wp-given") && !waypost.heard.contains("sk-ant-1"), "{}", waypost.heard);
}

// === with a file ===

#[tokio::test]
async fn a_mistake_in_the_file_is_named_with_its_place_its_key_and_the_way_out() {
    let cases = [
        ("server:\n  prot: 1\n", "waypost.yaml:2:3: server.prot: there is no such key; did you mean `port`?"),
        (
            "channels:\n  - name: a\n    provider: openai\n    api_key: ${NOT_SET}\n",
            "waypost.yaml:4:14: channels[0].api_key: the environment variable `NOT_SET` is not set; set it, or write `${NOT_SET:-default}`",
        ),
        (
            "channels:\n  - name: a\n    provider: opnai\n    api_key: k\n",
            "waypost.yaml:3:5: channels[0].provider: there is no such provider; use one of openai,",
        ),
        (
            "channels:\n  - name: a\n    provider: openai\n",
            "waypost.yaml:2:5: channels[0]: OpenAI needs a key; set `api_key`",
        ),
        ("keys: [\n", "waypost.yaml:"),
    ];
    for (text, message) in cases {
        for arguments in [&["--port", "0"][..], &["check"]] {
            let (code, out, err) = Waypost::new().file("waypost.yaml", text).arguments(arguments).run().await;
            assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
            assert!(err.starts_with(&format!("waypost: {message}")), "{err}");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named_with_the_way_out() {
    let (code, _, err) = Waypost::new().arguments(&["--config", "missing.yaml"]).run().await;
    assert_eq!(code, Some(1));
    assert!(err.contains("missing.yaml: cannot be read") && err.contains("--config"), "{err}");
}

#[tokio::test]
async fn check_says_that_a_file_is_good_or_what_could_be_better_and_serves_nothing() {
    let good =
        "keys: [{name: a, key: short}]\nchannels: [{name: o, provider: openai, api_key: k, models: [gpt-4o, x]}]\n";
    let (code, out, err) =
        Waypost::new().file("other.yaml", good).arguments(&["check", "-c", "other.yaml"]).run().await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("other.yaml: ok, 1 channels, 2 models"), "{out}");
    assert!(out.contains("warning: other.yaml:1:18: keys[0].key: the key is short enough to be guessed"), "{out}");
    let mut waypost = Waypost::new().file("waypost.yaml", good).arguments(&["--port", "0"]).start().await;
    waypost.hear("short enough to be guessed").await;
}

#[tokio::test]
async fn a_json_file_is_read_too() {
    let text = "{\n  \"channels\": [],\n  \"chanels\": []\n}\n";
    let (code, _, err) = Waypost::new().file("waypost.json", text).arguments(&["check"]).run().await;
    assert_eq!(code, Some(1));
    assert!(err.contains("waypost.json:3:") && err.contains("did you mean `channels`?"), "{err}");
}

#[tokio::test]
async fn schema_prints_a_json_schema_that_names_every_section() {
    let (code, out, _) = Waypost::new().arguments(&["schema"]).run().await;
    let schema: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &schema["title"]), (Some(0), &json!("Waypost configuration")));
    for section in ["server", "keys", "channels", "model_mappings", "retry", "defaults", "open_mode"] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
}

#[tokio::test]
async fn open_mode_holds_on_loopback_only_whoever_names_the_address() {
    let text = "open_mode: true\nchannels: [{name: s, provider: simulator}]\n";
    let waypost = Waypost::new().file("waypost.yaml", text).arguments(&["--port", "0"]).start().await;
    let body = r#"{"model":"sim/chat","messages":[{"role":"user","content":"Hi"}]}"#;
    assert_eq!(Request::post(CHAT, body).send(&waypost.url).await.status, 200);
    for arguments in [&["--host", "0.0.0.0", "--port", "0"][..], &["--host", "0.0.0.0", "check"]] {
        let (code, _, err) = Waypost::new().file("waypost.yaml", text).arguments(arguments).run().await;
        assert_eq!(code, Some(1));
        assert!(err.contains("open_mode: only possible while the gateway listens on a loopback address"), "{err}");
    }
}

// === ports ===

#[tokio::test]
async fn a_port_in_use_is_said_plainly_and_an_argument_outweighs_the_environment_and_that_the_file() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let file = format!("server: {{port: {port}}}\n");
    let refused = [
        Waypost::new().arguments(&["--port", &port]),
        Waypost::new().env("PORT", &port),
        Waypost::new().file("waypost.yaml", &file),
        Waypost::new().env("PORT", "0").arguments(&["--port", &port]),
        Waypost::new().file("waypost.yaml", &file.replace(&port, "0")).env("PORT", &port),
    ];
    for waypost in refused {
        let (code, _, err) = waypost.run().await;
        assert_eq!(code, Some(1));
        let words = format!("waypost: cannot listen on 127.0.0.1:{port}: Address already in use");
        assert!(err.contains(&words) && err.contains("--port or PORT"), "{err}");
    }
    let started = [
        Waypost::new().env("PORT", &port).arguments(&["--port", "0"]),
        Waypost::new().file("waypost.yaml", &file).env("PORT", "0"),
    ];
    for waypost in started {
        let waypost = waypost.start().await;
        assert_eq!(Request::get("/health").send(&waypost.url).await.status, 200);
    }
}

// === the end ===

#[tokio::test]
async fn on_sigterm_a_stream_finishes_and_new_requests_are_turned_away() {
    let gate = Gate::closed();
    let events = fixtures::events(fixtures::openai_chat::STREAM);
    let upstream = Upstream::always(Script::stream(events.clone()).gated(&gate)).await;
    let text = format!(
        "keys: [{{name: a, key: wp-0123456789abcdef}}]\nchannels: [{{name: o, provider: openai, base_url: '{}', api_key: k}}]\n",
        upstream.url()
    );
    let mut waypost = Waypost::new().file("waypost.yaml", &text).arguments(&["--port", "0"]).start().await;
    let body = r#"{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#;
    let request = Request::post(CHAT, body).bearer("wp-0123456789abcdef");
    // A caller whose request is still on its way in when the order comes.
    let mut late = Client::connect(&waypost.url).await;
    let bytes = request.to_bytes("waypost");
    let (early, rest) = bytes.split_at(20);
    late.write(early).await.unwrap();
    gate.pass(2);
    let mut stream = request.open(&waypost.url).await;
    assert!(stream.next_event().await.is_some());

    waypost.terminate();
    waypost.hear("stopping").await;

    late.write(rest).await.unwrap();
    let turned_away = timeout(PATIENCE, late.answer()).await.unwrap().unwrap();
    assert_eq!(turned_away.status, 503, "{}", turned_away.text());
    assert!(turned_away.header("retry-after").is_some());
    timeout(PATIENCE, async { while Client::try_connect(&waypost.url).await.is_ok() {} })
        .await
        .expect("nobody listens");
    gate.pass(events.len());
    let mut last = String::new();
    while let Some(event) = stream.next_event().await {
        last = event.what.data;
    }
    assert_eq!(last, "[DONE]");
    let logged = waypost.log_line().await;
    assert_eq!((&logged["outcome"], &logged["stream"]), (&json!("complete"), &json!(true)));
    assert_eq!(waypost.exit_code().await, Some(0));
}

#[tokio::test]
async fn at_the_end_of_the_grace_period_it_cuts_what_is_left_and_ends() {
    let upstream = Upstream::always(Script::never_answer()).await;
    let text = format!(
        "server: {{shutdown_grace: 100ms}}\nkeys: [{{name: a, key: wp-0123456789abcdef}}]\nchannels: [{{name: o, provider: openai, base_url: '{}', api_key: k}}]\n",
        upstream.url()
    );
    let mut waypost = Waypost::new().file("waypost.yaml", &text).arguments(&["--port", "0"]).start().await;
    let body = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}]}"#;
    let mut client = Client::connect(&waypost.url).await;
    client.write(&Request::post(CHAT, body).bearer("wp-0123456789abcdef").to_bytes("waypost")).await.unwrap();
    upstream.wait_hits(1).await;
    waypost.terminate();
    waypost.hear("cut at the end of the grace period").await;
    let turned_away = timeout(PATIENCE, client.answer()).await.unwrap().unwrap();
    assert_eq!((turned_away.status, turned_away.header("connection")), (503, Some("close")));
    // Even so the request has its line in the access log.
    assert_eq!(waypost.log_line().await["outcome"], "abandoned");
    assert_eq!(waypost.exit_code().await, Some(0));
}

// === the example ===

#[tokio::test]
async fn the_failover_example_works_as_the_readme_says() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/failover.yaml");
    let waypost = Waypost::new().arguments(&["--config", example, "--port", "0"]).start().await;
    let body = r#"{"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello!"}]}"#;
    let answer = Request::post(CHAT, body).bearer("wp-failover-demo-key").send(&waypost.url).await;
    assert_eq!((answer.status, &answer.json()["model"]), (200, &json!("gpt-4o")));
    assert_eq!(answer.header("x-waypost-deployment"), Some("healthy/gpt-4o"));
    assert_eq!(answer.header("x-waypost-attempts"), Some("2"));
}
