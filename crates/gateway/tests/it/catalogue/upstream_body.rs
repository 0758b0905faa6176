//! Rows about the body of a whole answer: its framing, its coding, its size and what it says.

use std::time::Duration;

use waypost_core::usage::Outcome;
use waypost_testkit::{Script, Upstream as Scripted, fixtures};

use super::upstream::{SHORT, alone, assert_clean, fails_over, healthy, prove_script, stops};
use crate::dialects::{Caller, Upstream};
use crate::harness::Gateway;

const PLAIN: &str = fixtures::openai_chat::PLAIN;

/// A chunked answer whose chunks are these bytes.
fn chunked(bytes: impl AsRef<[u8]>) -> Script {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    Script::raw([head, bytes.as_ref()].concat()).close_silently()
}

#[tokio::test]
async fn bad_chunks() {
    for chunks in [
        "zz\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}xx\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}\r\n",
        "2\r\n{",
        "\r\n\r\n",
        "",
    ] {
        prove_script(chunks, fails_over(502), "", chunked(chunks)).await;
    }
}

#[tokio::test]
async fn a_body_longer_than_its_length_never_reaches_the_next_request() {
    let smuggled = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{}", 22, r#"{"words-of-the-upstrea"#);
    for script in [
        Script::reply(200, PLAIN).leftover(smuggled.clone()),
        Script::reply(200, PLAIN).leftover("x"),
        Script::stream([PLAIN]).header("content-type", "application/json").leftover(smuggled),
    ] {
        let upstream = Scripted::always(script).await;
        let mut gateway = alone(&Upstream::Chat.channel("one", &upstream.url(), "")).await;
        for _ in 0..4 {
            let answer = gateway.post("/v1/chat/completions", Caller::Chat.request()).await;
            assert_eq!((answer.status, answer.text()), (200, PLAIN));
            assert_eq!(gateway.record().await.outcome, Outcome::Complete);
        }
        assert_eq!(upstream.hits(), 4);
    }
}

#[tokio::test]
async fn a_body_shorter_than_its_length_or_half_and_then_nothing() {
    let half = || Script::reply(200, PLAIN).split_every(PLAIN.len() / 2 + 1);
    prove_script("shorter", fails_over(502), "", Script::reply(200, PLAIN).wrong_length(9).close_silently()).await;
    prove_script("half, FIN", fails_over(502), "", half().cut_after(1)).await;
    prove_script("half, RST", fails_over(502), "", half().reset_after(1)).await;
    // Silence needs a reader: in the pairs that ask for a stream, JSON is no answer before it begins.
    for script in [half().stall_after(1), Script::reply(200, PLAIN).wrong_length(1)] {
        let (upstream, second) = (Scripted::always(script).await, healthy(Upstream::Chat).await);
        let gateway = alone(&Upstream::Chat.channel("one", &upstream.url(), SHORT)).await;
        let answer = gateway.post("/v1/chat/completions", Caller::Chat.request()).await;
        assert_eq!(answer.status, 504, "{}", answer.text());
        let channels = [
            Upstream::Chat.channel("one", &upstream.url(), &format!("tier: 1, {SHORT}")),
            Upstream::Chat.channel("two", &second.url(), "tier: 2,"),
        ];
        let mut gateway = Gateway::with_channels(&channels.concat()).await;
        assert_eq!(gateway.post("/v1/chat/completions", Caller::Chat.request()).await.status, 200);
        assert_eq!(gateway.record().await.attempts, 2);
    }
}

#[tokio::test]
async fn a_drip_body_ends_at_the_total_deadline_and_there_is_no_time_for_another() {
    let drip = Script::reply(200, PLAIN).split_every(1).gap(Duration::from_millis(30));
    let (upstream, second) = (Scripted::always(drip).await, Scripted::start(vec![]).await);
    let total = "tier: 1, timeouts: {idle: 5s, total: 300ms},";
    let channels = [
        Upstream::Chat.channel("one", &upstream.url(), total),
        Upstream::Chat.channel("two", &second.url(), "tier: 2,"),
    ];
    let mut gateway = Gateway::with_channels(&channels.concat()).await;
    let answer = gateway.post("/v1/chat/completions", Caller::Chat.request()).await;
    assert_eq!((answer.status, second.hits()), (504, 0), "{}", answer.text());
    let record = gateway.record().await;
    assert_eq!((record.outcome, record.usage.output), (Outcome::Failed, None));
}

/// `{}` and a kilobyte of spaces, compressed with gzip and cut in the middle, so that no decoder can do anything with it.
const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xed\xc1\x81\x00\x00\x00\x00\x80\x90\xfe\xaf\xee\x08\x0a";

#[tokio::test]
async fn an_encoded_answer_that_nobody_asked_for_is_unreadable() {
    for (coding, body) in [
        ("gzip", GZIP.to_vec()),
        ("gzip, gzip", GZIP.to_vec()),
        ("gzip", GZIP[..12].to_vec()),
        ("br", b"\x1b\xff\xff\xff\x8f\xff".to_vec()),
        ("zstd", b"\x28\xb5\x2f\xfd\x04\x00".to_vec()),
        ("words-of-the-upstream", b"\x00\x01".to_vec()),
        // Says nothing of it.
        ("identity", GZIP.to_vec()),
    ] {
        for content_type in ["application/json", "text/event-stream"] {
            let script = Script::reply(200, body.clone()).header("content-type", content_type);
            let what = format!("{coding} in {content_type}");
            prove_script(&what, fails_over(502), "", script.header("content-encoding", coding)).await;
        }
    }
}

#[tokio::test]
async fn a_gzip_bomb_is_never_inflated() {
    let bomb = Script::stream([GZIP.repeat(512)]).header("content-type", "application/json");
    let bomb = bomb.header("content-encoding", "gzip").endlessly();
    let upstream = Scripted::always(bomb).await;
    let gateway = alone(&Upstream::Chat.channel("one", &upstream.url(), "")).await;
    let answer = gateway.post("/v1/chat/completions", Caller::Chat.request()).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_clean(&answer, "a bomb");
}

#[tokio::test]
async fn we_ask_every_upstream_for_identity() {
    for upstream in Upstream::ALL {
        let scripted = healthy(upstream).await;
        let gateway = alone(&upstream.channel("one", &scripted.url(), "")).await;
        for caller in Caller::ALL {
            let asked = waypost_testkit::Request::post(caller.path(), caller.request()).bearer(crate::harness::KEY);
            assert_eq!(asked.header("accept-encoding", "gzip, br").send(gateway.url()).await.status, 200);
            assert_eq!(scripted.last().header("accept-encoding"), Some("identity"), "{caller:?} over {upstream:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_lies_about_its_coding_is_taken_for_what_it_is() {
    let upstream = Scripted::always(Script::reply(200, PLAIN).header("content-encoding", "gzip")).await;
    let gateway = alone(&Upstream::Chat.channel("one", &upstream.url(), "")).await;
    let answer = gateway.post("/v1/chat/completions", Caller::Chat.request()).await;
    assert_eq!((answer.status, answer.text(), answer.header("content-encoding")), (200, PLAIN, None));
}

#[tokio::test]
async fn json_of_256_mib_by_its_own_word_is_refused_unread() {
    // Declared only: reading it would take the idle timeout.
    let declared = Script::raw(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 268435456\r\n\r\n{\"choices\":[",
    );
    let (upstream, second) = (Scripted::always(declared).await, Scripted::start(vec![]).await);
    let channels = [
        Upstream::Chat.channel("one", &upstream.url(), "tier: 1,"),
        Upstream::Chat.channel("two", &second.url(), "tier: 2,"),
    ];
    let mut gateway = Gateway::with_channels(&channels.concat()).await;
    let answer = gateway.post("/v1/chat/completions", Caller::Chat.request()).await;
    assert_eq!((answer.status, second.hits()), (502, 0), "{}", answer.text());
    assert_eq!(gateway.record().await.usage.output, None);
}

#[tokio::test]
async fn endless_json_is_cut_at_32_mib_and_no_other_is_asked() {
    let piece = format!("\"{}\",", "x".repeat(1 << 20));
    let endless = Script::stream(["[".to_owned(), piece]).header("content-type", "application/json").endlessly();
    let (upstream, second) = (Scripted::always(endless).await, Scripted::start(vec![]).await);
    let channels = [
        Upstream::Chat.channel("one", &upstream.url(), "tier: 1,"),
        Upstream::Chat.channel("two", &second.url(), "tier: 2,"),
    ];
    let gateway = Gateway::with_channels(&channels.concat()).await;
    let answer = gateway.post("/v1/chat/completions", Caller::Chat.request()).await;
    assert_eq!((answer.status, second.hits()), (502, 0), "{}", answer.text());
    upstream.wait_aborted(1).await;
}

#[tokio::test]
async fn truncated_empty_html_array_deep_or_non_utf8_json() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_object = format!(r#"{{"choices":{deep}}}"#);
    let mut latin = PLAIN.as_bytes().to_vec();
    let letter = latin.iter().position(|byte| *byte == b'H').unwrap();
    latin[letter] = 0xe9;
    let bodies: [&[u8]; 16] = [
        b"",
        b" ",
        &PLAIN.as_bytes()[..PLAIN.len() / 3],
        b"<html><body>words-of-the-upstream</body></html>",
        b"words-of-the-upstream",
        b"[]",
        b"[{\"choices\":[]}]",
        b"null",
        b"\"words-of-the-upstream\"",
        b"17",
        b"{}",
        b"{\"choices\":[]}",
        b"{\"words-of-the-upstream\":1}",
        deep.as_bytes(),
        deep_object.as_bytes(),
        &latin,
    ];
    for body in bodies {
        let what = String::from_utf8_lossy(body).chars().take(40).collect::<String>();
        prove_script(&what, fails_over(502), "", Script::reply(200, body.to_vec())).await;
    }
}

#[tokio::test]
async fn an_error_inside_200() {
    for error in [
        r#"{"error":{"message":"words-of-the-upstream sk-secret-one","type":"server_error","code":null}}"#,
        r#"{"error":{"message":"words-of-the-upstream","code":503,"status":"UNAVAILABLE"}}"#,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"words-of-the-upstream"}}"#,
        r#"{"error":"words-of-the-upstream"}"#,
        r#"{"error":{}}"#,
    ] {
        prove_script(error, fails_over(502), "", Script::reply(200, error)).await;
    }
    let wrong = r#"{"error":{"message":"No.","type":"invalid_request_error","code":"400"}}"#;
    for (caller, upstream) in [(Caller::Chat, Upstream::Chat), (Caller::Messages, Upstream::Chat)] {
        let (strict, second) = (Scripted::always(Script::reply(200, wrong)).await, Scripted::start(vec![]).await);
        let channels =
            [upstream.channel("one", &strict.url(), "tier: 1,"), upstream.channel("two", &second.url(), "tier: 2,")];
        let gateway = Gateway::with_channels(&channels.concat()).await;
        assert_eq!(gateway.post(caller.path(), caller.request()).await.status, stops(400).status);
    }
}

#[tokio::test]
async fn wrong_types_and_missing_choices_are_refused_or_passed_but_never_a_panic() {
    let whole = |choices: &str| {
        format!(
            r#"{{"id":"c","object":"chat.completion","created":1,"model":"m","choices":{choices},"usage":{{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}}}"#
        )
    };
    let choice = |message: &str| format!(r#"[{{"index":0,"message":{message},"finish_reason":"stop"}}]"#);
    let refused = [whole("null"), whole("{}"), whole("\"one\""), whole("[]"), whole("[ ]")];
    let odd = [
        whole("[null]"),
        whole("[1]"),
        whole(r#"[{"index":0,"finish_reason":"stop"}]"#),
        whole(&choice("null")),
        whole(&choice("\"text\"")),
        whole(&choice(r#"{"role":"assistant","content":17}"#)),
        whole(&choice(r#"{"role":7,"content":"Hello"}"#)),
        whole(&choice(r#"{"content":null}"#)),
        whole(&choice(r#"{"role":"assistant","content":"Hello","tool_calls":{"a":1}}"#)),
        whole(&choice(r#"{"role":"assistant","content":"Hello","tool_calls":[{"id":1,"function":[]}]}"#)),
        whole(r#"[{"index":"a","message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}]"#),
        whole(r#"[{"index":-1,"message":{"role":"assistant","content":"Hello"},"finish_reason":9}]"#),
    ];
    for (body, may_pass) in refused.iter().map(|body| (body, false)).chain(odd.iter().map(|body| (body, true))) {
        for caller in Caller::ALL {
            let upstream = Scripted::always(Script::reply(200, body.clone())).await;
            let mut gateway = alone(&Upstream::Chat.channel("one", &upstream.url(), "")).await;
            let answer = gateway.post(caller.path(), caller.request()).await;
            let record = gateway.record().await;
            let story = format!("{caller:?}: {body}: {}", answer.text());
            assert!(answer.status == 502 || may_pass && answer.status == 200, "{story}");
            let expected = if answer.status == 200 { Outcome::Complete } else { Outcome::Failed };
            assert_eq!((record.outcome, record.status), (expected, answer.status), "{story}");
        }
    }
}
