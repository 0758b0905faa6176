//! Rows about connections: none comes about, nobody reads or answers, it breaks before the head.

use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use waypost_testkit::{ClosedPort, Peer, Script, Upstream as Scripted, fixtures};

use super::upstream::{Faulty, SHORT, fails_over, prove, prove_script};
use crate::dialects::{Caller, Upstream};
use crate::harness::Gateway;

const BANNER: &str = "SSH-2.0-OpenSSH_9.6 words-of-the-upstream\r\n";

#[tokio::test]
async fn refuses() {
    prove("refuses", fails_over(502), "", || async { Faulty::Closed(ClosedPort::take()) }).await;
}

#[tokio::test]
async fn an_ssh_banner() {
    prove("banner", fails_over(502), "", || async { Faulty::Peer(Peer::greeting(BANNER).await) }).await;
}

#[tokio::test]
async fn tls_garbage() {
    for garbage in [BANNER.as_bytes(), b"\x16\x03\x03\xff\xff\x02\x00", b"\x15\x03\x03\x00\x02\x02\x28"] {
        let secure = || async {
            let peer = Peer::greeting(garbage).await;
            Faulty::At(format!("https://{}", peer.address()), peer)
        };
        prove("TLS garbage", fails_over(502), "", secure).await;
    }
}

#[tokio::test]
async fn a_handshake_that_never_answers_ends_with_the_connect_timeout() {
    let silent = || async {
        let peer = Peer::deaf().await;
        Faulty::At(format!("https://{}", peer.address()), peer)
    };
    prove("silent TLS", fails_over(504), SHORT, silent).await;
}

#[tokio::test]
async fn accepts_and_hangs_up() {
    prove("hangs up", fails_over(502), "", || async { Faulty::Peer(Peer::hanging_up().await) }).await;
    prove("resets", fails_over(502), "", || async { Faulty::Peer(Peer::resetting().await) }).await;
}

#[tokio::test]
async fn accepts_and_never_reads_or_answers() {
    prove("deaf", fails_over(504), SHORT, || async { Faulty::Peer(Peer::deaf().await) }).await;
    prove_script("never answers", fails_over(504), SHORT, Script::never_answer()).await;
}

#[tokio::test]
async fn never_reads_a_request_that_no_buffer_holds() {
    let deaf = Peer::deaf().await;
    let gateway = super::upstream::alone(&Upstream::Chat.channel("one", &deaf.url(), SHORT)).await;
    let long = format!(r#""content":"{}""#, "x".repeat(12 << 20));
    let answer =
        gateway.post("/v1/chat/completions", Caller::Chat.request().replace(r#""content":"Hello""#, &long)).await;
    assert_eq!((answer.status, deaf.connections()), (504, 1), "{}", answer.text());
}

#[tokio::test]
async fn a_black_hole_fails_over_within_the_connect_timeout_000_59() {
    // A full accept queue: the kernel drops further handshakes silently.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let hole = socket.listen(0).unwrap();
    let address = hole.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(150), TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
    }
    let healthy = super::upstream::healthy(Upstream::Chat).await;
    // The other timeouts are a minute and more: only the connect timeout can end this in time.
    let channels = [
        Upstream::Chat.channel("one", &format!("http://{address}"), "tier: 1, timeouts: {connect: 200ms},"),
        Upstream::Chat.channel("two", &healthy.url(), "tier: 2,"),
    ];
    let mut gateway = Gateway::with_channels(&channels.concat()).await;
    let answer = gateway.post("/v1/chat/completions", Caller::Chat.request()).await;
    assert_eq!((answer.status, gateway.record().await.attempts), (200, 2));
}

#[tokio::test]
async fn fin_or_rst_before_headers_on_a_pooled_connection_is_served_by_another_without_notice() {
    for cut in [Script::cut_before_answer(), Script::reset_before_answer()] {
        let ok = || Script::reply(200, fixtures::openai_chat::PLAIN);
        let upstream = Scripted::start(vec![ok(), cut, ok(), ok()]).await;
        let mut gateway = super::upstream::alone(&Upstream::Chat.channel("one", &upstream.url(), "")).await;
        for _ in 0..3 {
            let answer = gateway.post("/v1/chat/completions", Caller::Chat.request()).await;
            assert_eq!((answer.status, answer.text()), (200, fixtures::openai_chat::PLAIN));
            assert_eq!(gateway.record().await.attempts, 1, "the repeat is the pool's own affair");
        }
        assert_eq!((upstream.hits(), upstream.connections()), (4, 2));
    }
}

#[tokio::test]
async fn a_pooled_connection_closed_while_idle_is_replaced() {
    let upstream = Scripted::always(Script::reply(200, fixtures::openai_chat::PLAIN).close_silently()).await;
    let gateway = super::upstream::alone(&Upstream::Chat.channel("one", &upstream.url(), "")).await;
    for _ in 0..5 {
        assert_eq!(gateway.post("/v1/chat/completions", Caller::Chat.request()).await.status, 200);
    }
    assert_eq!((upstream.hits(), upstream.connections()), (5, 5));
}

#[tokio::test]
async fn fin_or_rst_twice_is_a_failure_and_not_tried_for_ever() {
    let ok = Script::reply(200, fixtures::openai_chat::PLAIN);
    let upstream = Scripted::start(vec![ok, Script::cut_before_answer(), Script::cut_before_answer()]).await;
    let gateway = super::upstream::alone(&Upstream::Chat.channel("one", &upstream.url(), "")).await;
    assert_eq!(gateway.post("/v1/chat/completions", Caller::Chat.request()).await.status, 200);
    assert_eq!(gateway.post("/v1/chat/completions", Caller::Chat.request()).await.status, 502);
    assert_eq!(upstream.hits(), 3);
}

#[tokio::test]
async fn a_hundred_chats_in_a_row_share_a_connection_000_57_58() {
    for upstream in Upstream::ALL {
        let scripted = super::upstream::healthy(upstream).await;
        let gateway = Gateway::with_channels(&upstream.channel("one", &scripted.url(), "")).await;
        for turn in 0..100 {
            let body = super::upstream::request(Caller::Chat, turn % 2 == 1);
            let answer = gateway.post("/v1/chat/completions", body).await;
            assert_eq!(answer.status, 200, "{upstream:?}");
        }
        assert!(scripted.connections() <= 2, "{upstream:?}: {} connections", scripted.connections());
    }
}
