//! Model groups as routes: each member becomes the deployments that serve it, in the tier and with the weight it has in the group.
//! Health, limits and prices stay those of the deployments. Tests are in `groups/tests.rs`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Problems;
use super::tiers::{self, Named};
use crate::config::{Config, ConfigError, Member, ModelGroup};
use crate::health::States;
use crate::nearest::nearest;
use crate::pattern::Pattern;
use crate::snapshot::{Deployment, ListedModel, Route};

/// What groups are made of: the deployments that have names, and those that patterns have for one.
pub(super) trait Serving {
    /// Every name that is listed, in order.
    fn names(&self) -> Vec<&str>;
    /// What serves a name.
    fn serving(&self, name: &str) -> Vec<Arc<Deployment>>;
}

/// Groups by their name, and as the list of models shows them.
#[derive(Default)]
pub(super) struct Groups {
    pub(super) routes: HashMap<Box<str>, Route>,
    pub(super) listed: Vec<ListedModel>,
    pub(super) warnings: Vec<ConfigError>,
}

/// Refuses what cannot be a group.
pub(super) fn check(config: &Config, problems: &mut Problems) {
    let mut names = HashSet::new();
    for (position, group) in config.model_groups.iter().enumerate() {
        let path = format!("model_groups[{position}]");
        if group.name.is_empty() || Pattern::is_pattern(&group.name) {
            let error = ConfigError::at(format!("{path}.name"), "a group has a name of its own, without `*`");
            problems.error(error);
        } else if !names.insert(group.name.as_str()) {
            let error = ConfigError::at(format!("{path}.name"), format!("another group is named `{}`", group.name));
            problems.error(error.fix("give each group a name of its own"));
        }
        for (at, member) in group.members.iter().flatten().enumerate() {
            check_member(config, &member.0, &format!("{path}.members[{at}]"), problems);
        }
    }
}

fn check_member(config: &Config, member: &Member, path: &str, problems: &mut Problems) {
    if member.model.is_none() && member.channel.is_none() {
        problems.error(ConfigError::at(path, "a member names a `model`, a `channel`, or both"));
    }
    let Some(name) = &member.channel else { return };
    if !config.channels.iter().any(|channel| channel.name == *name) {
        let error = ConfigError::at(format!("{path}.channel"), format!("there is no channel `{name}`"));
        let near = nearest(name, config.channels.iter().map(|channel| channel.name.as_str()), 1);
        problems.error(match near.first() {
            Some(near) => error.fix(format!("did you mean `{near}`?")),
            None => error,
        });
    }
}

/// Makes all that are enabled.
pub(super) fn compile(config: &Config, served: &impl Serving, states: &States) -> Groups {
    let mut groups = Groups::default();
    for (position, group) in config.model_groups.iter().enumerate().filter(|(_, group)| group.enabled) {
        let (deployments, idle) = deployments(group, served);
        for (at, member) in idle {
            let what = member.model.as_deref().or(member.channel.as_deref()).unwrap_or_default();
            let path = format!("model_groups[{position}].members[{at}]");
            let reason = format!("nothing serves `{what}` now, so `{}` goes without it", group.name);
            groups.warnings.push(ConfigError::at(path, reason));
        }
        if let Some(first) = deployments.iter().min_by_key(|deployment| deployment.tier) {
            groups.listed.push(ListedModel::of_group(&group.name, first));
        }
        let own = config.routing.models.get(&group.name);
        let named = Named {
            // A model of that name has turns of its own.
            state: &format!("group {}", group.name),
            strategy: own.and_then(|own| own.strategy).or(group.strategy).unwrap_or(config.routing.strategy),
            hedge: own.and_then(|own| own.hedge).unwrap_or(config.routing.hedge),
            degrade_to: own.map_or(&[], |own| &own.degrade_to),
        };
        groups.routes.insert(group.name.as_str().into(), tiers::of_name(&named, deployments, Some(states)));
    }
    groups
}

/// What a group is served by, each deployment once, and the members that nothing serves.
fn deployments<'g>(group: &'g ModelGroup, served: &impl Serving) -> (Vec<Arc<Deployment>>, Vec<(usize, &'g Member)>) {
    let mut all: Vec<Arc<Deployment>> = Vec::new();
    let mut idle = Vec::new();
    let Some(members) = &group.members else {
        join(&Member::default(), served, &mut all);
        return (all, idle);
    };
    for (at, entry) in members.iter().enumerate() {
        if !join(&entry.0, served, &mut all) {
            idle.push((at, &entry.0));
        }
    }
    (all, idle)
}

/// Adds what serves a member; says whether anything does.
fn join(member: &Member, served: &impl Serving, all: &mut Vec<Arc<Deployment>>) -> bool {
    let wanted = member.model.as_deref().unwrap_or("*");
    let found: Vec<Arc<Deployment>> = if Pattern::is_pattern(wanted) {
        let pattern = Pattern::new(wanted);
        let names = served.names().into_iter().filter(|name| pattern.matches(name));
        names.flat_map(|name| served.serving(name)).collect()
    } else {
        served.serving(wanted)
    };
    let of_channel = |deployment: &&Arc<Deployment>| {
        member.channel.as_deref().is_none_or(|channel| *deployment.channel.name == *channel)
    };
    let mut serves = false;
    for deployment in found.iter().filter(of_channel) {
        serves = true;
        if all.iter().any(|known| known.id == deployment.id) {
            continue;
        }
        let (tier, weight) = (member.tier.unwrap_or(deployment.tier), member.weight.unwrap_or(deployment.weight));
        all.push(Arc::new(Deployment { tier, weight, ..Deployment::clone(deployment) }));
    }
    serves
}

#[cfg(test)]
mod tests;
