//! How one of several deployments is chosen, and what happens when all are busy.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{Span, bounded};

/// How one of several deployments is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Routing {
    /// How those of one tier share the requests.
    pub strategy: Strategy,
    /// What is different for some models, by public name.
    pub models: BTreeMap<String, ModelRouting>,
    /// The channel that is tried when every deployment of a model has failed, with the name the caller used. It need not list
    /// the model.
    #[serde(alias = "fallback_provider")]
    pub fallback_channel: Option<String>,
    /// Where requests wait when everything that could take them is at its limit.
    pub queue: Queue,
    /// Ask a second deployment when the first is slow to begin.
    pub hedge: Hedge,
}

/// How one model is routed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelRouting {
    /// How its deployments share the requests.
    pub strategy: Option<Strategy>,
    /// Ask a second deployment when the first is slow to begin.
    pub hedge: Option<Hedge>,
    /// Models that answer in this one's place when a budget that degrades has not enough left for it: the first that the
    /// money is enough for.
    pub degrade_to: Vec<String>,
}

/// How the deployments of one tier share the requests. Hyphens may stand for underscores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// By chance, in proportion to the weights.
    #[default]
    Weighted,
    /// One after the other, exactly.
    #[serde(alias = "round-robin")]
    RoundRobin,
    /// By chance, all alike.
    Random,
    /// The one with the fewest requests within the last hour or two.
    #[serde(alias = "least-used")]
    LeastUsed,
    /// The one with the fewest requests in flight.
    #[serde(alias = "least-busy", alias = "load_based", alias = "load-based")]
    LeastBusy,
    /// The first in the file.
    Priority,
    /// The one that lately began to answer soonest; now and then another, to find out.
    #[serde(alias = "lowest-latency", alias = "latency")]
    LowestLatency,
}

/// How the keys of one channel share the requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyStrategy {
    /// One after the other, exactly.
    #[default]
    #[serde(alias = "round-robin")]
    RoundRobin,
    /// By chance.
    Random,
    /// The one with the fewest requests within the last hour or two.
    #[serde(alias = "least-used")]
    LeastUsed,
}

/// Where requests wait when everything that could take them is at its limit: first come, first served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Queue {
    /// `false`: a request that finds everything at its limit is refused at once.
    pub enabled: bool,
    /// The longest wait. After it the answer is 429, with the time until the next slot in `Retry-After`.
    pub wait: Span,
    /// The most requests that wait for one model.
    #[serde(deserialize_with = "bounded::<_, _, 1, 100_000>")]
    #[schemars(range(min = 1, max = 100_000))]
    pub size: u32,
}

impl Default for Queue {
    fn default() -> Self {
        Self { enabled: true, wait: Span::seconds(2), size: 1000 }
    }
}

/// Ask a second deployment when the first is slow to begin. Whoever begins first answers; the other is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hedge {
    /// Off unless set: a hedged request is paid twice.
    pub enabled: bool,
    /// Slow means later than this percentile of the model's recent requests.
    #[serde(deserialize_with = "bounded::<_, _, 50, 99>")]
    #[schemars(range(min = 50, max = 99))]
    pub percentile: u8,
    /// Never sooner than this, nor while too few requests have been seen.
    pub after: Span,
    /// The most hedged requests, in per cent of all.
    #[serde(deserialize_with = "bounded::<_, _, 1, 100>")]
    #[schemars(range(min = 1, max = 100))]
    pub max_percent: u8,
}

impl Default for Hedge {
    fn default() -> Self {
        Self { enabled: false, percentile: 95, after: Span(std::time::Duration::from_millis(500)), max_percent: 5 }
    }
}
