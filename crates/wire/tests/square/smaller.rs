//! The operations that are relayed and never translated: what is read of them on the way, and that nothing else changes.

use std::fmt::Write;

use waypost_wire::chat::Usage;
use waypost_wire::completions::{self, Completions};
use waypost_wire::dialect::{AnswerSplice, Tap};
use waypost_wire::embeddings::{self, Embeddings};
use waypost_wire::peek::Peek;
use waypost_wire::{WireError, anthropic};

use crate::fixtures::{self, frames};
use crate::golden::each_of;

type PeekAt = fn(&[u8]) -> Result<Peek, WireError>;

/// An operation: its folder under `tests/golden`, its peek, its tap.
type Operation = (&'static str, PeekAt, &'static dyn Tap);

const OPERATIONS: [Operation; 2] =
    [("completions", completions::peek, &Completions), ("embeddings", embeddings::peek, &Embeddings)];

#[test]
fn what_is_read_of_smaller_operations() {
    let usage = Usage { input: Some(5), output: Some(2), ..Usage::default() };
    let splice = AnswerSplice { model: Some("asked-for"), hide_usage: true, usage: None };
    for (operation, peek, tap) in OPERATIONS {
        each_of(operation, ".request.json", |fixture| {
            let found = format!("{:#?}\n", peek(&fixture.bytes));
            (format!("{operation}__{}.request", fixture.case), found)
        });
        each_of(operation, ".response.json", |fixture| {
            let mut shown = format!("{:#?}\n", tap.survey_response(&fixture.bytes));
            for splice in [splice, AnswerSplice { model: None, hide_usage: false, usage: Some(&usage) }] {
                let spliced = tap.splice_answer(&fixture.bytes, &splice);
                let spliced = spliced.map_or("as it is\n".into(), |it| String::from_utf8_lossy(&it).into_owned());
                let _ = writeln!(shown, "=== {splice:?}\n{spliced}");
            }
            (format!("{operation}__{}.response", fixture.case), shown)
        });
        each_of(operation, ".sse", |fixture| {
            let frames = frames([&fixture.bytes[..]]);
            let (events, end) = fixtures::read(tap, &frames);
            let mut shown = events.iter().fold(String::new(), |lines, event| lines + &format!("{event:?}\n"));
            let _ = writeln!(shown, "{end:?}\n\n=== renamed, and without the usage nobody asked for");
            for data in frames.iter().filter_map(|frame| frame.data()) {
                match tap.splice_answer(data, &splice) {
                    Some(hidden) if hidden.is_empty() => shown += "(hidden)\n",
                    Some(spliced) => shown += &format!("{}\n", String::from_utf8_lossy(&spliced)),
                    None => shown += &format!("{}\n", String::from_utf8_lossy(data)),
                }
            }
            (format!("{operation}__{}.stream", fixture.case), shown)
        });
    }
}

#[test]
fn a_second_key_that_is_read_is_refused_in_smaller_operations_too() {
    let bodies: [(PeekAt, &str); 3] = [
        (completions::peek, r#""model":"m","prompt":"hi","stream":false,"max_tokens":5,"n":1"#),
        (embeddings::peek, r#""model":"m","input":"hi""#),
        (anthropic::peek_count_tokens, r#""model":"m","messages":[{"role":"user","content":"hi"}]"#),
    ];
    for (peek, members) in bodies {
        assert!(peek(format!("{{{members}}}").as_bytes()).is_ok());
        let document: serde_json::Map<_, _> = serde_json::from_str(&format!("{{{members}}}")).unwrap();
        for (key, value) in &document {
            for second in [key.clone(), key.chars().map(|letter| format!("\\u{:04x}", u32::from(letter))).collect()] {
                let body = format!("{{{members},\"{second}\":{value}}}");
                let refused = peek(body.as_bytes()).unwrap_err();
                assert_eq!(refused.param(), Some(key.as_str()), "{body}");
            }
        }
    }
}
