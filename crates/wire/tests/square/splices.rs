//! Byte identity: of a body that is relayed, only the values that Waypost owns change; and a key that it reads may stand
//! only once, however it is spelled, because a provider might read the other one.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value};
use waypost_wire::chat::Usage;
use waypost_wire::dialect::{AnswerSplice, Face};
use waypost_wire::peek::Peek;
use waypost_wire::splice::{Splice, quoted};
use waypost_wire::{Dialect, WireError};

use crate::fixtures::{self, frames};

/// Members that no document model gives back as they were written.
const ODD: &[&str] = &[
    "\"x_float\" : 1e0",
    "\"x_zero\":-0.0",
    "\"x_exp\":\t1E+2",
    "\"x_big\": 12345678901234567890",
    "\"x_cents\":0.10",
    "\"x_deep\":{\"b\":[ 1 ,2,[]],\"a\":{ },\"a\":null}",
    "\"x_twice\":1,\"x_twice\":2",
    "\"x_\\u00e9scap\\u0065d\":\"\\u0041\\/\\ud83d\\ude00 😀\"",
    "\"\":\"\\\"model\\\":\\\"no\\\"\"",
    "\"x_nested\":{\"model\":\"inner\",\"stream\":1,\"messages\":[],\"usage\":{}}",
];

/// What each dialect must have, and a second place where it reads.
fn required(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::OpenaiChat => {
            &["\"messages\":[ {\"role\" : \"user\",\"content\":\"hi\",\"x\":1e0}]", "\"stream\":true"]
        }
        Dialect::OpenaiResponses => {
            &["\"input\":[ {\"role\" : \"user\",\"content\":\"hi\",\"x\":1e0}]", "\"stream\":true"]
        }
        Dialect::Anthropic => {
            &["\"messages\":[ {\"role\" : \"user\",\"content\":\"hi\",\"x\":1e0}]", "\"max_tokens\": 10"]
        }
        Dialect::Gemini => &[],
    }
}

/// The keys of each dialect that decide who answers, how, and at what price.
fn read(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::OpenaiChat => {
            &["model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "tools"]
        }
        Dialect::OpenaiResponses => &["model", "input", "stream", "max_output_tokens", "tools"],
        Dialect::Anthropic => &["model", "messages", "stream", "max_tokens", "tools"],
        Dialect::Gemini => &[],
    }
}

/// A body with the model's name somewhere among odd members, and its blanks.
fn body(dialect: Dialect) -> impl Strategy<Value = String> {
    let blank = || "[ \t\r\n]{0,2}";
    let odd = proptest::sample::subsequence(ODD, 0..=ODD.len());
    let names = proptest::sample::select(vec!["gpt-5", "", "a\\u002fb", "é\\\"x\\\"", "mod\\/el"]);
    (odd, names, blank(), blank()).prop_flat_map(move |(odd, name, before, after)| {
        let name = if name.is_empty() { "auto" } else { name };
        let mut members: Vec<String> = odd.into_iter().map(ToString::to_string).collect();
        members.extend(required(dialect).iter().map(ToString::to_string));
        members.push(format!("\"mod\\u0065l\"{before}:{after}\"{name}\""));
        let count = members.len();
        (Just(members).prop_shuffle(), proptest::collection::vec(blank(), count + 1)).prop_map(|(members, blanks)| {
            let joined: Vec<String> = members.iter().zip(&blanks).map(|(it, blank)| format!("{blank}{it}")).collect();
            format!("{{{}{}}}\n", joined.join(","), blanks.last().unwrap())
        })
    })
}

fn renamed(body: &Bytes, peek: &Peek) -> Bytes {
    let mut splice = Splice::default();
    splice.replace(peek.model_at.clone().expect("there is a model"), quoted("the \"upstream\" name"));
    splice.apply(body)
}

/// Only the model's value differs.
fn assert_only_the_model_changed(face: Face, body: &Bytes) {
    let peek = face.codec.peek(body).unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(body)));
    let at = peek.model_at.clone().unwrap();
    let name: String = serde_json::from_slice(&body[at.clone()]).unwrap();
    assert_eq!(peek.model.as_ref(), Some(&name));
    let spliced = renamed(body, &peek);
    let rest = body.len() - at.end;
    assert_eq!(spliced[..at.start], body[..at.start]);
    assert_eq!(spliced[spliced.len() - rest..], body[at.end..]);
    assert_eq!(spliced[at.start..spliced.len() - rest], *quoted("the \"upstream\" name").as_bytes());
    let again = face.codec.peek(&spliced).unwrap();
    assert_eq!(again.model.as_deref(), Some("the \"upstream\" name"));
    assert_eq!((again.stream, again.max_output_tokens, again.n), (peek.stream, peek.max_output_tokens, peek.n));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]

    #[test]
    fn only_the_model_changes_in_a_relayed_request((at, body) in
        (0..Face::ALL.len()).prop_flat_map(|at| (Just(at), body(Face::ALL[at].dialect)))) {
        assert_only_the_model_changed(Face::ALL[at], &Bytes::from(body));
    }

    #[test]
    fn asking_for_usage_adds_a_key_and_takes_none(body in body(Dialect::OpenaiChat), options in proptest::sample::select(vec![
        "", "null", "{}", "{ \"include_obfuscation\" : false }", "{\"x\":1e0,\"include_usage\": false ,\"y\":-0.0}"])) {
        let Some(face) = Face::ALL.into_iter().find(|face| face.dialect == Dialect::OpenaiChat) else { return Ok(()) };
        let member = if options.is_empty() { String::new() } else { format!("\"stream_options\": {options},") };
        let body = Bytes::from(body.replacen('{', &format!("{{{member}"), 1));
        let peek = face.codec.peek(&body).unwrap();
        let mut splice = Splice::default();
        splice.ask_usage(&body, &peek).unwrap();
        let asked = splice.apply(&body);
        prop_assert_eq!(face.codec.peek(&asked).unwrap().include_usage, Some(true));
        let (said, asked) = (String::from_utf8(body.to_vec()).unwrap(), String::from_utf8(asked.to_vec()).unwrap());
        // What was there is still there, in its order, but for the one value that was `false` or `null`.
        let kept = said.replace("\"include_usage\": false", "\"include_usage\": ").replace(": null,", ": ,");
        let mut letters = asked.chars();
        prop_assert!(kept.chars().all(|letter| letters.any(|other| other == letter)), "{} from {}", asked, said);
    }
}

#[test]
fn only_the_model_changes_in_every_recorded_request() {
    for face in Face::ALL {
        for fixture in fixtures::chat(face.dialect, ".request.json") {
            if face.codec.peek(&fixture.bytes).is_ok() {
                assert_only_the_model_changed(face, &fixture.bytes);
            }
        }
    }
}

#[test]
fn only_the_model_changes_in_a_large_request() {
    for face in Face::ALL {
        let filling = "\\u00e9\\\"\\\\ \u{1F600} text ".repeat(1 << 16);
        let members = required(face.dialect).join(",");
        let body = format!("{{\"x\":\"{filling}\",{members},\"model\":\"m\",\"y\":[\"{filling}\",1e0]}}");
        assert!(body.len() > 2 << 20);
        assert_only_the_model_changed(face, &Bytes::from(body));
    }
}

#[test]
fn a_second_key_that_is_read_is_refused_by_name_however_it_is_spelled() {
    for face in Face::ALL {
        for key in read(face.dialect) {
            let value = match *key {
                "model" => "\"m\"",
                "messages" | "input" => "[{\"role\":\"user\",\"content\":\"hi\"}]",
                "stream" => "false",
                "stream_options" => "{}",
                "tools" => "[{\"type\":\"function\",\"name\":\"f\",\"function\":{\"name\":\"f\"},\"input_schema\":{}}]",
                _ => "20",
            };
            let escaped: String = key.chars().map(|letter| format!("\\u{:04X}", u32::from(letter))).collect();
            let others = required(face.dialect).iter().filter(|member| !member.starts_with(&format!("\"{key}\"")));
            let mut members: Vec<String> = others.map(ToString::to_string).collect();
            if *key != "model" {
                members.push("\"model\":\"m\"".to_owned());
            }
            for second in [key.to_string(), escaped, key.replacen('m', "\\u006d", 1)] {
                let body = format!("{{\"{key}\":{value},{},\"{second}\":{value}}}", members.join(","));
                let refused = face.codec.peek(body.as_bytes());
                let Err(WireError::Invalid { param, message }) = refused else {
                    panic!("{}: {body} gave {refused:?}", face.dialect.name());
                };
                assert_eq!(param, *key, "{}", face.dialect.name());
                assert!(message.contains("twice"), "{message}");
            }
        }
    }
}

/// The one range in which two texts differ, as what stood there before.
fn difference<'a>(before: &'a [u8], after: &[u8]) -> &'a [u8] {
    let head = before.iter().zip(after).take_while(|(one, other)| one == other).count();
    let tail = before[head..].iter().rev().zip(after[head..].iter().rev()).take_while(|(one, other)| one == other);
    &before[head..before.len() - tail.count()]
}

/// The names that this JSON shows at the places where its dialect has the model's.
fn shown_models(json: &Value) -> Vec<&str> {
    ["/model", "/message/model", "/response/model", "/modelVersion"]
        .iter()
        .filter_map(|path| json.pointer(path)?.as_str())
        .collect()
}

/// Renames the model in this answer or frame and checks that nothing else happens.
fn rename_and_compare(dialect: Dialect, json: &[u8], name: &str) {
    let Ok(Value::Object(before)) = serde_json::from_slice::<Value>(json) else { return };
    let splice = AnswerSplice { model: Some("shown"), ..AnswerSplice::default() };
    let before = Value::Object(before);
    let Some(spliced) = dialect.codec().splice_answer(json, &splice) else {
        assert!(shown_models(&before).is_empty(), "{name}: the upstream's name is shown");
        return;
    };
    let after: Value = serde_json::from_slice(&spliced).unwrap();
    assert!(shown_models(&after).iter().all(|model| *model == "shown"), "{name}");
    let removed = String::from_utf8(difference(json, &spliced).to_vec()).unwrap();
    assert!(shown_models(&before).iter().any(|model| model.contains(&removed)), "{name}: `{removed}` was removed");
}

#[test]
fn only_the_model_changes_in_a_relayed_answer() {
    let odd = ODD.iter().filter(|member| !member.contains("x_nested")).copied().collect::<Vec<_>>().join(" ,\n ");
    for dialect in Dialect::ALL {
        for fixture in fixtures::chat(dialect, ".response.json") {
            let name = format!("{}/{}", dialect.name(), fixture.case);
            rename_and_compare(dialect, &fixture.bytes, &name);
            let text = String::from_utf8(fixture.bytes.to_vec()).unwrap();
            rename_and_compare(dialect, text.replacen('{', &format!("{{ {odd},"), 1).as_bytes(), &name);
        }
        for fixture in fixtures::chat(dialect, ".sse") {
            let name = format!("{}/{}", dialect.name(), fixture.case);
            for frame in frames([&fixture.bytes[..]]) {
                frame.data().into_iter().for_each(|json| rename_and_compare(dialect, json, &name));
            }
        }
    }
}

#[test]
fn usage_that_is_missing_is_added_and_nothing_else_changes() {
    let usage = Usage { input: Some(12), output: Some(34), ..Usage::default() };
    let splice = AnswerSplice { usage: Some(&usage), ..AnswerSplice::default() };
    for dialect in Face::ALL.map(|face| face.dialect) {
        for fixture in fixtures::chat(dialect, ".response.json") {
            let Ok(Value::Object(mut answer)) = serde_json::from_slice::<Value>(&fixture.bytes) else { continue };
            if answer.contains_key("error") && answer.get("error") != Some(&Value::Null) {
                continue;
            }
            answer.shift_remove("usage");
            let name = format!("{}/{}", dialect.name(), fixture.case);
            let json = Value::Object(answer.clone()).to_string();
            let spliced = dialect.codec().splice_answer(json.as_bytes(), &splice).expect("usage is put in");
            let survey = dialect.codec().survey_response(&spliced).unwrap().usage.unwrap();
            assert_eq!((survey.input, survey.output), (usage.input, usage.output), "{name}");
            let mut after: Map<String, Value> = serde_json::from_slice(&spliced).unwrap();
            after.shift_remove("usage");
            assert_eq!(after, answer, "{name}");
        }
    }
}

#[test]
fn usage_that_nobody_asked_for_is_hidden_and_nothing_else_is() {
    let splice = AnswerSplice { hide_usage: true, ..AnswerSplice::default() };
    let mut hidden = 0;
    for fixture in fixtures::chat(Dialect::OpenaiChat, ".sse") {
        for frame in frames([&fixture.bytes[..]]) {
            let Some(Ok(Value::Object(mut before))) = frame.data().map(serde_json::from_slice) else { continue };
            let after = Dialect::OpenaiChat.codec().splice_answer(frame.data().unwrap(), &splice);
            match after {
                Some(nothing) if nothing.is_empty() => {
                    hidden += 1;
                    assert_eq!(before["choices"], Value::Array(vec![]), "{}", fixture.case);
                    assert!(before["usage"].is_object(), "{}", fixture.case);
                }
                Some(spliced) => {
                    let after: Map<String, Value> = serde_json::from_slice(&spliced).unwrap();
                    before.shift_remove("usage");
                    assert_eq!(after, before, "{}", fixture.case);
                }
                None => assert!(!before.contains_key("usage"), "{}", fixture.case),
            }
        }
    }
    assert!(hidden > 5, "only {hidden} frames with usage alone were recorded");
}
