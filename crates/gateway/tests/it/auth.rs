//! People at the door, over sockets and a real database: registering, signing in and out, and everybody who should not get in.

mod attacks;
mod browser;
mod oidc;
mod passwords;
mod register;
mod sessions;
mod setup;
mod start;

use serde_json::{Value, json};
use waypost_core::role::Role;
use waypost_store::page::Scope;
use waypost_store::users::{self, Change, User};
use waypost_store::{audit, teams};
use waypost_testkit::{Answer, Request};

use crate::harness::{Database, Gateway, NOW};

/// A password that is taken.
pub(crate) const PASSWORD: &str = "correct horse battery";
/// What sessions are signed with where a test says so.
const SECRET: &str = "k3J9_sQ0vZ7pLx2mB8nRt5wYc1dFgH4a";

/// A gateway over an empty database.
pub(crate) struct House {
    pub(crate) gateway: Gateway,
    pub(crate) database: Database,
}

impl House {
    /// With an `identity:` section in YAML's flow style.
    pub(crate) async fn new(identity: &str) -> Self {
        let database = Database::sqlite().await;
        let yaml = format!("channels: [{{name: sim, provider: simulator}}]\nidentity: {identity}\n");
        let gateway = Gateway::with_store(&yaml, database.store.clone()).await;
        Self { gateway, database }
    }

    /// Where everybody may register.
    pub(crate) async fn open() -> Self {
        Self::new(&format!("{{registration: open, jwt_secret: {SECRET}}}")).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        Request::post(path, body.to_string()).send(self.gateway.url()).await
    }

    async fn post_as(&self, token: &str, path: &str, body: &Value) -> Answer {
        Request::post(path, body.to_string()).bearer(token).send(self.gateway.url()).await
    }

    async fn get_as(&self, token: &str, path: &str) -> Answer {
        Request::get(path).bearer(token).send(self.gateway.url()).await
    }

    async fn register(&self, email: &str) -> Answer {
        self.post("/auth/register", &json!({ "email": email, "password": PASSWORD })).await
    }

    /// Signs in and gives the answer, which must be a session.
    async fn login(&self, email: &str) -> Value {
        let answer = self.post("/auth/login", &json!({ "email": email, "password": PASSWORD })).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// Somebody who has just registered and signed in: their session.
    async fn somebody(&self, email: &str) -> Value {
        assert_eq!(self.register(email).await.status, 201);
        self.login(email).await
    }

    /// The same with another role, of the whole instance: their access token.
    async fn somebody_who_is(&self, email: &str, role: Role) -> String {
        self.somebody_after(email, &Change { role: Some(role), ..Change::default() }).await
    }

    /// The same of a team.
    async fn somebody_of(&self, email: &str, team: &str) -> String {
        let mut tx = self.database.store.begin().await.unwrap();
        teams::create(&mut tx, team, team, None, NOW).await.unwrap();
        tx.commit().await.unwrap();
        self.somebody_after(email, &Change { team: Some(Some(team)), ..Change::default() }).await
    }

    async fn somebody_after(&self, email: &str, change: &Change<'_>) -> String {
        assert_eq!(self.register(email).await.status, 201);
        let (user, mut tx) = (self.user(email).await, self.database.store.begin().await.unwrap());
        users::change(&mut tx, &Scope::All, &user.id, None, change, NOW).await.unwrap();
        tx.commit().await.unwrap();
        text(&self.login(email).await, "token").to_owned()
    }

    async fn profile_status(&self, token: &str) -> u16 {
        self.get_as(token, "/auth/profile").await.status
    }

    async fn user(&self, email: &str) -> User {
        users::by_login(&self.database.store, email).await.unwrap().unwrap().0
    }

    /// What was written down beside the last one of these.
    async fn detail_of(&self, action: &str) -> Value {
        let filter = audit::Filter { action: Some(action), ..audit::Filter::default() };
        let (rows, _) = audit::page(&self.database.store, &Scope::All, &filter, None, 1).await.unwrap();
        serde_json::from_str(&rows.first().expect("it was written down").detail).unwrap()
    }

    /// What was written down, the oldest first; the chain must be sound.
    async fn audit(&self) -> Vec<(String, String)> {
        let store = &self.database.store;
        assert_eq!(audit::verify(store, None).await.unwrap().faults, Vec::<String>::new());
        let (rows, _) = audit::page(store, &Scope::All, &audit::Filter::default(), None, 500).await.unwrap();
        rows.into_iter().rev().map(|row| (row.action, row.subject)).collect()
    }
}

/// A text of an answer.
fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().expect("a text")
}

/// What an answer says, apart from what differs between any two.
fn said(answer: &Answer) -> (u16, Value) {
    let mut body = answer.json();
    if let Some(error) = body["error"].as_object_mut() {
        error.remove("request_id");
    }
    (answer.status, body)
}
