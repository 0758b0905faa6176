//! The edge over real sockets, with short limits. What is closed is seen by a blocking read, never by a sleep.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use waypost_gateway::jobs::Jobs;
use waypost_gateway::serve::{Edge, LastWords, Limits, Peer, Refusal, check_head, read_body};
use waypost_gateway::upstream::Failure;

const SHORT: Duration = Duration::from_millis(150);
/// A bound for failing tests; no passing test waits this long.
const PATIENCE: Duration = Duration::from_secs(10);

fn limits() -> Limits {
    Limits {
        head_timeout: SHORT,
        body_idle_timeout: SHORT,
        body_grace: SHORT * 2,
        write_timeout: SHORT,
        keep_alive_idle: None,
        drain_idle: SHORT,
        max_body_bytes: 1000,
        ..Limits::default()
    }
}

struct Door {
    addr: SocketAddr,
    edge: Edge,
    jobs: Jobs,
}

impl Door {
    async fn open<H: waypost_gateway::serve::Handler>(limits: Limits, handler: H) -> Self {
        let jobs = Jobs::new();
        Self::of(Edge::new(limits, jobs.clone()), jobs, handler).await
    }

    async fn of<H: waypost_gateway::serve::Handler>(edge: Edge, jobs: Jobs, handler: H) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let own = edge.clone();
        jobs.spawn("listener", async move { own.serve(listener, handler).await });
        Self { addr, edge, jobs }
    }

    /// A door that answers with the length of the body, or with the refusal's name.
    async fn counting(limits: Limits) -> Self {
        let known = limits.clone();
        Self::open(limits, move |request: Request<Incoming>, _: Peer| {
            let limits = known.clone();
            async move {
                let outcome = match check_head(&request, &limits) {
                    Ok(()) => read_body(request.into_body(), &limits).await.map_err(Refusal::from),
                    Err(refusal) => Err(refusal),
                };
                match outcome {
                    Ok(body) => Response::new(Full::from(format!("read {}", body.len()))),
                    Err(refusal) => Response::builder().status(400).body(Full::from(format!("{refusal:?}"))).unwrap(),
                }
            }
        })
        .await
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// What comes back for `sent` until the edge closes; the client itself never closes.
    async fn last_words(&self, sent: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(sent).await.unwrap();
        to_the_end(&mut stream).await
    }
}

async fn to_the_end(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    // A reset after the answer is an end as well.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("the edge must close the connection");
    String::from_utf8(all).unwrap()
}

async fn read_until(stream: &mut TcpStream, mark: &str) -> String {
    let mut all = Vec::new();
    while !String::from_utf8_lossy(&all).contains(mark) {
        let read = timeout(PATIENCE, stream.read_buf(&mut all)).await.expect("more must come").unwrap();
        assert!(read > 0, "closed before {mark:?}: {}", String::from_utf8_lossy(&all));
    }
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn a_connection_that_sends_nothing_or_one_byte_or_half_a_preface_is_closed() {
    let door = Door::counting(limits()).await;
    assert_eq!(door.last_words(b"").await, "");
    assert_eq!(door.last_words(b"P").await, "");
    assert_eq!(door.last_words(b"PRI * HTTP/2.0").await, "");
}

#[tokio::test]
async fn a_dribbled_first_head_is_closed_however_lively_it_dribbles() {
    let door = Door::counting(limits()).await;
    let mut stream = door.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nx-slow: ").await.unwrap();
    assert_eq!(dribble(&mut stream).await, "");
}

#[tokio::test]
async fn a_dribbled_second_head_is_closed_too() {
    let door = Door::counting(limits()).await;
    let mut stream = door.connect().await;
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi").await.unwrap();
    read_until(&mut stream, "read 2").await;
    stream.write_all(b"GET / HTTP/1.1\r\nx-slow: ").await.unwrap();
    assert_eq!(dribble(&mut stream).await, "");
}

/// Sends one byte after the other until the edge closes; answers what it said before.
async fn dribble(stream: &mut TcpStream) -> String {
    let (mut read, mut write) = stream.split();
    let send = async {
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
        std::future::pending::<()>().await
    };
    let mut said = Vec::new();
    let listen = async {
        // A reset after the answer is an end as well.
        while read.read_buf(&mut said).await.unwrap_or(0) > 0 {}
    };
    tokio::select! {
        () = send => {}
        ended = timeout(PATIENCE, listen) => ended.expect("the edge must close the connection"),
    }
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_keep_alive_time_and_not_by_the_head_timer() {
    let door = Door::counting(Limits { keep_alive_idle: Some(SHORT * 3), ..limits() }).await;
    let mut stream = door.connect().await;
    let start = Instant::now();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(to_the_end(&mut stream).await.contains("read 0"));
    assert!(start.elapsed() >= SHORT * 3);
}

#[tokio::test]
async fn a_silent_body_and_a_body_below_the_minimum_rate_are_refused() {
    let door = Door::counting(limits()).await;
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 900\r\n\r\nx";
    assert!(door.last_words(head).await.ends_with("Timeout"));

    let mut stream = door.connect().await;
    stream.write_all(head).await.unwrap();
    let slow = dribble(&mut stream).await;
    assert!(slow.ends_with("Timeout"), "ten bytes per {SHORT:?} are below the rate: {slow:?}");
}

#[tokio::test]
async fn a_body_declared_or_counted_above_the_limit_is_refused_before_it_is_read() {
    let door = Door::counting(limits()).await;
    let declared = door.last_words(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 8796093022208\r\n\r\nx").await;
    assert!(declared.ends_with("BodyTooLarge { limit: 1000 }"), "{declared}");

    let mut chunked = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..3 {
        chunked.extend_from_slice(b"190\r\n");
        chunked.extend_from_slice(&[b'x'; 400]);
        chunked.extend_from_slice(b"\r\n");
    }
    let counted = door.last_words(&chunked).await;
    assert!(counted.ends_with("BodyTooLarge { limit: 1000 }"), "{counted}");
}

#[tokio::test]
async fn the_refusal_of_an_upload_still_being_sent_is_not_lost_to_a_reset() {
    let door = Door::counting(limits()).await;
    let mut upload = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 500000\r\n\r\n".to_vec();
    upload.resize(upload.len() + 500_000, b'x');
    assert!(door.last_words(&upload).await.ends_with("BodyTooLarge { limit: 1000 }"));
}

#[tokio::test]
async fn chunked_bodies_are_collected_whole() {
    let door = Door::counting(limits()).await;
    let mut stream = door.connect().await;
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    stream.write_all(b"3\r\nabc\r\n4\r\ndefg\r\n1\r\nh\r\n0\r\n\r\n").await.unwrap();
    read_until(&mut stream, "read 8").await;
}

#[tokio::test]
async fn a_missing_or_repeated_host_reaches_the_handler_as_a_refusal() {
    let door = Door::counting(Limits { keep_alive_idle: Some(SHORT), ..limits() }).await;
    assert!(door.last_words(b"GET / HTTP/1.1\r\n\r\n").await.contains("missing Host"));
    assert!(door.last_words(b"GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n").await.contains("more than one Host"));
}

#[tokio::test]
async fn a_head_too_large_is_a_431() {
    let door = Door::counting(limits()).await;
    let fields: String = (0..129).map(|n| format!("x-{n}: y\r\n")).collect();
    let many = door.last_words(format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n").as_bytes()).await;
    assert!(many.starts_with("HTTP/1.1 431"), "{many}");
    let head = |length| format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx: {}\r\n\r\n", "y".repeat(length));
    let long = door.last_words(head(70_000).as_bytes()).await;
    assert!(long.ends_with("HeadTooLarge"), "{long}");
    // hyper looks at its bound between two reads, and may have twice as much by then.
    let endless = door.last_words(head(1_200_000).as_bytes()).await;
    assert!(endless.starts_with("HTTP/1.1 431"), "{endless}");
}

/// What an endless stream gives at a time.
const PIECE: usize = 64 * 1024;

/// A door whose answer is an endless stream; counts the chunks taken and tells when the body is dropped.
async fn endless(limits: Limits) -> (Door, mpsc::UnboundedReceiver<usize>) {
    let (taken, told) = mpsc::unbounded_channel();
    let door = Door::open(limits, move |_: Request<Incoming>, _: Peer| {
        let taken = taken.clone();
        async move { Response::new(Endless { taken: 0, told: taken }) }
    })
    .await;
    (door, told)
}

struct Endless {
    taken: usize,
    told: mpsc::UnboundedSender<usize>,
}

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Failure>>> {
        self.get_mut().taken += 1;
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(&[b'x'; PIECE])))))
    }
}

impl LastWords for Endless {}

impl Drop for Endless {
    fn drop(&mut self) {
        let _ = self.told.send(self.taken);
    }
}

#[tokio::test]
async fn a_reader_that_stops_reading_is_cut_and_stops_the_source_meanwhile() {
    let (door, mut told) = endless(limits()).await;
    let mut stream = door.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let taken = timeout(PATIENCE, told.recv()).await.expect("must be cut").unwrap();
    // What the kernel took can still be read; the rest was kept by the edge.
    let mut read = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut read)).await.expect("it is closed");
    let kept = (taken * PIECE).saturating_sub(read.len());
    assert!(kept <= 256 * 1024, "{kept} bytes were kept for a reader that stopped");
}

#[tokio::test]
async fn a_caller_who_leaves_drops_the_answer() {
    let (door, mut told) = endless(Limits { write_timeout: PATIENCE * 10, ..limits() }).await;
    let mut stream = door.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    read_until(&mut stream, "xxx").await;
    drop(stream);
    timeout(PATIENCE, told.recv()).await.expect("the answer must be dropped").unwrap();
}

/// A door that answers when told to.
async fn held() -> (Door, mpsc::UnboundedReceiver<tokio::sync::oneshot::Sender<()>>) {
    let (arrived, arrivals) = mpsc::unbounded_channel();
    let door = Door::open(limits(), move |_: Request<Incoming>, _: Peer| {
        let arrived = arrived.clone();
        async move {
            let (release, released) = tokio::sync::oneshot::channel();
            arrived.send(release).unwrap();
            let _ = released.await;
            Response::new(Full::<Bytes>::from("finished"))
        }
    })
    .await;
    (door, arrivals)
}

#[tokio::test]
async fn a_drain_finishes_the_answer_in_flight_closes_idle_connections_and_refuses_new_ones() {
    let (door, mut arrivals) = held().await;
    let mut idle = door.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    arrivals.recv().await.unwrap().send(()).unwrap();
    read_until(&mut idle, "finished").await;

    let mut busy = door.connect().await;
    busy.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let release = arrivals.recv().await.unwrap();

    let edge = door.edge.clone();
    let drain = tokio::spawn(async move { edge.drain(Instant::now() + PATIENCE).await });
    assert_eq!(to_the_end(&mut idle).await, "");
    while TcpStream::connect(door.addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    let answer = to_the_end(&mut busy).await;
    assert!(answer.contains("connection: close") && answer.ends_with("finished"), "{answer}");
    assert_eq!(drain.await.unwrap(), 0);
    assert_eq!(door.jobs.drain(Instant::now() + PATIENCE).await, Vec::<&str>::new());
}

#[tokio::test]
async fn a_drain_cuts_what_is_left_at_its_deadline() {
    let (door, mut arrivals) = held().await;
    let mut busy = door.connect().await;
    busy.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let _release = arrivals.recv().await.unwrap();
    assert_eq!(door.edge.drain(Instant::now() + SHORT).await, 1);
    assert_eq!(to_the_end(&mut busy).await, "");
}

#[tokio::test]
async fn answers_on_http_2_say_their_last_words_too() {
    /// Says one thing and then waits for ever.
    struct Waiting(bool);
    impl http_body::Body for Waiting {
        type Data = Bytes;
        type Error = Failure;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Failure>>> {
            match std::mem::replace(&mut self.0, true) {
                false => std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(b"begun"))))),
                true => std::task::Poll::Pending,
            }
        }
    }
    impl LastWords for Waiting {
        fn last_words(self: std::pin::Pin<&mut Self>) -> Option<Bytes> {
            Some(Bytes::from_static(b", cut"))
        }
    }
    let door = Door::open(limits(), |_: Request<Incoming>, _: Peer| async { Response::new(Waiting(false)) }).await;
    let stream = hyper_util::rt::TokioIo::new(door.connect().await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let mut bodies = vec![];
    for _ in 0..3 {
        let request = Request::get("http://a/").body(Full::<Bytes>::default()).unwrap();
        let mut body = sender.send_request(request).await.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "begun");
        bodies.push(body);
    }
    assert_eq!(door.edge.drain(Instant::now()).await, 1);
    for body in bodies {
        assert_eq!(timeout(PATIENCE, body.collect()).await.unwrap().unwrap().to_bytes(), ", cut");
    }
}

#[tokio::test]
async fn on_http_2_too_a_request_that_is_cut_before_its_answer_gets_the_edges_own() {
    let jobs = Jobs::new();
    let draw = |status| Response::builder().status(status).body(Bytes::from_static(b"drawn")).unwrap();
    let edge = Edge::drawing(limits(), jobs.clone(), std::sync::Arc::new(draw));
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let handler = move |_: Request<Incoming>, _: Peer| {
        arrived.send(()).unwrap();
        std::future::pending::<Response<Full<Bytes>>>()
    };
    let door = Door::of(edge, jobs, handler).await;
    let stream = hyper_util::rt::TokioIo::new(door.connect().await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://a/").body(Full::<Bytes>::default()).unwrap();
    let asked = tokio::spawn(sender.send_request(request));
    arrivals.recv().await.unwrap();
    assert_eq!(door.edge.drain(Instant::now()).await, 1);
    let answer = timeout(PATIENCE, asked).await.unwrap().unwrap().unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "drawn");
}

#[tokio::test]
async fn connections_above_the_limit_wait_until_one_closes() {
    let door = Door::counting(Limits { max_connections: 1, head_timeout: PATIENCE, ..limits() }).await;
    let mut first = door.connect().await;
    first.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    read_until(&mut first, "read 0").await;
    let mut second = door.connect().await;
    second.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(timeout(SHORT, second.readable()).await.is_err(), "must wait");
    drop(first);
    read_until(&mut second, "read 0").await;
}

#[tokio::test]
async fn a_panicking_handler_ends_its_own_connection_only() {
    let door = Door::open(limits(), |request: Request<Incoming>, _: Peer| async move {
        assert_ne!(request.uri().path(), "/panic", "as the test wants");
        Response::new(Full::<Bytes>::from("well"))
    })
    .await;
    assert_eq!(door.last_words(b"GET /panic HTTP/1.1\r\nhost: a\r\n\r\n").await, "");
    let mut stream = door.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    read_until(&mut stream, "well").await;
    assert_eq!(door.jobs.panics(), 1);
}
