//! The keys that callers present to the gateway. What their parts mean is for `snapshot/compile/keys.rs`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::bounded_option;
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
    /// What the key may call: `chat`, `completions`, `embeddings`, `images`, `audio`, `passthrough` (whatever has no word of its
    /// own), and paths such as `/v1/files*`. Everything if left out. Listing models is always allowed.
    pub endpoints: Option<Vec<String>>,
    /// Where the key may be used from: addresses (`192.0.2.7`) and networks (`10.0.0.0/8`). Anywhere if left out.
    pub addresses: Option<Vec<String>>,
    /// When the key ends: `2027-01-31T12:00:00Z`, or `2027-01-31` for the end of that day (UTC).
    pub expires_at: Option<String>,
    /// What may be asked with the key in a time. More is answered with 429.
    #[serde(default)]
    pub limits: KeyLimits,
    /// Who uses it, for reports.
    pub user: Option<String>,
    /// The team that uses it, for reports.
    pub team: Option<String>,
    /// A disabled key is refused with 401.
    #[serde(default = "super::yes")]
    pub enabled: bool,
}

impl Key {
    /// A key that may do everything.
    pub fn named(name: &str, key: Secret) -> Self {
        Self {
            name: name.to_owned(),
            key: Some(key),
            key_sha256: None,
            models: all_models(),
            endpoints: None,
            addresses: None,
            expires_at: None,
            limits: KeyLimits::default(),
            user: None,
            team: None,
            enabled: true,
        }
    }
}

/// What may be asked with a key in a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeyLimits {
    /// Requests in any minute.
    #[serde(alias = "max_rpm", deserialize_with = "bounded_option::<_, _, 1, 100_000_000>")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub rpm: Option<u32>,
    /// Tokens in any minute, input and output together; estimated when a request begins, corrected when it ends.
    #[serde(alias = "max_tpm", deserialize_with = "bounded_option::<_, _, 1, 1_000_000_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    pub tpm: Option<u64>,
    /// Requests at the same time.
    #[serde(alias = "max_concurrency", deserialize_with = "bounded_option::<_, _, 1, 1_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub concurrency: Option<u32>,
    /// Tokens from midnight to midnight (UTC). A start reads from the log of calls what was used before it.
    #[serde(alias = "daily_tokens", deserialize_with = "bounded_option::<_, _, 1, 1_000_000_000_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_000_u64))]
    pub tokens_per_day: Option<u64>,
}

fn all_models() -> Vec<String> {
    vec!["*".to_owned()]
}
