//! By a number: the fewest requests lately, the fewest in flight, or the place in the file. Equals share by chance.
//! Tests are in `route.rs`.

use super::Order;
use crate::dice::Dice;
use crate::moment::Moment;
use crate::route::Candidate;
use crate::snapshot::{Deployment, Tier};

/// The fewest requests within the last hour or two.
#[derive(Debug)]
pub(super) struct LeastUsed;

/// The fewest requests in flight.
#[derive(Debug)]
pub(super) struct LeastBusy;

/// The first in the file.
#[derive(Debug)]
pub(super) struct Priority;

impl Order for LeastUsed {
    fn name(&self) -> &'static str {
        "least_used"
    }

    fn order(&self, tier: &Tier, candidates: &mut [Candidate], _: usize, now: Moment, dice: &mut Dice) {
        sort(tier, candidates, dice, |deployment| deployment.state.recent(now));
    }
}

impl Order for LeastBusy {
    fn name(&self) -> &'static str {
        "least_busy"
    }

    fn order(&self, tier: &Tier, candidates: &mut [Candidate], _: usize, _: Moment, dice: &mut Dice) {
        sort(tier, candidates, dice, |deployment| u64::from(deployment.state.in_flight()));
    }
}

impl Order for Priority {
    fn name(&self) -> &'static str {
        "priority"
    }

    /// They come in the order of the file already.
    fn order(&self, _: &Tier, _: &mut [Candidate], _: usize, _: Moment, _: &mut Dice) {}
}

fn sort(tier: &Tier, candidates: &mut [Candidate], dice: &mut Dice, number: impl Fn(&Deployment) -> u64) {
    let first = usize::try_from(dice.below(candidates.len() as u64)).unwrap_or_default();
    candidates.rotate_left(first.min(candidates.len()));
    candidates.sort_by_cached_key(|candidate| candidate.of(tier).map_or(u64::MAX, |deployment| number(deployment)));
}
