//! Channels and credentials over HTTP, by the built binary: what is written serves at once, and no secret comes back.

use serde_json::{Value, json};
use waypost_testkit::{Answer, Request, Script, Upstream, fixtures};

use crate::harness::KEY;
use crate::start::{Running, Waypost};
use crate::transfer::Folder;

const TOKEN: &str = "an-admin-token-0123456789";
const SECRET: &str = "sk-entered-by-hand-0123456789";

async fn gateway(folder: &Folder, mode: &str) -> Running {
    let waypost = Waypost::new().arguments(&["--port", "0", "--mode", mode]).env("DB_PATH", &folder.database());
    let waypost = waypost.file("waypost.yaml", "channels: [{name: filed, provider: openai, api_key: sk-1}]\n");
    waypost.env("WAYPOST_ADMIN_TOKEN", TOKEN).env("WAYPOST_API_KEY", KEY).start().await
}

async fn ask(gateway: &Running, method: &str, path: &str, body: Value, version: Option<&str>) -> Answer {
    let mut request =
        Request::new(method, path).header("content-type", "application/json").body(body.to_string()).bearer(TOKEN);
    if let Some(version) = version {
        request = request.header("if-match", version);
    }
    let answer = request.send(gateway.url()).await;
    assert!(!answer.text().contains(SECRET), "{}", answer.text());
    answer
}

async fn served_by(gateway: &Running) -> Option<String> {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hello!"}]}"#;
    let answer = Request::post("/v1/chat/completions", body).bearer(KEY).send(gateway.url()).await;
    answer.header("x-waypost-deployment").map(str::to_owned)
}

#[tokio::test]
async fn a_channel_that_is_made_serves_at_once_and_its_key_is_never_shown_again() {
    let (folder, upstream) = (Folder::new(), Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await);
    let gateway = gateway(&folder, "auto").await;
    let channel = json!({
        "name": "made", "provider": "openai", "dialects": ["openai_chat"], "base_url": format!("{}/v1", upstream.url()),
        "api_key": SECRET, "models": ["m"], "headers": {"x-team": "blue"},
    });
    let made = ask(&gateway, "POST", "/admin/channels", channel.clone(), None).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    assert_eq!((&made["credentials"][0]["hint"], &made["has_headers"]), (&json!("6789"), &json!(true)));
    assert!(!made.to_string().contains("blue"));
    assert_eq!(served_by(&gateway).await.as_deref(), Some("made/m"));
    assert_eq!(upstream.requests()[0].header("authorization"), Some(format!("Bearer {SECRET}").as_str()));
    assert_eq!(ask(&gateway, "POST", "/admin/channels", channel, None).await.status, 409);

    let path = format!("/admin/channels/{}", made["id"].as_str().unwrap());
    let shown = ask(&gateway, "GET", &path, json!({}), None).await;
    let version = shown.header("etag").unwrap().to_owned();
    let off = ask(&gateway, "PATCH", &path, json!({"enabled": false}), Some(&version)).await;
    assert_eq!((off.status, &off.json()["enabled"]), (200, &json!(false)), "{}", off.text());
    assert_eq!(served_by(&gateway).await, None);
    assert_eq!(ask(&gateway, "PATCH", &path, json!({"enabled": true}), Some(&version)).await.status, 412);
    assert_eq!(ask(&gateway, "PATCH", &path, json!({"enabled": true}), Some("*")).await.status, 200);

    let credential = format!("/admin/credentials/{}", made["credentials"][0]["id"].as_str().unwrap());
    let another = ask(&gateway, "PATCH", &credential, json!({"key": "sk-another-key-abcdefgh"}), Some("*")).await;
    assert_eq!((another.status, &another.json()["hint"]), (200, &json!("efgh")), "{}", another.text());
    assert_eq!(served_by(&gateway).await.as_deref(), Some("made/m"));
    assert_eq!(upstream.last().header("authorization"), Some("Bearer sk-another-key-abcdefgh"));

    assert_eq!(ask(&gateway, "DELETE", &path, json!({}), None).await.status, 204);
    assert_eq!(served_by(&gateway).await, None);
    assert_eq!(ask(&gateway, "GET", &path, json!({}), None).await.status, 404);
}

#[tokio::test]
async fn what_cannot_work_or_belongs_to_a_file_is_refused_before_it_is_written() {
    let folder = Folder::new();
    let gateway_of = gateway(&folder, "auto").await;
    let cases = [
        (json!({"name": "x", "provider": "opnai", "api_key": "k"}), 400, "provider"),
        (json!({"name": "x", "provider": "openai", "api_key": "k", "tier": 11}), 400, "tier"),
        (json!({"name": "filed", "provider": "openai", "api_key": "k"}), 409, "name"),
        (json!({"provider": "openai"}), 400, ""),
    ];
    for (body, status, param) in cases {
        let answer = ask(&gateway_of, "POST", "/admin/channels", body, None).await;
        let told = answer.json()["error"]["param"].as_str().unwrap_or_default().to_owned();
        assert_eq!((answer.status, told.as_str()), (status, param), "{}", answer.text());
    }
    let exported = ask(&gateway_of, "GET", "/admin/catalog", json!({}), None).await;
    assert_eq!(exported.json()["channels"], json!([]));
    drop(gateway_of);
    let filed = gateway(&folder, "yaml").await;
    let answer = ask(&filed, "POST", "/admin/channels", json!({"name": "x", "provider": "openai"}), None).await;
    assert!(answer.status == 409 && answer.text().contains("--mode"), "{}", answer.text());
}
