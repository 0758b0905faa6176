//! How often a request is tried, after what, and with which pauses.

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{Span, bounded, bounded_option};

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
    /// The statuses after which there is another attempt. If left out: all those that another attempt can help against.
    pub retry_on: Option<Vec<u16>>,
    /// The pause before a deployment that failed is asked once more. Another deployment is asked at once.
    pub backoff: Backoff,
    /// How much repeated work the gateway makes in all.
    pub budget: RetryBudget,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            enabled: true,
            max_attempts: None,
            max_retries: None,
            retry_on: None,
            backoff: Backoff::default(),
            budget: RetryBudget::default(),
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

/// The pauses between attempts. Each is up to a quarter longer than it says, by chance, so that callers do not come back
/// all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Backoff {
    pub strategy: BackoffStrategy,
    /// The first pause.
    pub base: Span,
    /// The longest pause.
    pub cap: Span,
    /// Pause before another deployment, too.
    pub on_failover: bool,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            strategy: BackoffStrategy::Exponential,
            base: Span(std::time::Duration::from_millis(500)),
            cap: Span::seconds(8),
            on_failover: false,
        }
    }
}

/// How the pauses grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackoffStrategy {
    /// Each is twice as long as the one before.
    Exponential,
    /// Each is longer by the first.
    Linear,
    /// All are alike.
    #[serde(alias = "fixed")]
    Constant,
}

/// How much repeated work the gateway makes in all, so that a provider in trouble is not drowned. A failover to a deployment
/// without recent failures is always allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryBudget {
    /// Repeated attempts, in per cent of the requests of the last ten seconds.
    #[serde(deserialize_with = "bounded::<_, _, 0, 1000>")]
    #[schemars(range(min = 0, max = 1000))]
    pub percent: u32,
    /// So many in ten seconds are always allowed.
    #[serde(deserialize_with = "bounded::<_, _, 0, 1_000_000>")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub floor: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { percent: 10, floor: 30 }
    }
}
