//! What a browser is told: nothing by default, and with CORS on only listed pages, only for the data plane.

use waypost_testkit::{Answer, Client, Request, Script, Upstream, fixtures};

use crate::harness::{Gateway, KEY, channel};

const CHAT: &str = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}]}"#;
const PAGE: &str = "https://app.example";
const PATH: &str = "/v1/chat/completions";

async fn gateway(origins: &str) -> (Upstream, Gateway) {
    let upstream = Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
    let yaml = format!(
        "server: {{cors: {{origins: [{origins}], max_age: 2m}}}}\nkeys: [{{name: test, key: {KEY}}}]\nchannels:\n{}",
        channel("main", "openai", &upstream.url(), "[gpt-4o]")
    );
    (upstream, Gateway::start(&yaml).await)
}

fn preflight(path: &str, origin: &str) -> Request {
    Request::new("OPTIONS", path)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type,x-stainless-lang")
}

fn told(answer: &Answer, name: &str) -> Option<String> {
    answer.header(&format!("access-control-{name}")).map(str::to_owned)
}

#[track_caller]
fn assert_silent(answer: &Answer) {
    for name in ["allow-origin", "allow-methods", "allow-headers", "expose-headers", "max-age", "allow-credentials"] {
        assert_eq!(told(answer, name), None, "{name}");
    }
}

#[tokio::test]
async fn by_default_no_page_is_told_anything() {
    let (_upstream, gateway) = gateway("").await;
    assert_silent(&preflight(PATH, PAGE).send(gateway.url()).await);
    let answer = Request::post(PATH, CHAT).bearer(KEY).header("origin", PAGE).send(gateway.url()).await;
    assert_eq!((answer.status, answer.header("vary")), (200, None));
    assert_silent(&answer);
}

#[tokio::test]
async fn a_listed_page_may_ask_without_a_key_and_read_every_answer_and_error() {
    let (upstream, gateway) = gateway(&format!("'{PAGE}', 'http://localhost:5173'")).await;
    for path in [PATH, "/v1/messages", "/v1/embeddings", "/v1/anthropic/v1/messages", "/proxy/v1/files"] {
        let answer = preflight(path, PAGE).send(gateway.url()).await;
        assert_eq!((answer.status, answer.header("vary"), answer.body.len()), (204, Some("origin"), 0), "{path}");
        assert_eq!(told(&answer, "allow-origin").as_deref(), Some(PAGE));
        assert_eq!(told(&answer, "allow-headers").as_deref(), Some("authorization,content-type,x-stainless-lang"));
        assert_eq!((told(&answer, "max-age").as_deref(), told(&answer, "allow-credentials")), (Some("120"), None));
        assert!(told(&answer, "allow-methods").unwrap().contains("DELETE"));
        assert!(answer.header("x-request-id").is_some());
    }
    assert_eq!(upstream.hits(), 0);
    for (key, status) in [(KEY, 200), ("wrong", 401)] {
        let answer = Request::post(PATH, CHAT).bearer(key).header("origin", PAGE).send(gateway.url()).await;
        assert_eq!((answer.status, answer.header("vary")), (status, Some("origin")));
        assert_eq!(told(&answer, "allow-origin").as_deref(), Some(PAGE));
        let exposed = told(&answer, "expose-headers").unwrap();
        for name in ["x-request-id", "retry-after", "x-waypost-deployment", "x-waypost-losses"] {
            assert!(exposed.contains(name), "{name}");
        }
    }
}

#[tokio::test]
async fn another_page_is_told_nothing_and_caches_are_told_to_tell_them_apart() {
    let (_upstream, gateway) = gateway(&format!("'{PAGE}'")).await;
    for origin in ["https://evil.example", "null", "https://app.example.evil.example", "http://app.example"] {
        let answer = preflight(PATH, origin).send(gateway.url()).await;
        assert_eq!((answer.status, answer.header("vary")), (405, Some("origin")), "{origin}");
        assert_silent(&answer);
    }
    let plain = gateway.post(PATH, CHAT).await;
    assert_eq!((plain.status, plain.header("vary")), (200, Some("origin")));
    assert_silent(&plain);
}

#[tokio::test]
async fn with_a_star_any_page_may_but_still_not_with_cookies() {
    let (_upstream, gateway) = gateway("'*'").await;
    let answer =
        Request::post(PATH, CHAT).bearer(KEY).header("origin", "https://any.example").send(gateway.url()).await;
    assert_eq!((told(&answer, "allow-origin").as_deref(), answer.header("vary")), (Some("*"), None));
    assert_eq!(told(&answer, "allow-credentials"), None);
    assert_eq!(preflight(PATH, "null").send(gateway.url()).await.status, 204);
}

#[tokio::test]
async fn what_is_not_the_data_plane_is_never_opened_to_pages() {
    let (_upstream, gateway) = gateway("'*'").await;
    for path in
        ["/admin/channels", "/metrics", "/health", "/health/detailed", "/", "/v1", "/v1/../admin", "//v1/models"]
    {
        assert_silent(&preflight(path, PAGE).send(gateway.url()).await);
        assert_silent(&Request::get(path).bearer(KEY).header("origin", PAGE).send(gateway.url()).await);
    }
    // A preflight whose headers hold more than one line ends at the edge.
    let mut client = Client::connect(gateway.url()).await;
    let head =
        format!("OPTIONS {PATH} HTTP/1.1\r\nhost: a\r\norigin: {PAGE}\r\naccess-control-request-method: POST\r\n");
    client.write(format!("{head}access-control-request-headers: a\rx-evil: 1\r\n\r\n").as_bytes()).await.unwrap();
    let answer = client.answer().await.unwrap();
    assert_eq!((answer.status, answer.header("x-evil")), (400, None));
}
