//! Byte identity: in the same dialect an upstream gets the caller's bytes and a caller the upstream's, but for the
//! model's name and the usage Waypost asked for itself.

use bytes::Bytes;
use waypost_testkit::{Script, Upstream, fixtures};

use crate::harness::{Gateway, channel};

/// An endpoint, what it needs, and what its upstream says.
struct Endpoint {
    path: &'static str,
    provider: &'static str,
    /// The fields it cannot do without, besides `model`.
    needed: &'static str,
    plain: &'static str,
    stream: Option<&'static str>,
    /// Keys that are read, with a sound value.
    read: &'static [(&'static str, &'static str)],
    /// Streams are asked for usage with `stream_options`.
    asks_usage: bool,
}

const MESSAGES: &str = r#"[{"role":"user","content":"Hi"}]"#;

const ENDPOINTS: [Endpoint; 5] = [
    Endpoint {
        path: "/v1/chat/completions",
        provider: "openai",
        needed: r#""messages":[{"role":"user","content":"Hi"}]"#,
        plain: fixtures::openai_chat::PLAIN,
        stream: Some(fixtures::openai_chat::STREAM),
        read: &[
            ("messages", MESSAGES),
            ("stream", "false"),
            ("stream_options", "{}"),
            ("max_tokens", "5"),
            ("max_completion_tokens", "5"),
            ("temperature", "1"),
            ("n", "1"),
            ("tools", "[]"),
            ("stop", "null"),
        ],
        asks_usage: true,
    },
    Endpoint {
        path: "/v1/messages",
        provider: "anthropic",
        needed: r#""max_tokens":5,"messages":[{"role":"user","content":"Hi"}]"#,
        plain: fixtures::anthropic::PLAIN,
        stream: Some(fixtures::anthropic::STREAM),
        read: &[
            ("messages", MESSAGES),
            ("stream", "false"),
            ("max_tokens", "5"),
            ("system", "\"x\""),
            ("temperature", "1"),
        ],
        asks_usage: false,
    },
    Endpoint {
        path: "/v1/responses",
        provider: "openai",
        needed: r#""input":"Hi""#,
        plain: fixtures::openai_responses::PLAIN,
        stream: Some(fixtures::openai_responses::STREAM),
        read: &[("input", "\"Hi\""), ("stream", "false"), ("max_output_tokens", "5"), ("temperature", "1")],
        asks_usage: false,
    },
    Endpoint {
        path: "/v1/completions",
        provider: "openai",
        needed: r#""prompt":"Hi""#,
        plain: fixtures::openai::COMPLETION,
        stream: Some(fixtures::openai::COMPLETION_STREAM),
        read: &[("prompt", "\"Hi\""), ("stream", "false"), ("max_tokens", "5"), ("n", "1")],
        asks_usage: true,
    },
    Endpoint {
        path: "/v1/embeddings",
        provider: "openai",
        needed: r#""input":"Hi""#,
        plain: fixtures::openai::EMBEDDINGS,
        stream: None,
        read: &[("input", "\"Hi\""), ("encoding_format", "\"float\""), ("dimensions", "8")],
        asks_usage: false,
    },
];

impl Endpoint {
    /// Bodies with everything in them that re-encoding would change.
    fn corpus(&self, more: &str) -> Vec<String> {
        let needed = self.needed;
        let large = "é\\u00e9 \\\\ ".repeat(200_000);
        vec![
            format!(r#"{{"model":"asked",{more}{needed}}}"#),
            format!(r#"{{{needed},"zzz":1,{more}"aaa":2,"model":"asked"}}"#),
            format!("\r\n\t {{\n  \"model\" : \"asked\" ,\t{more}\r\n {needed} \n}}\r\n \n"),
            format!(
                r#"{{"x_numbers":[1e0,1.0E+2,-0,0.10,1e400,123456789012345678901234567890],{more}"model":"asked",{needed}}}"#
            ),
            format!(
                r#"{{"x":1,"x":2,"\u0078":{{"y":[],"y":null,"model":"no","model":"no"}},{more}"model":"asked",{needed}}}"#
            ),
            format!(r#"{{"\u006d\u006fdel":"a\u0073ked",{more}{needed},"x_\ud83d\ude00":"\ud83d\ude00 😀 \/ \b"}}"#),
            format!(r#"{{"x_text":"{large}",{more}"model":"asked",{needed}}}"#),
        ]
    }
}

/// What stands for the model's name, however it is spelled.
fn renamed(body: &str) -> String {
    body.replacen("\"asked\"", "\"known\"", 1).replacen(r#""a\u0073ked""#, "\"known\"", 1)
}

async fn gateway(endpoint: &Endpoint, upstream: &Upstream) -> Gateway {
    let models = "[asked, {name: mapped, upstream: known}]";
    Gateway::with_channels(&channel("main", endpoint.provider, &upstream.url(), models)).await
}

#[tokio::test]
async fn the_upstream_gets_the_callers_bytes_and_the_caller_the_upstreams() {
    for endpoint in &ENDPOINTS {
        let upstream = Upstream::always(Script::reply(200, endpoint.plain)).await;
        let gateway = gateway(endpoint, &upstream).await;
        for body in endpoint.corpus("") {
            let answer = gateway.post(endpoint.path, body.clone()).await;
            assert_eq!(answer.status, 200, "{}: {}", endpoint.path, answer.text());
            assert!(upstream.last().body == body.as_bytes(), "{}: {:.200}", endpoint.path, body);
            assert_eq!(answer.text(), endpoint.plain);
        }
    }
}

#[tokio::test]
async fn a_mapped_model_changes_its_name_and_nothing_else() {
    for endpoint in &ENDPOINTS {
        let odd = endpoint.plain.replacen('{', "{\r\n \"x\" : 1.0e0 , \"x\":\"\\u00e9\", ", 1) + "\n\t ";
        let at = odd.find("\"model\"").expect("the answer names a model");
        let name = odd[at + 8..].split('"').nth(1).expect("it is a text").to_owned();
        let upstream = Upstream::always(Script::reply(200, odd.clone())).await;
        let models = "[{name: asked, upstream: known}]";
        let gateway = Gateway::with_channels(&channel("main", endpoint.provider, &upstream.url(), models)).await;
        for body in endpoint.corpus("") {
            let answer = gateway.post(endpoint.path, body.clone()).await;
            assert_eq!(answer.status, 200, "{}: {}", endpoint.path, answer.text());
            assert!(upstream.last().body == renamed(&body).as_bytes(), "{}: {:.200}", endpoint.path, body);
            assert_eq!(answer.text(), odd.replacen(&name, "asked", 1));
        }
    }
}

#[tokio::test]
async fn a_streamed_request_is_only_asked_for_usage() {
    for endpoint in &ENDPOINTS {
        let Some(stream) = endpoint.stream else { continue };
        let upstream = Upstream::always(Script::stream(fixtures::events(stream))).await;
        let gateway = gateway(endpoint, &upstream).await;
        for body in endpoint.corpus("\"stream\":true,") {
            let answer = gateway.post(endpoint.path, body.clone()).await;
            assert_eq!((answer.status, answer.text()), (200, stream), "{}", endpoint.path);
            let asked = body.replacen('{', r#"{"stream_options":{"include_usage":true},"#, 1);
            let expected = if endpoint.asks_usage { asked } else { body };
            assert!(upstream.last().body == expected.as_bytes(), "{}: {expected:.200}", endpoint.path);
        }
    }
}

#[tokio::test]
async fn the_callers_own_stream_options_stay() {
    let options = [
        (r#"{ "include_usage" : true , "x":1.0}"#, r#"{ "include_usage" : true , "x":1.0}"#),
        (r#"{"x":1.0, "include_usage":false }"#, r#"{"x":1.0, "include_usage":true }"#),
        (r#"{ "x" : 1e0}"#, r#"{"include_usage":true, "x" : 1e0}"#),
        ("{}", r#"{"include_usage":true}"#),
        ("null", r#"{"include_usage":true}"#),
    ];
    let endpoint = &ENDPOINTS[0];
    let upstream = Upstream::always(Script::stream([fixtures::openai_chat::STREAM])).await;
    let gateway = gateway(endpoint, &upstream).await;
    for (said, expected) in options {
        let body =
            |options| format!(r#"{{"model":"asked","stream":true,"stream_options":{options},{MESSAGES_FIELD}}}"#);
        gateway.post(endpoint.path, body(said)).await;
        assert_eq!(upstream.last().text(), body(expected));
    }
}

const MESSAGES_FIELD: &str = r#""messages":[{"role":"user","content":"Hi"}]"#;

/// The stream as other servers write it: CRLF, comments, ids, odd spacing.
fn dressed(stream: &str) -> Vec<String> {
    let crlf = stream.replace("\r\n", "\n").replace('\n', "\r\n");
    let comments = format!(": hello\n\n{}", stream.replace("data:", ": note\nid: 7\nretry: 10\ndata:"));
    let tight = stream.replace("data: ", "data:");
    let bom = format!("\u{feff}{stream}");
    vec![stream.to_owned(), crlf.clone(), crlf.replace("\r\n", "\r"), comments, tight, bom]
}

#[tokio::test]
async fn a_relayed_stream_is_equal_to_the_byte_however_it_is_dressed_and_cut() {
    for endpoint in &ENDPOINTS {
        let Some(stream) = endpoint.stream else { continue };
        let request = format!(r#"{{"model":"asked","stream":true,{}}}"#, endpoint.needed);
        for stream in dressed(stream) {
            for size in [1, 7, 1000, usize::MAX] {
                let script = Script::stream([stream.clone()]).split_every(size);
                let upstream = Upstream::start(vec![script]).await;
                let gateway = gateway(endpoint, &upstream).await;
                let answer = gateway.post(endpoint.path, request.clone()).await;
                assert_eq!(answer.text(), stream, "{} in pieces of {size}", endpoint.path);
            }
        }
    }
}

#[tokio::test]
async fn in_a_stream_of_a_mapped_model_only_its_name_changes() {
    for endpoint in &ENDPOINTS {
        let Some(stream) = endpoint.stream else { continue };
        let at = stream.find("\"model\"").expect("the stream names a model");
        let name = stream[at + 8..].split('"').nth(1).expect("it is a text");
        let request = format!(r#"{{"model":"mapped","stream":true,{}}}"#, endpoint.needed);
        for stream in dressed(stream) {
            for size in [1, 1000] {
                let upstream = Upstream::start(vec![Script::stream([stream.clone()]).split_every(size)]).await;
                let gateway = gateway(endpoint, &upstream).await;
                let answer = gateway.post(endpoint.path, request.clone()).await;
                assert_eq!(answer.text(), stream.replace(name, "mapped"), "{} in pieces of {size}", endpoint.path);
            }
        }
    }
}

#[tokio::test]
async fn usage_nobody_asked_for_is_hidden_and_everything_else_stays() {
    let stream = fixtures::openai_chat::STREAM_USAGE;
    let request = format!(r#"{{"model":"asked","stream":true,{MESSAGES_FIELD}}}"#);
    for stream in dressed(stream) {
        // The usage chunk goes as a whole; the other chunks lose the null that stands for it.
        let end = if stream.contains("\r\n") {
            "\r\n\r\n"
        } else if stream.contains('\r') {
            "\r\r"
        } else {
            "\n\n"
        };
        let shown = |event: &&str| !event.contains("\"usage\":{");
        let expected: String = stream.split_inclusive(end).filter(shown).collect();
        let expected = expected.replace(",\"usage\":null", "");
        assert!(expected.len() < stream.len() - 200, "there was usage to hide");
        let upstream = Upstream::start(vec![Script::stream([stream]).split_every(11)]).await;
        let gateway = gateway(&ENDPOINTS[0], &upstream).await;
        let answer = gateway.post(ENDPOINTS[0].path, request.clone()).await;
        assert_eq!(answer.text(), expected);
    }
}

#[tokio::test]
async fn usage_the_caller_asked_for_is_relayed_to_the_byte() {
    let stream = fixtures::openai_chat::STREAM_USAGE;
    let options = r#""stream":true,"stream_options":{"include_usage":true}"#;
    let request = format!(r#"{{"model":"asked",{options},{MESSAGES_FIELD}}}"#);
    let upstream = Upstream::start(vec![Script::stream(fixtures::events(stream))]).await;
    let gateway = gateway(&ENDPOINTS[0], &upstream).await;
    let answer = gateway.post(ENDPOINTS[0].path, request.clone()).await;
    assert_eq!((answer.text(), upstream.last().text()), (stream, &*request));
}

#[tokio::test]
async fn large_answers_and_large_events_are_relayed_to_the_byte() {
    let vector = "-0.0069292835,".repeat(150_000);
    let plain = fixtures::openai::EMBEDDINGS.replacen("-0.006929283495992422,", &vector, 1);
    assert!(plain.len() > 2_000_000, "it is large");
    let upstream = Upstream::start(vec![Script::reply(200, plain.clone())]).await;
    let embeddings = &ENDPOINTS[4];
    let gateway = gateway(embeddings, &upstream).await;
    let answer = gateway.post(embeddings.path, r#"{"model":"asked","input":"Hi"}"#).await;
    assert!(answer.body == plain.as_bytes(), "the large answer is the same");

    let stream = fixtures::openai_chat::STREAM.replacen("\"Hello\"", &format!("{:?}", "x".repeat(900_000)), 1);
    let upstream = Upstream::start(vec![Script::stream([stream.clone()]).split_every(30_000)]).await;
    let gateway = self::gateway(&ENDPOINTS[0], &upstream).await;
    let request = format!(r#"{{"model":"asked","stream":true,{MESSAGES_FIELD}}}"#);
    let answer = gateway.post(ENDPOINTS[0].path, request).await;
    assert!(answer.body == stream.as_bytes(), "the large event is the same");
}

/// The first letter as an escape: `\u006dodel`.
fn escaped(key: &str) -> String {
    let (first, rest) = key.split_at(1);
    format!("\\u{:04x}{rest}", u32::from(first.as_bytes()[0]))
}

#[tokio::test]
async fn a_second_key_of_those_that_are_read_is_refused_by_name_before_any_upstream_call() {
    for endpoint in &ENDPOINTS {
        let upstream = Upstream::start(vec![]).await;
        let mut gateway = gateway(endpoint, &upstream).await;
        for (key, value) in endpoint.read.iter().chain(&[("model", "\"asked\"")]) {
            for second in [(*key).to_owned(), escaped(key)] {
                let body = match endpoint.needed.contains(&format!("\"{key}\"")) || *key == "model" {
                    true => format!(r#"{{"model":"asked",{},"{second}":{value}}}"#, endpoint.needed),
                    false => format!(r#"{{"model":"asked","{key}":{value},{},"{second}":{value}}}"#, endpoint.needed),
                };
                let answer = gateway.post(endpoint.path, body.clone()).await;
                assert_eq!(answer.status, 400, "{}: {body}", endpoint.path);
                let error = &answer.json()["error"];
                assert!(error["message"].as_str().unwrap().contains(&format!("`{key}`")), "{body}: {error}");
                if endpoint.provider == "openai" {
                    assert_eq!(error["param"], *key, "{body}");
                }
            }
        }
        assert_eq!(upstream.hits(), 0);
        gateway.assert_no_record();
    }
}

#[tokio::test]
async fn a_second_key_deeper_down_is_refused_too() {
    let cases = [
        (0, r#"{"model":"asked","messages":[{"role":"user","rol\u0065":"user","content":"Hi"}]}"#, "messages[0].role"),
        (
            0,
            r#"{"model":"asked","stream":true,"stream_options":{"include_usage":true,"include_usage":false},"messages":[{"role":"user","content":"Hi"}]}"#,
            "stream_options.include_usage",
        ),
        (
            1,
            r#"{"model":"asked","max_tokens":5,"messages":[{"role":"user","role":"user","content":"Hi"}]}"#,
            "messages[0].role",
        ),
    ];
    for (endpoint, body, param) in cases {
        let endpoint = &ENDPOINTS[endpoint];
        let upstream = Upstream::start(vec![]).await;
        let gateway = gateway(endpoint, &upstream).await;
        let answer = gateway.post(endpoint.path, Bytes::from(body)).await;
        assert_eq!((answer.status, upstream.hits()), (400, 0), "{body}");
        assert!(answer.text().contains(param), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_second_key_that_only_translating_reads_is_refused_when_it_is_translated() {
    let body = r#"{"model":"asked","messages":[{"role":"user","name":"a","n\u0061me":"b","content":"Hi"}]}"#;
    let relayed = Upstream::start(vec![Script::reply(200, fixtures::openai_chat::PLAIN)]).await;
    let gateway = gateway(&ENDPOINTS[0], &relayed).await;
    assert_eq!(gateway.post(ENDPOINTS[0].path, body).await.status, 200);
    assert_eq!(relayed.last().text(), body);

    let unused = Upstream::start(vec![]).await;
    let gateway = self::gateway(&ENDPOINTS[1], &unused).await;
    let answer = gateway.post(ENDPOINTS[0].path, body).await;
    assert_eq!((answer.status, unused.hits()), (400, 0), "{}", answer.text());
    assert!(answer.text().contains("messages[0].name"), "{}", answer.text());
}
