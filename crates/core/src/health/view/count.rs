//! How much of everything is well, in numbers alone: nothing here names anything. Tests: `health/view/tests.rs`.

use std::collections::{BTreeMap, HashMap};

use schemars::JsonSchema;
use serde::Serialize;

use super::channel::is_healthy;
use super::{State, each, is_counted, state};
use crate::ids::ChannelId;
use crate::moment::Moment;
use crate::snapshot::{Deployment, Route, Snapshot};

/// How many there are, and how many of them are well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Count {
    pub healthy: u64,
    pub total: u64,
}

impl Count {
    pub(super) fn add(&mut self, healthy: bool) {
        self.healthy += u64::from(healthy);
        self.total += 1;
    }
}

/// How much of everything is well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Kinds of providers with a channel that is well.
    pub providers: Count,
    pub channels: Count,
    pub deployments: Count,
    pub credentials: Count,
    /// Public names, each the group of deployments behind it; well if one of them is.
    pub groups: Count,
    /// How many deployments are how.
    pub states: BTreeMap<State, u64>,
}

/// Counts everything.
pub fn counts(snapshot: &Snapshot, now: Moment) -> Counts {
    let mut counts = Counts::default();
    let mut channels: HashMap<ChannelId, Count> = HashMap::new();
    each(snapshot, |deployment| {
        if !is_counted(deployment) {
            return;
        }
        let state = state(deployment, now);
        counts.deployments.add(state.is_healthy());
        *counts.states.entry(state).or_default() += 1;
        channels.entry(deployment.channel.id).or_default().add(state.is_healthy());
    });
    let mut providers: BTreeMap<&str, bool> = BTreeMap::new();
    for channel in &snapshot.channels {
        let healthy = is_healthy(channel, channels.remove(&channel.id).unwrap_or_default(), now);
        counts.channels.add(healthy);
        *providers.entry(channel.provider.kind).or_default() |= healthy;
        channel.credentials.iter().for_each(|one| counts.credentials.add(!one.state.is_out(now)));
    }
    providers.values().for_each(|healthy| counts.providers.add(*healthy));
    for route in snapshot.routes.values().filter(|route| !route.tiers.is_empty()) {
        counts.groups.add(of(route).any(|deployment| state(deployment, now).is_healthy()));
    }
    counts
}

/// Can anything be answered now? True where nothing is configured at all: then nothing is ill.
pub fn can_serve(snapshot: &Snapshot, now: Moment) -> bool {
    let able = |route: &Route| of(route).any(|deployment| state(deployment, now).can_serve());
    let families = || snapshot.families.list.iter().map(|family| &family.channel);
    snapshot.routes.values().any(able)
        || snapshot.default.as_deref().is_some_and(able)
        || families().any(|channel| channel.credentials.iter().any(|one| !one.state.is_out(now)))
        || (families().next().is_none() && snapshot.routes.values().all(|route| route.tiers.is_empty()))
}

fn of(route: &Route) -> impl Iterator<Item = &Deployment> {
    route.tiers.iter().flat_map(|tier| tier.deployments.iter().map(|deployment| &**deployment))
}
