//! What a handler is asked: who asks, of what, with which words. Reads bodies, places in lists and versions; decides nothing about
//! what they mean. Tests are below, and in `it/manage/`.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::IF_MATCH;
use serde::de::DeserializeOwned;
use waypost_core::GatewayError;
use waypost_core::role::{Action, Actor, Reach};
use waypost_store::Store;

use super::cursor;
use crate::app::App;
use crate::callers::Callers;
use crate::http::admin::query::Query;

/// How many a list shows if nobody says, and how many at most.
const USUAL: usize = 100;
const MOST: usize = 1000;

/// One call of a route, by somebody who may use it.
pub(crate) struct Ask<'a> {
    pub app: &'a App,
    pub store: &'a Store,
    pub callers: &'a Arc<Callers>,
    pub actor: Actor,
    /// What the route is about.
    pub action: Action,
    pub request_id: &'a str,
    /// Milliseconds since 1970.
    pub now: i64,
    pub query: Query,
    /// What varies in the path.
    pub varying: Vec<&'a str>,
    pub headers: &'a HeaderMap,
    pub body: Bytes,
}

/// Whose things a list shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    All,
    Team(String),
    User(String),
}

impl Ask<'_> {
    /// The first thing that varies in the path.
    pub(crate) fn id(&self) -> &str {
        self.varying.first().copied().unwrap_or_default()
    }

    /// The body as this; fields that are not known are refused, by name.
    pub(crate) fn input<T: DeserializeOwned>(&self) -> Result<T, GatewayError> {
        read(if self.body.is_empty() { b"{}" } else { &self.body })
    }

    /// The version that the change was made for; `None` for whatever version. An error if nothing is said of it.
    pub(crate) fn expected(&self) -> Result<Option<i64>, GatewayError> {
        let mut all = self.headers.get_all(IF_MATCH).iter();
        let Some(text) = all.next().and_then(|value| value.to_str().ok()) else {
            return Err(GatewayError::precondition_required());
        };
        match text.trim() {
            "*" => Ok(None),
            text => {
                let version = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
                let version = version.and_then(|text| text.parse().ok()).filter(|_| all.next().is_none());
                version.map(Some).ok_or_else(GatewayError::precondition_failed)
            }
        }
    }

    /// How many a page of the list has.
    pub(crate) fn limit(&self) -> Result<usize, GatewayError> {
        self.query.number("limit", USUAL, 1..=MOST)
    }

    /// The place after which the page begins, as the parts that [`cursor::write`] was given.
    pub(crate) fn after<const N: usize>(&self) -> Result<Option<[String; N]>, GatewayError> {
        self.query.get("after").map(cursor::read).transpose()
    }

    /// Whose things this call may see.
    pub(crate) fn sight(&self) -> Result<Sight, GatewayError> {
        match (self.actor.reach(self.action), &self.actor.team) {
            (Reach::All, _) => Ok(Sight::All),
            (Reach::Team, Some(team)) => Ok(Sight::Team(team.to_string())),
            (Reach::Own, _) => Ok(Sight::User(self.actor.id.to_string())),
            (Reach::Team, None) | (Reach::Nothing, _) => Err(GatewayError::forbidden(self.actor.role.name())),
        }
    }

    /// Is what belongs to this user in this team within reach? If not, it is as if it did not exist.
    pub(crate) fn check_touch(&self, user: Option<&str>, team: Option<&str>) -> Result<(), GatewayError> {
        if self.actor.may_touch(self.action, user, team) { Ok(()) } else { Err(self.absent()) }
    }

    /// There is no such thing, or not for whoever asks.
    pub(crate) fn absent(&self) -> GatewayError {
        GatewayError::no_such(self.id())
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
                format!("`{field}` is nothing that can be set here, or not by you; leave it out. ({said})")
            }
            Some(_) | None => format!("The body is not what this needs: {said}."),
        };
        GatewayError::invalid_request(message, field)
    })
}

/// A field that may be left out, or be `null` to take away what was there.
pub(crate) mod given {
    use serde::{Deserialize, Deserializer};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Option::<T>::deserialize(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Input {
        #[serde(default, with = "given")]
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
        for (body, field) in [(&br#"{"role":"owner"}"#[..], Some("role")), (br#"{"plan":"a","plan":"b"}"#, Some("plan")), (b"[", None)] {
            assert_eq!(read::<Input>(body).unwrap_err().param(), field);
        }
    }
}
