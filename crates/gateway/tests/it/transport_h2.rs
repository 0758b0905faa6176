//! The transport against HTTP/2 peers that speak literal frames over TLS: those that close their connections politely,
//! those that break them, and those that break the protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use waypost_gateway::jobs::Jobs;
use waypost_gateway::upstream::{
    Failure, HttpTransport, Origin, OutBody, Outgoing, PoolSettings, Target, Timeouts, TlsOptions, TlsProfile,
    Transport,
};

/// A bound for failing tests; no passing test waits this long.
const PATIENCE: Duration = Duration::from_secs(10);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200` in HPACK.
const OK: &[u8] = &[0x88];

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;

/// What a peer does for one request.
#[derive(Clone, Copy, Debug)]
enum Act {
    Answers,
    /// Half a body.
    Begins,
    /// Resets the stream with this code.
    Resets(u32),
    /// Says with this code that it takes nothing after the first request, and closes.
    GoesAway(u32),
    /// Says that this request was the last one, answers it and closes.
    Retires,
    /// Closes.
    HangsUp,
    /// Sends these bytes.
    Says(&'static [u8]),
}

/// A peer that acts in order, the last act for ever, on as many connections as come.
struct Peer {
    target: Target,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Peer {
    async fn start(acts: &'static [Act]) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = target(listener.local_addr().unwrap());
        let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (opened, asked) = (Arc::clone(&connections), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                opened.fetch_add(1, Ordering::SeqCst);
                let (acceptor, asked) = (acceptor.clone(), Arc::clone(&asked));
                tokio::spawn(async move {
                    let stream = acceptor.accept(stream).await.unwrap();
                    converse(Wire { stream }, acts, &asked).await;
                });
            }
        });
        Self { target, connections, requests }
    }

    fn counts(&self) -> (usize, usize) {
        (self.requests.load(Ordering::SeqCst), self.connections.load(Ordering::SeqCst))
    }
}

fn target(address: SocketAddr) -> Target {
    let tls = TlsProfile::own(&TlsOptions { extra_roots: Vec::new(), verify: false }).unwrap();
    let origin = Origin::parse(&format!("https://localhost:{}", address.port()), tls).unwrap();
    Target::at(Arc::new(origin), "/v1/chat/completions").unwrap()
}

async fn converse(mut wire: Wire, acts: &[Act], asked: &AtomicUsize) {
    let mut preface = [0; 24];
    if wire.stream.read_exact(&mut preface).await.is_err() {
        return;
    }
    wire.send(SETTINGS, 0, 0, &[]).await;
    while let Some(id) = wire.request().await {
        let turn = asked.fetch_add(1, Ordering::SeqCst);
        match acts[turn.min(acts.len() - 1)] {
            Act::Answers => wire.answer(id).await,
            Act::Begins => {
                wire.send(HEADERS, END_HEADERS, id, OK).await;
                return wire.send(DATA, 0, id, b"o").await;
            }
            Act::Resets(code) => wire.send(RESET, 0, id, &code.to_be_bytes()).await,
            Act::GoesAway(code) => return wire.go_away(id.saturating_sub(2), code).await,
            Act::Retires => {
                wire.go_away(id, NO_ERROR).await;
                return wire.answer(id).await;
            }
            Act::HangsUp => return,
            Act::Says(bytes) => {
                let _ = wire.stream.write_all(bytes).await;
                let _ = wire.stream.flush().await;
            }
        }
    }
}

/// Frames over TLS.
struct Wire {
    stream: TlsStream<TcpStream>,
}

impl Wire {
    async fn send(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &id.to_be_bytes()].concat();
        // The other side may be gone already; that is for the test to see.
        let _ = self.stream.write_all(&[&head, payload].concat()).await;
        let _ = self.stream.flush().await;
    }

    async fn answer(&mut self, id: u32) {
        self.send(HEADERS, END_HEADERS, id, OK).await;
        self.send(DATA, END_STREAM, id, b"ok").await;
    }

    async fn go_away(&mut self, last: u32, code: u32) {
        self.send(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat()).await;
    }

    /// Reads frames up to the end of a request and gives its stream; `None` when the peer left.
    async fn request(&mut self) -> Option<u32> {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.stream.read_exact(&mut payload).await.ok()?;
            let (kind, flags) = (head[3], head[4]);
            match kind {
                SETTINGS if flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[]).await,
                PING if flags & ACK == 0 => self.send(PING, ACK, 0, &payload).await,
                HEADERS | DATA if flags & END_STREAM != 0 => {
                    return Some(u32::from_be_bytes([head[5], head[6], head[7], head[8]]));
                }
                _ => {}
            }
        }
    }
}

fn transport() -> HttpTransport {
    HttpTransport::new(PoolSettings::default(), Jobs::new())
}

async fn ask(transport: &HttpTransport, peer: &Peer) -> Result<Bytes, Failure> {
    let body = OutBody::Full(Bytes::from_static(b"hello"));
    let outgoing = Outgoing { method: Method::POST, target: peer.target.clone(), headers: HeaderMap::new(), body };
    let timeouts = Timeouts::until(Instant::now() + PATIENCE);
    transport.send(outgoing, timeouts).await?.body.collect(1 << 20).await
}

#[tokio::test]
async fn a_request_that_the_peer_has_not_begun_is_repeated_on_another_connection_without_notice() {
    let peers: [&[Act]; 3] = [
        &[Act::Answers, Act::GoesAway(NO_ERROR), Act::Answers],
        &[Act::Answers, Act::Resets(REFUSED_STREAM), Act::Answers],
        &[Act::Answers, Act::HangsUp, Act::Answers],
    ];
    for acts in peers {
        let (peer, transport) = (Peer::start(acts).await, transport());
        for _ in 0..3 {
            assert_eq!(ask(&transport, &peer).await, Ok(Bytes::from_static(b"ok")), "{acts:?}");
        }
        assert_eq!(peer.counts(), (4, 2), "{acts:?}");
    }
}

#[tokio::test]
async fn nothing_is_repeated_that_may_have_been_begun_or_that_a_new_connection_refused() {
    let peers: [(&[Act], usize); 5] = [
        (&[Act::Answers, Act::Resets(INTERNAL_ERROR)], 2),
        (&[Act::Answers, Act::GoesAway(INTERNAL_ERROR)], 2),
        (&[Act::GoesAway(NO_ERROR)], 1),
        (&[Act::Resets(REFUSED_STREAM)], 1),
        (&[Act::HangsUp], 1),
    ];
    for (acts, requests) in peers {
        let (peer, transport) = (Peer::start(acts).await, transport());
        for turn in 1..=requests {
            let answer = ask(&transport, &peer).await;
            let expected = if turn < requests { Ok(Bytes::from_static(b"ok")) } else { Err(Failure::ClosedBeforeHead) };
            assert_eq!(answer, expected, "{acts:?}");
        }
        assert_eq!(peer.counts(), (requests, 1), "{acts:?}");
    }
}

#[tokio::test]
async fn a_peer_that_retires_a_connection_loses_no_request() {
    let (peer, transport) = (Peer::start(&[Act::Retires]).await, transport());
    for _ in 0..5 {
        assert_eq!(ask(&transport, &peer).await.unwrap(), "ok");
    }
    assert_eq!(peer.counts(), (5, 5));
}

#[tokio::test]
async fn a_body_cut_is_never_a_clean_end() {
    let (peer, transport) = (Peer::start(&[Act::Begins]).await, transport());
    assert_eq!(ask(&transport, &peer).await, Err(Failure::BodyCut));
}

#[tokio::test]
async fn frames_that_break_the_protocol_fail_the_request_and_the_next_one_has_a_new_connection() {
    let broken: [&[u8]; 5] = [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        // HEADERS without a status, with an HPACK index nobody has, on a stream nobody opened; DATA before HEADERS.
        &[0, 0, 0, HEADERS, END_HEADERS | END_STREAM, 0, 0, 0, 1],
        &[0, 0, 1, HEADERS, END_HEADERS, 0, 0, 0, 1, 0xfe],
        &[0, 0, 1, HEADERS, END_HEADERS, 0, 0, 0, 9, 0x88],
        &[0, 0, 2, DATA, END_STREAM, 0, 0, 0, 1, b'o', b'k'],
    ];
    for bytes in broken {
        let acts: &'static [Act] = Vec::leak(vec![Act::Says(bytes), Act::Answers]);
        let (peer, transport) = (Peer::start(acts).await, transport());
        let failed = ask(&transport, &peer).await;
        assert!(matches!(failed, Err(Failure::ClosedBeforeHead | Failure::BadHead)), "{bytes:?}: {failed:?}");
        assert_eq!(ask(&transport, &peer).await.unwrap(), "ok", "{bytes:?}");
    }
}
