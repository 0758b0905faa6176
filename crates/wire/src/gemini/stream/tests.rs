use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::sse::Framer;

macro_rules! golden {
    ($case:literal) => {
        include_bytes!(concat!("../../../tests/golden/chat/gemini/", $case, ".sse"))
    };
}

fn decode(chunks: &[&[u8]]) -> (Vec<Event>, Result<(), WireError>) {
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

/// The events in short: what was said, in order; usage is left to its own test.
fn short(events: &[Event]) -> Vec<String> {
    let said = |event: &Event| match event {
        Event::Start { id, model, .. } => format!("start {} {}", id.as_deref().unwrap(), model.as_deref().unwrap()),
        Event::Text { choice, text } => format!("text {choice} {text}"),
        Event::Reasoning { text, .. } => format!("thought {text}"),
        Event::ReasoningSeal { signature, .. } => format!("seal {}", signature.seal),
        Event::ToolCall { call, id, name, signature, .. } => {
            format!("call {call} {id} {name} sealed={}", signature.is_some())
        }
        Event::ToolArguments { call, text, .. } => format!("arguments {call} {text}"),
        Event::Citation { citation, .. } => {
            format!("cite {} {:?}-{:?}", citation.title.as_deref().unwrap(), citation.start, citation.end)
        }
        Event::Opaque { kind } => format!("opaque {kind}"),
        Event::Finish { choice, reason } => format!("finish {choice} {reason:?}"),
        Event::Error(error) => format!("error {}", error.kind.as_deref().unwrap()),
        Event::Done => "done".to_owned(),
        other => panic!("unexpected {other:?}"),
    };
    events.iter().filter(|event| !matches!(event, Event::Usage(_))).map(said).collect()
}

fn said(stream: &[u8]) -> Vec<String> {
    let (events, end) = decode(&[stream]);
    assert_eq!(end, Ok(()));
    short(&events)
}

fn usage(stream: &[u8]) -> Usage {
    let mut usage = Usage::default();
    for event in decode(&[stream]).0 {
        if let Event::Usage(later) = event {
            usage.absorb(&later);
        }
    }
    usage
}

#[test]
fn text_is_read_to_the_end_of_the_bytes() {
    assert_eq!(
        said(golden!("text")),
        [
            "start mAitaLmkHPPlz7IPvtfUqQ4 gemini-2.5-flash",
            "text 0 Paris is the",
            "text 0  capital of France: «là».",
            "finish 0 Stop",
            "done"
        ]
    );
    assert_eq!((usage(golden!("text")).input, usage(golden!("text")).output), (Some(8), Some(9)));
}

#[test]
fn calls_of_earlier_pieces_make_a_late_stop_mean_tool_calls() {
    assert_eq!(
        said(golden!("parallel_tools")),
        [
            "start Zx8taYeRLs-2jMcPqNnZ8AQ gemini-3-pro-preview",
            "text 0 I will look.",
            "call 0 call_Zx8taYeRLs-2jMcPqNnZ8AQ_0 get_weather sealed=true",
            "arguments 0 {\"city\":\"Paris\"}",
            "call 1 call_Zx8taYeRLs-2jMcPqNnZ8AQ_1 get_time sealed=false",
            "arguments 1 {\"zone\":\"Europe/Paris\"}",
            "finish 0 ToolCalls",
            "done"
        ]
    );
    assert_eq!(usage(golden!("parallel_tools")).output, Some(74));
}

#[test]
fn thoughts_come_apart_and_the_last_seal_alone() {
    assert_eq!(
        said(golden!("thinking")),
        [
            "start Zx8taYeRLs-2jMcPqNnZ8AQ gemini-3-pro-preview",
            "thought **Weighing the numbers**\n\nThe primes below ten are 2, 3, 5, 7.",
            "text 0 Four.",
            "seal CiQBjz1rX2gVbGFzdGluZyBzZWFsIG9mIGEgdGhvdWdodA==",
            "finish 0 Stop",
            "done"
        ]
    );
    let usage = usage(golden!("thinking"));
    assert_eq!((usage.output, usage.reasoning), (Some(98), Some(96)));
}

#[test]
fn sources_are_cited_in_characters_of_the_whole_text() {
    assert_eq!(
        said(golden!("web_search"))[1..],
        ["text 0 España won", "text 0  Euro 2024.", "cite uefa.com Some(0)-Some(21)", "finish 0 Stop", "done"]
    );
}

#[test]
fn a_cut_answer_and_a_filtered_one_say_so() {
    assert_eq!(said(golden!("length"))[3..], ["finish 0 Length", "done"]);
    assert_eq!(said(golden!("content_filter"))[2..], ["finish 0 ContentFilter", "done"]);
    let blocked =
        b"data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"},\"responseId\":\"r\",\"modelVersion\":\"m\"}\n\n";
    assert_eq!(said(blocked)[1..], ["finish 0 ContentFilter", "done"]);
}

#[test]
fn an_error_in_the_stream_ends_it_even_in_an_array() {
    let plain = golden!("error").as_slice();
    let array = b"data: [{\"error\":{\"code\":503,\"status\":\"UNAVAILABLE\"}}]\n\ndata: {\"candidates\":[{}]}\n\n";
    assert_eq!(said(plain)[2..], ["error UNAVAILABLE"]);
    assert_eq!(said(array), ["error UNAVAILABLE"]);
}

#[test]
fn a_failed_generation_is_no_clean_finish() {
    let failed = b"data: {\"candidates\":[{\"finishReason\":\"MALFORMED_FUNCTION_CALL\"}],\"responseId\":\"r\",\"modelVersion\":\"m\"}\n\n";
    assert_eq!(said(failed)[1..], ["finish 0 Failed(\"MALFORMED_FUNCTION_CALL\")", "done"]);
}

#[test]
fn a_stream_without_a_finish_for_each_candidate_is_unfinished() {
    let cut = golden!("text");
    let first = cut.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    let (events, end) = decode(&[&cut[..first]]);
    assert_eq!(end, Err(WireError::Unfinished));
    assert!(!events.iter().any(|event| matches!(event, Event::Finish { .. } | Event::Done)));
    let half = b"data: {\"candidates\":[{\"index\":0,\"finishReason\":\"STOP\"},{\"index\":1}]}\n\n";
    assert_eq!(decode(&[half]).1, Err(WireError::Unfinished));
    assert_eq!(decode(&[b""]).1, Err(WireError::Unfinished));
}

#[test]
fn candidates_keep_to_themselves() {
    let stream = b"data: {\"candidates\":[{\"index\":1,\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"f\"}}]}},{\"content\":{\"parts\":[{\"text\":\"a\"}]}}],\"responseId\":\"r\",\"modelVersion\":\"m\"}\n\n\
        data: {\"candidates\":[{\"index\":1,\"finishReason\":\"STOP\"},{\"finishReason\":\"STOP\"}]}\n\n";
    assert_eq!(
        said(stream)[1..],
        ["call 0 call_r_0 f sealed=false", "arguments 0 {}", "text 0 a", "finish 0 Stop", "finish 1 ToolCalls", "done"]
    );
}

#[test]
fn a_finish_repeated_in_every_piece_ends_nothing_early() {
    let stream = b"data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]},\"finishReason\":\"STOP\"}],\"responseId\":\"r\",\"modelVersion\":\"m\"}\r\n\r\n\
        data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"f\"}}]},\"finishReason\":\"STOP\"}]}\r\n\r\n";
    assert_eq!(
        said(stream)[1..],
        ["text 0 a", "call 0 call_r_0 f sealed=false", "arguments 0 {}", "finish 0 ToolCalls", "done"]
    );
}

#[test]
fn pictures_and_code_that_no_event_carries_are_announced() {
    let stream = b"data: {\"candidates\":[{\"content\":{\"parts\":[{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"iVBO\"}},\
        {\"executableCode\":{\"code\":\"1\"}}]},\"finishReason\":\"STOP\"}],\"responseId\":\"r\",\"modelVersion\":\"m\"}\n\n";
    assert_eq!(said(stream)[1..], ["opaque inlineData", "opaque executableCode", "finish 0 Stop", "done"]);
}

#[test]
fn garbled_frames_fail() {
    assert!(matches!(decode(&[b"data: {\"candidates\":[\n\n"]).1, Err(WireError::Syntax { .. })));
}

proptest! {
    #[test]
    fn any_split_gives_the_same_events(cuts in proptest::collection::vec(0usize..10_000, 0..5)) {
        for stream in [&golden!("text")[..], golden!("thinking"), golden!("parallel_tools"), golden!("web_search")] {
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
