use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::chat::{FinishReason, Reasoning, ToolCall, Usage};
use crate::dialect::Decoded;
use crate::openai_responses::response;
use crate::sse::Framer;

macro_rules! golden {
    ($case:literal) => {
        include_bytes!(concat!("../../../tests/golden/chat/openai_responses/", $case, ".sse"))
    };
}

fn read(chunks: &[&[u8]]) -> (Vec<Event>, Result<()>) {
    let mut framer = Framer::new(1 << 20);
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    let mut frames = Vec::new();
    for chunk in chunks {
        framer.push(Bytes::copy_from_slice(chunk));
        while let Some(frame) = framer.next_frame().unwrap() {
            frames.push(frame);
        }
    }
    frames.extend(framer.finish());
    for frame in frames {
        if let Err(error) = decoder.frame(&frame, &mut events) {
            return (events, Err(error));
        }
    }
    let end = decoder.end(&mut events);
    (events, end)
}

fn events(stream: &[u8]) -> Vec<Event> {
    let (events, end) = read(&[stream]);
    end.unwrap();
    events
}

/// What a stream amounts to, in the terms of a whole answer. Hosted blocks are named but not held by events.
fn collect(events: &[Event]) -> (Vec<Part>, Usage, Option<FinishReason>, Option<Value>) {
    let (mut parts, mut usage, mut finish, mut logprobs) = (Vec::<Part>::new(), Usage::default(), None, None);
    for event in events {
        match event {
            Event::Text { text, .. } => match parts.last_mut().map(|part| &mut part.content) {
                Some(Content::Text(open)) => open.text.push_str(text),
                _ => parts.push(Part::text(text)),
            },
            Event::Citation { citation, .. } => match parts.last_mut().map(|part| &mut part.content) {
                Some(Content::Text(open)) => open.citations.push(citation.clone()),
                other => panic!("a citation of {other:?}"),
            },
            Event::Refusal { text, .. } => match parts.last_mut().map(|part| &mut part.content) {
                Some(Content::Refusal(open)) => open.push_str(text),
                _ => parts.push(Content::Refusal(text.clone()).into()),
            },
            Event::Reasoning { text, .. } => match parts.last_mut().map(|part| &mut part.content) {
                Some(Content::Reasoning(open)) => open.text.push_str(text),
                _ => parts.push(Content::Reasoning(Reasoning { text: text.clone(), ..Reasoning::default() }).into()),
            },
            Event::ReasoningSeal { signature, id, .. } => {
                let part = parts.last_mut().unwrap();
                part.signature = Some(signature.clone());
                if let Content::Reasoning(open) = &mut part.content {
                    open.id.clone_from(id);
                }
            }
            Event::ToolCall { id, name, kind, .. } => parts.push(
                Content::ToolCall(ToolCall {
                    id: id.clone(),
                    name: name.clone(),
                    arguments: String::new(),
                    kind: *kind,
                })
                .into(),
            ),
            Event::ToolArguments { call, text, .. } => {
                let mut calls = parts.iter_mut().filter_map(|part| match &mut part.content {
                    Content::ToolCall(call) => Some(call),
                    _ => None,
                });
                calls.nth(*call as usize).unwrap().arguments.push_str(text);
            }
            Event::Logprobs { value, .. } => logprobs = Some(value.clone()),
            Event::Usage(later) => usage.absorb(later),
            Event::Finish { reason, .. } => finish = Some(reason.clone()),
            Event::Start { .. } | Event::Opaque { .. } | Event::Done => {}
            Event::Audio { .. } | Event::Error(_) => panic!("{event:?}"),
        }
    }
    (parts, usage, finish, logprobs)
}

#[test]
fn a_stream_amounts_to_the_whole_answer() {
    macro_rules! pair {
        ($case:literal) => {
            (
                &golden!($case)[..],
                &include_bytes!(concat!("../../../tests/golden/chat/openai_responses/", $case, ".response.json"))[..],
            )
        };
    }
    for (stream, whole) in [
        pair!("text"),
        pair!("parallel_tools"),
        pair!("thinking"),
        pair!("refusal"),
        pair!("length"),
        pair!("content_filter"),
        pair!("logprobs"),
        pair!("web_search"),
    ] {
        let Ok(Decoded::Response(whole)) = response::decode(whole) else { panic!("no answer") };
        let events = events(stream);
        assert!(matches!(events.first(), Some(Event::Start { id, .. }) if *id == whole.id));
        assert_eq!(events.last(), Some(&Event::Done));
        let (parts, usage, finish, logprobs) = collect(&events);
        let choice = &whole.choices[0];
        let expected: Vec<&Part> =
            choice.parts.iter().filter(|part| !matches!(part.content, Content::Opaque { .. })).collect();
        assert_eq!(parts.iter().collect::<Vec<_>>(), expected);
        assert_eq!((Some(usage), finish), (whole.usage, choice.finish.clone()));
        assert_eq!(logprobs, choice.logprobs);
    }
}

#[test]
fn hosted_items_are_seen_once() {
    let seen = events(golden!("web_search"));
    let hosted = seen.iter().filter(|event| matches!(event, Event::Opaque { kind } if kind == "web_search_call"));
    assert_eq!(hosted.count(), 1);
}

fn frames(bodies: &[&str]) -> Vec<u8> {
    bodies.iter().map(|body| format!("data: {body}\n\n")).collect::<String>().into_bytes()
}

#[test]
fn whole_items_are_told_where_deltas_were_not() {
    let stream = frames(&[
        r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"message","content":[]}}"#,
        r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"a"}"#,
        r#"{"type":"response.output_text.done","output_index":0,"content_index":0,"text":"a"}"#,
        r#"{"type":"response.output_text.done","output_index":0,"content_index":1,"text":"b"}"#,
        r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"message","content":[{"type":"output_text","text":"a"},{"type":"output_text","text":"b"},{"type":"output_text","text":"c"}]}}"#,
        r#"{"type":"response.output_item.done","output_index":1,"item":{"type":"function_call","call_id":"c1","name":"f","arguments":"{\"x\":1}"}}"#,
        r#"{"type":"response.output_item.added","output_index":2,"item":{"type":"custom_tool_call","call_id":"c2","name":"g","input":""}}"#,
        r#"{"type":"response.custom_tool_call_input.done","output_index":2,"input":"ls"}"#,
        r#"{"type":"response.output_item.done","output_index":2,"item":{"type":"custom_tool_call","call_id":"c2","name":"g","input":"ls"}}"#,
        r#"{"type":"response.output_item.done","output_index":3,"item":{"type":"reasoning","summary":[{"type":"summary_text","text":"hm"}]}}"#,
        r#"{"type":"response.completed","response":{"status":"completed","output":[]}}"#,
    ]);
    let (parts, _, finish, _) = collect(&events(&stream));
    assert_eq!(parts[0], Part::text("abc"));
    assert!(matches!(&parts[1].content, Content::ToolCall(call) if call.arguments == "{\"x\":1}"));
    assert!(
        matches!(&parts[2].content, Content::ToolCall(call) if call.arguments == "ls" && call.kind == ToolKind::Custom)
    );
    assert!(matches!(&parts[3].content, Content::Reasoning(reasoning) if reasoning.text == "hm"));
    assert_eq!((parts.len(), finish), (4, Some(FinishReason::ToolCalls)));
}

#[test]
fn a_stream_of_nothing_but_its_end_is_read_from_it() {
    let stream = frames(&[
        r#"{"type":"response.completed","response":{"id":"resp_1","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"hi"}]}],"usage":{"input_tokens":1,"output_tokens":2}}}"#,
    ]);
    let (parts, usage, finish, _) = collect(&events(&stream));
    assert_eq!((parts, usage.total(), finish), (vec![Part::text("hi")], 3, Some(FinishReason::Stop)));
}

#[test]
fn interleaved_calls_keep_their_arguments_apart() {
    let stream = frames(&[
        r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","call_id":"a","name":"f","arguments":""}}"#,
        r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"function_call","call_id":"b","name":"f","arguments":""}}"#,
        r#"{"type":"response.function_call_arguments.delta","output_index":1,"delta":"{\"b\""}"#,
        r#"{"type":"response.function_call_arguments.delta","output_index":0,"delta":"{}"}"#,
        r#"{"type":"response.function_call_arguments.delta","output_index":1,"delta":":1}"}"#,
        r#"{"type":"response.completed","response":{"status":"completed"}}"#,
    ]);
    let (parts, ..) = collect(&events(&stream));
    assert!(matches!(&parts[0].content, Content::ToolCall(call) if call.id == "a" && call.arguments == "{}"));
    assert!(matches!(&parts[1].content, Content::ToolCall(call) if call.id == "b" && call.arguments == "{\"b\":1}"));
}

#[test]
fn failures_are_errors_and_nothing_follows() {
    let seen = events(golden!("error"));
    assert!(matches!(seen.last(), Some(Event::Error(error)) if error.code.as_deref() == Some("rate_limit_exceeded")));
    for body in [
        r#"{"type":"error","code":"server_error","message":"oops","param":null,"sequence_number":3}"#,
        r#"{"type":"error","error":{"type":"server_error","code":"server_error","message":"oops"}}"#,
        r#"{"error":{"message":"oops","code":"server_error"}}"#,
        r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"oops"}}}"#,
    ] {
        let seen = events(&frames(&[body, r#"{"type":"response.output_text.delta","delta":"late"}"#]));
        let Some(Event::Error(error)) = seen.last() else { panic!("{body}: {seen:?}") };
        assert_eq!((error.code.as_deref(), error.message.as_str()), (Some("server_error"), "oops"), "{body}");
    }
}

#[test]
fn an_end_without_its_mark_is_unfinished() {
    let stream = golden!("text");
    let cut = stream.len() - 40;
    let at = memchr::memmem::rfind(&stream[..cut], b"event: ").unwrap();
    let (seen, end) = read(&[&stream[..at]]);
    assert_eq!(end, Err(WireError::Unfinished));
    assert!(!seen.iter().any(|event| matches!(event, Event::Finish { .. } | Event::Done)));
    assert_eq!(read(&[b""]).1, Err(WireError::Unfinished));
}

#[test]
fn unknown_events_are_skipped_and_garbage_is_an_error() {
    let (seen, end) = read(&[&frames(&[
        r#"{"type":"response.telepathy.delta","delta":{"waves":[1]},"item":7}"#,
        r#"{"type":"keepalive","sequence_number":2}"#,
        "[DONE]",
    ])]);
    assert_eq!((seen, end), (vec![], Err(WireError::Unfinished)));
    assert!(matches!(read(&[b"data: {\"type\":\n\n"]).1, Err(WireError::Syntax { .. })));
    assert!(read(&[b"data: {\"type\":\"response.output_text.delta\",\"delta\":7}\n\n"]).1.is_err());
}

#[test]
fn a_seal_for_a_call_reaches_the_call() {
    let stream = frames(&[
        r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","summary":[]}}"#,
        r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","summary":[],"encrypted_content":"waypost:gemini:next:CiQ"}}"#,
        r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"function_call","call_id":"a","name":"f","arguments":""}}"#,
        r#"{"type":"response.completed","response":{"status":"completed"}}"#,
    ]);
    let seen = events(&stream);
    let seal = seen.iter().find_map(|event| match event {
        Event::ToolCall { signature, .. } => signature.clone(),
        _ => None,
    });
    assert_eq!(seal.map(|seal| seal.seal), Some("CiQ".to_owned()));
}

proptest! {
    #[test]
    fn any_split_gives_the_same_events(cuts in proptest::collection::vec(0usize..1000, 0..8)) {
        let stream = golden!("thinking");
        let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at * stream.len() / 1000).collect();
        cuts.sort_unstable();
        let mut chunks = Vec::new();
        let mut from = 0;
        for at in cuts.into_iter().chain([stream.len()]) {
            chunks.push(&stream[from..at]);
            from = at;
        }
        prop_assert_eq!(read(&chunks).0, events(stream));
    }
}
