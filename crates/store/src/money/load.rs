//! The purses of a process, from the database, after its journal is folded in. Tests: `tests/it/money.rs`.

use std::sync::Arc;

use waypost_core::ledger::{Account, Books, Budget, Purse, PurseId, Supply};
use waypost_core::money::NanoUsd;

use crate::ledger::grants::Balance;
use crate::ledger::{Lease, give_back, id_of};
use crate::{Store, StoreError};

pub(super) async fn books(store: &Store, node: &str, supply: Supply, now: i64) -> Result<Books, StoreError> {
    let books = Books::default();
    for balance in store.prepaid_since(0).await? {
        books.open(Arc::new(credit(store, node, supply, &balance).await?));
    }
    for (_, budget) in store.every_budget().await? {
        // One that nobody can read would limit nothing.
        if let Some(budget) = budget? {
            books.open(Arc::new(purse(store, node, supply, budget, now).await?));
        }
    }
    Ok(books)
}

/// What this process still has of windows that are over, and of budgets that are gone, belongs to all again: it died before it gave
/// that back, and nothing is held any more.
pub(super) async fn give_back_old(store: &Store, node: &str, books: &Books, now: i64) -> Result<(), StoreError> {
    for Lease { purse, start, unspent } in store.leases(node).await? {
        let id = id_of(&purse);
        let present = match &id {
            PurseId::Credit(_) => continue,
            PurseId::Budget(id) => books.budget(id).map(|purse| purse.standing(now).start),
        };
        if unspent.get() > 0 && present != Some(start) {
            give_back(store, node, &id, start, unspent).await?.commit().await?;
        }
    }
    Ok(())
}

/// The credit of an account, with what this process may spend of it.
pub(super) async fn credit(store: &Store, node: &str, supply: Supply, balance: &Balance) -> Result<Purse, StoreError> {
    let account = Account::parse(&balance.account)
        .map_err(|bad| StoreError::Corrupt(format!("the ledger has an account of a wrong name: {bad}")))?;
    let own = match supply {
        Supply::Owned => NanoUsd(balance.granted.get().saturating_sub(balance.spent.get())),
        Supply::Leased => store.lease(node, &PurseId::Credit(account.clone()), 0).await?,
    };
    let purse = Purse::credit(account, supply, own);
    purse.freeze(balance.read_only);
    Ok(purse)
}

/// A budget in its latest window: one that was opened once stays the present one, though the clock went back.
pub(super) async fn purse(
    store: &Store,
    node: &str,
    supply: Supply,
    budget: Budget,
    now: i64,
) -> Result<Purse, StoreError> {
    let latest = store.windows(&budget.id, 1).await?.pop();
    let start = budget.window.start_of(now).max(latest.as_ref().map_or(i64::MIN, |window| window.start));
    let spent = latest.filter(|window| window.start == start).map_or(NanoUsd::ZERO, |window| window.spent);
    let (own, spent) = match supply {
        Supply::Owned => (budget.amount, spent),
        Supply::Leased => (store.lease(node, &PurseId::Budget(Arc::clone(&budget.id)), start).await?, NanoUsd::ZERO),
    };
    Ok(Purse::budget(Arc::new(budget), supply, start, own, spent))
}
