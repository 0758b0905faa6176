//! The disk under a gateway is really full, while it serves: what `OPERATING.md` says of that, and that nothing is lost.
//! `WAYPOST_OUTAGE_MS` says for how long. Linux, since the disk is a small one of the kernel's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::{sleep, timeout};
use waypost_core::secret::Secret;
use waypost_store::{Place, Store, Tx};
use waypost_testkit::postgres::Database;
use waypost_testkit::{Request, SmallDisk, Waypost};

use crate::harness::KEY;
use crate::load::{ADMIN, Load, PAID, PATIENCE, PROGRAM, Told, outage};

const CALLERS: [&str; 4] = [KEY, PAID, KEY, PAID];
/// Room for a database, a journal, and the 8 MiB of its spare file.
const MEGABYTES: u32 = 24;

/// A gateway of which something is on a small disk, at `{folder}/disk`.
struct Small {
    load: Load,
    disk: SmallDisk,
}

impl Small {
    async fn new(name: &str, settings: &str) -> Self {
        let load = Load::new(name, settings).await;
        let disk = SmallDisk::mount(&load.folder.0.join("disk"), MEGABYTES);
        let program = disk.program(std::path::Path::new(PROGRAM));
        Self { load: load.through(program), disk }
    }
}

fn is_served(told: &Told) -> bool {
    told.status == 200
}

async fn health(waypost: &Waypost) -> u16 {
    let mut worst = 0;
    for path in ["/health", "/health/live", "/health/ready", "/health/detailed"] {
        worst = worst.max(Request::get(path).send(&waypost.url).await.status);
    }
    worst
}

/// The journal's disk fills up under load, and is full for a while: new requests are put off, running ones end and are charged.
async fn full(small: &Small, waypost: &Waypost) {
    let Small { load, disk } = small;
    let streams = [load.stream(waypost).await, load.stream(waypost).await];
    disk.fill();
    load.more("new requests are put off", 40, Told::is_put_off).await;
    assert_eq!(health(waypost).await, 200, "nothing is wrong with those that it asks");
    for path in ["/admin/deployments", "/admin/budgets"] {
        let read = Request::get(path).bearer(ADMIN).send(&waypost.url).await;
        assert_eq!(read.status, 200, "reading goes on: {}", read.text());
    }
    for stream in streams {
        load.finish(stream).await;
    }
    sleep(outage()).await;
}

/// Keeps anybody from writing to the ledger in Postgres, so that nothing of the journal is folded in and makes room.
async fn busy(url: &str) -> (Store, Tx) {
    let place = Place::Postgres { url: Secret::new(url.to_owned()), connections: 2 };
    let store = Store::connect(&place).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    sqlx::query("lock table ledger_transactions in exclusive mode").execute(&mut *tx).await.unwrap();
    (store, tx)
}

/// The whole story, to the end of the process and a new one.
async fn until_there_is_room(small: &Small, postgres: Option<&str>) {
    let Small { load, disk } = small;
    let waypost = load.start().await;
    let busy = match postgres {
        Some(url) => Some(busy(url).await),
        None => None,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let callers = load.callers(&waypost, &stop, &CALLERS);
    load.more("it serves before", 20, is_served).await;
    full(small, &waypost).await;
    disk.make_room();
    load.more("it serves when there is room", 20, is_served).await;
    load.run(&["ledger", "verify"]);
    assert_eq!(load.count(|told| told.status != 200 && !told.is_put_off()), 0);
    // And once more: a new spare file was made.
    full(small, &waypost).await;
    disk.make_room();
    load.more("it serves when there is room again", 20, is_served).await;
    if let Some((store, tx)) = busy {
        tx.rollback().await.unwrap();
        store.close().await;
    }
    stop.store(true, Ordering::Relaxed);
    callers.join_all().await;
    assert_eq!(load.sent(), load.delivered(), "nothing was sent that could not be charged");
    assert_eq!(waypost.stop().0, Some(0));
    load.run(&["ledger", "verify"]);
    // What the database did not take in time is in the journal, for the next start.
    assert_eq!(load.start().await.stop().0, Some(0));
    load.check();
}

#[tokio::test]
async fn a_full_disk_under_everything_puts_requests_off_and_loses_nothing() {
    let small = Small::new("full", "database: {path: '{folder}/disk/app.db'}\n").await;
    until_there_is_room(&small, None).await;
}

#[tokio::test]
async fn a_full_disk_under_the_journal_of_a_gateway_with_postgres_loses_nothing() {
    let database = Database::create();
    let settings = format!("database: {{url: '{}'}}\nledger: {{journal: '{{folder}}/disk/journal'}}\n", database.url());
    let small = Small::new("full-postgres", &settings).await;
    until_there_is_room(&small, Some(&database.url())).await;
}

#[tokio::test]
async fn a_gateway_that_is_killed_on_a_full_disk_loses_nothing() {
    let small = Small::new("full-killed", "database: {path: '{folder}/disk/app.db'}\n").await;
    let Small { load, disk } = &small;
    let waypost = load.start().await;
    let callers = load.callers(&waypost, &Arc::default(), &CALLERS);
    load.more("it serves before", 20, is_served).await;
    full(&small, &waypost).await;
    // SIGKILL.
    drop(waypost);
    callers.join_all().await;
    let refused = load.try_run(&[]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("is full"), "a start that cannot keep books: {said}");
    disk.make_room();
    assert_eq!(load.start().await.stop().0, Some(0));
    load.check();
}

#[tokio::test]
async fn a_full_disk_under_the_database_alone_is_noticed_by_nobody() {
    let settings = "database: {path: '{folder}/disk/app.db'}\nledger: {journal: '{folder}/journal'}\n";
    let small = Small::new("full-database", settings).await;
    let Small { load, disk } = &small;
    let waypost = load.start().await;
    load.limit(&waypost, "100").await;
    let stop = Arc::new(AtomicBool::new(false));
    let callers = load.callers(&waypost, &stop, &CALLERS);
    load.more("it serves before", 20, is_served).await;
    disk.fill();
    load.more("it serves meanwhile", 200, is_served).await;
    load.more("the limited key, too", 20, |told| told.key == PAID && is_served(told)).await;
    assert_eq!(health(&waypost).await, 200);
    sleep(outage()).await;
    disk.make_room();
    load.more("it serves afterwards", 20, is_served).await;
    stop.store(true, Ordering::Relaxed);
    timeout(PATIENCE, callers.join_all()).await.unwrap();
    assert_eq!(load.count(|told| told.status != 200), 0, "nobody notices");
    assert_eq!(waypost.stop().0, Some(0));
    assert_eq!(load.start().await.stop().0, Some(0));
    load.check();
}
