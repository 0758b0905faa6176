//! Tenant isolation: every route of the table is called by nobody, by each role, and by another tenant, for things of a team. What
//! each is answered stands in one table, the snapshot; what may never be is asserted.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use waypost_core::access::fingerprint;
use waypost_core::role::Role;
use waypost_core::secret::Secret;
use waypost_gateway::identity::token::Tokens;
use waypost_store::captures::{self, Body, Capture, CapturedCall, Direction};
use waypost_store::invites::{self, Invite};
use waypost_store::keys::{self, Limits, New, Owner, Scopes};
use waypost_store::plans::{self, Billing, Terms};
use waypost_store::seal::Dice;
use waypost_store::sessions::{self, Refresh, Session};
use waypost_store::users::{self, NewUser};
use waypost_store::{Store, Vault, digest, id, teams};
use waypost_testkit::Request;

use super::{JWT_SECRET, Stage, ask, text};
use crate::captures::keeping;
use crate::harness::NOW;

const YEAR: i64 = 366 * 86_400_000;

/// A number that nothing else has.
fn unique() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// A user with a session; gives both ids and the token.
pub(super) async fn person(store: &Store, role: Role, team: Option<&str>) -> (String, String, String) {
    let number = unique();
    let (user, session) = (id::new("usr", u128::from(number)), id::new("ses", u128::from(number)));
    let email = format!("user-{number}@example.com");
    let mut tx = store.begin().await.unwrap();
    let new = NewUser { id: &user, email: &email, name: "somebody", role, team, plan: None, password: None };
    let made = users::create(&mut tx, &new, NOW).await.unwrap();
    let live = Session {
        id: session.clone(),
        user: user.clone(),
        team: team.map(str::to_owned),
        created_at: NOW,
        changed_at: NOW,
        expires_at: NOW + YEAR,
        ended_at: None,
        ended_why: None,
        generation: made.generation,
        agent: "test".to_owned(),
        address: "127.0.0.1".to_owned(),
    };
    let family = digest::of(&format!("family {number}"));
    sessions::create(&mut tx, &live, Refresh { family: &family, current: "none" }).await.unwrap();
    tx.commit().await.unwrap();
    let (from, until) = (NOW / 1000, (NOW + YEAR) / 1000);
    let token = Tokens::new(JWT_SECRET.as_bytes()).issue(&user, &session, made.generation, from, until);
    (user, session, token)
}

/// Things of team A, new for each call that might end them.
struct Things {
    key: String,
    user: String,
    session: String,
    invite: String,
    capture: String,
    /// The id of a request that was captured.
    request: String,
}

async fn things(store: &Store, vault: &Vault, team: &str) -> Things {
    let (user, session, _) = person(store, Role::Member, Some(team)).await;
    let number = unique();
    let (key, invite) = (id::new("key", u128::from(number)), id::new("inv", u128::from(number)));
    let (capture, request) = (id::new("cap", u128::from(number)), format!("req_of_{number}"));
    let mut tx = store.begin().await.unwrap();
    let new = New {
        id: key.clone(),
        name: "theirs".to_owned(),
        owner: Owner { user: Some(user.clone()), team: Some(team.to_owned()) },
        plan: None,
        scopes: Scopes::default(),
        limits: Limits::default(),
        enabled: true,
        expires_at: None,
        origin: "api".to_owned(),
        created_by: user.clone(),
        hashes: vec![fingerprint(&key)],
        hint: String::new(),
    };
    keys::create(&mut tx, &new, NOW).await.unwrap();
    let made = Invite {
        id: invite.clone(),
        created_at: NOW,
        expires_at: NOW + YEAR,
        made_by: user.clone(),
        user: None,
        email: None,
        role: Role::Member,
        team: Some(team.to_owned()),
        plan: None,
        used_at: None,
        used_by: None,
    };
    invites::create(&mut tx, &made, &digest::of(&invite)).await.unwrap();
    let owner = Owner { user: Some(user.clone()), team: Some(team.to_owned()) };
    let ordered = Capture {
        id: capture.clone(),
        created_at: NOW,
        key: format!("another key, {number}"),
        key_name: "theirs".to_owned(),
        owner: owner.clone(),
        from: NOW,
        until: NOW + YEAR,
        ordered_by: user.clone(),
        why: "a test".to_owned(),
        limits: captures::Limits { body_bytes: 1024, calls: 1 },
        taken: 0,
        lost: 0,
    };
    captures::order(&mut tx, &ordered).await.unwrap();
    tx.commit().await.unwrap();
    let body = Body { direction: Direction::Request, text: Secret::new(&request), bytes: 1, cut: false, redacted: 0 };
    let call = CapturedCall {
        id: format!("cpt_{number}"),
        capture: capture.clone(),
        request_id: request.clone(),
        owner,
        at: NOW,
        bodies: vec![body],
    };
    let seed = digest::of(&request).as_bytes()[..32].try_into().unwrap();
    assert!(captures::keep(store, vault, &mut Dice::seeded(seed), &call).await.unwrap());
    Things { key, user, session, invite, capture, request }
}

fn body(operation: &str, things: &Things) -> Value {
    let number = unique();
    match operation {
        "key.create" | "key.change" | "api_key.create" | "api_key.put" | "api_key.change" => json!({ "name": "other" }),
        "user.create" => json!({ "email": format!("new-{number}@example.com") }),
        "user.change" => json!({ "name": "renamed" }),
        "team.create" | "team.change" | "plan.create" => json!({ "name": format!("name {number}") }),
        "credit.top_up" | "credit.adjust" => json!({ "amount": "1", "reason": "a test" }),
        "voucher.create" => json!({ "label": "a test", "amount": "1" }),
        "voucher.redeem" => json!({ "code": "0000" }),
        "budget.create" => json!({ "scope": "team:team_a", "window": "day", "amount": "1" }),
        "budget.change" => json!({ "amount": "2" }),
        "plan.change" => json!({ "rpm": 5 }),
        "price.create" => json!({ "price": { "model": "m", "input": 1 } }),
        "capture.order" => json!({ "key": things.key, "why": "a test" }),
        _ => json!({}),
    }
}

/// The path with ids of team A's things in the place of what varies.
fn concrete(path: &str, things: &Things, team: &str, plan: &str) -> String {
    let id = match path.split('/').nth(2) {
        Some("keys" | "api-keys") => &things.key,
        Some("users") => &things.user,
        Some("sessions") => &things.session,
        Some("invites") => &things.invite,
        Some("captures") => &things.capture,
        Some("logs") if path.ends_with("/bodies") => &things.request,
        Some("teams") => team,
        Some("plans") => plan,
        _ => "0123456789abcdef",
    };
    path.replace("{id}", id).replace("{address}", "192.0.2.1").replace("{account}", &format!("team:{team}"))
}

#[tokio::test]
async fn every_route_answers_every_role_as_the_table_says_and_other_tenants_not_at_all_002_48() {
    let stage = Stage::start().await;
    let store = &stage.database.store;
    let vault = keeping(&stage.gateway, store).await;
    let vault = &vault;
    let mut tx = store.begin().await.unwrap();
    for (id, name) in [("team_a", "A"), ("team_b", "B")] {
        teams::create(&mut tx, id, name, None, NOW).await.unwrap();
    }
    let terms = Terms {
        name: "free".to_owned(),
        models: Vec::new(),
        endpoints: Vec::new(),
        rpm: None,
        tpm: None,
        concurrency: None,
        tokens_per_day: None,
        price_permille: 1000,
        billing: Billing::Prepaid,
    };
    plans::create(&mut tx, "plan_free", &terms, NOW).await.unwrap();
    tx.commit().await.unwrap();
    let mut actors = vec![("nobody".to_owned(), String::new()), ("stranger".to_owned(), "wpt.none.none".to_owned())];
    for (whose, team) in [("", None), ("A's ", Some("team_a")), ("B's ", Some("team_b"))] {
        for role in Role::ALL {
            actors.push((format!("{whose}{role}"), person(store, role, team).await.2));
        }
    }
    let document = Request::get("/openapi.json").send(stage.gateway.url()).await.json();
    let lasting = things(store, vault, "team_a").await;
    let mut lines = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let (method, name) = (method.to_uppercase(), text(operation, "operationId"));
            // It has no end; who may is the same as for the other views.
            if name == "gateway.events" {
                continue;
            }
            let (mut answers, mut foreign) = (Vec::new(), BTreeSet::new());
            for (who, token) in &actors {
                let fresh = if method == "GET" { None } else { Some(things(store, vault, "team_a").await) };
                let target = fresh.as_ref().unwrap_or(&lasting);
                let path = concrete(path, target, "team_a", "plan_free");
                let content = if method == "GET" { Value::Null } else { body(name, target) };
                let answer = ask(&stage.gateway, token, (&method, &path), content, Some("*")).await;
                answers.push(format!("{who} {}", answer.status));
                if who == "nobody" || who == "stranger" {
                    assert!(answer.status == 401 || operation["security"] == json!([]), "{name}: {}", answer.status);
                }
                if who.starts_with("B's") {
                    let Things { key, user, session, invite, capture, request } = target;
                    let ids = [key, user, session, invite, capture, request];
                    if ids.iter().any(|id| answer.status < 300 && answer.text().contains(id.as_str())) {
                        foreign.insert(who.clone());
                    }
                    let named = ids.iter().any(|id| path.contains(id.as_str())) || path.contains("team_a");
                    assert!(!named || matches!(answer.status, 403 | 404), "{name} for {who}: {}", answer.status);
                }
            }
            assert!(foreign.is_empty(), "{name} shows things of A to {foreign:?}");
            lines.push(format!("{name}: {}", answers.join(", ")));
        }
    }
    lines.sort();
    insta::assert_snapshot!(lines.join("\n"));
}
