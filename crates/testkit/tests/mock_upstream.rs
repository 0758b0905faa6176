//! The benchmark's upstream, run as the program it is.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use waypost_testkit::{Client, Request};

/// The program and where it listens; stopped when dropped.
struct Running(Child, String);

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child =
            Command::new(env!("CARGO_BIN_EXE_mock-upstream")).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening on ").unwrap().trim().to_owned();
        Self(child, address)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn it_answers_both_protocols_whole_and_streamed_on_one_connection() {
    let running = Running::start(&["--port", "0", "--chunks", "3", "--interval-us", "10"]);
    let mut client = Client::connect(&running.1).await;

    let chat = client.send(&Request::post("/v1/chat/completions", r#"{"model":"m"}"#)).await;
    assert_eq!(chat.json()["choices"][0]["finish_reason"], "stop");
    assert!((900..1300).contains(&chat.body.len()), "about a kilobyte: {}", chat.body.len());

    let chunks = client.send(&Request::post("/v1/chat/completions", r#"{"stream" : true}"#)).await.events();
    assert_eq!(chunks.len(), 6, "a role, three deltas, a finish and [DONE]");
    let said = chunks[..5].iter().filter(|chunk| chunk.json()["choices"][0]["delta"]["content"] == " storm");
    assert_eq!(said.count(), 3);
    assert_eq!(chunks[4].json()["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunks[5].data, "[DONE]");

    let asked = r#"{"stream":true,"stream_options":{"include_usage":true}}"#;
    let chunks = client.send(&Request::post("/v1/chat/completions", asked)).await.events();
    assert_eq!(chunks[5].json()["usage"]["total_tokens"], 17);

    let message = client.send(&Request::post("/v1/messages", r#"{"model":"m"}"#)).await;
    assert_eq!(message.json()["stop_reason"], "end_turn");

    let events = client.send(&Request::post("/v1/messages?beta=true", r#"{"stream":true}"#)).await.events();
    assert_eq!(events.len(), 8);
    assert!(events.iter().all(|event| event.json()["type"] == event.event.as_deref().unwrap()));

    assert_eq!(client.send(&Request::get("/v1/models")).await.status, 404);
}
