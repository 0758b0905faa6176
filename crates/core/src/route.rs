//! Where a request may go, in order: tier by tier, within a tier by the model's strategy, what failed lately last. What is
//! known to be ill, limited or out of keys is passed over, and why is remembered for the caller.
//! Sends nothing and knows no clock. Tests are below and with the parts.

mod account;
mod blocked;
mod claim;
mod explain;
mod strategies;

use std::sync::Arc;

use waypost_wire::Dialect;
use waypost_wire::peek::{Dearer, Needs};

pub use account::{Change, account_answered, account_failed};
pub use blocked::Blocked;
pub use claim::Claim;
pub(crate) use explain::blocked_keys;
pub use explain::{Explained, explain};
pub use strategies::{Order, Strategy, strategy};

use blocked::Obstacle;

use crate::access::Caller;
use crate::capability::{self, Fit, Lack};
use crate::config::{CapabilityPolicy, Missing};
use crate::dice::Dice;
use crate::error::GatewayError;
use crate::health::{Admission, Pulse};
use crate::moment::Moment;
use crate::operation::Operation;
use crate::pricing::{Priced, Pricing};
use crate::provider::Endpoint;
use crate::snapshot::{Deployment, Found, Route, Snapshot, Tier};
use crate::verdict::Next;

/// What a request asks of routing.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The public model name; absent where the endpoint has none.
    pub model: Option<&'a str>,
    pub operation: Operation,
    /// The caller's dialect.
    pub dialect: Dialect,
    /// What the request asks of whoever answers it.
    pub needs: Needs,
    /// Who is charged must be told a price; absent where nothing is charged.
    pub charge: Option<Charge>,
}

/// What charging for a request asks of whoever answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Whose price is in force, in milliseconds since 1970.
    pub at: i64,
    /// A budget or prepaid credit limits the payer, so the price has to be known.
    pub limited: bool,
}

/// The deployments a request may be sent to, best first. Attempts are claimed one by one, so that each sees how things are
/// when it begins.
#[derive(Debug)]
pub struct Plan<'s> {
    route: Found<'s>,
    candidates: Vec<Candidate>,
    /// The candidate whose turn it is.
    at: usize,
    /// Its credentials that were tried.
    tried: Vec<usize>,
    blocked: Blocked,
    policy: CapabilityPolicy,
    pricing: &'s Pricing,
    /// Why something was passed over of which nobody knows what it costs.
    unpriced: Option<Box<GatewayError>>,
    /// What the first deployment lacks that was passed over for it.
    lack: Option<Lack>,
    /// Deployments that are too dear for what is left, by tier and place.
    too_dear: Vec<(usize, usize)>,
}

/// One deployment that can serve the request.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    tier: usize,
    place: usize,
    weight: u32,
    /// After the others of its tier.
    last: bool,
    endpoint: &'static Endpoint,
}

/// Plans a request, or says why nothing can ever take it. That nothing can take it now is found out by [`Plan::claim`].
pub fn plan<'s>(
    snapshot: &'s Snapshot,
    caller: &Caller,
    query: &Query<'_>,
    now: Moment,
    dice: &mut Dice,
) -> Result<Plan<'s>, GatewayError> {
    let route = match query.model {
        Some(model) => named(snapshot, caller, model)?,
        // What such a request reaches cannot be told from it, so a key limited to some models must not.
        None if caller.is_limited_to_models() => return Err(GatewayError::model_needed()),
        None => Found::Listed(snapshot.default.as_deref().ok_or_else(GatewayError::no_default_channel)?),
    };
    let places = usize::try_from(snapshot.retry.max_attempts).unwrap_or(usize::MAX);
    let mut plan = Plan {
        candidates: Vec::with_capacity(8),
        at: 0,
        tried: Vec::new(),
        blocked: Blocked::default(),
        policy: snapshot.capabilities,
        pricing: &snapshot.pricing,
        unpriced: None,
        lack: None,
        too_dear: Vec::new(),
        route,
    };
    let able = plan.fill(query, places, now, dice);
    match plan.lack {
        Some(lack) if !able || plan.policy.missing == Missing::Refuse => Err(lacking(snapshot, caller, query, lack)),
        Some(_) | None if able => Ok(plan),
        Some(_) | None => Err(plan.unpriced.map_or_else(|| nothing_fits(query), |error| *error)),
    }
}

/// How many models that could do it a refusal names.
const MOST_NAMED: usize = 3;

fn lacking(snapshot: &Snapshot, caller: &Caller, query: &Query<'_>, lack: Lack) -> GatewayError {
    let fits = |capabilities: &capability::Capabilities| {
        !matches!(capabilities.fit(&query.needs, query.operation, snapshot.capabilities), Fit::Lacks(_))
    };
    let able = snapshot.models.iter().filter(|model| {
        let knows = model.capabilities.checked.is_some() || model.capabilities.knows(lack.features()) == Some(true);
        knows && snapshot.admits(caller, &model.name) && fits(&model.capabilities)
    });
    let names: Vec<&str> = able.take(MOST_NAMED).map(|model| &*model.name).collect();
    capability::refusal(query.model.unwrap_or_default(), lack, &query.needs, query.dialect, &names)
}

fn named<'s>(snapshot: &'s Snapshot, caller: &Caller, model: &str) -> Result<Found<'s>, GatewayError> {
    if !snapshot.admits(caller, model) {
        return Err(GatewayError::not_allowed(model));
    }
    match snapshot.route(model) {
        Some(route) if route.tiers.is_empty() => Err(GatewayError::no_deployment(model, "is enabled")),
        Some(route) => Ok(route),
        None => {
            let mut nearest = snapshot.nearest(model);
            nearest.retain(|name| snapshot.admits(caller, name));
            Err(GatewayError::model_not_found(model, &nearest))
        }
    }
}

fn nothing_fits(query: &Query<'_>) -> GatewayError {
    match query.model {
        Some(model) => GatewayError::no_deployment(model, &format!("serves {}", query.operation.name())),
        None => GatewayError::no_default_channel(),
    }
}

impl<'s> Plan<'s> {
    /// Orders what can serve the request; `places` are worth ordering with care. Says whether there is anything at all.
    fn fill(&mut self, query: &Query<'_>, places: usize, now: Moment, dice: &mut Dice) -> bool {
        let mut able = false;
        let mut late = Vec::new();
        for (number, tier) in self.route.tiers.iter().enumerate() {
            let begin = self.candidates.len();
            for (place, deployment) in tier.deployments.iter().enumerate() {
                if self.too_dear.contains(&(number, place)) {
                    continue;
                }
                let Some(endpoint) = deployment.channel.endpoint(query.operation, query.dialect) else { continue };
                let capabilities = &deployment.capabilities;
                if let Fit::Lacks(lack) = capabilities.fit(&query.needs, query.operation, self.policy) {
                    self.lack.get_or_insert(lack);
                    continue;
                }
                if let Some(charge) = query.charge
                    && let Err(error) = self.priced(deployment, charge, query.needs.dearer)
                {
                    self.unpriced.get_or_insert_with(|| Box::new(error));
                    continue;
                }
                able = true;
                let standing = deployment.state.standing(&deployment.channel.policy, now);
                if let Admission::Barred(bar, until) = standing.admission {
                    self.blocked.add(Obstacle::Barred(bar, until));
                    continue;
                }
                let last = standing.behind || deployment.weight == 0;
                let candidate = Candidate { tier: number, place, weight: deployment.weight, last, endpoint };
                if standing.share < 100 && dice.below(100) >= u64::from(standing.share) {
                    late.push(candidate);
                } else {
                    self.candidates.push(candidate);
                }
            }
            if let Some(mine) = self.candidates.get_mut(begin..).filter(|mine| mine.len() > 1) {
                self.route.strategy.order(tier, mine, places, now, dice);
                mine.sort_by_key(|candidate| candidate.last);
            }
        }
        self.candidates.append(&mut late);
        able
    }

    /// Is it known what the request costs there, as far as its payer has to know?
    fn priced(&self, deployment: &Deployment, charge: Charge, dearer: Option<Dearer>) -> Result<(), GatewayError> {
        let priced = self.pricing.decide(&deployment.prices, charge.at, charge.limited)?;
        match (priced, dearer) {
            (Priced::At(version), Some(Dearer::Service(field) | Dearer::Unsaid(field)))
                if charge.limited && !version.price.says(dearer) =>
            {
                Err(GatewayError::unpriced_service(field))
            }
            _ => Ok(()),
        }
    }

    /// Keeps to the deployments that can be afforded, now and whenever it begins anew. Says whether that leaves some out and
    /// leaves some that can be asked now; else the plan is as it was.
    pub fn keep_to(&mut self, affordable: impl Fn(&Deployment) -> bool) -> bool {
        let places = self.route.tiers.iter().enumerate().flat_map(|(number, tier)| {
            tier.deployments.iter().enumerate().map(move |(place, deployment)| (number, place, deployment))
        });
        let too_dear: Vec<(usize, usize)> =
            places.filter(|(.., it)| !affordable(it)).map(|(number, place, _)| (number, place)).collect();
        let stays = |candidate: &Candidate| !too_dear.contains(&(candidate.tier, candidate.place));
        if too_dear.len() <= self.too_dear.len() || !self.candidates.iter().any(stays) {
            return false;
        }
        self.candidates.retain(stays);
        self.too_dear = too_dear;
        true
    }

    /// Every deployment that may ever be asked for this request, whether or not it can be now.
    pub fn considered(&self) -> impl Iterator<Item = &Arc<Deployment>> {
        let tiers = self.route.tiers.iter().enumerate();
        tiers.flat_map(move |(number, tier)| {
            let places = tier.deployments.iter().enumerate();
            places
                .filter(move |(place, _)| !self.too_dear.contains(&(number, *place)))
                .map(|(_, deployment)| deployment)
        })
    }

    /// Takes the next attempt that can be made now, or says what stands in the way of all that are left.
    pub fn claim(&mut self, tokens: u64, now: Moment, dice: &mut Dice) -> Result<Claim, Blocked> {
        while let Some(candidate) = self.candidates.get(self.at) {
            let deployment = self.deployment(candidate);
            let claimed = match deployment {
                Some(deployment) => Claim::take(deployment, candidate.endpoint, &self.tried, tokens, now, dice),
                None => Err(Obstacle::Tried),
            };
            match claimed {
                Ok(claim) => return Ok(claim),
                Err(obstacle) => {
                    self.blocked.add(obstacle);
                    self.advance();
                }
            }
        }
        Err(self.blocked)
    }

    /// Moves on as a verdict on the claim says.
    pub fn after(&mut self, claim: &Claim, next: Next) {
        match next {
            Next::Credential if self.is_at(claim) => self.tried.push(claim.credential),
            Next::Deployment if self.is_at(claim) => self.advance(),
            Next::Stop | Next::Credential | Next::Deployment => {}
        }
    }

    /// Leaves the deployment whose turn it is to the attempt that is under way there.
    pub fn advance(&mut self) {
        self.at = self.at.saturating_add(1);
        self.tried.clear();
    }

    /// Begins anew, where there is nothing else to try. Says whether that makes sense.
    pub fn again(&mut self) -> bool {
        let alone = self.candidates.len() == 1;
        if alone {
            self.at = 0;
            self.tried.clear();
            self.blocked = Blocked::default();
        }
        alone
    }

    /// Begins anew after a wait: what was in the way may be gone.
    pub fn afresh(&mut self, query: &Query<'_>, places: u32, now: Moment, dice: &mut Dice) {
        self.candidates.clear();
        self.at = 0;
        self.tried.clear();
        self.blocked = Blocked::default();
        self.fill(query, usize::try_from(places).unwrap_or(usize::MAX), now, dice);
    }

    /// Is there another deployment after the one whose turn it is?
    pub fn has_other(&self) -> bool {
        self.candidates.len() > self.at.saturating_add(1)
    }

    /// How the route hedges.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Where hedging learns how soon answers begin.
    pub fn pulse(&self) -> Option<&Arc<Pulse>> {
        self.route.pulse.as_ref()
    }

    /// The deployments in the order they would be tried.
    pub fn deployments(&self) -> impl Iterator<Item = &Arc<Deployment>> {
        self.candidates.iter().filter_map(|candidate| self.deployment(candidate))
    }

    /// How long the whole request may take: the word of the deployment that is tried first.
    pub fn total(&self) -> Option<std::time::Duration> {
        let tier = self.route.tiers.first()?;
        let first = self.deployments().next().or_else(|| tier.deployments.first())?;
        Some(first.channel.timeouts.total)
    }

    fn is_at(&self, claim: &Claim) -> bool {
        let at = self.candidates.get(self.at).and_then(|candidate| self.deployment(candidate));
        at.is_some_and(|deployment| Arc::ptr_eq(deployment, &claim.deployment))
    }

    fn deployment(&self, candidate: &Candidate) -> Option<&Arc<Deployment>> {
        candidate.of(self.route.tiers.get(candidate.tier)?)
    }
}

impl Candidate {
    fn of<'t>(&self, tier: &'t Tier) -> Option<&'t Arc<Deployment>> {
        tier.deployments.get(self.place)
    }
}

#[cfg(test)]
mod tests;
