//! The first owner.

use serde_json::json;
use waypost_core::role::Role;

use super::{House, PASSWORD, text};
use crate::harness::Gateway;

#[tokio::test]
async fn the_set_up_token_makes_one_owner_and_then_there_is_no_set_up() {
    let house = House::new("{}").await;
    let token = house.gateway.setup_token.clone().unwrap();
    let kept = waypost_store::meta::get(&house.database.store, "setup_token").await.unwrap().unwrap();
    assert!(!kept.contains(token.expose()) && !token.expose().contains(&kept));
    let set_up = async |token: &str, email: &str| {
        house.post("/auth/setup", &json!({ "token": token, "email": email, "password": PASSWORD })).await
    };
    assert_eq!(set_up("wps_wrong", "a@example.org").await.status, 403);
    assert_eq!(set_up(&kept, "a@example.org").await.status, 403, "the hash is no token");
    let weak = json!({ "token": token.expose(), "email": "a@example.org", "password": "admin" });
    assert_eq!(house.post("/auth/setup", &weak).await.status, 400);
    let answer = set_up(token.expose(), "a@example.org").await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(house.profile_status(text(&answer.json(), "token")).await, 200);
    assert_eq!(house.user("a@example.org").await.role, Role::Owner);
    let again = set_up(token.expose(), "b@example.org").await;
    assert_eq!(again.status, 404);
    let actions: Vec<_> = house.audit().await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions, ["user.set_up", "session.begin"]);
}

#[tokio::test]
async fn of_many_who_set_up_at_the_same_time_one_becomes_the_owner() {
    let house = House::new("{}").await;
    let token = house.gateway.setup_token.clone().unwrap();
    let url = house.gateway.url().to_owned();
    let asking: Vec<_> = (0..4)
        .map(|number| {
            let email = format!("{number}@example.org");
            let body = json!({ "token": token.expose(), "email": email, "password": PASSWORD }).to_string();
            let url = url.clone();
            tokio::spawn(async move { waypost_testkit::Request::post("/auth/setup", body).send(&url).await.status })
        })
        .collect();
    let mut statuses = Vec::new();
    for one in asking {
        statuses.push(one.await.unwrap());
    }
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(waypost_store::users::all(&house.database.store).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_token_is_shown_at_the_first_start_only_and_never_once_there_are_users() {
    let house = House::new("{registration: open}").await;
    assert!(house.gateway.setup_token.is_some());
    let yaml = "channels: [{name: sim, provider: simulator}]\nidentity: {registration: open}\n";
    let again = Gateway::with_store(yaml, house.database.store.clone()).await;
    assert!(again.setup_token.is_none());
    assert_eq!(house.register("a@example.org").await.status, 201);
    let third = Gateway::with_store(yaml, house.database.store.clone()).await;
    assert!(third.setup_token.is_none());
    let body = json!({ "token": house.gateway.setup_token.as_ref().unwrap().expose(), "email": "b@example.org", "password": PASSWORD });
    assert_eq!(house.post("/auth/setup", &body).await.status, 404);
}
