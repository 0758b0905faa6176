//! The strict provider of `testkit::provider` on a loopback port, for suites written in other languages.
//! It must not decide anything; `tests/mock_provider.rs` asks it.
//!
//! `mock-provider [--record FILE]` takes a free port; the first line on standard output says which:
//! `listening on 127.0.0.1:9000`. Every request received becomes one line of JSON in the file, written before the answer.
#![expect(clippy::panic, reason = "only tests use this program, and a panic is how it refuses a wrong command line")]

use std::fs::File;
use std::io::{self, Write};
use std::sync::Mutex;

use serde_json::{Map, Value, json};
use waypost_testkit::{Recorded, Upstream, provider};

#[tokio::main]
async fn main() -> io::Result<()> {
    let record = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => None,
        [flag, path] if flag == "--record" => Some(Mutex::new(File::create(path)?)),
        _ => panic!("usage: mock-provider [--record FILE]"),
    };
    let upstream = Upstream::by(move |request| {
        if let Some(file) = &record {
            write_line(file, request);
        }
        provider::answer(request)
    })
    .await;
    writeln!(io::stdout(), "listening on {}", upstream.address())?;
    std::future::pending().await
}

fn write_line(file: &Mutex<File>, request: &Recorded) {
    let body: Value = serde_json::from_slice(&request.body)
        .unwrap_or_else(|_| String::from_utf8_lossy(&request.body).into_owned().into());
    let headers: Map<String, Value> =
        request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.into())).collect();
    let line = json!({
        "method": request.method,
        "path": request.path_and_query,
        "headers": headers,
        "body": body,
    });
    let mut file = file.lock().unwrap_or_else(|poisoned| panic!("another request could not be recorded: {poisoned}"));
    writeln!(file, "{line}").unwrap_or_else(|error| panic!("recording a request: {error}"));
}
