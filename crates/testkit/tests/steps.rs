//! Each step of a script, seen from the other end of a socket.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use waypost_testkit::{Answer, Client, ClosedPort, Ended, Gate, Recorded, Request, Script, Upstream};

const TICK: Duration = Duration::from_millis(15);

fn post() -> Request {
    Request::post("/v1/chat/completions", r#"{"model":"m"}"#)
}

/// Sends one request to a script and gives every byte that came before the upstream closed.
async fn wire(script: Script) -> String {
    let upstream = Upstream::start(vec![script]).await;
    let mut client = Client::connect(&upstream.url()).await;
    client.write(&post().to_bytes("x")).await.unwrap();
    let (bytes, ended) = client.read_raw().await;
    ended.unwrap();
    String::from_utf8(bytes).unwrap()
}

async fn answer(script: Script) -> Answer {
    let upstream = Upstream::start(vec![script]).await;
    post().send(&upstream.url()).await
}

fn panic_of(upstream: Upstream) -> String {
    let panicked = catch_unwind(AssertUnwindSafe(|| drop(upstream))).unwrap_err();
    *panicked.downcast::<String>().unwrap()
}

#[tokio::test]
async fn a_reply_is_exactly_these_bytes() {
    let seen = wire(Script::reply(429, "{}").header("Retry-After", "7").close_silently()).await;
    assert_eq!(
        seen,
        "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\ncontent-length: 2\r\nRetry-After: 7\r\n\r\n{}"
    );
}

#[tokio::test]
async fn a_content_type_replaces_the_default_one() {
    let answer = answer(Script::reply(200, "<html>").header("Content-Type", "text/html")).await;
    assert_eq!(answer.headers.all("content-type").collect::<Vec<_>>(), ["text/html"]);
}

#[tokio::test]
async fn a_reply_without_a_body_is_whole() {
    let answer = answer(Script::reply(503, "")).await;
    assert_eq!((answer.status, answer.body.len(), answer.ended), (503, 0, Ended::Whole));
}

#[tokio::test]
async fn a_stream_is_one_chunk_for_each_piece() {
    let seen = wire(Script::stream(["data: a\n\n", "data: [DONE]\n\n"]).close_after()).await;
    assert_eq!(
        seen,
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
         9\r\ndata: a\n\n\r\ne\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
    );
}

#[tokio::test]
async fn a_body_is_cut_anew_into_pieces_that_ignore_events_and_characters() {
    let upstream = Upstream::always(Script::stream(["data: é\n\n", "data: b\n\n"]).split_every(7)).await;
    let mut live = post().open(&upstream.url()).await;

    let mut sizes = vec![];
    while let Some(piece) = live.next().await {
        sizes.push(piece.what.len());
    }
    assert_eq!(sizes, [7, 7, 5]);
    assert_eq!(live.ended(), Some(&Ended::Whole));
}

#[tokio::test]
async fn a_gate_holds_each_piece_back_until_the_test_lets_it_pass() {
    let gate = Gate::closed();
    let upstream = Upstream::always(Script::stream(["data: a\n\n", "data: b\n\n"]).gated(&gate)).await;
    let mut live = post().open(&upstream.url()).await;

    gate.pass(1);
    assert_eq!(live.next_event().await.unwrap().what.data, "a");
    let early = tokio::time::timeout(TICK, live.next_event()).await;
    assert!(early.is_err(), "the second piece came through a closed gate");
    gate.pass(1);
    assert_eq!(live.next_event().await.unwrap().what.data, "b");
    assert!(live.next_event().await.is_none());
}

#[tokio::test]
async fn delay_and_gaps_are_at_least_as_long_as_scripted() {
    let script = Script::stream(["data: a\n\n", "data: b\n\n", "data: c\n\n"]).delay(TICK).gap(TICK);
    let upstream = Upstream::always(script).await;
    let mut client = Client::connect(&upstream.url()).await;
    client.write(&post().to_bytes("x")).await.unwrap();
    let asked = upstream.wait_hits(1).await[0].received_at;

    let answer = client.answer().await.unwrap();

    assert_eq!(answer.events().len(), 3);
    assert!(asked.elapsed() >= TICK * 3, "a delay and two gaps took {:?}", asked.elapsed());
}

#[tokio::test]
async fn a_trickle_pauses_after_each_byte_and_loses_none() {
    let upstream =
        Upstream::always(Script::raw("HTTP/1.1 200 OK\r\n\r\nab").trickle(Duration::from_millis(1)).close_silently())
            .await;
    let began = Instant::now();

    let answer = post().send(&upstream.url()).await;

    assert_eq!(answer.text(), "ab");
    assert!(began.elapsed() >= Duration::from_millis(21));
}

#[tokio::test]
async fn stalling_keeps_the_socket_open_until_the_peer_leaves() {
    let upstream = Upstream::always(Script::stream(["data: a\n\n", "data: b\n\n"]).stall_after(1)).await;
    let mut live = post().open(&upstream.url()).await;
    assert_eq!(live.next_event().await.unwrap().what.data, "a");
    assert!(tokio::time::timeout(TICK, live.next()).await.is_err(), "a stalled stream went on or ended");
    assert_eq!(upstream.abandoned(), []);

    let left = Instant::now();
    live.hang_up();

    let abandoned = upstream.wait_aborted(1).await;
    assert_eq!(abandoned[0].request, 0);
    assert!(abandoned[0].at >= left);
}

#[tokio::test]
async fn a_peer_that_leaves_between_two_pieces_is_seen_at_once() {
    let script = Script::stream(["data: a\n\n", "data: b\n\n"]).gap(Duration::from_secs(3600));
    let upstream = Upstream::always(script).await;
    let mut live = post().open(&upstream.url()).await;
    live.next_event().await.unwrap();
    live.reset();
    assert_eq!(upstream.wait_aborted(1).await.len(), 1);
}

#[tokio::test]
async fn never_answering_ends_when_the_peer_leaves() {
    let upstream = Upstream::start(vec![Script::never_answer()]).await;
    let mut client = Client::connect(&upstream.url()).await;
    client.write(&post().to_bytes("x")).await.unwrap();
    assert_eq!(upstream.wait_hits(1).await.len(), 1);
    client.hang_up();
    assert_eq!(upstream.wait_aborted(1).await.len(), 1);
}

#[tokio::test]
async fn silence_ends_when_the_upstream_is_dropped() {
    let upstream = Upstream::start(vec![Script::never_answer()]).await;
    let mut client = Client::connect(&upstream.url()).await;
    client.write(&post().to_bytes("x")).await.unwrap();
    upstream.wait_hits(1).await;
    let url = upstream.url();

    drop(upstream);

    assert!(client.answer().await.is_err());
    assert!(Client::try_connect(&url).await.is_err(), "nothing listens any more");
}

#[tokio::test]
async fn a_cut_is_a_fin_without_the_last_chunk() {
    let seen = wire(Script::stream(["data: a\n\n", "data: b\n\n"]).cut_after(1)).await;
    assert!(seen.ends_with("\r\n\r\n9\r\ndata: a\n\n\r\n"), "{seen:?}");

    let answer = answer(Script::stream(["data: a\n\n"]).cut_after(1)).await;
    assert_eq!(answer.ended, Ended::Cut(std::io::ErrorKind::UnexpectedEof));
    assert_eq!(answer.body, "data: a\n\n");
}

#[tokio::test]
async fn a_reply_can_be_cut_anywhere_in_its_body() {
    let answer = answer(Script::reply(200, r#"{"id":1}"#).split_every(3).cut_after(2)).await;
    assert_eq!(answer.body, r#"{"id":"#);
    assert_eq!(answer.ended, Ended::Cut(std::io::ErrorKind::UnexpectedEof));
}

#[tokio::test]
async fn a_reset_is_a_rst_after_the_pieces() {
    let answer = answer(Script::stream(["data: a\n\n", "data: b\n\n"]).reset_after(1)).await;
    assert_eq!(answer.body, "data: a\n\n");
    assert_eq!(answer.ended, Ended::Cut(std::io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_reset_before_the_answer_leaves_nothing_to_read() {
    let upstream = Upstream::start(vec![Script::reset_before_answer()]).await;
    let mut client = Client::connect(&upstream.url()).await;
    let error = client.try_send(&post()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(upstream.hits(), 1);
}

#[tokio::test]
async fn a_close_before_the_answer_leaves_nothing_to_read() {
    assert_eq!(wire(Script::cut_before_answer()).await, "");
}

#[tokio::test]
async fn a_cut_in_the_head_never_reaches_its_blank_line() {
    let seen = wire(Script::reply(200, "{}").cut_in_head()).await;
    assert!(seen.starts_with("HTTP/1.1 200 OK\r\n"), "{seen:?}");
    assert!(!seen.contains("\r\n\r\n"), "{seen:?}");
}

#[tokio::test]
async fn raw_bytes_are_sent_as_they_are() {
    assert_eq!(wire(Script::raw("HTTP/9 what\r\n\r\n").close_silently()).await, "HTTP/9 what\r\n\r\n");
}

#[tokio::test]
async fn an_announced_length_can_be_wrong_either_way() {
    let long = answer(Script::reply(200, "four").wrong_length(3).close_silently()).await;
    assert_eq!(long.header("content-length"), Some("7"));
    assert_eq!((long.text(), long.ended.clone()), ("four", Ended::Cut(std::io::ErrorKind::UnexpectedEof)));

    let short = answer(Script::reply(200, "four").wrong_length(-1)).await;
    assert_eq!((short.text(), short.ended.clone()), ("fou", Ended::Whole));
}

#[tokio::test]
async fn leftover_bytes_follow_a_kept_connection() {
    let upstream =
        Upstream::start(vec![Script::reply(200, "{}").leftover("HTTP/1.1 500 \r\ncontent-length: 0\r\n\r\n")]).await;
    let mut client = Client::connect(&upstream.url()).await;
    assert_eq!(client.send(&post()).await.status, 200);
    assert_eq!(client.answer().await.unwrap().status, 500);
}

#[tokio::test]
async fn a_connection_is_kept_and_counted() {
    let upstream = Upstream::start(vec![
        Script::reply(200, "1"),
        Script::stream(["2"]),
        Script::reply(200, "3").close_after(),
        Script::reply(200, "4"),
    ])
    .await;
    let mut client = Client::connect(&upstream.url()).await;
    let mut seen = vec![];
    for _ in 0..3 {
        seen.push(client.send(&post()).await.body);
    }
    assert!(client.try_send(&post()).await.is_err(), "the third answer closed the connection");
    seen.push(post().send(&upstream.url()).await.body);

    assert_eq!(seen, ["1", "2", "3", "4"]);
    assert_eq!(upstream.connections(), 2);
    let connections: Vec<usize> = upstream.requests().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 0, 0, 1]);
}

#[tokio::test]
async fn a_request_is_recorded_as_it_was_sent() {
    let upstream = Upstream::always(Script::reply(200, "{}")).await;
    let request = Request::post("/v1/x?b=2&a=1", r#"{"n": 1.0}"#).header("X-Odd-Case", "1").header("x-odd-case", "2");
    request.send(&upstream.url()).await;

    let seen = upstream.last();
    assert_eq!((seen.method.as_str(), seen.path_and_query.as_str()), ("POST", "/v1/x?b=2&a=1"));
    assert_eq!(seen.text(), r#"{"n": 1.0}"#);
    let names: Vec<&str> = seen.headers.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["host", "content-length", "content-type", "X-Odd-Case", "x-odd-case"]);
}

#[tokio::test]
async fn a_chooser_decides_for_each_request() {
    let by_path = |request: &Recorded| match request.path() {
        "/v1/models" => Script::reply(200, "models"),
        _ => Script::reply(404, ""),
    };
    let upstream = Upstream::by(by_path).await;
    let mut client = Client::connect(&upstream.url()).await;
    assert_eq!(client.send(&Request::get("/v1/models")).await.text(), "models");
    assert_eq!(client.send(&Request::get("/v1/other")).await.status, 404);
}

#[tokio::test]
async fn a_peer_that_sends_no_whole_request_is_no_hit() {
    let upstream = Upstream::start(vec![]).await;
    let mut client = Client::connect(&upstream.url()).await;
    client.write(b"POST /v1/files HTTP/1.1\r\ncontent-length: 10\r\n\r\nhal").await.unwrap();
    client.finish_sending().await.unwrap();
    assert_eq!(client.read_raw().await.0, b"");
    assert_eq!((upstream.hits(), upstream.connections()), (0, 1));
}

#[tokio::test]
async fn dropping_an_upstream_with_unused_scripts_fails_the_test() {
    let upstream = Upstream::start(vec![Script::reply(200, "{}"), Script::reply(500, "{}")]).await;
    post().send(&upstream.url()).await;
    assert_eq!(panic_of(upstream), "scripted reply unused: 1 of them are left");
}

#[tokio::test]
async fn a_request_nobody_scripted_fails_the_test() {
    let upstream = Upstream::start(vec![]).await;
    assert_eq!(post().send(&upstream.url()).await.status, 501);
    assert!(panic_of(upstream).contains("no script is left, for POST /v1/chat/completions"));
}

#[tokio::test]
async fn a_script_that_breaks_off_behind_its_end_fails_the_test() {
    let upstream = Upstream::always(Script::stream(["a"]).cut_after(2)).await;
    assert_eq!(post().send(&upstream.url()).await.status, 501);
    assert!(panic_of(upstream).contains("a script of 1 pieces cannot break off after 2"));
}

#[tokio::test]
async fn a_chooser_that_panics_fails_the_test() {
    let upstream = Upstream::by(|request| panic!("unexpected {}", request.path())).await;
    assert_eq!(post().send(&upstream.url()).await.status, 501);
    assert!(panic_of(upstream).contains("the chooser panicked: unexpected /v1/chat/completions"));
}

#[tokio::test]
async fn bytes_that_are_no_request_fail_the_test() {
    let upstream = Upstream::start(vec![]).await;
    let mut client = Client::connect(&upstream.url()).await;
    client.write(b"SSH-2.0-x\r\n\r\n").await.unwrap();
    assert_eq!(client.read_raw().await.0, b"");
    assert!(panic_of(upstream).contains("not an HTTP/1.1 request line"));
}

#[tokio::test]
async fn a_closed_port_refuses_connections() {
    let closed = ClosedPort::take();
    let error = Client::try_connect(&closed.url()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}
