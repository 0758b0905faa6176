use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::chat::{FinishReason, ToolKind, Usage};
use crate::error::RemoteError;
use crate::sse::Framer;

macro_rules! golden {
    ($case:literal) => {
        include_bytes!(concat!("../../../tests/golden/chat/openai_chat/", $case, ".sse"))
    };
}

fn read(chunks: &[&[u8]]) -> (Vec<Event>, Result<()>) {
    let (mut framer, mut decoder) = (Framer::new(1 << 20), Decoder::default());
    let (mut events, mut frames) = (Vec::new(), Vec::new());
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

/// The events of a stream of these deltas, after its start and up to its finish.
fn deltas(deltas: &[&str]) -> Vec<Event> {
    let chunk = |delta: &str, finish: &str| {
        format!("data: {{\"id\":\"c\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n")
    };
    let mut stream: String = deltas.iter().map(|delta| chunk(delta, "null")).collect();
    stream.push_str(&chunk("{}", "\"stop\""));
    stream.push_str("data: [DONE]\n\n");
    let events = events(stream.as_bytes());
    events[1..events.len() - 2].to_vec()
}

fn text(choice: u32, text: &str) -> Event {
    Event::Text { choice, text: text.to_owned() }
}

fn reasoning(text: &str) -> Event {
    Event::Reasoning { choice: 0, text: text.to_owned() }
}

fn call(call: u32, id: &str, name: &str) -> Event {
    let (id, name) = (id.to_owned(), name.to_owned());
    Event::ToolCall { choice: 0, call, id, name, kind: ToolKind::Function, signature: None }
}

fn arguments(call: u32, text: &str) -> Event {
    Event::ToolArguments { choice: 0, call, text: text.to_owned() }
}

fn finish(choice: u32, reason: FinishReason) -> Event {
    Event::Finish { choice, reason }
}

#[test]
fn a_plain_stream_is_read_to_its_mark() {
    let events = events(golden!("text"));
    assert!(matches!(&events[0], Event::Start { created: Some(1_795_000_000), .. }));
    assert_eq!(events[1..4], [text(0, "Paris is"), text(0, " the capital"), text(0, " of France.")]);
    assert_eq!(events[4], finish(0, FinishReason::Stop));
    assert!(matches!(&events[5], Event::Usage(Usage { input: Some(14), output: Some(7), .. })));
    assert_eq!(events[6..], [Event::Done]);
}

#[test]
fn parallel_calls_stay_apart_and_text_before_them_stays() {
    let expected = [
        text(0, "I'll look up both."),
        call(0, "call_a1", "get_weather"),
        arguments(0, "{\"ci"),
        arguments(0, "ty\":\"Paris\"}"),
        call(1, "call_b2", "get_weather"),
        arguments(1, "{\"city\":"),
        arguments(1, "\"Rome\"}"),
        finish(0, FinishReason::ToolCalls),
    ];
    assert_eq!(events(golden!("parallel_tools"))[1..9], expected);
}

#[test]
fn calls_without_an_index_or_all_numbered_0_are_told_apart() {
    let two = [call(0, "a", "f"), arguments(0, "{}"), call(1, "b", "g"), arguments(1, "{\"x\""), arguments(1, ":1}")];
    for index in ["", "\"index\":0,"] {
        let seen = deltas(&[
            &format!(
                r#"{{"tool_calls":[{{{index}"id":"a","function":{{"name":"f","arguments":"{{}}"}}}},{{{index}"id":"b","function":{{"name":"g","arguments":"{{\"x\""}}}}]}}"#
            ),
            &format!(r#"{{"tool_calls":[{{{index}"id":"b","function":{{"arguments":":1}}"}}}}]}}"#),
        ]);
        assert_eq!(seen, two, "{index}");
    }
    let nameless = [r#"{"tool_calls":[{"function":{"name":"f"}},{"function":{"name":"g","arguments":"{}"}}]}"#];
    assert_eq!(deltas(&nameless), [call(0, "", "f"), call(1, "", "g"), arguments(1, "{}")]);
}

#[test]
fn a_call_waits_for_its_name_and_an_empty_one_is_none() {
    let seen = deltas(&[
        r#"{"tool_calls":[{"index":0,"id":"a"}]}"#,
        r#"{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}"#,
        r#"{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"}"}}]}"#,
    ]);
    assert_eq!(seen, [call(0, "a", "f"), arguments(0, "{}")]);
    assert_eq!(deltas(&[r#"{"content":"x","tool_calls":[]}"#, r#"{"tool_calls":[{}]}"#]), [text(0, "x")]);
}

#[test]
fn a_chunk_may_hold_words_a_call_and_its_seal_and_a_stop_after_calls_is_a_call() {
    let chunk = br#"data: {"id":"c","choices":[{"delta":{"content":"so","reasoning_details":[{"type":"reasoning.encrypted","data":"s","id":"a","format":"google-gemini-v1"}],"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}]}

"#;
    let seen = events(chunk);
    let sealed = Signature { dialect: Dialect::Gemini, seal: "s".to_owned() };
    assert_eq!(seen[1], text(0, "so"));
    assert!(matches!(&seen[2], Event::ToolCall { signature: Some(seal), .. } if *seal == sealed));
    assert_eq!(seen[3..], [arguments(0, "{}"), finish(0, FinishReason::ToolCalls), Event::Done]);
}

#[test]
fn thoughts_are_told_once_and_sealed_in_any_spelling() {
    let seen = events(golden!("thinking"));
    let signature = Signature { dialect: Dialect::Anthropic, seal: "EqQBCkYIBxgCKkAx".to_owned() };
    let seal = Event::ReasoningSeal { choice: 0, signature, redacted: false, id: None };
    assert_eq!(seen[1..5], [reasoning("The user wants"), reasoning(" a sum: 2+2."), seal, text(0, "4")]);
    let chunks = events(golden!("thinking_chunks"));
    assert_eq!(chunks[1..4], [reasoning("Two and"), reasoning(" two."), text(0, "4")]);
    assert_eq!(deltas(&[r#"{"reasoning_content":"a"}"#, r#"{"reasoning":"b"}"#]), [reasoning("a"), reasoning("b")]);
}

#[test]
fn the_old_and_the_custom_forms_of_calls_are_read() {
    let old = deltas(&[r#"{"function_call":{"name":"f","arguments":""}}"#, r#"{"function_call":{"arguments":"{}"}}"#]);
    assert_eq!(old, [call(0, "", "f"), arguments(0, "{}")]);
    let custom =
        deltas(&[r#"{"tool_calls":[{"index":0,"id":"a","type":"custom","custom":{"name":"sh","input":"ls"}}]}"#]);
    assert!(matches!(&custom[0], Event::ToolCall { kind: ToolKind::Custom, name, .. } if name == "sh"));
    assert_eq!(custom[1], arguments(0, "ls"));
}

#[test]
fn refusals_and_filters_are_no_plain_end() {
    assert!(events(golden!("refusal")).contains(&finish(0, FinishReason::Refusal(None))));
    let filtered = events(golden!("content_filter"));
    assert!(matches!(&filtered[0], Event::Start { model: Some(model), .. } if model == "gpt-5-azure"));
    assert!(filtered.contains(&finish(0, FinishReason::ContentFilter)));
}

#[test]
fn an_error_ends_the_stream_and_nothing_follows() {
    let seen = events(golden!("error"));
    let error =
        RemoteError { code: Some("502".into()), message: "Provider disconnected".into(), ..RemoteError::default() };
    assert_eq!(seen[1..], [text(0, "The"), Event::Error(error)]);
    for frame in [
        "data: {\"error\":{\"message\":\"no\"}}\n\ndata: [DONE]\n\n",
        "event: error\ndata: {\"message\":\"no\"}\n\n",
        "data: {\"object\":\"error\",\"message\":\"no\"}\n\n",
        "data: [{\"error\":{\"message\":\"no\"}}]\n\n",
    ] {
        let expected = RemoteError { message: "no".into(), ..RemoteError::default() };
        assert_eq!(events(frame.as_bytes()), [Event::Error(expected)], "{frame}");
    }
}

#[test]
fn only_a_stream_whose_choices_all_ended_is_whole_without_the_mark() {
    let cut = |stream: &'static [u8], mark: &str| {
        let at = memchr::memmem::rfind(stream, mark.as_bytes()).unwrap();
        read(&[&stream[..at]])
    };
    let (seen, end) = cut(golden!("text"), "data: [DONE]");
    assert_eq!((seen.last(), end), (Some(&Event::Done), Ok(())));
    let (seen, end) = cut(golden!("text"), "\"finish_reason\":\"stop\"");
    assert!(end.is_err() && !seen.contains(&Event::Done));
    let (seen, end) = read(&[golden!("n")
        .split_inclusive(|byte| *byte == b'\n')
        .take(14)
        .flatten()
        .copied()
        .collect::<Vec<u8>>()
        .as_slice()]);
    assert!(seen.contains(&finish(1, FinishReason::Stop)) && !seen.contains(&Event::Done));
    assert_eq!(end, Err(WireError::Unfinished));
    assert_eq!(read(&[b": ping\n\n"]).1, Err(WireError::Unfinished));
}

#[test]
fn garbled_frames_are_refused() {
    for frame in ["data: {\"choices\":[{\n\n", "data: hello\n\n", "data: {\"choices\":7}\n\n"] {
        assert!(read(&[frame.as_bytes()]).1.is_err_and(|error| error != WireError::Unfinished), "{frame}");
    }
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_gives_the_same_events(case in 0usize..6, mut cuts in proptest::collection::vec(0usize..10_000, 0..8)) {
        let stream: &[u8] = [&golden!("text")[..], golden!("parallel_tools"), golden!("thinking"), golden!("n"), golden!("error"), golden!("logprobs")][case];
        cuts.iter_mut().for_each(|at| *at %= stream.len());
        cuts.sort_unstable();
        let mut chunks = Vec::new();
        let mut from = 0;
        for at in cuts.into_iter().chain([stream.len()]) {
            chunks.push(&stream[from..at]);
            from = at;
        }
        prop_assert_eq!(read(&chunks), read(&[stream]));
    }
}
