//! Money for whoever serves requests: hold, checkpoint, settle. A hold is in memory and in the journal before it is
//! answered; everything else follows behind: the fold into the database, leases, and what a crash left. Knows no HTTP and
//! no price. Tests: `tests/it/money.rs`, `tests/it/invariants.rs`, `tests/it/simulation.rs`.

mod correct;
mod desk;
mod following;
mod held;
mod leasing;
mod load;
mod replay;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use waypost_core::ledger::{Account, Books, Hold, Purse, Short, Supply, Why};
use waypost_core::money::NanoUsd;

use crate::journal::{Disk, Folder, Journal, JournalError, MOST, Opened, Options, Parties, Record, Unwritten};
use crate::ledger::{ChainKey, Fold, Folded, Trip};
use crate::{Kind, Store, StoreError};

pub use crate::ledger::Alert;
pub use crate::ledger::correct::{By, Corrected, Correction};
pub use held::{Held, Progress, Settlement};
pub use replay::{Replayed, Unknown};

/// How money is kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This process's name in the ledger; the same after a restart, and no other's.
    pub node: Arc<str>,
    /// What the chain is made with.
    pub key: ChainKey,
    pub journal: Options,
    /// What requests cost that were running when a process died.
    pub unknown: Unknown,
    /// Requests are refused when the journal has grown to so many bytes because the database does not take it.
    pub most_journal: u64,
    /// No more requests are held at once.
    pub most_open: usize,
    /// How long a request waits for the database when the lease of its account is short.
    pub patience: Duration,
    /// Leases of which nothing was held for so long go back to all nodes.
    pub idle_lease: Duration,
    /// Lets the database break off; for tests.
    pub trip: Option<Arc<dyn Trip>>,
}

impl Settings {
    pub fn new(node: &str, key: ChainKey) -> Self {
        Self {
            node: node.into(),
            key,
            journal: Options::default(),
            unknown: Unknown::default(),
            most_journal: 1 << 30,
            most_open: 65_536,
            patience: Duration::from_secs(2),
            idle_lease: Duration::from_secs(60),
            trip: None,
        }
    }
}

/// The money of one process. Clones share it.
#[derive(Clone, Debug)]
pub struct Money(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    settings: Settings,
    supply: Supply,
    books: Books,
    journal: Journal,
    open: AtomicUsize,
    fold: Mutex<Fold>,
    /// One refill at a time: those behind may find what the first one brought.
    refilling: Arc<Mutex<()>>,
    /// One that gives back at a time.
    returning: Arc<Mutex<()>>,
    /// One change of credits at a time: a purse is opened with all that the database has, and poured into by whoever finds it open.
    credits: Mutex<()>,
    /// One change of budgets at a time.
    budgets: Mutex<()>,
    /// The number of the last change that was looked at.
    seen: Mutex<i64>,
}

/// A request that wants money.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Unique for ever.
    pub request: Arc<str>,
    pub payer: Account,
    /// What its payer's credit and the budgets of all it belongs to are kept in, as [`Books::purses`] finds them.
    pub purses: Vec<Arc<Purse>>,
    /// The most that it can cost.
    pub amount: NanoUsd,
    /// The version of the prices it is charged by.
    pub prices: Arc<str>,
    pub parties: Parties,
    /// Wall time, in epoch milliseconds.
    pub at: i64,
}

/// Why a request gets no money.
#[derive(Clone, Debug)]
pub enum Refused {
    /// A purse has not enough: 429 `insufficient_quota`.
    Short(Short),
    /// The books of an account do not add up; nobody spends from it until somebody has looked: 503.
    Frozen(Short),
    /// The disk or the database does not do its part, or too much runs at once: 503, later may be better.
    Unavailable(&'static str),
}

/// What can go wrong with money at large.
#[derive(Debug)]
pub enum MoneyError {
    Store(StoreError),
    Journal(JournalError),
}

impl Money {
    /// Where the journal of an embedded database is, unless it was put elsewhere: beside it.
    pub fn folder_of(store: &Store) -> Option<PathBuf> {
        let mut name = store.path()?.as_os_str().to_owned();
        name.push(".journal");
        Some(name.into())
    }

    /// Opens the journal in this folder, which no other process may have open, and resolves what a process before left.
    /// `now` is wall time in epoch milliseconds.
    pub async fn open(
        store: Store,
        folder: &std::path::Path,
        settings: Settings,
        now: i64,
    ) -> Result<(Self, Replayed), MoneyError> {
        let disk = Folder::open(folder).map_err(|error| StoreError::file(folder, error))?;
        Self::open_on(store, Arc::new(disk), settings, now).await
    }

    /// The same on any disk; for tests.
    pub async fn open_on(
        store: Store,
        disk: Arc<dyn Disk>,
        settings: Settings,
        now: i64,
    ) -> Result<(Self, Replayed), MoneyError> {
        let supply = match store.kind() {
            Kind::Sqlite => Supply::Owned,
            Kind::Postgres => Supply::Leased,
        };
        let (journal, fold, replayed) = replay::replay(&store, disk, &settings, now).await?;
        let seen = store.last_change().await?;
        let books = load::books(&store, &settings.node, supply, now).await?;
        load::give_back_old(&store, &settings.node, &books, now).await?;
        let shared = Shared {
            store,
            settings,
            supply,
            books,
            journal,
            open: AtomicUsize::new(0),
            fold: Mutex::new(fold),
            refilling: Arc::default(),
            returning: Arc::default(),
            credits: Mutex::default(),
            budgets: Mutex::default(),
            seen: Mutex::new(seen),
        };
        Ok((Self(Arc::new(shared)), replayed))
    }

    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The purses of this process.
    pub fn books(&self) -> &Books {
        &self.0.books
    }

    pub fn journal(&self) -> &Journal {
        &self.0.journal
    }

    /// How many requests hold money now.
    pub fn held(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Holds the most that a request can cost. When this answers, the hold is in the journal and the request may be sent.
    /// Dropping the future or what it answers ends the hold.
    pub async fn hold(&self, ask: Ask) -> Result<Held, Refused> {
        let shared = &*self.0;
        if shared.open.load(Ordering::Relaxed) >= shared.settings.most_open {
            return Err(Refused::Unavailable("too many requests hold money at once"));
        }
        if shared.journal.size() >= shared.settings.most_journal {
            return Err(Refused::Unavailable("the database has not taken the journal for too long"));
        }
        let hold = self.take(&ask).await?;
        let uses = hold.uses();
        if uses.len() > MOST {
            // What its record does not say is not charged to a budget.
            return Err(Refused::Unavailable(
                "more budgets limit the request than its record can name; delete some of them",
            ));
        }
        let opened = Opened {
            request: ask.request,
            at: ask.at,
            payer: ask.payer,
            uses,
            bounded: hold.is_bounded(),
            amount: hold.amount(),
            prices: ask.prices,
            parties: ask.parties,
        };
        let about = (Arc::clone(&opened.request), ask.at, Arc::clone(&opened.prices));
        let ticket = shared.journal.append(Record::Hold(opened));
        let mut held = Held::new(self.clone(), hold, about, ticket);
        match held.written().await {
            Ok(()) => Ok(held),
            Err(why) => {
                held.forget();
                Err(Refused::Unavailable(match why {
                    Unwritten::Disk => "the disk of the journal does not take what is written",
                    Unwritten::Busy => "the journal cannot keep up",
                    Unwritten::Closed => "the journal is closed",
                }))
            }
        }
    }

    /// Takes from the purses, and asks the database for more where it may have more.
    async fn take(&self, ask: &Ask) -> Result<Hold, Refused> {
        let deadline = tokio::time::Instant::now() + self.0.settings.patience;
        loop {
            let short = match self.0.books.hold(&ask.purses, ask.amount, ask.at) {
                Ok(hold) => return Ok(hold),
                Err(short) => short,
            };
            match short.why {
                Why::Spent => return Err(Refused::Short(short)),
                Why::Frozen => return Err(Refused::Frozen(short)),
                Why::Lease => {}
            }
            // On the heap: it is rare, and every request would carry room for it.
            let more = tokio::time::timeout_at(deadline, Box::pin(self.refill(&short, ask.at)));
            if !more.await.is_ok_and(|done| done.is_ok()) {
                return Err(Refused::Unavailable("the database does not answer"));
            }
        }
    }

    /// Brings about a megabyte of the journal into the database. For a job: again at once while there is `more`,
    /// otherwise when [`Journal::end`] has moved. After an error the same is tried again next time.
    pub async fn fold(&self, now: i64) -> Result<Folded, MoneyError> {
        self.0.fold.lock().await.step(now).await
    }

    /// Brings into the database what is in the journal by now; what comes meanwhile may come too.
    pub async fn fold_all(&self, now: i64) -> Result<Folded, MoneyError> {
        self.0.journal.synced().await;
        let end = *self.0.journal.end().borrow();
        let (mut all, mut last) = (Folded::default(), false);
        loop {
            let step = self.fold(now).await?;
            all.settled += step.settled;
            all.alerts.extend(step.alerts);
            all.overrun = all.overrun.checked_add(step.overrun).unwrap_or(NanoUsd::MAX);
            if !step.more || last {
                return Ok(all);
            }
            // Once more, for what it does when all is there.
            last = self.0.fold.lock().await.place() >= end;
        }
    }

    /// Everything is brought to the database, as far as it takes it, and leases go back. Nothing may be held any more.
    pub async fn close(&self, now: i64) -> Result<(), MoneyError> {
        self.0.journal.close();
        self.fold_all(now).await?;
        self.give_back().await
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short(short) => {
                let Short { purse, needed, left, .. } = short;
                write!(f, "{}: {left} USD are left, and up to {needed} are needed", purse.id())
            }
            Self::Frozen(short) => write!(f, "{} is read-only until its books were looked at", short.purse.id()),
            Self::Unavailable(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Refused {}

impl fmt::Display for MoneyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Journal(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for MoneyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            Self::Journal(error) => Some(error),
        }
    }
}

impl From<StoreError> for MoneyError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<JournalError> for MoneyError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}
