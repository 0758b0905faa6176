//! What is counted of requests: one look at each settled record, by the records job, off the request path. Gauges of the moment
//! are `live.rs`'s. Decides names, labels and what they may be; knows no text form. Tests: `it/metrics.rs` and below.

mod known;
mod observe;

use std::sync::{Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use waypost_core::snapshot::Snapshot;
use waypost_core::usage::UsageRecord;

use self::known::Known;
use super::histogram::{FIRST_TOKEN, Histogram, OVERHEAD, PER_TOKEN, REQUEST, Scale, TOKENS, WAIT};
use super::prometheus::{Page, Type};
use super::registry::{Bound, Family, Words};

/// The most values of a label that come from the configuration, over all configurations of the process.
const MOST_CONFIGURED: usize = 1000;
/// The most names of models that no file lists and some provider answered to.
const MOST_SERVED: usize = 100;

/// The labels of OpenTelemetry's conventions, in the spelling of Prometheus.
const GEN_AI: &[&str] = &["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "error_type"];
const GEN_AI_TOKENS: &[&str] =
    &["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type"];

/// Everything that is counted of requests.
pub struct Metrics {
    counts: Mutex<Counts>,
    known: ArcSwap<Known>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { counts: Mutex::new(Counts::new()), known: ArcSwap::default() }
    }
}

impl Metrics {
    /// From now on these names are the ones that labels may have.
    pub fn know(&self, snapshot: &Snapshot) {
        self.known.store(std::sync::Arc::new(Known::of(snapshot)));
    }

    /// Counts what a batch of requests did.
    pub fn observe(&self, records: &[UsageRecord]) {
        let known = self.known.load();
        let mut counts = self.counts();
        for record in records {
            counts.observe(record, &known);
        }
    }

    /// Writes every family, empty ones included: a dashboard shows zeros rather than nothing.
    pub fn write(&self, page: &mut Page) {
        self.counts().write(page);
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Counts {
    words: Words,
    models: Bound,
    served: Bound,
    channels: Bound,
    deployments: Bound,
    keys: Bound,
    requests: Family<u64>,
    attempts: Family<u64>,
    failovers: Family<u64>,
    retries: Family<u64>,
    hedges: Family<u64>,
    tokens: Family<u64>,
    key_requests: Family<u64>,
    key_tokens: Family<u64>,
    cost: Family<u64>,
    unpriced: Family<u64>,
    key_cost: Family<u64>,
    request_duration: Family<Histogram>,
    first_token: Family<Histogram>,
    per_token: Family<Histogram>,
    token_usage: Family<Histogram>,
    attempt_duration: Family<Histogram>,
    queue_wait: Family<Histogram>,
    overhead: Family<Histogram>,
}

impl Counts {
    fn new() -> Self {
        Self {
            words: Words::default(),
            models: Bound::new(MOST_CONFIGURED),
            served: Bound::new(MOST_SERVED),
            channels: Bound::new(MOST_CONFIGURED),
            deployments: Bound::new(MOST_CONFIGURED),
            keys: Bound::new(MOST_CONFIGURED),
            requests: Family::new(
                "waypost_requests",
                &["operation", "model", "outcome", "status_class", "error_kind"],
                "Requests that were admitted, by how they ended.",
            ),
            attempts: Family::new(
                "waypost_attempts",
                &["channel", "provider", "verdict"],
                "Upstream calls, by what became of them.",
            ),
            failovers: Family::new(
                "waypost_failovers",
                &["channel"],
                "Requests that went on to another deployment, by the channel they left.",
            ),
            retries: Family::new(
                "waypost_retries",
                &["channel"],
                "Upstream calls that asked the same deployment once more.",
            ),
            hedges: Family::new(
                "waypost_hedges",
                &["result"],
                "Second calls beside one that was slow to begin, by which of the two answered.",
            ),
            tokens: Family::new(
                "waypost_tokens",
                &["model", "token_type", "basis"],
                "Tokens used, by class and by who counted them. Input includes what was read from a cache.",
            ),
            key_requests: Family::new(
                "waypost_key_requests",
                &["key", "outcome"],
                "Requests that were admitted, by the caller's key.",
            ),
            key_tokens: Family::new("waypost_key_tokens", &["key", "token_type"], "Tokens used, by the caller's key."),
            cost: Family::new(
                "waypost_cost_nano_usd",
                &["model", "deployment"],
                "What requests cost, in billionths of a dollar.",
            ),
            unpriced: Family::new(
                "waypost_unpriced_requests",
                &["model", "deployment"],
                "Requests that were answered and whose cost is not known.",
            ),
            key_cost: Family::new(
                "waypost_key_cost_nano_usd",
                &["key"],
                "What requests cost, in billionths of a dollar, by the caller's key.",
            ),
            request_duration: Family::new(
                "gen_ai_server_request_duration_seconds",
                GEN_AI,
                "From a request's head to the end of its answer.",
            ),
            first_token: Family::new(
                "gen_ai_server_time_to_first_token_seconds",
                GEN_AI,
                "From a request's head to the first token of its streamed answer.",
            ),
            per_token: Family::new(
                "gen_ai_server_time_per_output_token_seconds",
                GEN_AI,
                "Time per token after the first, of streamed answers that came to their end.",
            ),
            token_usage: Family::new("gen_ai_client_token_usage", GEN_AI_TOKENS, "Tokens of a request."),
            attempt_duration: Family::new(
                "gen_ai_client_operation_duration_seconds",
                GEN_AI,
                "How long an upstream call took.",
            ),
            queue_wait: Family::new("waypost_queue_wait_seconds", &[], "How long requests waited in line for a slot."),
            overhead: Family::new(
                "waypost_overhead_seconds",
                &[],
                "From a request's head to its first upstream call, without the wait in line.",
            ),
        }
    }

    fn write(&self, page: &mut Page) {
        let counters = [
            &self.requests,
            &self.attempts,
            &self.failovers,
            &self.retries,
            &self.hedges,
            &self.tokens,
            &self.key_requests,
            &self.key_tokens,
            &self.cost,
            &self.unpriced,
            &self.key_cost,
        ];
        for family in counters {
            page.family(&family.about, Type::Counter);
            for (labels, count) in family.sorted() {
                page.sample(&self.words, labels, *count);
            }
        }
        let histograms: [(&Family<Histogram>, &Scale); 7] = [
            (&self.request_duration, &REQUEST),
            (&self.first_token, &FIRST_TOKEN),
            (&self.per_token, &PER_TOKEN),
            (&self.token_usage, &TOKENS),
            (&self.attempt_duration, &REQUEST),
            (&self.queue_wait, &WAIT),
            (&self.overhead, &OVERHEAD),
        ];
        for (family, scale) in histograms {
            page.family(&family.about, Type::Histogram);
            for (labels, histogram) in family.sorted() {
                page.histogram(&self.words, labels, scale, histogram);
            }
        }
    }
}
