//! Laws of streams: bytes may be split anywhere, a stream is its whole answer told in pieces, and one that did not end
//! well is never given an end, in any dialect.

use bytes::BytesMut;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use waypost_wire::chat::event::Event;
use waypost_wire::chat::{Choice, Content, FinishReason, replay};
use waypost_wire::dialect::{Decoded, Face};
use waypost_wire::sse::Frame;
use waypost_wire::{Dialect, WireError};

use crate::collect::{as_streamed, collect};
use crate::fixtures::{self, Fixture, frames, read, reply};
use crate::golden::FAULT;

fn streams() -> impl Iterator<Item = (Dialect, Fixture)> {
    Dialect::ALL
        .into_iter()
        .flat_map(|dialect| fixtures::chat(dialect, ".sse").into_iter().map(move |it| (dialect, it)))
}

#[test]
fn any_split_of_the_bytes_gives_the_same_events() {
    for (dialect, fixture) in streams() {
        let name = format!("{}/{}", dialect.name(), fixture.case);
        let bytes = &fixture.bytes[..];
        let whole = read(dialect.codec(), &frames([bytes]));
        assert_eq!(whole, read(dialect.codec(), &frames(bytes.chunks(1))), "{name}, byte by byte");
        let cuts = proptest::collection::vec(0..=bytes.len(), 1..6);
        let mut runner = TestRunner::new(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() });
        let law = runner.run(&cuts, |mut cuts| {
            cuts.sort_unstable();
            cuts.push(bytes.len());
            let mut from = 0;
            let chunks: Vec<&[u8]> = cuts.iter().map(|to| &bytes[std::mem::replace(&mut from, *to)..*to]).collect();
            prop_assert_eq!(&whole, &read(dialect.codec(), &frames(chunks)));
            Ok(())
        });
        law.unwrap_or_else(|broken| panic!("{name}: {broken}"));
    }
}

/// Pairs of recordings under one name that tell two different answers.
const DIFFERENT: &[&str] = &[
    "openai_chat/content_filter",
    "openai_chat/thinking_chunks",
    "gemini/content_filter",
    "gemini/length",
    "gemini/text",
];

#[test]
fn a_stream_is_the_whole_answer_in_pieces_and_so_is_its_usage() {
    let mut compared = 0;
    for (dialect, stream) in streams() {
        let name = format!("{}/{}", dialect.name(), stream.case);
        let whole = fixtures::chat(dialect, ".response.json").into_iter().find(|it| it.case == stream.case);
        let Some(whole) = whole.filter(|_| !DIFFERENT.contains(&name.as_str())) else { continue };
        let (events, _) = read(dialect.codec(), &frames([&stream.bytes[..]]));
        if let Ok(Decoded::Response(response)) = dialect.codec().decode_response(&whole.bytes) {
            assert_eq!(as_streamed(collect(&events)), as_streamed(response), "{name}");
            compared += 1;
        }
    }
    assert!(compared >= 12, "only {compared} pairs of a stream and a whole answer were found");
}

#[test]
fn a_whole_answer_told_as_a_stream_is_the_same_answer_in_every_dialect_000_24() {
    let mut compared = 0;
    for dialect in Dialect::ALL {
        for fixture in fixtures::chat(dialect, ".response.json") {
            let name = format!("{}/{}", dialect.name(), fixture.case);
            let Ok(Decoded::Response(response)) = dialect.codec().decode_response(&fixture.bytes) else { continue };
            let events = replay(&response);
            // Pictures and the format of sound have no event.
            if fixture.case != "media" {
                assert_eq!(as_streamed(collect(&events)), as_streamed(response.clone()), "{name}");
            }
            for face in Face::ALL {
                let mut encoder = face.codec.stream_encoder(reply());
                let mut out = BytesMut::new();
                events.iter().for_each(|event| encoder.event(event, &mut out));
                let (told, end) = read(face.dialect.codec(), &frames([&out[..]]));
                let is_whole = response.choices.first().is_some_and(finished);
                assert_eq!(
                    told.last() == Some(&Event::Done) && end.is_ok(),
                    is_whole,
                    "{name} for {}",
                    face.dialect.name()
                );
                if face.dialect == dialect && is_whole {
                    assert_eq!(said(&collect(&told).choices), said(&response.choices), "{name}");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared >= 20, "only {compared} answers were compared");
}

fn finished(choice: &Choice) -> bool {
    !matches!(choice.finish, None | Some(FinishReason::Failed(_)))
}

/// What callers read of an answer: its words, calls and ends.
fn said(choices: &[Choice]) -> Vec<(String, Option<FinishReason>)> {
    let words = |choice: &Choice| {
        let parts = choice.parts.iter().filter_map(|part| match &part.content {
            Content::Text(text) => Some(text.text.clone()),
            Content::Refusal(text) => Some(text.clone()),
            Content::ToolCall(call) => Some(format!("{}({})", call.name, call.arguments.replace([' ', '\n'], ""))),
            _ => None,
        });
        (parts.collect::<String>(), choice.finish.clone())
    };
    choices.iter().map(words).collect()
}

#[test]
fn a_stream_cut_at_any_event_is_never_told_as_finished() {
    for (dialect, fixture) in streams() {
        let frames = frames([&fixture.bytes[..]]);
        for kept in 0..frames.len() {
            cut(dialect, &frames[..kept], &format!("{}/{} after {kept} frames", dialect.name(), fixture.case));
        }
    }
}

#[test]
fn a_stream_cut_inside_any_event_is_never_told_as_finished() {
    for (dialect, fixture) in streams() {
        // An odd step visits every kind of place in long streams too.
        for kept in (0..fixture.bytes.len()).step_by((fixture.bytes.len() / 100) | 1) {
            let name = format!("{}/{} after {kept} bytes", dialect.name(), fixture.case);
            cut(dialect, &frames([&fixture.bytes[..kept]]), &name);
        }
    }
}

/// Reads what is left of a stream and tells it to every caller.
fn cut(dialect: Dialect, frames: &[Frame], name: &str) {
    let (events, end) = read(dialect.codec(), frames);
    let finished = events.iter().any(|event| matches!(event, Event::Finish { .. }));
    let failed = events.iter().any(|event| matches!(event, Event::Error(_)));
    let done = events.contains(&Event::Done);
    assert!(!done || finished, "{name}: done without a finish");
    assert!(done || failed || end.is_err(), "{name}: neither done nor failed, but no complaint");
    if frames.last().is_none_or(|frame| frame.raw().ends_with(b"\n\n")) && end.is_err() {
        assert_eq!(end, Err(WireError::Unfinished), "{name}");
    }
    if done {
        return;
    }
    for face in Face::ALL {
        let mut encoder = face.codec.stream_encoder(reply());
        let mut out = BytesMut::new();
        events.iter().for_each(|event| encoder.event(event, &mut out));
        encoder.error(&FAULT, &mut out);
        let told = String::from_utf8(out.to_vec()).unwrap();
        for success in
            ["data: [DONE]", "event: message_stop", "event: response.completed", "event: response.incomplete"]
        {
            assert!(!told.contains(success), "{name} for {}: {success} in {told}", face.dialect.name());
        }
        assert!(told.contains(FAULT.message), "{name} for {}: no error in {told}", face.dialect.name());
        let before = out.len();
        encoder.event(&Event::Done, &mut out);
        encoder.error(&FAULT, &mut out);
        assert_eq!(out.len(), before, "{name} for {}: something follows the error", face.dialect.name());
    }
}
