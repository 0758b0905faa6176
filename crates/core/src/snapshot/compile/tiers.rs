//! From the deployments of a model to its route: tiers in order, the strategy, and the fallback channel at the end.
//! Decides nothing about health. Tests are in `tests.rs` beside this.

use std::sync::Arc;

use crate::config::Routing;
use crate::health::States;
use crate::health::Turn;
use crate::route::strategy;
use crate::snapshot::{Channel, Deployment, Route, Tier, family};

/// The tier of the fallback channel: after all that a file can name.
const LAST: u8 = u8::MAX;

/// The route of a model.
pub(crate) fn route(
    model: &str,
    mut deployments: Vec<Arc<Deployment>>,
    routing: &Routing,
    fallback: Option<&Arc<Channel>>,
    states: Option<&States>,
) -> Route {
    if let Some(channel) = fallback.filter(|channel| !has(&deployments, channel) && !deployments.is_empty()) {
        let mut last = family::named(channel, model, model, states);
        last.tier = LAST;
        deployments.push(Arc::new(last));
    }
    let own = routing.models.get(model);
    let hedge = own.and_then(|own| own.hedge).unwrap_or(routing.hedge);
    Route {
        tiers: by_tier(model, deployments, states),
        strategy: strategy(own.and_then(|own| own.strategy).unwrap_or(routing.strategy)),
        hedge,
        pulse: hedge.enabled.then(|| states.map_or_else(Arc::default, |states| states.pulse(model))),
        degrade_to: own.map_or_else(Vec::new, |own| own.degrade_to.iter().map(|name| name.as_str().into()).collect()),
    }
}

/// Does the channel serve any of these?
pub(crate) fn has(deployments: &[Arc<Deployment>], channel: &Channel) -> bool {
    deployments.iter().any(|deployment| deployment.channel.id == channel.id)
}

/// Sorts deployments into tiers, keeping their order within each.
fn by_tier(model: &str, mut deployments: Vec<Arc<Deployment>>, states: Option<&States>) -> Vec<Tier> {
    deployments.sort_by_key(|deployment| deployment.tier);
    let mut tiers: Vec<Tier> = Vec::new();
    for deployment in deployments {
        match tiers.last_mut() {
            Some(tier) if tier.deployments.first().is_some_and(|first| first.tier == deployment.tier) => {
                tier.deployments.push(deployment);
            }
            Some(_) | None => {
                let turn = Turn::Tier(model.into(), deployment.tier);
                let turn = states.map_or_else(Arc::default, |states| states.turn(turn));
                tiers.push(Tier { deployments: vec![deployment], turn });
            }
        }
    }
    tiers
}
