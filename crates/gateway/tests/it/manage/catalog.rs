//! Channels and credentials over HTTP, by the built binary: what is written serves at once, and no secret comes back.

use serde_json::{Value, json};
use waypost_testkit::{Answer, Request, Script, Upstream, fixtures};

use super::described::Described;
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
    ask_as(gateway, TOKEN, (method, path), body, version).await
}

async fn ask_as(
    gateway: &Running,
    token: &str,
    (method, path): (&str, &str),
    body: Value,
    version: Option<&str>,
) -> Answer {
    let mut request =
        Request::new(method, path).header("content-type", "application/json").body(body.to_string()).bearer(token);
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

/// Somebody new with this role: the token of a session.
async fn person(gateway: &Running, role: &str) -> String {
    let email = format!("{role}@example.com");
    let made = ask(gateway, "POST", "/admin/users", json!({"email": email, "role": role}), None).await.json();
    let password = "correct horse battery";
    let reset = json!({"token": made["reset"]["secret"], "password": password});
    assert_eq!(ask(gateway, "POST", "/auth/reset-password", reset, None).await.status, 204);
    let login = ask(gateway, "POST", "/auth/login", json!({"email": email, "password": password}), None).await;
    login.json()["token"].as_str().unwrap().to_owned()
}

/// What the last row of the audit log says.
async fn told(gateway: &Running) -> Value {
    ask(gateway, "GET", "/admin/audit?limit=1", json!({}), None).await.json()["data"][0].clone()
}

#[tokio::test]
async fn nobody_but_an_owner_has_the_secrets_of_a_channel_sent_elsewhere() {
    let (folder, upstream) = (Folder::new(), Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await);
    let thief = Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
    let gateway = gateway(&folder, "auto").await;
    let channel = json!({
        "name": "made", "provider": "openai", "base_url": format!("{}/v1", upstream.url()), "api_key": SECRET,
        "models": ["m"], "headers": {"x-team": "blue"},
    });
    let made = ask(&gateway, "POST", "/admin/channels", channel, None).await.json();
    let path = format!("/admin/channels/{}", made["id"].as_str().unwrap());
    let theirs = json!({"base_url": format!("{}/v1", thief.url())});
    let (operator, admin) = (person(&gateway, "operator").await, person(&gateway, "admin").await);
    let patch = async |token: &str, body: Value| ask_as(&gateway, token, ("PATCH", &path), body, Some("*")).await;
    for token in [&operator, &admin] {
        for (field, body) in [
            ("base_url", theirs.clone()),
            ("base_url", json!({"base_url": null})),
            ("provider", json!({"provider": "openai_compatible"})),
            ("auth", json!({"auth": "x_api_key"})),
            ("verify_tls", json!({"verify_tls": false})),
            ("allow_private", json!({"allow_private": true})),
        ] {
            let refused = patch(token, body).await;
            assert_eq!(refused.status, 403, "{field}: {}", refused.text());
            assert!(refused.text().contains(&format!("`{field}`")), "{}", refused.text());
        }
        // Whatever else there is of a channel is theirs to change.
        let changed = patch(token, json!({"tier": 2, "limits": {"rpm": 100}, "enabled": true})).await;
        assert_eq!(changed.status, 200, "{}", changed.text());
    }
    // The owner says where their secrets go.
    assert_eq!(thief.hits(), 0);
    assert_eq!(patch(TOKEN, theirs.clone()).await.status, 200);
    let host = |upstream: &Upstream| upstream.url().trim_start_matches("http://").to_owned();
    let goes = |upstream: &Upstream| json!({"provider": "openai", "host": host(upstream)});
    let row = told(&gateway).await;
    assert_eq!(row["detail"]["destination"], json!({"before": goes(&upstream), "after": goes(&thief)}));
    assert_eq!(served_by(&gateway).await.as_deref(), Some("made/m"));
    let bearer = format!("Bearer {SECRET}");
    assert_eq!(thief.last().header("authorization"), Some(&*bearer));
    // Where there is no key, a header may still hold one.
    let bare = json!({
        "name": "bare", "provider": "ollama", "base_url": format!("{}/v1", upstream.url()), "models": ["bare"],
        "headers": {"x-team": "blue"},
    });
    let bare = ask_as(&gateway, &operator, ("POST", "/admin/channels"), bare, None).await;
    assert_eq!(bare.status, 201, "{}", bare.text());
    let path = format!("/admin/channels/{}", bare.json()["id"].as_str().unwrap());
    let mut body = theirs.clone();
    assert_eq!(ask_as(&gateway, &operator, ("PATCH", &path), body.clone(), Some("*")).await.status, 403);
    body["headers"] = json!({"x-team": "green"});
    let moved = ask_as(&gateway, &operator, ("PATCH", &path), body, Some("*")).await;
    assert_eq!(moved.status, 200, "{}", moved.text());
}

#[tokio::test]
async fn what_a_broken_file_keeps_from_being_used_says_so_and_is_in_effect_once_it_is_mended() {
    let (folder, upstream) = (Folder::new(), Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await);
    let gateway = gateway(&folder, "auto").await;
    let described = Described::at(gateway.url()).await;
    let operations = described.operations();
    let written = async |name: &str, path: &str, body: Value| {
        let operation = operations.iter().find(|operation| operation.name == name).unwrap();
        let answer = ask(&gateway, &operation.method, path, body, Some("*")).await;
        assert!(answer.status < 300, "{}", answer.text());
        described.judge(operation, &answer);
        answer.json()
    };
    let why_not = |written: &Value| {
        assert_eq!(written["in_effect"], false);
        let why = written["why"].as_str().unwrap();
        assert!(why.contains("the old one stays in use") && why.contains("channels"), "{why}");
    };
    gateway.write("waypost.yaml", "channels: nothing like that\n");
    let url = format!("{}/v1", upstream.url());
    let channel = json!({"name": "made", "provider": "openai", "base_url": url, "api_key": SECRET, "models": ["m"]});
    let made = written("channel.create", "/admin/channels", channel).await;
    why_not(&made);
    assert_eq!(served_by(&gateway).await, None);
    let path = format!("/admin/channels/{}", made["id"].as_str().unwrap());
    why_not(&written("channel.change", &path, json!({"tier": 2})).await);
    let key = json!({"channel": made["id"], "name": "other", "key": "sk-another-key-abcdefgh"});
    let other = written("credential.create", "/admin/credentials", key).await;
    why_not(&other);
    gateway.write("waypost.yaml", "channels: []\n");
    let path = format!("/admin/credentials/{}", other["id"].as_str().unwrap());
    let off = written("credential.change", &path, json!({"enabled": false})).await;
    assert_eq!((&off["in_effect"], &off["why"]), (&json!(true), &Value::Null));
    assert_eq!(served_by(&gateway).await.as_deref(), Some("made/m"));
    let shown = ask(&gateway, "GET", &path, json!({}), None).await.json();
    assert!(shown["in_effect"].is_null() && shown["enabled"] == false, "{shown}");
}
