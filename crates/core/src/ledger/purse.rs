//! One limit on money: prepaid credit, or a budget in a window. Guarantees that what is held and spent never exceeds what
//! it was allotted, and that a window which is over never opens again, whatever the clock does. Tests are with `hold`.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::account::{Account, Scope};
use super::window::Window;
use crate::money::NanoUsd;

/// What a purse limits, and the name it has in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PurseId {
    Credit(Account),
    Budget(Arc<str>),
}

/// A budget as it was defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    pub id: Arc<str>,
    pub scope: Scope,
    pub window: Window,
    pub amount: NanoUsd,
    /// A soft one refuses nothing; it only tells.
    pub hard: bool,
    /// Tell at these per cents of the amount, each once a window.
    pub alerts: Vec<u16>,
    pub when_spent: WhenSpent,
}

/// What becomes of requests for which a hard budget has not enough left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenSpent {
    /// They are refused.
    #[default]
    Refuse,
    /// They fall to what is cheaper and still affordable; only if there is nothing such they are refused.
    Degrade,
}

impl WhenSpent {
    pub fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Degrade => "degrade",
        }
    }

    /// Reads a name as [`WhenSpent::name`] says it.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Refuse, Self::Degrade].into_iter().find(|word| word.name() == name)
    }
}

/// Where a purse gets money from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supply {
    /// This process owns all there is. A new window begins with the whole budget.
    Owned,
    /// Others share it: money comes in blocks, from a lease. A new window begins with nothing.
    Leased,
}

/// One limit on money. Its lock is held for a few instructions only.
#[derive(Debug)]
pub struct Purse {
    id: PurseId,
    supply: Supply,
    state: Mutex<State>,
}

/// What is in a purse. `held` and `spent` together are never above `allotted`, unless the budget is soft.
#[derive(Debug)]
pub(super) struct State {
    /// Absent for credit.
    budget: Option<Arc<Budget>>,
    /// When the present window began. Only grows.
    pub(super) start: i64,
    allotted: i64,
    spent: i64,
    held: i64,
    /// When something was held the last time.
    used: i64,
    /// The supply was asked and had no more.
    dry: bool,
    frozen: bool,
    /// Leased windows that are over, of which something is left or held.
    over: Vec<Over>,
}

/// What is left of the lease of a window that is over. It can only be given back.
#[derive(Debug)]
struct Over {
    start: i64,
    left: i64,
    /// What comes back of it when the requests end that hold it.
    held: i64,
}

/// Why a purse refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is not enough left.
    Spent,
    /// There is not enough here, but its supply may have more.
    Lease,
    /// Its books do not add up; nobody spends from it until somebody has looked.
    Frozen,
}

/// The purse that has not enough, and what would help.
#[derive(Clone, Debug)]
pub struct Short {
    pub purse: Arc<Purse>,
    pub why: Why,
    pub needed: NanoUsd,
    pub left: NanoUsd,
    /// When the window ends, in epoch milliseconds; absent for credit and budgets without end.
    pub ends: Option<i64>,
}

/// What is in a purse at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// When the window began; 0 where there is none.
    pub start: i64,
    pub ends: Option<i64>,
    pub allotted: NanoUsd,
    pub spent: NanoUsd,
    pub held: NanoUsd,
    pub frozen: bool,
}

impl Purse {
    /// Prepaid credit of an account, with what it may still spend.
    pub fn credit(account: Account, supply: Supply, allotted: NanoUsd) -> Self {
        let state = State {
            budget: None,
            start: 0,
            allotted: allotted.get(),
            spent: 0,
            held: 0,
            used: 0,
            dry: supply == Supply::Owned,
            frozen: false,
            over: Vec::new(),
        };
        Self { id: PurseId::Credit(account), supply, state: Mutex::new(state) }
    }

    /// A budget in the window that began at `start`, with what was allotted and spent in it so far.
    pub fn budget(budget: Arc<Budget>, supply: Supply, start: i64, allotted: NanoUsd, spent: NanoUsd) -> Self {
        let id = PurseId::Budget(Arc::clone(&budget.id));
        let state = State {
            budget: Some(budget),
            start,
            allotted: allotted.get(),
            spent: spent.get(),
            held: 0,
            used: 0,
            dry: supply == Supply::Owned,
            frozen: false,
            over: Vec::new(),
        };
        Self { id, supply, state: Mutex::new(state) }
    }

    pub fn supply(&self) -> Supply {
        self.supply
    }

    pub fn id(&self) -> &PurseId {
        &self.id
    }

    /// What is in it at `now`.
    pub fn standing(&self, now: i64) -> Standing {
        let state = self.open(now);
        Standing {
            start: state.start,
            ends: state.ends(),
            allotted: NanoUsd(state.allotted),
            spent: NanoUsd(state.spent),
            held: NanoUsd(state.held),
            frozen: state.frozen,
        }
    }

    /// The budget as it is defined now; absent for credit.
    pub fn definition(&self) -> Option<Arc<Budget>> {
        self.lock().budget.clone()
    }

    /// More may be spent, in the window that began at `start`. `dry` says that the supply has no more for now. If that window
    /// is over, nobody spends it, [`Purse::left_over`] tells of it, and the answer is `false`.
    pub fn grow(&self, start: i64, by: NanoUsd, dry: bool) -> bool {
        let mut state = self.lock();
        let same = state.start == start;
        if same {
            state.allotted = state.allotted.saturating_add(by.get());
            state.dry = dry;
        } else if self.supply == Supply::Leased {
            state.over.push(Over { start, left: by.get(), held: 0 });
        }
        same
    }

    /// What was spent in the window that began at `start` was too much by this. Nothing happens if that window is over.
    pub fn refund(&self, start: i64, by: NanoUsd) {
        let mut state = self.lock();
        if state.start == start {
            state.spent = state.spent.saturating_sub(by.get().max(0));
        }
    }

    /// The supply may have more again: somebody topped up, or gave back.
    pub fn refresh(&self) {
        self.lock().dry = self.supply == Supply::Owned;
    }

    /// Is there something in it that nobody has held anything of for so many milliseconds?
    pub fn is_idle(&self, now: i64, millis: i64) -> bool {
        let state = self.open(now);
        state.held == 0 && state.left() > 0 && now.saturating_sub(state.used) >= millis
    }

    /// Is there something left in it that is more than all nodes may spend together, since its budget was lowered?
    pub fn is_beyond(&self, now: i64) -> bool {
        let state = self.open(now);
        let lowered = state.budget.as_ref().is_some_and(|budget| budget.hard && state.allotted > budget.amount.get());
        lowered && self.supply == Supply::Leased && state.left() > 0
    }

    /// Takes up to `most` of what is neither held nor spent, and says from which window.
    pub fn shrink(&self, most: NanoUsd) -> (i64, NanoUsd) {
        let mut state = self.lock();
        let taken = state.left().clamp(0, most.get().max(0));
        state.allotted = state.allotted.saturating_sub(taken);
        (state.start, NanoUsd(taken))
    }

    /// Are there windows that are over, of which something is left or still held?
    pub fn has_windows_over(&self) -> bool {
        !self.lock().over.is_empty()
    }

    /// Takes what is left of windows that are over, and says of which: it belongs to all again.
    pub fn left_over(&self) -> Vec<(i64, NanoUsd)> {
        let mut state = self.lock();
        let mut taken = Vec::new();
        for over in state.over.iter_mut().filter(|over| over.left > 0) {
            taken.push((over.start, NanoUsd(std::mem::take(&mut over.left))));
        }
        state.over.retain(|over| over.held > 0);
        taken
    }

    /// The budget was changed. What an owner may spend of it follows at once; nothing that is held is taken back. What a soft one
    /// let pass needs no lease once it is hard. Answers what may come together in this window at most: the new amount, or what is
    /// held and spent already.
    pub fn redefine(&self, budget: Arc<Budget>, now: i64) -> NanoUsd {
        let mut state = self.open(now);
        let amount = budget.amount.get();
        let start = budget.window.start_of(now);
        if state.budget.as_ref().is_some_and(|old| old.window != budget.window) {
            state.begin(start, amount, self.supply);
        }
        let taken = state.spent.saturating_add(state.held);
        match self.supply {
            Supply::Owned => state.allotted = amount,
            // What is held is leased with the next refill, so that what is left of it is leased as well.
            Supply::Leased if budget.hard && !state.is_hard() => state.allotted = state.allotted.max(state.spent),
            Supply::Leased => {}
        }
        state.budget = Some(budget);
        state.dry = self.supply == Supply::Owned;
        NanoUsd(amount.max(taken))
    }

    /// Nobody spends from it any more, or again.
    pub fn freeze(&self, frozen: bool) {
        self.lock().frozen = frozen;
    }

    /// The state, in the window of `now` or a later one.
    pub(super) fn open(&self, now: i64) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        if let Some(budget) = &state.budget {
            let (start, amount) = (budget.window.start_of(now), budget.amount.get());
            if start > state.start {
                state.begin(start, amount, self.supply);
            }
        }
        state
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Why so much cannot be held; nothing if it can.
    pub(super) fn refuses(&self, amount: i64) -> Option<Why> {
        if self.frozen {
            return Some(Why::Frozen);
        }
        if !self.is_hard() || self.left() >= amount {
            return None;
        }
        Some(if self.dry { Why::Spent } else { Why::Lease })
    }

    pub(super) fn is_hard(&self) -> bool {
        self.budget.as_ref().is_none_or(|budget| budget.hard)
    }

    pub(super) fn hold(&mut self, amount: i64, now: i64) {
        self.held = self.held.saturating_add(amount);
        self.used = self.used.max(now);
    }

    /// What was held in this window is spent, in part or in full.
    pub(super) fn settle(&mut self, held: i64, spent: i64) {
        self.held = self.held.saturating_sub(held);
        self.spent = self.spent.saturating_add(spent);
    }

    /// The same for what was held in a window that is over: of a lease, the rest can be given back.
    pub(super) fn settle_over(&mut self, start: i64, held: i64, spent: i64) {
        if let Some(over) = self.over.iter_mut().find(|over| over.start == start && over.held > 0) {
            over.held = over.held.saturating_sub(held);
            over.left = over.left.saturating_add(held.saturating_sub(spent));
        }
    }

    pub(super) fn left(&self) -> i64 {
        let taken = i128::from(self.spent) + i128::from(self.held);
        i64::try_from(i128::from(self.allotted) - taken).unwrap_or(i64::MIN)
    }

    pub(super) fn ends(&self) -> Option<i64> {
        self.budget.as_ref().and_then(|budget| budget.window.end_of(self.start))
    }

    /// A new window, with the whole amount or, leased, with nothing: what is left of the lease is of the old one.
    fn begin(&mut self, start: i64, amount: i64, supply: Supply) {
        let owned = supply == Supply::Owned;
        let over = Over { start: self.start, left: self.left(), held: self.held };
        if !owned && (over.left > 0 || over.held > 0) {
            self.over.push(over);
        }
        self.start = start;
        self.allotted = if owned { amount } else { 0 };
        self.spent = 0;
        self.held = 0;
        self.dry = owned;
    }
}

impl PurseId {
    /// The id in one word: the account's name, or the budget's id.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Credit(account) => account.as_str(),
            Self::Budget(id) => id,
        }
    }
}

impl fmt::Display for PurseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credit(account) => write!(f, "credit of {account}"),
            Self::Budget(id) => write!(f, "budget {id}"),
        }
    }
}
