//! Users, teams, plans, invites and the audit log, as the administrator has them.

use serde_json::{Value, json};

use super::{Stage, text};

const NULL: Value = Value::Null;

#[tokio::test]
async fn a_user_is_made_with_a_reset_that_is_shown_once() {
    let stage = Stage::start().await;
    let made = stage.make("/admin/users", json!({ "email": "ada@example.com", "role": "operator" })).await;
    let secret = text(&made["reset"], "secret").to_owned();
    assert!(secret.starts_with("wpi_"));
    let path = format!("/admin/users/{}", text(&made, "id"));
    for path in [path.as_str(), "/admin/users", "/admin/invites", "/admin/audit"] {
        let answer = stage.ask("GET", path, NULL).await;
        assert!(answer.status == 200 && !answer.text().contains(&secret), "{path}");
    }
    let again = stage.ask("POST", "/admin/users", json!({ "email": "Ada@Example.com" })).await;
    assert_eq!(again.status, 409);
    for (body, param) in [
        (json!({ "email": "ada" }), "email"),
        (json!({ "email": "b@example.com", "role": "king" }), ""),
        (json!({ "email": "b@example.com", "password": "a" }), "password"),
        (json!({ "email": "b@example.com", "team": "team_0" }), "team"),
    ] {
        let answer = stage.ask("POST", "/admin/users", body.clone()).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.json()["error"]["param"].as_str().unwrap_or_default(), param, "{body}");
    }
}

#[tokio::test]
async fn a_user_who_moves_takes_the_keys_along() {
    let stage = Stage::start().await;
    let team = stage.make("/admin/teams", json!({ "name": "A" })).await;
    let user = stage.make("/admin/users", json!({ "email": "ada@example.com" })).await;
    let key = stage.make("/admin/keys", json!({ "name": "k", "user": user["id"] })).await;
    assert_eq!(key["team"], NULL);
    stage.patch(&format!("/admin/users/{}", text(&user, "id")), json!({ "team": team["id"] })).await;
    let path = format!("/admin/keys/{}", text(&key, "id"));
    assert_eq!(stage.ask("GET", &path, NULL).await.json()["team"], team["id"]);
    // Nobody of a disabled team may call.
    assert_eq!(stage.chat(text(&key, "key")).await, 200);
    stage.patch(&format!("/admin/teams/{}", text(&team, "id")), json!({ "enabled": false })).await;
    assert_eq!(stage.chat(text(&key, "key")).await, 401);
}

#[tokio::test]
async fn the_last_owner_stays_one_and_is_told_why() {
    let stage = Stage::start().await;
    let owner = stage.make("/admin/users", json!({ "email": "ada@example.com", "role": "owner" })).await;
    let path = format!("/admin/users/{}", text(&owner, "id"));
    let refused = stage.ask_with("PATCH", &path, json!({ "role": "admin" }), Some("*")).await;
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("last owner"), "{}", refused.text());
}

#[tokio::test]
async fn an_invite_is_taken_back_before_it_is_used() {
    let stage = Stage::start().await;
    let invite = stage.make("/admin/invites", json!({ "email": "b@example.com", "days": 1 })).await;
    assert!(text(&invite, "secret").starts_with("wpi_"));
    let path = format!("/admin/invites/{}", text(&invite, "id"));
    assert_eq!(stage.ask("DELETE", &path, NULL).await.status, 204);
    assert_eq!(stage.ask("DELETE", &path, NULL).await.status, 404);
    let bad = stage.ask("POST", "/admin/invites", json!({ "days": 91 })).await;
    assert_eq!((bad.status, text(&bad.json()["error"], "param")), (400, "days"));
}

#[tokio::test]
async fn every_write_is_in_the_audit_log_with_who_and_what_and_from_where() {
    let stage = Stage::start().await;
    let team = stage.make("/admin/teams", json!({ "name": "A" })).await;
    let plan = stage.make("/admin/plans", json!({ "name": "P", "price_factor": "0.8" })).await;
    assert_eq!((text(&plan, "price_factor"), text(&plan, "billing")), ("0.8", "prepaid"));
    let key = stage.make("/admin/keys", json!({ "name": "k", "team": team["id"], "plan": plan["id"] })).await;
    stage.patch(&format!("/admin/keys/{}", text(&key, "id")), json!({ "name": "other" })).await;
    stage.ask("DELETE", &format!("/admin/keys/{}", text(&key, "id")), NULL).await;
    let log = stage.ask("GET", "/admin/audit?limit=10", NULL).await.json();
    let actions: Vec<_> = log["data"].as_array().unwrap().iter().map(|row| text(row, "action")).collect();
    assert_eq!(actions, ["key.revoke", "key.change", "key.create", "plan.create", "team.create"]);
    let change = &log["data"][1];
    assert_eq!((text(change, "actor"), text(change, "address"), &change["team"]), ("token", "127.0.0.1", &team["id"]));
    assert_eq!(change["detail"]["before"]["name"], "k");
    assert_eq!(change["detail"]["after"]["name"], "other");
    let of_key = stage.ask("GET", &format!("/admin/audit?subject={}&limit=2", text(&key, "id")), NULL).await.json();
    assert_eq!((of_key["data"].as_array().map(Vec::len), of_key["next"].is_string()), (Some(2), true));
    // A refused write leaves nothing behind.
    assert_eq!(stage.ask("POST", "/admin/teams", json!({ "name": "A" })).await.status, 409);
    let after = stage.ask("GET", "/admin/audit?limit=1", NULL).await.json();
    assert_eq!(after["data"][0], log["data"][0]);
}
