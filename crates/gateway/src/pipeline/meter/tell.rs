//! Tells listeners how a request goes on. Decides nothing, and costs next to nothing while nobody listens.
//! Tests: `it/events.rs`.

use waypost_core::route::{Claim, Plan};
use waypost_core::usage::{AttemptOutcome, UsageRecord};

use super::{Meter, Opened};
use crate::events::{About, Event};
use crate::telemetry::trace_header::Fell;

impl Opened {
    fn about(&self) -> About<'_> {
        About { request_id: &self.request_id, key: &self.key, model: self.model.as_deref() }
    }
}

impl Meter {
    pub(super) fn tell_start(&self) {
        let Opened { operation, stream, .. } = self.opened;
        self.events.tell(|| Event::RequestStart { about: self.opened.about(), operation, stream });
    }

    /// The request has been planned.
    pub fn planned(&self, plan: &Plan<'_>) {
        self.events.tell(|| Event::Route {
            about: self.opened.about(),
            strategy: plan.route().strategy.name(),
            deployments: plan.deployments().map(|deployment| &*deployment.label).collect(),
            degraded: self.degraded.as_deref().map(Fell::of),
        });
    }

    pub(super) fn tell_attempt(&self, claim: &Claim, hedge: bool) {
        self.events.tell(|| Event::AttemptStart {
            about: self.opened.about(),
            attempt: self.trail.len(),
            deployment: &claim.deployment.label,
            credential: claim.credential().map_or("", |credential| &credential.label),
            trial: claim.is_trial(),
            hedge,
        });
    }

    pub(super) fn tell_end(&self, place: usize) {
        let Some(record) = self.trail.get(place) else { return };
        self.events.tell(|| Event::AttemptEnd {
            about: self.opened.about(),
            attempt: place + 1,
            deployment: &record.deployment,
            credential: &record.credential,
            outcome: record.outcome.name(),
            status: record.status,
            duration_ms: record.ended_us.saturating_sub(record.started_us) / 1000,
        });
    }

    /// Tells the end of upstream calls that were under way when their caller left.
    pub(super) fn tell_left(&self) {
        for (place, record) in self.trail.iter().enumerate() {
            if record.outcome == AttemptOutcome::Cancelled && record.ended_us == record.started_us {
                self.tell_end(place);
            }
        }
    }

    pub(super) fn tell_settled(&self, record: &UsageRecord) {
        self.events.tell(|| Event::RequestEnd {
            about: self.opened.about(),
            outcome: record.outcome.name(),
            status: record.status,
            deployment: record.deployment.as_deref(),
            attempts: record.attempts,
            input_tokens: record.usage.input,
            output_tokens: record.usage.output,
            first_token_ms: record.first_token_ms,
            latency_ms: record.latency_ms,
        });
    }
}
