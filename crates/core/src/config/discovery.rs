//! Asking accounts which models they have.

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::Span;

/// Ask the account from time to time which models it has, and serve those too, as if they were listed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Discover {
    /// On, where the section is there at all.
    pub enabled: bool,
    /// How often. At least 10 seconds.
    pub every: Span,
    /// Only names that one of these patterns matches; all if there are none.
    pub include: Vec<String>,
    /// No names that one of these patterns matches.
    pub exclude: Vec<String>,
}

impl Default for Discover {
    fn default() -> Self {
        Self { enabled: true, every: Span::seconds(2 * 60 * 60), include: Vec::new(), exclude: Vec::new() }
    }
}
