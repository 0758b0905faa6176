//! Clients that take their time, take nothing, or leave: they end, and the others do not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use waypost_gateway::serve::Limits;
use waypost_testkit::{Client, Request, Script, Upstream, fixtures};

use super::{CHAT, PATIENCE, SHORT, assert_serves, connect, front};
use crate::harness::{Gateway, KEY, channel};
use crate::start::Waypost;

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

/// Sends `first`, then one byte after the other until the edge closes.
async fn dribble(mut stream: TcpStream, first: String, byte: &'static [u8]) {
    stream.write_all(first.as_bytes()).await.unwrap();
    while stream.write_all(byte).await.is_ok() {
        tokio::time::sleep(SHORT / 10).await;
    }
}

#[tokio::test]
async fn idle_and_dribbling_clients_are_closed_and_the_others_are_served_meanwhile() {
    let (upstream, gateway) = front(hasty()).await;
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\n");
    let mut idle = vec![];
    let mut dribbling = tokio::task::JoinSet::new();
    for _ in 0..50 {
        idle.push(connect(&gateway).await);
        dribbling.spawn(dribble(connect(&gateway).await, "GET / HTTP/1.1\r\nx: ".to_owned(), b"y"));
        dribbling.spawn(dribble(connect(&gateway).await, format!("{head}content-length: 99999\r\n\r\n"), b"{"));
        dribbling.spawn(dribble(
            connect(&gateway).await,
            format!("{head}transfer-encoding: chunked\r\n\r\n"),
            b"1\r\n{\r\n",
        ));
    }
    assert_serves(&gateway).await;
    timeout(PATIENCE, dribbling.join_all()).await.expect("every dribble is cut");
    for mut stream in idle {
        let mut said = vec![];
        let _ = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("every idle one is closed");
        assert_eq!(said, b"");
    }
    gateway.wait_empty().await;
    assert_eq!(upstream.hits(), 1);
}

/// An upstream whose stream never ends, as fast as it is taken; counts the bytes that were.
pub(super) async fn endless() -> (String, Arc<AtomicUsize>, tokio::sync::oneshot::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let taken = Arc::new(AtomicUsize::new(0));
    let (ended, end) = tokio::sync::oneshot::channel();
    let counted = Arc::clone(&taken);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let _ = stream.read(&mut request).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await.unwrap();
        let word = "word ".repeat(800);
        let event = format!(
            "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{word}\"}},\"finish_reason\":null}}]}}\n\n"
        );
        while let Ok(written) = stream.write(event.as_bytes()).await {
            counted.fetch_add(written, Ordering::Relaxed);
            if written < event.len() && stream.write_all(event.as_bytes().get(written..).unwrap()).await.is_err() {
                break;
            }
        }
        let _ = ended.send(());
    });
    (url, taken, end)
}

#[tokio::test]
async fn a_stream_that_nobody_reads_throttles_its_upstream_and_is_cut() {
    let (url, taken, end) = endless().await;
    let yaml = format!("keys: [{{name: test, key: {KEY}}}]\nchannels:\n{}", channel("main", "openai", &url, "['*']"));
    let gateway = Gateway::start_with(&yaml, hasty()).await;
    let mut client = Client::connect(gateway.url()).await;
    let body = CHAT.replacen('{', r#"{"stream":true,"#, 1);
    client.write(&Request::post("/v1/chat/completions", body).bearer(KEY).to_bytes("a")).await.unwrap();

    timeout(PATIENCE, end).await.expect("the upstream is let go").unwrap();

    // What the kernel buffers on two loopback connections is all that was ever taken.
    let taken = taken.load(Ordering::Relaxed);
    assert!(taken < 32 << 20, "{taken} bytes were taken");
    gateway.wait_empty().await;
}

#[tokio::test]
async fn a_burst_of_2000_clients_that_reset_amid_their_request_leaves_nothing_behind() {
    let upstream = Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
    let text = format!(
        "server: {{port: 0}}\nkeys: [{{name: a, key: {KEY}}}]\nchannels:\n{}",
        channel("main", "openai", &upstream.url(), "['*']")
    );
    let waypost = Waypost::new().file("waypost.yaml", &text).start().await;
    let request = Request::post("/v1/chat/completions", CHAT).bearer(KEY);
    assert_eq!(request.send(waypost.url()).await.status, 200);
    // Sockets only: the database opens its files when it first needs them.
    let is_socket = |path: std::path::PathBuf| {
        std::fs::read_link(path).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
    };
    let open = || {
        let all = std::fs::read_dir(format!("/proc/{}/fd", waypost.id())).unwrap();
        all.flatten().filter(|entry| is_socket(entry.path())).count()
    };
    let before = open();
    let bytes = request.to_bytes("a");
    for n in 0..2000 {
        let mut client = Client::connect(waypost.url()).await;
        let sent = bytes.get(..n % (bytes.len() - 1)).unwrap();
        client.write(sent).await.unwrap();
        client.reset();
    }
    timeout(PATIENCE, async {
        while open() > before {
            tokio::time::sleep(SHORT / 10).await;
        }
    })
    .await
    .expect("every socket is closed");
    assert_eq!(request.send(waypost.url()).await.status, 200);
    assert_eq!(upstream.hits(), 2);
}
