//! Heads: what is no HTTP, what is too large, what could mean two things, and who is not let in.

use waypost_gateway::serve::Limits;
use waypost_testkit::{Request, Script, Upstream};

use super::{CHAT, MESSAGE, PATIENCE, answers, assert_refused, assert_serves, before, front, last_words};
use crate::harness::KEY;

/// Timers are off: what is closed is closed because of what was sent.
fn patient() -> Limits {
    Limits { keep_alive_idle: None, head_timeout: PATIENCE * 10, body_idle_timeout: PATIENCE * 10, ..Limits::default() }
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_closed() {
    let (upstream, gateway) = front(patient()).await;
    let host = "host: a\r\n\r\n";
    let cases = [
        "SSH-2.0-OpenSSH_9.9\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02\x00\x01\x00\x01\u{1}\x03\x03\r\n\r\n".to_owned(),
        "{\"model\": \"m\"}\r\n\r\n".to_owned(),
        format!("GET /v1/models HTTP/9.9\r\n{host}"),
        format!("GET /v1/models HTTP/1.1x\r\n{host}"),
        format!("GET /v1/models\r\n{host}"),
        format!("GET  /v1/models HTTP/1.1\r\n{host}"),
        format!("G@T(/) /v1/models HTTP/1.1\r\n{host}"),
        format!("GET v1/models HTTP/1.1\r\n{host}"),
        format!("GET /v1/mo dels HTTP/1.1\r\n{host}"),
        format!("GET /v1/\u{7f}models HTTP/1.1\r\n{host}"),
        format!("GET /v1/models HTTP/1.1\r\nno colon here\r\n{host}"),
        format!("GET /v1/models HTTP/1.1\r\nx\0y: 1\r\n{host}"),
        format!("GET /v1/models HTTP/1.1\r\nx: a\0b\r\n{host}"),
        format!("GET /v1/models HTTP/1.1\r\nx: a\x01b\r\n{host}"),
        format!("GET /v1/models HTTP/1.1\r\nx: a\rb\r\n{host}"),
        format!("GET /v1/models HTTP/1.1\r\nx : a\r\n{host}"),
        format!("GET /v1/models HTTP/1.1\r\nx: a\r\n folded\r\n{host}"),
        format!("GET /v1/models HTTP/1.1\r\n: a\r\n{host}"),
    ];
    for sent in cases {
        assert_refused(&last_words(&gateway, sent.as_bytes()).await, 400);
    }
    assert_eq!(upstream.hits(), 0);
    assert_serves(&gateway).await;
}

#[tokio::test]
async fn a_missing_repeated_or_strange_host_is_refused() {
    let (upstream, gateway) = front(patient()).await;
    for host in
        ["", "host: a\r\nhost: a\r\n", "host: a\r\nhost: b\r\n", "host: a/b\r\n", "host: user@a\r\n", "host:\r\n"]
    {
        let sent = format!("GET /v1/models HTTP/1.1\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n{host}\r\n");
        assert_refused(&last_words(&gateway, sent.as_bytes()).await, 400);
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn a_target_above_8_kib_is_414_and_a_head_above_64_kib_or_128_fields_431() {
    let (upstream, gateway) = front(patient()).await;
    let head = |target: &str, fields: &str| {
        format!("GET {target} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n{fields}\r\n")
    };
    for length in [8 * 1024, 60_000, 70_000] {
        let sent = head(&format!("/v1/models?{}", "x".repeat(length)), "");
        assert_refused(&last_words(&gateway, sent.as_bytes()).await, 414);
    }
    let many: String = (0..129).map(|n| format!("x-{n}: y\r\n")).collect();
    let thousands: String = (0..20_000).map(|n| format!("x-{n}: y\r\n")).collect();
    for fields in [format!("x: {}\r\n", "y".repeat(65_536)), many, thousands, format!("x: {}\r\n", "y".repeat(2 << 20))]
    {
        assert_refused(&last_words(&gateway, head("/v1/models", &fields).as_bytes()).await, 431);
    }
    let fine: String = (0..90).map(|n| format!("x-{n}: {}\r\n", "y".repeat(500))).collect();
    let said = last_words(&gateway, head(&format!("/v1/models?{}", "x".repeat(8000)), &fine).as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    assert_eq!(upstream.hits(), 0);
}

/// Framing that two readers could read in two ways, each followed by a request that only one of them would see.
#[tokio::test]
async fn a_request_hidden_behind_ambiguous_framing_never_runs() {
    let upstream = Upstream::always(Script::reply(200, waypost_testkit::fixtures::openai_chat::PLAIN)).await;
    let gateway = before(&upstream, patient()).await;
    let hidden = CHAT.replace("Hi", "smuggled");
    let hidden = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\n\r\n{hidden}",
        hidden.len()
    );
    let chunked = format!("{:x}\r\n{CHAT}\r\n0\r\n\r\n", CHAT.len());
    let counted = |value: &str| (format!("content-length: {value}\r\n"), CHAT.to_owned());
    let length = CHAT.len();
    let mut cases = vec![
        // Both lengths: the body by one, the hidden request by the other.
        ("content-length: 5\r\ntransfer-encoding: chunked\r\n".to_owned(), chunked.clone()),
        (format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n"), chunked.clone()),
        (format!("content-length: {length}\r\ncontent-length: 5\r\n"), CHAT.to_owned()),
        (format!("content-length: 5\r\ncontent-length: {length}\r\n"), CHAT.to_owned()),
        // Names that only some read.
        ("transfer-encoding : chunked\r\n".to_owned(), chunked.clone()),
        ("transfer-encoding\t: chunked\r\n".to_owned(), chunked.clone()),
        ("x: y\r\n transfer-encoding: chunked\r\n".to_owned(), chunked.clone()),
        ("transfer-encoding:\r\n chunked\r\n".to_owned(), chunked.clone()),
        ("\x0btransfer-encoding: chunked\r\n".to_owned(), chunked.clone()),
        // Chunk sizes that only some read.
        ("transfer-encoding: chunked\r\n".to_owned(), format!("0x{chunked}")),
        ("transfer-encoding: chunked\r\n".to_owned(), format!("+{chunked}")),
        ("transfer-encoding: chunked\r\n".to_owned(), format!("-{chunked}")),
        ("transfer-encoding: chunked\r\n".to_owned(), format!("ffffffffffffffff0{chunked}")),
        ("transfer-encoding: chunked\r\n".to_owned(), format!("{:x}\r\n{CHAT}0\r\n\r\n", CHAT.len())),
    ];
    for value in ["+5", "-5", "0x5", "5 5", "5,6", "5, 6", "5;", "5.0", "", " ", "\t", "18446744073709551621"] {
        cases.push(counted(value));
    }
    for value in
        ["xchunked", "chunked, identity", "chunkedx", "chunked;q=1", "chunked\x0b", "gzip", "identity", "\"chunked\""]
    {
        cases.push((format!("transfer-encoding: {value}\r\n"), chunked.clone()));
        cases.push((format!("transfer-encoding: {value}\r\ncontent-length: {length}\r\n"), CHAT.to_owned()));
    }
    cases.push(("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n".to_owned(), chunked.clone()));
    cases.push(("transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n".to_owned(), chunked.clone()));
    for (framing, body) in cases {
        for version in ["1.1", "1.0"] {
            let sent = format!(
                "POST /v1/chat/completions HTTP/{version}\r\nhost: a\r\nauthorization: Bearer {KEY}\r\n{framing}\r\n{body}{hidden}"
            );
            let before = upstream.hits();
            let said = last_words(&gateway, sent.as_bytes()).await;
            let story = format!("{version} {framing:?} {body:.20}: {said}");
            assert!(answers(&said) == 1, "answered once, then closed: {story}");
            assert!(said.starts_with(&format!("HTTP/{} 4", "1.1")) || upstream.hits() == before + 1, "{story}");
        }
    }
    for (framing, body) in [
        ("transfer-encoding: chunked\r\n", &chunked),
        ("transfer-encoding: chunked\r\ncontent-length: 5\r\n", &chunked),
    ] {
        let sent = format!(
            "POST /v1/chat/completions HTTP/1.0\r\nhost: a\r\nauthorization: Bearer {KEY}\r\nconnection: keep-alive\r\n{framing}\r\n{body}{hidden}"
        );
        let said = last_words(&gateway, sent.as_bytes()).await;
        assert_eq!(answers(&said), 1, "HTTP/1.0 knows no chunks: {said}");
    }
    let seen = upstream.requests();
    assert!(seen.iter().all(|request| !String::from_utf8_lossy(&request.body).contains("smuggled")), "it ran");
}

#[tokio::test]
async fn a_line_break_in_a_header_a_path_or_a_model_name_is_refused_and_writes_nothing() {
    let (upstream, gateway) = front(patient()).await;
    let close = format!("host: a\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n");
    let model = CHAT.replace(r#""m""#, r#""m\r\nx-evil: 1""#);
    let cases = [
        format!("GET /v1/models HTTP/1.1\r\n{close}x-request-id: a\rx-evil: 1\r\n\r\n"),
        format!("GET /v1/files/a%0d%0ax-evil:%201 HTTP/1.1\r\n{close}\r\n"),
        format!("GET /v1/models/a%0D%0Ax-evil:%201 HTTP/1.1\r\n{close}\r\n"),
        format!("POST /v1/chat/completions HTTP/1.1\r\n{close}content-length: {}\r\n\r\n{model}", model.len()),
    ];
    for sent in cases {
        let said = last_words(&gateway, sent.as_bytes()).await;
        assert_refused(&said, 400);
        assert!(!said.contains("\nx-evil"), "{said}");
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn no_path_leads_out_of_the_table_or_to_a_file() {
    let (upstream, gateway) = front(patient()).await;
    for path in [
        "/../../etc/passwd",
        "/v1/../../etc/passwd",
        "/v1/%2e%2e/%2e%2e/etc/passwd",
        "/v1/%2E%2e%2f%2e%2e%2fetc/passwd",
        "/v1/..%2f..%2fetc/passwd",
        "/v1/%252e%252e/etc/passwd",
        "/v1/..;/admin",
        "/v1/a;b/c",
        "/v1/..\\..\\etc\\passwd",
        "/v1/..%5c..%5cetc",
        "/v1/files/%00",
        "/v1/.",
        "/v1//models",
        "//v1/models",
        "/V1/models",
        "/v1/chat/completions/",
        "/v1/messages/",
        "/v1/chat//completions",
        "/.env",
        "/.git/config",
        "/debug/pprof",
        "/server-status",
        "/static/../waypost.yaml",
        "/waypost.yaml",
    ] {
        let sent =
            format!("GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n\r\n");
        assert_refused(&last_words(&gateway, sent.as_bytes()).await, 404);
    }
    // The same in absolute form, as a proxy is asked.
    let sent = format!(
        "GET http://a/v1/../admin HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n\r\n"
    );
    assert_refused(&last_words(&gateway, sent.as_bytes()).await, 404);
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn nobody_is_echoed_or_tunnelled() {
    let (upstream, gateway) = front(patient()).await;
    let close = format!("host: a\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n\r\n");
    for start in ["TRACE /v1/models", "TRACK /v1/files", "CONNECT upstream.example:443", "CONNECT /v1/models"] {
        let said = last_words(&gateway, format!("{start} HTTP/1.1\r\n{close}").as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 40"), "{start}: {said}");
        assert!(!said.contains(KEY) && answers(&said) == 1, "{start}: {said}");
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test]
async fn without_exactly_one_good_key_there_is_one_constant_401_and_no_upstream_call() {
    let (upstream, gateway) = front(patient()).await;
    let bearer = format!("authorization: Bearer {KEY}\r\n");
    let cases = [
        String::new(),
        format!("{bearer}{bearer}"),
        format!("{bearer}authorization: Bearer other\r\n"),
        format!("authorization: Basic Zm9v\r\n{bearer}"),
        format!("x-api-key: {KEY}\r\nx-api-key: {KEY}\r\n"),
        format!("x-api-key: {KEY}\r\n{bearer}{bearer}"),
        "authorization: \r\n".to_owned(),
        "authorization: Bearer\r\n".to_owned(),
        format!("authorization: Bearer  Bearer {KEY}\r\n"),
        format!("authorization: Bearer {KEY}, Bearer {KEY}\r\n"),
        format!("authorization: {KEY}\r\n"),
        "authorization: Bearer \u{e9}\u{fffd}\r\n".to_owned(),
        format!("authorization: Bearer {}\r\n", "a".repeat(30_000)),
        format!("cookie: api_key={KEY}\r\n"),
        format!("x-goog-api-key: {KEY}\r\n"),
    ];
    let mut bodies = std::collections::BTreeSet::new();
    for fields in cases {
        for target in ["/v1/chat/completions", &format!("/v1/chat/completions?api_key={KEY}&key={KEY}&token={KEY}")] {
            let sent = format!(
                "POST {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}content-length: {}\r\n\r\n{CHAT}",
                CHAT.len()
            );
            let said = last_words(&gateway, sent.as_bytes()).await;
            assert_refused(&said, 401);
            bodies.insert(said.split_once("\r\n\r\n").unwrap().1.to_owned());
            assert!(!said.contains(KEY), "{said}");
        }
    }
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert_eq!(upstream.hits(), 0);
    let both = Request::post("/v1/messages", MESSAGE).bearer(KEY).header("x-api-key", KEY).send(gateway.url()).await;
    assert_ne!(both.status, 401, "one key in two places is what some clients send");
}
