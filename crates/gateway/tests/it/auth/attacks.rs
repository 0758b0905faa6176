//! Tokens that are not what they claim to be, and requests that are not what they seem.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};
use waypost_testkit::Request;

use super::{House, PASSWORD, SECRET, said, text};

/// Signs like somebody who has the secret.
fn signed(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn a_tampered_an_expired_and_a_strange_token_are_told_the_same_001_35() {
    let house = House::open().await;
    let session = house.somebody("a@example.org").await;
    let token = text(&session, "token");
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    let good = claims(token);
    let with = |claim: &str, value: Value| {
        let mut claims = good.clone();
        claims[claim] = value;
        signed(&header, &claims)
    };
    let now = i64::try_from(house.gateway.app.unix_seconds()).unwrap();
    assert_eq!(house.profile_status(&signed(&header, &good)).await, 200, "the forger is able");
    let refused = said(&house.get_as("nonsense", "/auth/profile").await);
    assert_eq!((refused.0, text(&refused.1["error"], "code")), (401, "invalid_session"));
    let (head, rest) = token.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let other = URL_SAFE_NO_PAD.encode(json!({ "sub": "usr_x" }).to_string());
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    for strange in [
        with("exp", json!(now - 1)),
        with("exp", json!((now + 900).to_string())),
        with("exp", json!(1e12)),
        with("exp", Value::Null),
        with("iat", json!(now + 3600)),
        with("sub", json!("usr_other")),
        with("sid", json!("ses_other")),
        with("gen", json!(2)),
        with("nbf", json!("0")),
        signed(&json!({ "alg": "HS256", "typ": "JWT", "kid": "x" }), &good),
        signed(&json!({ "alg": "HS256", "typ": "JWT", "jwk": {} }), &good),
        signed(&json!({ "alg": "RS256", "typ": "JWT" }), &good),
        signed(&json!({ "alg": "none", "typ": "JWT" }), &good),
        format!("{none}.{body}."),
        format!("{none}.{body}.{signature}"),
        format!("{head}.{other}.{signature}"),
        format!("{head}.{body}.{}", &signature[1..]),
        format!("{token}x"),
        text(&session, "refresh_token").to_owned(),
        text(&session, "id").to_owned(),
    ] {
        assert_eq!(said(&house.get_as(&strange, "/auth/profile").await), refused, "{strange}");
    }
    assert_eq!(house.profile_status(token).await, 200);
}

#[tokio::test]
async fn a_token_is_taken_from_one_header_and_nowhere_else() {
    let house = House::open().await;
    let session = house.somebody("a@example.org").await;
    let token = text(&session, "token");
    let profile = |path: &str| Request::get(path);
    for request in [
        profile("/auth/profile").header("x-api-key", token),
        profile(&format!("/auth/profile?token={token}")),
        profile("/auth/profile").header("cookie", &format!("token={token}")),
        profile("/auth/profile").bearer(token).bearer(token),
        profile("/auth/profile").header("authorization", token),
        profile("/auth/profile").header("authorization", &format!("Basic {token}")),
    ] {
        assert_eq!(request.send(house.gateway.url()).await.status, 401, "{request:?}");
    }
    // A session opens no models, and a key of the gateway no profile.
    let chat = Request::post("/v1/chat/completions", "{}").bearer(token).send(house.gateway.url()).await;
    assert_eq!(chat.status, 401);
}

#[tokio::test]
async fn bodies_are_small_named_json_and_no_form_of_a_foreign_page() {
    let house = House::open().await;
    assert_eq!(house.register("a@example.org").await.status, 201);
    let body = json!({ "email": "a@example.org", "password": PASSWORD }).to_string();
    let login =
        |kind: &str, body: &str| Request::new("POST", "/auth/login").header("content-type", kind).body(body.to_owned());
    assert_eq!(login("application/json; charset=utf-8", &body).send(house.gateway.url()).await.status, 200);
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
        assert_eq!(login(kind, &body).send(house.gateway.url()).await.status, 400, "{kind}");
    }
    let large = json!({ "email": "a@example.org", "password": "x".repeat(20_000) }).to_string();
    assert_eq!(login("application/json", &large).send(house.gateway.url()).await.status, 413);
    let twice = r#"{"email": "a@example.org", "password": "x", "password": "correct horse battery"}"#;
    let twice = login("application/json", twice).send(house.gateway.url()).await;
    assert_eq!((twice.status, twice.json()["error"]["param"].as_str()), (400, Some("password")));
    let typed = login("application/json", r#"{"email": "a@example.org", "password": ["hunter2hunter2"]}"#);
    let typed = typed.send(house.gateway.url()).await;
    assert!(typed.status == 400 && !typed.text().contains("hunter2"), "{}", typed.text());
}

#[tokio::test]
async fn paths_that_are_nearly_right_are_not_found_and_wrong_methods_are_told() {
    let house = House::open().await;
    for path in [
        "/auth/Login",
        "/auth//login",
        "/auth/login/",
        "/auth/../auth/login",
        "/auth/%6cogin",
        "/auth/login;x",
        "/AUTH/login",
    ] {
        assert_eq!(house.post(path, &json!({})).await.status, 404, "{path}");
    }
    for (path, allow) in [("/auth/login", "POST"), ("/auth/sessions/ses_00000000000000000000000000", "DELETE")] {
        let answer = Request::get(path).send(house.gateway.url()).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{path}");
    }
    // No page of another origin is told that it may.
    let preflight = Request::new("OPTIONS", "/auth/login").header("origin", "https://evil.example");
    let preflight = preflight.header("access-control-request-method", "POST").send(house.gateway.url()).await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (405, None));
}

#[tokio::test]
async fn a_storm_of_logins_is_answered_and_bounded() {
    let house = House::open().await;
    assert_eq!(house.register("a@example.org").await.status, 201);
    let url = house.gateway.url().to_owned();
    let asking: Vec<_> = (0..60)
        .map(|number| {
            let body = json!({ "email": format!("{number}@example.org"), "password": "wrong password" }).to_string();
            let url = url.clone();
            tokio::spawn(async move { Request::post("/auth/login", body).send(&url).await.status })
        })
        .collect();
    let mut statuses = Vec::new();
    for one in asking {
        statuses.push(one.await.unwrap());
    }
    assert!(statuses.iter().all(|status| matches!(status, 401 | 429)), "{statuses:?}");
    assert!(statuses.contains(&401) && statuses.contains(&429), "{statuses:?}");
}
