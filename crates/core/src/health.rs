//! How everything that requests are sent to is doing, fed by the verdicts on real requests and kept by id over reloads.
//!
//! Pure transitions: time and policy are arguments. What choosing needs of it is in single words that are read without a
//! lock; transitions, which are rare, take one small lock each. Tests are with the parts.

mod breaker;
mod credential;
mod deployment;
mod lane;
mod pulse;
mod recent;
mod states;
mod traffic;
pub mod view;

use std::time::Duration;

pub use breaker::{Breaker, Phase, Transition};
pub use credential::{CredentialStanding, CredentialState};
pub use deployment::{Admission, Bar, DeploymentState, Standing};
pub use lane::Lane;
pub use pulse::Pulse;
pub use states::States;
pub(crate) use states::Turn;
pub use traffic::Traffic;

use crate::config::{BreakerChoice, Cooldowns};

/// When something is isolated, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `false`: whatever happens is counted and changes nothing, as with the simulator, which fails on demand.
    pub watched: bool,
    /// `false`: failures in a row isolate nothing and put nothing behind.
    pub enabled: bool,
    pub failures: u32,
    pub open_for: Duration,
    pub reset_after: Duration,
    pub successes: u32,
    pub ramp: Duration,
    pub cooldowns: Cooldowns,
}

impl Policy {
    pub fn new(breaker: BreakerChoice, cooldowns: Cooldowns) -> Self {
        let breaker = breaker.numbers();
        Self {
            watched: true,
            enabled: breaker.enabled,
            failures: breaker.failures,
            open_for: breaker.open_for.0,
            reset_after: breaker.reset_after.0,
            successes: breaker.successes,
            ramp: breaker.ramp.0,
            cooldowns,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new(BreakerChoice::default(), Cooldowns::default())
    }
}
