//! What a request falls to when a budget that degrades has not enough left for it: first to those deployments of its model
//! that the money is enough for, then to the models that stand in for it, one after the other. Decides the order, holds
//! nothing. Tests: `it/degrade.rs`.

use std::sync::Arc;

use waypost_core::access::Caller;
use waypost_core::dice::Dice;
use waypost_core::ledger::{Purse, Scope, Short, WhenSpent};
use waypost_core::money::NanoUsd;
use waypost_core::operation::Operation;
use waypost_core::route::{self, Plan};
use waypost_core::snapshot::{Deployment, Route};
use waypost_core::usage::Degraded;

use super::call::Call;
use super::funds;
use crate::app::{App, Live};

/// The budgets that every request for a model counts in, whoever asks, and that let it fall to what is cheaper when they have not
/// enough left for it.
pub fn budgets(app: &App, model: Option<&str>, operation: Operation) -> Vec<Arc<Purse>> {
    let Some(money) = app.money.as_ref().filter(|_| funds::may_cost(operation)) else { return Vec::new() };
    let scopes = std::iter::once(Scope::Global).chain(model.map(|model| Scope::Group(model.into())));
    let mut budgets: Vec<_> = scopes.flat_map(|scope| money.books().budgets(&scope)).collect();
    budgets.retain(|purse| purse.definition().is_some_and(|budget| budget.when_spent == WhenSpent::Degrade));
    budgets
}

/// The models that stand in for one that is asked, in the order in which they are tried.
pub fn ladder<'r>(route: &'r Route, asked: Option<&str>) -> impl Iterator<Item = &'r Arc<str>> {
    route.degrade_to.iter().filter(move |model| Some(&***model) != asked)
}

/// The way down of one request.
pub struct Descent {
    ladder: std::vec::IntoIter<Arc<str>>,
    asked: Option<Arc<str>>,
    fell: Option<Degraded>,
}

impl Descent {
    pub fn of(call: &Call, plan: &Plan<'_>) -> Self {
        let ladder: Vec<_> = ladder(plan.route(), call.model.as_deref()).cloned().collect();
        Self { ladder: ladder.into_iter(), asked: call.model.clone(), fell: None }
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
        for model in self.ladder.by_ref() {
            let was = (call.model.replace(model), call.charge, call.payer.take());
            funds::charge(app, caller, call);
            if let Ok(other) = route::plan(&live.snapshot, caller, &call.query(), app.clock.now(), dice) {
                *plan = other;
                return true;
            }
            (call.model, call.charge, call.payer) = was;
        }
        false
    }

    /// What it fell to, if it did.
    pub fn fell(self) -> Option<Arc<Degraded>> {
        self.fell.map(Arc::new)
    }
}
