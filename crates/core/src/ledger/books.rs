//! Which purses a request must pass: the credit of its payer, and the budgets of everybody it belongs to. Found in a few
//! short reads; no lock is shared by all requests. Knows no database. Tests are below.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, PoisonError, RwLock};

use super::account::{Account, Scope};
use super::hold::Hold;
use super::purse::{Purse, PurseId, Short};
use crate::money::NanoUsd;

/// How many parts the map is cut into, so that a change stops few readers.
const SHARDS: usize = 64;

/// All purses of the process.
#[derive(Debug)]
pub struct Books {
    shards: Vec<RwLock<Shard>>,
    hash: RandomState,
}

#[derive(Debug, Default)]
struct Shard {
    credits: HashMap<Account, Arc<Purse>>,
    budgets: HashMap<Scope, Vec<Arc<Purse>>>,
    /// The same budgets by their ids.
    by_id: HashMap<Arc<str>, Arc<Purse>>,
}

impl Default for Books {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect(), hash: RandomState::new() }
    }
}

impl Books {
    /// The purses of a request that this account pays and that belongs to these scopes. An account without prepaid
    /// credit has no purse of its own: only budgets limit it.
    pub fn purses(&self, payer: &Account, scopes: &[Scope]) -> Vec<Arc<Purse>> {
        let mut found: Vec<Arc<Purse>> = self.credit(payer).into_iter().collect();
        for scope in scopes {
            let budgets = |shard: &Shard| shard.budgets.get(scope).into_iter().flatten().cloned().collect::<Vec<_>>();
            found.extend(self.read(scope, budgets).unwrap_or_default());
        }
        found
    }

    /// The prepaid credit of an account, if it has such.
    pub fn credit(&self, account: &Account) -> Option<Arc<Purse>> {
        self.read(account, |shard| shard.credits.get(account).cloned()).flatten()
    }

    /// The budgets of a scope.
    pub fn budgets(&self, scope: &Scope) -> Vec<Arc<Purse>> {
        self.purses_of(scope)
    }

    /// A budget by its id, whatever it is for.
    pub fn budget(&self, id: &str) -> Option<Arc<Purse>> {
        self.read(id, |shard| shard.by_id.get(id).cloned()).flatten()
    }

    fn purses_of(&self, scope: &Scope) -> Vec<Arc<Purse>> {
        self.read(scope, |shard| shard.budgets.get(scope).cloned()).flatten().unwrap_or_default()
    }

    /// Holds the amount in all of the purses, or in none.
    pub fn hold(&self, purses: &[Arc<Purse>], amount: NanoUsd, now: i64) -> Result<Hold, Short> {
        Hold::take(purses, amount, now)
    }

    /// From now on the purse limits what it is for. One with the same id is replaced.
    pub fn open(&self, purse: Arc<Purse>) {
        match (purse.id().clone(), purse.definition()) {
            (PurseId::Credit(account), _) => {
                self.change(&account.clone(), |shard| drop(shard.credits.insert(account, purse)));
            }
            (PurseId::Budget(id), Some(budget)) => {
                self.change(&budget.scope, |shard| {
                    let budgets = shard.budgets.entry(budget.scope.clone()).or_default();
                    budgets.retain(|other| other.id().as_str() != &*id);
                    budgets.push(Arc::clone(&purse));
                });
                self.change(&*id, |shard| drop(shard.by_id.insert(Arc::clone(&id), purse)));
            }
            (PurseId::Budget(_), None) => {}
        }
    }

    /// The same for credit, unless the account has such: two that begin at once share one purse.
    pub fn open_new(&self, purse: Arc<Purse>) {
        if let PurseId::Credit(account) = purse.id().clone() {
            self.change(&account.clone(), |shard| {
                shard.credits.entry(account).or_insert(purse);
            });
        }
    }

    /// The same for a budget that is open and was for `old` until it was redefined: there is no moment at which it limits neither.
    pub fn reopen(&self, purse: Arc<Purse>, old: &Scope) {
        let id = purse.id().clone();
        if purse.definition().is_none_or(|budget| budget.scope == *old) {
            return;
        }
        self.open(purse);
        self.change(old, |shard| {
            if let Entry::Occupied(mut budgets) = shard.budgets.entry(old.clone()) {
                budgets.get_mut().retain(|purse| *purse.id() != id);
                if budgets.get().is_empty() {
                    budgets.remove();
                }
            }
        });
    }

    /// The purse limits nothing any more, wherever it is. Holds in it end as they would have.
    pub fn forget(&self, id: &PurseId) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            match id {
                PurseId::Credit(account) => drop(shard.credits.remove(account)),
                PurseId::Budget(budget) => {
                    shard.by_id.remove(budget);
                    shard.budgets.values_mut().for_each(|budgets| budgets.retain(|purse| purse.id() != id));
                    shard.budgets.retain(|_, budgets| !budgets.is_empty());
                }
            }
        }
    }

    /// Every purse there is, in no order.
    pub fn all(&self) -> Vec<Arc<Purse>> {
        let shards = self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner));
        let purses = shards.flat_map(|shard| {
            let budgets = shard.budgets.values().flatten();
            shard.credits.values().chain(budgets).cloned().collect::<Vec<_>>()
        });
        purses.collect()
    }

    fn read<T>(&self, key: &(impl std::hash::Hash + ?Sized), read: impl FnOnce(&Shard) -> T) -> Option<T> {
        let shard = self.shard(key)?.read().unwrap_or_else(PoisonError::into_inner);
        Some(read(&shard))
    }

    fn change(&self, key: &(impl std::hash::Hash + ?Sized), change: impl FnOnce(&mut Shard)) {
        if let Some(shard) = self.shard(key) {
            change(&mut shard.write().unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn shard(&self, key: &(impl std::hash::Hash + ?Sized)) -> Option<&RwLock<Shard>> {
        let place = self.hash.hash_one(key) as usize % SHARDS;
        self.shards.get(place)
    }
}

#[cfg(test)]
mod tests {
    use super::super::purse::{Budget, Supply, WhenSpent};
    use super::super::window::Window;
    use super::*;

    fn budget(id: &str, scope: &str) -> Arc<Purse> {
        let amount = NanoUsd(5);
        let scope = Scope::parse(scope).unwrap();
        let budget = Budget {
            id: id.into(),
            scope,
            window: Window::Total,
            amount,
            hard: true,
            alerts: vec![],
            when_spent: WhenSpent::Refuse,
        };
        Arc::new(Purse::budget(Arc::new(budget), Supply::Owned, 0, amount, NanoUsd(0)))
    }

    #[test]
    fn a_request_meets_its_payers_credit_and_the_budgets_of_all_it_belongs_to() {
        let books = Books::default();
        let (ann, bob) = (Account::user("ann"), Account::user("bob"));
        books.open(Arc::new(Purse::credit(ann.clone(), Supply::Owned, NanoUsd(1))));
        for (id, scope) in [("b1", "global"), ("b2", "user:ann"), ("b3", "user:ann"), ("b4", "group:auto:fast")] {
            books.open(budget(id, scope));
        }
        books.open(budget("b3", "user:ann"));
        books.reopen(books.budget("b3").unwrap(), &Scope::User("ann".into()));
        let names = |payer: &Account, scopes: &[&str]| {
            let scopes: Vec<Scope> = scopes.iter().map(|scope| Scope::parse(scope).unwrap()).collect();
            let purses = books.purses(payer, &scopes);
            purses.iter().map(|purse| purse.id().as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(&ann, &["user:ann", "global"]), ["user:ann", "b2", "b3", "b1"]);
        assert_eq!(names(&bob, &["user:bob", "group:auto:fast"]), ["b4"]);
        assert_eq!(books.all().len(), 5);
        assert!(Arc::ptr_eq(&books.budget("b3").unwrap(), &books.budgets(&Scope::User("ann".into()))[1]));
        books.open_new(Arc::new(Purse::credit(ann.clone(), Supply::Owned, NanoUsd(9))));
        assert_eq!(books.credit(&ann).unwrap().standing(0).allotted, NanoUsd(1));
        books.forget(&PurseId::Credit(ann.clone()));
        books.forget(&PurseId::Budget("b2".into()));
        assert_eq!(names(&ann, &["user:ann", "global"]), ["b3", "b1"]);
        assert!(books.budget("b2").is_none());
    }

    #[test]
    fn a_budget_that_is_for_somebody_else_now_limits_them_and_nobody_twice() {
        let books = Books::default();
        let (ann, bob) = (Scope::User("ann".into()), Scope::User("bob".into()));
        books.open(budget("b1", "user:ann"));
        let purse = books.budget("b1").unwrap();
        let changed = Budget { scope: bob.clone(), ..purse.definition().unwrap().as_ref().clone() };
        purse.redefine(Arc::new(changed), 0);
        books.reopen(Arc::clone(&purse), &ann);
        assert_eq!((books.budgets(&ann).len(), books.budgets(&bob).len(), books.all().len()), (0, 1, 1));
        assert!(Arc::ptr_eq(&books.budget("b1").unwrap(), &purse));
    }
}
