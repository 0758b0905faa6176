//! By chance: each place goes to one of those left, in proportion to their weights or all alike.
//! Tests are in `route.rs`.

use super::Order;
use crate::dice::Dice;
use crate::moment::Moment;
use crate::route::Candidate;
use crate::snapshot::Tier;

/// In proportion to the weights.
#[derive(Debug)]
pub(super) struct Weighted;

/// All alike.
#[derive(Debug)]
pub(super) struct Random;

impl Order for Weighted {
    fn name(&self) -> &'static str {
        "weighted"
    }

    fn order(&self, _: &Tier, candidates: &mut [Candidate], places: usize, _: Moment, dice: &mut Dice) {
        draw(candidates, places, dice, |candidate| u64::from(candidate.weight));
    }
}

impl Order for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn order(&self, _: &Tier, candidates: &mut [Candidate], places: usize, _: Moment, dice: &mut Dice) {
        draw(candidates, places, dice, |candidate| u64::from(candidate.weight.min(1)));
    }
}

/// A weight of 0 comes after all others.
fn draw(candidates: &mut [Candidate], places: usize, dice: &mut Dice, weight: impl Fn(&Candidate) -> u64) {
    for place in 0..places.min(candidates.len().saturating_sub(1)) {
        let Some(rest) = candidates.get_mut(place..) else { return };
        let total: u64 = rest.iter().map(&weight).sum();
        let mut drawn = dice.below(total);
        let chosen = rest.iter().position(|candidate| {
            let weight = weight(candidate);
            let hit = drawn < weight;
            drawn = drawn.saturating_sub(weight);
            hit
        });
        rest.swap(0, chosen.unwrap_or(0));
    }
}
