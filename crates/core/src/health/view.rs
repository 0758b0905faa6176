//! How everything is doing, as plain values that can be written down: one model of health for every place that shows it.
//! Decides what counts as healthy; never holds a secret. Knows no clock: what time it is, is an argument. Tests are below.

mod channel;
mod count;
mod credential;
mod deployment;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

pub use channel::{ChannelView, LimitsView, channels};
pub use count::{Count, Counts, can_serve, counts};
pub use credential::{CredentialView, credential};
pub use deployment::{DeploymentView, deployment};

use crate::moment::Moment;
use crate::route::blocked_keys;
use crate::snapshot::{Deployment, Snapshot};
use crate::verdict::Class;

use super::{Admission, Bar};

/// The time of a look: as core counts it, and as people do.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    pub now: Moment,
    /// Milliseconds since 1970.
    pub unix_ms: u64,
}

impl Time {
    /// When something happened, in milliseconds since 1970.
    pub fn at(&self, past: Moment) -> u64 {
        self.unix_ms.saturating_sub(millis(self.now.since(past)))
    }

    fn ago(&self, past: Moment) -> u64 {
        millis(self.now.since(past))
    }

    fn until(&self, future: Moment) -> u64 {
        millis(future.since(self.now))
    }
}

/// Whole milliseconds, and never 0 for something that lasts.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}

/// How a deployment is, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "DeploymentState")]
pub enum State {
    Healthy,
    /// It failed lately: its peers come first.
    Cooling,
    /// One request at a time finds out whether it is well again.
    OnTrial,
    /// It failed too often and is left alone.
    Isolated,
    /// Its provider does not know the model.
    ModelMissing,
    /// Its provider asked for patience.
    AskedToWait,
    /// None of its credentials can be used now, be they refused or limited.
    NoCredential,
}

impl State {
    /// Does it get requests as usual?
    pub fn is_healthy(self) -> bool {
        match self {
            Self::Healthy | Self::Cooling => true,
            Self::OnTrial | Self::Isolated | Self::ModelMissing | Self::AskedToWait | Self::NoCredential => false,
        }
    }

    /// Would it get a request now, be it as a trial?
    pub fn can_serve(self) -> bool {
        self.is_healthy() || self == Self::OnTrial
    }
}

/// How a deployment is now.
pub fn state(deployment: &Deployment, now: Moment) -> State {
    let standing = deployment.state.standing(&deployment.channel.policy, now);
    match standing.admission {
        Admission::Barred(Bar::Breaker, _) => State::Isolated,
        Admission::Barred(Bar::Missing, _) => State::ModelMissing,
        Admission::Barred(Bar::Patience, _) => State::AskedToWait,
        Admission::Free | Admission::OnTrial if blocked_keys(deployment, now).is_some() => State::NoCredential,
        Admission::OnTrial => State::OnTrial,
        Admission::Free if standing.behind => State::Cooling,
        Admission::Free => State::Healthy,
    }
}

/// Every deployment that is known, each once: those of listed names, those of names that were asked of families, and
/// where requests without a model go.
pub fn each(snapshot: &Snapshot, mut show: impl FnMut(&Arc<Deployment>)) {
    let mut seen = HashSet::new();
    let kept = snapshot.families.kept();
    let routes = snapshot.routes.values().chain(kept.iter().map(|(_, route)| &**route));
    for tier in routes.chain(snapshot.default.as_deref()).flat_map(|route| &route.tiers) {
        for deployment in tier.deployments.iter().filter(|deployment| seen.insert(deployment.id)) {
            show(deployment);
        }
    }
}

/// Is it one of a model? Where requests without one go has health and traffic of its own, but nobody listed it.
fn is_counted(deployment: &Deployment) -> bool {
    !deployment.model.is_empty()
}

/// An id as its text.
fn as_text<T: std::fmt::Display, S: serde::Serializer>(id: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

/// The last failure of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LastError {
    /// What kind of failure it was.
    pub class: &'static str,
    pub age_ms: u64,
    /// Milliseconds since 1970.
    pub at: u64,
}

impl LastError {
    fn of((class, at): (Class, Moment), time: &Time) -> Self {
        Self { class: class.name(), age_ms: time.ago(at), at: time.at(at) }
    }
}

#[cfg(test)]
mod tests;
