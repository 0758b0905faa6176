//! What others change of accounts and budgets, other processes or a command beside this one: found by the numbers of the log of
//! changes, which know no clocks. Tests: `tests/it/leases.rs`, `tests/it/verify.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;

use waypost_core::ledger::{Account, Budget, PurseId, Supply};

use super::{Money, MoneyError, load};
use crate::changes::Since;
use crate::ledger::grants::Balance;
use crate::{StoreError, ledger};

/// If there are more changes than that, all purses are looked at.
const MOST_CHANGES: i64 = 1000;

impl Money {
    /// Looks for what others changed, and lets purses ask the database for more again. For a job, every second.
    pub async fn refresh(&self, now: i64) -> Result<(), MoneyError> {
        let mut seen = self.0.seen.lock().await;
        if self.0.supply == Supply::Leased {
            ledger::heartbeat(&self.0.store, &self.0.settings.node, now).await?;
        }
        let followed = self.follow(*seen, now).await;
        if self.0.supply == Supply::Leased {
            self.0.books.all().iter().for_each(|purse| purse.refresh());
            self.give_back_idle(now).await?;
        }
        let (last, unread) = followed?;
        *seen = last;
        unread.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Follows what was changed since the change of this number, and says which was the last. What cannot be read, because a newer
    /// version of this program wrote it perhaps, keeps nobody from following the others, and is told once.
    async fn follow(&self, seen: i64, now: i64) -> Result<(i64, Option<StoreError>), StoreError> {
        let changes = match self.0.store.changes_since(seen, MOST_CHANGES).await? {
            Since::Changes(changes) => changes,
            Since::TooMuch => return self.follow_all(now).await,
        };
        // What was changed twice is read once.
        let changed: BTreeSet<(&str, &str)> = changes.iter().map(|change| (&*change.noun, &*change.id)).collect();
        let mut unread = None;
        for (noun, id) in changed {
            match self.follow_one(noun, id, now).await {
                Err(error @ StoreError::Corrupt(_)) => unread = Some(error),
                done => done?,
            }
        }
        Ok((changes.last().map_or(seen, |last| last.number), unread))
    }

    async fn follow_one(&self, noun: &str, id: &str, now: i64) -> Result<(), StoreError> {
        match noun {
            "account" => {
                let Ok(account) = Account::parse(id) else { return Ok(()) };
                match self.0.store.balance(&account).await? {
                    Some(balance) => self.follow_account(&account, &balance).await,
                    None => Ok(()),
                }
            }
            "budget" => {
                let _one = self.0.budgets.lock().await;
                let kept = self.0.store.budget(id).await?;
                self.follow_budget(id, kept.map(|kept| kept.budget), now).await
            }
            _ => Ok(()),
        }
    }

    /// The same where more was changed than is told one by one: everything is looked at.
    async fn follow_all(&self, now: i64) -> Result<(i64, Option<StoreError>), StoreError> {
        let store = &self.0.store;
        let last = store.last_change().await?;
        for balance in store.prepaid_since(0).await? {
            if let Ok(account) = Account::parse(&balance.account) {
                self.follow_account(&account, &balance).await?;
            }
        }
        let _one = self.0.budgets.lock().await;
        let mut unread = None;
        for (id, budget) in store.every_budget().await? {
            match budget {
                Ok(budget) => self.follow_budget(&id, budget, now).await?,
                Err(error) => unread = Some(error),
            }
        }
        Ok((last, unread))
    }

    async fn follow_account(&self, account: &Account, balance: &Balance) -> Result<(), StoreError> {
        match (self.0.books.credit(account), self.0.supply) {
            (Some(purse), _) => purse.freeze(balance.read_only),
            (None, Supply::Leased) if balance.prepaid => self.open_credit(balance).await?,
            // Whoever owns all there is begins what is new itself.
            (None, Supply::Leased | Supply::Owned) => {}
        }
        Ok(())
    }

    /// `budget` is absent if it was deleted. For whoever lets nobody change budgets since it was read: a purse of what is gone would
    /// be opened otherwise.
    async fn follow_budget(&self, id: &str, budget: Option<Budget>, now: i64) -> Result<(), StoreError> {
        if self.0.supply == Supply::Owned {
            return Ok(());
        }
        let (store, node) = (&self.0.store, &self.0.settings.node);
        match (self.0.books.budget(id), budget) {
            (Some(purse), None) => {
                self.give_back_of(&purse).await?;
                self.0.books.forget(&PurseId::Budget(id.into()));
            }
            (Some(purse), Some(budget)) => {
                let Some(old) = purse.definition().filter(|old| **old != budget) else { return Ok(()) };
                // Before it is redefined, so that it is tried again if it fails; the database lends no more than is left of it.
                if budget.amount < old.amount {
                    self.give_back_of(&purse).await?;
                }
                purse.redefine(Arc::new(budget), now);
                self.0.books.reopen(purse, &old.scope);
            }
            (None, None) => {}
            (None, Some(budget)) => {
                let purse = load::purse(store, node, self.0.supply, budget, now).await?;
                self.0.books.open(Arc::new(purse));
            }
        }
        Ok(())
    }
}
