//! What a request falls to when a budget that degrades has not enough left for it: first to those deployments of its model
//! that the money is enough for, then to the models that stand in for it, one after the other. Decides the order, holds
//! nothing. Tests: `it/degrade.rs`.

use std::sync::Arc;

use waypost_core::access::Caller;
use waypost_core::dice::Dice;
use waypost_core::ledger::{Short, WhenSpent};
use waypost_core::money::NanoUsd;
use waypost_core::route::{self, Plan};
use waypost_core::snapshot::Deployment;
use waypost_core::usage::Degraded;

use super::call::Call;
use super::funds;
use crate::app::{App, Live};

/// The way down of one request.
pub struct Descent {
    ladder: std::vec::IntoIter<Arc<str>>,
    asked: Option<Arc<str>>,
    fell: Option<Degraded>,
}

impl Descent {
    pub fn of(call: &Call, plan: &Plan<'_>) -> Self {
        Self { ladder: plan.route().degrade_to.clone().into_iter(), asked: call.model.clone(), fell: None }
    }

    /// Changes plan and call to what is cheaper, where the budget that has not enough says so. `bound` is the most that the
    /// request can cost at a deployment, and nothing where it could cost anything. Answers `false` if nothing is left.
    pub fn down<'s>(
        &mut self,
        (app, live, caller): (&App, &'s Live, &Caller),
        call: &mut Call,
        plan: &mut Plan<'s>,
        dice: &mut Dice,
        short: &Short,
        bound: impl Fn(&Call, &Deployment) -> Option<NanoUsd>,
    ) -> bool {
        let definition = short.purse.definition();
        if definition.is_none_or(|budget| budget.when_spent != WhenSpent::Degrade) {
            return false;
        }
        let cheaper = plan.keep_to(|deployment| bound(call, deployment).is_some_and(|most| most <= short.left));
        if cheaper || self.another(app, live, caller, call, plan, dice) {
            let given = call.model.clone();
            match &mut self.fell {
                Some(fell) => fell.given = given,
                None => {
                    self.fell = Some(Degraded {
                        budget: short.purse.id().as_str().into(),
                        asked: self.asked.clone(),
                        given,
                        needed: short.needed.get(),
                        left: short.left.get(),
                    });
                }
            }
            return true;
        }
        false
    }

    /// The next model that the caller may use and that can do what is asked.
    fn another<'s>(
        &mut self,
        app: &App,
        live: &'s Live,
        caller: &Caller,
        call: &mut Call,
        plan: &mut Plan<'s>,
        dice: &mut Dice,
    ) -> bool {
        for model in self.ladder.by_ref().filter(|model| Some(model) != self.asked.as_ref()) {
            let was = (call.model.replace(model), call.charge);
            call.charge = funds::charge(app, caller, call);
            if let Ok(other) = route::plan(&live.snapshot, caller, &call.query(), app.clock.now(), dice) {
                *plan = other;
                return true;
            }
            (call.model, call.charge) = was;
        }
        false
    }

    /// What it fell to, if it did.
    pub fn fell(self) -> Option<Arc<Degraded>> {
        self.fell.map(Arc::new)
    }
}
