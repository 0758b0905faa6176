//! How often a request is tried.

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::bounded_option;

/// How often a request is tried. Once an answer has begun to reach the caller, nothing is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// `false`: the first failure is the answer.
    pub enabled: bool,
    /// All attempts of one request together, 1 to 11. 3 unless set.
    #[serde(deserialize_with = "bounded_option::<_, _, 1, 11>")]
    #[schemars(range(min = 1, max = 11))]
    pub max_attempts: Option<u32>,
    /// Another way to say it: the attempts after the first, 0 to 10.
    #[serde(deserialize_with = "bounded_option::<_, _, 0, 10>")]
    #[schemars(range(min = 0, max = 10))]
    pub max_retries: Option<u32>,
}

impl Default for Retry {
    fn default() -> Self {
        Self { enabled: true, max_attempts: None, max_retries: None }
    }
}

impl Retry {
    /// All attempts of one request together.
    pub fn attempts(&self) -> u32 {
        if !self.enabled {
            return 1;
        }
        let retries = self.max_retries.map(|retries| retries.saturating_add(1));
        self.max_attempts.or(retries).unwrap_or(3)
    }
}
