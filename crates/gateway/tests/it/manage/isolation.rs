//! Tenant isolation: every route of the table is called by nobody, by each role, by keys, and by another tenant, for things of a
//! team. What each is answered stands in one table, the snapshot; what may never be is asserted, and so is that every answer is what
//! the description says of it.

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
use waypost_store::logbook::LogRow;
use waypost_store::plans::{self, Billing, Terms};
use waypost_store::seal::Dice;
use waypost_store::sessions::{self, Refresh, Session};
use waypost_store::users::{self, NewUser};
use waypost_store::{Store, Vault, digest, id, teams};

use super::described::Described;
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
    budget: String,
    voucher: String,
    capture: String,
    /// The id of a request that was captured.
    request: String,
}

/// What a call of team A is known by, wherever it is told of.
const CALL: &str = "req_of_team_a";
const MODEL: &str = "model-of-team-a";

impl Things {
    /// Everything that nobody of another team may be shown.
    fn names(&self) -> [&str; 10] {
        let Self { key, user, session, invite, budget, voucher, capture, request } = self;
        [key, user, session, invite, budget, voucher, capture, request, CALL, MODEL]
    }
}

async fn things(stage: &Stage, vault: &Vault, team: &str) -> Things {
    let store = &stage.database.store;
    let (user, session, _) = person(store, Role::Member, Some(team)).await;
    let number = unique();
    let (key, invite) = (id::new("key", u128::from(number)), id::new("inv", u128::from(number)));
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
    tx.commit().await.unwrap();
    let owner = Owner { user: Some(user.clone()), team: Some(team.to_owned()) };
    let (capture, request) = captured(store, vault, owner, number).await;
    let budget = json!({ "scope": format!("user:{user}"), "window": "day", "amount": "1" });
    let budget = text(&stage.make("/admin/budgets", budget).await, "id").to_owned();
    let voucher = stage.make("/admin/vouchers", json!({ "label": "a test", "amount": "1" })).await;
    let voucher = text(&voucher["data"][0], "id").to_owned();
    Things { key, user, session, invite, budget, voucher, capture, request }
}

/// A capture of a key of this owner, and the id of a request of which it kept something.
async fn captured(store: &Store, vault: &Vault, owner: Owner, number: u64) -> (String, String) {
    let (capture, request) = (id::new("cap", u128::from(number)), format!("req_of_{number}"));
    let ordered = Capture {
        id: capture.clone(),
        created_at: NOW,
        key: format!("another key, {number}"),
        key_name: "theirs".to_owned(),
        owner: owner.clone(),
        from: NOW,
        until: NOW + YEAR,
        ordered_by: "somebody".to_owned(),
        why: "a test".to_owned(),
        limits: captures::Limits { body_bytes: 1024, calls: 1 },
        taken: 0,
        lost: 0,
    };
    let mut tx = store.begin().await.unwrap();
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
    (capture, request)
}

/// A call of team A, and credit that it has.
async fn trade(stage: &Stage, key: &str, user: &str) {
    let row = LogRow {
        at: stage.gateway.app.unix_millis(),
        request_id: CALL.into(),
        key_id: key.into(),
        key_name: "theirs".into(),
        user_id: user.into(),
        team_id: "team_a".into(),
        model: MODEL.into(),
        operation: "chat".into(),
        status: 200,
        outcome: "complete".into(),
        ..LogRow::default()
    };
    stage.database.store.logbook().write(&[row]).await.unwrap();
    stage.make("/admin/credits/team:team_a/top-up", json!({ "amount": "100", "reason": "a test" })).await;
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
        "profile.change" => json!({ "name": "myself" }),
        "key_usage.estimate" => json!({ "model": "m", "messages": [{ "role": "user", "content": "Hello!" }] }),
        "price.create" => json!({ "price": { "model": "m", "input": 1 } }),
        "capture.order" => json!({ "key": things.key, "why": "a test" }),
        _ => json!({}),
    }
}

/// The path with ids of team A's things in the place of what varies.
fn concrete(path: &str, things: &Things) -> String {
    let id = match path.split('/').nth(2) {
        Some("keys" | "api-keys") => &things.key,
        Some("users") => &things.user,
        Some("sessions") => &things.session,
        Some("invites") => &things.invite,
        Some("budgets") => &things.budget,
        Some("vouchers") => &things.voucher,
        Some("captures") => &things.capture,
        Some("logs") if path.ends_with("/bodies") => &things.request,
        Some("logs") => CALL,
        Some("teams") => "team_a",
        Some("plans") => "plan_free",
        _ => "0123456789abcdef",
    };
    path.replace("{id}", id).replace("{address}", "192.0.2.1").replace("{account}", "team:team_a")
}

/// Somebody who calls.
struct Caller {
    name: String,
    token: String,
    /// What they are, if they are a user.
    is: Option<(Role, Option<&'static str>)>,
}

impl Caller {
    /// Their token, for one call: another session of somebody like them where the call ends it.
    async fn token(&self, store: &Store, operation: &str) -> String {
        match self.is {
            Some((role, team)) if operation.starts_with("auth.logout") => person(store, role, team).await.2,
            _ => self.token.clone(),
        }
    }

    fn is_unknown(&self) -> bool {
        matches!(self.name.as_str(), "nobody" | "stranger")
    }
}

/// Nobody, each role without a team and in either, and a key of either.
async fn callers(stage: &Stage) -> Vec<Caller> {
    let known = |name: &str, token: &str, is| Caller { name: name.to_owned(), token: token.to_owned(), is };
    let mut callers = vec![known("nobody", "", None), known("stranger", "wpt.none.none", None)];
    for (whose, team) in [("", None), ("A's ", Some("team_a")), ("B's ", Some("team_b"))] {
        for role in Role::ALL {
            let (user, _, token) = person(&stage.database.store, role, team).await;
            if whose == "A's " && role == Role::Member {
                trade(stage, "key_of_team_a", &user).await;
            }
            callers.push(known(&format!("{whose}{role}"), &token, Some((role, team))));
        }
    }
    for (name, team) in [("A's key", "team_a"), ("B's key", "team_b")] {
        let key = stage.make("/admin/keys", json!({ "name": name, "team": team })).await;
        callers.push(known(name, text(&key, "key"), None));
    }
    callers
}

async fn two_teams(stage: &Stage) {
    let mut tx = stage.database.store.begin().await.unwrap();
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
}

#[tokio::test]
async fn every_route_answers_every_role_as_the_table_says_and_other_tenants_not_at_all_002_48() {
    let stage = Stage::with_money().await;
    let vault = keeping(&stage.gateway, &stage.database.store).await;
    two_teams(&stage).await;
    let callers = callers(&stage).await;
    let described = Described::by(&stage.gateway).await;
    let lasting = things(&stage, &vault, "team_a").await;
    let (mut lines, mut faults) = (Vec::new(), BTreeSet::new());
    // What has no end: who may is the same as for the other views.
    for operation in described.operations().iter().filter(|operation| !operation.is_endless()) {
        let (name, reads) = (operation.name, operation.method == "GET");
        let (mut answers, mut foreign) = (Vec::new(), BTreeSet::new());
        for caller in &callers {
            let who = &caller.name;
            let fresh = if reads || !operation.path.contains('{') {
                None
            } else {
                Some(things(&stage, &vault, "team_a").await)
            };
            let target = fresh.as_ref().unwrap_or(&lasting);
            let path = concrete(operation.path, target);
            let content = if reads { Value::Null } else { body(name, target) };
            let token = caller.token(&stage.database.store, name).await;
            let answer = ask(&stage.gateway, &token, (&operation.method, &path), content, Some("*")).await;
            answers.push(format!("{who} {}", answer.status));
            if let Err(why) = described.judged(operation, &answer) {
                faults.insert(format!("{name} {}: {why}", answer.status));
            }
            if caller.is_unknown() {
                let open = operation.says["security"] == json!([]);
                assert!(answer.status == 401 || open, "{name} for {who}: {}", answer.status);
            }
            if who.starts_with("B's") {
                let names = target.names();
                if names.iter().any(|name| answer.status < 300 && answer.text().contains(name)) {
                    foreign.insert(who.clone());
                }
                let named = names.iter().any(|name| path.contains(name)) || path.contains("team_a");
                let out = if who == "B's key" { 401..402 } else { 403..405 };
                assert!(!named || out.contains(&answer.status), "{name} for {who}: {}", answer.status);
            }
        }
        assert!(foreign.is_empty(), "{name} shows things of A to {foreign:?}");
        lines.push(format!("{name}: {}", answers.join(", ")));
    }
    assert!(faults.is_empty(), "not as described: {faults:#?}");
    lines.sort();
    insta::assert_snapshot!(lines.join("\n"));
}
