//! Keys from their making to their end: shown once, in effect at once, changed for a version, found page by page.

use serde_json::{Value, json};
use waypost_core::access::fingerprint;
use waypost_core::key_text;
use waypost_gateway::callers::Callers;
use waypost_gateway::jobs::Jobs;
use waypost_store::id;
use waypost_store::keys::{self, Limits, New, Owner, Scopes};
use waypost_testkit::Request;

use super::{Stage, chat, text};
use crate::harness::{Database, NOW};

const NULL: Value = Value::Null;

async fn made(stage: &Stage, body: Value) -> (String, String) {
    let made = stage.make("/admin/keys", body).await;
    (text(&made, "id").to_owned(), text(&made, "key").to_owned())
}

#[tokio::test]
async fn a_key_is_shown_once_and_works_at_once_001_06() {
    let stage = Stage::start().await;
    let answer = stage.ask("POST", "/admin/keys", json!({ "name": "app" })).await;
    assert_eq!((answer.status, answer.header("etag")), (201, Some("\"1\"")));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let (key, id) = (text(&answer.json(), "key").to_owned(), text(&answer.json(), "id").to_owned());
    assert!(key.starts_with("wp-") && !key_text::is_mistyped(&key));
    assert_eq!(stage.chat(&key).await, 200);
    for path in ["/admin/keys".to_owned(), format!("/admin/keys/{id}"), "/admin/audit".to_owned()] {
        let shown = stage.ask("GET", &path, NULL).await;
        assert_eq!(shown.status, 200);
        assert!(shown.text().contains(&id) && !shown.text().contains(&key), "{path}");
    }
    let shown = stage.ask("GET", &format!("/admin/keys/{id}"), NULL).await.json();
    assert_eq!((text(&shown, "hint"), &shown["key"]), (&key[key.len() - 4..], &NULL));
}

#[tokio::test]
async fn a_dump_of_the_database_holds_no_text_of_a_key_and_its_sha256_001_34() {
    let stage = Stage::start().await;
    let (_, key) = made(&stage, json!({ "name": "app" })).await;
    let (id, other) = made(&stage, json!({ "name": "rotated" })).await;
    let rotated = stage.ask_with("POST", &format!("/admin/keys/{id}/rotate"), NULL, Some("*")).await.json();
    stage.database.store.close().await;
    let mut dump = Vec::new();
    for file in std::fs::read_dir(&stage.database.folder).unwrap() {
        dump.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    let holds = |bytes: &[u8]| dump.windows(bytes.len()).any(|window| window == bytes);
    for text in [key.as_str(), other.as_str(), text(&rotated, "key")] {
        assert!(!holds(text.as_bytes()) && !holds(&text.as_bytes()[3..]), "the text is in the dump");
        assert!(holds(&fingerprint(text)), "its hash is");
    }
}

#[tokio::test]
async fn keys_are_renamed_and_limited_and_the_next_request_knows_001_07() {
    let stage = Stage::start().await;
    let (id, key) = made(&stage, json!({ "name": "app" })).await;
    let path = format!("/admin/keys/{id}");
    let changed =
        stage.patch(&path, json!({ "name": "renamed", "limits": { "rpm": 1 }, "scopes": { "models": ["m"] } })).await;
    assert_eq!(
        (text(&changed, "name"), &changed["limits"]["rpm"], &changed["version"]),
        ("renamed", &json!(1), &json!(2))
    );
    assert_eq!(chat(&stage.gateway, &key, "other").await.status, 403);
    assert_eq!((stage.chat(&key).await, stage.chat(&key).await), (200, 429));
    // What is left out stays, null takes away.
    let changed = stage.patch(&path, json!({ "limits": { "rpm": null } })).await;
    assert_eq!((text(&changed, "name"), &changed["scopes"]["models"]), ("renamed", &json!(["m"])));
    assert_eq!(stage.chat(&key).await, 200);
    let listed = stage.ask("GET", "/admin/keys", NULL).await.json();
    assert_eq!(listed["data"][0], changed);
}

#[tokio::test]
async fn a_revoked_key_is_refused_in_the_next_request_here_and_soon_everywhere_001_08() {
    let stage = Stage::start().await;
    let other = stage.another().await;
    let (id, key) = made(&stage, json!({ "name": "app" })).await;
    // The other gateway learns of it by itself.
    let admitted = async {
        while chat(&other, &key, "m").await.status != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), admitted)
        .await
        .expect("the other gateway learns of the key");
    assert_eq!(stage.chat(&key).await, 200);
    let ended = stage.ask("DELETE", &format!("/admin/keys/{id}"), NULL).await;
    assert_eq!((ended.status, ended.json()["revoked_at"].is_number()), (200, true));
    assert_eq!(stage.chat(&key).await, 401);
    let refused = async {
        while chat(&other, &key, "m").await.status != 401 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), refused)
        .await
        .expect("the other gateway learns of its end");
    // For good: nothing brings it back, and doing it again is no error.
    let again = stage.ask("DELETE", &format!("/admin/keys/{id}"), NULL).await;
    assert_eq!((again.status, &again.json()["version"]), (200, &ended.json()["version"]));
    assert_eq!(
        stage.ask_with("PATCH", &format!("/admin/keys/{id}"), json!({ "enabled": true }), Some("*")).await.status,
        404
    );
    assert_eq!(stage.ask("GET", "/admin/keys", NULL).await.json()["data"], json!([]));
    assert_eq!(text(&stage.ask("GET", "/admin/keys?revoked=true", NULL).await.json()["data"][0], "id"), id);
}

#[tokio::test]
async fn the_last_use_of_a_key_is_written_down_and_outlives_its_changes() {
    let stage = Stage::start().await;
    let store = &stage.database.store;
    let (id, key) = made(&stage, json!({ "name": "app", "scopes": { "endpoints": ["chat"] } })).await;
    let (idle, other) = made(&stage, json!({ "name": "idle" })).await;
    let used_at =
        async |id: &str| stage.ask("GET", &format!("/admin/keys/{id}"), NULL).await.json()["last_used_at"].clone();
    let callers = &stage.gateway.app.callers;
    let forbidden = Request::post("/v1/embeddings", "{}").bearer(&key).send(stage.gateway.url()).await;
    assert_eq!(forbidden.status, 403);
    callers.note_uses(store).await.unwrap();
    assert_eq!((used_at(&id).await, used_at(&idle).await), (NULL, NULL), "what is refused is no use");
    let before = stage.gateway.app.unix_millis();
    assert_eq!(stage.chat(&key).await, 200);
    // Read again from the database between its use and the note of it.
    stage.patch(&format!("/admin/keys/{id}"), json!({ "name": "renamed" })).await;
    callers.note_uses(store).await.unwrap();
    let used = used_at(&id).await;
    assert!(used.as_i64().is_some_and(|at| (before..=stage.gateway.app.unix_millis()).contains(&at)), "{used}");
    assert_eq!(used_at(&idle).await, NULL);
    callers.note_uses(store).await.unwrap();
    assert_eq!(used_at(&id).await, used, "nothing is noted twice");
    // What is revoked keeps its last use, too.
    assert_eq!(stage.chat(&other).await, 200);
    assert_eq!(stage.ask("DELETE", &format!("/admin/keys/{idle}"), NULL).await.status, 200);
    callers.note_uses(store).await.unwrap();
    assert!(used_at(&idle).await.is_i64());
}

#[tokio::test]
async fn last_uses_that_the_database_does_not_take_are_written_down_at_the_end() {
    let stage = Stage::start().await;
    let (id, key) = made(&stage, json!({ "name": "app" })).await;
    assert_eq!(stage.chat(&key).await, 200);
    let (app, store) = (&stage.gateway.app, &stage.database.store);
    let away = Database::sqlite().await;
    away.store.close().await;
    assert!(app.callers.note_uses(&away.store).await.is_err());
    let jobs = Jobs::new();
    jobs.spawn("last uses of keys", Callers::note_uses_often(app.clone(), store.clone(), jobs.clone()));
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    assert_eq!(jobs.drain(deadline).await, Vec::<&str>::new());
    let shown = stage.ask("GET", &format!("/admin/keys/{id}"), NULL).await.json();
    assert!(shown["last_used_at"].is_i64(), "{shown}");
}

#[tokio::test]
async fn a_rotated_key_works_by_both_texts_for_as_long_as_was_said() {
    let stage = Stage::start().await;
    let (id, first) = made(&stage, json!({ "name": "app", "limits": { "rpm": 4 } })).await;
    let rotate = async |seconds: i64| {
        let body = json!({ "overlap_seconds": seconds });
        let answer = stage.ask_with("POST", &format!("/admin/keys/{id}/rotate"), body, Some("*")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        text(&answer.json(), "key").to_owned()
    };
    let second = rotate(3600).await;
    assert_ne!(first, second);
    assert_eq!((stage.chat(&first).await, stage.chat(&second).await), (200, 200));
    let third = rotate(0).await;
    let refused = chat(&stage.gateway, &second, "m").await;
    assert_eq!(refused.status, 401, "{}", refused.text());
    assert_eq!((stage.chat(&first).await, stage.chat(&third).await), (401, 200));
    // Whatever its text, it is one key with one limit.
    assert_eq!((stage.chat(&third).await, stage.chat(&third).await), (200, 429));
    for overlap in [-1, 2_592_001] {
        let body = json!({ "overlap_seconds": overlap });
        let refused = stage.ask_with("POST", &format!("/admin/keys/{id}/rotate"), body, Some("*")).await;
        assert_eq!((refused.status, text(&refused.json()["error"], "param")), (400, "overlap_seconds"));
    }
}

#[tokio::test]
async fn a_change_is_made_for_a_version_or_not_at_all() {
    let stage = Stage::start().await;
    let (id, _) = made(&stage, json!({ "name": "app" })).await;
    let path = format!("/admin/keys/{id}");
    let rename = json!({ "name": "other" });
    let status = async |version| {
        let answer = stage.ask_with("PATCH", &path, rename.clone(), version).await;
        (answer.status, answer.header("etag").map(str::to_owned))
    };
    assert_eq!(status(None).await, (428, None));
    for stale in ["\"2\"", "1", "\"one\"", "W/\"1\""] {
        assert_eq!(status(Some(stale)).await, (412, None), "{stale}");
    }
    assert_eq!(status(Some("\"1\"")).await, (200, Some("\"2\"".to_owned())));
    assert_eq!(status(Some("\"1\"")).await, (412, None));
    assert_eq!(stage.ask_with("DELETE", &path, NULL, Some("\"1\"")).await.status, 412);
    let unchanged = waypost_testkit::Request::get(&path).bearer(super::TOKEN).header("if-none-match", "\"2\"");
    let unchanged = unchanged.send(stage.gateway.url()).await;
    assert_eq!((unchanged.status, unchanged.text()), (304, ""));
}

#[tokio::test]
async fn what_cannot_be_set_is_refused_by_name() {
    let stage = Stage::start().await;
    for (body, param) in [
        (json!({}), "name"),
        (json!({ "name": " " }), "name"),
        (json!({ "name": "a", "hash": "00" }), "hash"),
        (json!({ "name": "a", "key": "wp-mine" }), "key"),
        (json!({ "name": "a", "version": 7 }), "version"),
        (json!({ "name": "a", "limits": { "rpm": -1 } }), "limits.rpm"),
        (json!({ "name": "a", "limits": { "rps": 1 } }), "rps"),
        (json!({ "name": "a", "scopes": { "endpoints": ["chats"] } }), "scopes.endpoints"),
        (json!({ "name": "a", "scopes": { "addresses": ["10.0.0.0/33"] } }), "scopes.addresses"),
        (json!({ "name": "a", "scopes": { "models": ["a b"] } }), "scopes.models"),
        (json!({ "name": "a", "user": "usr_00000000000000000000000000" }), "user"),
        (json!({ "name": "a", "team": "team_0" }), "team"),
        (json!({ "name": "a", "plan": "plan_0" }), "plan"),
    ] {
        let answer = stage.ask("POST", "/admin/keys", body.clone()).await;
        assert_eq!((answer.status, text(&answer.json()["error"], "param")), (400, param), "{body}: {}", answer.text());
    }
    assert_eq!(stage.ask("GET", "/admin/keys", NULL).await.json()["data"], json!([]));
}

#[tokio::test]
async fn pages_begin_after_a_key_and_say_where_the_next_one_does() {
    let stage = Stage::start().await;
    for number in 0..7 {
        made(&stage, json!({ "name": format!("key {number}") })).await;
    }
    let (mut names, mut path) = (Vec::new(), "/admin/keys?limit=3".to_owned());
    for _ in 0..10 {
        let page = stage.ask("GET", &path, NULL).await.json();
        names.extend(page["data"].as_array().unwrap().iter().map(|key| text(key, "name").to_owned()));
        made(&stage, json!({ "name": "added meanwhile" })).await;
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/admin/keys?limit=3&after={next}");
    }
    names.sort();
    assert_eq!(names, (0..7).map(|number| format!("key {number}")).collect::<Vec<_>>());
    for (query, param) in [("limit=0", "limit"), ("limit=501", "limit"), ("after=x", "after"), ("after=1_%27", "after")]
    {
        let answer = stage.ask("GET", &format!("/admin/keys?{query}"), NULL).await;
        assert_eq!((answer.status, text(&answer.json()["error"], "param")), (400, param));
    }
}

#[tokio::test]
async fn a_text_from_elsewhere_is_a_key_and_one_that_is_not_valid_is_401_002_05_002_35() {
    let stage = Stage::start().await;
    let new = |number: u128, text: &str, enabled| New {
        id: id::new("key", number),
        name: format!("caller {number}"),
        owner: Owner::default(),
        plan: None,
        scopes: Scopes::default(),
        limits: Limits::default(),
        enabled,
        expires_at: None,
        origin: "api_caller".to_owned(),
        created_by: "import".to_owned(),
        hashes: vec![fingerprint(text)],
        hint: key_text::hint(text),
    };
    let mut tx = stage.database.store.begin().await.unwrap();
    keys::create(&mut tx, &new(1, "internal-app-1", true), NOW).await.unwrap();
    keys::create(&mut tx, &new(2, "internal-app-2", false), NOW).await.unwrap();
    tx.commit().await.unwrap();
    stage.gateway.app.callers.catch_up(&stage.gateway.app, &stage.database.store).await.unwrap();
    assert_eq!(stage.chat("internal-app-1").await, 200);
    assert_eq!(stage.chat("internal-app-2").await, 401);
    assert_eq!(stage.chat("internal-app-3").await, 401);
}

#[tokio::test]
async fn with_a_plan_that_is_paid_beforehand_nobody_is_served_before_they_have_credit() {
    let stage = Stage::with_money().await;
    let plan = stage.make("/admin/plans", json!({ "name": "prepaid", "billing": "prepaid" })).await;
    let user = stage.make("/admin/users", json!({ "email": "ada@example.com", "plan": plan["id"] })).await;
    let (_, key) = made(&stage, json!({ "name": "app", "user": user["id"] })).await;
    let refused = chat(&stage.gateway, &key, "m").await;
    assert_eq!((refused.status, refused.header("x-should-retry")), (429, Some("false")), "{}", refused.text());
    assert_eq!(refused.json()["error"]["code"], "insufficient_quota");
    assert_eq!(stage.upstream.hits(), 0);
    let left = Request::get("/v1/usage").bearer(&key).send(stage.gateway.url()).await.json();
    assert_eq!(left["remaining_usd"], "0");
    let path = format!("/admin/plans/{}", text(&plan, "id"));
    stage.patch(&path, json!({ "billing": "postpaid" })).await;
    assert_eq!(stage.chat(&key).await, 200);
    stage.patch(&path, json!({ "billing": "prepaid" })).await;
    assert_eq!(stage.chat(&key).await, 429);
    let account = format!("/admin/credits/user:{}/top-up", text(&user, "id"));
    stage.make(&account, json!({ "amount": "1", "reason": "a test" })).await;
    assert_eq!(stage.chat(&key).await, 200);
}

#[tokio::test]
async fn a_plan_bounds_its_users_keys_and_its_change_is_in_effect_at_once_001_09() {
    let stage = Stage::start().await;
    let plan = stage.make("/admin/plans", json!({ "name": "free", "models": ["m"] })).await;
    let user = json!({ "email": "ada@example.com", "plan": plan["id"] });
    let user = stage.make("/admin/users", user).await;
    let (_, key) = made(&stage, json!({ "name": "app", "user": user["id"] })).await;
    let status = async |model| chat(&stage.gateway, &key, model).await.status;
    assert_eq!((status("m").await, status("other").await), (200, 403));
    let path = format!("/admin/plans/{}", text(&plan, "id"));
    stage.patch(&path, json!({ "models": ["other"] })).await;
    assert_eq!((status("m").await, status("other").await), (403, 200));
    stage.patch(&path, json!({ "models": [], "rpm": 1 })).await;
    assert_eq!((status("m").await, status("other").await), (200, 429));
    stage.patch(&path, json!({ "enabled": false })).await;
    assert_eq!(status("m").await, 401);
    let path = format!("/admin/users/{}", text(&user, "id"));
    stage.patch(&path, json!({ "plan": null })).await;
    assert_eq!(status("m").await, 200);
    stage.patch(&path, json!({ "enabled": false })).await;
    assert_eq!(status("m").await, 401);
}
