//! What people are to be told, and where. Decides form only; whether the parts fit together is for
//! `snapshot/compile/alerts.rs`, where the tests are, too.

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::bounded;
use crate::secret::Secret;

/// What people are to be told, each mark once in a window, and where. Changes need a restart.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Alerts {
    /// The address that each alert is posted to, as JSON. Nowhere if left out.
    pub webhook: Option<String>,
    /// What posts are signed with, at least 16 random characters: `x-waypost-signature` is `sha256=` and the HMAC-SHA256 of
    /// the body. Needed where there is a webhook.
    pub secret: Option<Secret>,
    /// Let the webhook's name lead to a private address. Not needed where `webhook` holds the private address itself.
    pub allow_private: bool,
    /// Per cents of prepaid credit that are used up, counted from the last time that something was given.
    pub credit: Vec<u16>,
    /// The per cent of a minute limit of a key, its user, team or plan. Once an hour. 0: never.
    #[serde(deserialize_with = "bounded::<_, _, 0, 100>")]
    #[schemars(range(min = 0, max = 100))]
    pub key_usage: u8,
    /// The per cent of a limit of tokens a day. Once a day. 0: never.
    #[serde(deserialize_with = "bounded::<_, _, 0, 100>")]
    #[schemars(range(min = 0, max = 100))]
    pub token_quota: u8,
    /// What all requests of an hour may cost before somebody is told, in whole USD. Once an hour. 0: never.
    #[serde(deserialize_with = "bounded::<_, _, 0, 1_000_000_000>")]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub cost_per_hour: u32,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            webhook: None,
            secret: None,
            allow_private: false,
            credit: vec![50, 80, 100],
            key_usage: 80,
            token_quota: 90,
            cost_per_hour: 100,
        }
    }
}
