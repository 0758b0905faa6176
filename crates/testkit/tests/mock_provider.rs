//! The program other languages' suites talk to: it says where it listens, answers as a provider, and writes down what came.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use waypost_testkit::{Client, Request};

struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // What can fail here has ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn the_program_answers_and_records_every_request_it_received() {
    let record = std::env::temp_dir().join(format!("mock-provider-{}.jsonl", std::process::id()));
    let mut child = Command::new(env!("CARGO_BIN_EXE_mock-provider"))
        .arg("--record")
        .arg(&record)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let _program = Program(child);
    let address = line.trim().strip_prefix("listening on ").expect("the first line names the address").to_owned();

    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]});
    let mut client = Client::connect(&address).await;
    let answer = client
        .send(&Request::post("/v1/chat/completions", body.to_string()).header("authorization", "Bearer key-good"))
        .await;

    assert_eq!(answer.status, 200);
    assert_eq!(answer.text(), waypost_testkit::fixtures::openai_chat::PLAIN);
    let written = std::fs::read_to_string(&record).unwrap();
    std::fs::remove_file(&record).unwrap();
    let line: Value = serde_json::from_str(written.trim()).expect("one line of JSON");
    assert_eq!(line["path"], "/v1/chat/completions");
    assert_eq!(line["headers"]["authorization"], "Bearer key-good");
    assert_eq!(line["body"], body);
}
