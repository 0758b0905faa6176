//! One after the other, exactly: the first place moves on by one with every request. Tests are in `route.rs`.

use std::sync::atomic::Ordering;

use super::Order;
use crate::dice::Dice;
use crate::moment::Moment;
use crate::route::Candidate;
use crate::snapshot::Tier;

#[derive(Debug)]
pub(super) struct RoundRobin;

impl Order for RoundRobin {
    fn name(&self) -> &'static str {
        "round_robin"
    }

    fn order(&self, tier: &Tier, candidates: &mut [Candidate], _: usize, _: Moment, _: &mut Dice) {
        let turn = tier.turn.fetch_add(1, Ordering::Relaxed);
        let first = usize::try_from(turn % (candidates.len().max(1) as u64)).unwrap_or_default();
        candidates.rotate_left(first.min(candidates.len()));
    }
}
