use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::anthropic::stream_decoder::Decoder;
use crate::chat::{Request, ToolKind};
use crate::dialect::StreamDecoder;
use crate::error::RemoteError;
use crate::sse::Framer;

fn encoder() -> Encoder {
    Encoder::new(Reply {
        id: "r1".to_owned(),
        created: 1,
        model: "auto:fast".to_owned(),
        include_usage: true,
        input_estimate: 33,
        request: Arc::new(Request::default()),
    })
}

fn frames(bytes: &[u8]) -> Vec<(String, Value)> {
    let mut framer = Framer::new(1 << 20);
    framer.push(Bytes::copy_from_slice(bytes));
    let mut frames = Vec::new();
    while let Some(frame) = framer.next_frame().unwrap() {
        let data: Value = serde_json::from_slice(frame.data().unwrap()).unwrap();
        assert_eq!(frame.event(), data["type"].as_str());
        frames.push((frame.event().unwrap().to_owned(), data));
    }
    frames
}

fn encode(events: &[Event]) -> Vec<(String, Value)> {
    let (mut encoder, mut out) = (encoder(), BytesMut::new());
    for event in events {
        encoder.event(event, &mut out);
    }
    frames(&out)
}

/// The stream in short; what every stream begins with is left out.
fn short(events: &[Event]) -> Vec<String> {
    let brief = |(event, data): &(String, Value)| match event.as_str() {
        "content_block_start" => format!("{}+{}", data["index"], data["content_block"]["type"].as_str().unwrap()),
        "content_block_delta" => {
            let delta = data["delta"].as_object().unwrap();
            format!("{} {}", data["index"], delta.values().nth(1).unwrap().as_str().unwrap())
        }
        "content_block_stop" => format!("{}-", data["index"]),
        "message_delta" => format!("{} {}", data["delta"]["stop_reason"], data["usage"]["output_tokens"]),
        other => other.to_owned(),
    };
    encode(events).iter().map(brief).filter(|brief| !matches!(brief.as_str(), "message_start" | "ping")).collect()
}

fn text(text: &str) -> Event {
    Event::Text { choice: 0, text: text.to_owned() }
}

fn call(call: u32) -> Event {
    let (id, name) = (format!("call_{call}"), format!("f{call}"));
    Event::ToolCall { choice: 0, call, id, name, kind: ToolKind::Function, signature: None }
}

fn arguments(call: u32, text: &str) -> Event {
    Event::ToolArguments { choice: 0, call, text: text.to_owned() }
}

fn finish(reason: FinishReason) -> Event {
    Event::Finish { choice: 0, reason }
}

fn usage(input: u64, output: u64) -> Event {
    Event::Usage(Usage { input: Some(input), output: Some(output), ..Usage::default() })
}

#[test]
fn an_openai_stream_is_drawn_with_the_true_usage_at_the_end() {
    let start = Event::Start { id: Some("chatcmpl-1".to_owned()), model: Some("gpt".to_owned()), created: Some(1) };
    let stream = encode(&[start, text("Hi"), text(" you"), finish(FinishReason::Stop), usage(20, 2), Event::Done]);
    let names: Vec<&str> = stream.iter().map(|(event, _)| event.as_str()).collect();
    assert_eq!(
        names,
        [
            "message_start",
            "ping",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    let message = &stream[0].1["message"];
    assert_eq!((&message["model"], &message["usage"]["input_tokens"]), (&json!("auto:fast"), &json!(33)));
    assert_eq!((&message["content"], &message["stop_reason"]), (&json!([]), &Value::Null));
    assert_eq!(stream[6].1["delta"], json!({"stop_reason": "end_turn", "stop_sequence": null}));
    assert_eq!(
        stream[6].1["usage"],
        json!({"input_tokens": 20, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 2})
    );
}

#[test]
fn message_delta_waits_for_usage_or_the_end() {
    let before = short(&[text("x"), finish(FinishReason::Length)]);
    assert_eq!(before, ["0+text", "0 x"]);
    let known = short(&[text("x"), finish(FinishReason::Length), usage(1, 7)]);
    assert_eq!(known[2..], ["0-", "\"max_tokens\" 7"]);
    let silent = short(&[text("x"), finish(FinishReason::Length), Event::Done]);
    assert_eq!(silent[2..], ["0-", "\"max_tokens\" 0", "message_stop"]);
}

#[test]
fn interleaved_calls_become_whole_blocks_one_after_another() {
    let stream = short(&[
        text("Look."),
        call(0),
        call(1),
        arguments(1, "{\"b\":"),
        arguments(0, "{\"a\":\"}"),
        arguments(1, "2}"),
        arguments(0, "\"}"),
        call(2),
        finish(FinishReason::ToolCalls),
        Event::Done,
    ]);
    assert_eq!(
        stream,
        [
            "0+text",
            "0 Look.",
            "0-",
            "1+tool_use",
            "1 {\"a\":\"}",
            "1 \"}",
            "1-",
            "2+tool_use",
            "2 {\"b\":2}",
            "2-",
            "3+tool_use",
            "3-",
            "\"tool_use\" 0",
            "message_stop"
        ]
    );
}

#[test]
fn words_inside_an_unfinished_call_wait_for_its_end() {
    let stream = short(&[call(0), arguments(0, "{"), text("so"), text(" on"), arguments(0, "}"), text("!")]);
    assert_eq!(stream, ["0+tool_use", "0 {", "0 }", "0-", "1+text", "1 so on", "1 !"]);
}

#[test]
fn thoughts_are_sealed_with_our_own_seals_only() {
    let thought = |text: &str| Event::Reasoning { choice: 0, text: text.to_owned() };
    let seal = |dialect, redacted| {
        let signature = Signature { dialect, seal: "seal".to_owned() };
        Event::ReasoningSeal { choice: 0, signature, redacted, id: None }
    };
    let stream = short(&[
        thought("a"),
        seal(Dialect::Anthropic, false),
        thought("b"),
        seal(Dialect::OpenaiResponses, false),
        seal(Dialect::Anthropic, true),
        text("c"),
    ]);
    assert_eq!(
        stream,
        ["0+thinking", "0 a", "0 seal", "0-", "1+thinking", "1 b", "1-", "2+redacted_thinking", "2-", "3+text", "3 c"]
    );
}

#[test]
fn a_stream_without_a_clean_end_ends_with_an_error_and_no_stop() {
    for events in
        [vec![text("x"), Event::Done], vec![text("x"), finish(FinishReason::Failed("bad".to_owned())), Event::Done]]
    {
        let stream = short(&events);
        assert_eq!(stream.last().unwrap(), "error");
        assert!(!stream.iter().any(|brief| brief == "message_stop"));
    }
}

#[test]
fn after_an_error_nothing_follows() {
    let fault = Fault {
        status: 502,
        openai_type: "server_error",
        openai_code: None,
        anthropic_type: "api_error",
        gemini_status: "INTERNAL",
        message: "The stream broke.",
        param: None,
        request_id: "req_1",
    };
    let (mut encoder, mut out) = (encoder(), BytesMut::new());
    encoder.event(&text("x"), &mut out);
    encoder.event(&Event::Error(RemoteError::default()), &mut out);
    encoder.error(&fault, &mut out);
    encoder.event(&finish(FinishReason::Stop), &mut out);
    encoder.event(&Event::Done, &mut out);
    let frames = frames(&out);
    let (event, data) = frames.last().unwrap();
    assert_eq!((event.as_str(), &data["error"]["message"]), ("error", &json!("The stream broke.")));
    assert_eq!(frames.iter().filter(|(event, _)| event == "message_stop").count(), 0);
}

#[test]
fn what_a_message_cannot_say_is_reported() {
    let (mut encoder, mut out) = (encoder(), BytesMut::new());
    encoder.event(&Event::Text { choice: 1, text: "x".to_owned() }, &mut out);
    encoder.event(&Event::Logprobs { choice: 0, value: json!({}) }, &mut out);
    encoder.event(&Event::Opaque { kind: "web_search_call".to_owned() }, &mut out);
    let losses: Vec<String> = encoder.losses().iter().map(ToString::to_string).collect();
    assert_eq!(losses, ["n=dropped", "logprobs=dropped", "content[].web_search_call=dropped"]);
    assert!(out.is_empty());
}

#[test]
fn decoding_what_was_encoded_gives_the_events_back() {
    let signature = Signature { dialect: Dialect::Anthropic, seal: "seal".to_owned() };
    let events = vec![
        Event::Start { id: Some("msg_1".to_owned()), model: Some("auto:fast".to_owned()), created: None },
        Event::Reasoning { choice: 0, text: "hm".to_owned() },
        Event::ReasoningSeal { choice: 0, signature, redacted: false, id: None },
        text("Look: \"é\"\n"),
        call(0),
        arguments(0, "{\"a\":"),
        arguments(0, "1}"),
        call(1),
        arguments(1, "{}"),
        finish(FinishReason::ToolCalls),
        Event::Done,
    ];
    let (mut encoder, mut out) = (encoder(), BytesMut::new());
    for event in &events {
        encoder.event(event, &mut out);
    }
    let mut again = decode(out);
    again.retain(|event| !matches!(event, Event::Usage(_)));
    assert_eq!(again, events);
}

fn decode(stream: BytesMut) -> Vec<Event> {
    let mut framer = Framer::new(1 << 20);
    framer.push(stream.freeze());
    let (mut decoder, mut events) = (Decoder::default(), Vec::new());
    while let Some(frame) = framer.next_frame().unwrap() {
        decoder.frame(&frame, &mut events).unwrap();
    }
    events
}

proptest! {
    /// However pieces of calls and words are mixed, each call arrives whole, every word arrives, and blocks never overlap.
    #[test]
    fn any_mix_of_calls_and_words_arrives_whole(turns in proptest::collection::vec(0usize..4, 0..40)) {
        const INPUT: [&str; 3] = ["{\"a\":\"}\\\"{\"}", "{}", "{\"n\":[1,{\"m\":2}]}"];
        let (mut encoder, mut out) = (encoder(), BytesMut::new());
        let mut given = [None, None, None];
        let mut words = String::new();
        let rest = (0..3).flat_map(|of| std::iter::repeat_n(of, 40));
        for turn in turns.into_iter().chain(rest) {
            let Some(given) = given.get_mut(turn) else {
                words.push('w');
                encoder.event(&text("w"), &mut out);
                continue;
            };
            let of = u32::try_from(turn).unwrap();
            match given {
                None => encoder.event(&call(of), &mut out),
                Some(at) => encoder.event(&arguments(of, INPUT[turn].get(*at..*at + 1).unwrap_or_default()), &mut out),
            }
            *given = Some(given.map_or(0, |at: usize| at + 1));
        }
        encoder.event(&finish(FinishReason::ToolCalls), &mut out);
        encoder.event(&Event::Done, &mut out);

        let mut open = None;
        for (event, data) in frames(&out) {
            match event.as_str() {
                "content_block_start" => prop_assert_eq!(open.replace(data["index"].clone()), None),
                "content_block_delta" => prop_assert_eq!(open.as_ref(), Some(&data["index"])),
                "content_block_stop" => prop_assert_eq!(open.take(), Some(data["index"].clone())),
                _ => {}
            }
        }
        let (mut names, mut inputs, mut said) = (Vec::new(), vec![String::new(); 3], String::new());
        for event in decode(out) {
            match event {
                Event::ToolCall { name, .. } => names.push(name),
                Event::ToolArguments { call, text, .. } => inputs[usize::try_from(call).unwrap()].push_str(&text),
                Event::Text { text, .. } => said.push_str(&text),
                _ => {}
            }
        }
        prop_assert_eq!(said, words);
        for (name, input) in names.iter().zip(&inputs) {
            prop_assert_eq!(input.as_str(), INPUT[name[1..].parse::<usize>().unwrap()]);
        }
        prop_assert_eq!(names.len(), 3);
    }
}

#[test]
fn free_text_for_a_custom_tool_is_an_object_like_in_a_whole_answer() {
    let (mut encoder, mut out) = (encoder(), BytesMut::new());
    let (id, name) = ("call_1".to_owned(), "shell".to_owned());
    encoder.event(&Event::ToolCall { choice: 0, call: 0, id, name, kind: ToolKind::Custom, signature: None }, &mut out);
    for text in ["\"ls\"", " -la\n"] {
        encoder.event(&arguments(0, text), &mut out);
    }
    encoder.event(&call(1), &mut out);
    encoder.event(&finish(FinishReason::ToolCalls), &mut out);
    encoder.event(&Event::Done, &mut out);
    let frames = frames(&out);
    let pieces = frames.iter().filter_map(|(_, data)| data["delta"]["partial_json"].as_str());
    assert_eq!(pieces.collect::<String>(), "{\"input\":\"\\\"ls\\\" -la\\n\"}");
    assert_eq!(frames.iter().filter(|(event, _)| event == "content_block_stop").count(), 2);
}
