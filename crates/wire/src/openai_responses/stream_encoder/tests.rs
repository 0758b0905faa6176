use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::Dialect;
use crate::chat::{Request, Served};
use crate::dialect::StreamDecoder;
use crate::openai_responses::stream_decoder::Decoder;
use crate::sse::Framer;

fn encoder() -> Encoder {
    Encoder::new(Reply {
        id: "x1".into(),
        created: 1_795_000_000,
        model: "fast".into(),
        include_usage: true,
        input_estimate: 0,
        request: Arc::new(Request::default()),
    })
}

fn write(events: &[Event]) -> (BytesMut, Encoder) {
    let mut encoder = encoder();
    let mut out = BytesMut::new();
    for event in events {
        encoder.event(event, &mut out);
    }
    (out, encoder)
}

/// The frames' names and bodies; checks what all frames share.
fn frames(stream: BytesMut) -> Vec<Value> {
    let mut framer = Framer::new(1 << 20);
    framer.push(stream.freeze());
    let mut bodies: Vec<Value> = Vec::new();
    while let Some(frame) = framer.next_frame().unwrap() {
        let body: Value = serde_json::from_slice(frame.data().unwrap()).unwrap();
        assert_eq!(frame.event(), body["type"].as_str());
        assert_eq!(body["sequence_number"], bodies.len());
        bodies.push(body);
    }
    assert!(framer.finish().is_none());
    bodies
}

fn said(events: &[Event]) -> Vec<Value> {
    frames(write(events).0)
}

fn kinds(frames: &[Value]) -> Vec<&str> {
    frames.iter().map(|frame| frame["type"].as_str().unwrap().trim_start_matches("response.")).collect()
}

fn start() -> Event {
    Event::Start { id: Some("chatcmpl-9".into()), model: Some("up".into()), created: Some(7) }
}

fn text(text: &str) -> Event {
    Event::Text { choice: 0, text: text.into() }
}

fn call(call: u32) -> Event {
    let (id, name) = (format!("call_{call}"), format!("f{call}"));
    Event::ToolCall { choice: 0, call, id, name, kind: ToolKind::Function, signature: None }
}

fn arguments(call: u32, text: &str) -> Event {
    Event::ToolArguments { choice: 0, call, text: text.into() }
}

fn finish(reason: FinishReason) -> Event {
    Event::Finish { choice: 0, reason }
}

fn tokens(input: u64, output: u64) -> Event {
    Event::Usage(Usage { input: Some(input), output: Some(output), ..Usage::default() })
}

#[test]
fn a_text_has_the_full_event_set_and_waits_for_its_usage() {
    let frames = said(&[start(), text("Hel"), text("lo"), finish(FinishReason::Stop), tokens(3, 2), Event::Done]);
    assert_eq!(
        kinds(&frames),
        [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed"
        ]
    );
    assert_eq!(frames[0]["response"]["status"], "in_progress");
    assert_eq!((&frames[0]["response"]["id"], &frames[0]["response"]["created_at"]), (&"resp_x1".into(), &7.into()));
    let delta = &frames[4];
    assert_eq!((&delta["item_id"], &delta["delta"]), (&"msg_x1_0".into(), &"Hel".into()));
    assert_eq!((&delta["output_index"], &delta["content_index"]), (&0.into(), &0.into()));
    let end = &frames[9]["response"];
    assert_eq!((&end["status"], &end["usage"]["total_tokens"]), (&"completed".into(), &5.into()));
    assert_eq!(end["output"], serde_json::json!([frames[8]["item"]]));
    assert_eq!(end["output"][0]["content"][0]["text"], "Hello");
}

#[test]
fn nothing_is_terminal_before_the_stream_is() {
    let (out, _) = write(&[start(), text("a"), finish(FinishReason::Stop)]);
    assert!(!kinds(&frames(out)).contains(&"completed"));
}

#[test]
fn interleaved_calls_are_items_side_by_side() {
    let frames = said(&[
        start(),
        text("both"),
        call(0),
        arguments(0, "{\"a\""),
        call(1),
        arguments(1, "{}"),
        arguments(0, ":1}"),
        finish(FinishReason::ToolCalls),
        Event::Done,
    ]);
    let output = frames.last().unwrap()["response"]["output"].clone();
    assert_eq!(output[0]["type"], "message");
    assert_eq!((&output[1]["call_id"], &output[1]["arguments"]), (&"call_0".into(), &"{\"a\":1}".into()));
    assert_eq!((&output[2]["call_id"], &output[2]["arguments"]), (&"call_1".into(), &"{}".into()));
    let positions: Vec<&Value> = frames
        .iter()
        .filter(|frame| frame["type"] == "response.function_call_arguments.delta")
        .map(|frame| &frame["output_index"])
        .collect();
    assert_eq!(positions, [1, 2, 1]);
    let done = frames.iter().find(|frame| frame["type"] == "response.function_call_arguments.done").unwrap();
    assert_eq!((&done["name"], &done["item_id"]), (&"f0".into(), &"fc_x1_1".into()));
}

#[test]
fn a_call_without_arguments_has_an_empty_object() {
    let frames = said(&[start(), call(0), finish(FinishReason::ToolCalls), Event::Done]);
    assert_eq!(
        kinds(&frames)[2..],
        [
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed"
        ]
    );
    assert_eq!((&frames[3]["delta"], &frames[5]["item"]["arguments"]), (&"{}".into(), &"{}".into()));
}

#[test]
fn custom_calls_have_their_own_events() {
    let custom = Event::ToolCall {
        choice: 0,
        call: 0,
        id: String::new(),
        name: "shell".into(),
        kind: ToolKind::Custom,
        signature: None,
    };
    let frames = said(&[custom, arguments(0, "ls"), finish(FinishReason::ToolCalls), Event::Done]);
    assert_eq!(
        kinds(&frames)[2..],
        [
            "output_item.added",
            "custom_tool_call_input.delta",
            "custom_tool_call_input.done",
            "output_item.done",
            "completed"
        ]
    );
    assert_eq!((&frames[5]["item"]["call_id"], &frames[5]["item"]["input"]), (&"call_x1_0".into(), &"ls".into()));
}

#[test]
fn reasoning_is_a_sealed_item_before_the_answer() {
    let seal = |dialect, redacted| Event::ReasoningSeal {
        choice: 0,
        signature: Signature { dialect, seal: "S".into() },
        redacted,
        id: None,
    };
    let frames = said(&[
        Event::Reasoning { choice: 0, text: "h".into() },
        Event::Reasoning { choice: 0, text: "m".into() },
        seal(Dialect::Anthropic, false),
        seal(Dialect::Anthropic, true),
        text("a"),
        finish(FinishReason::Stop),
        Event::Done,
    ]);
    assert_eq!(
        kinds(&frames)[2..11],
        [
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
            "output_item.added",
            "output_item.done"
        ]
    );
    let output = &frames.last().unwrap()["response"]["output"];
    assert_eq!(output[0]["summary"][0]["text"], "hm");
    assert_eq!(output[0]["encrypted_content"], "waypost:anthropic:thinking:S");
    assert_eq!(output[1]["encrypted_content"], "waypost:anthropic:redacted:S");
    assert_eq!(output[2]["content"][0]["text"], "a");
}

#[test]
fn a_refusal_beside_text_is_a_part_of_its_own() {
    let refusal = Event::Refusal { choice: 0, text: "no".into() };
    let frames = said(&[text("a"), refusal, finish(FinishReason::Refusal(None)), Event::Done]);
    let end = &frames.last().unwrap()["response"];
    assert_eq!(end["status"], "completed");
    assert_eq!(end["output"][0]["content"][1], serde_json::json!({"type": "refusal", "refusal": "no"}));
    let delta = frames.iter().find(|frame| frame["type"] == "response.refusal.delta").unwrap();
    assert_eq!((&delta["content_index"], delta.get("logprobs")), (&1.into(), None));
}

#[test]
fn sources_and_log_probabilities_stay_with_their_text() {
    let citation = Citation { url: Some("https://e.com".into()), end: Some(1), ..Citation::default() };
    let (out, encoder) = write(&[
        text("a"),
        Event::Logprobs { choice: 0, value: serde_json::json!({"content": [{"token": "a"}]}) },
        Event::Citation { choice: 0, citation },
        Event::Citation { choice: 0, citation: Citation::default() },
        finish(FinishReason::Stop),
        Event::Done,
    ]);
    let frames = frames(out);
    let part = &frames.last().unwrap()["response"]["output"][0]["content"][0];
    assert_eq!(
        part["annotations"],
        serde_json::json!([{"type": "url_citation", "url": "https://e.com", "title": "https://e.com", "start_index": 0, "end_index": 1}])
    );
    assert_eq!(part["logprobs"], serde_json::json!([{"token": "a"}]));
    assert!(kinds(&frames).contains(&"output_text.annotation.added"));
    assert_eq!(encoder.losses().iter().count(), 1);
}

#[test]
fn a_cut_answer_is_incomplete_and_so_is_only_its_last_item() {
    let frames =
        said(&[call(0), arguments(0, "{}"), call(1), arguments(1, "{\"a"), finish(FinishReason::Length), Event::Done]);
    let last = frames.last().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["incomplete_details"]["reason"], "max_output_tokens");
    let output = &last["response"]["output"];
    assert_eq!((&output[0]["status"], &output[1]["status"]), (&"completed".into(), &"incomplete".into()));
    assert_eq!(output[1]["arguments"], "{\"a");
}

#[test]
fn a_stream_without_an_end_is_never_a_clean_one() {
    let frames = said(&[start(), text("a"), Event::Done]);
    assert_eq!(frames.last().unwrap()["type"], "response.failed");
}

#[test]
fn an_error_ends_the_stream_with_a_failed_response() {
    let (mut out, mut encoder) = write(&[start(), text("a")]);
    let fault = Fault {
        status: 502,
        openai_type: "server_error",
        openai_code: None,
        anthropic_type: "api_error",
        gemini_status: "UNAVAILABLE",
        message: "the provider stopped answering",
        param: None,
        request_id: "req_1",
    };
    encoder.error(&fault, &mut out);
    encoder.event(&text("late"), &mut out);
    encoder.event(&Event::Done, &mut out);
    let frames = frames(out);
    let last = frames.last().unwrap();
    assert_eq!(last["type"], "response.failed");
    assert_eq!(
        last["response"]["error"],
        serde_json::json!({"code": "server_error", "message": "the provider stopped answering"})
    );
    assert_eq!(frames.iter().filter(|frame| frame["type"] == "response.failed").count(), 1);

    let mut out = BytesMut::new();
    self::encoder().error(&fault, &mut out);
    assert_eq!(kinds(&self::frames(out)), ["created", "in_progress", "failed"]);
}

#[test]
fn other_choices_are_a_loss() {
    let (_, encoder) = write(&[Event::Text { choice: 1, text: "b".into() }]);
    assert_eq!(encoder.losses().iter().next().unwrap().field, "choices[]");
}

/// Joins neighbouring pieces, so that streams cut differently compare equal; ids and times are the reply's.
fn meaning(stream: Bytes) -> Vec<Event> {
    let mut framer = Framer::new(1 << 20);
    framer.push(stream);
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    while let Some(frame) = framer.next_frame().unwrap() {
        decoder.frame(&frame, &mut events).unwrap();
    }
    decoder.end(&mut events).unwrap();
    events.into_iter().filter(|event| !matches!(event, Event::Start { .. })).collect()
}

fn piece() -> impl Strategy<Value = Event> {
    prop_oneof![
        "[a-zé\"\\\\\n]{1,4}".prop_map(|text| Event::Text { choice: 0, text }),
        "[a-z]{1,4}".prop_map(|text| Event::Reasoning { choice: 0, text }),
        "[a-z]{1,4}".prop_map(|text| Event::Refusal { choice: 0, text }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(pieces in proptest::collection::vec(piece(), 0..12), calls in 0u32..3) {
        let mut events = pieces;
        for call_number in 0..calls {
            events.push(call(call_number));
            events.push(arguments(call_number, "{}"));
        }
        let refused = events.iter().any(|event| matches!(event, Event::Refusal { .. }));
        let reason = match (calls, refused) {
            (1.., _) => FinishReason::ToolCalls,
            (0, true) => FinishReason::Refusal(None),
            (0, false) => FinishReason::Stop,
        };
        let (usage, end) = (tokens(3, 2), finish(reason));
        let mut written = events.clone();
        written.extend([end.clone(), usage.clone(), Event::Done]);
        let full = Usage { input: Some(3), output: Some(2), cache_read: Some(0), cache_write: Some(0), reasoning: Some(0), served: Some(Served::Standard), ..Usage::default() };
        let mut expected = events;
        expected.extend([Event::Usage(full), end, Event::Done]);
        prop_assert_eq!(meaning(write(&written).0.freeze()), expected);
    }
}
