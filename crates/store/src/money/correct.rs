//! Corrections while requests run: what payers pay more is held first, so that no request spends it meanwhile; what they get back
//! can be spent at once. Decides the order in which memory and database change. Tests: `tests/it/corrections.rs`.

use std::sync::Arc;

use waypost_core::ledger::{Hold, Purse, Supply, Use, Why};
use waypost_core::money::NanoUsd;

use super::{Money, MoneyError};
use crate::ledger::correct::{By, Corrected, Correction, Entry, correct};
use crate::{StoreError, audit};

impl Money {
    /// Enters what charges of the past should have cost, at most a few hundred at once: all that nobody has corrected
    /// meanwhile, in one database transaction, together with the note, which is told what they come to. The same again enters
    /// nothing, and then nothing is noted.
    pub async fn correct(
        &self,
        corrections: &[Correction<'_>],
        by: By<'_>,
        note: Option<audit::Entry<'_>>,
    ) -> Result<Corrected, MoneyError> {
        // A first grant would open the purse with what is about to be taken of it.
        let _one = self.0.credits.lock().await;
        let mut done = Corrected::default();
        let mut wanted = Vec::new();
        for correction in corrections.iter().filter(|correction| !correction.charge.reversed) {
            let mut entry = Entry::of(correction, by)?;
            if self.is_frozen(&entry, by.at) {
                continue;
            }
            self.release_leases(&entry).await?;
            match self.hold_for(&entry, by.at) {
                Ok(hold) => wanted.push((entry, hold)),
                Err(Why::Frozen) => {}
                Err(Why::Spent | Why::Lease) => {
                    entry.charge(NanoUsd::ZERO);
                    wanted.push((entry, None));
                }
            }
        }
        let entries: Vec<Entry> = wanted.iter().map(|(entry, _)| entry.clone()).collect();
        if entries.is_empty() {
            return Ok(Corrected { left: corrections.len(), ..done });
        }
        let (posted, alerts) = correct(&self.0.store, self.pen(), &entries, by.at, note).await?;
        for (entry, hold) in wanted {
            let Some(entry) = posted.iter().find(|posted| posted.is(&entry)) else { continue };
            self.note(entry, hold);
            done.posted += 1;
            let sum = |sum: NanoUsd, more: NanoUsd| sum.checked_add(more).unwrap_or(sum);
            done.difference = sum(done.difference, entry.difference());
            done.charged = sum(done.charged, entry.charged());
        }
        done.left = corrections.len() - done.posted;
        done.alerts = alerts;
        Ok(done)
    }

    /// The purses of this process that a correction moves: the payer's credit, and budgets whose window it counts in is the
    /// present one.
    fn purses_of(&self, entry: &Entry, now: i64) -> Vec<Arc<Purse>> {
        let credit = self.0.books.credit(&entry.payer);
        let budgets = entry.uses().filter_map(|(budget, start)| {
            let purse = self.purse_of(budget)?;
            (purse.standing(now).start == start).then_some(purse)
        });
        credit.into_iter().chain(budgets).collect()
    }

    fn is_frozen(&self, entry: &Entry, now: i64) -> bool {
        self.0.books.credit(&entry.payer).is_some_and(|purse| purse.standing(now).frozen)
    }

    /// With several processes a payer pays out of what nobody holds: so what this one does not need goes back first.
    async fn release_leases(&self, entry: &Entry) -> Result<(), StoreError> {
        if self.0.supply == Supply::Owned || entry.charged().get() <= 0 {
            return Ok(());
        }
        let credit = self.0.books.credit(&entry.payer);
        let budgets = entry.uses().filter_map(|(budget, _)| self.purse_of(budget));
        for purse in credit.into_iter().chain(budgets) {
            self.give_back_of(&purse).await?;
            purse.refresh();
        }
        Ok(())
    }

    /// What the payer pays more, held here where all of its money is here.
    fn hold_for(&self, entry: &Entry, now: i64) -> Result<Option<Hold>, Why> {
        if self.0.supply == Supply::Leased || entry.charged().get() <= 0 {
            return Ok(None);
        }
        let purses = self.purses_of(entry, now);
        let hold = Hold::take(&purses, entry.charged(), now).map_err(|short| short.why)?;
        // A window that began in this moment is not the one that it counts in.
        let in_time = |it: &Use| entry.uses().any(|(budget, start)| *budget == *it.budget && start == it.start);
        if hold.uses().iter().all(in_time) {
            return Ok(Some(hold));
        }
        drop(hold);
        let credit = self.0.books.credit(&entry.payer);
        let hold = Hold::take(credit.as_slice(), entry.charged(), now).map_err(|short| short.why)?;
        Ok(Some(hold))
    }

    /// It is in the database: the purses follow.
    fn note(&self, entry: &Entry, hold: Option<Hold>) {
        let back = NanoUsd(entry.charged().get().saturating_neg());
        match (self.0.supply, hold) {
            (Supply::Owned, Some(hold)) => drop(hold.settle(entry.charged())),
            (Supply::Owned, None) if back.get() > 0 => {
                if let Some(credit) = self.0.books.credit(&entry.payer) {
                    credit.refund(0, back);
                }
                for (budget, start) in entry.uses() {
                    if let Some(purse) = self.purse_of(budget) {
                        purse.refund(start, back);
                    }
                }
            }
            (Supply::Owned, None) => {}
            (Supply::Leased, _) => {
                let credit = self.0.books.credit(&entry.payer);
                let budgets = entry.uses().filter_map(|(budget, _)| self.purse_of(budget));
                credit.into_iter().chain(budgets).for_each(|purse| purse.refresh());
            }
        }
    }
}
