//! What an account may be asked in a time, so that its provider never has to say no.

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::bounded_option;

/// What may be asked of an account, a model on it or one of its keys. Whatever is at its limit is passed over, not hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests in any second.
    #[serde(alias = "max_rps", deserialize_with = "bounded_option::<_, _, 1, 1_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub rps: Option<u32>,
    /// Requests in any minute.
    #[serde(alias = "max_rpm", deserialize_with = "bounded_option::<_, _, 1, 100_000_000>")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub rpm: Option<u32>,
    /// Tokens in any minute, input and output together; estimated when a request begins, corrected when it ends.
    #[serde(alias = "max_tpm", deserialize_with = "bounded_option::<_, _, 1, 1_000_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub tpm: Option<u32>,
    /// Requests in a day, from midnight to midnight (UTC). A start reads from the log of calls what was asked of an account or
    /// a model before it; what was asked with each key of several is not known then.
    #[serde(alias = "max_rpd", alias = "daily_limit", deserialize_with = "bounded_option::<_, _, 1, 1_000_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub rpd: Option<u32>,
    /// Requests at the same time.
    #[serde(alias = "max_concurrency", deserialize_with = "bounded_option::<_, _, 1, 1_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub concurrency: Option<u32>,
}

impl Limits {
    /// Is there nothing to watch?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
