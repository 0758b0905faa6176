//! Requests with a crash at every call of disk and database, against a model that fits on a page: after the restart every
//! admitted request has exactly one end, what was acknowledged stands, and the books are whole. One seed is one run.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::Row as _;
use waypost_core::ledger::{Account, Scope, Window};
use waypost_core::money::NanoUsd;
use waypost_store::journal::{Call, Disk, Fault, MemoryDisk, Sizes};
use waypost_store::ledger::grants::Grant;
use waypost_store::ledger::verify::Verifier;
use waypost_store::ledger::{Kind, Trip};
use waypost_store::money::{Ask, Money, Progress, Settings};
use waypost_store::{Place, Store, StoreError};

use crate::harness::{Folder, NOW, on_both};
use crate::money::{ask, budget, ended, settings};

/// Fails one step of the fold, counted from 1.
#[derive(Debug, Default)]
struct Nth {
    at: AtomicU64,
    seen: AtomicU64,
}

impl Trip for Nth {
    fn step(&self) -> Result<(), StoreError> {
        let number = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        if number == self.at.load(Ordering::Relaxed) { Err(StoreError::Stale) } else { Ok(()) }
    }
}

/// What a request may have come to.
struct Expected {
    request: String,
    admitted: bool,
    held: i64,
    /// What was told to be its cost, and whether that was acknowledged.
    cost: Option<i64>,
    acknowledged: bool,
    marks: Vec<i64>,
}

/// Splitmix: one seed, one run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

const GRANTED: i64 = 2_000;

struct Run {
    name: String,
    account: Account,
    disk: MemoryDisk,
    trip: Arc<Nth>,
}

impl Run {
    fn new(name: String) -> Self {
        let account = Account::user(&name);
        Self { name, account, disk: MemoryDisk::default(), trip: Arc::default() }
    }

    async fn open(&self, store: &Store, disk: MemoryDisk) -> Money {
        let settings = Settings { trip: Some(self.trip.clone()), ..settings(&self.name) };
        Money::open_on(store.clone(), Arc::new(disk) as Arc<dyn Disk>, settings, NOW).await.unwrap().0
    }

    /// Some requests, while everything may break; answers what must be true afterwards.
    async fn script(&self, money: &Money, dice: &mut Dice) -> Vec<Expected> {
        let (mut all, mut running) = (Vec::new(), Vec::new());
        for number in 0..8 {
            let held = 50 + dice.below(400) as i64;
            let request = format!("{}-{number}", self.name);
            let purses = money.books().purses(&self.account, &[Scope::User(self.name.as_str().into())]);
            let wanted = Ask { payer: self.account.clone(), purses, ..ask(money, &request, held) };
            let mut expected =
                Expected { request, admitted: false, held, cost: None, acknowledged: false, marks: vec![] };
            if let Ok(mut hold) = money.hold(wanted).await {
                expected.admitted = true;
                for _ in 0..dice.below(3) {
                    let cost = dice.below(held as u64) as i64;
                    let usage = vec![("output".into(), 1)];
                    hold.checkpoint(Progress { at: NOW, usage, cost: NanoUsd(cost), deployment: None });
                    expected.marks.push(cost);
                }
                match dice.below(4) {
                    0 => running.push(hold),
                    1 => drop(hold),
                    _ => {
                        let cost = dice.below(600) as i64;
                        let (_, mut ticket) = hold.settle(ended(cost));
                        expected.cost = Some(cost);
                        let told = tokio::time::timeout(Duration::from_millis(20), ticket.written()).await;
                        expected.acknowledged = told.is_ok_and(|told| told.is_ok());
                    }
                }
            }
            all.push(expected);
            if dice.below(2) == 0 {
                // A fold reads what the disk was asked to keep. What fails here is tried again.
                money.journal().synced().await;
                let _ = money.fold(NOW).await;
            }
        }
        // The process ends here: those that run have no end of their own.
        running.into_iter().for_each(std::mem::forget);
        all
    }

    async fn prepare(&self, money: &Money) {
        let (account, kind, id) = (&self.account, Kind::TopUp, format!("t-{}", self.name));
        let grant = Grant { id: &id, account, amount: NanoUsd(GRANTED), kind, actor: "o", reason: "test", at: NOW };
        money.grant(grant, None).await.unwrap();
        let (id, scope) = (format!("bud_{}", self.name), Scope::User(self.name.as_str().into()));
        money.put_budget(budget(&id, scope, Window::Day, GRANTED * 3 / 4, true), NOW, None).await.unwrap();
    }

    async fn check(&self, store: &Store, expected: &[Expected]) {
        let mut sum = 0;
        for it in expected {
            let sql = "select charged, cost, outcome from ledger_transactions where request = $1";
            let rows = sqlx::query(sql).bind(it.request.clone()).fetch_all(store.reader()).await.unwrap();
            assert!(rows.len() <= 1 && (!it.admitted || rows.len() == 1), "{}: {} ends", it.request, rows.len());
            let Some(row) = rows.first() else { continue };
            let (charged, cost): (i64, i64) = (row.get(0), row.get(1));
            assert_eq!(charged, cost.min(it.held), "{}", it.request);
            if it.acknowledged {
                assert_eq!(Some(cost), it.cost, "{}: what was acknowledged stands", it.request);
            }
            let possible = cost == 0 || Some(cost) == it.cost || it.marks.contains(&cost);
            assert!(possible && (it.admitted || cost == 0), "{}: {cost} out of nowhere", it.request);
            sum += charged;
        }
        let balance = store.balance(&self.account).await.unwrap().unwrap();
        assert_eq!((balance.granted.get(), balance.spent.get()), (GRANTED, sum));
        let window = store.windows(&format!("bud_{}", self.name), 1).await.unwrap();
        assert_eq!(window[0].spent.get(), sum);
        assert!(sum <= GRANTED * 3 / 4, "a budget was exceeded");
    }

    /// One run: what breaks is set by the caller, the process dies, another one takes over.
    async fn run(&self, store: &Store, seed: u64, set: impl FnOnce(&Self)) -> (u64, u64) {
        let money = self.open(store, self.disk.clone()).await;
        self.prepare(&money).await;
        self.trip.seen.store(0, Ordering::Relaxed);
        set(self);
        let expected = self.script(&money, &mut Dice(seed)).await;
        let counts = (self.disk.calls(), self.trip.seen.load(Ordering::Relaxed));
        let left = self.disk.after_crash(false);
        self.trip.at.store(0, Ordering::Relaxed);
        let again = self.open(store, left.clone()).await;
        self.check(store, &expected).await;
        // And once more: nothing changes.
        drop(again);
        let third = self.open(store, left.after_crash(false)).await;
        assert_eq!(third.fold_all(NOW).await.unwrap().settled, 0);
        self.check(store, &expected).await;
        counts
    }
}

async fn is_whole(store: &Store) {
    let report = Verifier::new(settings("any").key).pass(store, &[]).await.unwrap();
    assert_eq!(report.flaws, []);
    assert!(report.transactions > 40);
}

#[tokio::test]
async fn i3_i7_a_crash_in_any_call_of_the_disk_leaves_each_request_one_end() {
    on_both(async |store| {
        for call in 1.. {
            let run = Run::new(format!("d{call}"));
            let (calls, _) = run.run(&store, 7, |run| run.disk.set(Fault::Die(call))).await;
            if calls < call {
                assert!(call > 10, "only {call} calls");
                break;
            }
        }
        is_whole(&store).await;
    })
    .await;
}

#[tokio::test]
async fn i1_i3_a_database_that_breaks_off_at_any_step_loses_and_doubles_nothing() {
    on_both(async |store| {
        for step in 1.. {
            let run = Run::new(format!("s{step}"));
            let (_, steps) = run.run(&store, 11, |run| run.trip.at.store(step, Ordering::Relaxed)).await;
            if steps < step {
                assert!(step > 7, "only {step} steps");
                break;
            }
        }
        is_whole(&store).await;
    })
    .await;
}

#[tokio::test]
async fn i1_i2_i5_random_runs_with_random_faults_end_in_whole_books() {
    on_both(async |store| {
        for seed in 0..24 {
            let run = Run::new(format!("r{seed}"));
            let mut dice = Dice(seed);
            let (disk, step) = (1 + dice.below(30), dice.below(20));
            let fault = if dice.below(2) == 0 { Fault::Die(disk) } else { Fault::Fail(disk) };
            let set = |run: &Run| {
                run.disk.set(fault);
                run.trip.at.store(step, Ordering::Relaxed);
            };
            run.run(&store, seed, set).await;
        }
        is_whole(&store).await;
    })
    .await;
}

/// What a commit does not promise, that it is on the disk, is `a_commit_of_an_embedded_database_is_on_the_disk`'s to prove.
#[tokio::test]
async fn a_segment_goes_when_the_database_has_committed_what_is_in_it_and_not_before() {
    let folder = Folder::new();
    let store = Store::open(&folder.sqlite(), NOW).await.unwrap();
    let disk = MemoryDisk::default();
    // Pictures of both, as they are whenever a segment goes, and how many requests had ended by then.
    let (ended_by_then, pictures) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (looks, database) = (disk.clone(), store.path().unwrap().to_path_buf());
    let (ended_so_far, album) = (Arc::clone(&ended_by_then), Arc::clone(&pictures));
    disk.watch(move |call| {
        let Call::Remove(segment) = call else { return Ok(()) };
        let mut album = album.lock().unwrap();
        let picture = database.with_file_name(format!("picture-{}.db", album.len()));
        for end in ["", "-wal"] {
            let beside = |path: &PathBuf| format!("{}{end}", path.display());
            std::fs::copy(beside(&database), beside(&picture))?;
        }
        let without = looks.after_crash(false);
        without.remove(segment)?;
        album.push((ended_so_far.load(Ordering::Relaxed), picture, without));
        Ok(())
    });
    let small = || {
        let mut small = settings("node-1");
        small.journal.sizes = Sizes { segment: 300, spare: 64 };
        small
    };
    let (money, _) = Money::open_on(store.clone(), Arc::new(disk), small(), NOW).await.unwrap();
    for number in 1..=12 {
        let held = money.hold(ask(&money, &format!("r{number}"), 100)).await.unwrap();
        let (_, mut ticket) = held.settle(ended(30));
        ticket.synced().await.unwrap();
        ended_by_then.store(number, Ordering::Relaxed);
        money.fold_all(NOW).await.unwrap();
    }
    let pictures = std::mem::take(&mut *pictures.lock().unwrap());
    assert!(pictures.len() > 3, "{}", pictures.len());
    for (ended, database, disk) in pictures {
        let store = Store::open(&Place::Sqlite(database), NOW).await.unwrap();
        let (money, _) = Money::open_on(store.clone(), Arc::new(disk), small(), NOW).await.unwrap();
        let sql = "select count(*) from ledger_transactions where charged = 30";
        let charged: i64 = sqlx::query(sql).fetch_one(store.reader()).await.unwrap().get(0);
        assert_eq!((charged as u64, money.journal().unheld()), (ended, 0));
        is_whole_so_far(&money).await;
    }
}

async fn is_whole_so_far(money: &Money) {
    assert_eq!(money.verify(&mut money.verifier(), NOW).await.unwrap().flaws, []);
}
