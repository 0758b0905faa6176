//! Who may look at a running gateway and steer it. How the token is kept is for `snapshot/compile/admin.rs`, where the tests
//! are, too.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::secret::Secret;

/// Who may look at a running gateway and steer it, at `/admin`. Without a token there is nothing at `/admin`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// What an administrator presents as `Authorization: Bearer`. It is hashed when the file is read and kept nowhere.
    pub token: Option<Secret>,
    /// The SHA-256 of the token in 64 hexadecimal digits, for files that should hold no secret.
    pub token_sha256: Option<String>,
    /// Who may read the metrics.
    pub metrics: MetricsAccess,
    /// A request with a valid key and the header `x-waypost-debug: true` is answered with an `x-waypost-trace` header that
    /// says where its time went and which deployments were tried.
    pub debug_header: bool,
}

impl Default for Admin {
    fn default() -> Self {
        Self { token: None, token_sha256: None, metrics: MetricsAccess::default(), debug_header: true }
    }
}

/// Who may read the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetricsAccess {
    /// Whoever presents the admin token.
    #[default]
    Token,
    /// Everybody who reaches the port.
    Open,
}
