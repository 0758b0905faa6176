//! The transport against raw sockets that speak literal bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};
use waypost_gateway::jobs::Jobs;
use waypost_gateway::upstream::{
    Answer, ConnectFault, Failure, HttpTransport, Origin, OutBody, Outgoing, PoolSettings, Target, Timeouts,
    TlsOptions, TlsProfile, Transport,
};

const SHORT: Duration = Duration::from_millis(150);
/// A bound for failing tests; no passing test waits this long.
const PATIENCE: Duration = Duration::from_secs(10);
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn transport() -> HttpTransport {
    HttpTransport::new(PoolSettings::default(), Jobs::new())
}

fn timeouts() -> Timeouts {
    Timeouts { connect: PATIENCE, first_byte: PATIENCE, idle: PATIENCE, deadline: Instant::now() + PATIENCE }
}

fn post(addr: SocketAddr) -> Outgoing {
    to(Target::parse(&format!("http://{addr}/v1/chat/completions?x=1")).unwrap())
}

fn to(target: Target) -> Outgoing {
    let body = OutBody::Full(Bytes::from_static(b"hello"));
    Outgoing { method: Method::POST, target, headers: HeaderMap::new(), body }
}

/// Sends one request and reads the whole answer.
async fn whole(transport: &HttpTransport, request: Outgoing, timeouts: Timeouts) -> Result<Bytes, Failure> {
    let Answer { body, .. } = transport.send(request, timeouts).await?;
    body.collect(1 << 20).await
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// Reads one request (they all end in `hello`); `None` when the peer closed instead.
async fn request(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<String> {
    let mut all = Vec::new();
    while !all.ends_with(b"hello") {
        if stream.read_buf(&mut all).await.unwrap_or(0) == 0 {
            return None;
        }
    }
    Some(String::from_utf8(all).unwrap())
}

/// An upstream that answers the first request of its only connection with `answer`, then closes it.
async fn once(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let (listener, addr) = listen().await;
    let answer = answer.into();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        let _ = stream.write_all(&answer).await;
    });
    addr
}

async fn outcome(answer: impl Into<Vec<u8>>) -> Result<Bytes, Failure> {
    whole(&transport(), post(once(answer).await), timeouts()).await
}

#[tokio::test]
async fn a_request_is_written_with_host_path_and_length() {
    let (listener, addr) = listen().await;
    let transport = transport();
    let seen = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let seen = request(&mut stream).await.unwrap();
        stream.write_all(OK).await.unwrap();
        seen
    };
    let mut outgoing = post(addr);
    outgoing.headers.insert("content-length", "999".parse().unwrap());
    outgoing.headers.insert("transfer-encoding", "chunked".parse().unwrap());
    let (seen, answer) = tokio::join!(seen, whole(&transport, outgoing, timeouts()));
    assert_eq!(answer.unwrap(), "ok");
    assert!(seen.starts_with("POST /v1/chat/completions?x=1 HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains(&format!("host: {addr}\r\n")) && seen.contains("content-length: 5\r\n"), "{seen}");
    assert!(!seen.contains("content-length: 999") && !seen.contains("chunked"), "{seen}");
}

/// An upstream that serves every connection for as many requests as `per_connection`, and counts connections.
async fn counting(per_connection: usize, answer: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    let (listener, addr) = listen().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                for _ in 0..per_connection {
                    if request(&mut stream).await.is_none() {
                        return;
                    }
                    let _ = stream.write_all(answer).await;
                }
                // The next request finds the connection reset after it was taken for alive.
                let _ = request(&mut stream).await;
            });
        }
    });
    (addr, connections)
}

#[tokio::test]
async fn a_hundred_requests_in_a_row_share_one_connection() {
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    for answer in [OK, chunked] {
        let (addr, connections) = counting(usize::MAX, answer).await;
        let transport = transport();
        for _ in 0..100 {
            assert_eq!(whole(&transport, post(addr), timeouts()).await.unwrap(), "ok");
        }
        assert_eq!(connections.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn an_answer_without_a_body_gives_its_connection_back_unread() {
    let (addr, connections) = counting(usize::MAX, b"HTTP/1.1 204 No Content\r\n\r\n").await;
    let transport = transport();
    for _ in 0..10 {
        drop(transport.send(post(addr), timeouts()).await.unwrap());
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_kept_connection_closed_by_the_peer_on_the_next_request_is_replaced_without_notice() {
    let (addr, connections) = counting(1, OK).await;
    let transport = transport();
    for _ in 0..5 {
        assert_eq!(whole(&transport, post(addr), timeouts()).await.unwrap(), "ok");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn a_request_is_repeated_once_only_and_never_on_a_new_connection() {
    let (addr, connections) = counting(0, OK).await;
    assert_eq!(whole(&transport(), post(addr), timeouts()).await, Err(Failure::ClosedBeforeHead));
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_request_is_not_repeated_once_a_byte_of_the_answer_came() {
    let (listener, addr) = listen().await;
    let upstream = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        stream.write_all(OK).await.unwrap();
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 2").await.unwrap();
        drop(stream);
        listener
    });
    let transport = transport();
    assert_eq!(whole(&transport, post(addr), timeouts()).await.unwrap(), "ok");
    assert_eq!(whole(&transport, post(addr), timeouts()).await, Err(Failure::ClosedBeforeHead));
    let listener = upstream.await.unwrap();
    assert!(timeout(SHORT, listener.accept()).await.is_err(), "no second connection");
}

#[tokio::test]
async fn leftover_bytes_never_become_the_next_answer() {
    let (listener, addr) = listen().await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            request(&mut stream).await;
            let with_leftover = [OK, b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"].concat();
            stream.write_all(&with_leftover).await.unwrap();
            tokio::spawn(async move { request(&mut stream).await });
        }
    });
    let transport = transport();
    for _ in 0..3 {
        assert_eq!(whole(&transport, post(addr), timeouts()).await.unwrap(), "ok");
    }
}

#[tokio::test]
async fn dropping_an_answer_midway_closes_the_connection() {
    let (listener, addr) = listen().await;
    let transport = transport();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n").await.unwrap();
        stream
    };
    let (mut stream, answer) = tokio::join!(serve, transport.send(post(addr), timeouts()));
    let mut body = answer.unwrap().body;
    assert_eq!(body.chunk().await.unwrap().unwrap(), "ok");
    drop(body);
    let end = timeout(PATIENCE, stream.read(&mut [0; 1])).await.expect("must be closed at once");
    assert_eq!(end.unwrap_or(0), 0);
}

#[tokio::test]
async fn dropping_a_request_before_its_answer_closes_the_connection() {
    let (listener, addr) = listen().await;
    let transport = transport();
    let send = transport.send(post(addr), timeouts());
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        stream
    };
    let mut stream = tokio::select! {
        stream = serve => stream,
        _ = send => panic!("no answer was sent"),
    };
    let end = timeout(PATIENCE, stream.read(&mut [0; 1])).await.expect("must be closed at once");
    assert_eq!(end.unwrap_or(0), 0);
}

#[tokio::test]
async fn connection_faults_are_told_apart() {
    let (listener, addr) = listen().await;
    drop(listener);
    let refused = whole(&transport(), post(addr), timeouts()).await;
    assert_eq!(refused, Err(Failure::Connect(ConnectFault::Refused)));

    let nameless = to(Target::parse("http://no-such-host.invalid/").unwrap());
    let unknown = whole(&transport(), nameless, timeouts()).await;
    assert_eq!(unknown, Err(Failure::Connect(ConnectFault::NoAddress)));
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_times_out() {
    // A full accept queue: the kernel drops further handshakes silently.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = timeout(SHORT, TcpStream::connect(addr)).await {
        queued.push(stream.unwrap());
    }
    let result = whole(&transport(), post(addr), Timeouts { connect: SHORT, ..timeouts() }).await;
    assert_eq!(result, Err(Failure::ConnectTimeout));
    let over = Timeouts { deadline: Instant::now() + SHORT, ..timeouts() };
    assert_eq!(whole(&transport(), post(addr), over).await, Err(Failure::Deadline));
}

/// An upstream that sends `begin`, then keeps the connection open in silence.
async fn stalling(begin: &'static [u8]) -> SocketAddr {
    let (listener, addr) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        let _ = stream.write_all(begin).await;
        let _ = stream.read(&mut [0; 1]).await;
    });
    addr
}

#[tokio::test]
async fn each_phase_has_its_own_timeout_and_the_deadline_is_above_them() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";
    let first_byte = Timeouts { first_byte: SHORT, ..timeouts() };
    assert_eq!(whole(&transport(), post(stalling(b"").await), first_byte).await, Err(Failure::HeadTimeout));
    assert_eq!(whole(&transport(), post(stalling(b"HTTP/1.1 2").await), first_byte).await, Err(Failure::HeadTimeout));
    let idle = Timeouts { idle: SHORT, ..timeouts() };
    assert_eq!(whole(&transport(), post(stalling(head).await), idle).await, Err(Failure::IdleTimeout));
    for begin in [&b""[..], head] {
        let over = Timeouts { deadline: Instant::now() + SHORT, ..timeouts() };
        assert_eq!(whole(&transport(), post(stalling(begin).await), over).await, Err(Failure::Deadline));
    }
}

#[tokio::test]
async fn a_dripping_body_ends_at_the_deadline() {
    let (listener, addr) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").await;
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(SHORT / 20).await;
        }
    });
    let over = Timeouts { deadline: Instant::now() + SHORT * 2, ..timeouts() };
    assert_eq!(whole(&transport(), post(addr), over).await, Err(Failure::Deadline));
}

#[tokio::test]
async fn the_body_of_an_error_is_not_waited_for_as_long_as_an_answer() {
    let settings = PoolSettings { error_body: SHORT, ..PoolSettings::default() };
    for head in ["HTTP/1.1 500 x", "HTTP/1.1 429 x", "HTTP/1.1 302 x", "HTTP/1.1 404 x"] {
        let (listener, addr) = listen().await;
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            request(&mut stream).await;
            let _ = stream.write_all(format!("{head}\r\ncontent-length: 100000\r\n\r\n").as_bytes()).await;
            while stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(SHORT / 20).await;
            }
        });
        let transport = HttpTransport::new(settings, Jobs::new());
        assert_eq!(whole(&transport, post(addr), timeouts()).await, Err(Failure::Deadline), "{head}");
    }
}

#[tokio::test]
async fn a_cut_body_is_never_a_clean_end() {
    let cut = Err(Failure::BodyCut);
    assert_eq!(outcome("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await, cut);
    assert_eq!(outcome("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nha").await, cut);
    assert_eq!(outcome("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n").await, cut);
    let garbage = outcome("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhalf\r\n").await;
    assert_eq!(garbage, Err(Failure::BadBody));
}

#[tokio::test]
async fn heads_that_break_http_are_refused() {
    let bad = Err(Failure::BadHead);
    assert_eq!(outcome("SSH-2.0-OpenSSH_9.6\r\n").await, bad);
    assert_eq!(outcome("HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n").await, bad);
    assert_eq!(outcome("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok").await, bad);
    assert_eq!(outcome("HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok").await, bad);
    let both = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    assert_eq!(outcome(both).await, bad);
    assert_eq!(outcome("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n").await, bad);
}

#[tokio::test]
async fn heads_and_bodies_above_their_limits_are_refused() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(70_000));
    assert_eq!(outcome(long).await, Err(Failure::HeadTooLarge));
    let fields: String = (0..129).map(|n| format!("x-{n}: y\r\n")).collect();
    assert_eq!(outcome(format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).await, Err(Failure::HeadTooLarge));
    let few = ["HTTP/1.1 100 Continue\r\n\r\n".repeat(10).as_bytes(), OK].concat();
    assert_eq!(outcome(few).await.unwrap(), "ok");

    let declared = once("HTTP/1.1 200 OK\r\ncontent-length: 268435456\r\n\r\nx").await;
    let answer = transport().send(post(declared), timeouts()).await.unwrap();
    assert_eq!(answer.body.collect(1000).await, Err(Failure::TooLarge { limit: 1000 }));
    let endless = [&b"HTTP/1.0 200 OK\r\n\r\n"[..], &[b'x'; 5000]].concat();
    let answer = transport().send(post(once(endless).await), timeouts()).await.unwrap();
    assert_eq!(answer.body.collect(1000).await, Err(Failure::TooLarge { limit: 1000 }));
}

#[tokio::test]
async fn a_redirect_is_an_answer_like_any_other() {
    let addr = once("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
    let answer = transport().send(post(addr), timeouts()).await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.headers["location"]), (302, &"http://127.0.0.1:1/".parse().unwrap()));
}

mod tls {
    use http_body_util::Full;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// An HTTPS upstream with a certificate of its own making; answers its address, the root, and a connection count.
    async fn secure(alpn: &'static [u8]) -> (SocketAddr, CertificateDer<'static>, Arc<AtomicUsize>) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let root = made.cert.der().clone();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![root.clone()], key)
            .unwrap();
        config.alpn_protocols = vec![alpn.to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (listener, addr) = listen().await;
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(stream).await else {
                    continue;
                };
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let answer = service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                        Ok::<_, Failure>(http::Response::new(Full::<Bytes>::from(format!("{:?}", request.version()))))
                    });
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        (addr, root, connections)
    }

    fn target(addr: SocketAddr, tls: TlsProfile) -> Target {
        let origin = Origin::parse(&format!("https://localhost:{}", addr.port()), tls).unwrap();
        Target::at(Arc::new(origin), "/v1/models").unwrap()
    }

    fn trusting(root: &CertificateDer<'static>) -> TlsProfile {
        TlsProfile::own(&TlsOptions { extra_roots: vec![root.clone()], verify: true }).unwrap()
    }

    #[tokio::test]
    async fn the_protocol_the_peer_chooses_is_spoken_over_one_connection() {
        for (alpn, version) in [(&b"http/1.1"[..], "HTTP/1.1"), (b"h2", "HTTP/2.0")] {
            let (addr, root, connections) = secure(alpn).await;
            let target = target(addr, trusting(&root));
            let transport = transport();
            for _ in 0..20 {
                assert_eq!(whole(&transport, to(target.clone()), timeouts()).await.unwrap(), version);
            }
            assert_eq!(connections.load(Ordering::SeqCst), 1, "{version}");
        }
    }

    #[tokio::test]
    async fn a_certificate_from_an_unknown_authority_is_refused_unless_verification_is_off() {
        let (addr, _, _) = secure(b"http/1.1").await;
        let strict = whole(&transport(), to(target(addr, TlsProfile::Public)), timeouts()).await;
        assert_eq!(strict, Err(Failure::Tls));
        let lax = TlsProfile::own(&TlsOptions { extra_roots: Vec::new(), verify: false }).unwrap();
        assert_eq!(whole(&transport(), to(target(addr, lax)), timeouts()).await.unwrap(), "HTTP/1.1");
    }

    #[tokio::test]
    async fn a_peer_that_does_not_speak_tls_is_a_tls_failure() {
        let (listener, plain) = listen().await;
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n").await;
        });
        let result = whole(&transport(), to(target(plain, TlsProfile::Public)), timeouts()).await;
        assert_eq!(result, Err(Failure::Tls));
    }
}
