//! Names that nobody listed, but some pattern matches. Each is compiled on its first request and then kept, up to a number
//! that a caller who invents names cannot exceed. Tests are in `compile/tests.rs`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Channel, Deployment, Lane, Route};
use crate::config::{Limits, Model, Routing};
use crate::health::{DeploymentState, States};
use crate::ids::DeploymentId;
use crate::mapping::Mapping;
use crate::pattern::Pattern;
use crate::provider::Provider;
use crate::snapshot::compile::tiers;

/// More names than this are compiled anew for each request.
const MOST_KEPT: usize = 4096;

/// A channel that serves every model whose name fits.
#[derive(Debug)]
pub struct Family {
    pub pattern: Pattern,
    pub channel: Arc<Channel>,
    pub tier: u8,
    pub weight: u32,
    pub limits: Limits,
    /// What the file says of all its models.
    pub told: Model,
    /// Upstream names of some public names; others go by their own.
    pub mapping: Mapping,
}

/// All families, and the names that were asked of them.
#[derive(Debug, Default)]
pub struct Families {
    pub list: Vec<Family>,
    pub(crate) routing: Routing,
    pub(crate) fallback: Option<Arc<Channel>>,
    states: States,
    kept: RwLock<HashMap<Box<str>, Arc<Route>>>,
}

/// A route, wherever it came from.
#[derive(Debug)]
pub enum Found<'s> {
    Listed(&'s Route),
    OfFamily(Arc<Route>),
}

impl Deref for Found<'_> {
    type Target = Route;

    fn deref(&self) -> &Route {
        match self {
            Self::Listed(route) => route,
            Self::OfFamily(route) => route,
        }
    }
}

impl Families {
    pub(crate) fn new(list: Vec<Family>, routing: Routing, fallback: Option<Arc<Channel>>, states: States) -> Self {
        Self { list, routing, fallback, states, kept: RwLock::default() }
    }

    /// The names that were asked so far, with their routes.
    pub fn kept(&self) -> Vec<(Box<str>, Arc<Route>)> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(|(name, route)| (name.clone(), Arc::clone(route))).collect()
    }

    pub(crate) fn route(&self, model: &str) -> Option<Arc<Route>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = kept.get(model) {
            return Some(Arc::clone(route));
        }
        let room = kept.len() < MOST_KEPT;
        drop(kept);
        let states = room.then_some(&self.states);
        let deployments: Vec<_> = self
            .list
            .iter()
            .filter(|family| family.pattern.matches(model))
            .map(|family| Arc::new(family.deployment(model, states)))
            .collect();
        if deployments.is_empty() {
            return None;
        }
        let route = Arc::new(tiers::route(model, deployments, &self.routing, self.fallback.as_ref(), states));
        if room {
            let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
            kept.insert(model.into(), Arc::clone(&route));
        }
        Some(route)
    }
}

impl Family {
    /// The deployment of a name; without a state that is kept if there are no `states`.
    pub(crate) fn deployment(&self, model: &str, states: Option<&States>) -> Deployment {
        let upstream = self.mapping.upstream(model).unwrap_or(Cow::Borrowed(model));
        let mut deployment = named(&self.channel, model, &upstream, states);
        deployment.tier = self.tier;
        deployment.weight = self.weight;
        deployment.limits = self.limits;
        deployment.capabilities = deployment.capabilities.told_by(&self.told);
        deployment
    }
}

/// A deployment of the channel under a public and an upstream name, in the first tier.
pub(crate) fn named(channel: &Arc<Channel>, model: &str, upstream: &str, states: Option<&States>) -> Deployment {
    let id = DeploymentId::of(&channel.name, model);
    let lane = |credential: &super::Credential| states.map_or_else(Arc::default, |kept| kept.lane(id, credential.id));
    let provider: &'static Provider = channel.provider;
    Deployment {
        id,
        label: if model.is_empty() { Arc::clone(&channel.name) } else { format!("{}/{model}", channel.name).into() },
        channel: Arc::clone(channel),
        model: model.into(),
        upstream: upstream.into(),
        traits: provider.traits(upstream),
        capabilities: provider.capabilities(upstream),
        prices: channel.prices.of(model, upstream),
        tier: 1,
        weight: 100,
        limits: Limits::default(),
        state: states.map_or_else(Arc::<DeploymentState>::default, |kept| kept.deployment(id)),
        lanes: channel.credentials.iter().map(lane).collect::<Vec<Arc<Lane>>>().into(),
    }
}
