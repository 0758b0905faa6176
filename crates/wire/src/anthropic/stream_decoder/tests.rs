use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::anthropic::Anthropic;
use crate::chat::Usage;
use crate::dialect::Tap;
use crate::sse::Framer;

macro_rules! golden {
    ($case:literal) => {
        include_bytes!(concat!("../../../tests/golden/chat/anthropic/", $case, ".sse"))
    };
}

fn decode(chunks: &[&[u8]]) -> (Vec<Event>, Result<(), WireError>) {
    let mut framer = Framer::new(1 << 20);
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    let mut read = |frame: Frame, decoder: &mut Decoder| decoder.frame(&frame, &mut events);
    for chunk in chunks {
        framer.push(Bytes::copy_from_slice(chunk));
        while let Some(frame) = framer.next_frame().unwrap() {
            read(frame, &mut decoder).unwrap();
        }
    }
    if let Some(frame) = framer.finish() {
        read(frame, &mut decoder).unwrap();
    }
    let end = decoder.end(&mut events);
    (events, end)
}

/// The events of one stream in short: what was said, in order.
fn said(stream: &[u8]) -> Vec<String> {
    let (events, end) = decode(&[stream]);
    assert_eq!(end, Ok(()));
    events
        .iter()
        .map(|event| match event {
            Event::Start { id, model, .. } => format!("start {} {}", id.as_deref().unwrap(), model.as_deref().unwrap()),
            Event::Text { text, .. } => format!("text {text}"),
            Event::Reasoning { text, .. } => format!("thought {text}"),
            Event::ReasoningSeal { signature, redacted, .. } => format!("seal {} {redacted}", signature.seal),
            Event::ToolCall { call, id, name, kind, .. } => format!("call {call} {id} {name} {kind:?}"),
            Event::ToolArguments { call, text, .. } => format!("arguments {call} {text}"),
            Event::Citation { citation, .. } => format!("cite {}", citation.url.as_deref().unwrap()),
            Event::Opaque { kind } => format!("opaque {kind}"),
            Event::Usage(usage) => format!("usage {:?} {:?}", usage.input, usage.output),
            Event::Finish { reason, .. } => format!("finish {reason:?}"),
            Event::Error(error) => format!("error {}", error.kind.as_deref().unwrap()),
            Event::Done => "done".to_owned(),
            other => panic!("unexpected {other:?}"),
        })
        .collect()
}

#[test]
fn text_is_read_to_its_end() {
    assert_eq!(
        said(golden!("text")),
        [
            "start msg_01XFDUDYJgAACzvnptvVoYEL claude-sonnet-4-6",
            "usage Some(14) Some(1)",
            "text Paris is the",
            "text  capital of France.",
            "usage Some(14) Some(10)",
            "finish Stop",
            "done"
        ]
    );
}

#[test]
fn calls_count_from_zero_whatever_their_block_index_and_never_lack_arguments() {
    assert_eq!(
        said(golden!("parallel_tools"))[2..],
        [
            "text Let me look.",
            "call 0 toolu_01A get_weather Function",
            "arguments 0 {\"city\":",
            "arguments 0  \"Paris\"}",
            "call 1 toolu_01B get_time Function",
            "arguments 1 {}",
            "usage Some(500) Some(80)",
            "finish ToolCalls",
            "done"
        ]
    );
}

#[test]
fn thoughts_end_with_their_seal_and_redacted_ones_are_seals_alone() {
    assert_eq!(
        said(golden!("thinking"))[2..6],
        ["thought 391 = ", "thought 17 * 23.", "seal EqQBCgIYAhIMdGhvdWdodA== false", "seal EmwKAhgBEgy3va3pzix true"]
    );
}

#[test]
fn the_latest_usage_figures_count_and_include_the_cache() {
    let (events, _) = decode(&[golden!("usage_cached")]);
    let last = events.iter().rev().find_map(|event| match event {
        Event::Usage(usage) => Some(*usage),
        _ => None,
    });
    let expected = Usage {
        input: Some(11 + 2048 + 18_000),
        output: Some(4),
        cache_read: Some(18_000),
        cache_write: Some(2048),
        cache_write_1h: None,
        ..Usage::default()
    };
    assert_eq!(last, Some(expected));
}

#[test]
fn hosted_tools_are_opaque_and_refusals_say_why() {
    let search = said(golden!("web_search"));
    assert_eq!(
        search[2..6],
        [
            "opaque server_tool_use",
            "opaque web_search_tool_result",
            "text It is out.",
            "cite https://blog.rust-lang.org"
        ]
    );
    assert!(said(golden!("refusal"))[3].starts_with("finish Refusal(Some(\"This request asks"));
}

#[test]
fn the_reserved_tools_are_read_as_what_they_stand_for() {
    let stream = |name: &str, pieces: &[&str]| {
        let mut bytes = format!(
            "data: {{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"{name}\",\"input\":{{}}}}}}\n\n"
        );
        for piece in pieces {
            let delta = serde_json::json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": piece}});
            bytes.push_str(&format!("data: {delta}\n\n"));
        }
        bytes
            + "data: {\"type\":\"content_block_stop\",\"index\":0}\n\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"}}\n\n"
    };
    let answer = stream("waypost_json_response", &["{\"city\":", "\"Rome\"}"]);
    assert_eq!(said(answer.as_bytes()), ["text {\"city\":", "text \"Rome\"}", "finish Stop", "done"]);
    let custom = stream("waypost_custom_patch", &["{\"input\":\"a\\", "nb\"}"]);
    assert_eq!(said(custom.as_bytes()), ["call 0 t patch Custom", "arguments 0 a\nb", "finish ToolCalls", "done"]);
}

#[test]
fn an_error_event_ends_the_stream_and_nothing_follows() {
    let stream = [&golden!("error")[..], golden!("text")].concat();
    let events = said(&stream);
    assert_eq!(events[3..], ["error overloaded_error"]);
}

#[test]
fn a_cut_stream_is_never_a_clean_finish() {
    let stream = golden!("text");
    let text = std::str::from_utf8(stream).unwrap();
    let cut = |mark: &str| decode(&[&stream[..text.find(mark).unwrap()]]);
    let (events, end) = cut("event: message_delta");
    assert_eq!(end, Err(WireError::Unfinished));
    assert!(!events.iter().any(|event| matches!(event, Event::Done | Event::Finish { .. })));
    // The stop reason was given, only the last mark is missing: the answer is whole.
    let (events, end) = cut("event: message_stop");
    assert_eq!((events.last(), end), (Some(&Event::Done), Ok(())));
    // The mark that a relay then adds is the one that is missing.
    assert!(stream.ends_with(Anthropic.terminal_mark()));
    assert_eq!(decode(&[b""]).1, Err(WireError::Unfinished));
}

#[test]
fn garbage_is_an_error_and_the_unknown_is_skipped() {
    let frame = |bytes: &'static [u8]| {
        let mut framer = Framer::new(1 << 20);
        framer.push(Bytes::from_static(bytes));
        let mut events = Vec::new();
        Decoder::default().frame(&framer.next_frame().unwrap().unwrap(), &mut events).map(|()| events)
    };
    assert!(frame(b"data: {\"type\":\n\n").is_err());
    assert!(frame(b"data: <html>\n\n").is_err());
    assert!(frame(b"data: {\"type\":\"content_block_delta\",\"index\":3,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"x\"}}\n\n").is_err());
    assert_eq!(frame(b"event: new\ndata: {\"type\":\"new\",\"index\":1}\n\n"), Ok(Vec::new()));
    assert_eq!(frame(b": keep-alive\n\n"), Ok(Vec::new()));
}

proptest! {
    #[test]
    fn any_split_gives_the_same_events(cuts in proptest::collection::vec(0usize..10_000, 0..5)) {
        for stream in [&golden!("thinking")[..], golden!("parallel_tools"), golden!("web_search")] {
            let mut cuts: Vec<usize> = cuts.iter().map(|at| at * stream.len() / 10_000).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for at in cuts.into_iter().chain([stream.len()]) {
                chunks.push(&stream[from..at]);
                from = at;
            }
            prop_assert_eq!(decode(&chunks), decode(&[stream]));
        }
    }
}
