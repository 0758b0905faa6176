//! HTTP/2 abuse: floods and bombs end in GOAWAY or in bounded work, and the others are served.

use std::sync::atomic::Ordering;

use tokio::time::timeout;
use waypost_gateway::serve::Limits;
use waypost_testkit::{Script, Upstream, fixtures};

use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    field, frame, head, kept_field,
};
use super::{CHAT, PATIENCE, SHORT, assert_serves, before, front, pour};
use crate::harness::{Gateway, KEY, channel};

/// Whoever asks for nothing is closed soon.
fn hasty() -> Limits {
    Limits {
        head_timeout: SHORT,
        body_idle_timeout: SHORT,
        body_grace: SHORT,
        write_timeout: SHORT,
        keep_alive_idle: Some(SHORT),
        ..Limits::default()
    }
}

/// The abuse is over, nothing is left of it, and others are served.
async fn assert_over(gateway: &Gateway) {
    gateway.wait_empty().await;
    assert_serves(gateway).await;
}

fn request(stream: u32, body: &[u8]) -> Vec<u8> {
    [frame(HEADERS, END_HEADERS, stream, &head()), frame(DATA, END_STREAM, stream, body)].concat()
}

#[tokio::test]
async fn the_frames_of_these_tests_make_requests_that_are_answered() {
    let (upstream, gateway) = front(Limits::default()).await;
    let mut frames = Frames::open(&gateway).await;
    assert!(frames.flood([request(1, CHAT.as_bytes())]).await);
    let mut answered = false;
    while !answered {
        let came = frames.next().await.expect("it answers");
        answered = came.kind == HEADERS && came.stream == 1;
    }
    assert_eq!(upstream.hits(), 1);
}

#[tokio::test]
async fn rapid_reset_ends_in_goaway_and_its_upstream_calls_are_bounded() {
    let upstream = Upstream::by(|request| {
        if request.text().contains("Hi") {
            Script::reply(200, fixtures::openai_chat::PLAIN)
        } else {
            Script::never_answer()
        }
    })
    .await;
    let mut gateway = before(&upstream, hasty()).await;
    let body = CHAT.replace("Hi", "reset");
    let resets = (0..10_000_u32).map(|n| {
        let stream = n * 2 + 1;
        [request(stream, body.as_bytes()), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    });
    let mut frames = Frames::open(&gateway).await;
    let took_all = frames.flood(resets).await;
    let blamed = frames.blamed().await;
    assert!(!took_all || blamed, "10,000 resets were taken without a word");
    gateway.wait_empty().await;
    // Each call that was made has its record, and there were no more than could be open beside each other a few times.
    let calls = upstream.hits();
    assert!(calls <= 1000, "{calls} calls");
    for _ in 0..calls {
        gateway.record().await;
    }
    assert_serves(&gateway).await;
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused_and_the_allowed_ones_go_on() {
    let upstream = Upstream::always(Script::never_answer()).await;
    let gateway = before(&upstream, Limits { h2_max_streams: 5, ..Limits::default() }).await;
    let mut frames = Frames::open(&gateway).await;
    assert!(frames.flood((0..8_u32).map(|n| request(n * 2 + 1, CHAT.as_bytes()))).await);
    let mut refused = std::collections::BTreeSet::new();
    while refused.len() < 3 {
        let came = frames.next().await.expect("the connection lives");
        assert_ne!(came.kind, GOAWAY);
        if came.kind == RST_STREAM {
            // REFUSED_STREAM: it may be tried again elsewhere.
            assert_eq!(came.payload, 7_u32.to_be_bytes());
            refused.insert(came.stream);
        }
    }
    assert_eq!(refused.into_iter().collect::<Vec<_>>(), [11, 13, 15]);
    assert_eq!(upstream.wait_hits(5).await.len(), 5);
}

#[tokio::test]
async fn floods_of_settings_and_pings_are_bounded_work_and_end() {
    let (_upstream, gateway) = front(hasty()).await;
    let settings = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100].repeat(10));
    let ping = frame(PING, 0, 0, b"12345678");
    for flood in [&settings, &ping] {
        // Read or unread, both end.
        let mut frames = Frames::open(&gateway).await;
        frames.flood(std::iter::repeat_n(flood.clone(), 20_000)).await;
        frames.blamed().await;
        let mut unread = super::connect(&gateway).await;
        pour(&mut unread, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 1).await;
        pour(&mut unread, &frame(SETTINGS, 0, 0, &[]), 1).await;
        pour(&mut unread, &flood.repeat(1000), 20_000).await;
        assert_over(&gateway).await;
    }
}

#[tokio::test]
async fn a_stream_whose_window_is_never_opened_is_cut_and_its_upstream_let_go() {
    let (url, taken, end) = super::slow::endless().await;
    let yaml = format!("keys: [{{name: test, key: {KEY}}}]\nchannels:\n{}", channel("main", "openai", &url, "['*']"));
    let gateway = Gateway::start_with(&yaml, Limits { keep_alive_idle: None, ..hasty() }).await;
    let mut frames = Frames::open(&gateway).await;
    let body = CHAT.replacen('{', r#"{"stream":true,"#, 1);
    let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    assert!(frames.flood([no_window, request(1, body.as_bytes())]).await);
    // It answers pings all the while, as far as anybody can tell it is alive.
    frames.blamed().await;
    timeout(PATIENCE, end).await.expect("the upstream is let go").unwrap();
    let taken = taken.load(Ordering::Relaxed);
    assert!(taken < 32 << 20, "{taken} bytes were taken");
    gateway.wait_empty().await;
}

#[tokio::test]
async fn a_head_without_end_is_cut() {
    let (upstream, gateway) = front(hasty()).await;
    let piece = field("x-a", &"y".repeat(1000)).repeat(15);
    let begin = frame(HEADERS, END_STREAM, 1, &head());
    let mut frames = Frames::open(&gateway).await;
    let flood = std::iter::once(begin.clone()).chain(std::iter::repeat_n(frame(CONTINUATION, 0, 1, &piece), 10_000));
    assert!(!frames.flood(flood).await, "150 MB of one head were taken");
    // Empty ones cost nothing but time.
    let mut frames = Frames::open(&gateway).await;
    let flood = std::iter::once(begin.clone()).chain(std::iter::repeat_n(frame(CONTINUATION, 0, 1, &[]), 100_000));
    frames.flood(flood).await;
    frames.blamed().await;
    // And one that stops in the middle has the time of any head.
    let mut frames = Frames::open(&gateway).await;
    frames.flood([begin]).await;
    frames.blamed().await;
    assert_over(&gateway).await;
    assert_eq!(upstream.hits(), 1, "only the one of others");
}

#[tokio::test]
async fn a_head_that_is_too_large_or_unfolds_is_refused() {
    let (upstream, gateway) = front(hasty()).await;
    let many: Vec<u8> = (0..4000).flat_map(|n| field(&format!("x-{n}"), "y")).collect();
    let large = field("x-a", &"y".repeat(15_000)).repeat(5);
    // One field kept in the table, then named ten thousand times in a byte each: 40 MB in 14 KB.
    let bomb = [kept_field("x-bomb", &"y".repeat(4000)), vec![0x80 | 62; 10_000]].concat();
    for fields in [many, large, bomb] {
        let block = [head(), fields].concat();
        let mut pieces = block.chunks(16_000).enumerate().map(|(n, piece)| {
            let end = if (n + 1) * 16_000 >= block.len() { END_HEADERS } else { 0 };
            if n == 0 { frame(HEADERS, END_STREAM | end, 1, piece) } else { frame(CONTINUATION, end, 1, piece) }
        });
        let mut frames = Frames::open(&gateway).await;
        frames.flood(&mut pieces).await;
        // 431 on the stream, or the whole connection ends.
        while let Some(came) = frames.next().await {
            if came.kind == HEADERS {
                assert!(!came.payload.starts_with(&[0x88]), "it was answered with 200");
            }
        }
    }
    assert_over(&gateway).await;
    assert_eq!(upstream.hits(), 1, "only the one of others");
}

#[tokio::test]
async fn a_flood_of_empty_data_never_becomes_a_body() {
    let (upstream, gateway) = front(hasty()).await;
    let open = frame(HEADERS, END_HEADERS, 1, &head());
    let mut frames = Frames::open(&gateway).await;
    let flood = std::iter::once(open).chain(std::iter::repeat_n(frame(DATA, 0, 1, &[]), 200_000));
    frames.flood(flood).await;
    frames.blamed().await;
    assert_over(&gateway).await;
    assert_eq!(upstream.hits(), 1, "only the one of others");
}

#[tokio::test]
async fn frames_that_break_the_rules_end_the_connection_with_blame() {
    let (upstream, gateway) = front(Limits::default()).await;
    let cases = [
        frame(DATA, 0, 0, b"x"),
        frame(HEADERS, END_HEADERS | END_STREAM, 2, &head()),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x80]),
        frame(CONTINUATION, END_HEADERS, 1, &head()),
        frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]),
        frame(SETTINGS, 0, 0, &[1]),
        frame(PING, 0, 0, b"short"),
        frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes()),
        frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()),
        frame(DATA, 0, 1, &[0; 20_000]),
    ];
    for bad in cases {
        let mut frames = Frames::open(&gateway).await;
        frames.flood([bad.clone()]).await;
        assert!(frames.blamed().await, "{:?}", &bad[..9]);
    }
    assert_over(&gateway).await;
    assert_eq!(upstream.hits(), 1, "only the one of others");
}
