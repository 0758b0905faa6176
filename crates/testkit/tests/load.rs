//! The benchmark's load against the benchmark's upstream: each mode sees answers, and no errors.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use waypost_testkit::load::{self, Figures, Settings};

struct Upstream(Child, String);

impl Upstream {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mock-upstream"))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("the upstream starts: {error}"));
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line).ok();
        }
        Self(child, line.trim().trim_start_matches("listening on ").to_owned())
    }

    fn settings(&self, more: &[&str]) -> Settings {
        let to = ["--to", &self.1, "--milliseconds", "100", "--connections", "4"];
        Settings::from_arguments(to.into_iter().chain(more.iter().copied()).map(str::to_owned))
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn figure(figures: &Figures, name: &str) -> u64 {
    figures.iter().find(|(key, _)| *key == name).map(|(_, value)| *value).unwrap()
}

#[tokio::test]
async fn a_closed_loop_counts_answers_and_the_events_of_streams() {
    let upstream = Upstream::start(&["--chunks", "20"]);

    let whole = load::closed(&upstream.settings(&[])).await;
    assert!(figure(&whole, "requests") > 0 && figure(&whole, "errors") == 0, "{whole:?}");
    assert_eq!(figure(&whole, "chunks"), 0);

    let streamed = load::closed(&upstream.settings(&["--body", "stream"])).await;
    assert_eq!(figure(&streamed, "errors"), 0);
    // The opening, 20 chunks, the reason it ended and the end mark.
    assert_eq!(figure(&streamed, "chunks"), figure(&streamed, "requests") * 23);
}

#[tokio::test]
async fn a_beat_asks_no_more_often_than_told() {
    let upstream = Upstream::start(&[]);
    let figures = load::rate(&upstream.settings(&["--per-second", "100"])).await;
    assert!((1..=12).contains(&figure(&figures, "requests")), "{figures:?}");
    assert!(figure(&figures, "p50") > 0);
}

#[tokio::test]
async fn held_streams_stay_open_until_let_go() {
    let upstream = Upstream::start(&["--chunks", "100", "--interval-us", "20000"]);
    let held = load::hold(&upstream.settings(&["--body", "stream"])).await;
    assert_eq!(held.seen, [("held", 4), ("errors", 0)]);
    let seen = held.let_go().await;
    assert!(figure(&seen, "chunks") >= 4, "{seen:?}");
}

#[tokio::test]
async fn a_chunk_is_seen_leaving_and_arriving() {
    let closed = waypost_testkit::ClosedPort::take();
    let port = closed.url().rsplit(':').next().unwrap().to_owned();
    drop(closed);
    let to = format!("127.0.0.1:{port}");
    let arguments = ["--to", &to, "--listen", &port, "--chunks", "20", "--interval-us", "500", "--body", "stream"];
    let figures = load::chunks(&Settings::from_arguments(arguments.into_iter().map(str::to_owned))).await.unwrap();
    assert_eq!(figure(&figures, "requests"), 20);
    assert!(figure(&figures, "p50") > 0);
}

#[tokio::test]
async fn what_is_not_a_200_is_an_error() {
    let upstream = waypost_testkit::Upstream::always(waypost_testkit::Script::reply(404, "{}")).await;
    let to = upstream.address().to_string();
    let arguments = ["--to", &to, "--milliseconds", "20", "--connections", "1"];
    let figures = load::closed(&Settings::from_arguments(arguments.into_iter().map(str::to_owned))).await;
    assert_eq!(figure(&figures, "requests"), 0);
    assert!(figure(&figures, "errors") > 0);
}
