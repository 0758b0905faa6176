//! Browsers: sessions in cookies, and pages of other origins.

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpStream;
use waypost_testkit::{Answer, Request};

use super::{House, PASSWORD};

/// The cookies that an answer sets, as a browser would send them back.
fn cookies(answer: &Answer) -> String {
    let set = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    let pairs: Vec<_> = set.map(|(_, value)| value.split(';').next().unwrap_or_default().to_owned()).collect();
    pairs.join("; ")
}

async fn login(house: &House) -> Answer {
    assert_eq!(house.register("a@example.org").await.status, 201);
    let login = json!({ "email": "a@example.org", "password": PASSWORD, "cookie": true });
    house.post("/auth/login", &login).await
}

#[tokio::test]
async fn a_browser_that_asks_for_it_gets_its_session_in_cookies_and_nowhere_else() {
    let house = House::open().await;
    let answer = login(&house).await;
    let set: Vec<_> = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")).collect();
    assert_eq!(set.len(), 2);
    for (_, value) in set {
        assert!(value.starts_with("__Host-waypost") && value.contains("; Path=/;"), "{value}");
        assert!(value.contains("; Secure; HttpOnly; SameSite=Strict"), "{value}");
    }
    assert!(answer.json()["token"].is_null() && answer.json()["refresh_token"].is_null());
    let profile = Request::get("/auth/profile").header("cookie", &cookies(&answer)).send(house.gateway.url()).await;
    assert_eq!(profile.status, 200);
}

#[tokio::test]
async fn a_cookie_counts_for_changes_only_from_the_gateways_own_pages() {
    let house = House::open().await;
    let cookies = cookies(&login(&house).await);
    let url = house.gateway.url();
    let own = url.replace("http://", "https://");
    let logout = |pairs: &[(&str, &str)]| {
        let request = Request::post("/auth/logout", "{}").header("cookie", &cookies);
        pairs.iter().fold(request, |request, (name, value)| request.header(name, value))
    };
    for foreign in [
        &[][..],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", own.as_str()), ("sec-fetch-site", "cross-site")],
    ] {
        assert_eq!(logout(foreign).send(url).await.status, 403, "{foreign:?}");
    }
    let refresh = Request::post("/auth/refresh", "{}").header("cookie", &cookies);
    assert_eq!(refresh.clone().send(url).await.status, 403);
    let refreshed = refresh.header("origin", &own).send(url).await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.text());
    let cookies = self::cookies(&refreshed);
    let logout = Request::post("/auth/logout", "{}").header("cookie", &cookies).header("origin", &own);
    let gone = logout.header("sec-fetch-site", "same-origin").send(url).await;
    assert_eq!(gone.status, 204);
    assert!(gone.headers.iter().any(|(_, value)| value.contains("Max-Age=0")));
    let profile = Request::get("/auth/profile").header("cookie", &cookies).send(url).await;
    assert_eq!(profile.status, 401);
}

#[tokio::test]
async fn over_http_2_where_nobody_sends_a_host_a_page_of_the_gateway_is_known_by_the_target() {
    let house = House::open().await;
    let cookies = cookies(&login(&house).await);
    let url = house.gateway.url();
    let stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for (path, origin, status) in [
        ("/auth/refresh", "http://evil.example", 403),
        ("/auth/refresh", url, 200),
        ("/auth/logout", "http://evil.example", 403),
        ("/auth/logout", url, 204),
    ] {
        let request = http::Request::post(format!("{url}{path}"))
            .header("content-type", "application/json")
            .header("cookie", &cookies)
            .header("origin", origin)
            .body(Full::new(Bytes::from_static(b"{}")))
            .unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), status, "{path} from {origin}");
    }
}
