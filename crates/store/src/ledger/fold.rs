//! Folds the journal into the database: each request that ended becomes one transaction, in batches, each batch in one
//! database transaction together with the place it reached. So doing it again does nothing, and a crash anywhere loses
//! nothing. Tests: `tests/it/simulation.rs`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};
use waypost_core::ledger::Settled;
use waypost_core::money::NanoUsd;

use super::chain::ChainKey;
use super::leases::{self, Limit};
use super::post::{Draft, Head, Kind, lock_head, post};
use crate::journal::{Anchor, Checkpoint, Counts, Journal, Opened, Position, Record};
use crate::money::MoneyError;
use crate::rows::{places, portions};
use crate::{Store, StoreError};

/// Brings what the journal says into the database.
#[derive(Debug)]
pub struct Fold {
    pub(crate) store: Store,
    pub(crate) journal: Journal,
    pub(crate) node: Arc<str>,
    pub(crate) key: ChainKey,
    trip: Option<Arc<dyn Trip>>,
    from: Position,
    /// Up to here it is in the database.
    done: Position,
    open: HashMap<Arc<str>, Running>,
    waiting: Vec<Draft>,
    /// Requests that ended and of which no hold is known: in the ledger already, or lost.
    unheld: Vec<Arc<str>>,
}

/// Told before each step of bringing a batch into the database, and after the last one; may fail it. Tests let the
/// database break off anywhere by it.
pub trait Trip: Send + Sync + std::fmt::Debug {
    fn step(&self) -> Result<(), StoreError>;
}

/// A request that has not ended.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) segment: u64,
    pub(crate) opened: Opened,
    pub(crate) last: Option<Checkpoint>,
}

/// What a step did.
#[derive(Clone, Debug, Default)]
pub struct Folded {
    /// How many requests ended in the database by it.
    pub settled: usize,
    /// There may be more to do at once.
    pub more: bool,
    /// Marks that budgets passed. They are in the database; this is for whoever wants to know at once.
    pub alerts: Vec<Alert>,
    /// What providers used beyond what was held, in all.
    pub overrun: NanoUsd,
}

/// A budget passed a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    pub budget: String,
    /// When its window began.
    pub start: i64,
    pub percent: i64,
    pub spent: NanoUsd,
    pub amount: NanoUsd,
}

/// Holds that are older than so many segments are written again, so that the old segments can go.
const CARRY: u64 = 4;
/// No more requests go into one database transaction.
const BATCH: usize = 2048;

impl Fold {
    /// Goes on where the database says that it stopped. The journal's older records tell which requests still run.
    pub(crate) fn new(
        store: Store,
        journal: Journal,
        node: Arc<str>,
        key: ChainKey,
        trip: Option<Arc<dyn Trip>>,
        head: &Head,
    ) -> Self {
        let done = place(head);
        let (open, waiting, unheld) = (HashMap::new(), Vec::new(), Vec::new());
        Self { store, journal, node, key, trip, from: Position::default(), done, open, waiting, unheld }
    }

    /// The requests that have not ended, of this process or of one before.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Running> + Clone {
        self.open.values()
    }

    /// How far it has come in the journal.
    pub(crate) fn place(&self) -> Position {
        self.from
    }

    /// Takes about a megabyte of the journal into the database. After an error, the same is tried again next time.
    pub async fn step(&mut self, now: i64) -> Result<Folded, MoneyError> {
        while self.waiting.is_empty() {
            let (records, next) = self.journal.read(self.from)?;
            if records.is_empty() {
                self.from = next;
                self.tell_unheld().await?;
                self.clean()?;
                return Ok(Folded::default());
            }
            for (at, record) in records {
                self.take(at, record);
            }
            self.from = next;
        }
        let mut folded = self.commit(now).await?;
        self.waiting.clear();
        self.done = self.from;
        folded.more = true;
        Ok(folded)
    }

    fn take(&mut self, at: Position, record: Record) {
        match record {
            Record::Hold(opened) => {
                let request = Arc::clone(&opened.request);
                let last = self.open.remove(&request).and_then(|running| running.last);
                self.open.insert(request, Running { segment: at.segment, opened, last });
            }
            Record::Checkpoint(checkpoint) => {
                if let Some(running) = self.open.get_mut(&checkpoint.request) {
                    running.last = Some(checkpoint);
                }
            }
            Record::Settle(it) => {
                let Some(running) = self.open.remove(&it.request) else {
                    if at >= self.done {
                        self.unheld.push(it.request);
                    }
                    return;
                };
                let price = it.price.as_deref().unwrap_or(&running.opened.prices);
                let end = End { at: it.at, usage: &it.usage, cost: it.cost, price, outcome: &it.outcome };
                self.end(at, &running.opened, end, it.deployment.as_deref());
            }
            Record::Release(it) => {
                let Some(running) = self.open.remove(&it.request) else { return };
                let outcome = format!("released:{}", it.reason);
                let end = End { at: it.at, usage: &Counts::new(), cost: NanoUsd(0), price: "", outcome: &outcome };
                self.end(at, &running.opened, end, None);
            }
            Record::Anchor(_) | Record::Seal => {}
        }
    }

    fn end(&mut self, at: Position, opened: &Opened, end: End<'_>, deployment: Option<&str>) {
        // What is folded already is read only to know what still runs.
        if at >= self.done {
            self.waiting.push(draft(opened, end, deployment));
        }
    }

    /// Leaves what waits as it is, so that it can be tried again, though this ends anywhere.
    async fn commit(&self, now: i64) -> Result<Folded, MoneyError> {
        self.step_is_taken()?;
        let mut tx = self.store.begin().await?;
        self.step_is_taken()?;
        let mut head = lock_head(&mut tx, &self.node, now).await?;
        let mut folded = Folded::default();
        if place(&head) >= self.from {
            // It was committed, though nobody told us.
            return Ok(folded);
        }
        (head.segment, head.offset) = (signed(self.from.segment), signed(self.from.offset));
        self.step_is_taken()?;
        let there = already(&mut tx, &self.waiting).await?;
        let mut fresh = fresh(&self.waiting, &there);
        fit(&mut tx, &self.node, &mut fresh, self.running()).await?;
        self.step_is_taken()?;
        for batch in fresh.chunks(BATCH) {
            post(&mut tx, &self.node, &self.key, &mut head, batch).await?;
        }
        if fresh.is_empty() {
            post(&mut tx, &self.node, &self.key, &mut head, &[]).await?;
        }
        self.step_is_taken()?;
        folded.alerts = count_in_windows(&mut tx, &fresh).await?;
        self.step_is_taken()?;
        tx.commit().await.map_err(StoreError::from)?;
        self.step_is_taken()?;
        folded.settled = fresh.len();
        let over = fresh.iter().map(|draft| draft.cost.saturating_sub(draft.charged)).fold(0, i64::saturating_add);
        folded.overrun = NanoUsd(over);
        // The journal knows where the chain ends, so that a database that was put back in time is seen.
        drop(self.journal.append(Record::Anchor(Anchor { number: head.number, hash: head.hash })));
        Ok(folded)
    }

    /// Has those told whose charge is lost. A settlement that was written twice, because a disk did not say that it had it, is none.
    async fn tell_unheld(&mut self) -> Result<(), StoreError> {
        if self.unheld.is_empty() {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        let there = known(&mut tx, &self.unheld, |request| request.to_string()).await?;
        tx.rollback().await?;
        let lost = std::mem::take(&mut self.unheld).into_iter().filter(|request| !there.contains(&**request));
        self.journal.note_unheld(lost.collect());
        Ok(())
    }

    fn step_is_taken(&self) -> Result<(), StoreError> {
        self.trip.as_ref().map_or(Ok(()), |trip| trip.step())
    }

    /// Lets go of segments that nobody needs, and writes anew what keeps old ones from going.
    fn clean(&self) -> Result<(), MoneyError> {
        let now = self.done.segment.max(self.from.segment);
        let old = self.open.values().filter(|running| running.segment + CARRY < now);
        for running in old.take(BATCH) {
            drop(self.journal.append(Record::Hold(running.opened.clone())));
            if let Some(last) = &running.last {
                drop(self.journal.append(Record::Checkpoint(last.clone())));
            }
        }
        let oldest = self.open.values().map(|running| running.segment).min();
        Ok(self.journal.forget_before(oldest.unwrap_or(now).min(now).min(self.done.segment))?)
    }
}

/// Those that are not in the ledger yet, the first of each request. It is rare that this is not all of them: then it is a copy.
fn fresh<'a>(waiting: &'a [Draft], there: &HashSet<String>) -> Cow<'a, [Draft]> {
    let mut seen = HashSet::with_capacity(waiting.len());
    let fresh: Vec<&Draft> = waiting
        .iter()
        .filter(|&draft| !there.contains(&draft.request) && seen.insert(draft.request.as_str()))
        .collect();
    if fresh.len() == waiting.len() { Cow::Borrowed(waiting) } else { fresh.into_iter().cloned().collect() }
}

struct End<'a> {
    at: i64,
    usage: &'a Counts,
    cost: NanoUsd,
    price: &'a str,
    outcome: &'a str,
}

fn draft(opened: &Opened, end: End<'_>, deployment: Option<&str>) -> Draft {
    let mut parties = opened.parties.all().map(|party| party.unwrap_or_default().to_owned());
    if let (Some(deployment), Some(place)) = (deployment, parties.last_mut()) {
        deployment.clone_into(place);
    }
    let mut draft = Draft {
        request: opened.request.to_string(),
        kind: Kind::Charge,
        at: end.at,
        outcome: end.outcome.to_owned(),
        actor: String::new(),
        reason: String::new(),
        prices: end.price.to_owned(),
        usage: text_of(end.usage),
        cost: end.cost.get().max(0),
        charged: 0,
        held: opened.amount.get(),
        budgets: opened.uses.iter().map(|it| format!("{}@{}", it.budget, it.start)).collect::<Vec<_>>().join(";"),
        parties,
        entries: Vec::new(),
    };
    let settled = Settled::of(opened.bounded, opened.amount, end.cost);
    charge(&mut draft, opened.payer.as_str(), settled.charged.get());
    draft
}

/// Moves the charges out of the node's leases. What does not fit, because a lease was written off or the payer spent on
/// account until a moment ago, is the operator's: no purse is ever overdrawn. What is still running was admitted as well.
async fn fit(
    tx: &mut Transaction<'static, Any>,
    node: &str,
    fresh: &mut Cow<'_, [Draft]>,
    running: impl Iterator<Item = &Running> + Clone,
) -> Result<(), StoreError> {
    let mut limits: BTreeMap<(String, i64), Limit> = BTreeMap::new();
    for draft in fresh.iter().filter(|draft| draft.charged > 0) {
        for purse in purses_of(draft) {
            limits.entry(purse).or_default();
        }
    }
    // In the order of their names, so that two nodes never wait for each other.
    for ((purse, start), limit) in &mut limits {
        let admitted = || admitted(fresh, running.clone(), purse, *start);
        *limit = leases::limit(tx, node, &leases::id_of(purse), *start, admitted).await?;
    }
    let mut refused = Vec::new();
    for (at, draft) in fresh.iter().enumerate().filter(|(_, draft)| draft.charged > 0) {
        let purses: Vec<_> = purses_of(draft).collect();
        let fits = purses.iter().all(|purse| limits.get(purse).is_none_or(|limit| limit.fits(draft.charged)));
        if fits {
            for purse in &purses {
                if let Some(limit) = limits.get_mut(purse) {
                    limit.spent += draft.charged;
                }
            }
        } else {
            refused.push(at);
        }
    }
    for at in refused {
        if let Some(draft) = fresh.to_mut().get_mut(at) {
            let payer = draft.entries.first().map(|(account, _)| account.clone()).unwrap_or_default();
            charge(draft, &payer, 0);
        }
    }
    for ((purse, start), limit) in &limits {
        let from_lease = NanoUsd(limit.lease.min(limit.spent));
        if from_lease.get() > 0 {
            leases::consume(tx, node, &leases::id_of(purse), *start, from_lease).await?;
        }
    }
    Ok(())
}

/// What is known to be admitted in a window of a budget: what has ended since the last time, and what runs.
fn admitted<'r>(fresh: &[Draft], running: impl Iterator<Item = &'r Running>, budget: &str, start: i64) -> i64 {
    let ended = fresh.iter().filter(|draft| draft.uses().any(|it| it == (budget, start))).map(|draft| draft.charged);
    let is_used = |opened: &Opened| opened.uses.iter().any(|it| (&*it.budget, it.start) == (budget, start));
    let runs = running.filter(|it| is_used(&it.opened)).map(|it| it.opened.amount.get());
    ended.chain(runs).fold(0, i64::saturating_add)
}

/// The payer's credit and the windows of budgets.
fn purses_of(draft: &Draft) -> impl Iterator<Item = (String, i64)> {
    let payer = draft.entries.first().map(|(account, _)| (account.clone(), 0));
    payer.into_iter().chain(draft.uses().map(|(budget, start)| (budget.to_owned(), start)))
}

/// The payer pays so much of the cost, the operator the rest; all of it was earned.
pub(super) fn charge(draft: &mut Draft, payer: &str, charged: i64) {
    draft.charged = charged;
    let movements = [(payer, -charged), ("overrun", charged - draft.cost), ("revenue", draft.cost)];
    let entries = movements.into_iter().filter(|(_, amount)| *amount != 0);
    draft.entries = entries.map(|(account, amount)| (account.to_owned(), amount)).collect();
}

fn text_of(usage: &Counts) -> String {
    let mut text = String::new();
    for (class, count) in usage {
        let comma = if text.is_empty() { "" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(text, "{comma}{class}={count}");
    }
    text
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Up to where the journal is folded in.
pub(crate) fn place(head: &Head) -> Position {
    let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
    Position { segment: unsigned(head.segment), offset: unsigned(head.offset) }
}

/// Which of the requests are in the ledger.
pub(super) async fn already(
    tx: &mut Transaction<'static, Any>,
    drafts: &[Draft],
) -> Result<HashSet<String>, StoreError> {
    known(tx, drafts, |draft| draft.request.clone()).await
}

async fn known<T>(
    tx: &mut Transaction<'static, Any>,
    asked: &[T],
    request: impl Fn(&T) -> String,
) -> Result<HashSet<String>, StoreError> {
    let mut there = HashSet::new();
    for asked in portions(asked) {
        let places = places(tx, 1, asked.len());
        let sql = format!("select request from ledger_transactions where request in {places}");
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for one in asked {
            query = query.bind(request(one));
        }
        for row in query.fetch_all(&mut **tx).await? {
            there.insert(row.try_get(0)?);
        }
    }
    Ok(there)
}

/// Counts what was charged in the windows of budgets, and finds those that passed a mark.
pub(super) async fn count_in_windows(
    tx: &mut Transaction<'static, Any>,
    fresh: &[Draft],
) -> Result<Vec<Alert>, StoreError> {
    let mut spent: BTreeMap<(&str, i64), i64> = BTreeMap::new();
    for draft in fresh {
        for (budget, start) in draft.uses() {
            let sum = spent.entry((budget, start)).or_default();
            *sum = sum.saturating_add(draft.charged);
        }
    }
    let now = fresh.iter().map(|draft| draft.at).max().unwrap_or(0);
    let mut alerts = Vec::new();
    // What cost nothing moves nothing, and locks nothing.
    for ((budget, start), amount) in spent.into_iter().filter(|(_, amount)| *amount != 0) {
        alerts.extend(super::budgets::count(tx, budget, start, amount, now).await?);
    }
    Ok(alerts)
}
