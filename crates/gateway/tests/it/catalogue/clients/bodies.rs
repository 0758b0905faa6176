//! Bodies: too large, coded, broken, and built to confuse or to exhaust whoever reads them.

use waypost_gateway::serve::Limits;
use waypost_testkit::{Client, Request};

use super::{CHAT, MESSAGE, SHORT, assert_refused, assert_serves, front, last_words};
use crate::harness::{Gateway, KEY};

const RESPONSE: &str = r#"{"model":"m","input":"Hi"}"#;
const COMPLETION: &str = r#"{"model":"m","prompt":"Hi"}"#;
const EMBEDDING: &str = r#"{"model":"m","input":"Hi"}"#;
const MOUNTS: [(&str, &str); 5] = [
    ("/v1/chat/completions", CHAT),
    ("/v1/messages", MESSAGE),
    ("/v1/responses", RESPONSE),
    ("/v1/completions", COMPLETION),
    ("/v1/embeddings", EMBEDDING),
];

/// Every one of these bodies is a 400 in words, at once, and nothing of it goes upstream.
async fn assert_all_refused(path: &str, gateway: &Gateway, bodies: impl IntoIterator<Item = Vec<u8>>) {
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
        let answer = gateway.post(path, body).await;
        assert_eq!(answer.status, 400, "{path} {shown}: {}", answer.text());
        assert!(answer.json()["error"]["message"].is_string(), "{path} {shown}");
        assert!(answer.header("x-request-id").is_some());
    }
}

#[tokio::test]
async fn a_body_above_the_limit_is_413_before_more_of_it_is_read_and_the_connection_closes() {
    let limits = Limits { max_body_bytes: 1000, body_idle_timeout: SHORT, keep_alive_idle: None, ..Limits::default() };
    let (upstream, gateway) = front(limits).await;
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\n");
    // Of a declared one nothing is waited for, and nobody is invited to go on.
    for declared in ["content-length: 8796093022208\r\n\r\nx", "content-length: 1001\r\nexpect: 100-continue\r\n\r\n"] {
        assert_refused(&last_words(&gateway, format!("{head}{declared}").as_bytes()).await, 413);
    }
    let piece = format!("12c\r\n{}\r\n", "a".repeat(300));
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{}", piece.repeat(4));
    assert_refused(&last_words(&gateway, chunked.as_bytes()).await, 413);
    let endless = format!("{head}transfer-encoding: chunked\r\n\r\n{}", piece.repeat(10_000));
    assert_refused(&last_words(&gateway, endless.as_bytes()).await, 413);
    assert_eq!(upstream.hits(), 0);
    assert_serves(&gateway).await;
}

#[tokio::test]
async fn a_coded_body_is_415_whatever_it_would_unfold_to() {
    let (upstream, gateway) = front(Limits::default()).await;
    for coding in ["gzip", "br", "zstd", "deflate", "identity, gzip", "GZIP", "x-unknown", "aws-chunked"] {
        for (path, body) in MOUNTS {
            let request = Request::post(path, body).bearer(KEY).header("content-encoding", coding);
            assert_eq!(request.send(gateway.url()).await.status, 415, "{coding} {path}");
        }
    }
    assert_eq!(upstream.hits(), 0);
    let plain = Request::post("/v1/chat/completions", CHAT).bearer(KEY).header("content-encoding", "identity");
    assert_eq!(plain.send(gateway.url()).await.status, 200);
}

#[tokio::test]
async fn what_is_not_json_is_400() {
    let (upstream, mut gateway) = front(Limits::default()).await;
    for (path, good) in MOUNTS {
        let with = |value: &str| good.replacen('{', &format!(r#"{{"x":{value},"#), 1).into_bytes();
        let mut bodies: Vec<Vec<u8>> =
            ["", " ", "{", "null", "[]", "\"m\"", "{]", "{\"model\"}", "{'model':'m'}", "model=m"]
                .map(|text| text.as_bytes().to_vec())
                .into();
        bodies.push(format!("\u{feff}{good}").into_bytes());
        bodies.push(format!("{good} x").into_bytes());
        bodies.push(format!("{good}{good}").into_bytes());
        bodies.push(format!("{good}\0").into_bytes());
        bodies.push(good.replacen("Hi", "\u{1}", 1).into_bytes());
        bodies.push(good.replacen("Hi", r"\x41", 1).into_bytes());
        let mut latin = good.as_bytes().to_vec();
        let at = good.find("Hi").unwrap();
        latin[at] = 0xe9;
        bodies.push(latin);
        let values =
            ["NaN", "Infinity", "-Infinity", "nan", "01", "+1", "1.", ".5", "0x10", "1e", "tru", "'a'", "undefined"];
        bodies.extend(values.map(with));
        bodies.push(good.replacen('}', ",}", 1).into_bytes());
        assert_all_refused(path, &gateway, bodies).await;
    }
    gateway.assert_no_record();
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn json_deeper_than_128_is_400_however_it_is_nested() {
    let (upstream, gateway) = front(Limits::default()).await;
    let nested = |open: &str, close: &str, depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    for (path, good) in MOUNTS {
        let mut bodies = vec![];
        for depth in [129, 200_000] {
            for value in
                [nested("[", "]", depth), nested(r#"{"a":"#, "}", depth), "[".repeat(depth), r#"{"a":"#.repeat(depth)]
            {
                bodies.push(value.clone().into_bytes());
                bodies.push(good.replacen('{', &format!(r#"{{"x":{value},"#), 1).into_bytes());
                // In place of a word of the prompt, where only a codec would look.
                bodies.push(good.replacen(r#""Hi""#, &value, 1).into_bytes());
                let parts = format!(r#"[{{"type":"text","text":"Hi","x":{value}}}]"#);
                bodies.push(good.replacen(r#""Hi""#, &parts, 1).into_bytes());
            }
        }
        assert_all_refused(path, &gateway, bodies).await;
    }
    assert_eq!(upstream.hits(), 0);
    let fine = CHAT.replacen('{', &format!(r#"{{"x":{},"#, nested("[", "]", 120)), 1);
    assert_eq!(gateway.post("/v1/chat/completions", fine).await.status, 200);
}

#[tokio::test]
async fn a_second_key_of_those_that_are_read_is_400_also_when_it_is_written_with_escapes() {
    let (upstream, gateway) = front(Limits::default()).await;
    for (path, good) in MOUNTS {
        let bodies = [r#""model":"n","#, r#""mod\u0065l":"n","#, r#""\u006dodel":"n","#]
            .map(|again| good.replacen('{', &format!("{{{again}"), 1).into_bytes());
        assert_all_refused(path, &gateway, bodies).await;
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn wrong_types_are_400() {
    let (upstream, gateway) = front(Limits::default()).await;
    let chat = [
        r#"{"model":1,"messages":[{"role":"user","content":"Hi"}]}"#,
        r#"{"model":["m"],"messages":[{"role":"user","content":"Hi"}]}"#,
        r#"{"model":null,"messages":[{"role":"user","content":"Hi"}]}"#,
        r#"{"model":"","messages":[{"role":"user","content":"Hi"}]}"#,
        r#"{"model":"m"}"#,
        r#"{"model":"m","messages":"Hi"}"#,
        r#"{"model":"m","messages":{}}"#,
        r#"{"model":"m","messages":null}"#,
        r#"{"model":"m","messages":[]}"#,
        r#"{"model":"m","messages":["Hi"]}"#,
        r#"{"model":"m","messages":[{"role":5,"content":"Hi"}]}"#,
    ];
    assert_all_refused("/v1/chat/completions", &gateway, chat.map(|body| body.as_bytes().to_vec())).await;
    for (path, good) in MOUNTS {
        let mut fields = vec![r#""model":5"#, r#""model":{}"#];
        if path != "/v1/embeddings" {
            fields.extend([r#""stream":"yes""#, r#""stream":1"#, r#""stream":[]"#]);
        }
        if path == "/v1/chat/completions" {
            fields.extend([
                r#""stream":true,"stream_options":"usage""#,
                r#""stream":true,"stream_options":{"include_usage":"y"}"#,
            ]);
        }
        let bodies = fields.iter().map(|field| {
            let rest =
                if field.starts_with(r#""model"#) { good.replacen(r#""model":"m","#, "", 1) } else { good.to_owned() };
            rest.replacen('{', &format!("{{{field},"), 1).into_bytes()
        });
        assert_all_refused(path, &gateway, bodies.collect::<Vec<_>>()).await;
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn absurd_numbers_in_what_is_paid_for_are_400() {
    let (upstream, gateway) = front(Limits::default()).await;
    let absurd = ["-1", "0", "1.5", "18446744073709551616", "1e400", "-0", "1e3", "\"5\"", "[]", "true"];
    for (path, fields) in [
        ("/v1/chat/completions", &["max_tokens", "max_completion_tokens", "n"][..]),
        ("/v1/messages", &["max_tokens"]),
        ("/v1/responses", &["max_output_tokens"]),
        ("/v1/completions", &["max_tokens", "n"]),
    ] {
        let good = MOUNTS.iter().find(|(mount, _)| *mount == path).unwrap().1.replace(r#""max_tokens":9,"#, "");
        // There 0 has a meaning: Anthropic warms its cache with it, and an old completion may only echo.
        let zero_is_meant = |field: &str| field == "max_tokens" && path != "/v1/chat/completions";
        for field in fields {
            let absurd = absurd.iter().filter(|value| !(zero_is_meant(field) && value.trim_start_matches('-') == "0"));
            let bodies = absurd.map(|value| good.replacen('{', &format!(r#"{{"{field}":{value},"#), 1).into_bytes());
            assert_all_refused(path, &gateway, bodies).await;
        }
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn a_body_that_ends_early_is_no_request() {
    let (upstream, mut gateway) = front(Limits { body_idle_timeout: SHORT, ..Limits::default() }).await;
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\n");
    for framing in ["content-length: 999\r\n\r\n", "transfer-encoding: chunked\r\n\r\n3e7\r\n"] {
        let mut client = Client::connect(gateway.url()).await;
        client.write(format!("{head}{framing}{CHAT}").as_bytes()).await.unwrap();
        client.hang_up();
    }
    gateway.wait_empty().await;
    gateway.assert_no_record();
    assert_eq!(upstream.hits(), 0);
}
