//! Sessions: what they open, and everything that ends them.

use serde_json::{Value, json};
use waypost_core::role::Role;
use waypost_gateway::events::Event;
use waypost_store::page::Scope;
use waypost_store::users::{self, Change};
use waypost_store::{sessions, teams};
use waypost_testkit::{Ended, Request};

use super::{House, PASSWORD, text};

#[tokio::test]
async fn signing_in_gives_a_token_that_opens_the_profile_001_05_004_44() {
    let house = House::open().await;
    let session = house.somebody("a@example.org").await;
    assert_eq!((text(&session, "token_type"), session["expires_in"].as_i64()), ("Bearer", Some(900)));
    let answer = house.get_as(text(&session, "token"), "/auth/profile").await;
    assert_eq!((answer.status, answer.header("etag")), (200, Some("\"1\"")));
    let profile = answer.json();
    assert_eq!((text(&profile, "email"), text(&profile, "role")), ("a@example.org", "member"));
    assert_eq!(profile, session["user"]);
    assert!(!answer.text().contains("argon2") && !answer.text().contains("generation"));
    let nobody = Request::get("/auth/profile").send(house.gateway.url()).await;
    assert_eq!((nobody.status, nobody.header("www-authenticate")), (401, Some("Bearer")));
}

#[tokio::test]
async fn a_session_is_known_again_after_a_restart_although_nothing_was_asked_of_it_before() {
    let house = House::new("{registration: open}").await;
    let session = house.somebody("a@example.org").await;
    let again = crate::harness::Gateway::with_store(
        "channels: [{name: sim, provider: simulator}]\nidentity: {registration: open}\n",
        house.database.store.clone(),
    );
    let again = again.await;
    // The secret was made at the first start and is kept.
    let answer = Request::get("/auth/profile").bearer(text(&session, "token")).send(again.url()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn signing_out_ends_the_session_at_once() {
    let house = House::open().await;
    let (one, two) = (house.somebody("a@example.org").await, house.login("a@example.org").await);
    assert_eq!(house.post_as(text(&one, "token"), "/auth/logout", &json!({})).await.status, 204);
    assert_eq!(house.profile_status(text(&one, "token")).await, 401);
    assert_eq!(house.profile_status(text(&two, "token")).await, 200);
    let refresh = json!({ "refresh_token": one["refresh_token"] });
    assert_eq!(house.post("/auth/refresh", &refresh).await.status, 401);
    assert_eq!(house.post_as(text(&one, "token"), "/auth/logout", &json!({})).await.status, 401);
}

#[tokio::test]
async fn signing_out_everywhere_ends_every_session() {
    let house = House::open().await;
    let all = [house.somebody("a@example.org").await, house.login("a@example.org").await];
    let other = house.somebody("b@example.org").await;
    assert_eq!(house.post_as(text(&all[0], "token"), "/auth/logout-all", &json!({})).await.status, 204);
    for session in &all {
        assert_eq!(house.profile_status(text(session, "token")).await, 401);
        let refresh = json!({ "refresh_token": session["refresh_token"] });
        assert_eq!(house.post("/auth/refresh", &refresh).await.status, 401);
    }
    assert_eq!(house.profile_status(text(&other, "token")).await, 200);
    house.login("a@example.org").await;
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_its_second_use_ends_the_session() {
    let house = House::open().await;
    let first = house.somebody("a@example.org").await;
    let refresh = async |session: &Value| {
        house.post("/auth/refresh", &json!({ "refresh_token": session["refresh_token"] })).await
    };
    let second = refresh(&first).await.json();
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_eq!((&first["id"], house.profile_status(text(&second, "token")).await), (&second["id"], 200));
    // Whoever has the old one has it from somewhere: neither of the two goes on.
    assert_eq!(refresh(&first).await.status, 401);
    assert_eq!(refresh(&second).await.status, 401);
    assert_eq!(house.profile_status(text(&second, "token")).await, 401);
    let actions: Vec<_> = house.audit().await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions.last().map(String::as_str), Some("session.end"));
    for wrong in ["", "wpr_", "wpr_a.b", text(&first, "token"), &text(&second, "refresh_token").to_uppercase()] {
        assert_eq!(house.post("/auth/refresh", &json!({ "refresh_token": wrong })).await.status, 401, "{wrong}");
    }
}

#[tokio::test]
async fn of_many_who_refresh_at_the_same_time_at_most_one_goes_on() {
    let house = House::open().await;
    let session = house.somebody("a@example.org").await;
    let body = json!({ "refresh_token": session["refresh_token"] }).to_string();
    let url = house.gateway.url().to_owned();
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let (body, url) = (body.clone(), url.clone());
            tokio::spawn(async move { Request::post("/auth/refresh", body).send(&url).await.status })
        })
        .collect();
    let mut statuses = Vec::new();
    for one in asking {
        statuses.push(one.await.unwrap());
    }
    assert!(statuses.iter().filter(|status| **status == 200).count() <= 1, "{statuses:?}");
    assert!(statuses.contains(&401), "{statuses:?}");
}

#[tokio::test]
async fn sessions_are_listed_and_ended_one_by_one_but_only_ones_own() {
    let house = House::open().await;
    let (one, two) = (house.somebody("a@example.org").await, house.login("a@example.org").await);
    let other = house.somebody("b@example.org").await;
    let list = house.get_as(text(&two, "token"), "/auth/sessions").await.json();
    let listed: Vec<_> = list["data"].as_array().unwrap().iter().map(|row| (&row["id"], &row["current"])).collect();
    assert_eq!(listed.len(), 2);
    assert!(listed.contains(&(&two["id"], &json!(true))) && listed.contains(&(&one["id"], &json!(false))));
    let page = house.get_as(text(&two, "token"), "/auth/sessions?limit=1").await.json();
    let next = format!("/auth/sessions?limit=1&after={}", text(&page, "next"));
    let rest = house.get_as(text(&two, "token"), &next).await.json();
    assert_ne!(page["data"][0]["id"], rest["data"][0]["id"]);
    assert!(rest["next"].is_null());

    let end = async |who: &Value, id: &str| {
        let path = format!("/auth/sessions/{id}");
        Request::new("DELETE", &path).bearer(text(who, "token")).send(house.gateway.url()).await.status
    };
    let nowhere = waypost_store::id::new("ses", 1);
    assert_eq!((end(&other, text(&one, "id")).await, end(&other, &nowhere).await), (404, 404));
    assert_eq!(house.profile_status(text(&one, "token")).await, 200);
    assert_eq!(end(&two, text(&one, "id")).await, 204);
    assert_eq!(
        (house.profile_status(text(&one, "token")).await, house.profile_status(text(&two, "token")).await),
        (401, 200)
    );
}

#[tokio::test]
async fn whoever_is_disabled_is_out_at_once_and_whoever_is_demoted_too() {
    let house = House::open().await;
    let identity = house.gateway.app.identity().unwrap();
    for change in [
        Change { enabled: Some(false), ..Change::default() },
        Change { role: Some(Role::Auditor), ..Change::default() },
    ] {
        let email = format!("{:?}@example.org", change.enabled);
        let session = house.somebody(&email).await;
        let user = house.user(&email).await;
        let mut tx = house.database.store.begin().await.unwrap();
        let now = house.gateway.app.unix_millis();
        let user = users::change(&mut tx, &Scope::All, &user.id, None, &change, now).await.unwrap();
        tx.commit().await.unwrap();
        identity.note_user(&user);
        assert_eq!(house.profile_status(text(&session, "token")).await, 401);
        let refresh = json!({ "refresh_token": session["refresh_token"] });
        assert_eq!(house.post("/auth/refresh", &refresh).await.status, 401);
        let login = house.post("/auth/login", &json!({ "email": email, "password": PASSWORD })).await;
        assert_eq!(login.status, if change.enabled.is_some() { 401 } else { 200 });
    }
}

#[tokio::test]
async fn whoever_listens_to_events_hears_none_once_the_session_ended_or_they_were_demoted() {
    let house = House::open().await;
    let (app, store) = (&house.gateway.app, &house.database.store);
    for demoted in [false, true] {
        let email = format!("{demoted}@example.org");
        assert_eq!(house.register(&email).await.status, 201);
        let become_a = async |role: Role| {
            let (user, change) = (house.user(&email).await, Change { role: Some(role), ..Change::default() });
            let mut tx = store.begin().await.unwrap();
            let user = users::change(&mut tx, &Scope::All, &user.id, None, &change, app.unix_millis()).await.unwrap();
            tx.commit().await.unwrap();
            app.identity().unwrap().note_user(&user);
        };
        become_a(Role::Operator).await;
        let session = house.login(&email).await;
        let mut live = Request::get("/admin/events").bearer(text(&session, "token")).open(house.gateway.url()).await;
        assert_eq!(live.status, 200);
        assert_eq!(&live.next().await.unwrap().what[..], b": listening\n\n");
        let tell = || app.events.tell(|| Event::Reload { trigger: "order", ok: true, errors: &[], generation: 1 });
        tell();
        assert!(live.next_event().await.is_some());
        if demoted {
            become_a(Role::Member).await;
        } else {
            let signed_out = house.post_as(text(&session, "token"), "/auth/logout", &json!({})).await;
            assert_eq!(signed_out.status, 204);
        }
        tell();
        assert_eq!((live.next_event().await, live.ended()), (None, Some(&Ended::Whole)));
    }
}

#[tokio::test]
async fn what_another_process_changed_is_followed() {
    let house = House::open().await;
    let store = &house.database.store;
    let (one, two) = (house.somebody("a@example.org").await, house.somebody("b@example.org").await);
    let before = house.gateway.app.unix_millis() - 10_000;
    let mut tx = store.begin().await.unwrap();
    let now = house.gateway.app.unix_millis();
    sessions::end(&mut tx, &Scope::All, text(&one, "id"), "elsewhere", now).await.unwrap();
    let id = house.user("b@example.org").await.id;
    users::change(&mut tx, &Scope::All, &id, None, &Change { enabled: Some(false), ..Change::default() }, now)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(house.profile_status(text(&one, "token")).await, 200, "it is not known here yet");
    house.gateway.app.identity().unwrap().catch_up(before).await.unwrap();
    assert_eq!(house.profile_status(text(&one, "token")).await, 401);
    assert_eq!(house.profile_status(text(&two, "token")).await, 401);
}

#[tokio::test]
async fn nobody_of_a_disabled_team_signs_in_or_stays_in() {
    let house = House::open().await;
    let store = &house.database.store;
    assert_eq!(house.register("a@example.org").await.status, 201);
    let id = house.user("a@example.org").await.id;
    let mut tx = store.begin().await.unwrap();
    teams::create(&mut tx, "team_a", "A", None, 1).await.unwrap();
    users::change(&mut tx, &Scope::All, &id, None, &Change { team: Some(Some("team_a")), ..Change::default() }, 2)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let session = house.login("a@example.org").await;
    assert_eq!(house.profile_status(text(&session, "token")).await, 200);
    let mut tx = store.begin().await.unwrap();
    let off = teams::Change { enabled: Some(false), ..teams::Change::default() };
    let team = teams::change(&mut tx, &Scope::All, "team_a", None, &off, 3).await.unwrap();
    tx.commit().await.unwrap();
    house.gateway.app.identity().unwrap().note_team(&team);
    assert_eq!(house.profile_status(text(&session, "token")).await, 401);
    let login = house.post("/auth/login", &json!({ "email": "a@example.org", "password": PASSWORD })).await;
    assert_eq!(login.status, 401);
}
