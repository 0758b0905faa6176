//! What is done with accounts and budgets while requests run: each change is in effect in this process at once, in the
//! others within a moment. Decides the order in which memory and database change. Tests: `tests/it/money.rs`.

use std::sync::Arc;

use tokio::sync::MutexGuard;
use waypost_core::ledger::{Account, Budget, Hold, Purse, PurseId, Scope, Supply};
use waypost_core::money::NanoUsd;

use super::{Money, MoneyError, load};
use crate::StoreError;
use crate::audit::Entry;
use crate::ledger::budgets::Put;
use crate::ledger::grants::{self, Balance, Grant, Pen};
use crate::ledger::verify::{Flaw, Report, Verifier};
use crate::ledger::vouchers::{self, Redemption};

/// A scope has no more budgets: a request belongs to five scopes at most, and its record has room for 64.
const MOST_BUDGETS: usize = 12;

impl Money {
    pub(super) fn pen(&self) -> Pen<'_> {
        Pen { node: &self.0.settings.node, key: &self.0.settings.key }
    }

    /// From now on the account spends what it is given and no more.
    pub async fn make_prepaid(&self, account: &Account, now: i64) -> Result<Balance, MoneyError> {
        let _one = self.alone(account, now).await?;
        let balance = self.0.store.make_prepaid(account, now).await?;
        self.open_credit(&balance).await?;
        Ok(balance)
    }

    /// Gives credit, or takes it if the amount is negative, and notes it in the audit log: both, or neither. Never takes what is
    /// held or spent.
    pub async fn grant(&self, grant: Grant<'_>, note: Option<Entry<'_>>) -> Result<Balance, MoneyError> {
        let _one = self.alone(grant.account, grant.at).await?;
        let taken = self.set_aside(grant.account, grant.amount, grant.at)?;
        let balance = grants::grant(&self.0.store, self.pen(), &grant, note).await?;
        self.settle_grant(&balance, grant.amount, taken).await?;
        Ok(balance)
    }

    /// Turns a voucher's code into credit, and notes it with the voucher's id and worth: both, or neither.
    pub async fn redeem(&self, redemption: Redemption<'_>, note: Option<Entry<'_>>) -> Result<NanoUsd, MoneyError> {
        let _one = self.alone(redemption.account, redemption.at).await?;
        let (amount, balance) = vouchers::redeem(&self.0.store, self.pen(), redemption, note).await?;
        self.settle_grant(&balance, amount, None).await?;
        Ok(amount)
    }

    /// The account's credit is nobody else's to change, and what requests spent on account until now is in its sums.
    async fn alone(&self, account: &Account, now: i64) -> Result<MutexGuard<'_, ()>, MoneyError> {
        if self.0.books.credit(account).is_none() {
            self.fold_all(now).await?;
        }
        let one = self.0.credits.lock().await;
        if self.0.books.credit(account).is_none() {
            // What came while it waited. It is little, because the most is there.
            self.fold_all(now).await?;
        }
        Ok(one)
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

    pub(super) async fn open_credit(&self, balance: &Balance) -> Result<(), StoreError> {
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
            self.check_room(&budget.scope)?;
            let version = store.put_budget(put((budget.window.start_of(at), budget.amount)), note).await?;
            let purse = load::purse(store, &self.0.settings.node, self.0.supply, budget, at).await?;
            self.0.books.open(Arc::new(purse));
            return Ok(version);
        };
        let old = purse.definition();
        if old.as_ref().is_some_and(|old| old.window != budget.window) {
            let message = "window: a budget keeps the window that it was made with; make another budget";
            return Err(StoreError::Refused(message.to_owned()).into());
        }
        if old.as_ref().is_some_and(|old| old.scope != budget.scope) {
            self.check_room(&budget.scope)?;
        }
        let cap = purse.redefine(Arc::new(budget.clone()), at);
        let start = purse.standing(at).start;
        match store.put_budget(put((start, cap)), note).await {
            Ok(version) => {
                if let Some(old) = old {
                    self.0.books.reopen(Arc::clone(&purse), &old.scope);
                    if self.0.supply == Supply::Leased && budget.amount < old.amount {
                        // It is written. What does not go back now does so when nobody has used it for a while.
                        let _ = self.give_back_of(&purse).await;
                    }
                }
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

    /// A request's record names every budget that it counts in.
    fn check_room(&self, scope: &Scope) -> Result<(), StoreError> {
        let there = self.0.books.budgets(scope).len();
        if there < MOST_BUDGETS {
            return Ok(());
        }
        Err(StoreError::Refused(format!(
            "scope: {scope} has {there} budgets already; change or delete one of them instead"
        )))
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
        self.0.books.budget(budget)
    }

    /// Looks for what is not as it was written: the first time everywhere, then at what is new and what it changed. An
    /// account whose books do not add up becomes read-only. For a job, every minute with one verifier and once a day with
    /// a new one.
    pub async fn verify(&self, verifier: &mut Verifier, now: i64) -> Result<Report, MoneyError> {
        let report = verifier.pass(&self.0.store, &[]).await?;
        match self.freeze_all(&report, now).await {
            Ok(()) => Ok(report),
            Err(error) => {
                verifier.keep(report);
                Err(error)
            }
        }
    }

    async fn freeze_all(&self, report: &Report, now: i64) -> Result<(), MoneyError> {
        let mut done = Ok(());
        for flaw in &report.flaws {
            if let Flaw::Balance { account } | Flaw::Overdrawn { account } = flaw {
                // In memory each of them is frozen, whatever the database says.
                done = self.freeze(account, true, now).await.and(done);
            }
        }
        done
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

    /// Nobody spends from the account any more, or again. Other processes, and those that stand beside an embedded database, undo
    /// it with [`crate::Store::unfreeze`].
    pub async fn freeze(&self, account: &str, frozen: bool, now: i64) -> Result<(), MoneyError> {
        let purse = Account::parse(account).ok().and_then(|account| self.0.books.credit(&account));
        // At once, though the database be away; what it does not know is not undone here either.
        if let Some(purse) = purse.as_ref().filter(|_| frozen) {
            purse.freeze(true);
        }
        self.0.store.set_read_only(account, frozen, now).await?;
        if let Some(purse) = purse {
            purse.freeze(frozen);
        }
        Ok(())
    }
}
