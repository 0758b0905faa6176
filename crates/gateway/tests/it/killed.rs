//! The process is killed while it serves, again and again, and its database goes away under it: afterwards the books are whole,
//! and every answer that was delivered is charged exactly once. `WAYPOST_KILLS` says how often it is killed, `WAYPOST_OUTAGE_MS`
//! how long the database is away; little of both if they are not set.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use waypost_core::dice::Dice;
use waypost_store::{Place, Store};
use waypost_testkit::Waypost;
use waypost_testkit::postgres::{Cluster, Database};

use crate::harness::KEY;
use crate::load::{COST, Load, PAID, PATIENCE, Told, outage, said};

/// Half of them spend what nobody limits.
const CALLERS: [&str; 8] = [KEY, PAID, KEY, PAID, KEY, PAID, KEY, PAID];

async fn kill_again_and_again(name: &str, database: &str) {
    let kills = said("WAYPOST_KILLS", 5);
    let load = Load::new(name, database).await;
    let mut dice = Dice::seeded(20_261_126);
    for _ in 0..kills {
        let waypost = load.start().await;
        let callers = load.callers(&waypost, &Arc::default(), &CALLERS);
        sleep(Duration::from_micros(20_000 + dice.below(150_000))).await;
        // SIGKILL.
        drop(waypost);
        callers.join_all().await;
    }
    assert_eq!(load.start().await.stop().0, Some(0));
    assert!(load.delivered() as u64 > kills, "{} answers under {kills} kills", load.delivered());
    load.check();
}

/// Load before, while and after something is away. Nobody's money is limited, so the journal is all that it needs.
async fn without(load: &Load, waypost: Waypost, away: impl AsyncFnOnce(Duration)) {
    let stop = Arc::new(AtomicBool::new(false));
    let callers = load.callers(&waypost, &stop, &CALLERS);
    load.more("it serves before", 20, is_served).await;
    let before = load.delivered();
    away(outage()).await;
    let after = load.delivered();
    assert!(after > before + 20, "it serves meanwhile: {before}, then {after}");
    load.more("it serves after", 20, is_served).await;
    end(load, waypost, &stop, callers).await;
    assert_eq!(load.count(|told| told.status != 200), 0, "nobody notices");
    load.check();
}

fn is_served(told: &Told) -> bool {
    told.status == 200
}

fn is_paid(told: &Told) -> bool {
    told.key == PAID && told.status == 200
}

fn is_out_of_money(told: &Told) -> bool {
    told.key == PAID && told.status == 429 && told.code == "insufficient_quota"
}

async fn end(load: &Load, waypost: Waypost, stop: &AtomicBool, callers: tokio::task::JoinSet<()>) {
    stop.store(true, Ordering::Relaxed);
    callers.join_all().await;
    assert_eq!(waypost.stop().0, Some(0));
    // What the database did not take in time is in the journal, for the next start.
    assert_eq!(load.start().await.stop().0, Some(0));
}

/// The budget is spent as far as it goes, and not a nano-USD more; whoever is not limited was never refused.
fn settle_up(load: &Load, budget: i64) {
    let charged = load.check();
    let spent = load.spent(PAID, &charged);
    assert!(spent <= budget, "{spent} of {budget}");
    assert_eq!(load.count(|told| told.key == KEY && told.status != 200), 0, "nobody limits them");
    let all = load.count(is_paid) as i64 * COST.get();
    assert_eq!(spent, all, "what was delivered, and nothing else");
}

#[tokio::test]
async fn no_delivered_answer_is_lost_or_charged_twice_on_sqlite() {
    kill_again_and_again("sqlite", "").await;
}

#[tokio::test]
async fn no_delivered_answer_is_lost_or_charged_twice_on_postgres() {
    let database = Database::create();
    kill_again_and_again("postgres", &format!("database: {{url: '{}'}}\n", database.url())).await;
}

#[tokio::test]
async fn a_postgres_that_stops_under_load_loses_nothing() {
    let mut cluster = Cluster::start();
    let load = Load::new("stopped", &format!("database: {{url: '{}/postgres'}}\n", cluster.url())).await;
    let waypost = load.start().await;
    without(&load, waypost, async |time| {
        cluster.stop();
        sleep(time).await;
        cluster.resume();
    })
    .await;
}

#[tokio::test]
async fn a_sqlite_file_that_somebody_else_has_locked_loses_nothing() {
    let load = Load::new("locked", "").await;
    let waypost = load.start().await;
    let place = Place::Sqlite(load.folder.0.join("database/app.db"));
    let other = Store::connect(&place).await.unwrap();
    without(&load, waypost, async |time| {
        let held = other.begin().await.unwrap();
        sleep(time).await;
        held.rollback().await.unwrap();
    })
    .await;
    other.close().await;
}

#[tokio::test]
async fn without_postgres_a_limited_key_spends_its_lease_and_is_then_asked_to_wait() {
    let mut cluster = Cluster::start();
    let load = Load::new("lease", &format!("database: {{url: '{}/postgres'}}\n", cluster.url())).await;
    let waypost = load.start().await;
    // For 166 answers; a lease is a sixteenth of what is left, or what the next request needs.
    load.limit(&waypost, "0.004").await;
    let stop = Arc::new(AtomicBool::new(false));
    let callers = load.callers(&waypost, &stop, &CALLERS);
    load.more("the limited key is served before", 20, is_paid).await;
    cluster.stop();
    let (served, paid) = (load.delivered(), load.count(is_paid));
    load.more("its lease runs dry", 4, |told| told.key == PAID && told.is_put_off()).await;
    let leased = load.count(is_paid) - paid;
    assert!(leased <= 166 / 4, "{leased} answers from one lease");
    sleep(outage()).await;
    assert!(load.count(is_paid) - paid <= leased + CALLERS.len(), "a dry lease serves nobody");
    assert!(load.delivered() > served + leased + 20, "others go on");
    cluster.resume();
    load.more("the limited key is served again", 20, is_paid).await;
    load.more("its budget comes to its end", 4, is_out_of_money).await;
    assert_eq!(load.count(|told| told.status != 200 && !told.is_put_off() && !is_out_of_money(told)), 0);
    end(&load, waypost, &stop, callers).await;
    settle_up(&load, 4_000_000);
}

#[tokio::test]
async fn with_sqlite_locked_a_limited_key_spends_all_of_its_budget_and_no_more() {
    let load = Load::new("owned", "").await;
    let waypost = load.start().await;
    load.limit(&waypost, "0.01").await;
    let stop = Arc::new(AtomicBool::new(false));
    let callers = load.callers(&waypost, &stop, &CALLERS);
    load.more("the limited key is served before", 20, is_paid).await;
    let other = Store::connect(&Place::Sqlite(load.folder.0.join("database/app.db"))).await.unwrap();
    let held = timeout(PATIENCE, other.begin()).await.unwrap().unwrap();
    load.more("the limited key is served meanwhile", 100, is_paid).await;
    sleep(outage()).await;
    held.rollback().await.unwrap();
    other.close().await;
    load.more("its budget comes to its end", 4, is_out_of_money).await;
    assert_eq!(load.count(|told| told.status != 200 && !is_out_of_money(told)), 0);
    end(&load, waypost, &stop, callers).await;
    settle_up(&load, 10_000_000);
}
