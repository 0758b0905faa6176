//! Where connections may go: addresses are judged after look-up and the judged one is connected to, redirects are never
//! followed, and nothing a caller or a provider says makes Waypost fetch anything. A canary listens and must stay silent.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use waypost_gateway::jobs::Jobs;
use waypost_gateway::upstream::{
    ConnectFault, Failure, HttpTransport, Lookup, Origin, OutBody, Outgoing, PoolSettings, Target, Timeouts,
    TlsProfile, Transport,
};
use waypost_testkit::{Script, Upstream as Scripted, fixtures};

use crate::dialects::{Caller, Upstream};
use crate::harness::{Gateway, KEY};

/// A bound for failing tests; no passing test waits this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// A port that nobody may connect to.
struct Canary(TcpListener);

impl Canary {
    async fn listen() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// Connections are accepted in their order, so the first one must be the one made here.
    async fn assert_silent(&self, story: &str) {
        let own = TcpStream::connect(self.0.local_addr().unwrap()).await.unwrap();
        let (_, peer) = self.0.accept().await.unwrap();
        assert_eq!(peer, own.local_addr().unwrap(), "{story}: the canary was connected to");
    }
}

/// A resolver that gives every name these addresses, the last of them for ever, and counts.
fn finding(answers: &[&[&str]]) -> (Lookup, Arc<AtomicUsize>) {
    let parse = |address: &&str| address.parse::<IpAddr>().unwrap();
    let answers: Vec<Vec<IpAddr>> = answers.iter().map(|answer| answer.iter().map(parse).collect()).collect();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let lookup: Lookup = Arc::new(move |_| {
        let turn = count.fetch_add(1, Ordering::SeqCst);
        let answer = answers.get(turn).or(answers.last()).cloned().unwrap_or_default();
        Box::pin(async move { Ok(answer) })
    });
    (lookup, asked)
}

async fn send(lookup: &Lookup, url: &str, allow_private: bool, connect: Duration) -> Result<u16, Failure> {
    let transport = HttpTransport::with_lookup(PoolSettings::default(), Jobs::new(), Arc::clone(lookup));
    send_over(&transport, url, allow_private, connect).await
}

async fn send_over(
    transport: &HttpTransport,
    url: &str,
    allow_private: bool,
    connect: Duration,
) -> Result<u16, Failure> {
    let origin = Origin::parse(url, TlsProfile::Public).unwrap().allow_private(allow_private);
    let target = Target::at(Arc::new(origin), "/v1/models").unwrap();
    let body = OutBody::Full(Bytes::from_static(b"{}"));
    let timeouts = Timeouts { connect, ..Timeouts::until(Instant::now() + PATIENCE) };
    let outgoing = Outgoing { method: Method::POST, target, headers: HeaderMap::new(), body };
    let answer = transport.send(outgoing, timeouts).await?;
    let status = answer.status.as_u16();
    answer.body.collect(1 << 20).await?;
    Ok(status)
}

const FORBIDDEN: Result<u16, Failure> = Err(Failure::Connect(ConnectFault::Forbidden));

#[tokio::test]
async fn a_public_name_that_leads_into_a_private_network_is_refused_after_look_up() {
    let canary = Canary::listen().await;
    for found in [
        &["127.0.0.1"][..],
        &["10.0.0.1"],
        &["192.168.0.1", "127.0.0.1"],
        &["::1"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::7f00:1"],
        &["2002:7f00:1::"],
        &["fd00::1"],
    ] {
        for name in ["relay.example.com", "localhost.example.com", "127.0.0.1.nip.example"] {
            let (lookup, _) = finding(&[found]);
            let url = format!("http://{name}:{}", canary.port());
            assert_eq!(send(&lookup, &url, false, PATIENCE).await, FORBIDDEN, "{name} at {found:?}");
        }
    }
    canary.assert_silent("private").await;
}

#[tokio::test]
async fn a_channel_that_allows_it_and_a_local_name_lead_into_a_private_network() {
    let upstream = Scripted::always(Script::reply(200, "{}")).await;
    let port = upstream.address().port();
    let (lookup, _) = finding(&[&["127.0.0.1"]]);
    let allowed = send(&lookup, &format!("http://relay.example.com:{port}"), true, PATIENCE).await;
    assert_eq!(allowed, Ok(200));
    for name in ["localhost", "gpu-box", "gpu.local", "llm.corp.internal", "nas.lan", "host.docker.internal"] {
        assert_eq!(send(&lookup, &format!("http://{name}:{port}"), false, PATIENCE).await, Ok(200), "{name}");
    }
    for literal in ["127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "[::ffff:127.0.0.1]"] {
        assert_eq!(send(&lookup, &format!("http://{literal}:{port}"), false, PATIENCE).await, Ok(200), "{literal}");
    }
}

#[tokio::test]
async fn metadata_link_local_multicast_and_unspecified_addresses_are_always_refused() {
    let canary = Canary::listen().await;
    let port = canary.port();
    for address in
        ["169.254.169.254", "100.100.100.200", "fd00:ec2::254", "fe80::1", "224.0.0.1", "ff02::1", "0.0.0.0", "::"]
    {
        let (lookup, _) = finding(&[&[address]]);
        for name in ["metadata.google.internal", "relay.example.com"] {
            let url = format!("http://{name}:{port}");
            assert_eq!(send(&lookup, &url, true, PATIENCE).await, FORBIDDEN, "{name} at {address}");
        }
        let literal = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        let url = format!("http://{literal}:{port}");
        assert_eq!(send(&lookup, &url, true, PATIENCE).await, FORBIDDEN, "{literal}");
    }
    for spelling in ["0xA9FEA9FE", "2852039166", "0251.0376.0251.0376", "[::ffff:a9fe:a9fe]", "0"] {
        let (lookup, _) = finding(&[&["127.0.0.1"]]);
        let url = format!("http://{spelling}:{port}");
        assert_eq!(send(&lookup, &url, true, PATIENCE).await, FORBIDDEN, "{spelling}");
    }
    canary.assert_silent("never").await;
}

#[tokio::test]
async fn the_judged_address_is_connected_to_without_a_second_look_up() {
    let upstream = Scripted::always(Script::reply(200, "{}").close_after()).await;
    let (lookup, asked) = finding(&[&["127.0.0.1"], &["169.254.169.254"]]);
    let transport = HttpTransport::with_lookup(PoolSettings::default(), Jobs::new(), lookup);
    let url = format!("http://rebinding.example.com:{}", upstream.address().port());
    for _ in 0..3 {
        assert_eq!(send_over(&transport, &url, true, PATIENCE).await, Ok(200));
    }
    assert_eq!((upstream.connections(), asked.load(Ordering::SeqCst)), (3, 1));
}

#[tokio::test]
async fn of_several_addresses_the_forbidden_are_skipped_and_the_next_is_tried_when_one_refuses() {
    let upstream = Scripted::always(Script::reply(200, "{}")).await;
    let url = format!("http://relay.example.com:{}", upstream.address().port());
    for found in [
        &["169.254.169.254", "127.0.0.1"][..],
        &["127.0.0.2", "127.0.0.1"],
        &["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.1"],
        // IPv6 first, and nobody there.
        &["::1", "127.0.0.1"],
    ] {
        let (lookup, _) = finding(&[found]);
        assert_eq!(send(&lookup, &url, true, PATIENCE).await, Ok(200), "{found:?}");
    }
}

#[tokio::test]
async fn a_silent_address_does_not_hold_up_the_next_one() {
    let upstream = Scripted::always(Script::reply(200, "{}")).await;
    let port = upstream.address().port();
    // A full accept queue: the kernel drops further handshakes silently.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 2], port))).unwrap();
    let silent = socket.listen(0).unwrap();
    let address = silent.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(150), TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
    }
    let (lookup, _) = finding(&[&["127.0.0.2", "127.0.0.1"]]);
    let url = format!("http://relay.example.com:{port}");
    assert_eq!(send(&lookup, &url, true, PATIENCE).await, Ok(200));
}

#[tokio::test]
async fn a_burst_of_connections_looks_the_name_up_once() {
    let upstream = Scripted::always(Script::reply(200, "{}").close_after()).await;
    let (lookup, asked) = finding(&[&["127.0.0.1"]]);
    let transport = Arc::new(HttpTransport::with_lookup(PoolSettings::default(), Jobs::new(), lookup));
    let url = format!("http://relay.example.com:{}", upstream.address().port());
    let mut burst = JoinSet::new();
    for _ in 0..20 {
        let (transport, url) = (Arc::clone(&transport), url.clone());
        burst.spawn(async move { send_over(&transport, &url, true, PATIENCE).await });
    }
    assert!(burst.join_all().await.into_iter().all(|sent| sent == Ok(200)));
    assert_eq!((upstream.connections(), asked.load(Ordering::SeqCst)), (20, 1));
}

#[tokio::test]
async fn a_dead_resolver_ends_with_the_connect_timeout_and_a_name_without_addresses_at_once() {
    let hanging: Lookup = Arc::new(|_| Box::pin(std::future::pending()));
    let short = Duration::from_millis(50);
    assert_eq!(send(&hanging, "http://api.example.com", false, short).await, Err(Failure::ConnectTimeout));
    let failing: Lookup = Arc::new(|_| Box::pin(async { Err(io::ErrorKind::NotFound.into()) }));
    let (nothing, _) = finding(&[&[]]);
    for lookup in [failing, nothing] {
        let nameless = send(&lookup, "http://api.example.com", false, PATIENCE).await;
        assert_eq!(nameless, Err(Failure::Connect(ConnectFault::NoAddress)));
    }
}

#[tokio::test]
async fn a_name_that_lies_fails_over_and_no_address_is_shown() {
    let canary = Canary::listen().await;
    let healthy = Scripted::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
    for caller in Caller::ALL {
        for (name, found) in [("relay.example.com", "127.0.0.1"), ("metadata.google.internal", "169.254.169.254")] {
            let lying = caller.own().channel("one", &format!("http://{name}:{}", canary.port()), "tier: 1,");
            let (lookup, _) = finding(&[&[found]]);
            let gateway = Gateway::with_lookup(&lying, Arc::clone(&lookup)).await;
            let answer = gateway.post(caller.path(), caller.request()).await;
            assert_eq!(answer.status, 502, "{}", answer.text());
            assert!(caller.is_error_body(&answer), "{}", answer.text());
            for secret in [found, name, "sk-secret"] {
                assert!(!answer.text().contains(secret), "{}", answer.text());
            }
            let both = [lying, Upstream::Chat.channel("two", &healthy.url(), "tier: 2,")].concat();
            let mut gateway = Gateway::with_lookup(&both, lookup).await;
            assert_eq!(gateway.post(caller.path(), caller.request()).await.status, 200);
            assert_eq!(gateway.record().await.attempts, 2);
        }
    }
    canary.assert_silent("a lying name").await;
}

#[tokio::test]
async fn redirects_are_never_followed_wherever_they_lead() {
    let canary = Canary::listen().await;
    for caller in Caller::ALL {
        for status in [300, 301, 302, 303, 305, 307, 308, 399] {
            for location in [&canary.url(), "file:///etc/passwd", "/v1/chat/completions", "gopher://127.0.0.1/", "//"] {
                let script = Script::reply(status, "").header("location", location).header("refresh", "0; url=/");
                let redirecting = Scripted::always(script).await;
                let channel = caller.own().channel("one", &redirecting.url(), "");
                let config =
                    format!("keys: [{{name: test, key: {KEY}}}]\nretry: {{max_attempts: 1}}\nchannels:\n{channel}\n");
                let mut gateway = Gateway::start(&config).await;
                for body in [caller.request().to_owned(), caller.stream_request()] {
                    let answer = gateway.post(caller.path(), body).await;
                    let story = format!("{caller:?}: {status} to {location}");
                    assert_eq!(answer.status, 502, "{story}: {}", answer.text());
                    assert!(caller.is_error_body(&answer), "{story}: {}", answer.text());
                    let passed = answer.header("location").or(answer.header("refresh"));
                    assert_eq!(passed, None, "{story}");
                    assert_eq!(gateway.record().await.usage.output, None, "{story}");
                }
                assert_eq!(redirecting.hits(), 2);
            }
        }
    }
    canary.assert_silent("a redirect").await;
}

/// A request that names the canary wherever a caller can name an address.
fn tempting(caller: Caller, canary: &str) -> String {
    let picture = format!("{canary}/picture.png");
    let content = match caller {
        Caller::Chat => format!(
            r#""messages":[{{"role":"user","content":[{{"type":"text","text":"See {picture}"}},{{"type":"image_url","image_url":{{"url":"{picture}"}}}}]}}]"#
        ),
        Caller::Messages => format!(
            r#""max_tokens":64,"messages":[{{"role":"user","content":[{{"type":"text","text":"See {picture}"}},{{"type":"image","source":{{"type":"url","url":"{picture}"}}}}]}}]"#
        ),
        Caller::Responses => format!(
            r#""input":[{{"role":"user","content":[{{"type":"input_text","text":"See {picture}"}},{{"type":"input_image","image_url":"{picture}"}}]}}]"#
        ),
    };
    format!(r#"{{"model":"m",{content}}}"#)
}

#[tokio::test]
async fn no_media_of_a_request_is_ever_fetched_whoever_asks_and_whoever_answers() {
    let canary = Canary::listen().await;
    let url = canary.url();
    for caller in Caller::ALL {
        for upstream in Upstream::ALL {
            let scripted = Scripted::by(move |request| {
                let streams = request.text().contains("\"stream\":true") || request.path_and_query.contains("alt=sse");
                if streams { Script::stream([upstream.stream()]) } else { Script::reply(200, upstream.plain()) }
            })
            .await;
            let gateway = Gateway::with_channels(&upstream.channel("one", &scripted.url(), "")).await;
            let body = tempting(caller, &url);
            for body in [body.clone(), body.replacen('{', r#"{"stream":true,"#, 1)] {
                let answer = gateway.post(caller.path(), body).await;
                let story = format!("{caller:?} over {upstream:?}: {}", answer.text());
                assert!(matches!(answer.status, 200 | 400), "{story}");
                if answer.status == 200 {
                    assert!(scripted.last().text().contains(&format!("{url}/picture.png")), "passed on, {story}");
                }
            }
        }
    }
    canary.assert_silent("media").await;
}

#[tokio::test]
async fn no_field_of_a_request_redirects_it() {
    let canary = Canary::listen().await;
    let url = canary.url();
    let temptations = format!(
        r#"{{"api_base":"{url}","base_url":"{url}","api_key":"sk-caller","api_version":"9","extra_headers":{{"host":"{url}"}},"proxy":"{url}","webhook":"{url}","#
    );
    for caller in Caller::ALL {
        let scripted = Scripted::always(Script::reply(200, caller.own().plain())).await;
        let gateway = Gateway::with_channels(&caller.own().channel("one", &scripted.url(), "")).await;
        let body = caller.request().replacen('{', &temptations, 1);
        let answer = waypost_testkit::Request::post(caller.path(), body)
            .bearer(KEY)
            .header("x-forwarded-host", &url)
            .header("forwarded", &format!("host={url}"))
            .header("x-base-url", &url)
            .send(gateway.url())
            .await;
        assert_eq!(answer.status, 200, "{caller:?}: {}", answer.text());
        let seen = scripted.last();
        let key = seen.header("authorization").or(seen.header("x-api-key")).unwrap_or_default();
        assert!(key.ends_with("sk-secret-one"), "{caller:?}: {key}");
    }
    canary.assert_silent("a field").await;
}
