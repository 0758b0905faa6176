//! Makes old costs right by entries of their own: the settled transaction stays as it is, the difference is a new one, numbered
//! per request, so that two who correct the same at once cannot both do it. Never overdraws anybody: what a payer has not is the
//! operator's. Tests: `tests/it/corrections.rs`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sqlx::{Any, Transaction};
use waypost_core::ledger::Account;
use waypost_core::money::NanoUsd;

use super::charges::{Charged, correction_id};
use super::fold::{Alert, already, charge, count_in_windows};
use super::grants::Pen;
use super::leases::{Limit, id_of, limit};
use super::post::{Draft, Kind, lock_head, post};
use crate::{Store, StoreError, audit};

/// What a charge of the past should have cost.
#[derive(Clone, Debug)]
pub struct Correction<'a> {
    pub charge: &'a Charged,
    /// All of it, not the difference.
    pub cost: NanoUsd,
    /// The version of the price that says so.
    pub price: &'a str,
}

/// Who corrects, and why.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    pub actor: &'a str,
    pub reason: &'a str,
    pub at: i64,
}

/// What came of corrections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corrected {
    /// How many were entered.
    pub posted: usize,
    /// How many were not, because somebody else had corrected or undone the charge meanwhile, or nobody may spend from its
    /// account.
    pub left: usize,
    /// What all of it costs more, or less.
    pub difference: NanoUsd,
    /// What payers pay of that, or get back.
    pub charged: NanoUsd,
    /// Budgets that passed one of their marks.
    pub alerts: Vec<Alert>,
}

/// A correction on its way: the payer, and how much of it the payer pays.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) payer: Account,
    draft: Draft,
}

impl Entry {
    /// The difference, as if the payer had all that it takes.
    pub(crate) fn of(correction: &Correction<'_>, by: By<'_>) -> Result<Self, StoreError> {
        let Correction { charge: old, cost, price } = correction;
        let difference = cost.checked_sub(old.cost).ok_or_else(super::post::too_much)?;
        // What the operator bore of it is given back to the operator first.
        let most = NanoUsd(cost.get().min(old.charged.get()));
        let charged = if difference.get() > 0 { Some(difference) } else { most.checked_sub(old.charged) };
        let charged = charged.ok_or_else(super::post::too_much)?;
        let id = correction_id(&old.request, old.corrections + 1);
        let mut draft = Draft::of_operator(id, Kind::Correction, by.at, by.actor, by.reason);
        draft.prices = (*price).to_owned();
        draft.usage.clone_from(&old.usage);
        draft.budgets.clone_from(&old.budgets);
        draft.parties.clone_from(&old.parties);
        draft.cost = difference.get();
        let mut entry = Self { payer: old.payer.clone(), draft };
        entry.charge(charged);
        Ok(entry)
    }

    /// The payer pays so much of it; negative if it is given back.
    pub(crate) fn charge(&mut self, charged: NanoUsd) {
        charge(&mut self.draft, self.payer.as_str(), charged.get());
    }

    pub(crate) fn charged(&self) -> NanoUsd {
        NanoUsd(self.draft.charged)
    }

    pub(crate) fn difference(&self) -> NanoUsd {
        NanoUsd(self.draft.cost)
    }

    /// The windows of budgets it counts in.
    pub(crate) fn uses(&self) -> impl Iterator<Item = (&str, i64)> {
        self.draft.uses()
    }

    /// Is it the same correction?
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.draft.request == other.draft.request
    }

    fn purses(&self) -> impl Iterator<Item = (String, i64)> {
        let budgets = self.uses().map(|(budget, start)| (budget.to_owned(), start));
        std::iter::once((self.payer.as_str().to_owned(), 0)).chain(budgets)
    }
}

/// Enters those that nobody has entered yet, in one database transaction. Gives them as they were entered: with what the payers
/// of them could pay. The note is written if there are any, and says what they come to.
pub(crate) async fn correct(
    store: &Store,
    pen: Pen<'_>,
    entries: &[Entry],
    at: i64,
    note: Option<audit::Entry<'_>>,
) -> Result<(Vec<Entry>, Vec<Alert>), StoreError> {
    /// How often others may be quicker.
    const TRIES: usize = 5;
    for _ in 1..TRIES {
        match try_to(store, pen, entries, at, note).await {
            // Somebody entered one of them in the same moment: the others are still to be entered.
            Err(StoreError::Taken(_)) => {}
            done => return done,
        }
    }
    try_to(store, pen, entries, at, note).await
}

async fn try_to(
    store: &Store,
    pen: Pen<'_>,
    entries: &[Entry],
    at: i64,
    note: Option<audit::Entry<'_>>,
) -> Result<(Vec<Entry>, Vec<Alert>), StoreError> {
    let mut tx = store.begin().await?;
    let mut head = lock_head(&mut tx, pen.node, at).await?;
    let drafts: Vec<Draft> = entries.iter().map(|entry| entry.draft.clone()).collect();
    let there = already(&mut tx, &drafts).await?;
    let fresh = entries.iter().filter(|entry| !there.contains(&entry.draft.request));
    let mut fresh: Vec<Entry> = fresh.cloned().collect();
    fit(&mut tx, pen.node, &mut fresh).await?;
    let drafts: Vec<Draft> = fresh.iter().map(|entry| entry.draft.clone()).collect();
    post(&mut tx, pen.node, pen.key, &mut head, &drafts).await?;
    let alerts = count_in_windows(&mut tx, &drafts).await?;
    if !fresh.is_empty() {
        audit::note(&mut tx, note, sums(&fresh)).await?;
    }
    tx.commit().await?;
    Ok((fresh, alerts))
}

/// What corrections come to, for the audit log.
fn sums(entries: &[Entry]) -> Map<String, Value> {
    let sum = |of: fn(&Entry) -> NanoUsd| {
        let sum = entries.iter().map(of).fold(NanoUsd::ZERO, |sum, more| sum.checked_add(more).unwrap_or(sum));
        Value::from(sum.to_string())
    };
    let said = [
        ("corrected", Value::from(entries.len())),
        ("difference", sum(Entry::difference)),
        ("charged", sum(Entry::charged)),
    ];
    said.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Lets payers pay what they have, out of what nobody holds. The rest is the operator's: no purse is ever overdrawn. What is given
/// back locks its purses here, too: everybody locks purses before the accounts of the other side.
async fn fit(tx: &mut Transaction<'static, Any>, node: &str, fresh: &mut [Entry]) -> Result<(), StoreError> {
    let mut limits: BTreeMap<(String, i64), Limit> = BTreeMap::new();
    for entry in fresh.iter().filter(|entry| entry.draft.charged != 0) {
        for purse in entry.purses() {
            limits.entry(purse).or_default();
        }
    }
    // In the order of their names, so that two nodes never wait for each other.
    for ((purse, start), known) in &mut limits {
        *known = limit(tx, node, &id_of(purse), *start, || 0).await?;
        // What the node itself holds is for requests that run.
        known.lease = 0;
    }
    for entry in fresh.iter_mut().filter(|entry| entry.draft.charged > 0) {
        let purses: Vec<_> = entry.purses().collect();
        if purses.iter().all(|purse| limits.get(purse).is_none_or(|limit| limit.fits(entry.draft.charged))) {
            for purse in &purses {
                if let Some(limit) = limits.get_mut(purse) {
                    limit.spent += entry.draft.charged;
                }
            }
        } else {
            entry.charge(NanoUsd::ZERO);
        }
    }
    Ok(())
}
