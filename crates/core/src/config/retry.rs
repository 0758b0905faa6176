//! How often, and after what, a request is tried again.

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{Span, bounded_option};

/// How often, and after what, a request is tried again. Once an answer has begun to reach the caller, nothing is.
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
    /// The upstream statuses after which another deployment is tried. The gateway's own judgement unless set: every
    /// status that another deployment may answer better. Trouble with credentials and connections always moves on.
    pub retry_on: Option<Vec<u16>>,
    /// How the wait before trying the same deployment again grows.
    pub strategy: Backoff,
    /// The first such wait.
    pub backoff: Span,
}

/// How waits grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// Each wait is twice the one before.
    Exponential,
    /// All waits are the same.
    Constant,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            enabled: true,
            max_attempts: None,
            max_retries: None,
            retry_on: None,
            strategy: Backoff::Exponential,
            backoff: Span(std::time::Duration::from_millis(500)),
        }
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
