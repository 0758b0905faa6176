//! Which channels serve which names. In what order they are tried is for [`crate::route`].
//! A pattern counts for every name it matches, as if the name had been written. Tests are in `tests.rs` beside this.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::config::{self, Config, Model, ModelEntry};
use crate::ids::DeploymentId;
use crate::pattern::Pattern;
use crate::provider::{self, Provider};
use crate::snapshot::{Channel, Deployment, Family, ListedModel, Route, by_tier};

/// Everything that is served by name, by family, and as the list of models shows it.
pub(super) struct Routes {
    pub(super) names: HashMap<Box<str>, Route>,
    pub(super) families: Vec<Family>,
    pub(super) listed: Vec<ListedModel>,
}

/// Files what every channel serves. A channel that is switched off leaves its names behind, with nothing to serve them.
pub(super) fn compile(config: &Config, channels: &[(&config::Channel, Arc<Channel>)]) -> Routes {
    let mut draft = Draft::default();
    for (settings, channel) in channels {
        let rules = rules(config, channel.provider);
        for entry in entries(config, channel, settings).iter() {
            draft.add(settings, channel, &entry.0, &rules);
        }
    }
    draft.fill_names_from_families();
    draft.add_aliases(&config.model_mappings.global);
    draft.finish()
}

/// What models are called at a provider: its own rules over the global ones.
type Rules = HashMap<Box<str>, Box<str>>;

fn rules(config: &Config, provider: &Provider) -> Rules {
    let global = config.model_mappings.global.iter();
    let all = global.chain(own_rules(config, provider));
    all.map(|(from, to)| (from.as_str().into(), to.as_str().into())).collect()
}

fn own_rules<'c>(config: &'c Config, provider: &Provider) -> impl Iterator<Item = (&'c String, &'c String)> {
    let providers = config.model_mappings.providers.iter();
    providers
        .filter(|(kind, _)| provider::by_kind(kind).is_some_and(|known| known.kind == provider.kind))
        .flat_map(|(_, rules)| rules)
}

/// What the channel serves: as written, else what its provider is known for and the rules name for it.
fn entries<'c>(config: &Config, channel: &Channel, settings: &'c config::Channel) -> Cow<'c, [ModelEntry]> {
    if let Some(entries) = &settings.models {
        return Cow::Borrowed(entries);
    }
    let known = channel.provider.models.iter().copied();
    let ruled = own_rules(config, channel.provider).map(|(from, _)| from.as_str());
    known.chain(ruled).map(ModelEntry::named).collect()
}

#[derive(Default)]
struct Draft {
    names: BTreeMap<Box<str>, Vec<Arc<Deployment>>>,
    families: Vec<Family>,
}

impl Draft {
    fn add(&mut self, settings: &config::Channel, channel: &Arc<Channel>, model: &Model, rules: &Rules) {
        let serves = settings.enabled && !channel.credentials.is_empty();
        let tier = model.tier.unwrap_or(settings.tier);
        let weight = model.weight.unwrap_or(settings.weight);
        if !Pattern::is_pattern(&model.name) {
            let deployments = self.names.entry(model.name.as_str().into()).or_default();
            if serves {
                deployments.push(Arc::new(deployment(channel, model, rules, (tier, weight))));
            }
        } else if serves {
            self.families.push(Family {
                pattern: Pattern::new(&model.name),
                channel: Arc::clone(channel),
                tier,
                weight,
                mapping: rules.clone(),
            });
        }
    }

    fn fill_names_from_families(&mut self) {
        for (name, deployments) in &mut self.names {
            join_families(name, deployments, &self.families);
        }
    }

    /// A global rule makes its left side a name: whoever serves either side serves it.
    fn add_aliases(&mut self, rules: &BTreeMap<String, String>) {
        let mut aliases = Vec::new();
        for (from, to) in rules {
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
    }

    fn serving(&self, name: &str) -> Vec<Arc<Deployment>> {
        let mut deployments = self.names.get(name).cloned().unwrap_or_default();
        join_families(name, &mut deployments, &self.families);
        deployments
    }

    fn finish(self) -> Routes {
        let listed = self.names.iter().filter_map(|(name, deployments)| listed(name, deployments)).collect();
        let names = self.names.into_iter().map(|(name, deployments)| (name, Route { tiers: by_tier(deployments) }));
        Routes { names: names.collect(), families: self.families, listed }
    }
}

fn deployment(channel: &Arc<Channel>, model: &Model, rules: &Rules, (tier, weight): (u8, u32)) -> Deployment {
    let ruled = rules.get(model.name.as_str()).map(|name| &**name);
    let upstream = model.upstream.as_deref().or(ruled).unwrap_or(&model.name);
    let mut traits = channel.provider.traits(upstream);
    traits.max_output_tokens = model.max_output_tokens.or(traits.max_output_tokens);
    Deployment {
        id: DeploymentId::of(&channel.name, &model.name),
        label: format!("{}/{}", channel.name, model.name).into(),
        channel: Arc::clone(channel),
        model: model.name.as_str().into(),
        upstream: upstream.into(),
        traits,
        tier,
        weight,
    }
}

fn join_families(name: &str, deployments: &mut Vec<Arc<Deployment>>, families: &[Family]) {
    for family in families {
        if family.pattern.matches(name) && !has(deployments, &family.channel) {
            deployments.push(Arc::new(family.deployment(name)));
        }
    }
}

fn has(deployments: &[Arc<Deployment>], channel: &Channel) -> bool {
    deployments.iter().any(|deployment| deployment.channel.id == channel.id)
}

fn listed(name: &str, deployments: &[Arc<Deployment>]) -> Option<ListedModel> {
    let first = deployments.iter().min_by_key(|deployment| deployment.tier)?;
    Some(ListedModel::of(name, first))
}
