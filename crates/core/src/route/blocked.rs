//! Why nothing can take a request now, added up over all deployments: what the caller is told, and what waiting is good for.
//! Tests are in `claim.rs` beside this and in `route.rs`.

use crate::error::GatewayError;
use crate::health::Bar;
use crate::moment::Moment;

/// What stands in the way of one deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// It is ill.
    Barred(Bar, Moment),
    /// It, its account or all of its credentials are at a limit until this time.
    Busy(Moment),
    /// It, its account or all of its credentials have as many requests in flight as they may.
    Crowded,
    /// No credential of it works before this time.
    NoKey(Moment),
    /// All of its credentials were tried for this request.
    Tried,
}

/// What stands in the way of all deployments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blocked {
    busy: Option<Moment>,
    crowded: bool,
    ill: Option<Moment>,
    no_key: Option<Moment>,
    missing: bool,
}

impl Blocked {
    pub(super) fn add(&mut self, obstacle: Obstacle) {
        let sooner = |known: &mut Option<Moment>, at: Moment| *known = Some(known.map_or(at, |known| known.min(at)));
        match obstacle {
            Obstacle::Barred(Bar::Missing, _) => self.missing = true,
            Obstacle::Barred(Bar::Breaker | Bar::Patience, until) => sooner(&mut self.ill, until),
            Obstacle::Busy(until) => sooner(&mut self.busy, until),
            Obstacle::Crowded => self.crowded = true,
            Obstacle::NoKey(until) => sooner(&mut self.no_key, until),
            Obstacle::Tried => {}
        }
    }

    /// When it is worth asking again, where limits are all that is in the way: at this time, or, with none, when a request
    /// ends. `None` if waiting is no use.
    pub fn wait(&self) -> Option<Option<Moment>> {
        if self.busy.is_none() && !self.crowded {
            return None;
        }
        Some(self.busy)
    }

    /// Nothing stands in the way that is known here.
    pub fn is_empty(&self) -> bool {
        self.wait().is_none() && self.ill.is_none() && self.no_key.is_none() && !self.missing
    }

    /// What a caller is told that cannot wait.
    pub fn into_error(self, model: Option<&str>, now: Moment) -> GatewayError {
        let second = std::time::Duration::from_secs(1);
        let model = model.unwrap_or("the default channel");
        if self.busy.is_some() || self.crowded {
            let wait = self.busy.map_or(second, |until| until.since(now));
            return GatewayError::upstream_limited(wait.max(second));
        }
        if let Some(until) = self.ill {
            return GatewayError::no_deployment(model, "is well enough to be asked now")
                .after(until.since(now).max(second));
        }
        if let Some(until) = self.no_key {
            return GatewayError::no_deployment(model, "has a credential that works")
                .after(until.since(now).max(second));
        }
        if self.missing {
            return GatewayError::model_not_found(model, &[]);
        }
        GatewayError::no_deployment(model, "can take the request")
    }
}
