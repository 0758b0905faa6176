//! What becomes of those who behave suspiciously. Who that is decides the gateway.

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{Span, bounded};

/// What becomes of those who behave suspiciously. Everything suspicious is logged, shown at `/admin/security` and counted,
/// whatever stands here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Security {
    /// Refuse an address for a while that keeps doing it. Off if left out.
    pub block: Option<Block>,
}

/// When an address is refused, and for how long. A proxy in `server.trusted_proxies` never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Block {
    /// After so many suspicious requests ..
    #[serde(deserialize_with = "bounded::<_, _, 1, 1_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub after: u32,
    /// .. within this time.
    pub window: Span,
    #[serde(rename = "for")]
    pub length: Span,
}

impl Default for Block {
    fn default() -> Self {
        Self { after: 20, window: Span::seconds(60), length: Span::seconds(600) }
    }
}
