//! What a handler is asked: who asks, of what, with which words. Reads bodies, places in lists and versions, and writes down what
//! was done. Decides nothing about what they mean. Tests are below, and in `it/manage/`.

use std::net::IpAddr;
use std::str::FromStr as _;

use bytes::Bytes;
use http::header::{IF_MATCH, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Uri};
use serde::de::DeserializeOwned;
use serde_json::Value;
use waypost_core::GatewayError;
use waypost_core::role::Actor;
use waypost_store::audit::{self, Entry};
use waypost_store::page::{Cursor, MAX_PAGE, Scope};
use waypost_store::teams::Team;
use waypost_store::users::User;
use waypost_store::{Store, StoreError, Tx};

use super::answer::Answer;
use super::fault;
use super::route::{Needs, Route};
use super::who::Who;
use crate::app::App;
use crate::http::admin::query::Query;
use crate::http::auth;
use crate::http::reports::no_place;
use crate::identity::{Denied, Identity, Signed, Whence};
use crate::security::Sign;

/// How many a list shows if nobody says.
const USUAL: usize = 100;

/// Why nothing that is written comes into effect where nothing reloads.
pub(super) const NOTHING_TO_READ: &str = "This gateway has no configuration that it could read again.";

/// A request before anything is decided about it.
#[derive(Clone, Copy)]
pub(super) struct Came<'a> {
    pub head: &'a Parts,
    /// Where whoever asks is, if that is known.
    pub client: Option<IpAddr>,
    /// Whoever is at the other end of the connection, which may be a proxy.
    pub peer: IpAddr,
    pub request_id: &'a str,
}

/// One call of a route, by somebody who may use it.
pub(crate) struct Ask<'a> {
    pub app: &'a App,
    pub route: &'static Route,
    pub actor: Actor,
    pub request_id: &'a str,
    pub(in crate::http) query: Query,
    came: Came<'a>,
    /// Where whoever asks is, as the audit log has it.
    address: Option<String>,
    /// The session of whoever asks, if they have one.
    signed: Option<Signed>,
    varying: Vec<&'a str>,
    body: Bytes,
}

impl<'a> Ask<'a> {
    pub(super) fn new(
        app: &'a App,
        came: Came<'a>,
        (route, varying): (&'static Route, Vec<&'a str>),
        Who { actor, signed }: Who,
        body: Bytes,
    ) -> Self {
        let (query, request_id) = (Query::of(&came.head.uri), came.request_id);
        let address = came.client.map(|address| address.to_canonical().to_string());
        Self { app, route, actor, request_id, query, came, address, signed, varying, body }
    }

    pub(super) async fn run(self) -> Result<Answer, GatewayError> {
        (self.route.handler)(self).await
    }

    pub(crate) fn uri(&self) -> &'a Uri {
        &self.came.head.uri
    }

    pub(crate) fn headers(&self) -> &'a HeaderMap {
        &self.came.head.headers
    }

    pub(crate) fn head(&self) -> &'a Parts {
        self.came.head
    }

    /// Notes something suspicious of whoever asks.
    pub(crate) fn suspect(&self, sign: Sign) {
        self.app.suspect(&self.app.live(), sign, self.came.client, None);
    }

    /// From where whoever asks comes.
    pub(crate) fn whence(&self) -> Whence<'a> {
        let agent = self.headers().get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        let address = self.came.client.unwrap_or(self.came.peer);
        Whence { address, agent, request_id: self.came.request_id, now: self.app.unix_millis() }
    }

    /// Whoever lets people in. Where there are no people, there is nothing of this.
    pub(crate) fn identity(&self) -> Result<&'a Identity, GatewayError> {
        self.app.identity().map(|identity| &**identity).ok_or_else(|| GatewayError::not_found(self.uri().path()))
    }

    /// The session that whoever asks is signed in by.
    pub(crate) fn signed(&self) -> Result<&Signed, GatewayError> {
        self.signed.as_ref().ok_or_else(GatewayError::not_signed_in)
    }

    /// Why somebody is not let in, as they are told it. What is gone is the page's own path, not a path within.
    pub(crate) fn denied(&self, denied: Denied) -> GatewayError {
        match denied {
            Denied::NotFound => GatewayError::not_found(self.uri().path()),
            other => other.into(),
        }
    }

    /// The first thing that varies in the path.
    pub(crate) fn id(&self) -> &'a str {
        self.varying.first().copied().unwrap_or_default()
    }

    /// Milliseconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        i64::try_from(super::super::admin::time(self.app).unix_ms).unwrap_or(i64::MAX)
    }

    /// The database. Where there is none, there is nothing of this.
    pub(crate) fn store(&self) -> Result<&'a Store, GatewayError> {
        self.app.store.as_ref().ok_or_else(|| GatewayError::not_found(self.uri().path()))
    }

    /// The body as this; fields that are not known are refused, by name.
    pub(crate) fn input<T: DeserializeOwned>(&self) -> Result<T, GatewayError> {
        if self.route.confidential {
            return auth::body::input(&self.body);
        }
        read(if self.body.is_empty() { b"{}" } else { &self.body })
    }

    /// The version that the change was made for; `None` for whatever version.
    pub(crate) fn expected(&self) -> Result<Option<i64>, GatewayError> {
        let mut all = self.headers().get_all(IF_MATCH).iter();
        let (Some(value), None) = (all.next(), all.next()) else { return Err(GatewayError::precondition_required()) };
        match value.to_str().unwrap_or_default().trim() {
            "*" => Ok(None),
            text => {
                let version = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
                version.and_then(|text| text.parse().ok()).map(Some).ok_or_else(GatewayError::precondition_failed)
            }
        }
    }

    /// The same where it may be left out.
    pub(crate) fn expected_if_said(&self) -> Result<Option<i64>, GatewayError> {
        if self.headers().contains_key(IF_MATCH) { self.expected() } else { Ok(None) }
    }

    /// Fails if this is not the version that the change was made for.
    pub(crate) fn check_version(&self, version: i64) -> Result<(), GatewayError> {
        match self.expected()? {
            Some(expected) if expected != version => Err(GatewayError::precondition_failed()),
            Some(_) | None => Ok(()),
        }
    }

    /// How many a page of the list has.
    pub(crate) fn limit(&self) -> Result<u32, GatewayError> {
        let limit = self.query.number("limit", USUAL, 1..=MAX_PAGE as usize)?;
        Ok(u32::try_from(limit).unwrap_or(MAX_PAGE))
    }

    /// The place after which the page begins.
    pub(crate) fn after(&self) -> Result<Option<Cursor>, GatewayError> {
        let place = self.query.get("after").map(Cursor::from_str).transpose();
        place.map_err(|_| no_place())
    }

    /// A number after the question mark.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, GatewayError> {
        let number = self.query.get(name).map(str::parse).transpose();
        number.map_err(|_| GatewayError::invalid_request(format!("`{name}` is a whole number."), Some(name)))
    }

    /// Whose things this call may see and touch.
    pub(crate) fn scope(&self) -> Result<Scope, GatewayError> {
        match self.route.needs {
            // Whatever else a user may see, these routes are for their own.
            Needs::User(_) => Ok(Scope::Own(self.actor.id.to_string())),
            Needs::May(action) => Scope::of(&self.actor, action).ok_or_else(|| self.forbidden()),
            Needs::SignedIn => Ok(Scope::Own(self.signed()?.actor.id.to_string())),
            Needs::Nobody | Needs::Key => Err(self.forbidden()),
        }
    }

    /// The role of whoever asks does not reach so far.
    pub(crate) fn forbidden(&self) -> GatewayError {
        super::forbidden(&self.actor)
    }

    /// What the database refused, as whoever asks is told it.
    pub(crate) fn fault(&self, error: StoreError) -> GatewayError {
        fault::of(error, self.id())
    }

    /// Begins to write.
    pub(crate) async fn begin(&self) -> Result<Tx, GatewayError> {
        self.store()?.begin().await.map_err(|error| self.fault(error))
    }

    /// Writes down what was done, to what and to whose, and ends the writing: both, or neither.
    pub(crate) async fn commit(
        &self,
        mut tx: Tx,
        subject: &str,
        team: Option<&str>,
        detail: &Value,
    ) -> Result<(), GatewayError> {
        self.note(&mut tx, subject, team, detail).await?;
        tx.commit().await.map_err(|error| self.fault(error.into()))
    }

    /// Writes down what is being done, together with it.
    pub(crate) async fn note(
        &self,
        tx: &mut Tx,
        subject: &str,
        team: Option<&str>,
        detail: &Value,
    ) -> Result<(), GatewayError> {
        let entry = self.entry(subject, team, detail);
        audit::append(tx, entry).await.map_err(|error| self.fault(error))
    }

    /// What the audit log is told of what is done, for whoever writes it down together with that.
    pub(crate) fn entry<'e>(&'e self, subject: &'e str, team: Option<&'e str>, detail: &'e Value) -> Entry<'e> {
        Entry {
            at: self.now(),
            actor: &self.actor,
            action: self.route.name,
            subject,
            team,
            detail,
            address: self.address.as_deref(),
            request_id: Some(self.request_id),
        }
    }

    /// Takes into use what was written of the configuration. Says why it is not in use, if it is not.
    pub(crate) async fn reload(&self) -> Option<String> {
        match self.app.reloads.reload().await {
            Some(report) => (!report.is_ok()).then(|| {
                let errors = report.errors.join("; ");
                format!("The configuration is wrong, and the old one stays in use: {errors}")
            }),
            None => Some(NOTHING_TO_READ.to_owned()),
        }
    }

    /// From now on requests see keys as a change of this row leaves them; `noun` is `key`, `user`, `team`,
    /// `plan` or `capture`.
    pub(crate) async fn take_effect(&self, noun: &str, id: &str) -> Result<(), GatewayError> {
        self.app.callers.refresh(self.app, self.store()?, noun, id).await.map_err(|error| self.fault(error))
    }

    /// A user was changed: from now on keys and sessions know.
    pub(crate) async fn note_user(&self, user: &User) -> Result<(), GatewayError> {
        if let Some(identity) = self.app.identity() {
            identity.note_user(user);
        }
        self.take_effect("user", &user.id).await
    }

    /// A team was changed: from now on keys and sessions know.
    pub(crate) async fn note_team(&self, team: &Team) -> Result<(), GatewayError> {
        if let Some(identity) = self.app.identity() {
            identity.note_team(team);
        }
        self.take_effect("team", &team.id).await
    }

    /// A session was ended.
    pub(crate) fn note_session_end(&self, id: &str) {
        if let Some(identity) = self.app.identity() {
            identity.note_session_end(id);
        }
    }

    /// Random bits.
    pub(crate) fn random<const N: usize>(&self) -> Result<[u8; N], GatewayError> {
        let mut bytes = [0; N];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
            .map_err(|_| GatewayError::internal("the operating system gives no random numbers"))?;
        Ok(bytes)
    }

    /// A new id.
    pub(crate) fn new_id(&self, prefix: &str) -> Result<String, GatewayError> {
        Ok(waypost_store::id::new(prefix, u128::from_le_bytes(self.random()?)))
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, GatewayError> {
    serde_json::from_slice(body).map_err(|error| {
        let said = error.to_string();
        // serde says "unknown field `x`", "missing field `x`", "duplicate field `x`".
        let field = said.split_once("field `").and_then(|(_, rest)| rest.split_once('`')).map(|(field, _)| field);
        let message = match field {
            Some(field) if said.starts_with("unknown field") => {
                format!("`{field}` is nothing that can be set here, or not by you; leave it out: {said}.")
            }
            Some(_) | None => format!("The body is not what this needs: {said}."),
        };
        GatewayError::invalid_request(message, field)
    })
}

/// A field that may be left out, or be `null` to take away what was there.
pub(crate) fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    <Option<T> as serde::Deserialize>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Input {
        #[serde(default, deserialize_with = "given")]
        plan: Option<Option<String>>,
    }

    #[test]
    fn what_is_left_out_is_not_what_is_null() {
        let plan = |body: &[u8]| read::<Input>(body).unwrap().plan;
        assert_eq!(plan(b"{}"), None);
        assert_eq!(plan(br#"{"plan":null}"#), Some(None));
        assert_eq!(plan(br#"{"plan":"p"}"#), Some(Some("p".to_owned())));
    }

    #[test]
    fn a_field_that_is_not_known_or_stands_twice_is_named() {
        let cases =
            [(&br#"{"role":"owner"}"#[..], Some("role")), (br#"{"plan":"a","plan":"b"}"#, Some("plan")), (b"[", None)];
        for (body, field) in cases {
            assert_eq!(read::<Input>(body).unwrap_err().param(), field);
        }
    }
}
