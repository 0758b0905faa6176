//! What a process finds that died before: requests that ended and are not in the database yet, and requests of which
//! nobody knows how they ended. All of them get an end before anything new begins. Tests: `tests/it/simulation.rs`.

use std::sync::Arc;

use waypost_core::money::NanoUsd;

use super::{MoneyError, Settings};
use crate::journal::{Counts, Disk, Found, Journal, Record, Settle};
use crate::ledger::{Fold, lock_head};
use crate::{Store, StoreError};

/// What requests cost that were running when a process died.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unknown {
    /// What was delivered, by the last checkpoint.
    #[default]
    Delivered,
    /// All that was held.
    FullHold,
    /// Nothing.
    Nothing,
}

/// What was found at the start.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// Requests that had ended and were brought into the database.
    pub settled: usize,
    /// Requests that were running, and what they were charged for.
    pub unknown: usize,
    pub journal: Found,
    /// The database's chain ends before the place that the journal knows: it was put back to an older state.
    pub behind_anchor: bool,
}

pub(super) async fn replay(
    store: &Store,
    disk: Arc<dyn Disk>,
    settings: &Settings,
    now: i64,
) -> Result<(Journal, Fold, Replayed), MoneyError> {
    let mut tx = store.begin().await?;
    let head = lock_head(&mut tx, &settings.node, now).await?;
    tx.commit().await.map_err(StoreError::from)?;
    let (journal, found) = Journal::open(disk, crate::ledger::place(&head), settings.journal)?;
    let (node, key) = (Arc::clone(&settings.node), settings.key.clone());
    let mut fold = Fold::new(store.clone(), journal.clone(), node, key, settings.trip.clone(), &head);
    let behind_anchor = found.anchor.as_ref().is_some_and(|anchor| anchor.number > head.number);
    let mut replayed = Replayed { journal: found, behind_anchor, ..Replayed::default() };
    replayed.settled = all(&mut fold, now).await?;
    let ends: Vec<Record> = fold.running().map(|running| end(settings.unknown, running, now)).collect();
    replayed.unknown = ends.len();
    let mut tickets = Vec::new();
    for end in ends {
        tickets.push(journal.append(end));
    }
    for mut ticket in tickets {
        // Synced, because only what is synced is folded in.
        if ticket.synced().await.is_err() {
            return Err(StoreError::Refused("the disk of the journal does not take what is written".to_owned()).into());
        }
    }
    all(&mut fold, now).await?;
    store.is_back(&settings.node).await?;
    Ok((journal, fold, replayed))
}

async fn all(fold: &mut Fold, now: i64) -> Result<usize, MoneyError> {
    let mut settled = 0;
    loop {
        let step = fold.step(now).await?;
        settled += step.settled;
        if !step.more {
            return Ok(settled);
        }
    }
}

fn end(policy: Unknown, running: &crate::ledger::Running, now: i64) -> Record {
    let last = running.last.as_ref();
    let cost = match policy {
        Unknown::Delivered => last.map_or(NanoUsd::ZERO, |last| last.cost),
        Unknown::FullHold => running.opened.amount,
        Unknown::Nothing => NanoUsd::ZERO,
    };
    Record::Settle(Settle {
        request: Arc::clone(&running.opened.request),
        at: now,
        usage: last.map_or(Counts::new(), |last| last.usage.clone()),
        cost,
        price: last.and_then(|last| last.price.clone()),
        outcome: "unknown".into(),
        deployment: last.and_then(|last| last.deployment.clone()),
    })
}
