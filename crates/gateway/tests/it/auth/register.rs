//! Becoming a user: openly, by invite, or not at all.

use serde_json::json;
use waypost_core::role::{Actor, Role};
use waypost_store::invites::{self, Invite};
use waypost_store::users;

use super::{House, PASSWORD, said, text};

#[tokio::test]
async fn whoever_registers_can_sign_in_and_the_database_has_no_clear_password_001_04_004_44() {
    let house = House::open().await;
    let answer = house.register("Someone@Example.org").await;
    assert_eq!((answer.status, answer.header("cache-control")), (201, Some("no-store")));
    let (user, kept) = users::by_login(&house.database.store, "someone@example.org").await.unwrap().unwrap();
    assert_eq!(user.role, Role::Member);
    let kept = kept.unwrap().expose().to_owned();
    assert!(kept.starts_with("$argon2id$") && !kept.contains("horse"), "{kept}");
    let session = house.login("someone@EXAMPLE.org").await;
    assert_eq!(text(&session["user"], "email"), "Someone@Example.org");
    let actions: Vec<_> = house.audit().await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions, ["user.register", "session.begin"]);
    house.database.store.close().await;
    for file in std::fs::read_dir(&house.database.folder).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(
            !bytes.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes()),
            "the password is in a file"
        );
    }
}

#[tokio::test]
async fn an_address_that_is_taken_gets_the_same_answer_and_keeps_its_owner() {
    let house = House::open().await;
    let first = house.register("a@example.org").await;
    let again = json!({ "email": "a@example.org", "password": "another long password", "name": "Mallory" });
    let again = house.post("/auth/register", &again).await;
    assert_eq!(said(&again), said(&first));
    let mallory = json!({ "email": "a@example.org", "password": "another long password" });
    assert_eq!(house.post("/auth/login", &mallory).await.status, 401);
    house.login("a@example.org").await;
    assert_eq!(house.user("a@example.org").await.name, "");
}

#[tokio::test]
async fn what_cannot_be_a_user_is_refused_by_its_field() {
    let house = House::open().await;
    for (body, field) in [
        (json!({ "email": "a@example.org" }), "password"),
        (json!({ "email": "a@example.org", "password": "short" }), "password"),
        (json!({ "email": "a@example.org", "password": "password1234" }), "password"),
        (json!({ "email": "a@example.org", "password": "x".repeat(1025) }), "password"),
        (json!({ "email": "example.org", "password": PASSWORD }), "email"),
        (json!({ "email": "a b@example.org", "password": PASSWORD }), "email"),
        (json!({ "email": "a@b@example.org", "password": PASSWORD }), "email"),
        (json!({ "email": "a@example.org", "password": PASSWORD, "name": "a\u{7}" }), "name"),
        // Nobody makes themselves anything.
        (json!({ "email": "a@example.org", "password": PASSWORD, "role": "owner" }), "role"),
        (json!({ "email": "a@example.org", "password": PASSWORD, "team": "team_a" }), "team"),
        (json!({ "email": "a@example.org", "password": PASSWORD, "credits": 100 }), "credits"),
    ] {
        let answer = house.post("/auth/register", &body).await;
        assert_eq!((answer.status, answer.json()["error"]["param"].as_str()), (400, Some(field)), "{body}");
    }
    assert!(waypost_store::users::is_empty(&house.database.store).await.unwrap());
}

/// Makes an invite as an administrator would.
async fn invite(house: &House, email: Option<&str>, expires_in: i64) -> String {
    let identity = house.gateway.app.identity().unwrap();
    let (secret, hash) = identity.new_invite_secret().unwrap();
    let now = house.gateway.app.unix_millis();
    let invite = Invite {
        id: format!("inv_{}", &hash[..26]),
        created_at: now,
        expires_at: now + expires_in,
        made_by: Actor::CLI.to_owned(),
        user: None,
        email: email.map(str::to_owned),
        role: Role::Operator,
        team: None,
        plan: Some("plan_a".to_owned()),
        used_at: None,
        used_by: None,
    };
    let mut tx = house.database.store.begin().await.unwrap();
    invites::create(&mut tx, &invite, &hash).await.unwrap();
    tx.commit().await.unwrap();
    secret.expose().to_owned()
}

#[tokio::test]
async fn an_invite_lets_one_in_once_with_what_it_says_and_nobody_without_one() {
    let house = House::new("{}").await;
    let register = async |email: &str, invite: Option<&str>| {
        let body = json!({ "email": email, "password": PASSWORD, "invite": invite });
        house.post("/auth/register", &body).await
    };
    let none = register("a@example.org", None).await;
    assert_eq!(none.status, 403);
    let (good, late) = (invite(&house, None, 60_000).await, invite(&house, None, -1).await);
    let named = invite(&house, Some("N@example.org"), 60_000).await;
    for wrong in ["", "wpi_0", late.as_str(), named.as_str(), &good.to_uppercase()] {
        assert_eq!(said(&register("a@example.org", Some(wrong)).await), said(&none), "{wrong}");
    }
    assert_eq!(register("a@example.org", Some(&good)).await.status, 201);
    assert_eq!(said(&register("b@example.org", Some(&good)).await), said(&none), "used up");
    assert_eq!(register("n@example.org", Some(&named)).await.status, 201);
    let user = house.user("a@example.org").await;
    assert_eq!((user.role, user.plan.as_deref()), (Role::Operator, Some("plan_a")));
    house.login("a@example.org").await;
}

#[tokio::test]
async fn where_registration_is_closed_no_invite_helps() {
    let house = House::new("{registration: closed}").await;
    let invite = invite(&house, None, 60_000).await;
    let body = json!({ "email": "a@example.org", "password": PASSWORD, "invite": invite });
    assert_eq!(house.post("/auth/register", &body).await.status, 403);
    let ways = house.get_as("none", "/auth").await.json();
    assert_eq!(ways, json!({ "password": true, "registration": "closed", "oidc": false }));
}
