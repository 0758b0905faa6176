//! How an account is asked on purpose whether it is well, and with which model. Asks nobody.
//! Tests are in `compile/tests.rs` and below.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::family::named;
use super::{Channel, Deployment, Snapshot};
use crate::config::ProbeKind;

/// What is asked of an account, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    pub kind: ProbeKind,
    /// Each key is asked once in so long.
    pub every: Duration,
}

impl Snapshot {
    /// What serves a name on this channel; where the channel does not list it, as if it did, with a state that nobody sees.
    pub fn deployment_on(&self, channel: &Arc<Channel>, model: &str) -> Arc<Deployment> {
        let route = self.route(model);
        let mut all = route.iter().flat_map(|route| &route.tiers).flat_map(|tier| &tier.deployments);
        match all.find(|deployment| deployment.channel.id == channel.id) {
            Some(deployment) => Arc::clone(deployment),
            None => Arc::new(named(channel, model, model, None)),
        }
    }

    /// Everything that is listed by name on this channel, each once.
    pub fn deployments_of(&self, channel: &Channel) -> Vec<&Arc<Deployment>> {
        let all = self.routes.values().flat_map(|route| &route.tiers).flat_map(|tier| &tier.deployments);
        let mut seen = HashSet::new();
        all.filter(|deployment| deployment.channel.id == channel.id && seen.insert(deployment.id)).collect()
    }

    /// A channel by its name.
    pub fn channel(&self, name: &str) -> Option<&Arc<Channel>> {
        self.channels.iter().find(|channel| &*channel.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Format};
    use crate::health::States;
    use crate::snapshot::compile;

    #[test]
    fn a_channels_deployments_are_found_by_name_and_all_together_each_once() {
        let text = "channels:
  - {name: a, provider: openai, api_key: k, models: [m, {name: n, upstream: far-n}, 'gpt-*']}
  - {name: b, provider: openai, api_key: k, models: [m]}
model_mappings: {global: {other: m}}";
        let config = Config::parse(text, Format::Yaml, "w.yaml", &|_| None).expect(text);
        let states = States::default();
        let snapshot = compile(&config, &states).expect(text);
        let a = snapshot.channel("a").unwrap();
        let mut labels: Vec<_> = snapshot.deployments_of(a).iter().map(|found| found.label.to_string()).collect();
        labels.sort();
        assert_eq!(labels, ["a/m", "a/n"]);
        assert_eq!(&*snapshot.deployment_on(a, "n").upstream, "far-n");
        assert_eq!(&*snapshot.deployment_on(a, "gpt-4o").label, "a/gpt-4o");
        assert!(Arc::ptr_eq(
            &snapshot.deployment_on(a, "m").state,
            &states.deployment(snapshot.deployment_on(a, "m").id)
        ));
        assert_eq!(&*snapshot.deployment_on(a, "unheard-of").upstream, "unheard-of");
    }
}
