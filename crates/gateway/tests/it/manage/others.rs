//! Users, teams, plans, invites and the audit log, as the administrator has them.

use serde_json::{Value, json};
use waypost_core::role::Role;
use waypost_store::digest;
use waypost_store::invites::{self, Invite};
use waypost_testkit::Client;

use super::isolation::person;
use super::{Stage, ask, text};
use crate::harness::{NOW, until};

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
async fn so_many_changes_are_under_way_at_once_and_one_more_is_asked_to_wait() {
    let stage = Stage::start().await;
    let team = json!({ "name": "A" });
    let all = stage.gateway.app.places.try_acquire_many(256).expect("nothing is under way");
    let refused = stage.ask("POST", "/admin/teams", team.clone()).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.text());
    assert_eq!(stage.ask("GET", "/admin/teams", NULL).await.json()["data"], json!([]), "looking goes on");
    drop(all);
    stage.make("/admin/teams", team).await;
}

#[tokio::test]
async fn nobody_keeps_the_administration_busy_by_sending_nothing() {
    let stage = Stage::start().await;
    let mut silent = Vec::new();
    for _ in 0..260 {
        let mut client = Client::connect(stage.gateway.url()).await;
        let head =
            "POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n";
        client.write(head.as_bytes()).await.unwrap();
        silent.push(client);
    }
    until("all of them are there", async || (stage.gateway.app.desk.live() == 260).then_some(())).await;
    stage.make("/admin/teams", json!({ "name": "A" })).await;
}

#[tokio::test]
async fn whoever_moves_is_told_of_to_each_team_by_its_own_side() {
    let stage = Stage::start().await;
    let team = async |name: &str| text(&stage.make("/admin/teams", json!({ "name": name })).await, "id").to_owned();
    let (one, other) = (team("A").await, team("B").await);
    let user = stage.make("/admin/users", json!({ "email": "ada@example.com", "team": one })).await;
    stage.patch(&format!("/admin/users/{}", text(&user, "id")), json!({ "team": other })).await;
    let log = stage.ask("GET", "/admin/audit?action=user.change", NULL).await.json();
    let (came, left) = (&log["data"][0], &log["data"][1]);
    assert_eq!((text(came, "team"), text(left, "team")), (other.as_str(), one.as_str()));
    assert!(!came.to_string().contains(&one) && !left.to_string().contains(&other), "{log}");
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
async fn a_reset_and_an_invite_do_not_outlive_what_whoever_made_them_may() {
    let stage = Stage::start().await;
    let team = stage.make("/admin/teams", json!({ "name": "A" })).await;
    let (admin, _, token) = person(&stage.database.store, Role::Admin, Some(text(&team, "id"))).await;
    let bob = stage.make("/admin/users", json!({ "email": "bob@example.com", "team": team["id"] })).await;
    let bob = format!("/admin/users/{}", text(&bob, "id"));
    let ask_as = async |path: &str, body: Value| ask(&stage.gateway, &token, ("POST", path), body, None).await.json();
    let kept = ask_as(&format!("{bob}/reset-password"), NULL).await;
    // Who moves up is beyond whoever was above.
    stage.patch(&bob, json!({ "team": null, "role": "admin" })).await;
    let choose = |secret: &Value| json!({ "token": secret, "password": "correct horse battery" });
    assert_eq!(stage.ask("POST", "/auth/reset-password", choose(&kept["secret"])).await.status, 403);
    let fresh = stage.ask("POST", &format!("{bob}/reset-password"), NULL).await.json();
    assert_eq!(stage.ask("POST", "/auth/reset-password", choose(&fresh["secret"])).await.status, 204);

    let invites = [ask_as("/admin/invites", json!({ "role": "admin" })).await, ask_as("/admin/invites", NULL).await];
    stage.patch(&format!("/admin/users/{admin}"), json!({ "role": "auditor" })).await;
    // One that was being made meanwhile.
    let store = &stage.database.store;
    let late = Invite {
        id: "inv_late".to_owned(),
        created_at: NOW,
        expires_at: NOW + 86_400_000 * 365,
        made_by: admin,
        user: None,
        email: None,
        role: Role::Admin,
        team: Some(text(&team, "id").to_owned()),
        plan: None,
        used_at: None,
        used_by: None,
    };
    let mut tx = store.begin().await.unwrap();
    invites::create(&mut tx, &late, &digest::of("wpi_late")).await.unwrap();
    tx.commit().await.unwrap();
    for secret in [&invites[0]["secret"], &invites[1]["secret"], &json!("wpi_late")] {
        let body = json!({ "email": "c@example.com", "password": "correct horse battery", "invite": secret });
        assert!(secret.is_string());
        assert_eq!(stage.ask("POST", "/auth/register", body).await.status, 403, "{secret}");
    }
}

#[tokio::test]
async fn a_team_does_not_learn_whose_address_is_taken() {
    let stage = Stage::start().await;
    let team = stage.make("/admin/teams", json!({ "name": "A" })).await;
    let (_, _, token) = person(&stage.database.store, Role::Owner, Some(text(&team, "id"))).await;
    stage.make("/admin/users", json!({ "email": "ada@example.com" })).await;
    let mut answers = Vec::new();
    for email in ["ada@example.com", "free@example.com"] {
        for path in ["/admin/users", "/admin/invites"] {
            let answer = ask(&stage.gateway, &token, ("POST", path), json!({ "email": email }), None).await;
            let said = answer.json()["error"]["message"].clone();
            answers.push((answer.status, said));
        }
    }
    assert_eq!(answers[..2], answers[2..]);
    assert_eq!((answers[0].0, answers[1].0), (403, 201));
    assert!(answers[0].1.as_str().is_some_and(|said| said.contains("POST /admin/invites")), "{answers:?}");
}

#[tokio::test]
async fn every_write_is_in_the_audit_log_with_who_and_what_and_from_where() {
    let stage = Stage::start().await;
    let team = stage.make("/admin/teams", json!({ "name": "A" })).await;
    let plan = stage.make("/admin/plans", json!({ "name": "P", "price_factor": "0.8" })).await;
    assert_eq!((text(&plan, "price_factor"), text(&plan, "billing")), ("0.8", "postpaid"));
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
