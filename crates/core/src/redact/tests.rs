use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn plain(text: &str) -> String {
    redact(text.as_bytes(), About::default()).text
}

#[test]
fn keys_tokens_and_passwords_are_taken_out_and_sentences_stay() {
    for (text, kept) in [
        ("use sk-proj-AbC_123-def4567890.", "use [redacted]."),
        ("my key:wp-0123456789abcdefghij", "my key:[redacted]"),
        ("Authorization: Bearer abc123DEF456", "Authorization: [redacted] [redacted]"),
        ("he sent BEARER a1b2c3d4e5 twice", "he sent BEARER [redacted] twice"),
        ("login Basic dXNlcjpwYXNz", "login Basic [redacted]"),
        ("https://x.example/?api_key=0123456789&a=1", "https://x.example/?api_key=[redacted]&a=1"),
        ("OPENAI_API_KEY=abcdefgh", "OPENAI_API_KEY=[redacted]"),
        ("{'password': 'hunter22'}", "{'password': '[redacted]'}"),
        ("DB_PASSWORD=\"hunter22\"", "DB_PASSWORD=\"[redacted]\""),
        ("password = \"hunter22\"\nsecret: \"plainvalue\"", "password = \"[redacted]\"\nsecret: \"[redacted]\""),
        (r#"{"content":"set DB_PASSWORD=\"hunter22\" now"}"#, r#"{"content":"set DB_PASSWORD=\"[redacted]\" now"}"#),
        ("a token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "a token [redacted]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- and on", "[redacted] and on"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE", "[redacted]"),
        ("AKIAIOSFODNN7EXAMPLE is one", "[redacted] is one"),
        // No secrets.
        ("a risk-adjusted-multi-step plan, sk-short", "a risk-adjusted-multi-step plan, sk-short"),
        ("Basic understanding of bearer certificates", "Basic understanding of bearer certificates"),
        ("the password is long; secret: no", "the password is long; secret: no"),
        ("-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----"),
        (
            "\"max_tokens\": 100000000, \"token\": \"Hello there\"",
            "\"max_tokens\": 100000000, \"token\": \"Hello there\"",
        ),
        ("日本語のテキスト", "日本語のテキスト"),
    ] {
        assert_eq!(plain(text), kept);
    }
}

/// It took hours when each beginning was read to the end of the text.
#[test]
fn a_text_of_nothing_but_beginnings_is_read_once() {
    for piece in
        ["x-", "x_y ", "sk-", "sk-.", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----\"", "bearer ", "basic", "eyJ."]
    {
        let text = piece.repeat(300_000 / piece.len());
        assert!(!plain(&text).is_empty(), "{piece}");
    }
}

#[test]
fn fields_that_hold_secrets_lose_them_whatever_these_look_like() {
    for (json, kept) in [
        (r#"{"api_key":"a b","x":"y"}"#, r#"{"api_key":"[redacted]","x":"y"}"#),
        (r#"{"Client-Secret" : "ä\n"}"#, r#"{"Client-Secret" : "[redacted]"}"#),
        (r#"{"pass\u0077ord":"x"}"#, r#"{"pass\u0077ord":"[redacted]"}"#),
        (r#"{"password":-12.5e3,"n":1}"#, r#"{"password":null,"n":1}"#),
        (r#"{"DB_PASSWORD":"x"}"#, r#"{"DB_PASSWORD":"[redacted]"}"#),
        (r#"{"authorization_token": "x"}"#, r#"{"authorization_token": "[redacted]"}"#),
        // A schema that speaks of one holds none.
        (r#"{"password":{"type":"string"}}"#, r#"{"password":{"type":"string"}}"#),
        (r#"{"a":"{\"token\":1,\"secret\":\"x\"}"}"#, r#"{"a":"{\"token\":1,\"secret\":\"[redacted]\"}"}"#),
        // Cut off.
        (r#"{"password":"hun"#, r#"{"password":"[redacted]"#),
    ] {
        assert_eq!(plain(json), kept);
    }
}

#[test]
fn media_become_their_size_and_ids_stay() {
    let media = "QUJD".repeat(100);
    assert_eq!(plain(&format!("{{\"data\":\"{media}\"}}")), "{\"data\":\"[300 bytes]\"}");
    assert_eq!(plain("data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=="), "data:image/png;base64,[16 bytes]");
    // As some write it.
    let slashes = format!("{{\"url\":\"data:image\\/png;base64,{}\"}}", "AB\\/C".repeat(100));
    assert_eq!(plain(&slashes), "{\"url\":\"data:image\\/png;base64,[300 bytes]\"}");
    let events: String = (0..40).map(|_| "data: {\"id\":\"chatcmpl-0123456789\"}\n\n").collect();
    assert_eq!(plain(&events), events);
    assert_eq!(redact(&[0xff, 0xfe, 0], About::default()).text, "[3 bytes that are no text]");
}

#[test]
fn known_secrets_go_in_whatever_form_and_short_ones_are_words() {
    let about = About { known: &["a strange/secret", "short"], cut: false };
    let text = r#"{"a":"a strange\/secret","b":"short, a strange/secret"}"#;
    let redacted = redact(text.as_bytes(), about);
    assert_eq!((&*redacted.text, redacted.places), (r#"{"a":"[redacted]","b":"short, [redacted]"}"#, 2));
    let cut = About { cut: true, ..about };
    assert_eq!(redact(b"so it is a stran", cut).text, "so it is [redacted]");
    assert_eq!(redact(b"so it is a stran", about).text, "so it is a stran");
}

#[test]
fn half_a_character_at_a_missing_end_makes_a_text_no_media() {
    let whole = "größe".as_bytes();
    let cut = About { cut: true, ..About::default() };
    assert_eq!(redact(&whole[..3], cut).text, "gr");
    assert_eq!(redact(&whole[..3], About::default()).text, "[3 bytes that are no text]");
}

/// The part of a secret that is nobody's word, and the whole of it.
fn secret() -> impl Strategy<Value = (String, String)> {
    let prefix =
        prop_oneof![Just("sk-"), Just("sk-ant-api03-"), Just("wp-"), Just("AIza"), Just("gsk_"), Just("Bearer ")];
    (prefix, "[A-Za-z0-9]{20,40}").prop_map(|(prefix, random)| (random.clone(), format!("{prefix}{random}")))
}

/// JSON for this text, with escapes where nobody needs them.
fn spelled(text: &str, odd: &[bool]) -> String {
    let mut spelled = String::from("\"");
    for (letter, odd) in text.chars().zip(odd.iter().cycle()) {
        if *odd {
            let mut units = [0; 2];
            letter.encode_utf16(&mut units).iter().for_each(|unit| spelled.push_str(&format!("\\u{unit:04x}")));
        } else {
            let plain = json!(letter.to_string()).to_string();
            spelled.push_str(&plain[1..plain.len() - 1]);
        }
    }
    spelled + "\""
}

/// What the deltas of a stream say, each event of which must be JSON.
fn said(stream: &str) -> String {
    let events = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    events.map(|event| serde_json::from_str::<Value>(event).unwrap()["delta"].as_str().unwrap().to_owned()).collect()
}

fn some_json() -> impl Strategy<Value = Value> {
    let name = prop_oneof!["[a-z]{1,6}", Just("password".to_owned()), Just("x-api-key".to_owned())];
    let text = prop_oneof![any::<String>(), secret().prop_map(|(_, whole)| whole), "[A-Za-z0-9+/]{250,300}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner.clone()), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            inner.prop_map(|value| Value::from(value.to_string())),
        ]
    })
}

proptest! {
    #[test]
    fn no_secret_is_left_at_any_depth_in_any_spelling(
        (random, whole) in secret(),
        before in any::<String>(),
        after in any::<String>(),
        depth in 0_usize..=MOST_DEPTH,
        odd in prop::collection::vec(any::<bool>(), 1..8),
    ) {
        let mut text = format!("{before} {whole} {after}");
        for _ in 0..depth {
            text = format!("{{\"a\":{}}}", spelled(&text, &odd));
        }
        let mut kept = plain(&text);
        prop_assert!(!kept.contains(&random), "{kept}");
        for _ in 0..depth {
            kept = serde_json::from_str::<Value>(&kept).unwrap()["a"].as_str().unwrap().to_owned();
            prop_assert!(!kept.contains(&random), "{kept}");
        }
    }

    #[test]
    fn no_secret_is_left_in_the_pieces_of_a_stream(
        (random, whole) in secret(),
        before in "[ a-zé\\\\\"\n]{0,12}",
        places in prop::collection::vec(0_usize..70, 0..12),
        cut in any::<bool>(),
    ) {
        let text: Vec<char> = format!("{before} {whole}{}", if cut { "" } else { " and on" }).chars().collect();
        let mut places: Vec<usize> = places.into_iter().map(|place| place.min(text.len())).collect();
        places.extend([0, text.len()]);
        places.sort_unstable();
        let events = places.windows(2).map(|pair| {
            let piece: String = text[pair[0]..pair[1]].iter().collect();
            format!("event: x\ndata: {}\n\n", json!({ "type": "delta", "index": 0, "delta": piece }))
        });
        let kept = redact(events.collect::<String>().as_bytes(), About { cut, ..About::default() }).text;
        let said = said(&kept);
        prop_assert!(!said.contains(&random[..8]), "{said}");
        prop_assert!(cut || said.ends_with(" and on"), "{said}");
    }

    #[test]
    fn what_is_cut_off_in_a_secret_shows_nothing_of_it((random, whole) in secret(), length in 0_usize..40) {
        let length = length.min(random.len() - 1);
        let shown = &whole[..whole.len() - random.len() + length];
        let kept = redact(format!("it is {shown}").as_bytes(), About { cut: true, ..About::default() }).text;
        prop_assert!(length == 0 || !kept.contains(shown), "{kept}");
    }

    #[test]
    fn json_stays_json_of_the_same_form(value in some_json()) {
        let kept: Value = serde_json::from_str(&plain(&value.to_string())).unwrap();
        prop_assert!(alike(&value, &kept), "{value} {kept}");
    }

    #[test]
    fn doing_it_again_changes_nothing(value in some_json(), text in "(sk-[a-z0-9]{1,20}|password|[:= '\"\\\\]|api_key|[a-z]){0,30}") {
        let once = plain(&format!("{text}\n{value}"));
        prop_assert_eq!(plain(&once), once);
    }

    #[test]
    fn words_are_left_alone(words in prop::collection::vec("[a-z]{1,9}[,.!?\"\n]?", 0..40)) {
        let text = words.join(" ");
        prop_assert_eq!(redact(text.as_bytes(), About::default()), Redacted { text, places: 0 });
    }

    #[test]
    fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in any::<bool>()) {
        redact(&bytes, About { known: &["01234567"], cut });
    }
}

/// The same lists and objects, with the same names, in the same order.
fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|((a, one), (b, other))| a == b && alike(one, other))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Number(_), Value::Null) => true,
        (Value::String(_), Value::String(_)) => true,
        (one, other) => one == other,
    }
}
