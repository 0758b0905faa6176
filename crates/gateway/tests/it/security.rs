//! Who behaves suspiciously is counted, told and, where that is wanted, refused for a while; never anybody else.

use serde_json::Value;
use waypost_gateway::identity::token::Tokens;
use waypost_gateway::security::keep;
use waypost_testkit::{Answer, Request, Script, Upstream, fixtures};

use crate::harness::{Database, Gateway, KEY, channel};

const CHAT: &str = "/v1/chat/completions";
const ASK: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello!"}]}"#;
const TOKEN: &str = "wp-admin-token-0123456789abcdef";
const BLOCK: &str = "security: {block: {after: 20, window: 1m, for: 10m}}";
const PROXY: &str = "server: {trusted_proxies: [127.0.0.1]}";

async fn gateway(settings: &[&str]) -> Gateway {
    let upstream = Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
    let channel = channel("o", "openai", &format!("{}/v1", upstream.url()), "[m]");
    // It has to be there as long as the test.
    std::mem::forget(upstream);
    let settings = settings.join("\n");
    Gateway::start(&format!(
        "{settings}\nadmin: {{token: {TOKEN}}}\nkeys: [{{name: a, key: {KEY}}}]\nchannels:\n{channel}"
    ))
    .await
}

async fn ask(gateway: &Gateway, key: &str, from: Option<&str>) -> Answer {
    let request = Request::post(CHAT, ASK).bearer(key);
    let request = from.into_iter().fold(request, |request, from| request.header("x-forwarded-for", from));
    request.send(gateway.url()).await
}

async fn wrong_keys(gateway: &Gateway, from: Option<&str>, times: usize) {
    for number in 0..times {
        assert_eq!(ask(gateway, &format!("wp-guess-{number}"), from).await.status, 401);
    }
}

async fn look(gateway: &Gateway) -> Value {
    let answer = Request::get("/admin/security").bearer(TOKEN).send(gateway.url()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn twenty_wrong_keys_from_one_address_are_told_and_refused_where_that_is_wanted_001_28() {
    let gateway = gateway(&[BLOCK, PROXY]).await;
    wrong_keys(&gateway, Some("192.0.2.1"), 19).await;
    assert_eq!(look(&gateway).await["incidents"], serde_json::json!([]));
    wrong_keys(&gateway, Some("192.0.2.1"), 1).await;
    let seen = look(&gateway).await;
    let incident = &seen["incidents"][0];
    assert_eq!(
        (&incident["kind"], &incident["address"], &incident["count"]),
        (&"bad_key".into(), &"192.0.2.1".into(), &20.into())
    );
    assert_eq!((&seen["blocked"][0]["address"], &seen["counts"]["bad_key"]), (&"192.0.2.1".into(), &20.into()));

    let refused = ask(&gateway, KEY, Some("192.0.2.1")).await;
    assert_eq!((refused.status, refused.header("x-should-retry")), (429, Some("false")));
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((550..=600).contains(&wait), "{wait}");
    assert_eq!(ask(&gateway, KEY, Some("192.0.2.2")).await.status, 200, "others behind the proxy are served");
    assert_eq!(ask(&gateway, KEY, Some("192.0.2.1, 198.51.100.7")).await.status, 200);
    // Whether it is well, everybody may ask; what takes a token to see, nobody may go on guessing at.
    for (path, status) in [("/health", 200), ("/health/ready", 200), ("/health/detailed", 429)] {
        let health = Request::get(path).header("x-forwarded-for", "192.0.2.1").bearer(TOKEN).send(gateway.url()).await;
        assert_eq!(health.status, status, "{path}");
    }
    let metrics = Request::get("/metrics").bearer(TOKEN).send(gateway.url()).await;
    assert!(metrics.text().contains("waypost_security_events_total{kind=\"bad_key\"} 20"), "{}", metrics.text());

    let pardon = Request::post("/admin/security/192.0.2.1/pardon", "").bearer(TOKEN).send(gateway.url()).await;
    assert_eq!(pardon.json()["was_blocked"], true);
    assert_eq!(ask(&gateway, KEY, Some("192.0.2.1")).await.status, 200);
}

#[tokio::test]
async fn nobody_is_refused_where_blocking_is_off_and_yet_it_is_told() {
    let gateway = gateway(&[]).await;
    wrong_keys(&gateway, None, 25).await;
    assert_eq!(look(&gateway).await["incidents"][0]["count"], 20);
    assert_eq!(ask(&gateway, KEY, None).await.status, 200);
}

#[tokio::test]
async fn a_header_of_ones_own_making_leads_around_nothing_and_harms_nobody() {
    let gateway = gateway(&[BLOCK]).await;
    for number in 0..20 {
        wrong_keys(&gateway, Some(&format!("192.0.2.{number}")), 1).await;
    }
    assert_eq!(ask(&gateway, KEY, Some("192.0.2.77")).await.status, 429, "all came from one address");
}

#[tokio::test]
async fn a_proxy_is_never_refused_for_those_behind_it() {
    let gateway = gateway(&[BLOCK, PROXY]).await;
    for from in [None, Some("unknown"), Some("127.0.0.1")] {
        wrong_keys(&gateway, from, 20).await;
        assert_eq!(ask(&gateway, KEY, from).await.status, 200, "{from:?}");
    }
    assert_eq!(look(&gateway).await["blocked"], serde_json::json!([]));
}

#[tokio::test]
async fn whoever_goes_on_with_wrong_keys_is_told_to_wait_and_a_good_key_is_still_good() {
    let gateway = gateway(&[]).await;
    wrong_keys(&gateway, None, 60).await;
    let refused = ask(&gateway, "wp-guess", None).await;
    assert_eq!((refused.status, refused.header("x-should-retry")), (429, Some("false")));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(ask(&gateway, KEY, None).await.status, 200);
}

#[tokio::test]
async fn keys_that_are_over_odd_heads_and_wrong_admin_tokens_are_told_apart() {
    let gateway = Gateway::start(&format!(
        "admin: {{token: {TOKEN}}}\nkeys:\n- {{name: old, key: {KEY}, enabled: false}}\n\
         - {{name: far, key: wp-far-key-0123456789, addresses: [192.0.2.1]}}\n\
         - {{name: fast, key: wp-fast-key-0123456789, limits: {{rpm: 1}}}}\n"
    ))
    .await;
    ask(&gateway, KEY, None).await;
    ask(&gateway, "wp-far-key-0123456789", None).await;
    Request::get("/v1/models").header("host", "a b").send(gateway.url()).await;
    Request::get("/admin/config").bearer("wp-guess").send(gateway.url()).await;
    Request::post(CHAT, "nonsense").bearer("wp-fast-key-0123456789").send(gateway.url()).await;
    let seen = look(&gateway).await;
    for kind in ["dead_key", "foreign_address", "bad_head", "bad_admin_token", "malformed"] {
        assert_eq!(seen["counts"][kind], 1, "{kind}: {seen}");
    }
    let keys: Vec<_> = seen["incidents"].as_array().unwrap().iter().map(|incident| incident["key"].clone()).collect();
    assert_eq!(keys, ["far", "old"]);
}

#[tokio::test]
async fn a_guess_at_the_admin_token_is_noted_wherever_that_would_tell_something_and_a_good_key_is_none() {
    let gateway = gateway(&[]).await;
    let get = async |path: &str, token: &str| Request::get(path).bearer(token).send(gateway.url()).await.status;
    for token in ["wp-guess", KEY] {
        assert_eq!(get("/admin/config", token).await, 401);
        assert_eq!(get("/metrics", token).await, 401);
        assert_eq!(get("/health/detailed", token).await, 200);
        assert_eq!(get("/health", token).await, 200, "nobody learns anything there");
    }
    for path in ["/metrics", "/health/detailed"] {
        Request::get(path).send(gateway.url()).await;
        assert_eq!(get(path, TOKEN).await, 200);
    }
    assert_eq!(look(&gateway).await["counts"]["bad_admin_token"], 3);
}

const SECRET: &str = "k3J9_sQ0vZ7pLx2mB8nRt5wYc1dFgH4a";

#[tokio::test]
async fn a_session_whose_time_is_over_is_no_guess_and_blocks_nobody() {
    let database = Database::sqlite().await;
    let yaml = format!("{BLOCK}\nadmin: {{token: {TOKEN}}}\nidentity: {{jwt_secret: {SECRET}}}\n");
    let gateway = Gateway::with_store(&yaml, database.store.clone()).await;
    let now = gateway.app.unix_millis() / 1000;
    let (ours, others) = (Tokens::new(SECRET.as_bytes()), Tokens::new(b"another secret of thirty-two bytes"));
    let get = async |token: &str| Request::get("/admin/users").bearer(token).send(gateway.url()).await.status;
    for token in [ours.issue("usr_a", "ses_a", 1, now - 900, now - 1), ours.issue("usr_a", "ses_a", 1, now, now + 9)] {
        for _ in 0..20 {
            assert_eq!(get(&token).await, 401);
        }
    }
    let seen = look(&gateway).await;
    assert_eq!((&seen["counts"]["bad_admin_token"], &seen["blocked"]), (&0.into(), &serde_json::json!([])));
    assert_eq!(get(&others.issue("usr_a", "ses_a", 1, now - 900, now - 1)).await, 401);
    assert_eq!(look(&gateway).await["counts"]["bad_admin_token"], 1);
}

#[tokio::test]
async fn a_login_that_fails_is_noted_alike_whether_or_not_there_is_such_a_user() {
    let database = Database::sqlite().await;
    let yaml = format!("{BLOCK}\nadmin: {{token: {TOKEN}}}\nidentity: {{registration: open}}\n");
    let gateway = Gateway::with_store(&yaml, database.store.clone()).await;
    let post = async |path: &str, email: &str, password: &str| {
        let body = serde_json::json!({ "email": email, "password": password }).to_string();
        Request::post(path, body).send(gateway.url()).await.status
    };
    assert_eq!(post("/auth/register", "a@example.org", "correct horse battery").await, 201);
    for email in ["a@example.org", "nobody@example.org"] {
        assert_eq!(post("/auth/login", email, "wrong password").await, 401);
    }
    assert_eq!(post("/auth/login", "a@example.org", "correct horse battery").await, 200);
    let seen = look(&gateway).await;
    assert_eq!((&seen["counts"]["bad_login"], &seen["blocked"]), (&2.into(), &serde_json::json!([])));
}

#[tokio::test]
async fn bodies_that_are_too_large_or_no_json_are_refused_001_36() {
    let gateway = gateway(&[]).await;
    let post = |body: String| Request::post(CHAT, body).bearer(KEY);
    for nonsense in [
        "",
        "{",
        "[]",
        "nonsense",
        r#"{"model":"m","messages":"Hi"}"#,
        r#"{"model":7,"messages":[]}"#,
        "{\"model\":\"\u{0}\"}",
    ] {
        let answer = post(nonsense.to_owned()).send(gateway.url()).await;
        assert_eq!(answer.status, 400, "{nonsense}: {}", answer.text());
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    }
    let huge = post(ASK.to_owned()).header("content-length", "26214401").send(gateway.url()).await;
    assert_eq!((huge.status, huge.json()["error"]["code"].as_str()), (413, Some("request_too_large")));
    let seen = look(&gateway).await;
    assert_eq!((&seen["counts"]["malformed"], &seen["counts"]["oversized"]), (&7.into(), &1.into()));
}

#[tokio::test]
async fn incidents_are_kept_in_the_database_once_and_outlive_the_process() {
    let database = Database::sqlite().await;
    let yaml = format!("admin: {{token: {TOKEN}}}\nkeys: [{{name: old, key: {KEY}, enabled: false}}]\n");
    let gateway = Gateway::with_store(&yaml, database.store.clone()).await;
    ask(&gateway, KEY, None).await;
    for _ in 0..2 {
        keep::once(&gateway.app, &database.store).await;
    }
    let later = Gateway::with_store(&yaml, database.store.clone()).await;
    let events = |query: &'static str| {
        let url = later.url().to_owned();
        async move { Request::get(query).bearer(TOKEN).send(&url).await.json()["data"].clone() }
    };
    let kept = events("/admin/security/events?kind=dead_key&key=old").await;
    assert_eq!(kept.as_array().map(Vec::len), Some(1), "{kept}");
    assert_eq!((&kept[0]["address"], &kept[0]["count"]), (&"127.0.0.1".into(), &1.into()));
    assert_eq!(events("/admin/security/events?address=192.0.2.1").await, serde_json::json!([]));
}
