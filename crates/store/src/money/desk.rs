//! What is done with accounts and budgets while requests run: each change is in effect in this process at once, in the
//! others within a moment. Decides the order in which memory and database change. Tests: `tests/it/money.rs`.

use std::sync::Arc;

use waypost_core::ledger::{Account, Budget, Hold, Purse, PurseId, Supply};
use waypost_core::money::NanoUsd;

use super::{Money, MoneyError, load};
use crate::audit::Entry;
use crate::ledger::budgets::Put;
use crate::ledger::give_back;
use crate::ledger::grants::{self, Balance, Grant, Pen};
use crate::ledger::verify::{Flaw, Report, Verifier};
use crate::ledger::vouchers::{self, Redemption};
use crate::{StoreError, ledger};

/// How far back other processes' changes are looked for, because their clocks differ.
const OVERLAP: i64 = 10_000;

impl Money {
    pub(super) fn pen(&self) -> Pen<'_> {
        Pen { node: &self.0.settings.node, key: &self.0.settings.key }
    }

    /// From now on the account spends what it is given and no more.
    pub async fn make_prepaid(&self, account: &Account, now: i64) -> Result<Balance, MoneyError> {
        // What requests spent on account until now has to be in the sums.
        self.fold_all(now).await?;
        let balance = self.0.store.make_prepaid(account, now).await?;
        self.open_credit(&balance).await?;
        Ok(balance)
    }

    /// Gives credit, or takes it if the amount is negative, and notes it in the audit log: both, or neither. Never takes what is
    /// held or spent.
    pub async fn grant(&self, grant: Grant<'_>, note: Option<Entry<'_>>) -> Result<Balance, MoneyError> {
        let taken = self.set_aside(grant.account, grant.amount, grant.at)?;
        if taken.is_none() && self.0.books.credit(grant.account).is_none() {
            self.fold_all(grant.at).await?;
        }
        let balance = grants::grant(&self.0.store, self.pen(), &grant, note).await?;
        self.settle_grant(&balance, grant.amount, taken).await?;
        Ok(balance)
    }

    /// Turns a voucher's code into credit, and notes it with the voucher's id and worth: both, or neither.
    pub async fn redeem(&self, redemption: Redemption<'_>, note: Option<Entry<'_>>) -> Result<NanoUsd, MoneyError> {
        if self.0.books.credit(redemption.account).is_none() {
            self.fold_all(redemption.at).await?;
        }
        let (amount, balance) = vouchers::redeem(&self.0.store, self.pen(), redemption, note).await?;
        self.settle_grant(&balance, amount, None).await?;
        Ok(amount)
    }

    /// What is to be taken is held first, so that no request spends it meanwhile.
    fn set_aside(&self, account: &Account, amount: NanoUsd, now: i64) -> Result<Option<Hold>, StoreError> {
        let Some(purse) = self.0.books.credit(account).filter(|_| amount.get() < 0) else { return Ok(None) };
        if self.0.supply == Supply::Leased {
            return Ok(None);
        }
        let wanted = NanoUsd(amount.get().saturating_neg());
        let held = Hold::take(&[purse], wanted, now);
        held.map(Some).map_err(|short| {
            StoreError::Refused(format!(
                "amount: {} has only {} USD that are neither spent nor held",
                short.purse.id(),
                short.left
            ))
        })
    }

    async fn settle_grant(&self, balance: &Balance, amount: NanoUsd, taken: Option<Hold>) -> Result<(), StoreError> {
        let account = Account::parse(&balance.account).ok();
        match (taken, account.and_then(|account| self.0.books.credit(&account))) {
            (Some(hold), _) => drop(hold.settle(NanoUsd(amount.get().saturating_neg()))),
            (None, Some(purse)) => self.pour(&purse, amount),
            (None, None) => self.open_credit(balance).await?,
        }
        Ok(())
    }

    fn pour(&self, purse: &Purse, amount: NanoUsd) {
        match self.0.supply {
            Supply::Owned => drop(purse.grow(0, amount, true)),
            Supply::Leased => purse.refresh(),
        }
    }

    async fn open_credit(&self, balance: &Balance) -> Result<(), StoreError> {
        let (store, node) = (&self.0.store, &self.0.settings.node);
        let purse = load::credit(store, node, self.0.supply, balance).await?;
        self.0.books.open_new(Arc::new(purse));
        Ok(())
    }

    /// Makes a budget, or changes it, and notes it in the audit log: both, or neither. In effect at once; nothing that is held is
    /// taken back. Answers its version.
    pub async fn put_budget(&self, budget: Budget, now: i64, note: Option<Entry<'_>>) -> Result<i64, MoneyError> {
        self.write_budget(budget, None, now, note).await
    }

    /// The same for a budget that nobody changed since this version of it: [`StoreError::Stale`] if somebody did.
    pub async fn change_budget(
        &self,
        budget: Budget,
        version: i64,
        now: i64,
        note: Option<Entry<'_>>,
    ) -> Result<i64, MoneyError> {
        self.write_budget(budget, Some(version), now, note).await
    }

    async fn write_budget(
        &self,
        budget: Budget,
        over: Option<i64>,
        at: i64,
        note: Option<Entry<'_>>,
    ) -> Result<i64, MoneyError> {
        if budget.amount.get() < 0 {
            return Err(StoreError::Refused("amount: a budget is 0 or more".to_owned()).into());
        }
        // One after the other: who is refused puts back what the one before left.
        let _one = self.0.budgets.lock().await;
        let store = &self.0.store;
        let put = |window| Put { budget: &budget, over, deleted: false, window, at };
        let Some(purse) = self.purse_of(&budget.id) else {
            let version = store.put_budget(put((budget.window.start_of(at), budget.amount)), note).await?;
            let purse = load::purse(store, &self.0.settings.node, self.0.supply, budget, at).await?;
            self.0.books.open(Arc::new(purse));
            return Ok(version);
        };
        let old = purse.definition();
        let cap = purse.redefine(Arc::new(budget.clone()), at);
        let start = purse.standing(at).start;
        match store.put_budget(put((start, cap)), note).await {
            Ok(version) => {
                self.0.books.forget(purse.id());
                self.0.books.open(purse);
                Ok(version)
            }
            Err(error) => {
                if let Some(old) = old {
                    purse.redefine(old, at);
                }
                Err(error.into())
            }
        }
    }

    /// The budget limits nothing any more, and that is noted: both, or neither. With a version, only if nobody changed it since:
    /// [`StoreError::Stale`] if somebody did. What was spent in it stays in the books.
    pub async fn delete_budget(
        &self,
        id: &str,
        version: Option<i64>,
        now: i64,
        note: Option<Entry<'_>>,
    ) -> Result<(), MoneyError> {
        // Whoever changes it in the same moment would open its purse again.
        let _one = self.0.budgets.lock().await;
        let budget = &self.0.store.budget(id).await?.ok_or(StoreError::NotFound)?.budget;
        let window = (budget.window.start_of(now), budget.amount);
        let put = Put { budget, over: version, deleted: true, window, at: now };
        self.0.store.put_budget(put, note).await?;
        self.0.books.forget(&PurseId::Budget(id.into()));
        Ok(())
    }

    pub(super) fn purse_of(&self, budget: &str) -> Option<Arc<Purse>> {
        self.0.books.all().into_iter().find(|purse| matches!(purse.id(), PurseId::Budget(id) if **id == *budget))
    }

    /// Looks for what other processes changed, and lets purses ask the database for more again. For a job, every second.
    pub async fn refresh(&self, now: i64) -> Result<(), MoneyError> {
        let mut seen = self.0.seen.lock().await;
        let since = seen.saturating_sub(OVERLAP);
        let (store, node, supply) = (&self.0.store, &self.0.settings.node, self.0.supply);
        if supply == Supply::Leased {
            ledger::heartbeat(store, node, now).await?;
            for balance in store.prepaid_since(since).await? {
                let account = Account::parse(&balance.account).ok();
                match account.and_then(|account| self.0.books.credit(&account)) {
                    Some(purse) => purse.freeze(balance.read_only),
                    None => self.open_credit(&balance).await?,
                }
            }
            // What is read here may not be older than what somebody writes and opens meanwhile.
            let _one = self.0.budgets.lock().await;
            for (budget, deleted) in store.budgets_since(since).await? {
                match (self.purse_of(&budget.id), deleted) {
                    (Some(purse), true) => self.0.books.forget(purse.id()),
                    (Some(purse), false) if purse.definition().as_deref() != Some(&budget) => {
                        purse.redefine(Arc::new(budget), now);
                        self.0.books.forget(purse.id());
                        self.0.books.open(purse);
                    }
                    (Some(_), false) | (None, true) => {}
                    (None, false) => self.0.books.open(Arc::new(load::purse(store, node, supply, budget, now).await?)),
                }
            }
            self.0.books.all().iter().for_each(|purse| purse.refresh());
            self.give_back_idle(now).await?;
        }
        *seen = now;
        Ok(())
    }

    /// Leases that nobody uses go back to all nodes. For the end of a process.
    pub async fn give_back(&self) -> Result<(), MoneyError> {
        if self.0.supply == Supply::Owned {
            return Ok(());
        }
        for purse in self.0.books.all() {
            self.give_back_of(&purse).await?;
        }
        Ok(())
    }

    /// The same for those of which nothing was held for a while.
    async fn give_back_idle(&self, now: i64) -> Result<(), MoneyError> {
        let millis = i64::try_from(self.0.settings.idle_lease.as_millis()).unwrap_or(i64::MAX);
        for purse in self.0.books.all().iter().filter(|purse| purse.is_idle(now, millis)) {
            self.give_back_of(purse).await?;
        }
        Ok(())
    }

    /// First out of memory, then in the database: whatever breaks off in between, nobody can spend it twice. What the
    /// database did not take stays with this node until its next start.
    async fn give_back_of(&self, purse: &Purse) -> Result<(), MoneyError> {
        let (start, amount) = purse.shrink(NanoUsd::MAX);
        if amount.get() > 0 {
            give_back(&self.0.store, &self.0.settings.node, purse.id(), start, amount).await?;
            purse.refresh();
        }
        Ok(())
    }

    /// Looks for what is not as it was written: the first time everywhere, then at what is new and what it changed. An
    /// account whose books do not add up becomes read-only. For a job, every minute with one verifier and once a day with
    /// a new one.
    pub async fn verify(&self, verifier: &mut Verifier, now: i64) -> Result<Report, MoneyError> {
        let report = verifier.pass(&self.0.store, &[]).await?;
        for flaw in &report.flaws {
            if let Flaw::Balance { account } | Flaw::Overdrawn { account } = flaw {
                self.freeze(account, true, now).await?;
            }
        }
        Ok(report)
    }

    /// Goes some way ahead of the next [`Money::verify`], and says whether there may be more to go: so that a long ledger is proved
    /// bit by bit, and no snapshot of the database is held meanwhile.
    pub async fn verify_ahead(&self, verifier: &mut Verifier) -> Result<bool, MoneyError> {
        Ok(verifier.step(&self.0.store).await?)
    }

    /// A verifier that has proved nothing yet.
    pub fn verifier(&self) -> Verifier {
        Verifier::new(self.0.settings.key.clone())
    }

    /// Nobody spends from the account any more, or again.
    pub async fn freeze(&self, account: &str, frozen: bool, now: i64) -> Result<(), MoneyError> {
        self.0.store.set_read_only(account, frozen, now).await?;
        if let Some(purse) = Account::parse(account).ok().and_then(|account| self.0.books.credit(&account)) {
            purse.freeze(frozen);
        }
        Ok(())
    }
}
