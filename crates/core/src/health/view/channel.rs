//! Channels as they look from outside: the sums over their deployments, and their credentials. Tests: `health/view/tests.rs`.

use std::collections::{BTreeMap, HashMap};

use schemars::JsonSchema;
use serde::Serialize;

use super::{Count, CredentialView, LastError, State, Time, credential, each, is_counted, millis, state};
use crate::config::Limits;
use crate::ids::ChannelId;
use crate::moment::Moment;
use crate::snapshot::{Channel, Deployment, Snapshot};
use crate::verdict::Class;

/// One account at a provider: the sums over its deployments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "ChannelHealth")]
pub struct ChannelView<'s> {
    #[serde(serialize_with = "super::as_text")]
    #[schemars(with = "String")]
    pub id: ChannelId,
    pub name: &'s str,
    pub provider: &'static str,
    /// Has at least one deployment that is; if none was asked for yet, at least one credential in use.
    pub healthy: bool,
    pub deployments: Count,
    /// How many of its deployments are how.
    pub states: BTreeMap<State, u64>,
    pub in_flight: u64,
    pub requests: u64,
    pub failures: u64,
    pub opened: u64,
    /// Average time to the first token, over its deployments that have one.
    pub latency_ms: Option<u64>,
    pub limits: LimitsView,
    pub last_error: Option<LastError>,
    pub credentials: Vec<CredentialView<'s>>,
}

/// What may be asked of it; absent where nothing is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "ChannelLimits")]
pub struct LimitsView {
    pub rps: Option<u32>,
    pub rpm: Option<u32>,
    pub tpm: Option<u32>,
    pub rpd: Option<u32>,
    pub concurrency: Option<u32>,
}

impl From<Limits> for LimitsView {
    fn from(Limits { rps, rpm, tpm, rpd, concurrency }: Limits) -> Self {
        Self { rps, rpm, tpm, rpd, concurrency }
    }
}

/// What is added up over the deployments of a channel.
#[derive(Default)]
pub(super) struct Sum {
    pub(super) deployments: Count,
    states: BTreeMap<State, u64>,
    in_flight: u64,
    requests: u64,
    failures: u64,
    opened: u64,
    latency: u64,
    measured: u64,
    last_error: Option<(Class, Moment)>,
}

impl Sum {
    pub(super) fn add(&mut self, deployment: &Deployment, now: Moment) {
        let (health, state) = (&deployment.state, state(deployment, now));
        let (requests, failures, opened) = health.counts();
        if is_counted(deployment) {
            self.deployments.add(state.is_healthy());
            *self.states.entry(state).or_default() += 1;
        }
        self.in_flight += u64::from(health.in_flight());
        self.requests += requests;
        self.failures += failures;
        self.opened += opened;
        if let Some(latency) = health.latency() {
            self.latency = self.latency.saturating_add(millis(latency));
            self.measured += 1;
        }
        if failures > 0 {
            self.last_error = later(self.last_error, health.last_error());
        }
    }
}

fn later(one: Option<(Class, Moment)>, other: Option<(Class, Moment)>) -> Option<(Class, Moment)> {
    one.into_iter().chain(other).max_by_key(|(_, at)| *at)
}

/// Is the channel well, with these deployments?
pub(super) fn is_healthy(channel: &Channel, deployments: Count, now: Moment) -> bool {
    match deployments.total {
        0 => channel.credentials.iter().any(|credential| !credential.state.is_out(now)),
        _ => deployments.healthy > 0,
    }
}

/// How every channel looks, in the order of the file.
pub fn channels<'s>(snapshot: &'s Snapshot, time: &Time) -> Vec<ChannelView<'s>> {
    let mut sums: HashMap<ChannelId, Sum> = HashMap::new();
    each(snapshot, |deployment| sums.entry(deployment.channel.id).or_default().add(deployment, time.now));
    let view = |channel| view(channel, sums.remove(&channel_id(channel)).unwrap_or_default(), time);
    snapshot.channels.iter().map(|channel| &**channel).map(view).collect()
}

fn channel_id(channel: &Channel) -> ChannelId {
    channel.id
}

fn view<'s>(channel: &'s Channel, sum: Sum, time: &Time) -> ChannelView<'s> {
    ChannelView {
        id: channel.id,
        name: &channel.name,
        provider: channel.provider.kind,
        healthy: is_healthy(channel, sum.deployments, time.now),
        deployments: sum.deployments,
        states: sum.states,
        in_flight: sum.in_flight,
        requests: sum.requests,
        failures: sum.failures,
        opened: sum.opened,
        latency_ms: sum.latency.checked_div(sum.measured),
        limits: channel.limits.into(),
        last_error: sum.last_error.map(|error| LastError::of(error, time)),
        credentials: channel.credentials.iter().map(|one| credential(channel, one, time)).collect(),
    }
}
