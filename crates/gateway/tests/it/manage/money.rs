//! Credit, vouchers and budgets over HTTP: decimal strings in and out, codes shown once, nothing taken that is not there.

use serde_json::{Value, json};
use waypost_core::ledger::Account;
use waypost_core::money::NanoUsd;
use waypost_core::role::Role;
use waypost_store::ledger::ChainKey;
use waypost_store::money::{Money, Settings};
use waypost_store::teams;
use waypost_testkit::{Answer, Client, Request};

use super::isolation::person;
use super::{Stage, TOKEN, ask, text};
use crate::harness::{Database, Gateway, NOW, until};

struct Till {
    gateway: Gateway,
    database: Database,
}

impl Till {
    async fn open() -> Self {
        let database = Database::sqlite().await;
        let settings = Settings::new("node", ChainKey::new(b"a key of the chain"));
        let folder = Money::folder_of(&database.store).expect("it is embedded");
        let (money, _) = Money::open(database.store.clone(), &folder, settings, NOW).await.expect("money opens");
        let yaml = format!("admin: {{token: {TOKEN}}}");
        let gateway = Gateway::with_money(&yaml, database.store.clone(), money).await;
        Self { gateway, database }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        ask(&self.gateway, TOKEN, (method, path), body, None).await
    }
}

#[tokio::test]
async fn credit_is_given_and_taken_back_to_the_last_digit() {
    let till = Till::open().await;
    let give = async |what: &str, body| till.ask("POST", &format!("/admin/credits/user:usr_a/{what}"), body).await;
    assert_eq!(till.ask("GET", "/admin/credits/user:usr_a", Value::Null).await.status, 404);
    let given = give("top-up", json!({ "amount": "12.5", "reason": "paid", "reference": "invoice 7" })).await;
    assert_eq!((given.status, text(&given.json(), "left")), (201, "12.5"), "{}", given.text());
    // Trying again does not give again.
    let again = give("top-up", json!({ "amount": "12.5", "reason": "paid", "reference": "invoice 7" })).await;
    assert_eq!(again.status, 409, "{}", again.text());
    let taken = give("adjust", json!({ "amount": "-2.000000001", "reason": "too much" })).await;
    assert_eq!((taken.status, text(&taken.json(), "left")), (201, "10.499999999"), "{}", taken.text());
    assert_eq!(give("adjust", json!({ "amount": "-100", "reason": "all" })).await.status, 409);
    for body in [
        json!({ "amount": 12.5, "reason": "a" }),
        json!({ "amount": "0", "reason": "a" }),
        json!({ "amount": "-1", "reason": "a" }),
    ] {
        assert_eq!(give("top-up", body.clone()).await.status, 400, "{body}");
    }
    let shown = till.ask("GET", "/admin/credits/user:usr_a", Value::Null).await.json();
    assert_eq!((text(&shown, "granted"), text(&shown, "spent")), ("10.499999999", "0"));
    assert_eq!(till.ask("GET", "/admin/credits/revenue", Value::Null).await.status, 404);
}

#[tokio::test]
async fn what_was_asked_is_done_in_the_books_and_in_memory_though_nobody_waits_for_it() {
    let till = Till::open().await;
    let account = Account::user("usr_a");
    till.ask("POST", "/admin/credits/user:usr_a/top-up", json!({ "amount": "10", "reason": "paid" })).await;
    let money = till.gateway.app.money.clone().expect("requests are charged");
    let purse = money.books().credit(&account).expect("it was given credit");
    // The adjustment has its money aside and waits for the one connection that writes.
    let writing = till.database.store.begin().await.unwrap();
    let body = json!({ "amount": "-4", "reason": "too much" }).to_string();
    let request = Request::post("/admin/credits/user:usr_a/adjust", body).bearer(TOKEN);
    let mut client = Client::connect(till.gateway.url()).await;
    client.write(&request.to_bytes("gateway")).await.unwrap();
    until("it is set aside", async || (purse.standing(NOW).held > NanoUsd::ZERO).then_some(())).await;
    client.hang_up();
    till.gateway.wait_empty().await;
    writing.rollback().await.unwrap();
    until("nothing is set aside", async || (purse.standing(NOW).held == NanoUsd::ZERO).then_some(())).await;
    let standing = purse.standing(NOW);
    assert_eq!(standing.allotted.get() - standing.spent.get(), 6_000_000_000);
    let shown = till.ask("GET", "/admin/credits/user:usr_a", Value::Null).await.json();
    assert_eq!(text(&shown, "left"), "6");
}

#[tokio::test]
async fn vouchers_are_made_by_the_hundred_and_their_codes_are_shown_once() {
    let till = Till::open().await;
    let made = till.ask("POST", "/admin/vouchers", json!({ "label": "fair", "amount": "5", "count": 3 })).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let codes: Vec<&str> = made["data"].as_array().unwrap().iter().map(|voucher| text(voucher, "code")).collect();
    assert_eq!(codes.len(), 3);
    let listed = till.ask("GET", "/admin/vouchers?limit=2", Value::Null).await;
    assert!(codes.iter().all(|code| !listed.text().contains(code)));
    assert!(listed.json()["next"].is_string());
    let path = format!("/admin/vouchers/{}", text(&made["data"][0], "id"));
    assert_eq!(till.ask("DELETE", &path, Value::Null).await.status, 204);
    assert_eq!(till.ask("DELETE", &path, Value::Null).await.status, 404);
    let many = till.ask("POST", "/admin/vouchers", json!({ "label": "fair", "amount": "5", "count": 101 })).await;
    assert_eq!((many.status, text(&many.json()["error"], "param")), (400, "count"));
    // A token is nobody who has an account.
    let redeemed = till.ask("POST", "/auth/vouchers/redeem", json!({ "code": codes[1] })).await;
    assert_eq!(redeemed.status, 403);
}

#[tokio::test]
async fn budgets_are_made_shown_and_ended() {
    let till = Till::open().await;
    let body = json!({ "scope": "global", "window": "month", "amount": "100", "alerts": [80, 100] });
    let made = till.ask("POST", "/admin/budgets", body.clone()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let id = text(&made.json(), "id").to_owned();
    let shown = till.ask("GET", &format!("/admin/budgets/{id}"), Value::Null).await.json();
    assert_eq!((text(&shown, "amount"), &shown["hard"], &shown["alerts"]), ("100", &json!(true), &json!([80, 100])));
    assert_eq!(till.ask("GET", "/admin/budgets", Value::Null).await.json()["data"].as_array().map(Vec::len), Some(1));
    let usual =
        till.ask("POST", "/admin/budgets", json!({ "scope": "global", "window": "day", "amount": "1" })).await.json();
    assert_eq!((&usual["alerts"], &usual["when_spent"]), (&json!([50, 80, 100]), &json!("refuse")));
    assert_eq!(till.ask("DELETE", &format!("/admin/budgets/{}", text(&usual, "id")), Value::Null).await.status, 204);
    for (field, value) in [("scope", "everybody"), ("window", "year"), ("amount", "-1")] {
        let mut wrong = body.clone();
        wrong[field] = json!(value);
        let answer = till.ask("POST", "/admin/budgets", wrong).await;
        assert_eq!((answer.status, text(&answer.json()["error"], "param")), (400, field));
    }
    assert_eq!(till.ask("DELETE", &format!("/admin/budgets/{id}"), Value::Null).await.status, 204);
    assert_eq!(till.ask("GET", &format!("/admin/budgets/{id}"), Value::Null).await.status, 404);
}

#[tokio::test]
async fn a_team_changes_the_budgets_that_it_made_and_none_that_bounds_it() {
    let stage = Stage::with_money().await;
    let mut tx = stage.database.store.begin().await.unwrap();
    teams::create(&mut tx, "team_a", "A", None, NOW).await.unwrap();
    tx.commit().await.unwrap();
    let (user, _, token) = person(&stage.database.store, Role::Admin, Some("team_a")).await;
    let budget = json!({ "scope": format!("user:{user}"), "window": "day", "amount": "10" });
    let path = |made: &Value| format!("/admin/budgets/{}", text(made, "id"));
    let as_team = async |method: &str, path: &str, body| {
        let answer = ask(&stage.gateway, &token, (method, path), body, Some("*")).await;
        (answer.status, answer.json())
    };
    let theirs = path(&stage.make("/admin/budgets", budget.clone()).await);
    for (method, body) in [("PATCH", json!({ "amount": "1000" })), ("DELETE", Value::Null)] {
        assert_eq!(as_team(method, &theirs, body).await.0, 403, "{method}");
    }
    assert_eq!(as_team("GET", &theirs, Value::Null).await.1["amount"], "10");
    let (status, made) = as_team("POST", "/admin/budgets", budget).await;
    assert_eq!(status, 201);
    assert_eq!(as_team("PATCH", &path(&made), json!({ "amount": "5" })).await.0, 200);
    let ended = ask(&stage.gateway, &token, ("DELETE", &path(&made)), Value::Null, None).await;
    assert_eq!(ended.status, 204);
}

#[tokio::test]
async fn a_budget_is_changed_only_by_who_has_seen_its_version() {
    let till = Till::open().await;
    let body = json!({ "scope": "group:m", "window": "day", "amount": "100" });
    let made = till.ask("POST", "/admin/budgets", body).await;
    assert_eq!((made.status, made.header("etag")), (201, Some("\"1\"")));
    let path = format!("/admin/budgets/{}", text(&made.json(), "id"));
    let change =
        async |body: Value, version: Option<&str>| ask(&till.gateway, TOKEN, ("PATCH", &path), body, version).await;
    let degrade = json!({ "amount": "5.5", "when_spent": "degrade" });
    assert_eq!(change(degrade.clone(), None).await.status, 428);
    assert_eq!(change(degrade.clone(), Some("\"2\"")).await.status, 412);
    let changed = change(degrade.clone(), Some("\"1\"")).await;
    assert_eq!((changed.status, changed.header("etag")), (200, Some("\"2\"")), "{}", changed.text());
    assert_eq!(change(degrade, Some("\"1\"")).await.status, 412);
    let shown = till.ask("GET", &path, Value::Null).await;
    assert_eq!((text(&shown.json(), "amount"), text(&shown.json(), "when_spent")), ("5.5", "degrade"));
    assert_eq!((shown.header("etag"), &shown.json()["alerts"]), (Some("\"2\""), &json!([50, 80, 100])));
    for (field, wrong) in [
        ("when_spent", json!({ "when_spent": "beg" })),
        ("when_spent", json!({ "hard": false })),
        ("alerts", json!({ "alerts": [0] })),
        ("amount", json!({ "amount": "-1" })),
    ] {
        let answer = change(wrong, Some("*")).await;
        assert_eq!((answer.status, text(&answer.json()["error"], "param")), (400, field), "{}", answer.text());
    }
    let end = async |version| ask(&till.gateway, TOKEN, ("DELETE", &path), Value::Null, version).await.status;
    assert_eq!((end(Some("\"1\"")).await, end(Some("\"2\"")).await), (412, 204));
}

#[tokio::test]
async fn what_the_audit_log_cannot_be_told_of_is_not_done() {
    let till = Till::open().await;
    let made = till.ask("POST", "/admin/vouchers", json!({ "label": "fair", "amount": "5" })).await.json();
    let voucher = format!("/admin/vouchers/{}", text(&made["data"][0], "id"));
    let new = json!({ "scope": "global", "window": "day", "amount": "1" });
    let budget =
        format!("/admin/budgets/{}", text(&till.ask("POST", "/admin/budgets", new.clone()).await.json(), "id"));
    let rename = async |from: &str, to: &str| {
        let mut tx = till.database.store.begin().await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(format!("alter table {from} rename to {to}"))).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    };
    let gift = json!({ "amount": "1", "reason": "paid" });
    let writes = [
        ("POST", "/admin/credits/user:usr_a/top-up", gift),
        ("POST", "/admin/vouchers", json!({ "label": "fair", "amount": "5", "count": 3 })),
        ("DELETE", &*voucher, Value::Null),
        ("POST", "/admin/budgets", new),
        ("PATCH", &*budget, json!({ "amount": "2" })),
        ("DELETE", &*budget, Value::Null),
    ];
    let write = async |(method, path, body): &(&str, &str, Value)| {
        ask(&till.gateway, TOKEN, (method, path), body.clone(), Some("*")).await.status
    };
    rename("audit", "audit_away").await;
    for one in &writes {
        assert_eq!(write(one).await, 500, "{one:?}");
    }
    rename("audit_away", "audit").await;
    assert_eq!(till.ask("GET", "/admin/credits/user:usr_a", Value::Null).await.status, 404);
    let vouchers = till.ask("GET", "/admin/vouchers", Value::Null).await.json();
    assert_eq!(
        (vouchers["data"].as_array().map(Vec::len), &vouchers["data"][0]["revoked_at"]),
        (Some(1), &Value::Null)
    );
    let budgets = till.ask("GET", "/admin/budgets", Value::Null).await.json();
    assert_eq!((budgets["data"].as_array().map(Vec::len), text(&budgets["data"][0], "amount")), (Some(1), "1"));
    // Whoever tries again does it once, and there is a row of each.
    let before = till.ask("GET", "/admin/audit?limit=1", Value::Null).await.json()["data"][0]["number"].as_i64();
    for one in &writes {
        assert!(write(one).await < 300, "{one:?}");
    }
    assert_eq!(text(&till.ask("GET", "/admin/credits/user:usr_a", Value::Null).await.json(), "granted"), "1");
    let rows = till.ask("GET", "/admin/audit?limit=6", Value::Null).await.json();
    assert_eq!(rows["data"][0]["number"].as_i64(), before.map(|before| before + 6));
    let actions: Vec<_> = rows["data"].as_array().unwrap().iter().map(|row| text(row, "action")).collect();
    let expected =
        ["budget.delete", "budget.change", "budget.create", "voucher.revoke", "voucher.create", "credit.top_up"];
    assert_eq!(actions, expected);
    assert_eq!(rows["data"][1]["detail"]["after"]["version"], 2);
}
