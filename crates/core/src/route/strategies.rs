//! The strategies: each puts the deployments of one tier in order. An order contains its own failover.
//! To add one: a file beside this, its word in `config/routing.rs`, and its line in [`strategy`]. Tests are with each.

mod least;
mod lowest_latency;
mod round_robin;
mod weighted;

use std::fmt;

use super::Candidate;
use crate::config;
use crate::dice::Dice;
use crate::moment::Moment;
use crate::snapshot::Tier;

/// A way to share the requests of a tier.
pub trait Order: Sync + fmt::Debug {
    /// The word in configuration and reports.
    fn name(&self) -> &'static str;

    /// Orders the candidates, which are all of this tier and more than one. Only the first `places` have to be right: so
    /// many are the most that can be tried.
    fn order(&self, tier: &Tier, candidates: &mut [Candidate], places: usize, now: Moment, dice: &mut Dice);
}

/// The strategy of a route.
#[derive(Clone, Copy, Debug)]
pub struct Strategy(&'static dyn Order);

impl Default for Strategy {
    fn default() -> Self {
        strategy(config::Strategy::default())
    }
}

impl std::ops::Deref for Strategy {
    type Target = dyn Order;

    fn deref(&self) -> &Self::Target {
        self.0
    }
}

/// The strategy behind a word.
pub fn strategy(word: config::Strategy) -> Strategy {
    Strategy(match word {
        config::Strategy::Weighted => &weighted::Weighted,
        config::Strategy::RoundRobin => &round_robin::RoundRobin,
        config::Strategy::Random => &weighted::Random,
        config::Strategy::LeastUsed => &least::LeastUsed,
        config::Strategy::LeastBusy => &least::LeastBusy,
        config::Strategy::Priority => &least::Priority,
        config::Strategy::LowestLatency => &lowest_latency::LowestLatency,
    })
}
