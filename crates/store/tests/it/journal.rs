//! The journal on disks that do not do their part: nothing that was acknowledged is lost, nothing torn is taken for whole.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use waypost_core::ledger::{Account, Use};
use waypost_core::money::NanoUsd;
use waypost_store::journal::{
    Call, Disk, Durability, Fault, Folder, Journal, JournalError, MemoryDisk, Opened, Options, Parties, Position,
    Record, Release, Repair, Settle, Sizes, Unwritten,
};

fn options() -> Options {
    let sizes = Sizes { segment: 1 << 20, spare: 1 << 14 };
    Options { sizes, sync_every: Duration::ZERO, retry_every: Duration::from_millis(2), ..Options::default() }
}

fn hold(request: &str) -> Record {
    Record::Hold(Opened {
        request: request.into(),
        at: 1,
        payer: Account::user("usr_1"),
        uses: vec![Use { budget: "bud_1".into(), start: 0 }],
        bounded: true,
        amount: NanoUsd(100),
        prices: "1".into(),
        parties: Parties::default(),
    })
}

fn settle(request: &str) -> Record {
    Record::Settle(Settle {
        request: request.into(),
        at: 2,
        usage: vec![("input".into(), 3)],
        cost: NanoUsd(70),
        price: Some("1".into()),
        outcome: "complete".into(),
        deployment: None,
    })
}

fn open(disk: &MemoryDisk, options: Options) -> Result<Journal, JournalError> {
    Journal::open(Arc::new(disk.clone()), Position::default(), options).map(|(journal, _)| journal)
}

/// Everything in the journal, in order.
fn all(journal: &Journal) -> Vec<Record> {
    let (mut from, mut all) = (Position::default(), Vec::new());
    loop {
        let (records, next) = journal.read(from).unwrap();
        if records.is_empty() {
            return all;
        }
        all.extend(records.into_iter().map(|(_, record)| record).filter(|record| *record != Record::Seal));
        from = next;
    }
}

/// All that a new process finds.
fn reopened(disk: &MemoryDisk) -> Vec<Record> {
    all(&open(disk, options()).unwrap())
}

#[tokio::test]
async fn records_outlive_the_process_and_a_second_process_is_refused() {
    let path = std::env::temp_dir().join(format!("waypost-journal-{}", std::process::id()));
    let folder = || Folder::open(&path);
    let (journal, found) = Journal::open(Arc::new(folder().unwrap()), Position::default(), options()).unwrap();
    assert_eq!(found.records, 0);
    for request in ["a", "b"] {
        journal.append(hold(request)).synced().await.unwrap();
    }
    assert!(folder().unwrap_err().to_string().contains("another process uses"));
    journal.close();
    assert_eq!(journal.append(hold("c")).written().await, Err(Unwritten::Closed));
    drop(journal);
    let (journal, found) = Journal::open(Arc::new(folder().unwrap()), Position::default(), options()).unwrap();
    assert_eq!((found.cut, all(&journal)), (0, vec![hold("a"), hold("b")]));
    journal.append(settle("a")).synced().await.unwrap();
    assert_eq!(all(&journal), [hold("a"), hold("b"), settle("a")]);
    drop(journal);
    let mode =
        |name| std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path.join(name)).unwrap().permissions());
    assert_eq!(mode("spare") & 0o777, 0o600);
    std::fs::remove_dir_all(&path).unwrap();
}

const SEGMENT: &str = "0000000000000001.journal";

/// A run of some records on a disk, in one segment, as the end of the process leaves it.
async fn run(requests: usize) -> (MemoryDisk, Vec<Record>) {
    let disk = MemoryDisk::default();
    let journal = open(&disk, options()).unwrap();
    let mut records = Vec::new();
    for number in 0..requests {
        for record in [hold(&format!("r{number}")), settle(&format!("r{number}"))] {
            journal.append(record.clone()).synced().await.unwrap();
            records.push(record);
        }
    }
    (disk.after_crash(false), records)
}

#[tokio::test]
async fn a_cut_at_any_byte_leaves_every_record_before_it() {
    let (disk, records) = run(4).await;
    let whole = disk.bytes(SEGMENT).unwrap();
    let mut seen = 0;
    for cut in 0..=whole.len() {
        let disk = MemoryDisk::default();
        disk.put(SEGMENT, whole[..cut].to_vec());
        let found = reopened(&disk);
        assert!(records.starts_with(&found) && found.len() >= seen, "cut at {cut}");
        seen = found.len();
        assert_eq!(reopened(&disk), found, "and again, with nothing changed by the first time");
    }
    assert_eq!(seen, records.len());
}

#[tokio::test]
async fn damage_before_the_end_is_an_error_that_says_where_unless_salvage_is_asked_for() {
    let (disk, records) = run(3).await;
    let whole = disk.bytes(SEGMENT).unwrap();
    let last = whole.len() - 37; // The last record: damage there is a torn end.
    for place in (20..last).step_by(7) {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x10;
        let disk = MemoryDisk::default();
        disk.put(SEGMENT, damaged);
        let Err(JournalError::Broken { name, at }) = open(&disk, options()) else { panic!("it was taken at {place}") };
        assert!(name == SEGMENT && at as usize <= place);
        let salvage = Options { repair: Repair::Salvage, ..options() };
        let (journal, found) = Journal::open(Arc::new(disk), Position::default(), salvage).unwrap();
        assert_eq!((found.skipped.len(), found.records as usize), (1, records.len() - 1), "{place}");
        assert_eq!(all(&journal).len(), records.len() - 1, "what is behind it is read, {place}");
    }
    let later = MemoryDisk::default();
    later.put("0000000000000001.journal", whole.clone());
    open(&later, options()).unwrap().append(hold("x")).synced().await.unwrap();
    let _ = open(&later.after_crash(false), options()).unwrap().append(hold("y")).synced().await;
    let torn = later.after_crash(false);
    torn.remove("0000000000000001.journal").unwrap();
    torn.put("0000000000000000.journal", Vec::new());
    assert!(matches!(open(&torn, options()), Err(JournalError::Gap { .. })));
    let database = Position { segment: 9, offset: 0 };
    let behind = Journal::open(Arc::new(disk), database, options());
    assert!(matches!(behind, Err(JournalError::Behind { .. })));
}

#[tokio::test]
async fn salvage_reads_on_behind_a_damage_however_long_it_is() {
    let disk = MemoryDisk::default();
    let calm = Options { sizes: Sizes { segment: 8 << 20, spare: 1 << 14 }, ..Options::default() };
    let journal = open(&disk, calm).unwrap();
    let records: Vec<Record> = (0..6000).map(|number| hold(&format!("{number}{}", "x".repeat(480)))).collect();
    records.iter().for_each(|record| drop(journal.append(record.clone())));
    journal.close();
    let mut bytes = disk.bytes(SEGMENT).unwrap();
    bytes[1000..2_500_000].fill(0xaa);
    let damaged = MemoryDisk::default();
    damaged.put(SEGMENT, bytes);
    assert!(matches!(open(&damaged, calm), Err(JournalError::Broken { .. })));
    let salvage = Options { repair: Repair::Salvage, ..calm };
    let (journal, found) = Journal::open(Arc::new(damaged), Position::default(), salvage).unwrap();
    let kept = all(&journal);
    let seal = 1;
    assert_eq!(kept.len() + seal, found.records as usize);
    assert!(kept.first() == records.first() && kept.len() > 500 && records.ends_with(&kept[kept.len() - 500..]));
}

/// Runs ten requests one after another; answers which holds were acknowledged, and asserts that every settlement of
/// those was, unless the disk is dead.
async fn script(journal: &Journal, dies: bool) -> (Vec<String>, Vec<String>) {
    let (mut held, mut settled) = (Vec::new(), Vec::new());
    for number in 0..10 {
        let request = format!("r{number}");
        if journal.append(hold(&request)).written().await.is_err() {
            continue;
        }
        held.push(request.clone());
        let mut ticket = journal.append(settle(&request));
        let patience = Duration::from_millis(if dies { 1 } else { 10_000 });
        if tokio::time::timeout(patience, ticket.written()).await.is_ok_and(|told| told.is_ok()) {
            settled.push(request);
        } else {
            assert!(dies, "a settlement was not kept");
        }
    }
    (held, settled)
}

fn has(records: &[Record], kind: impl Fn(&str) -> Record, requests: &[String]) -> bool {
    requests.iter().all(|request| records.contains(&kind(request)))
}

#[tokio::test]
async fn one_failing_call_at_any_place_loses_nothing_that_was_acknowledged() {
    for call in 1.. {
        let disk = MemoryDisk::default();
        disk.set(Fault::Fail(call));
        let journal = open(&disk, Options { sizes: Sizes { segment: 400, spare: 4096 }, ..options() }).unwrap();
        let (held, settled) = script(&journal, false).await;
        assert!(held.len() >= 9 && held.len() == settled.len(), "{call}: {held:?}");
        journal.close();
        let calls = disk.calls();
        let found = reopened(&disk.after_crash(false));
        assert!(has(&found, hold, &held) && has(&found, settle, &settled), "{call}");
        let released = |request: &str| {
            let is =
                |record: &Record| matches!(record, Record::Release(Release { request: it, .. }) if **it == *request);
            found.iter().any(is)
        };
        for record in &found {
            let Record::Hold(it) = record else { continue };
            let admitted = held.iter().any(|request| **request == *it.request);
            assert!(admitted || released(&it.request), "{call}: a refused hold is there");
        }
        if calls < call {
            assert!(call > 20, "only {call} calls");
            return;
        }
    }
}

#[tokio::test]
async fn death_in_any_call_loses_nothing_that_was_acknowledged() {
    for call in 1.. {
        let disk = MemoryDisk::default();
        disk.set(Fault::Die(call));
        let journal = open(&disk, Options { sizes: Sizes { segment: 400, spare: 4096 }, ..options() }).unwrap();
        let (held, settled) = script(&journal, true).await;
        let calls = disk.calls();
        let found = reopened(&disk.after_crash(false));
        assert!(has(&found, hold, &held) && has(&found, settle, &settled), "{call}");
        drop(journal);
        if calls < call {
            assert!(call > 20);
            return;
        }
    }
}

#[tokio::test]
async fn what_was_synced_outlives_a_power_cut() {
    let disk = MemoryDisk::default();
    let journal = open(&disk, Options { durability: Durability::Power, ..options() }).unwrap();
    for number in 0..5 {
        let record = hold(&number.to_string());
        journal.append(record.clone()).durable().await.unwrap();
        assert_eq!(reopened(&disk.after_crash(true)).last(), Some(&record));
    }
}

#[tokio::test]
async fn a_full_disk_refuses_holds_and_keeps_settlements_in_the_spare_file() {
    let disk = MemoryDisk::default();
    let journal = open(&disk, options()).unwrap();
    for request in ["a", "b", "c"] {
        journal.append(hold(request)).synced().await.unwrap();
    }
    disk.set(Fault::Full);
    assert_eq!(journal.append(hold("d")).written().await, Err(Unwritten::Disk));
    assert!(journal.is_failing());
    journal.append(settle("a")).synced().await.unwrap();
    assert_eq!(journal.append(hold("e")).written().await, Err(Unwritten::Disk));
    journal.append(settle("b")).synced().await.unwrap();
    let kept = [hold("a"), hold("b"), hold("c"), settle("a"), settle("b")];
    assert_eq!(all(&journal), kept);
    assert_eq!(reopened(&disk.after_crash(true)), kept);
    disk.set(Fault::None);
    journal.append(hold("f")).synced().await.unwrap();
    assert!(!journal.is_failing());
    assert_eq!(all(&journal).last(), Some(&hold("f")));
    assert_eq!(reopened(&disk.after_crash(true)).len(), 6);
}

#[tokio::test]
async fn a_group_that_is_torn_in_the_spare_file_is_read_and_nothing_is_taken_for_missing() {
    let scratch = open(&MemoryDisk::default(), options()).unwrap();
    scratch.append(hold("a")).written().await.unwrap();
    let before = scratch.size();
    scratch.append(settle("a")).written().await.unwrap();
    let length = scratch.size() - before;
    for recovers in [true, false] {
        let disk = MemoryDisk::default();
        // Two settlements and a half fit in.
        let sizes = Sizes { segment: 1 << 20, spare: 20 + length * 5 / 2 };
        let journal = open(&disk, Options { sizes, ..options() }).unwrap();
        let requests = ["a", "b", "c"];
        for request in requests {
            journal.append(hold(request)).synced().await.unwrap();
        }
        disk.set(Fault::Die(1));
        let tickets = requests.map(|request| journal.append(settle(request)));
        while journal.waiting() < requests.len() {
            tokio::task::yield_now().await;
        }
        disk.set(Fault::Full);
        let torn = || {
            let bytes = disk.bytes("0000000000000002.journal").unwrap_or_default();
            bytes.get(20..).is_some_and(|behind| behind.iter().any(|byte| *byte != 0))
        };
        while !torn() {
            tokio::task::yield_now().await;
        }
        let mut expected = requests.map(hold).to_vec();
        expected.extend(["a", "b"].map(settle));
        if recovers {
            disk.set(Fault::None);
            for mut ticket in tickets {
                ticket.synced().await.unwrap();
            }
            journal.append(hold("d")).synced().await.unwrap();
            expected.extend(requests.map(settle));
            expected.push(hold("d"));
            assert_eq!(all(&journal), expected);
        } else {
            journal.close();
        }
        assert_eq!(reopened(&disk.after_crash(false)), expected, "recovers: {recovers}");
    }
}

#[tokio::test]
async fn a_spare_file_that_a_process_did_not_finish_is_made_anew() {
    let disk = MemoryDisk::default();
    disk.put("spare", vec![0; 100]);
    let journal = open(&disk, options()).unwrap();
    journal.append(hold("a")).synced().await.unwrap();
    assert_eq!(disk.bytes("spare").unwrap().len(), 1 << 14);
    disk.set(Fault::Full);
    let mut kept = journal.append(settle("a"));
    tokio::time::timeout(Duration::from_secs(10), kept.synced()).await.expect("there is room for it").unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_that_is_deleted_in_use_is_noticed_and_taken_for_a_full_disk() {
    let path = std::env::temp_dir().join(format!("waypost-journal-deleted-{}", std::process::id()));
    let disk = Arc::new(Folder::open(&path).unwrap());
    let (journal, _) = Journal::open(disk, Position::default(), options()).unwrap();
    journal.append(hold("before")).written().await.unwrap();
    assert!(journal.is_there() && !journal.is_failing());
    std::fs::remove_dir_all(&path).unwrap();
    assert!(!journal.is_there() && journal.is_failing(), "it is noticed while nothing is written");
    assert_eq!(journal.append(hold("refused")).written().await, Err(Unwritten::Disk));
    let mut kept = journal.append(settle("before"));
    // What ends waits in memory.
    while journal.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    std::fs::create_dir(&path).unwrap();
    kept.written().await.unwrap();
    journal.append(hold("after")).durable().await.unwrap();
    assert!(journal.is_there() && !journal.is_failing());
    journal.close();
    std::fs::remove_dir_all(&path).unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn what_went_to_a_deleted_file_is_never_called_durable() {
    let path = std::env::temp_dir().join(format!("waypost-journal-power-{}", std::process::id()));
    let disk = Arc::new(Folder::open(&path).unwrap());
    let options = Options { durability: Durability::Power, ..options() };
    let (journal, _) = Journal::open(disk, Position::default(), options).unwrap();
    journal.append(hold("before")).durable().await.unwrap();
    std::fs::remove_dir_all(&path).unwrap();
    // Nobody has looked yet: the write itself works, the sync does not.
    assert!(journal.append(settle("before")).durable().await.is_err());
    assert_eq!(journal.append(hold("refused")).written().await, Err(Unwritten::Disk));
}

#[tokio::test]
async fn settlements_wait_in_memory_when_even_the_spare_file_is_gone() {
    let disk = MemoryDisk::default();
    let journal = open(&disk, Options { sizes: Sizes { segment: 1 << 20, spare: 0 }, ..options() }).unwrap();
    journal.append(hold("a")).synced().await.unwrap();
    disk.set(Fault::Full);
    let mut ticket = journal.append(settle("a"));
    assert!(journal.append(hold("b")).written().await.is_err());
    assert_eq!(journal.waiting(), 1);
    disk.set(Fault::None);
    ticket.synced().await.unwrap();
    assert_eq!((all(&journal), journal.waiting()), (vec![hold("a"), settle("a")], 0));
}

#[tokio::test]
async fn segments_that_are_not_needed_go_oldest_first_and_the_present_one_stays() {
    let disk = MemoryDisk::default();
    let journal = open(&disk, Options { sizes: Sizes { segment: 300, spare: 64 }, ..options() }).unwrap();
    for number in 0..40 {
        journal.append(hold(&number.to_string())).synced().await.unwrap();
    }
    let segments = |disk: &MemoryDisk| disk.list().unwrap().iter().filter(|name| name.ends_with(".journal")).count();
    assert!(segments(&disk) > 2);
    let before = journal.size();
    journal.forget_before(u64::MAX).unwrap();
    assert_eq!(segments(&disk), 1);
    assert!(journal.size() < before);
    journal.append(hold("last")).synced().await.unwrap();
    assert_eq!(reopened(&disk.after_crash(true)).last(), Some(&hold("last")));
}

#[tokio::test]
async fn while_one_writes_others_wait_without_a_thread_and_are_written_together() {
    let disk = MemoryDisk::default();
    let journal = open(&disk, options()).unwrap();
    journal.append(hold("first")).written().await.unwrap();

    // The next write says that it hangs, and does until it is let go.
    let ((hangs, hanging), (go, let_go)) = (channel(), channel());
    let (next, writes) = (Mutex::new(Some((hangs, let_go))), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&writes);
    disk.watch(move |call| {
        if call == Call::Write {
            counted.fetch_add(1, Ordering::Relaxed);
            let hangs = next.lock().unwrap().take();
            if let Some((hangs, let_go)) = hangs {
                hangs.send(()).unwrap();
                let_go.recv().unwrap();
            }
        }
        Ok(())
    });
    let slow = {
        let journal = journal.clone();
        std::thread::spawn(move || journal.append(hold("slow")).is_durable())
    };
    hanging.recv().unwrap();
    let before = writes.load(Ordering::Relaxed);
    let mut tickets: Vec<_> = (0..1000).map(|number| journal.append(hold(&format!("r{number}")))).collect();
    assert!(tickets.iter().all(|ticket| !ticket.is_durable()), "nobody was kept waiting, and nothing was promised");
    go.send(()).unwrap();
    for ticket in &mut tickets {
        ticket.written().await.unwrap();
    }
    assert!(slow.join().unwrap(), "who writes needs nobody else");
    assert_eq!(writes.load(Ordering::Relaxed) - before, 1, "all of them in one write");
    journal.close();
    assert_eq!(reopened(&disk.after_crash(false)).len(), 1002);
}

#[tokio::test]
async fn whoever_waits_for_the_disk_is_told_that_it_did_not_keep_a_record_however_late_they_look() {
    let (disk, forgetting) = (MemoryDisk::default(), Arc::new(AtomicBool::new(false)));
    let forgets = Arc::clone(&forgetting);
    disk.watch(move |call| match call {
        Call::Sync if forgets.load(Ordering::Relaxed) => Err(std::io::Error::other("as the test wants")),
        _ => Ok(()),
    });
    let journal = open(&disk, Options { durability: Durability::Power, ..options() }).unwrap();
    let mut tickets = Vec::new();
    // Alone, one behind another, and with some that were kept in between; more than are told apart.
    for (number, forgets) in [false, true, true, false, true].into_iter().cycle().take(400).enumerate() {
        forgetting.store(forgets, Ordering::Relaxed);
        let mut ticket = journal.append(hold(&number.to_string()));
        ticket.written().await.unwrap();
        journal.synced().await;
        tickets.push((forgets, ticket));
    }
    for (number, (forgotten, mut ticket)) in tickets.into_iter().enumerate() {
        let told = ticket.durable().await;
        let is_old = number < 250;
        assert!(told == Err(Unwritten::Disk) || !forgotten, "{number} is not there");
        assert!(told == Ok(()) || forgotten || is_old, "{number} is there");
    }
}
