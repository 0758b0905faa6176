//! What one admitted request used, and how we know. Exactly one record is filed for each, whatever happens to the
//! connection. Knows no price yet and no store.

mod trace;

use std::net::IpAddr;
use std::sync::Arc;

use waypost_wire::chat::Usage;

use crate::error::Kind;
use crate::limit::Peak;
use crate::moment::Moment;
use crate::verdict::Class;

pub use trace::TraceContext;

/// How a token count came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Basis {
    /// The provider reported it.
    Provider,
    /// Counted here with a tokenizer.
    Counted,
    /// Derived from the number of bytes.
    Estimated,
}

impl Basis {
    pub fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Counted => "counted",
            Self::Estimated => "estimated",
        }
    }
}

/// How an admitted request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The whole answer was delivered.
    Complete,
    /// The upstream broke off after the answer had begun.
    Broken,
    /// The caller left before the end.
    Abandoned,
    /// No deployment answered, or the request was refused by one.
    Failed,
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Broken => "broken",
            Self::Abandoned => "abandoned",
            Self::Failed => "failed",
        }
    }
}

/// The settled record of one request. Times are milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageRecord {
    pub request_id: Arc<str>,
    /// The virtual key's name.
    pub key: Arc<str>,
    /// Whose call it was, beyond that name.
    pub whose: Whose,
    /// Where the caller is; absent if a proxy did not say.
    pub client: Option<IpAddr>,
    /// The model the caller asked for; absent where the endpoint has none.
    pub model: Option<Arc<str>>,
    pub operation: &'static str,
    /// `channel/model` of the deployment that answered last; absent if none was tried.
    pub deployment: Option<Arc<str>>,
    /// How many upstream calls were made.
    pub attempts: u32,
    /// Each of them, in order of their start.
    pub trail: Vec<AttemptRecord>,
    /// What it fell to before that, if a budget had not enough for what was asked.
    pub degraded: Option<Arc<Degraded>>,
    pub stages: Stages,
    pub outcome: Outcome,
    /// The status the caller saw.
    pub status: u16,
    /// The error the caller was told, before or after the answer began.
    pub error: Option<Kind>,
    pub stream: bool,
    /// The caller's dialect was not the upstream's.
    pub translated: bool,
    pub usage: Usage,
    pub basis: Basis,
    /// A count was beyond what is possible and was moved into bounds.
    pub clamped: bool,
    /// Absent where no price is known, or where nothing is charged.
    pub cost: Option<CostRecord>,
    pub latency_ms: u64,
    /// Until the first meaningful event or the whole answer; absent if none came.
    pub first_token_ms: Option<u64>,
    /// How far its caller's limits were used when it ended.
    pub peaks: Vec<Peak>,
    /// When the request's head arrived.
    pub began: Moment,
    /// The trace it is part of, if the caller said so.
    pub trace: Option<TraceContext>,
}

/// What a request fell to because a budget had not enough for what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degraded {
    /// The budget that had not enough first.
    pub budget: Arc<str>,
    /// The model that was asked for; absent where the endpoint has none.
    pub asked: Option<Arc<str>>,
    /// The model that is asked in its place; the same where cheaper deployments of it are.
    pub given: Option<Arc<str>>,
    /// The most that the request could have cost, in nano-USD, and what was left.
    pub needed: i64,
    pub left: i64,
}

/// Whose call it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whose {
    /// The key's id in the database; its name where it is one of the file.
    pub key_id: Arc<str>,
    pub user: Option<Arc<str>>,
    pub team: Option<Arc<str>>,
}

/// What a request cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostRecord {
    pub nano_usd: i64,
    /// The version of the price.
    pub price: Arc<str>,
    /// How it was computed, for people.
    pub arithmetic: Arc<str>,
}

/// One upstream call. Times are microseconds since the request's head arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// `channel/model` of the deployment.
    pub deployment: Arc<str>,
    pub channel: Arc<str>,
    /// The provider's word in OpenTelemetry's conventions.
    pub provider: &'static str,
    /// The model by the provider's name for it.
    pub upstream: Arc<str>,
    /// The credential's name in its channel; never the secret.
    pub credential: Arc<str>,
    pub started_us: u64,
    /// When it was judged, or when its answer was complete.
    pub ended_us: u64,
    pub outcome: AttemptOutcome,
    /// The upstream's status; absent if there was none.
    pub status: Option<u16>,
    /// It was a second call beside one that was slow to begin.
    pub hedge: bool,
}

/// What became of an upstream call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptOutcome {
    /// Its answer went to the caller, at least in part.
    Answered,
    /// It failed before that.
    Failed(Class),
    /// It was given up: the caller left, or another call was faster.
    Cancelled,
}

impl AttemptOutcome {
    /// The word in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed(class) => class.name(),
            Self::Cancelled => "cancelled",
        }
    }
}

/// When a request left each room, in microseconds since its head arrived; absent if it never did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    /// Body read, validated and peeked.
    pub read_us: Option<u64>,
    /// Deployments chosen and ordered.
    pub planned_us: Option<u64>,
    /// How long it waited for a free slot; part of the time until the first attempt.
    pub queued_us: Option<u64>,
    /// The winning attempt's answer had begun.
    pub answered_us: Option<u64>,
    /// The first meaningful event, or the whole answer.
    pub first_token_us: Option<u64>,
}

/// No model reads or writes more than this in one call; a report beyond it is a mistake of the provider's.
const MOST_TOKENS: u64 = 100_000_000;

/// Moves reported counts into possible bounds. Says whether it had to.
pub fn clamp(usage: &mut Usage) -> bool {
    let mut clamped = false;
    let mut bound = |count: &mut Option<u64>, most: u64| {
        if let Some(value) = count.as_mut().filter(|value| **value > most) {
            *value = most;
            clamped = true;
        }
    };
    bound(&mut usage.input, MOST_TOKENS);
    bound(&mut usage.output, MOST_TOKENS);
    let (input, output) = (usage.input.unwrap_or(MOST_TOKENS), usage.output.unwrap_or(MOST_TOKENS));
    bound(&mut usage.cache_read, input);
    bound(&mut usage.cache_write, input);
    bound(&mut usage.cache_write_1h, usage.cache_write.unwrap_or(input));
    bound(&mut usage.audio_input, input);
    bound(&mut usage.reasoning, output);
    bound(&mut usage.audio_output, output);
    clamped
}

/// About how many tokens so many bytes of text are: four bytes each, rounded up.
pub fn estimate(bytes: u64) -> u64 {
    bytes.div_ceil(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_counts_are_moved_into_bounds_and_sane_ones_left_alone() {
        let mut absurd = Usage { input: Some(1 << 63), output: Some(10), reasoning: Some(11), ..Usage::default() };
        assert!(clamp(&mut absurd));
        assert_eq!((absurd.input, absurd.output, absurd.reasoning), (Some(MOST_TOKENS), Some(10), Some(10)));
        let sane = Usage { input: Some(5), output: Some(7), cache_read: Some(5), ..Usage::default() };
        let mut same = sane;
        assert!(!clamp(&mut same));
        assert_eq!(same, sane);
    }
}
