use std::time::Duration;

use bytes::BytesMut;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::time::Instant;
use waypost_wire::WireError;
use waypost_wire::chat::event::Event;
use waypost_wire::chat::{Message, Part, Request, Response, Role};
use waypost_wire::dialect::{Reply, StreamEncoder};
use waypost_wire::error::Fault as Refusal;
use waypost_wire::loss::Losses;
use waypost_wire::peek::Peek;

use super::*;

mod dialects;

/// A dialect as plain as can be, so that these tests stand on the simulator alone. `{"model":..,"ask":..,"stream":..}`
struct Plain;

impl ClientDialect for Plain {
    fn peek(&self, _: &[u8]) -> Result<Peek, WireError> {
        Err(WireError::Unfinished)
    }

    fn decode_request(&self, body: &[u8]) -> Result<Request, WireError> {
        let body = embed::parse(body)?;
        let ask = body["ask"].as_str().ok_or_else(|| WireError::invalid("ask", "ask must be a text"))?;
        Ok(Request {
            model: body["model"].as_str().unwrap_or_default().to_owned(),
            messages: vec![Message { role: Role::User, parts: vec![Part::text(ask)], name: None }],
            stream: body["stream"] == true,
            ..Request::default()
        })
    }

    fn encode_response(&self, response: &Response, reply: &Reply, _: &mut Losses) -> Bytes {
        let usage = response.usage.map(|usage| [usage.input, usage.output]);
        json!({"id": reply.id, "text": spoken(response), "usage": usage}).to_string().into()
    }

    fn encode_error(&self, fault: &Refusal<'_>) -> Bytes {
        json!({"type": fault.openai_type, "code": fault.openai_code, "anthropic": fault.anthropic_type,
            "message": fault.message, "param": fault.param, "id": fault.request_id})
        .to_string()
        .into()
    }

    fn stream_encoder(&self, _: Reply) -> Box<dyn StreamEncoder> {
        Box::new(PlainStream(Losses::default()))
    }
}

fn spoken(response: &Response) -> String {
    let parts = response.choices.iter().flat_map(|choice| &choice.parts);
    prompt::text_of_parts(&parts.cloned().collect::<Vec<_>>())
}

struct PlainStream(Losses);

impl StreamEncoder for PlainStream {
    fn event(&mut self, event: &Event, out: &mut BytesMut) {
        let data = match event {
            Event::Text { text, .. } => json!({"text": text}),
            Event::Usage(usage) => json!({"usage": usage.total()}),
            Event::Done => json!({"done": true}),
            _ => return,
        };
        out.extend_from_slice(format!("data: {data}\n\n").as_bytes());
    }

    fn error(&mut self, _: &Refusal<'_>, _: &mut BytesMut) {}

    fn losses(&self) -> &Losses {
        &self.0
    }
}

fn call(operation: Operation, body: Value) -> Call {
    Call {
        operation,
        dialect: Dialect::OpenaiChat,
        codec: &Plain,
        path: "/v1/models".into(),
        body: body.to_string().into(),
    }
}

fn chat(model: &str, stream: bool) -> Call {
    call(Operation::Chat, json!({"model": model, "ask": "Why is the sky blue?", "stream": stream}))
}

async fn collect(body: Body) -> (String, bool) {
    let mut text = String::new();
    let mut body = body;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => text.push_str(std::str::from_utf8(frame.data_ref().expect("data")).expect("UTF-8")),
            Err(Cut) => return (text, false),
        }
    }
    (text, true)
}

async fn whole(call: Call) -> (u16, String) {
    let answer = Simulator::new().answer(call).await;
    let (text, complete) = collect(answer.body).await;
    assert!(complete);
    (answer.status.as_u16(), text)
}

fn frames(stream: &str) -> Vec<Result<Value, serde_json::Error>> {
    let frames = stream.split_terminator("\n\n").map(|frame| frame.strip_prefix("data: ").expect("a data line"));
    frames.map(serde_json::from_str).collect()
}

#[tokio::test(start_paused = true)]
async fn the_same_request_gets_the_same_bytes() {
    let simulator = Simulator::new();
    for stream in [false, true] {
        let first = collect(simulator.answer(chat("sim/chat", stream)).await.body).await;
        let second = collect(simulator.answer(chat("sim/chat", stream)).await.body).await;
        assert_eq!(first, second);
    }
    let (_, one) = whole(chat("sim/chat", false)).await;
    let (_, other) = whole(chat("sim/fast", false)).await;
    assert_ne!(one, other, "ids differ between requests");
}

#[tokio::test(start_paused = true)]
async fn a_long_request_is_answered_like_a_short_one() {
    let question = "Why? ".repeat(LONG_TEXT);
    let (status, text) = whole(call(Operation::Chat, json!({"model": "sim/echo", "ask": question}))).await;
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(status, 200);
    assert_eq!(answer["text"], question);
}

#[tokio::test(start_paused = true)]
async fn a_stream_put_together_is_the_whole_answer() {
    let (_, text) = whole(chat("sim/chat", false)).await;
    let (_, stream) = whole(chat("sim/chat", true)).await;
    let frames: Vec<Value> = frames(&stream).into_iter().map(|frame| frame.expect("JSON")).collect();
    let streamed: String = frames.iter().filter_map(|frame| frame["text"].as_str()).collect();
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(answer["text"], streamed);
    assert!(frames.len() > 20, "it came in pieces");
    assert_eq!(frames.last(), Some(&json!({"done": true})));
}

#[tokio::test(start_paused = true)]
async fn each_piece_waits_for_the_pace_of_the_model() {
    for (model, millis) in [("sim/chat", 20), ("sim/fast", 0), ("sim/chat@50ms", 50)] {
        let start = Instant::now();
        let (_, stream) = whole(chat(model, true)).await;
        let pieces = frames(&stream).iter().flatten().filter(|frame| frame["text"].is_string()).count();
        assert_eq!(start.elapsed(), Duration::from_millis(millis) * pieces as u32, "{model}");
    }
}

#[tokio::test]
async fn failures_have_their_status_their_words_and_a_request_id() {
    for (status, kind, code, anthropic) in [
        (400, "invalid_request_error", None, "invalid_request_error"),
        (401, "invalid_request_error", Some("invalid_api_key"), "authentication_error"),
        (402, "insufficient_quota", Some("insufficient_quota"), "billing_error"),
        (403, "invalid_request_error", None, "permission_error"),
        (404, "invalid_request_error", Some("model_not_found"), "not_found_error"),
        (408, "server_error", Some("request_timeout"), "timeout_error"),
        (429, "requests", Some("rate_limit_exceeded"), "rate_limit_error"),
        (500, "server_error", None, "api_error"),
        (502, "server_error", None, "api_error"),
        (503, "server_error", None, "api_error"),
        (529, "server_error", Some("overloaded"), "overloaded_error"),
    ] {
        let answer = Simulator::new().answer(chat(&format!("sim/fail-{status}"), true)).await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.headers[CONTENT_TYPE], "application/json");
        assert_eq!(answer.headers.get(RETRY_AFTER).is_some(), status == 429);
        let id = answer.headers["x-request-id"].clone();
        let body: Value = serde_json::from_str(&collect(answer.body).await.0).expect("JSON");
        assert_eq!(body["type"], kind);
        assert_eq!(body["code"].as_str(), code);
        assert_eq!(body["anthropic"], anthropic);
        assert_eq!(body["id"], id.to_str().expect("ASCII"));
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_refused_with_its_field() {
    let (status, text) = whole(call(Operation::Chat, json!({"model": "sim/chat"}))).await;
    let body: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(status, 400);
    assert_eq!(body["param"], "ask");
    assert_eq!(body["message"], "ask must be a text");
}

#[tokio::test(start_paused = true)]
async fn slow_keeps_its_first_byte_and_hang_never_answers() {
    let start = Instant::now();
    assert_eq!(whole(chat("sim/slow", false)).await.0, 200);
    assert_eq!(start.elapsed(), SLOW);
    let simulator = Simulator::new();
    let hang = simulator.answer(chat("sim/hang", false));
    assert!(tokio::time::timeout(Duration::from_secs(3_600), hang).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn stall_sends_some_of_its_answer_and_then_nothing_more() {
    for stream in [false, true] {
        let mut body = Simulator::new().answer(chat("sim/stall", stream)).await.body;
        let mut bytes = 0;
        while let Ok(frame) = tokio::time::timeout(Duration::from_secs(3_600), body.frame()).await {
            let frame = frame.expect("no end").expect("no error");
            bytes += frame.data_ref().expect("data").len();
        }
        assert!(bytes > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn cut_breaks_off_in_the_middle() {
    for stream in [false, true] {
        let answer = Simulator::new().answer(chat("sim/cut", stream)).await;
        let (text, complete) = collect(answer.body).await;
        assert!(!complete && !text.is_empty() && !text.contains("done"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn garbled_breaks_one_frame_or_the_whole_body_but_not_the_connection() {
    let (status, text) = whole(chat("sim/garbled", false)).await;
    assert_eq!(status, 200);
    assert!(serde_json::from_str::<Value>(&text).is_err());
    let (_, stream) = whole(chat("sim/garbled", true)).await;
    let frames = frames(&stream);
    assert_eq!(frames.iter().filter(|frame| frame.is_err()).count(), 1);
    assert!(frames[0].is_ok());
}

#[tokio::test]
async fn no_usage_says_nothing_about_tokens() {
    let usage = |text: &str| serde_json::from_str::<Value>(text).expect("JSON")["usage"].clone();
    assert!(usage(&whole(chat("sim/no-usage", false)).await.1).is_null());
    assert!(usage(&whole(chat("sim/chat", false)).await.1).is_array());
    let embed = |model: &str| call(Operation::Embeddings, json!({"model": model, "input": "hello"}));
    assert!(usage(&whole(embed("sim/no-usage")).await.1).is_null());
    assert_eq!(usage(&whole(embed("sim/embed")).await.1)["total_tokens"], 1);
}

#[tokio::test]
async fn flaky_fails_its_share_of_calls_evenly() {
    let simulator = Simulator::new();
    let mut failed = Vec::new();
    for number in 1..=100 {
        let answer = simulator.answer(chat("sim/flaky-30", false)).await;
        if answer.status == 503 {
            failed.push(number);
        }
    }
    assert_eq!(failed.len(), 30);
    assert_eq!(failed[..3], [4, 7, 10]);
    assert_eq!(simulator.answer(chat("sim/flaky-0", false)).await.status, 200);
    assert_eq!(simulator.answer(chat("sim/flaky-100", false)).await.status, 503);
}

#[tokio::test]
async fn models_are_listed_in_either_form_and_found_one_by_one() {
    let models = |dialect, path: &str| Call { dialect, path: path.into(), ..call(Operation::Models, json!({})) };
    let read = |(status, text): (u16, String)| (status, serde_json::from_str::<Value>(&text).expect("JSON"));
    let (_, openai) = read(whole(models(Dialect::OpenaiChat, "/v1/models")).await);
    assert_eq!(openai["object"], "list");
    assert_eq!(openai["data"][0]["id"], "sim/chat");
    assert_eq!(openai["data"].as_array().map(Vec::len), Some(listing().len()));
    let (_, anthropic) = read(whole(models(Dialect::Anthropic, "/v1/models")).await);
    assert_eq!(anthropic["first_id"], "sim/chat");
    assert_eq!(anthropic["data"][0]["type"], "model");
    let (status, one) = read(whole(models(Dialect::OpenaiChat, "/v1/models/sim/echo")).await);
    assert_eq!((status, &one["id"]), (200, &json!("sim/echo")));
    assert_eq!(whole(models(Dialect::OpenaiChat, "/v1/models/gpt-4o")).await.0, 404);
}

#[tokio::test]
async fn tokens_are_counted_without_an_output_limit_in_the_request() {
    let (_, text) = whole(call(Operation::CountTokens, json!({"model": "sim/chat", "ask": "hello world"}))).await;
    assert_eq!(text, r#"{"input_tokens":8}"#);
}

#[tokio::test]
async fn completions_answer_each_prompt_n_times_within_the_limit() {
    let body = json!({"model": "sim/chat", "prompt": ["One?", "Two?"], "n": 2, "max_tokens": 5});
    let (status, text) = whole(call(Operation::Completions, body)).await;
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(status, 200);
    assert_eq!(answer["object"], "text_completion");
    let choices = answer["choices"].as_array().expect("choices");
    let indexes: Vec<u64> = choices.iter().filter_map(|choice| choice["index"].as_u64()).collect();
    assert_eq!(indexes, [0, 1, 2, 3]);
    assert!(choices.iter().all(|choice| choice["finish_reason"] == "length"));
    let counted: u64 = choices.iter().filter_map(|choice| choice["text"].as_str()).map(crate::tokens::count).sum();
    assert_eq!(answer["usage"]["completion_tokens"], counted);
    assert_eq!(answer["usage"]["prompt_tokens"], 2 * 8);
}

#[tokio::test(start_paused = true)]
async fn streamed_completions_say_the_same_as_whole_ones() {
    let body = |stream| json!({"model": "sim/chat", "prompt": "Why?", "max_tokens": 40, "stream": stream, "stream_options": {"include_usage": true}});
    let (_, text) = whole(call(Operation::Completions, body(false))).await;
    let whole_answer: Value = serde_json::from_str(&text).expect("JSON");
    let (_, stream) = whole(call(Operation::Completions, body(true))).await;
    let stream = stream.strip_suffix("data: [DONE]\n\n").expect("an end mark");
    let frames: Vec<Value> = frames(stream).into_iter().map(|frame| frame.expect("JSON")).collect();
    let streamed: String = frames.iter().filter_map(|frame| frame["choices"][0]["text"].as_str()).collect();
    assert_eq!(whole_answer["choices"][0]["text"], streamed);
    let last = frames.last().expect("frames");
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"], whole_answer["usage"]);
    assert!(frames[..frames.len() - 1].iter().all(|frame| frame["usage"].is_null()));
}

#[tokio::test]
async fn what_the_simulator_does_not_do_is_not_found() {
    for operation in [Operation::Images, Operation::Audio, Operation::Passthrough] {
        assert_eq!(whole(call(operation, json!({}))).await.0, 404);
    }
}
