//! Rows about the head of an answer: late, broken, contradictory or too large.

use std::time::Duration;

use waypost_testkit::{Script, fixtures};

use super::upstream::{SHORT, fails_over, prove_script};

/// A head with these lines and a body that would be an answer, then FIN.
fn head(lines: &str) -> Script {
    let body = fixtures::openai_chat::PLAIN;
    Script::raw(format!("{lines}\r\n\r\n{body}")).close_silently()
}

#[tokio::test]
async fn header_dribble_ends_at_an_absolute_deadline() {
    let dribble = Script::reply(200, fixtures::openai_chat::PLAIN).trickle(Duration::from_millis(20));
    prove_script("dribble", fails_over(504), SHORT, dribble).await;
}

#[tokio::test]
async fn half_headers_and_a_reset_within() {
    let half = "HTTP/1.1 200 OK\r\ncontent-type: appl";
    prove_script("half a head", fails_over(504), SHORT, Script::raw(half)).await;
    prove_script("closed in the head", fails_over(502), "", Script::raw(half).close_silently()).await;
    prove_script("reset in the head", fails_over(502), "", Script::raw(half).reset_after(1)).await;
}

#[tokio::test]
async fn a_bad_status_line_http_0_9_or_binary() {
    for line in [
        "HTTP/1.1 OK",
        "HTTP/1.1",
        "HTTP/1.1 2xx OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 -200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/9.9 200 OK",
        "http/1.1 200 OK",
        "ICY 200 OK",
        " HTTP/1.1 200 OK",
        "HTTP/1.1 000 Nothing",
        "HTTP/1.1 099 Less",
        "{\"choices\":[]}",
        "<html>words-of-the-upstream</html>",
    ] {
        prove_script(line, fails_over(502), "", head(&format!("{line}\r\ncontent-type: application/json"))).await;
    }
    let binary: Vec<u8> = (0..=255).cycle().take(4096).collect();
    prove_script("binary", fails_over(502), "", Script::raw(binary).close_silently()).await;
    let preface = b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80\x00\x04\x00\x01\x00\x00".to_vec();
    prove_script("HTTP/2 frames", fails_over(502), "", Script::raw(preface).close_silently()).await;
}

#[tokio::test]
async fn a_status_nobody_knows() {
    for status in ["999 words-of-the-upstream", "600 Odd", "799 x"] {
        prove_script(status, fails_over(502), "", head(&format!("HTTP/1.1 {status}\r\ncontent-length: 0"))).await;
    }
}

#[tokio::test]
async fn control_bytes_nul_and_folds_in_headers() {
    for field in [
        "x-a: words\0of",
        "x-a: words\x07of",
        "x-a: words\rof",
        "x-a: one\r\n folded",
        "x a: space",
        "x-a : space",
        ": nameless",
        "no colon",
        "x-\u{e9}: name",
    ] {
        prove_script(field, fails_over(502), "", head(&format!("HTTP/1.1 200 OK\r\n{field}"))).await;
    }
}

#[tokio::test]
async fn a_flood_of_interim_answers_and_an_unexpected_101() {
    let flood = Script::raw("HTTP/1.1 100 Continue\r\n\r\n".repeat(100)).endlessly();
    prove_script("100 for ever", fails_over(502), "", flood).await;
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </words-of-the-upstream>\r\n\r\n".repeat(100);
    prove_script("103 for ever", fails_over(502), "", Script::raw(hints).endlessly()).await;
    let switch = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nwords";
    prove_script("101", fails_over(502), "", Script::raw(switch)).await;
}

#[tokio::test]
async fn interim_answers_before_an_answer_are_skipped() {
    use crate::dialects::{Caller, Upstream};
    let plain = fixtures::openai_chat::PLAIN;
    let head = format!(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\nHTTP/1.1 200 OK\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{plain}",
        plain.len()
    );
    let upstream = waypost_testkit::Upstream::always(Script::raw(head)).await;
    let gateway = super::upstream::alone(&Upstream::Chat.channel("one", &upstream.url(), "")).await;
    for _ in 0..2 {
        let answer = gateway.post("/v1/chat/completions", Caller::Chat.request()).await;
        assert_eq!((answer.status, answer.text(), answer.header("link")), (200, plain, None));
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_header_of_4_mib_or_20_000_headers() {
    let long = format!("HTTP/1.1 200 OK\r\nx-a: {}", "y".repeat(4 << 20));
    prove_script("4 MiB", fails_over(502), "", head(&long)).await;
    let many: String = (0..20_000).map(|number| format!("\r\nx-{number}: y")).collect();
    prove_script("20,000", fails_over(502), "", head(&format!("HTTP/1.1 200 OK{many}"))).await;
    let endless = Script::raw("HTTP/1.1 200 OK\r\nx-a: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy").endlessly();
    prove_script("endless", fails_over(502), "", endless).await;
}

#[tokio::test]
async fn conflicting_or_negative_lengths_and_both_lengths() {
    for fields in [
        "content-length: 2\r\ncontent-length: 3",
        "content-length: 2, 3",
        "content-length: -2",
        "content-length: +2",
        "content-length: 0x10",
        "content-length: 99999999999999999999999",
        "content-length: two",
        "content-length:",
        "content-length: 2\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 2",
    ] {
        let script = head(&format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{fields}"));
        prove_script(fields, fails_over(502), "", script).await;
    }
}
