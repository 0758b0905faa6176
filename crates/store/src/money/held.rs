//! Money that is held for one request, until it is settled. Exactly one end is written for each, whatever happens to the
//! one who holds it. Tests: `tests/it/money.rs`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use waypost_core::ledger::{Hold, Settled};
use waypost_core::money::NanoUsd;

use super::Money;
use crate::journal::{Checkpoint, Counts, Record, Release, Settle, Ticket, Unwritten};

/// Money held for a request. Dropped without an end it is charged by its last checkpoint, or costs nothing if there was
/// none.
#[derive(Debug)]
#[must_use]
pub struct Held {
    money: Money,
    request: Arc<str>,
    at: i64,
    /// Absent once it ended.
    hold: Option<Hold>,
    ticket: Ticket,
    /// The version of the price that counts now.
    price: Arc<str>,
    last: Option<Checkpoint>,
}

/// What was delivered so far.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub at: i64,
    pub usage: Counts,
    /// What it costs so far.
    pub cost: NanoUsd,
    pub deployment: Option<Arc<str>>,
}

/// How a request ended.
#[derive(Clone, Debug)]
pub struct Settlement {
    pub at: i64,
    pub usage: Counts,
    /// All of it; what is above the hold is the operator's.
    pub cost: NanoUsd,
    /// In one word: `complete`, `broken`, `abandoned`, `failed`.
    pub outcome: Arc<str>,
    /// The deployment that answered.
    pub deployment: Option<Arc<str>>,
}

impl Held {
    /// For the request of this name, which began at this time, at this version of a price.
    pub(super) fn new(
        money: Money,
        hold: Hold,
        (request, at, price): (Arc<str>, i64, Arc<str>),
        ticket: Ticket,
    ) -> Self {
        money.0.open.fetch_add(1, Ordering::Relaxed);
        Self { money, request, at, hold: Some(hold), ticket, price, last: None }
    }

    pub fn amount(&self) -> NanoUsd {
        self.hold.as_ref().map_or(NanoUsd::ZERO, Hold::amount)
    }

    /// Whether something limits the payer, so that no more than the amount is ever charged.
    pub fn is_bounded(&self) -> bool {
        self.hold.as_ref().is_some_and(Hold::is_bounded)
    }

    /// From now on it costs what this version of a price says; empty if nothing that anybody knows. Until then it is the version
    /// that the amount was worked out by.
    pub fn priced(&mut self, version: Arc<str>) {
        self.price = version;
    }

    pub(super) async fn written(&mut self) -> Result<(), Unwritten> {
        self.ticket.written().await
    }

    /// Waits until the hold is as durable as the journal promises: the first byte may go to the caller.
    pub async fn durable(&mut self) -> Result<(), Unwritten> {
        self.ticket.durable().await
    }

    /// Notes what was delivered so far, so that a crash is charged for it. Waits for nothing.
    pub fn checkpoint(&mut self, so_far: Progress) {
        let Progress { at, usage, cost, deployment } = so_far;
        let (request, price) = (Arc::clone(&self.request), Some(Arc::clone(&self.price)));
        let checkpoint = Checkpoint { request, at, usage, cost, price, deployment };
        // A checkpoint that is lost costs the operator a little after a crash, nobody else anything.
        drop(self.money.0.journal.append(Record::Checkpoint(checkpoint.clone())));
        self.last = Some(checkpoint);
    }

    /// Ends the request. The last byte may go to the caller when the ticket is durable; the record is kept and written in
    /// any case.
    pub fn settle(mut self, end: Settlement) -> (Settled, Ticket) {
        let settle = Settle {
            request: Arc::clone(&self.request),
            at: end.at,
            usage: end.usage,
            cost: end.cost,
            price: Some(Arc::clone(&self.price)),
            outcome: end.outcome,
            deployment: end.deployment,
        };
        let ticket = self.money.0.journal.append(Record::Settle(settle));
        let settled = match self.hold.take() {
            Some(hold) => hold.settle(end.cost),
            None => Settled { charged: NanoUsd::ZERO, overrun: NanoUsd::ZERO },
        };
        (settled, ticket)
    }

    /// The hold is not in the journal: there is nothing to end there.
    pub(super) fn forget(mut self) {
        self.hold = None;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.money.0.open.fetch_sub(1, Ordering::Relaxed);
        let Some(hold) = self.hold.take() else { return };
        let request = Arc::clone(&self.request);
        let record = match self.last.take() {
            Some(last) => {
                let _ = hold.settle(last.cost);
                let Checkpoint { at, usage, cost, price, deployment, .. } = last;
                Record::Settle(Settle { request, at, usage, cost, price, outcome: "unknown".into(), deployment })
            }
            None => Record::Release(Release { request, at: self.at, reason: "dropped".into() }),
        };
        drop(self.money.0.journal.append(record));
    }
}
