//! HTTPS at the listener: what is offered, how a renewed certificate comes in, and what a broken one is told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use waypost_gateway::jobs::Jobs;
use waypost_gateway::serve::{Edge, Limits, Peer, TlsCerts, TlsFiles};

use crate::start::Waypost;

/// A bound for failing tests; no passing test waits this long.
const PATIENCE: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_millis(10);

/// A folder with a certificate of its own making and its key.
struct Issued {
    folder: PathBuf,
    files: TlsFiles,
}

impl Issued {
    fn new() -> Self {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let name = format!("tls-{}-{}", std::process::id(), FOLDERS.fetch_add(1, Ordering::Relaxed));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let files = TlsFiles { cert: folder.join("cert.pem"), key: folder.join("key.pem") };
        let issued = Self { folder, files };
        issued.renew();
        issued
    }

    /// Writes another certificate and key in place of those that are there; gives the certificate.
    fn renew(&self) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&self.files.key, pem("PRIVATE KEY", &made.signing_key.serialize_der())).unwrap();
        std::fs::write(&self.files.cert, pem("CERTIFICATE", made.cert.der())).unwrap();
        made.cert.der().clone()
    }
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

impl Drop for Issued {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A door that speaks TLS and answers with the version of HTTP it was asked in.
async fn open(certs: TlsCerts, limits: Limits) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let jobs = Jobs::new();
    let edge = Edge::new(limits, jobs.clone());
    let handler = |request: Request<Incoming>, _: Peer| async move {
        Response::new(Full::<Bytes>::from(format!("{:?}", request.version())))
    };
    jobs.spawn("listener", async move { edge.serve_tls(listener, certs, handler).await });
    addr
}

/// Connects, trusting only this certificate.
async fn connect(
    addr: SocketAddr,
    root: &CertificateDer<'static>,
    alpn: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(crypto).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(addr).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains("HTTP/1.1\"") && !said.ends_with(b"HTTP/1.1") {
        let read = timeout(PATIENCE, stream.read_buf(&mut said)).await.expect("it answers").unwrap();
        assert!(read > 0, "closed after {}", String::from_utf8_lossy(&said));
    }
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn http_2_and_http_1_1_are_offered_and_both_are_told_to_stay_on_tls_001_37() {
    let issued = Issued::new();
    let root = issued.renew();
    let addr = open(TlsCerts::load(issued.files.clone()).unwrap(), Limits::default()).await;

    let mut stream = connect(addr, &root, &[b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let said = ask(&mut stream).await;
    assert!(said.contains("strict-transport-security: max-age=31536000"), "{said}");
    assert!(ask(&mut connect(addr, &root, &[]).await.unwrap()).await.ends_with("HTTP/1.1"), "without ALPN");

    let stream = connect(addr, &root, &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://localhost/").body(Empty::<Bytes>::new()).unwrap();
    let answer = timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
    assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000");
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "HTTP/2.0");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_connections_and_open_ones_go_on() {
    let issued = Issued::new();
    let old = issued.renew();
    let certs = TlsCerts::load(issued.files.clone()).unwrap();
    let addr = open(certs.clone(), Limits::default()).await;
    let mut open = connect(addr, &old, &[]).await.unwrap();
    ask(&mut open).await;

    let new = issued.renew();
    certs.reload().unwrap();

    ask(&mut open).await;
    ask(&mut connect(addr, &new, &[]).await.unwrap()).await;
    assert!(connect(addr, &old, &[]).await.is_err(), "the old one is not shown any more");
}

#[tokio::test]
async fn a_changed_file_is_noticed_and_a_broken_one_leaves_the_old_certificate() {
    let issued = Issued::new();
    let old = issued.renew();
    let certs = TlsCerts::load(issued.files.clone()).unwrap();
    let addr = open(certs.clone(), Limits::default()).await;
    let jobs = Jobs::new();
    jobs.spawn("watch", certs.clone().watch(SOON, jobs.clone()));

    std::fs::write(&issued.files.cert, "no certificate").unwrap();
    let broken = certs.reload().unwrap_err().to_string();
    assert!(broken.contains("cert.pem: it holds no certificate"), "{broken}");
    connect(addr, &old, &[]).await.unwrap();

    let new = issued.renew();
    timeout(PATIENCE, async { while connect(addr, &new, &[]).await.is_err() {} }).await.expect("it is noticed");
    assert_eq!(jobs.drain(tokio::time::Instant::now() + PATIENCE).await, Vec::<&str>::new());
}

#[test]
fn what_is_wrong_with_the_files_is_said_with_setting_file_reason_and_fix() {
    let (good, other) = (Issued::new(), Issued::new());
    let empty = good.folder.join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let gone = good.folder.join("gone.pem");
    let huge = good.folder.join("huge.pem");
    std::fs::write(&huge, vec![b'x'; 2 << 20]).unwrap();
    let cases = [
        (&gone, &good.files.key, "server.tls.cert: ", "gone.pem: it cannot be read"),
        (&empty, &good.files.key, "server.tls.cert: ", "empty.pem: it holds no certificate; give a PEM file"),
        (&huge, &good.files.key, "server.tls.cert: ", "huge.pem: it is too large"),
        (&good.files.cert, &gone, "server.tls.key: ", "gone.pem: it cannot be read"),
        (&good.files.cert, &good.files.cert, "server.tls.key: ", "cert.pem: it holds no private key in PEM; give"),
        (&good.files.cert, &other.files.key, "server.tls.key: ", "key.pem: it does not go with "),
    ];
    for (cert, key, setting, words) in cases {
        let files = TlsFiles { cert: cert.clone(), key: key.clone() };
        let told = TlsCerts::load(files).err().expect(words).to_string();
        assert!(told.starts_with(setting) && told.contains(words), "{told}");
        assert!(!told.contains("-----BEGIN PRIVATE KEY-----\n"), "{told}");
    }
}

#[tokio::test]
async fn a_handshake_has_no_more_time_than_a_request_head_and_old_or_no_tls_is_turned_away() {
    let issued = Issued::new();
    let limits = Limits { head_timeout: Duration::from_millis(150), ..Limits::default() };
    let addr = open(TlsCerts::load(issued.files.clone()).unwrap(), limits).await;
    // A ClientHello that knows nothing above TLS 1.1.
    let mut ancient = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2];
    ancient.extend([7; 32]);
    ancient.extend([0, 0, 2, 0xc0, 0x13, 1, 0]);
    for (sent, first) in [
        (&b""[..], None),
        (&b"\x16\x03\x01"[..], None),
        (&b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..], Some(0x15)),
        (&ancient, Some(0x15)),
    ] {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let mut said = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("it is closed");
        // At most an alert; nothing of HTTP.
        assert!(said.first().copied() == first || said.is_empty(), "{sent:?}: {said:?}");
    }
}

#[tokio::test]
async fn the_binary_serves_https_and_names_a_file_it_cannot_use() {
    let issued = Issued::new();
    let root = issued.renew();
    let text =
        |cert: &str| format!("server: {{port: 0, tls: {{cert: '{cert}', key: '{}'}}}}\n", issued.files.key.display());
    let waypost = Waypost::new().file("waypost.yaml", &text(&issued.files.cert.display().to_string())).start().await;
    let addr = waypost.url().trim_start_matches("http://").parse().unwrap();
    let mut stream = connect(addr, &root, &[]).await.unwrap();
    stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut said = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut said)).await.unwrap().unwrap();
    assert!(said.starts_with("HTTP/1.1 200") && said.contains("strict-transport-security"), "{said}");

    for arguments in [&["--port", "0"][..], &["check"]] {
        let (code, _, err) = Waypost::new().file("waypost.yaml", &text("nowhere.pem")).arguments(arguments).run().await;
        assert_eq!(code, Some(1));
        assert!(
            err.contains("waypost: server.tls.cert: nowhere.pem: it cannot be read") && err.contains("; give"),
            "{err}"
        );
    }
}
