//! Whatever writes leaves a row in the audit log, by the built binary: every route of the table that does something is used once, and
//! each must be told of. Whoever adds such a route says here how it is used.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use waypost_testkit::{Answer, Request, Script, Upstream, fixtures};

use super::described::{Described, Operation};
use super::text;
use crate::start::{Running, Waypost};
use crate::transfer::Folder;

const PASSWORD: &str = "correct horse battery";

/// What is no reading and writes nothing that is worth a row.
const UNTOLD: [&str; 2] = [
    // A session goes on that its beginning told of, every few minutes.
    "auth.refresh",
    // Tells what a request would cost.
    "key_usage.estimate",
];

/// A gateway with everything that can be changed, and its owner.
struct House {
    gateway: Running,
    upstream: Upstream,
    owner: String,
    _folder: Folder,
}

/// One use of a route.
struct Call {
    token: String,
    path: String,
    body: Value,
}

impl House {
    /// As it is before there is an owner; with the token that makes one.
    async fn open() -> (Self, String) {
        let (folder, upstream) =
            (Folder::new(), Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await);
        let file = format!(
            "channels:\n- {{name: filed, provider: openai, base_url: '{}/v1', api_key: sk-1, models: [m]}}\n",
            upstream.url()
        );
        let waypost = Waypost::new().arguments(&["--port", "0", "--mode", "auto"]).env("DB_PATH", &folder.database());
        let mut gateway = waypost.file("waypost.yaml", &file).start().await;
        gateway.hear("Set-up token, shown this once: ").await;
        let line = gateway.heard().lines().find(|line| line.starts_with("Set-up token")).unwrap();
        let token = line.rsplit(' ').next().unwrap().to_owned();
        (Self { gateway, upstream, owner: String::new(), _folder: folder }, token)
    }

    async fn ask(&self, token: &str, (method, path): (&str, &str), body: &Value) -> Answer {
        let mut request = Request::new(method, path).header("if-match", "*");
        if !token.is_empty() {
            request = request.bearer(token);
        }
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        request.send(self.gateway.url()).await
    }

    async fn get(&self, path: &str) -> Value {
        self.ask(&self.owner, ("GET", path), &Value::Null).await.json()
    }

    /// Makes something new of the owner's.
    async fn make(&self, path: &str, body: Value) -> Value {
        let made = self.ask(&self.owner, ("POST", path), &body).await;
        assert_eq!(made.status, 201, "{path}: {}", made.text());
        made.json()
    }

    /// The same, of which only the id matters.
    async fn id(&self, path: &str, body: Value) -> String {
        text(&self.make(path, body).await, "id").to_owned()
    }

    /// Somebody new who is signed in: the session.
    async fn person(&self) -> Value {
        let email = email();
        let made = self.make("/admin/users", json!({ "email": email })).await;
        let reset = json!({ "token": made["reset"]["secret"], "password": PASSWORD });
        assert_eq!(self.ask("", ("POST", "/auth/reset-password"), &reset).await.status, 204);
        let login = json!({ "email": email, "password": PASSWORD });
        self.ask("", ("POST", "/auth/login"), &login).await.json()
    }

    /// A channel of the database with one credential.
    async fn channel(&self) -> Value {
        self.make("/admin/channels", self.new_channel()).await
    }

    fn new_channel(&self) -> Value {
        let url = format!("{}/v1", self.upstream.url());
        json!({ "name": unique("channel"), "provider": "openai", "base_url": url, "api_key": "sk-2", "models": ["n"] })
    }

    /// The number of the last row of the audit log.
    async fn last_row(&self) -> i64 {
        self.get("/admin/audit?limit=1").await["data"][0]["number"].as_i64().unwrap_or_default()
    }

    /// How the operation is used, on something that is there only for it.
    async fn prepared(&self, operation: &Operation<'_>) -> Call {
        let name = operation.name;
        let to = |id: &str| operation.path.replace("{id}", id);
        let here = operation.path.to_owned();
        let (path, body) = match name {
            "auth.login" | "profile.reset_password" | "auth.register" => return self.at_the_door(operation).await,
            "auth.logout"
            | "auth.logout_all"
            | "profile.change"
            | "profile.change_password"
            | "session.own_end"
            | "voucher.redeem" => return self.by_a_person(operation).await,
            "deployment.reset" => (to(text(&self.get("/admin/deployments").await["data"][0], "id")), json!({})),
            "credential.reset" | "credential.test" => {
                (to(text(&self.get("/admin/credentials").await["data"][0], "id")), json!({}))
            }
            "security.pardon" => (here.replace("{address}", "192.0.2.1"), json!({})),
            "gateway.reload" | "price.rerate" => (here, json!({})),
            "channel.create" => (here, self.new_channel()),
            "channel.change" => (to(text(&self.channel().await, "id")), json!({ "tier": 2 })),
            "channel.delete" => (to(text(&self.channel().await, "id")), Value::Null),
            "credential.create" => {
                (here, json!({ "channel": self.channel().await["id"], "name": "another", "key": "sk-3" }))
            }
            "credential.change" => (to(text(&self.channel().await["credentials"][0], "id")), json!({ "key": "sk-4" })),
            "credential.delete" => (to(text(&self.channel().await["credentials"][0], "id")), Value::Null),
            "key.create" | "api_key.create" => (here, json!({ "name": unique("key") })),
            "key.change" | "key.rotate" | "key.revoke" => {
                (to(&self.id("/admin/keys", json!({ "name": unique("key") })).await), changed(name))
            }
            "api_key.put" | "api_key.change" | "api_key.rotate" | "api_key.revoke" => {
                (to(&self.id("/auth/api-keys", json!({ "name": unique("key") })).await), changed(name))
            }
            "user.create" => (here, json!({ "email": email() })),
            "user.change" | "user.reset" | "user.unlink" => {
                (to(&self.id("/admin/users", json!({ "email": email() })).await), changed(name))
            }
            "invite.create" => (here, json!({ "days": 1 })),
            "invite.withdraw" => (to(&self.id("/admin/invites", json!({ "days": 1 })).await), Value::Null),
            "team.create" | "plan.create" => (here, json!({ "name": unique("name") })),
            "team.change" => (to(&self.id("/admin/teams", json!({ "name": unique("team") })).await), changed(name)),
            "plan.change" => (to(&self.id("/admin/plans", json!({ "name": unique("plan") })).await), changed(name)),
            "price.create" => (here, json!({ "price": { "model": "m", "input": 1 } })),
            "price.withdraw" => {
                let later = json!({ "price": { "model": "m", "input": 1 }, "effective_at": 4_000_000_000_000_i64 });
                (to(&self.id("/admin/prices", later).await), Value::Null)
            }
            "session.end" => (to(text(&self.person().await, "id")), Value::Null),
            "credit.top_up" | "credit.adjust" => {
                (here.replace("{account}", "user:usr_a"), json!({ "amount": "1", "reason": "a test" }))
            }
            "voucher.create" => (here, json!({ "label": "a test", "amount": "1" })),
            "voucher.revoke" => (to(text(&self.voucher().await, "id")), Value::Null),
            "budget.create" => (here, budget()),
            "budget.change" => (to(&self.id("/admin/budgets", budget()).await), json!({ "amount": "2" })),
            "budget.delete" => (to(&self.id("/admin/budgets", budget()).await), Value::Null),
            "capture.order" => (here, self.capture().await),
            "capture.end" => {
                let capture = self.capture().await;
                (to(&self.id("/admin/captures", capture).await), Value::Null)
            }
            other => unreachable!("{other} writes: say here how it is used, and see to its row in the audit log"),
        };
        Call { token: self.owner.clone(), path, body }
    }

    /// What is done without a session.
    async fn at_the_door(&self, operation: &Operation<'_>) -> Call {
        let body = match operation.name {
            "auth.login" => json!({ "email": "owner@example.com", "password": PASSWORD }),
            "profile.reset_password" => {
                let made = self.make("/admin/users", json!({ "email": email() })).await;
                json!({ "token": made["reset"]["secret"], "password": PASSWORD })
            }
            _ => {
                let invite = self.make("/admin/invites", json!({ "days": 1 })).await;
                json!({ "email": email(), "password": PASSWORD, "invite": invite["secret"] })
            }
        };
        Call { token: String::new(), path: operation.path.to_owned(), body }
    }

    /// What somebody does of their own.
    async fn by_a_person(&self, operation: &Operation<'_>) -> Call {
        let session = self.person().await;
        let path = operation.path.replace("{id}", text(&session, "id"));
        let body = match operation.name {
            "profile.change" => json!({ "name": "another" }),
            "profile.change_password" => json!({ "current_password": PASSWORD, "new_password": "another password" }),
            "voucher.redeem" => json!({ "code": self.voucher().await["code"] }),
            _ => Value::Null,
        };
        Call { token: text(&session, "token").to_owned(), path, body }
    }

    async fn voucher(&self) -> Value {
        self.make("/admin/vouchers", json!({ "label": "a test", "amount": "1" })).await["data"][0].clone()
    }

    async fn capture(&self) -> Value {
        json!({ "key": self.id("/admin/keys", json!({ "name": unique("key") })).await, "why": "a test" })
    }
}

fn unique(word: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    format!("{word}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

fn email() -> String {
    format!("{}@example.com", unique("somebody"))
}

fn budget() -> Value {
    json!({ "scope": "global", "window": "day", "amount": "1000" })
}

/// Another name, for what has one.
fn changed(operation: &str) -> Value {
    match operation.rsplit('.').next() {
        Some("change" | "put") => json!({ "name": unique("changed") }),
        _ => json!({}),
    }
}

#[tokio::test]
async fn every_route_that_writes_leaves_a_row_in_the_audit_log() {
    let (mut house, token) = House::open().await;
    let described = Described::at(house.gateway.url()).await;
    let set_up = json!({ "token": token, "email": "owner@example.com", "password": PASSWORD });
    let owner = house.ask("", ("POST", "/auth/setup"), &set_up).await;
    assert_eq!(owner.status, 201, "{}", owner.text());
    text(&owner.json(), "token").clone_into(&mut house.owner);
    assert_ne!(house.last_row().await, 0);
    let mut silent = Vec::new();
    for operation in described.operations().iter().filter(|operation| operation.method != "GET") {
        let name = operation.name;
        if name == "auth.set_up" || UNTOLD.contains(&name) {
            continue;
        }
        let Call { token, path, body } = house.prepared(operation).await;
        let before = house.last_row().await;
        let answer = house.ask(&token, (&operation.method, &path), &body).await;
        assert!(answer.status < 300, "{name}: {} {}", answer.status, answer.text());
        described.judge(operation, &answer);
        if house.last_row().await == before {
            silent.push(name);
        }
    }
    assert_eq!(silent, [""; 0], "these leave no row");
}
