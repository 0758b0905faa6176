//! The weighted order: each place goes to one of those left with a chance in proportion to its weight.

use std::sync::Arc;

use crate::dice::Dice;
use crate::snapshot::Deployment;

/// Puts a tier in order. A weight of 0 comes last.
pub(super) fn order(tier: &mut [Arc<Deployment>], dice: &mut Dice) {
    for place in 0..tier.len() {
        let Some(rest) = tier.get_mut(place..) else { return };
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
}
