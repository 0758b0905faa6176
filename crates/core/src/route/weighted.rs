//! The weighted order: each place goes to one of those left with a chance in proportion to its weight.

use std::sync::Arc;

use crate::dice::Dice;
use crate::snapshot::Deployment;

/// A tier in order. A weight of 0 comes last.
pub(super) fn ordered(tier: &[Arc<Deployment>], dice: &mut Dice) -> Vec<Arc<Deployment>> {
    let mut tier = tier.to_vec();
    for place in 0..tier.len().saturating_sub(1) {
        let Some(rest) = tier.get_mut(place..) else { break };
        let total: u64 = rest.iter().map(|deployment| u64::from(deployment.weight)).sum();
        let mut drawn = dice.below(total);
        let chosen = rest.iter().position(|deployment| {
            let weight = u64::from(deployment.weight);
            let hit = drawn < weight;
            drawn = drawn.saturating_sub(weight);
            hit
        });
        rest.swap(0, chosen.unwrap_or(0));
    }
    tier
}
