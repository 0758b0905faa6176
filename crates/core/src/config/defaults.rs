//! What holds for every channel that does not say otherwise.

use schemars::JsonSchema;
use serde::Deserialize;

use super::channels::Timeouts;
use super::routing::KeyStrategy;
use super::values::Span;

/// What holds for every channel that does not say otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Defaults {
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// The same as `timeouts.total`.
    pub timeout: Option<Span>,
    /// The same as `timeouts.connect`.
    pub connect_timeout: Option<Span>,
    /// The `User-Agent` that providers see.
    pub user_agent: Option<String>,
    /// Check the certificates of providers.
    #[serde(alias = "verify_ssl")]
    pub verify_tls: bool,
    /// How the keys of a channel share the requests.
    pub key_strategy: KeyStrategy,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            timeout: None,
            connect_timeout: None,
            user_agent: None,
            verify_tls: true,
            key_strategy: KeyStrategy::default(),
        }
    }
}
