//! Money on its way between the leases in the database and the purses in memory. Guarantees that a move which began comes to its
//! end, though nobody waits for it any more: what the database counts as lent and no memory knows of could be spent by nobody.
//! Decides nothing of who may spend. Tests: `tests/it/leases.rs`.

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;
use tokio::time::{sleep, timeout};
use waypost_core::ledger::{Purse, Short, Supply};
use waypost_core::money::NanoUsd;

use super::{Money, MoneyError};
use crate::StoreError;
use crate::ledger::{give_back, refill};

impl Money {
    /// Brings more for the purse that is short, unless somebody has meanwhile.
    pub(super) async fn refill(&self, short: &Short, now: i64) -> Result<(), StoreError> {
        let one = Arc::clone(&self.0.refilling).lock_owned().await;
        let standing = short.purse.standing(now);
        let taken = standing.spent.get().saturating_add(standing.held.get());
        let missing = short.needed.get().saturating_sub(standing.allotted.get().saturating_sub(taken));
        if missing <= 0 {
            return Ok(());
        }
        let purse = Arc::clone(&short.purse);
        to_its_end(self.clone().bring(purse, standing.start, NanoUsd(missing), one)).await
    }

    /// Whoever is next waits meanwhile, but not for ever where the database hangs.
    async fn bring(
        self,
        purse: Arc<Purse>,
        start: i64,
        missing: NanoUsd,
        one: OwnedMutexGuard<()>,
    ) -> Result<(), StoreError> {
        let settings = &self.0.settings;
        // Nothing is taken before it is committed: until then it may be broken off.
        let taking = timeout(settings.patience, refill(&self.0.store, &settings.node, purse.id(), start, missing));
        let (given, tx) = taking.await.map_err(|_| sqlx::Error::PoolTimedOut)??;
        let mut commit = Box::pin(tx.commit());
        // After an error nobody knows whether it was taken: if it was, it stays with this node until its next start.
        tokio::select! {
            done = &mut commit => done?,
            () = sleep(settings.patience) => {
                drop(one);
                commit.await?;
            }
        }
        purse.grow(start, given.amount, given.dry);
        Ok(())
    }

    /// Leases that nobody uses go back to all nodes. For the end of a process.
    pub async fn give_back(&self) -> Result<(), MoneyError> {
        if self.0.supply == Supply::Owned {
            return Ok(());
        }
        // What is on its way arrives first.
        drop(self.0.refilling.lock().await);
        for purse in self.0.books.all() {
            self.give_back_of(&purse).await?;
        }
        Ok(())
    }

    /// The same for those of which nothing was held for a while or whose budget was lowered, and for windows that are over.
    pub(super) async fn give_back_idle(&self, now: i64) -> Result<(), MoneyError> {
        let millis = i64::try_from(self.0.settings.idle_lease.as_millis()).unwrap_or(i64::MAX);
        for purse in self.0.books.all() {
            if purse.is_idle(now, millis) || purse.is_beyond(now) {
                self.give_back_of(&purse).await?;
            } else if purse.has_windows_over() {
                self.give_back_over(&purse).await?;
            }
        }
        Ok(())
    }

    /// All that is left in it goes back, of its present window and of those that are over.
    pub(super) async fn give_back_of(&self, purse: &Arc<Purse>) -> Result<(), StoreError> {
        let one = Arc::clone(&self.0.returning).lock_owned().await;
        let mut taken = purse.left_over();
        taken.extend(Some(purse.shrink(NanoUsd::MAX)).filter(|(_, amount)| amount.get() > 0));
        self.hand_over(purse, taken, one).await
    }

    async fn give_back_over(&self, purse: &Arc<Purse>) -> Result<(), StoreError> {
        let one = Arc::clone(&self.0.returning).lock_owned().await;
        self.hand_over(purse, purse.left_over(), one).await
    }

    /// First out of memory, then in the database: whatever breaks off in between, nobody can spend it twice.
    async fn hand_over(
        &self,
        purse: &Arc<Purse>,
        taken: Vec<(i64, NanoUsd)>,
        one: OwnedMutexGuard<()>,
    ) -> Result<(), StoreError> {
        if taken.is_empty() {
            return Ok(());
        }
        to_its_end(self.clone().bring_back(Arc::clone(purse), taken, one)).await
    }

    async fn bring_back(
        self,
        purse: Arc<Purse>,
        taken: Vec<(i64, NanoUsd)>,
        _one: OwnedMutexGuard<()>,
    ) -> Result<(), StoreError> {
        let mut done = Ok(());
        for (start, amount) in taken {
            match give_back(&self.0.store, &self.0.settings.node, purse.id(), start, amount).await {
                // After an error nobody knows whether it went: if it did not, it stays with this node until its next start.
                Ok(tx) => match tx.commit().await {
                    Ok(()) => purse.refresh(),
                    Err(error) => done = Err(error.into()),
                },
                Err(error) => {
                    purse.grow(start, amount, false);
                    done = Err(error);
                }
            }
        }
        done
    }
}

/// Does it to its end, though whoever asked for it stops waiting.
async fn to_its_end(work: impl Future<Output = Result<(), StoreError>> + Send + 'static) -> Result<(), StoreError> {
    #[expect(
        clippy::disallowed_methods,
        reason = "it holds a lock until it ends, and `Money::close` waits for both locks"
    )]
    let work = tokio::spawn(work);
    // It ends by itself unless it panics, or unless the process ends.
    work.await.unwrap_or_else(|_| Err(sqlx::Error::WorkerCrashed.into()))
}
