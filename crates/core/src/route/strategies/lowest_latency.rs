//! The one that lately began to answer soonest. One request in twenty goes elsewhere, to learn whether that has changed;
//! whoever was never measured comes first. Tests are in `route.rs`.

use super::Order;
use crate::dice::Dice;
use crate::moment::Moment;
use crate::route::Candidate;
use crate::snapshot::Tier;

/// One in so many requests explores.
const EXPLORE: u64 = 20;

#[derive(Debug)]
pub(super) struct LowestLatency;

impl Order for LowestLatency {
    fn name(&self) -> &'static str {
        "lowest_latency"
    }

    fn order(&self, tier: &Tier, candidates: &mut [Candidate], _: usize, _: Moment, dice: &mut Dice) {
        let first = usize::try_from(dice.below(candidates.len() as u64)).unwrap_or_default();
        candidates.rotate_left(first.min(candidates.len()));
        candidates.sort_by_cached_key(|candidate| {
            candidate.of(tier).and_then(|deployment| deployment.state.latency()).unwrap_or_default()
        });
        if dice.below(EXPLORE) == 0 {
            let other = usize::try_from(dice.below(candidates.len() as u64)).unwrap_or_default();
            candidates.swap(0, other.min(candidates.len().saturating_sub(1)));
        }
    }
}
