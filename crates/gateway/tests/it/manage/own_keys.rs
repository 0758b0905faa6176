//! A user's own keys, at the paths that applications of users know: made, shown once, changed and ended by their owner, and
//! nobody else's business.

use serde_json::{Value, json};
use waypost_core::role::Role;
use waypost_testkit::Answer;

use super::isolation::person;
use super::{Stage, ask, chat, text};

const PATH: &str = "/auth/api-keys";

/// Somebody who is signed in.
struct User<'a> {
    stage: &'a Stage,
    id: String,
    token: String,
}

impl<'a> User<'a> {
    async fn of(stage: &'a Stage) -> Self {
        Self::who_is(stage, Role::Member, None).await
    }

    async fn who_is(stage: &'a Stage, role: Role, team: Option<&str>) -> Self {
        let (id, _, token) = person(&stage.database.store, role, team).await;
        Self { stage, id, token }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        let version = matches!(method, "PUT" | "PATCH" | "DELETE").then_some("*");
        ask(&self.stage.gateway, &self.token, (method, path), body, version).await
    }

    /// A new key: its path and its text.
    async fn make(&self, body: Value) -> (String, String) {
        let made = self.ask("POST", PATH, body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        (format!("{PATH}/{}", text(&made.json(), "id")), text(&made.json(), "key").to_owned())
    }
}

#[tokio::test]
async fn nobody_fills_the_memory_with_keys_of_their_own() {
    let stage = Stage::start().await;
    let user = User::of(&stage).await;
    let (first, _) = user.make(json!({ "name": "k" })).await;
    for _ in 1..200 {
        user.make(json!({ "name": "k" })).await;
    }
    let refused = user.ask("POST", PATH, json!({ "name": "k" })).await;
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("revoke"), "{}", refused.text());
    assert_eq!(user.ask("DELETE", &first, Value::Null).await.status, 200);
    user.make(json!({ "name": "k" })).await;
    // Whoever answers for everything makes as many as it takes.
    stage.make("/admin/keys", json!({ "name": "k", "user": user.id })).await;
}

#[tokio::test]
async fn a_user_makes_a_key_that_is_shown_once_001_06() {
    let stage = Stage::start().await;
    let user = User::of(&stage).await;
    let (path, key) = user.make(json!({ "name": "app" })).await;
    assert_eq!(stage.chat(&key).await, 200);
    for path in [PATH, &path] {
        let shown = user.ask("GET", path, Value::Null).await;
        assert!(shown.status == 200 && shown.text().contains("\"app\"") && !shown.text().contains(&key), "{path}");
    }
    let nobody = ask(&stage.gateway, "nobody", ("POST", PATH), json!({ "name": "app" }), None).await;
    assert_eq!(nobody.status, 401);
}

#[tokio::test]
async fn a_user_lists_renames_and_limits_own_keys_and_no_others_001_07() {
    let stage = Stage::start().await;
    let (user, other) = (User::of(&stage).await, User::of(&stage).await);
    let (path, key) = user.make(json!({ "name": "app" })).await;
    other.make(json!({ "name": "foreign" })).await;
    let changed = user.ask("PUT", &path, json!({ "name": "renamed", "limits": { "rpm": 1 } })).await;
    assert_eq!((changed.status, text(&changed.json(), "name")), (200, "renamed"), "{}", changed.text());
    assert_eq!((stage.chat(&key).await, stage.chat(&key).await), (200, 429));
    let listed = user.ask("GET", PATH, Value::Null).await.json();
    let names: Vec<&str> = listed["data"].as_array().unwrap().iter().map(|key| text(key, "name")).collect();
    assert_eq!(names, ["renamed"]);
    for (method, body) in [("GET", Value::Null), ("PUT", json!({ "name": "mine" })), ("DELETE", Value::Null)] {
        assert_eq!(other.ask(method, &path, body).await.status, 404, "{method}");
    }
    // Who owns a key, and what its plan is, is not for its owner to say.
    for field in ["user", "team", "plan"] {
        let answer = user.ask("PUT", &path, json!({ field: "other" })).await;
        assert_eq!(answer.status, 400, "{field}: {}", answer.text());
    }
    assert_eq!(text(&user.ask("GET", &path, Value::Null).await.json(), "name"), "renamed");
}

#[tokio::test]
async fn a_key_that_its_user_ends_is_refused_in_the_next_request_001_08() {
    let stage = Stage::start().await;
    let user = User::of(&stage).await;
    let (path, key) = user.make(json!({ "name": "app" })).await;
    let (_, kept) = user.make(json!({ "name": "kept" })).await;
    assert_eq!(stage.chat(&key).await, 200);
    assert_eq!(user.ask("DELETE", &path, Value::Null).await.status, 200);
    let refused = chat(&stage.gateway, &key, "m").await;
    assert_eq!((refused.status, text(&refused.json()["error"], "type")), (401, "invalid_request_error"));
    assert_eq!(stage.chat(&kept).await, 200);
}

/// Each thing that a key may have, to be changed to, and the field that says so.
fn changes() -> [(Value, &'static str); 9] {
    [
        (json!({ "limits": { "rpm": null } }), "limits.rpm"),
        (json!({ "limits": { "rpm": 1 } }), "limits.rpm"),
        (json!({ "limits": { "tpm": 9 } }), "limits.tpm"),
        (json!({ "limits": { "concurrency": 9 } }), "limits.concurrency"),
        (json!({ "limits": { "tokens_per_day": 9 } }), "limits.tokens_per_day"),
        (json!({ "scopes": { "models": null } }), "scopes.models"),
        (json!({ "scopes": { "endpoints": ["embeddings"] } }), "scopes.endpoints"),
        (json!({ "expires_at": null }), "expires_at"),
        (json!({ "enabled": true }), "enabled"),
    ]
}

/// What an administrator sets on a key, for whoever it is for.
fn set(whose: (&str, &str)) -> Value {
    json!({
        "name": "given", whose.0: whose.1, "limits": { "rpm": 5 }, "scopes": { "models": ["m"] },
        "expires_at": 4_000_000_000_000_i64, "enabled": false,
    })
}

#[tokio::test]
async fn what_an_administrator_set_on_a_key_stays_and_its_holder_renames_disables_and_ends_it() {
    let stage = Stage::start().await;
    let user = User::of(&stage).await;
    let made = stage.make("/admin/keys", set(("user", &user.id))).await;
    let path = format!("{PATH}/{}", text(&made, "id"));
    for (change, field) in changes() {
        for path in [path.clone(), path.replace("/auth/api-keys", "/admin/keys")] {
            let answer = user.ask("PATCH", &path, change.clone()).await;
            let error = answer.json()["error"].clone();
            assert_eq!((answer.status, text(&error, "param")), (403, field), "{change} at {path}");
            assert!(text(&error, "message").contains(field), "{error}");
        }
    }
    // What says nothing new is no change.
    let same = json!({ "name": "mine", "limits": { "rpm": 5 }, "enabled": false });
    let renamed = user.ask("PUT", &path, same).await;
    assert_eq!((renamed.status, text(&renamed.json(), "name")), (200, "mine"), "{}", renamed.text());
    stage.patch(&path.replace("/auth/api-keys", "/admin/keys"), json!({ "enabled": true })).await;
    assert_eq!(user.ask("PATCH", &path, json!({ "enabled": false })).await.status, 200);
    assert_eq!(user.ask("PATCH", &path, json!({ "enabled": true })).await.status, 403);
    assert_eq!(user.ask("DELETE", &path, Value::Null).await.status, 200);
}

#[tokio::test]
async fn a_teams_admin_changes_keys_that_its_people_made_and_not_what_the_instance_set() {
    let stage = Stage::start().await;
    let team = stage.make("/admin/teams", json!({ "name": "A" })).await;
    let team = text(&team, "id");
    let admin = User::who_is(&stage, Role::Admin, Some(team)).await;
    let member = User::who_is(&stage, Role::Member, Some(team)).await;
    let given = stage.make("/admin/keys", set(("team", team))).await;
    let given = format!("/admin/keys/{}", text(&given, "id"));
    for (change, field) in changes() {
        let answer = admin.ask("PATCH", &given, change).await;
        assert_eq!((answer.status, text(&answer.json()["error"], "param")), (403, field));
    }
    assert_eq!(admin.ask("PATCH", &given, json!({ "name": "ours" })).await.status, 200);
    let limits = || json!({ "limits": { "rpm": 7 }, "enabled": true });
    let (of_member, _) = member.make(json!({ "name": "app" })).await;
    let of_member = of_member.replace("/auth/api-keys", "/admin/keys");
    assert_eq!(admin.ask("PATCH", &of_member, limits()).await.status, 200);
    // What the team's admin sets on a key for a member, the member does not take away.
    let made = admin.ask("POST", "/admin/keys", set(("user", &member.id))).await.json();
    let for_member = format!("{PATH}/{}", text(&made, "id"));
    assert_eq!(member.ask("PATCH", &for_member, limits()).await.status, 403);
    assert_eq!(admin.ask("PATCH", &for_member.replace("/auth/api-keys", "/admin/keys"), limits()).await.status, 200);
    assert_eq!(stage.patch(&given, limits()).await["limits"]["rpm"], 7);
}
