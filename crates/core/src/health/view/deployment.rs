//! One deployment as it looks from outside. Decides nothing. Tests: `health/view/tests.rs`.

use schemars::JsonSchema;
use serde::Serialize;

use super::{LastError, State, Time, millis, state};
use crate::health::{Admission, Bar};
use crate::ids::DeploymentId;
use crate::snapshot::Deployment;

/// One deployment: what it is, and how it is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "DeploymentHealth")]
pub struct DeploymentView<'s> {
    #[serde(serialize_with = "super::as_text")]
    #[schemars(with = "String")]
    pub id: DeploymentId,
    pub label: &'s str,
    pub channel: &'s str,
    /// The public name; empty for where requests without a model go.
    pub model: &'s str,
    /// The name its provider knows.
    pub upstream: &'s str,
    pub tier: u8,
    pub weight: u32,
    pub state: State,
    pub healthy: bool,
    pub breaker: BreakerView,
    /// Why and for how long its peers come first.
    pub cooling: Option<CoolingView>,
    /// Why and for how long it gets nothing.
    pub bar: Option<BarView>,
    /// Its share in per cent; less than 100 while it comes back.
    pub share: u8,
    pub in_flight: u32,
    pub requests: u64,
    pub failures: u64,
    pub failures_in_row: u32,
    /// How often its breaker opened.
    pub opened: u64,
    /// Average time to the first token.
    pub latency_ms: Option<u64>,
    pub last_error: Option<LastError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "DeploymentBreaker")]
pub struct BreakerView {
    pub phase: &'static str,
    /// Until a request finds out whether it is well again.
    pub next_trial_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "DeploymentCooling")]
pub struct CoolingView {
    /// The class of the failure.
    pub class: &'static str,
    pub remaining_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "DeploymentBar")]
pub struct BarView {
    pub reason: &'static str,
    pub remaining_ms: u64,
}

/// How a deployment looks.
pub fn deployment<'s>(deployment: &'s Deployment, time: &Time) -> DeploymentView<'s> {
    let (health, policy, now) = (&deployment.state, &deployment.channel.policy, time.now);
    let standing = health.standing(policy, now);
    let (phase, until, failures_in_row) = health.breaker(policy, now);
    let (requests, failures, opened) = health.counts();
    let state = state(deployment, now);
    let bar = match standing.admission {
        Admission::Barred(bar, until) => Some(BarView { reason: word(bar), remaining_ms: time.until(until) }),
        Admission::Free | Admission::OnTrial => None,
    };
    DeploymentView {
        id: deployment.id,
        label: &deployment.label,
        channel: &deployment.channel.name,
        model: &deployment.model,
        upstream: &deployment.upstream,
        tier: deployment.tier,
        weight: deployment.weight,
        state,
        healthy: state.is_healthy(),
        breaker: BreakerView { phase: phase.name(), next_trial_ms: until.map(|until| time.until(until)) },
        cooling: health
            .cooling(now)
            .map(|(class, until)| CoolingView { class: class.name(), remaining_ms: time.until(until) }),
        bar,
        share: standing.share,
        in_flight: health.in_flight(),
        requests,
        failures,
        failures_in_row,
        opened,
        latency_ms: health.latency().map(millis),
        last_error: health.last_error().map(|error| LastError::of(error, time)),
    }
}

fn word(bar: Bar) -> &'static str {
    match bar {
        Bar::Breaker => "breaker",
        Bar::Missing => "model_missing",
        Bar::Patience => "asked_to_wait",
    }
}
