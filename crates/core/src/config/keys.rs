//! The keys that callers present to the gateway.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::secret::Secret;

/// A caller's key. Give exactly one of `key` and `key_sha256`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Whose key it is; shown in logs and reports. Each name occurs once.
    pub name: String,
    /// The key itself. It is hashed when the file is read and kept nowhere.
    pub key: Option<Secret>,
    /// The SHA-256 of the key in 64 hexadecimal digits, for files that should hold no secret.
    #[serde(alias = "sha256")]
    pub key_sha256: Option<String>,
    /// The models the key may use; `*` stands for any run of characters. All of them if left out.
    #[serde(default = "all_models")]
    pub models: Vec<String>,
    /// A disabled key is refused with 401.
    #[serde(default = "super::yes")]
    pub enabled: bool,
}

fn all_models() -> Vec<String> {
    vec!["*".to_owned()]
}
