//! Passwords: changed, reset, and guessed in vain.

use serde_json::json;
use waypost_core::role::{Actor, Role};
use waypost_core::secret::Secret;
use waypost_store::invites::{self, Invite};
use waypost_store::page::Scope;
use waypost_store::users::{self, Change};
use waypost_testkit::Request;

use super::{House, PASSWORD, said, text};

const OTHER: &str = "another long password";

#[tokio::test]
async fn a_new_password_ends_all_other_sessions_and_the_old_password() {
    let house = House::open().await;
    let (here, there) = (house.somebody("a@example.org").await, house.login("a@example.org").await);
    let change = json!({ "current_password": PASSWORD, "new_password": OTHER });
    let answer = house.post_as(text(&here, "token"), "/auth/change-password", &change).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let token = answer.json();
    assert_eq!(house.profile_status(text(&token, "token")).await, 200);
    for session in [&here, &there] {
        assert_eq!(house.profile_status(text(session, "token")).await, 401);
    }
    let refresh = async |session: &serde_json::Value| {
        house.post("/auth/refresh", &json!({ "refresh_token": session["refresh_token"] })).await.status
    };
    assert_eq!((refresh(&there).await, refresh(&here).await), (401, 200));
    let login = async |password: &str| {
        house.post("/auth/login", &json!({ "email": "a@example.org", "password": password })).await.status
    };
    assert_eq!((login(PASSWORD).await, login(OTHER).await), (401, 200));
}

#[tokio::test]
async fn a_password_is_changed_only_by_whoever_knows_the_old_one_and_to_a_good_one() {
    let house = House::open().await;
    let session = house.somebody("a@example.org").await;
    for (old, new, status) in
        [("wrong password", OTHER, 401), (PASSWORD, "short", 400), (PASSWORD, "a@example.org", 400)]
    {
        let change = json!({ "current_password": old, "new_password": new });
        assert_eq!(
            house.post_as(text(&session, "token"), "/auth/change-password", &change).await.status,
            status,
            "{new}"
        );
    }
    assert_eq!(house.post("/auth/change-password", &json!({})).await.status, 401);
    assert_eq!(house.profile_status(text(&session, "token")).await, 200);
}

/// Makes a reset for somebody who has this role, as an administrator would.
async fn reset(house: &House, email: &str, role: Role) -> Secret {
    let (secret, hash) = house.gateway.app.identity().unwrap().new_invite_secret().unwrap();
    let now = house.gateway.app.unix_millis();
    let reset = Invite {
        id: format!("inv_{}", &hash[..26]),
        created_at: now,
        expires_at: now + 60_000,
        made_by: Actor::CLI.to_owned(),
        user: Some(house.user(email).await.id),
        email: None,
        role,
        team: None,
        plan: None,
        used_at: None,
        used_by: None,
    };
    let mut tx = house.database.store.begin().await.unwrap();
    invites::create(&mut tx, &reset, &hash).await.unwrap();
    tx.commit().await.unwrap();
    secret
}

#[tokio::test]
async fn a_reset_that_was_made_for_less_than_its_user_is_now_is_void() {
    let house = House::open().await;
    assert_eq!(house.register("a@example.org").await.status, 201);
    let (before, user) = (reset(&house, "a@example.org", Role::Member).await, house.user("a@example.org").await);
    let mut tx = house.database.store.begin().await.unwrap();
    let raised = Change { role: Some(Role::Admin), ..Change::default() };
    users::change(&mut tx, &Scope::All, &user.id, None, &raised, 1).await.unwrap();
    tx.commit().await.unwrap();
    // One that was made at the same moment has the old role in it.
    let meanwhile = reset(&house, "a@example.org", Role::Member).await;
    for secret in [before, meanwhile] {
        let body = json!({ "token": secret.expose(), "password": OTHER });
        assert_eq!(house.post("/auth/reset-password", &body).await.status, 403);
    }
    house.login("a@example.org").await;
    let now = reset(&house, "a@example.org", Role::Admin).await;
    let body = json!({ "token": now.expose(), "password": OTHER });
    assert_eq!(house.post("/auth/reset-password", &body).await.status, 204);
}

#[tokio::test]
async fn another_password_ends_the_resets_that_were_not_used() {
    let house = House::open().await;
    let session = house.somebody("a@example.org").await;
    let secret = reset(&house, "a@example.org", Role::Member).await;
    let change = json!({ "current_password": PASSWORD, "new_password": OTHER });
    assert_eq!(house.post_as(text(&session, "token"), "/auth/change-password", &change).await.status, 200);
    let body = json!({ "token": secret.expose(), "password": PASSWORD });
    assert_eq!(house.post("/auth/reset-password", &body).await.status, 403);
}

#[tokio::test]
async fn a_reset_sets_a_password_once_and_ends_all_sessions() {
    let house = House::open().await;
    let session = house.somebody("a@example.org").await;
    let secret = reset(&house, "a@example.org", Role::Member).await;
    let body = |token: &str| json!({ "token": token, "password": OTHER });
    assert_eq!(house.post("/auth/reset-password", &body("wpi_wrong")).await.status, 403);
    // A reset makes no user.
    let register = json!({ "email": "b@example.org", "password": PASSWORD, "invite": secret.expose() });
    assert_eq!(house.post("/auth/register", &register).await.status, 403);
    assert_eq!(house.post("/auth/reset-password", &body(secret.expose())).await.status, 204);
    assert_eq!(house.post("/auth/reset-password", &body(secret.expose())).await.status, 403);
    assert_eq!(house.profile_status(text(&session, "token")).await, 401);
    let login = json!({ "email": "a@example.org", "password": OTHER });
    assert_eq!(house.post("/auth/login", &login).await.status, 200);
}

#[tokio::test]
async fn a_profile_changes_its_name_and_nothing_else() {
    let house = House::open().await;
    let session = house.somebody("a@example.org").await;
    let patch_of = async |version: &str, body: serde_json::Value| {
        let request = Request::new("PATCH", "/auth/profile").header("content-type", "application/json");
        let request = if version.is_empty() { request } else { request.header("if-match", version) };
        request.body(body.to_string()).bearer(text(&session, "token")).send(house.gateway.url()).await
    };
    let shown = house.get_as(text(&session, "token"), "/auth/profile").await;
    let version = shown.header("etag").unwrap().to_owned();
    let answer = patch_of(&version, json!({ "name": "A. Person" })).await;
    assert_eq!((answer.status, answer.header("etag")), (200, Some("\"2\"")));
    assert_eq!(text(&answer.json(), "name"), "A. Person");
    for (stale, status) in [("", 428), (version.as_str(), 412), ("*", 200)] {
        assert_eq!(patch_of(stale, json!({ "name": "Another" })).await.status, status, "{stale}");
    }
    let patch = async |body: serde_json::Value| patch_of("*", body).await;
    for field in ["role", "email", "plan", "team", "enabled", "credits", "id"] {
        let answer = patch(json!({ field: "owner" })).await;
        assert_eq!((answer.status, answer.json()["error"]["param"].as_str()), (400, Some(field)));
    }
    assert_eq!(house.user("a@example.org").await.role, Role::Member);
}

#[tokio::test]
async fn an_unknown_user_a_wrong_password_and_a_disabled_user_get_the_same_answer() {
    let house = House::open().await;
    assert_eq!(house.register("a@example.org").await.status, 201);
    let login = async |email: &str, password: &str| {
        said(&house.post("/auth/login", &json!({ "email": email, "password": password })).await)
    };
    let wrong = login("a@example.org", "wrong password").await;
    assert_eq!((wrong.0, text(&wrong.1["error"], "code")), (401, "invalid_credentials"));
    assert_eq!(login("nobody@example.org", "wrong password").await, wrong);
    assert_eq!(login("nobody@example.org", PASSWORD).await, wrong);
    assert_eq!(login("a@example.org' or 1=1 --", PASSWORD).await, wrong);
    assert_eq!(login("a@example.org", &"x".repeat(1025)).await, wrong);
    assert_eq!(login("a@example.org", "").await, wrong);
}

#[tokio::test]
async fn guessing_is_slowed_down_alike_whether_or_not_there_is_such_a_user() {
    let house = House::open().await;
    assert_eq!(house.register("a@example.org").await.status, 201);
    let mut statuses = Vec::new();
    for email in ["a@example.org", "nobody@example.org"] {
        let mut of_one = Vec::new();
        for _ in 0..6 {
            let answer = house.post("/auth/login", &json!({ "email": email, "password": "wrong password" })).await;
            of_one.push((answer.status, answer.header("retry-after").map(str::to_owned)));
        }
        statuses.push(of_one);
    }
    assert_eq!(statuses[0], statuses[1]);
    assert_eq!(statuses[0][4], (401, None));
    assert_eq!(statuses[0][5], (429, Some("1".to_owned())));
    // The right password has to wait, too; or waiting would tell which one it is.
    let right = house.post("/auth/login", &json!({ "email": "a@example.org", "password": PASSWORD })).await;
    assert_eq!(right.status, 429);
}
