use bytes::Bytes;
use proptest::prelude::*;

use super::super::Decoder;
use super::*;
use crate::dialect::StreamDecoder as _;
use crate::sse::{Frame, Framer};

macro_rules! golden {
    ($($case:literal),*) => {
        [$(include_bytes!(concat!("../../../../tests/golden/", $case, ".sse")) as &[u8]),*]
    };
}

const RECORDED: [&[u8]; 15] = golden![
    "chat/openai_chat/content_filter",
    "chat/openai_chat/error",
    "chat/openai_chat/interleaved_tools",
    "chat/openai_chat/length",
    "chat/openai_chat/logprobs",
    "chat/openai_chat/n",
    "chat/openai_chat/parallel_tools",
    "chat/openai_chat/refusal",
    "chat/openai_chat/text",
    "chat/openai_chat/thinking",
    "chat/openai_chat/thinking_chunks",
    "chat/openai_chat/tools",
    "chat/openai_chat/truncated_call",
    "chat/openai_chat/usage_cached",
    "completions/text"
];

/// Chunks as providers write them: what stands before the words, between them and the padding, and behind it.
const SHAPES: [[&str; 3]; 8] = [
    [
        r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-5","service_tier":"default","system_fingerprint":null,"choices":[{"index":0,"delta":{"content":"#,
        r#"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"#,
        "}",
    ],
    [r#"{"id":"c","choices":[{"index":0,"delta":{"content":"#, r#"},"finish_reason":null}]}"#, ""],
    [r#"{"id":"c","choices":[{"index":1,"delta":{"reasoning_content":"#, r#","content":null}}]}"#, ""],
    [r#"{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"#, r#","tool_calls":[]}}]}"#, ""],
    [r#"{"id":"c","choices":[{"text":"#, r#","index":0,"logprobs":null,"finish_reason":null}]}"#, ""],
    [
        r#"{"obfuscation":"x","choices":[{"delta":{"obfuscation":7,"content":"#,
        r#"}}],"p":{"obfuscation":"#,
        r#","y":"z"},"service_tier":"flex"}"#,
    ],
    [r#"{"choices":[{"delta":{"content":"#, r#","tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]}"#, ""],
    [
        r#"{"choices":[{"delta":{"reasoning":"#,
        r#","reasoning_details":[{"type":"reasoning.text","text":"so"}]}}],"usage":{"x":1}}"#,
        "",
    ],
];

/// Strings as JSON, and what is none.
const STRINGS: [&str; 12] = [
    r#"" the""#,
    r#""a""#,
    r#""""#,
    r#""é \"quoted\"\n\u00e9\ud83d\ude00""#,
    r#""\ud83d""#,
    "\"\t\"",
    r#" "spaced" "#,
    r#""a","b":"c""#,
    r#""a"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"x""#,
    "null",
    r#""open"#,
    r#""\""#,
];

fn chunk([before, between, behind]: [&str; 3], words: &str, padding: &str) -> String {
    let padding = if behind.is_empty() { "" } else { padding };
    format!("{before}{words}{between}{padding}{behind}")
}

fn frames(stream: &[u8]) -> Vec<Frame> {
    let mut framer = Framer::new(1 << 20);
    framer.push(Bytes::copy_from_slice(stream));
    let mut frames = Vec::new();
    while let Some(frame) = framer.next_frame().unwrap() {
        frames.push(frame);
    }
    frames.extend(framer.finish());
    frames
}

fn framed(chunks: &[String]) -> Vec<Frame> {
    frames(chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect::<String>().as_bytes())
}

/// Reads the frames with and without patterns, side by side; how many were read by a pattern.
fn compared(frames: &[Frame]) -> Result<usize, TestCaseError> {
    let (mut patterned, mut parsing) = (Decoder::default(), Decoder::default());
    let mut count = 0;
    for frame in frames {
        let (mut told, mut parsed) = (Vec::new(), Vec::new());
        count += usize::from(frame.data().is_some_and(|data| patterned.pattern.read(data.trim_ascii()).is_some()));
        parsing.pattern = Pattern::default();
        let ends = (patterned.frame(frame, &mut told), parsing.frame(frame, &mut parsed));
        prop_assert_eq!(&told, &parsed);
        prop_assert_eq!(&ends.0, &ends.1);
        if ends.0.is_err() {
            return Ok(count);
        }
        let kept = std::mem::take(&mut patterned.pattern);
        parsing.pattern = Pattern::default();
        prop_assert_eq!(format!("{patterned:?}"), format!("{parsing:?}"));
        patterned.pattern = kept;
    }
    Ok(count)
}

#[test]
fn recorded_streams_cut_anywhere_are_read_as_the_parser_reads_them() {
    for stream in RECORDED {
        // An odd step visits every kind of place in long streams too.
        for end in (0..stream.len()).step_by((stream.len() / 200) | 1).chain([stream.len()]) {
            compared(&frames(&stream[..end])).unwrap();
        }
    }
}

#[test]
fn any_strings_in_the_place_of_the_words_are_read_as_the_parser_reads_them() {
    for shape in SHAPES {
        for first in [r#"" the""#, r#""é""#] {
            for words in STRINGS {
                for padding in STRINGS {
                    let chunks =
                        [chunk(shape, first, r#""""#), chunk(shape, words, padding), chunk(shape, first, "\"x\"")];
                    // The first says who answers, so it is no pattern yet.
                    let chunks = [&chunks[..1], &chunks[..]].concat();
                    compared(&framed(&chunks)).unwrap();
                }
            }
        }
    }
}

#[test]
fn the_words_of_providers_are_not_parsed_again() {
    for shape in &SHAPES[..6] {
        let words = [r#"" the""#, r#"" the""#, r#"" é""#, r#""\n\"""#, r#"" end""#];
        let chunks: Vec<String> = words
            .iter()
            .enumerate()
            .map(|(at, words)| chunk(*shape, words, &format!("\"{}\"", "x".repeat(at))))
            .collect();
        // The first says who answers, and the second is learnt from.
        assert_eq!(compared(&framed(&chunks)).unwrap(), 3, "{shape:?}");
    }
}

#[test]
fn what_does_more_than_to_say_words_is_always_parsed() {
    for shape in &SHAPES[6..] {
        let chunks = vec![chunk(*shape, "\"a\"", ""); 4];
        assert_eq!(compared(&framed(&chunks)).unwrap(), 0, "{shape:?}");
    }
    let long = vec![chunk(SHAPES[1], &format!("\"{}\"", "a".repeat(MOST)), ""); 4];
    assert_eq!(compared(&framed(&long)).unwrap(), 0);
}

proptest! {
    #[test]
    fn recorded_streams_with_any_bytes_changed_are_read_as_the_parser_reads_them(
        case in 0..RECORDED.len(),
        changes in proptest::collection::vec((0usize..100_000, "[\\[\\]{}:,\"\\\\a-c0-1n ]"), 0..6),
    ) {
        // Each frame twice, and a changed one after them.
        for (at, frame) in frames(RECORDED[case]).iter().enumerate() {
            let mut changed = frame.raw().to_vec();
            for (place, byte) in &changes {
                let place = (place + at) % changed.len();
                changed[place] = byte.as_bytes()[0];
            }
            let before = frames(RECORDED[case]);
            let mut story: Vec<Frame> = before[..at].to_vec();
            story.extend([frame.clone(), frame.clone()]);
            story.extend(frames(&changed));
            compared(&story)?;
        }
    }
}
