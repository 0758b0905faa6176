//! No bytes make a reader panic: every fixture, damaged in every way that networks and vendors damage bytes, is put
//! through everything that reads it, and what is read is written again.

use bytes::BytesMut;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;
use waypost_wire::Dialect;
use waypost_wire::dialect::{AnswerSplice, Decoded, Face, Target, Traits};
use waypost_wire::loss::Losses;

use crate::fixtures::{self, frames, read, reply};

/// One piece of damage.
#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Truncate(Index),
    Repeat(Index, Index),
    Remove(Index, Index),
    Replace(Index, &'static str),
}

/// What stands where something else should.
const SCRAPS: &[&str] =
    &["null", "-1", "1e999", "\"\"", "{}", "[]", "\\u0000", "\n\n", "18446744073709551616", "true", ":"];

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        any::<Index>().prop_map(Damage::Truncate),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Repeat(from, to)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Remove(from, to)),
        (any::<Index>(), proptest::sample::select(SCRAPS)).prop_map(|(at, scrap)| Damage::Replace(at, scrap)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    if bytes.is_empty() {
        return;
    }
    let span = |from: &Index, to: &Index, length: usize| {
        let (from, to) = (from.index(length), to.index(length));
        from.min(to)..from.max(to)
    };
    match damage {
        Damage::Flip(at, bits) => {
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
        }
        Damage::Truncate(at) => bytes.truncate(at.index(bytes.len())),
        Damage::Repeat(from, to) => {
            let span = span(from, to, bytes.len());
            let again = bytes[span.clone()].to_vec();
            bytes.splice(span.end..span.end, again);
        }
        Damage::Remove(from, to) => drop(bytes.drain(span(from, to, bytes.len()))),
        Damage::Replace(at, scrap) => {
            // The value behind the next colon.
            let at = at.index(bytes.len());
            let value = at + bytes[at..].iter().position(|byte| *byte == b':').map_or(0, |colon| colon + 1);
            let length = bytes[value..].iter().position(|byte| b",}]\n".contains(byte)).unwrap_or(0);
            bytes.splice(value..value + length, scrap.bytes());
        }
    }
}

#[test]
fn no_damaged_request_makes_a_reader_panic() {
    each(".request.json", |_, body| {
        for face in Face::ALL {
            let _ = face.codec.peek(body);
            let Ok(request) = face.codec.decode_request(body) else { continue };
            for dialect in Dialect::ALL {
                let target = Target { model: "m", traits: &Traits::default() };
                if let Ok(said) = dialect.codec().encode_request(&request, &target, &mut Losses::default()) {
                    serde_json::from_slice::<Value>(&said).expect("an encoded request is JSON");
                }
            }
        }
    });
}

#[test]
fn no_damaged_answer_makes_a_reader_panic() {
    each(".response.json", |dialect, body| {
        let codec = dialect.codec();
        let _ = codec.survey_response(body);
        let _ = codec.decode_error(body);
        let splice = AnswerSplice { model: Some("shown"), hide_usage: true, usage: None };
        let _ = codec.splice_answer(body, &splice);
        let Ok(Decoded::Response(response)) = codec.decode_response(body) else { return };
        for face in Face::ALL {
            let said = face.codec.encode_response(&response, &reply(), &mut Losses::default());
            serde_json::from_slice::<Value>(&said).expect("an encoded answer is JSON");
        }
    });
}

#[test]
fn no_damaged_stream_makes_a_reader_panic() {
    each(".sse", |dialect, body| {
        let frames = frames([body]);
        let (events, _) = read(dialect.codec(), &frames);
        let splice = AnswerSplice { model: Some("shown"), hide_usage: true, usage: None };
        for data in frames.iter().filter_map(|frame| frame.data()) {
            let _ = dialect.codec().splice_answer(data, &splice);
        }
        for face in Face::ALL {
            let mut encoder = face.codec.stream_encoder(reply());
            let mut out = BytesMut::new();
            events.iter().for_each(|event| encoder.event(event, &mut out));
            assert!(std::str::from_utf8(&out).is_ok());
        }
    });
}

/// Runs `law` over every fixture of this kind, each damaged some dozen times.
fn each(kind: &str, law: impl Fn(Dialect, &[u8])) {
    for dialect in Dialect::ALL {
        for fixture in fixtures::chat(dialect, kind) {
            let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
                cases: 40,
                failure_persistence: None,
                ..Default::default()
            });
            let damages = proptest::collection::vec(damage(), 1..4);
            let run = runner.run(&damages, |damages| {
                let mut body = fixture.bytes.to_vec();
                damages.iter().for_each(|damage| apply(&mut body, damage));
                law(dialect, &body);
                Ok(())
            });
            run.unwrap_or_else(|broken| panic!("{}/{}: {broken}", dialect.name(), fixture.case));
        }
    }
}
