//! Which channels serve which names. In what order they are tried is for [`crate::route`].
//! A pattern counts for every name it matches, as if the name had been written. Tests are in `tests.rs` beside this.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::groups::{self, Groups, Serving};
use super::tiers::{self, has};
use crate::config::{self, Config, Model, ModelEntry, Routing};
use crate::health::States;
use crate::mapping::{self, Mapping};
use crate::pattern::Pattern;
use crate::provider::{self, Provider};
use crate::snapshot::family::named;
use crate::snapshot::{Channel, Deployment, Family, ListedModel, Route};

/// Everything that is served by name, by family, and as the list of models shows it.
pub(super) struct Routes {
    pub(super) names: HashMap<Box<str>, Route>,
    pub(super) families: Vec<Family>,
    pub(super) listed: Vec<ListedModel>,
    pub(super) groups: Groups,
}

/// Files what every channel serves. A channel that is switched off leaves its names behind, with nothing to serve them.
pub(super) fn compile(
    config: &Config,
    channels: &[(&config::Channel, Arc<Channel>)],
    fallback: Option<&Arc<Channel>>,
    states: &States,
) -> Routes {
    let mut draft = Draft { names: BTreeMap::new(), families: Vec::new(), states };
    for (settings, channel) in channels {
        let rules = rules(config, settings, channel.provider);
        for entry in entries(config, channel, settings).iter() {
            draft.add(settings, channel, &entry.0, &rules);
        }
    }
    draft.fill_names_from_families();
    let aliases = draft.add_aliases(&config.model_mappings.global);
    let groups = groups::compile(config, &draft, states);
    draft.finish(&aliases, &config.routing, fallback, groups)
}

/// What models are called at an account: its own rules over its provider's over the global ones.
fn rules(config: &Config, channel: &config::Channel, provider: &Provider) -> Mapping {
    let global = &config.model_mappings.global;
    Mapping::default().then(&channel.model_mapping).then(own_rules(config, provider)).then(global)
}

fn own_rules<'c>(config: &'c Config, provider: &Provider) -> impl Iterator<Item = (&'c String, &'c String)> {
    let providers = config.model_mappings.providers.iter();
    providers
        .filter(|(kind, _)| provider::by_kind(kind).is_some_and(|known| known.kind == provider.kind))
        .flat_map(|(_, rules)| rules)
}

/// What the channel serves: as written, else what its provider is known for and the rules name for it; and what the
/// account has said itself.
fn entries<'c>(config: &Config, channel: &Channel, settings: &'c config::Channel) -> Cow<'c, [ModelEntry]> {
    let mut entries = match &settings.models {
        Some(entries) => Cow::Borrowed(entries.as_slice()),
        None => {
            let known = channel.provider.models.iter().copied();
            let ruled = settings.model_mapping.iter().chain(own_rules(config, channel.provider));
            let ruled = ruled.map(|(from, _)| from.as_str()).filter(|from| !Pattern::is_pattern(from));
            known.chain(ruled).map(ModelEntry::named).collect()
        }
    };
    if !settings.discovered.is_empty() {
        let listed: HashSet<String> = entries.iter().map(|entry| entry.0.name.clone()).collect();
        let found = settings.discovered.iter().filter(|name| !listed.contains(*name));
        entries.to_mut().extend(found.map(ModelEntry::named));
    }
    entries
}

struct Draft<'s> {
    names: BTreeMap<Box<str>, Vec<Arc<Deployment>>>,
    families: Vec<Family>,
    states: &'s States,
}

impl Draft<'_> {
    fn add(&mut self, settings: &config::Channel, channel: &Arc<Channel>, model: &Model, rules: &Mapping) {
        let serves = settings.enabled && !channel.credentials.is_empty();
        let tier = model.tier.unwrap_or(settings.tier);
        let weight = model.weight.unwrap_or(settings.weight);
        if !Pattern::is_pattern(&model.name) {
            let deployments = self.names.entry(model.name.as_str().into()).or_default();
            if serves {
                deployments.push(Arc::new(deployment(channel, model, rules, (tier, weight), self.states)));
            }
        } else if serves {
            self.families.push(Family {
                pattern: Pattern::new(&model.name),
                channel: Arc::clone(channel),
                tier,
                weight,
                limits: model.limits,
                told: model.clone(),
                mapping: rules.clone(),
            });
        }
    }

    fn fill_names_from_families(&mut self) {
        for (name, deployments) in &mut self.names {
            join_families(name, deployments, &self.families, self.states);
        }
    }

    /// A global rule makes its left side a name: whoever serves either side serves it. Gives what stands for what.
    fn add_aliases(&mut self, rules: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut aliases = Vec::new();
        let spelled = self.spelled(rules);
        for (from, to) in &spelled {
            let mut deployments = self.serving(from);
            for deployment in self.serving(to) {
                if !has(&deployments, &deployment.channel) {
                    deployments.push(deployment);
                }
            }
            if !deployments.is_empty() {
                aliases.push((from.as_str().into(), deployments));
            }
        }
        self.names.extend(aliases);
        spelled
    }

    /// The rules as names: one with a `*` is as many as there are names that its right side fits.
    fn spelled(&self, rules: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let spelled = rules.iter().flat_map(|(from, to)| {
            let names = self.names.keys().map(|name| &**name).filter(|_| Pattern::is_pattern(from));
            let fitting = names.filter(|_| Pattern::is_pattern(to));
            let wild = fitting.filter_map(|name| Some((mapping::rewrite(name, to, from)?, name.to_owned())));
            let exact = (!Pattern::is_pattern(from)).then(|| (from.clone(), to.clone()));
            wild.chain(exact).collect::<Vec<_>>()
        });
        spelled.collect()
    }

    fn finish(
        self,
        rules: &BTreeMap<String, String>,
        routing: &Routing,
        fallback: Option<&Arc<Channel>>,
        mut groups: Groups,
    ) -> Routes {
        let plain = self.names.iter().filter(|(name, _)| !groups.routes.contains_key(*name));
        let listed = plain.filter_map(|(name, deployments)| {
            let alias_of = rules.get(&**name).filter(|to| self.names.get(to.as_str()).is_some_and(|it| !it.is_empty()));
            listed(name, deployments, alias_of)
        });
        let mut listed: Vec<ListedModel> = listed.collect();
        listed.append(&mut groups.listed);
        listed.sort_by(|one, other| one.name.cmp(&other.name));
        let names = self.names.into_iter().map(|(name, deployments)| {
            let route = tiers::route(&name, deployments, routing, fallback, Some(self.states));
            (name, route)
        });
        Routes { names: names.collect(), families: self.families, listed, groups }
    }
}

impl Serving for Draft<'_> {
    fn names(&self) -> Vec<&str> {
        self.names.keys().map(|name| &**name).collect()
    }

    fn serving(&self, name: &str) -> Vec<Arc<Deployment>> {
        let mut deployments = self.names.get(name).cloned().unwrap_or_default();
        join_families(name, &mut deployments, &self.families, self.states);
        deployments
    }
}

fn deployment(
    channel: &Arc<Channel>,
    model: &Model,
    rules: &Mapping,
    (tier, weight): (u8, u32),
    states: &States,
) -> Deployment {
    let own = model.upstream.as_deref().map(Cow::Borrowed);
    let upstream = own.or_else(|| rules.upstream(&model.name)).unwrap_or(Cow::Borrowed(&model.name));
    let mut deployment = named(channel, &model.name, &upstream, Some(states));
    deployment.capabilities = deployment.capabilities.told_by(model);
    deployment.traits.max_output_tokens = model.max_output_tokens.or(deployment.traits.max_output_tokens);
    deployment.tier = tier;
    deployment.weight = weight;
    deployment.limits = model.limits;
    deployment
}

fn join_families(name: &str, deployments: &mut Vec<Arc<Deployment>>, families: &[Family], states: &States) {
    for family in families {
        if family.pattern.matches(name) && !has(deployments, &family.channel) {
            deployments.push(Arc::new(family.deployment(name, Some(states))));
        }
    }
}

fn listed(name: &str, deployments: &[Arc<Deployment>], alias_of: Option<&String>) -> Option<ListedModel> {
    let first = deployments.iter().min_by_key(|deployment| deployment.tier)?;
    Some(ListedModel { alias_of: alias_of.map(|to| to.as_str().into()), ..ListedModel::of(name, first) })
}
