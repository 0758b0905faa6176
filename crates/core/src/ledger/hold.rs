//! Money set aside for one request: taken from all of its purses or from none, and put back or spent exactly once.
//! Knows nothing of how the cost came to be. Tests are below.

use std::sync::Arc;

use super::purse::{Purse, PurseId, Short};
use crate::money::NanoUsd;

/// Money that is held. Dropping it gives everything back; [`Hold::settle`] spends.
#[derive(Debug)]
#[must_use]
pub struct Hold {
    taken: Vec<(Arc<Purse>, i64)>,
    amount: i64,
    /// At least one purse can refuse, so no more than the amount may be charged.
    bounded: bool,
}

/// A window of a budget in which a request counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Use {
    pub budget: Arc<str>,
    /// When the window began.
    pub start: i64,
}

/// What a settled hold came to. The two add up to the cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The payer's; never above what was held, if anything limits the payer.
    pub charged: NanoUsd,
    /// The operator's.
    pub overrun: NanoUsd,
}

impl Hold {
    /// Holds the amount in every purse, or in none and says which of them refuses. The order does not matter, and a purse
    /// that is there twice counts once.
    pub fn take(purses: &[Arc<Purse>], amount: NanoUsd, now: i64) -> Result<Self, Short> {
        let amount = amount.get().max(0);
        // One order for all callers, so that two of them never wait for each other.
        let mut order: Vec<&Arc<Purse>> = purses.iter().collect();
        order.sort_unstable_by_key(|purse| Arc::as_ptr(purse).addr());
        order.dedup_by(|a, b| Arc::ptr_eq(a, b));
        let mut open = Vec::with_capacity(order.len());
        for purse in order {
            let state = purse.open(now);
            if let Some(why) = state.refuses(amount) {
                let (needed, left) = (NanoUsd(amount), NanoUsd(state.left().max(0)));
                return Err(Short { purse: Arc::clone(purse), why, needed, left, ends: state.ends() });
            }
            open.push((purse, state));
        }
        let bounded = open.iter().any(|(_, state)| state.is_hard());
        let taken = open.into_iter().map(|(purse, mut state)| {
            state.hold(amount, now);
            (Arc::clone(purse), state.start)
        });
        Ok(Self { taken: taken.collect(), amount, bounded })
    }

    pub fn amount(&self) -> NanoUsd {
        NanoUsd(self.amount)
    }

    /// Whether something limits the payer, so that no more than the amount is ever charged.
    pub fn is_bounded(&self) -> bool {
        self.bounded
    }

    /// The windows of budgets it counts in.
    pub fn uses(&self) -> Vec<Use> {
        let budgets = self.taken.iter().filter_map(|(purse, start)| match purse.id() {
            PurseId::Budget(id) => Some(Use { budget: Arc::clone(id), start: *start }),
            PurseId::Credit(_) => None,
        });
        budgets.collect()
    }

    /// What a cost would come to; see [`Hold::settle`].
    pub fn split(&self, cost: NanoUsd) -> Settled {
        split(self.bounded, self.amount(), cost)
    }

    /// Spends what it cost and gives back the rest. What is above the hold of a limited payer is the operator's.
    pub fn settle(mut self, cost: NanoUsd) -> Settled {
        let settled = self.split(cost);
        self.end(settled.charged.get());
        settled
    }

    /// Gives everything back.
    pub fn release(mut self) {
        self.end(0);
    }

    fn end(&mut self, spent: i64) {
        for (purse, start) in self.taken.drain(..) {
            let mut state = purse.lock();
            if state.start == start {
                state.settle(self.amount, spent);
            } else {
                state.settle_over(start, self.amount, spent);
            }
        }
    }
}

/// How a cost is shared between payer and operator.
pub(crate) fn split(bounded: bool, held: NanoUsd, cost: NanoUsd) -> Settled {
    let cost = cost.get().max(0);
    let charged = if bounded { cost.min(held.get()) } else { cost };
    Settled { charged: NanoUsd(charged), overrun: NanoUsd(cost - charged) }
}

impl Settled {
    /// How a cost is shared between payer and operator, from what a hold was.
    pub fn of(bounded: bool, held: NanoUsd, cost: NanoUsd) -> Self {
        split(bounded, held, cost)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.end(0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::super::account::{Account, Scope};
    use super::super::purse::{Budget, Supply, WhenSpent, Why};
    use super::super::window::Window;
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn usd(nanos: i64) -> NanoUsd {
        NanoUsd(nanos)
    }

    fn credit(amount: i64) -> Arc<Purse> {
        Arc::new(Purse::credit(Account::user("u"), Supply::Owned, usd(amount)))
    }

    fn definition(amount: i64, window: Window, hard: bool) -> Arc<Budget> {
        let id = "bud_1".into();
        Arc::new(Budget {
            id,
            scope: Scope::Global,
            window,
            amount: usd(amount),
            hard,
            alerts: vec![80],
            when_spent: WhenSpent::Refuse,
        })
    }

    fn hourly(amount: i64, supply: Supply) -> Arc<Purse> {
        Arc::new(Purse::budget(definition(amount, Window::Hour, true), supply, 0, usd(amount), usd(0)))
    }

    fn figures(purse: &Purse) -> (i64, i64, i64) {
        let standing = purse.standing(0);
        (standing.allotted.get(), standing.spent.get(), standing.held.get())
    }

    #[test]
    fn all_purses_give_or_none() {
        let (rich, poor) = (credit(100), hourly(10, Supply::Owned));
        let both = [Arc::clone(&rich), Arc::clone(&poor), Arc::clone(&rich)];
        let short = Hold::take(&both, usd(11), 5).unwrap_err();
        assert_eq!((short.purse.id().as_str(), short.why), ("bud_1", Why::Spent));
        assert_eq!((short.needed, short.left, short.ends), (usd(11), usd(10), Some(HOUR)));
        assert_eq!((figures(&rich), figures(&poor)), ((100, 0, 0), (10, 0, 0)));
        let hold = Hold::take(&both, usd(10), 5).unwrap();
        assert_eq!((figures(&rich), figures(&poor)), ((100, 0, 10), (10, 0, 10)));
        assert_eq!(hold.uses(), [Use { budget: "bud_1".into(), start: 0 }]);
        assert_eq!(hold.settle(usd(4)), Settled { charged: usd(4), overrun: usd(0) });
        assert_eq!((figures(&rich), figures(&poor)), ((100, 4, 0), (10, 4, 0)));
    }

    #[test]
    fn dropping_gives_back_and_a_dearer_end_is_the_operators() {
        let purse = credit(10);
        drop(Hold::take(&[Arc::clone(&purse)], usd(10), 0).unwrap());
        assert_eq!(figures(&purse), (10, 0, 0));
        let hold = Hold::take(&[Arc::clone(&purse)], usd(10), 0).unwrap();
        assert_eq!(hold.settle(usd(15)), Settled { charged: usd(10), overrun: usd(5) });
        assert_eq!(figures(&purse), (10, 10, 0));
        let free = Hold::take(&[], usd(10), 0).unwrap();
        assert_eq!(free.settle(usd(15)), Settled { charged: usd(15), overrun: usd(0) });
    }

    #[test]
    fn a_soft_budget_refuses_nothing_and_counts() {
        let soft = definition(10, Window::Day, false);
        let purse = Arc::new(Purse::budget(soft, Supply::Owned, 0, usd(10), usd(0)));
        let hold = Hold::take(&[Arc::clone(&purse)], usd(50), 0).unwrap();
        assert_eq!(hold.settle(usd(60)).charged, usd(60));
        assert_eq!(figures(&purse), (10, 60, 0));
    }

    #[test]
    fn a_clock_that_steps_back_never_opens_a_spent_window_again() {
        let purse = hourly(10, Supply::Owned);
        let all = |now: i64| Hold::take(&[Arc::clone(&purse)], usd(10), now);
        let _ = all(0).unwrap().settle(usd(10));
        let _ = all(HOUR).unwrap().settle(usd(10));
        for now in [0, HOUR - 1, HOUR, 2 * HOUR - 1] {
            assert_eq!(all(now).unwrap_err().ends, Some(2 * HOUR));
        }
        // What was held in a window that is over counts nowhere when it ends.
        let late = all(2 * HOUR).unwrap();
        let next = all(3 * HOUR).unwrap();
        let _ = late.settle(usd(10));
        assert_eq!(figures(&purse), (10, 0, 10));
        drop(next);
        assert_eq!(figures(&purse), (10, 0, 0));
    }

    #[test]
    fn a_leased_purse_says_that_more_may_be_had_until_it_is_dry() {
        let purse = Arc::new(Purse::credit(Account::team("t"), Supply::Leased, usd(0)));
        let take = || Hold::take(&[Arc::clone(&purse)], usd(5), 0);
        assert_eq!(take().unwrap_err().why, Why::Lease);
        assert!(purse.grow(0, usd(4), true));
        assert_eq!(take().unwrap_err().why, Why::Spent);
        purse.refresh();
        assert_eq!(take().unwrap_err().why, Why::Lease);
        assert!(purse.grow(0, usd(4), false));
        let hold = take().unwrap();
        assert_eq!(purse.shrink(usd(100)), (0, usd(3)));
        drop(hold);
        purse.freeze(true);
        assert_eq!(take().unwrap_err().why, Why::Frozen);
        let budget = hourly(10, Supply::Leased);
        assert!(Hold::take(&[Arc::clone(&budget)], usd(1), HOUR).is_err_and(|short| short.why == Why::Lease));
        assert!(!budget.grow(0, usd(1), false), "of a window that is over");
    }

    #[test]
    fn what_is_left_of_a_lease_when_its_window_ends_can_be_given_back() {
        let purse = hourly(10, Supply::Leased);
        let take = |amount, now| Hold::take(&[Arc::clone(&purse)], usd(amount), now).unwrap();
        let _ = take(2, 0).settle(usd(1));
        let late = take(5, 0);
        assert_eq!(purse.left_over(), [], "the window is not over");
        assert_eq!(purse.standing(HOUR).allotted, usd(0));
        assert_eq!(purse.left_over(), [(0, usd(4))], "all that is neither held nor spent");
        assert_eq!(purse.left_over(), [], "once");
        let _ = late.settle(usd(3));
        assert_eq!(purse.left_over(), [(0, usd(2))], "what a request did not need that ended later");
        assert!(!purse.grow(0, usd(7), true), "it came too late");
        assert_eq!((purse.left_over(), figures(&purse)), (vec![(0, usd(7))], (0, 0, 0)));
        let owned = hourly(10, Supply::Owned);
        let _ = owned.standing(HOUR);
        assert_eq!(owned.left_over(), []);
    }

    #[test]
    fn what_was_spent_too_much_can_be_spent_again_in_its_window_only() {
        let purse = hourly(10, Supply::Owned);
        let take = |amount, now| Hold::take(&[Arc::clone(&purse)], usd(amount), now);
        let _ = take(10, 0).unwrap().settle(usd(10));
        purse.refund(0, usd(4));
        assert!(take(5, 0).is_err());
        let _ = take(4, 0).unwrap().settle(usd(4));
        let _ = take(10, HOUR).unwrap().settle(usd(10));
        purse.refund(0, usd(10));
        assert!(take(1, HOUR).is_err(), "of a window that is over");
    }

    #[test]
    fn a_changed_budget_holds_at_once_and_takes_nothing_back() {
        let purse = hourly(10, Supply::Owned);
        let hold = Hold::take(&[Arc::clone(&purse)], usd(8), 0).unwrap();
        assert_eq!(purse.redefine(definition(5, Window::Hour, true), 0), usd(8), "what is held");
        assert!(Hold::take(&[Arc::clone(&purse)], usd(1), 0).is_err());
        let _ = hold.settle(usd(2));
        assert!(Hold::take(&[Arc::clone(&purse)], usd(4), 0).is_err());
        assert!(Hold::take(&[Arc::clone(&purse)], usd(3), 0).is_ok());
    }

    #[test]
    fn what_a_soft_budget_let_pass_needs_no_lease_once_it_is_hard() {
        let soft = definition(100, Window::Hour, false);
        let purse = Arc::new(Purse::budget(soft, Supply::Leased, 0, usd(0), usd(0)));
        let take = |amount| Hold::take(&[Arc::clone(&purse)], usd(amount), 0);
        let _ = take(60).unwrap().settle(usd(60));
        let running = take(10).unwrap();
        purse.redefine(definition(100, Window::Hour, true), 0);
        assert_eq!(figures(&purse), (60, 60, 10));
        assert!(take(1).is_err_and(|short| short.why == Why::Lease && short.left == usd(0)));
        assert!(purse.grow(0, usd(15), false));
        purse.redefine(definition(80, Window::Hour, true), 0);
        assert_eq!(figures(&purse), (75, 60, 10), "only the first time");
        drop(take(5).unwrap());
        let _ = running.settle(usd(1));
        assert!(take(15).is_err_and(|short| short.why == Why::Lease), "nothing is there that was not leased");
        drop(take(14).unwrap());
    }

    #[test]
    fn what_becomes_free_of_a_lease_is_too_much_once_the_budget_is_lowered_below_it() {
        let purse = Arc::new(Purse::budget(definition(100, Window::Hour, true), Supply::Leased, 0, usd(0), usd(0)));
        assert!(purse.grow(0, usd(50), false));
        let running = Hold::take(&[Arc::clone(&purse)], usd(50), 0).unwrap();
        purse.redefine(definition(0, Window::Hour, true), 0);
        assert!(!purse.is_beyond(0), "all of it is held");
        let _ = running.settle(usd(5));
        assert!(purse.is_beyond(0));
        assert_eq!((purse.shrink(NanoUsd::MAX), purse.is_beyond(0)), ((0, usd(45)), false));
    }

    #[test]
    fn sixty_four_callers_at_once_never_pass_a_budget_in_any_of_their_purses() {
        let (a, b, all) = (credit(40_000), credit(70_000), hourly(90_000, Supply::Owned));
        let spent = AtomicI64::new(0);
        std::thread::scope(|scope| {
            for caller in 0..64_i64 {
                let (own, all, spent) = (if caller % 2 == 0 { &a } else { &b }, &all, &spent);
                scope.spawn(move || {
                    // Each in its own order: an order of locks of its own would end in a deadlock.
                    let mut purses = [Arc::clone(own), Arc::clone(all)];
                    purses.rotate_left((caller / 2 % 2) as usize);
                    for round in 0..200 {
                        let amount = 1 + (caller * 31 + round * 17) % 97;
                        let Ok(hold) = Hold::take(&purses, usd(amount), 0) else { continue };
                        match round % 4 {
                            0 => drop(hold),
                            1 => drop(spent.fetch_add(hold.settle(usd(amount / 2)).charged.get(), Ordering::Relaxed)),
                            _ => drop(spent.fetch_add(hold.settle(usd(amount * 2)).charged.get(), Ordering::Relaxed)),
                        }
                    }
                });
            }
        });
        for (purse, limit) in [(&a, 40_000), (&b, 70_000), (&all, 90_000)] {
            let (allotted, spent, held) = figures(purse);
            assert!(spent <= limit && allotted == limit && held == 0, "{spent} of {limit}, {held} held");
        }
        assert_eq!(figures(&all).1, spent.into_inner());
        assert!(figures(&all).1 > 89_000, "hardly anything was admitted");
    }
}
