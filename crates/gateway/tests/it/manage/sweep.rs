//! What holds of every route alike, found by the description and not by a list: versions on what can be changed, pages on every
//! list, one shape of errors.

use serde_json::{Value, json};

use super::described::{Described, Operation};
use super::{Stage, TOKEN, ask, text};

/// A user of no team with the role of an owner, who may ask everything.
struct Owner {
    stage: Stage,
    described: Described,
    token: String,
}

impl Owner {
    /// Made by the admin token, with a password of their own, and signed in.
    async fn open() -> Self {
        let stage = Stage::with_money().await;
        let described = Described::by(&stage.gateway).await;
        let made = stage.make("/admin/users", json!({ "email": "owner@example.com", "role": "owner" })).await;
        let reset = json!({ "token": made["reset"]["secret"], "password": "correct horse battery" });
        assert_eq!(stage.ask("POST", "/auth/reset-password", reset).await.status, 204);
        let login = json!({ "email": "owner@example.com", "password": "correct horse battery" });
        let session = stage.ask("POST", "/auth/login", login).await.json();
        Self { token: text(&session, "token").to_owned(), stage, described }
    }

    async fn ask(
        &self,
        operation: &Operation<'_>,
        path: &str,
        body: Value,
        version: Option<&str>,
    ) -> waypost_testkit::Answer {
        let answer = ask(&self.stage.gateway, &self.token, (&operation.method, path), body, version).await;
        self.described.judge(operation, &answer);
        answer
    }

    /// The path of a thing that is there, made where it must be.
    async fn thing(&self, path: &str) -> Option<String> {
        let (list, body) = match path.split('/').nth(2)? {
            "profile" => return Some(path.to_owned()),
            "keys" => ("/admin/keys", json!({ "name": "k" })),
            "api-keys" => ("/auth/api-keys", json!({ "name": "k" })),
            "users" => ("/admin/users", json!({ "email": "another@example.com" })),
            "teams" => ("/admin/teams", json!({ "name": "A" })),
            "plans" => ("/admin/plans", json!({ "name": "P" })),
            "budgets" => ("/admin/budgets", json!({ "scope": "global", "window": "day", "amount": "1" })),
            _ => return None,
        };
        let made = ask(&self.stage.gateway, &self.token, ("POST", list), body, None).await;
        let found = match made.status {
            201 => made.json(),
            _ => {
                ask(&self.stage.gateway, &self.token, ("GET", list), Value::Null, None).await.json()["data"][0].clone()
            }
        };
        Some(path.replace("{id}", text(&found, "id")))
    }
}

fn has(operation: &Operation<'_>, place: &str, name: &str) -> bool {
    let all = operation.says["parameters"].as_array().into_iter().flatten();
    all.into_iter().any(|parameter| parameter["in"] == place && parameter["name"] == name)
}

#[tokio::test]
async fn whatever_can_be_changed_is_changed_of_a_version_that_was_read() {
    let owner = Owner::open().await;
    let mut changed = Vec::new();
    let operations = owner.described.operations();
    for operation in operations.iter().filter(|operation| has(operation, "header", "If-Match")) {
        let Some(path) = owner.thing(operation.path).await else {
            // Where files hold the configuration, it is changed there.
            assert!(
                operation.name.starts_with("channel.") || operation.name.starts_with("credential."),
                "{}",
                operation.name
            );
            continue;
        };
        let (name, shown) = (operation.name, path.trim_end_matches("/rotate"));
        let read = ask(&owner.stage.gateway, &owner.token, ("GET", shown), Value::Null, None).await;
        let tag = read.header("etag").unwrap_or_else(|| panic!("{name}: {shown} has no version")).to_owned();
        let body = match name {
            "budget.change" => json!({ "amount": "2" }),
            _ if path == shown => json!({ "name": format!("by {name}") }),
            _ => json!({}),
        };
        for (version, status) in
            [(None, 428), (Some("\"0\""), 412), (Some("nonsense"), 412), (Some(&*tag), 200), (Some(&*tag), 412)]
        {
            let answer = owner.ask(operation, &path, body.clone(), version).await;
            assert_eq!(answer.status, status, "{name} for {version:?}: {}", answer.text());
            assert!(status != 200 || answer.header("etag").is_some_and(|now| now != tag), "{name} stays {tag}");
        }
        assert_eq!(owner.ask(operation, &path, body, Some("*")).await.status, 200, "{name}");
        changed.push(name);
    }
    let expected = [
        "api_key.change",
        "api_key.put",
        "api_key.rotate",
        "budget.change",
        "key.change",
        "key.rotate",
        "plan.change",
        "profile.change",
        "team.change",
        "user.change",
    ];
    changed.sort_unstable();
    assert_eq!(changed, expected);
}

#[tokio::test]
async fn every_list_comes_in_pages_that_begin_after_a_place() {
    let owner = Owner::open().await;
    for number in 0..3 {
        owner.stage.make("/admin/teams", json!({ "name": format!("team {number}") })).await;
    }
    owner.stage.make("/admin/credits/user:usr_a/top-up", json!({ "amount": "1", "reason": "a test" })).await;
    let (mut lists, mut longest) = (Vec::new(), 0);
    let operations = owner.described.operations();
    for operation in operations.iter().filter(|operation| has(operation, "query", "after")) {
        let (name, path) = (operation.name, operation.path.replace("{account}", "user:usr_a"));
        let mut after = String::new();
        let mut pages = 0;
        let mut seen = Vec::new();
        loop {
            let page = owner.ask(operation, &format!("{path}?limit=1{after}"), Value::Null, None).await;
            assert_eq!(page.status, 200, "{name}: {}", page.text());
            let page = page.json();
            let rows = page["data"].as_array().unwrap_or_else(|| panic!("{name} has no data"));
            assert!(rows.len() <= 1, "{name}: {page}");
            assert!(rows.iter().all(|row| !seen.contains(row)), "{name} shows something twice: {page}");
            seen.extend(rows.iter().cloned());
            pages += 1;
            // Signing in and the steps above are in the log and grow no further.
            assert!(pages < 50, "{name} has no end");
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        longest = longest.max(pages);
        for (query, param) in [("limit=0", "limit"), ("limit=1000000", "limit"), ("after=%20", "after")] {
            let wrong = owner.ask(operation, &format!("{path}?{query}"), Value::Null, None).await;
            assert_eq!((wrong.status, text(&wrong.json()["error"], "param")), (400, param), "{name}?{query}");
        }
        lists.push(name);
    }
    assert!(longest >= 3 && lists.len() > 10, "{lists:?}");
    // Whatever shows many of something by its address is one of these lists.
    for operation in operations.iter().filter(|operation| operation.name.ends_with("list")) {
        assert!(lists.contains(&operation.name), "{} has no pages", operation.name);
    }
}

#[tokio::test]
async fn every_error_has_the_one_shape() {
    let owner = Owner::open().await;
    for operation in &owner.described.operations() {
        let path = operation.path.replace(['{', '}'], "");
        let wrong = ask(&owner.stage.gateway, "no-token", (&operation.method, &path), json!([]), None).await;
        owner.described.judge(operation, &wrong);
        let open = operation.says["security"] == json!([]);
        assert!(open || wrong.status == 401, "{}: {}", operation.name, wrong.status);
        if operation.is_endless() {
            continue;
        }
        let mistaken = ask(&owner.stage.gateway, TOKEN, (&operation.method, &path), json!([]), Some("*")).await;
        owner.described.judge(operation, &mistaken);
    }
}
