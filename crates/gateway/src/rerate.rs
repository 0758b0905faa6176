//! Prices charges of the past anew, by the prices that are known today, and has the differences entered. Goes through them in
//! batches and stops after some thousands, so that whoever asks can go on from there. Decides which price counts and what is left
//! alone; what is entered is the store's. Tests: `it/prices.rs`.

use std::sync::Arc;

use waypost_core::money::NanoUsd;
use waypost_core::pricing::book::in_force;
use waypost_core::pricing::rerate::{Billed, rerate};
use waypost_core::pricing::{Version, recorded};
use waypost_core::snapshot::Snapshot;
use waypost_store::StoreError;
use waypost_store::audit::Entry;
use waypost_store::ledger::charges::{Charged, Mark, Wanted};
use waypost_store::money::{By, Correction, Money, MoneyError};

/// How many charges are read and corrected at a time.
const BATCH: i64 = 200;
/// No more are looked at in one go.
const MOST: usize = 5000;

/// Of which moment prices count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AsOf {
    /// When the request was settled, as far as today's prices say what held then.
    #[default]
    Then,
    /// Now, whenever the request was.
    Now,
}

/// What came of it, or would come of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rerated {
    /// Charges that were looked at.
    pub looked_at: usize,
    pub corrected: usize,
    /// What was charged at that price already, or comes to the same.
    pub unchanged: usize,
    /// What has no price today, either.
    pub without_price: usize,
    /// What is not corrected: undone by hand, charged in full because nobody knows what was used, of an account from which nobody
    /// may spend, or corrected by another process in the same moment.
    pub left: usize,
    /// What all of it costs more, or less.
    pub difference: NanoUsd,
    /// What payers pay of that, or get back; the rest is the operator's. Nothing if it was only tried.
    pub charged: NanoUsd,
    /// Where to go on, if there is more.
    pub next: Option<Mark>,
}

/// What becomes of one charge.
enum Verdict {
    Unchanged,
    WithoutPrice,
    Left,
    Costs(NanoUsd, Arc<Version>),
}

/// Goes through the charges after a place. With `by`, what they should have cost is entered, each batch together with the note of
/// it; without, it is only told.
pub async fn run(
    money: &Money,
    snapshot: &Snapshot,
    wanted: &Wanted<'_>,
    after: Option<Mark>,
    (as_of, now): (AsOf, i64),
    by: Option<(By<'_>, Entry<'_>)>,
) -> Result<Rerated, MoneyError> {
    money.fold_all(now).await?;
    let mut done = Rerated { next: after, ..Rerated::default() };
    while done.looked_at < MOST {
        let charges = money.store().charges(wanted, done.next.as_ref(), BATCH).await?;
        let Some(last) = charges.last() else {
            done.next = None;
            break;
        };
        done.next = Some(last.mark.clone());
        done.looked_at += charges.len();
        let mut corrections = Vec::new();
        for charge in &charges {
            match judge(snapshot, charge, as_of, now) {
                Verdict::Unchanged => done.unchanged += 1,
                Verdict::WithoutPrice => done.without_price += 1,
                Verdict::Left => done.left += 1,
                Verdict::Costs(cost, version) => corrections.push((charge, cost, version)),
            }
        }
        match by {
            Some(by) => enter(money, &corrections, by, &mut done).await?,
            None => {
                done.corrected += corrections.len();
                for (charge, cost, _) in &corrections {
                    done.difference = added(done.difference, cost.checked_sub(charge.cost))?;
                }
            }
        }
    }
    Ok(done)
}

async fn enter(
    money: &Money,
    corrections: &[(&Charged, NanoUsd, Arc<Version>)],
    (by, note): (By<'_>, Entry<'_>),
    done: &mut Rerated,
) -> Result<(), MoneyError> {
    let corrections: Vec<_> = corrections
        .iter()
        .map(|(charge, cost, version)| Correction { charge, cost: *cost, price: &version.id })
        .collect();
    let entered = money.correct(&corrections, by, Some(note)).await?;
    for alert in &entered.alerts {
        tracing::warn!(?alert, "a budget has come to one of its marks");
    }
    done.corrected += entered.posted;
    done.left += entered.left;
    done.difference = added(done.difference, Some(entered.difference))?;
    done.charged = added(done.charged, Some(entered.charged))?;
    Ok(())
}

fn added(sum: NanoUsd, more: Option<NanoUsd>) -> Result<NanoUsd, StoreError> {
    let sum = more.and_then(|more| sum.checked_add(more));
    sum.ok_or_else(|| StoreError::Refused("the difference is larger than the books can hold".to_owned()))
}

fn judge(snapshot: &Snapshot, charge: &Charged, as_of: AsOf, now: i64) -> Verdict {
    let at = match as_of {
        AsOf::Then => charge.at,
        AsOf::Now => now,
    };
    let Some(version) = version(snapshot, charge, at) else { return Verdict::WithoutPrice };
    // What a process charged in full that did not know what was used.
    let in_full = charge.outcome == "unknown" && charge.corrections() == 0 && charge.cost == charge.held;
    // What such a process forgave (`ledger.unfinished: none`) had a price, and stays forgiven.
    let forgiven = charge.outcome == "unknown" && charge.cost == NanoUsd::ZERO && !charge.price.is_empty();
    if charge.reversed || (in_full && charge.cost != NanoUsd::ZERO) || (forgiven && charge.corrections() == 0) {
        return Verdict::Left;
    }
    let Some((usage, terms)) = recorded::read(&charge.usage) else { return Verdict::Left };
    let charged_at = (!charge.price.is_empty()).then(|| Arc::from(charge.price.as_str()));
    match rerate(&Billed { usage, terms, version: charged_at, amount: charge.cost }, &version) {
        Some(correction) => Verdict::Costs(correction.cost.total, version),
        None => Verdict::Unchanged,
    }
}

/// The price of the deployment that answered, at a moment.
fn version(snapshot: &Snapshot, charge: &Charged, at: i64) -> Option<Arc<Version>> {
    let route = snapshot.route(&charge.model)?;
    let mut deployments = route.tiers.iter().flat_map(|tier| &tier.deployments);
    let deployment = deployments.find(|deployment| *deployment.label == *charge.deployment)?;
    in_force(&deployment.prices, at).cloned()
}
