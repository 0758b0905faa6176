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
    token: String,
}

impl<'a> User<'a> {
    async fn of(stage: &'a Stage) -> Self {
        Self { stage, token: person(&stage.database.store, Role::Member, None).await.2 }
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
