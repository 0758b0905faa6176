//! The administration over HTTP: keys, people, and what each role reaches of them.

mod audited;
mod catalog;
mod command;
mod described;
mod isolation;
mod keys;
mod money;
mod openapi;
mod others;
mod own_keys;
mod sweep;

use serde_json::Value;
use waypost_store::ledger::ChainKey;
use waypost_store::money::{Money, Settings};
use waypost_testkit::{Answer, Request, Script, Upstream, fixtures};

use crate::harness::{Database, Gateway, NOW};

pub(crate) const TOKEN: &str = "an-admin-token-0123456789";
pub(crate) const JWT_SECRET: &str = "a-secret-that-signs-sessions-0123456789";
const CHAT: &str = "/v1/chat/completions";

/// A gateway over a database, before an upstream that always answers, with the admin token.
pub(crate) struct Stage {
    pub(crate) gateway: Gateway,
    pub(crate) database: Database,
    pub(crate) upstream: Upstream,
}

impl Stage {
    pub(crate) async fn start() -> Self {
        let upstream = Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
        let database = Database::sqlite().await;
        let gateway = Self::gateway(&upstream, &database).await;
        Self { gateway, database, upstream }
    }

    /// Another gateway over the same database.
    pub(crate) async fn another(&self) -> Gateway {
        Self::gateway(&self.upstream, &self.database).await
    }

    /// The same with money, behind a proxy that names nobody: whoever shows many keys that are none is not slowed down.
    pub(crate) async fn with_money() -> Self {
        let upstream = Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await;
        let database = Database::sqlite().await;
        let folder = Money::folder_of(&database.store).expect("it is embedded");
        let settings = Settings::new("node", ChainKey::new(b"a key of the chain"));
        let (money, _) = Money::open(database.store.clone(), &folder, settings, NOW).await.expect("money opens");
        let yaml = format!("server: {{trusted_proxies: [127.0.0.1]}}\n{}", Self::yaml(&upstream));
        let gateway = Gateway::with_money(&yaml, database.store.clone(), money).await;
        Self { gateway, database, upstream }
    }

    async fn gateway(upstream: &Upstream, database: &Database) -> Gateway {
        Gateway::with_store(&Self::yaml(upstream), database.store.clone()).await
    }

    fn yaml(upstream: &Upstream) -> String {
        let url = upstream.url();
        format!(
            "admin: {{token: {TOKEN}}}\nidentity: {{jwt_secret: {JWT_SECRET}}}\nprices: [{{model: m, input: 1, output: 2}}]\nchannels:\n- {{name: up, provider: openai, base_url: '{url}/v1', api_key: sk-up, models: [m, other]}}\n"
        )
    }

    /// Sends a request as the administrator.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        self.ask_with(method, path, body, None).await
    }

    /// The same for a version.
    pub(crate) async fn ask_with(&self, method: &str, path: &str, body: Value, version: Option<&str>) -> Answer {
        ask(&self.gateway, TOKEN, (method, path), body, version).await
    }

    /// Makes something; gives the answer's body.
    pub(crate) async fn make(&self, path: &str, body: Value) -> Value {
        let answer = self.ask("POST", path, body).await;
        assert_eq!(answer.status, 201, "{path}: {}", answer.text());
        answer.json()
    }

    /// Changes something, whatever its version.
    pub(crate) async fn patch(&self, path: &str, body: Value) -> Value {
        let answer = self.ask_with("PATCH", path, body, Some("*")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Sends one chat with a key; gives the status.
    pub(crate) async fn chat(&self, key: &str) -> u16 {
        chat(&self.gateway, key, "m").await.status
    }
}

/// Sends a request with a bearer token.
pub(crate) async fn ask(
    gateway: &Gateway,
    token: &str,
    (method, path): (&str, &str),
    body: Value,
    version: Option<&str>,
) -> Answer {
    let mut request = Request::new(method, path).bearer(token);
    if let Some(version) = version {
        request = request.header("if-match", version);
    }
    if !body.is_null() {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    request.send(gateway.url()).await
}

/// Sends one chat with a key.
pub(crate) async fn chat(gateway: &Gateway, key: &str, model: &str) -> Answer {
    let body = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Hello!"}}]}}"#);
    Request::post(CHAT, body).bearer(key).send(gateway.url()).await
}

/// A text of an answer.
pub(crate) fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}
