//! Money between the database and the nodes that lease it: nothing is lost on the way, whoever stops waiting, and nobody waits for
//! another in a circle. One node has all there is with SQLite, so these are on Postgres.

use std::sync::Arc;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use waypost_core::ledger::{Account, Scope, Window};
use waypost_core::money::NanoUsd;
use waypost_store::journal::MemoryDisk;
use waypost_store::ledger::charges::Wanted;
use waypost_store::money::{Ask, By, Correction, Money, Refused};
use waypost_store::{Store, Tx};
use waypost_testkit::postgres::Database;

use crate::harness::{NOW, postgres};
use crate::money::{ann, ask, budget, settings, settle, top_up};

const HOUR: i64 = 3_600_000;
const TOMORROW: i64 = NOW + 24 * HOUR;

async fn on_postgres(test: impl AsyncFn(Store)) {
    let database = Database::create();
    let store = Store::open(&postgres(&database), NOW).await.unwrap();
    test(store.clone()).await;
    store.close().await;
}

async fn node(store: &Store, name: &str, disk: &MemoryDisk, now: i64) -> Money {
    Money::open_on(store.clone(), Arc::new(disk.clone()), settings(name), now).await.unwrap().0
}

async fn run(tx: &mut Tx, text: &str) {
    sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut **tx).await.unwrap();
}

async fn sql(store: &Store, text: &str) {
    let mut tx = store.begin().await.unwrap();
    run(&mut tx, text).await;
    tx.commit().await.unwrap();
}

async fn leased(store: &Store) -> i64 {
    store.balance(&ann()).await.unwrap().unwrap().leased.get()
}

/// What nodes hold of the latest windows of a budget, the latest first.
async fn leased_of_windows(store: &Store, budget: &str) -> Vec<i64> {
    store.windows(budget, 9).await.unwrap().iter().map(|window| window.leased.get()).collect()
}

async fn whole(money: &Money) {
    assert_eq!(money.verify(&mut money.verifier(), NOW).await.unwrap().flaws, []);
}

#[tokio::test]
async fn a_refill_arrives_though_the_request_that_asked_for_it_is_gone() {
    on_postgres(async |store| {
        let money = node(&store, "node-1", &MemoryDisk::default(), NOW).await;
        top_up(&money, "t1", 1000).await;
        // A commit that moves a lease takes until the gate is open.
        sql(
            &store,
            "create function wait_at_the_gate() returns trigger language plpgsql as \
             'begin perform pg_advisory_xact_lock(7); return null; end'; \
             create constraint trigger gate after insert or update on ledger_leases deferrable initially deferred \
             for each row execute function wait_at_the_gate()",
        )
        .await;
        let mut gate = store.begin().await.unwrap();
        run(&mut gate, "select pg_advisory_xact_lock(7)").await;
        let late = money.hold(ask(&money, "r1", 300)).await;
        assert!(matches!(late, Err(Refused::Unavailable(_))), "{late:?}");
        assert_eq!(leased(&store).await, 0, "it is not committed");
        gate.rollback().await.unwrap();
        let purse = money.books().credit(&ann()).unwrap();
        let arrives = async {
            while purse.standing(NOW).allotted.get() == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), arrives).await.expect("the lease is in memory, too");
        assert_eq!(purse.standing(NOW).allotted.get(), leased(&store).await);
        settle(money.hold(ask(&money, "r2", 300)).await.unwrap(), 100).await;
        money.close(NOW).await.unwrap();
        assert_eq!(leased(&store).await, 0);
        whole(&money).await;
    })
    .await;
}

#[tokio::test]
async fn what_is_given_back_arrives_though_nobody_waits_for_it() {
    on_postgres(async |store| {
        let money = node(&store, "node-1", &MemoryDisk::default(), NOW).await;
        top_up(&money, "t1", 1000).await;
        settle(money.hold(ask(&money, "r1", 800)).await.unwrap(), 100).await;
        money.fold_all(NOW).await.unwrap();
        assert_eq!(leased(&store).await, 700);
        let mut lock = store.begin().await.unwrap();
        run(&mut lock, "update ledger_accounts set changed_at = changed_at").await;
        let given_back = tokio::time::timeout(Duration::from_millis(50), money.give_back()).await;
        assert!(given_back.is_err(), "somebody else has the account");
        let purse = money.books().credit(&ann()).unwrap();
        assert_eq!(purse.standing(NOW).allotted, NanoUsd(100), "it is on its way");
        lock.rollback().await.unwrap();
        money.give_back().await.unwrap();
        assert_eq!(leased(&store).await, 0);
        whole(&money).await;
    })
    .await;
}

#[tokio::test]
async fn what_the_database_does_not_take_back_can_be_spent_here_again() {
    on_postgres(async |store| {
        let money = node(&store, "node-1", &MemoryDisk::default(), NOW).await;
        top_up(&money, "t1", 1000).await;
        settle(money.hold(ask(&money, "r1", 800)).await.unwrap(), 100).await;
        money.fold_all(NOW).await.unwrap();
        sql(&store, "alter table ledger_leases rename to away").await;
        money.give_back().await.unwrap_err();
        sql(&store, "alter table away rename to ledger_leases").await;
        let purse = money.books().credit(&ann()).unwrap();
        assert_eq!((purse.standing(NOW).allotted.get(), leased(&store).await), (800, 700));
        money.close(NOW).await.unwrap();
        assert_eq!(leased(&store).await, 0);
        whole(&money).await;
    })
    .await;
}

#[tokio::test]
async fn what_is_left_of_a_window_goes_back_when_it_is_over_and_lines_do_not_gather() {
    on_postgres(async |store| {
        let money = node(&store, "node-1", &MemoryDisk::default(), NOW).await;
        money.put_budget(budget("bud_1", Scope::Global, Window::Day, 1000, true), NOW, None).await.unwrap();
        settle(money.hold(ask(&money, "r1", 500)).await.unwrap(), 100).await;
        let running = money.hold(ask(&money, "r2", 600)).await.unwrap();
        money.fold_all(NOW).await.unwrap();
        money.refresh(TOMORROW).await.unwrap();
        assert_eq!(leased_of_windows(&store, "bud_1").await, [600], "what a request holds that still runs");
        settle(running, 50).await;
        money.fold_all(TOMORROW).await.unwrap();
        money.refresh(TOMORROW).await.unwrap();
        assert_eq!(leased_of_windows(&store, "bud_1").await, [0]);
        let later = Ask { at: TOMORROW, ..ask(&money, "r3", 10) };
        settle(money.hold(later).await.unwrap(), 10).await;
        money.fold_all(TOMORROW).await.unwrap();
        assert_eq!(store.leases("node-1").await.unwrap().len(), 1, "the line of yesterday is gone");
        whole(&money).await;
    })
    .await;
}

#[tokio::test]
async fn a_process_that_died_in_another_window_gives_back_what_it_had_of_that() {
    on_postgres(async |store| {
        let disk = MemoryDisk::default();
        let money = node(&store, "node-1", &disk, NOW).await;
        money.put_budget(budget("bud_1", Scope::Global, Window::Day, 1000, true), NOW, None).await.unwrap();
        settle(money.hold(ask(&money, "r1", 500)).await.unwrap(), 100).await;
        let money = node(&store, "node-1", &disk.after_crash(false), TOMORROW).await;
        assert_eq!(leased_of_windows(&store, "bud_1").await, [0]);
        whole(&money).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn giving_back_beside_a_fold_of_the_same_purses_waits_in_no_circle() {
    on_postgres(async |store| {
        let money = node(&store, "node-1", &MemoryDisk::default(), NOW).await;
        top_up(&money, "t1", 100_000).await;
        money.put_budget(budget("bud_1", Scope::Global, Window::Day, 100_000, true), NOW, None).await.unwrap();
        // Whoever has a lease keeps it long enough for the other one to come.
        sql(
            &store,
            "create function nap() returns trigger language plpgsql as 'begin perform pg_sleep(0.02); return null; end'; \
             create trigger nap after update on ledger_leases for each row execute function nap()",
        )
        .await;
        for round in 0..10 {
            settle(money.hold(ask(&money, &format!("r{round}"), 900)).await.unwrap(), 300).await;
            let (folded, given_back) = tokio::join!(money.fold_all(NOW), money.give_back());
            assert_eq!(folded.expect("nothing is in its way").settled, 1);
            given_back.expect("nothing is in its way");
        }
        money.close(NOW).await.unwrap();
        assert_eq!((leased(&store).await, leased_of_windows(&store, "bud_1").await), (0, vec![0]));
        whole(&money).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_beside_another_nodes_fold_waits_in_no_circle() {
    on_postgres(async |store| {
        let one = node(&store, "node-1", &MemoryDisk::default(), NOW).await;
        top_up(&one, "t1", 100_000).await;
        let two = node(&store, "node-2", &MemoryDisk::default(), NOW).await;
        settle(one.hold(ask(&one, "r", 900)).await.unwrap(), 900).await;
        one.fold_all(NOW).await.unwrap();
        one.give_back().await.unwrap();
        sql(
            &store,
            "create function nap() returns trigger language plpgsql as 'begin perform pg_sleep(0.02); return null; end'; \
             create trigger nap after update on ledger_accounts for each row when (new.name = 'revenue') \
             execute function nap()",
        )
        .await;
        let wanted = Wanted { from: 0, to: i64::MAX, model: None, unpriced: false };
        for round in 1..=10 {
            two.refresh(NOW).await.unwrap();
            settle(two.hold(ask(&two, &format!("r{round}"), 100)).await.unwrap(), 100).await;
            let charges = store.charges(&wanted, None, 100).await.unwrap();
            let charge = charges.iter().find(|charge| &*charge.request == "r").unwrap();
            let cheaper = Correction { charge, cost: NanoUsd(900 - 10 * round), price: "v2" };
            let cheaper = [cheaper];
            let by = By { actor: "usr_owner", reason: "cheaper", at: NOW };
            let (corrected, folded) = tokio::join!(one.correct(&cheaper, by, None), two.fold_all(NOW));
            assert_eq!(corrected.expect("nothing is in its way").charged, NanoUsd(-10));
            assert_eq!(folded.expect("nothing is in its way").settled, 1);
        }
        two.close(NOW).await.unwrap();
        assert_eq!(store.balance(&ann()).await.unwrap().unwrap().spent, NanoUsd(900 - 100 + 1000));
        whole(&one).await;
    })
    .await;
}

#[tokio::test]
async fn what_another_node_changes_is_followed_however_far_apart_their_clocks_are() {
    for (writes, reads) in [(NOW, NOW + HOUR), (NOW + HOUR, NOW)] {
        on_postgres(async |store| {
            let writer = node(&store, "node-1", &MemoryDisk::default(), writes).await;
            let reader = node(&store, "node-2", &MemoryDisk::default(), reads).await;
            let limit = async || {
                reader.refresh(reads).await.unwrap();
                reader.books().budget("bud_1").map(|purse| purse.definition().unwrap().amount.get())
            };
            let put = async |amount| {
                writer
                    .put_budget(budget("bud_1", Scope::Global, Window::Day, amount, true), writes, None)
                    .await
                    .unwrap();
            };
            assert_eq!(limit().await, None);
            for amount in [1000, 500] {
                put(amount).await;
                assert_eq!(limit().await, Some(amount));
            }
            writer.delete_budget("bud_1", None, writes, None).await.unwrap();
            assert_eq!(limit().await, None);
            let frozen = async || {
                reader.refresh(reads).await.unwrap();
                reader.books().credit(&ann()).map(|purse| purse.standing(reads).frozen)
            };
            assert_eq!(frozen().await, None);
            writer.make_prepaid(&ann(), writes).await.unwrap();
            assert_eq!(frozen().await, Some(false));
            for stop in [true, false] {
                writer.freeze("user:usr_ann", stop, writes).await.unwrap();
                assert_eq!(frozen().await, Some(stop));
            }
        })
        .await;
    }
}

#[tokio::test]
async fn more_changes_than_are_kept_are_followed_all_the_same() {
    on_postgres(async |store| {
        let writer = node(&store, "node-1", &MemoryDisk::default(), NOW).await;
        let reader = node(&store, "node-2", &MemoryDisk::default(), NOW).await;
        for id in ["bud_1", "bud_2"] {
            writer.put_budget(budget(id, Scope::Global, Window::Day, 1000, true), NOW, None).await.unwrap();
        }
        writer.make_prepaid(&Account::team("a"), NOW).await.unwrap();
        reader.refresh(NOW).await.unwrap();
        writer.delete_budget("bud_1", None, NOW, None).await.unwrap();
        writer.freeze("team:a", true, NOW).await.unwrap();
        store.forget_changes(0).await.unwrap();
        writer.make_prepaid(&ann(), NOW).await.unwrap();
        reader.refresh(NOW).await.unwrap();
        let books = reader.books();
        assert!(books.budget("bud_1").is_none() && books.budget("bud_2").is_some() && books.credit(&ann()).is_some());
        assert!(books.credit(&Account::team("a")).unwrap().standing(NOW).frozen);
    })
    .await;
}

/// Two nodes, and two budgets of which one is from a later version.
async fn with_one_unreadable(store: &Store) -> (Money, Money) {
    let writer = node(store, "node-1", &MemoryDisk::default(), NOW).await;
    let reader = node(store, "node-2", &MemoryDisk::default(), NOW).await;
    for id in ["bud_1", "bud_2"] {
        writer.put_budget(budget(id, Scope::Global, Window::Day, 1000, true), NOW, None).await.unwrap();
    }
    sql(store, "update ledger_budgets set length = 'fortnight' where id = 'bud_1'").await;
    (writer, reader)
}

#[tokio::test]
async fn a_budget_that_cannot_be_read_is_told_once_and_keeps_nobody_from_following_the_others() {
    on_postgres(async |store| {
        let (_writer, reader) = with_one_unreadable(&store).await;
        reader.refresh(NOW).await.unwrap_err();
        assert!(reader.books().budget("bud_1").is_none() && reader.books().budget("bud_2").is_some());
        reader.refresh(NOW).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn one_that_cannot_be_read_keeps_nobody_from_following_however_much_was_changed_but_from_starting() {
    on_postgres(async |store| {
        let (writer, reader) = with_one_unreadable(&store).await;
        store.forget_changes(0).await.unwrap();
        writer.make_prepaid(&ann(), NOW).await.unwrap();
        let told = reader.refresh(NOW).await.unwrap_err();
        assert!(told.to_string().contains("bud_1"), "{told}");
        let books = reader.books();
        assert!(books.budget("bud_1").is_none() && books.budget("bud_2").is_some() && books.credit(&ann()).is_some());
        reader.refresh(NOW).await.expect("it is told once");
        let start = async || {
            let disk = Arc::new(MemoryDisk::default());
            Money::open_on(store.clone(), disk, settings("node-3"), NOW).await.map(drop)
        };
        let refused = start().await.unwrap_err().to_string();
        assert_eq!(refused, "budget bud_1 has a window that this version does not know");
        sql(&store, "update ledger_budgets set deleted = 1 where id = 'bud_1'").await;
        start().await.expect("what is gone limits nothing");
    })
    .await;
}

/// A node gets nothing, and that is because there is nothing.
async fn spent(money: &Money, request: &str) {
    let refused = money.hold(ask(money, request, 1)).await.unwrap_err();
    assert!(matches!(refused, Refused::Short(_)), "{request}: {refused}");
}

#[tokio::test]
async fn a_budget_that_is_lowered_binds_every_node_at_once_and_for_the_rest_of_its_window() {
    on_postgres(async |store| {
        let one = node(&store, "node-1", &MemoryDisk::default(), NOW).await;
        let two = node(&store, "node-2", &MemoryDisk::default(), NOW).await;
        let put = async |amount| {
            one.put_budget(budget("bud_1", Scope::Global, Window::Day, amount, true), NOW, None).await.unwrap();
            two.refresh(NOW).await.unwrap();
        };
        put(1000).await;
        settle(one.hold(ask(&one, "r1", 5)).await.unwrap(), 5).await;
        settle(two.hold(ask(&two, "r2", 10)).await.unwrap(), 10).await;
        put(0).await;
        spent(&two, "r3").await;
        spent(&one, "r4").await;
        for node in [&one, &two] {
            node.give_back().await.unwrap();
            node.refresh(NOW).await.unwrap();
        }
        spent(&one, "r5").await;
        spent(&two, "r6").await;
        for node in [&one, &two] {
            node.fold_all(NOW).await.unwrap();
            node.refresh(NOW).await.unwrap();
        }
        spent(&two, "r7").await;
        let window = store.windows("bud_1", 1).await.unwrap().remove(0);
        assert_eq!((window.amount, window.spent, window.leased), (NanoUsd(15), NanoUsd(15), NanoUsd(0)));
        put(16).await;
        settle(two.hold(ask(&two, "r8", 1)).await.unwrap(), 1).await;
        one.refresh(NOW).await.unwrap();
        spent(&one, "r9").await;
        two.fold_all(NOW).await.unwrap();
        whole(&two).await;
    })
    .await;
}

#[tokio::test]
async fn what_comes_back_of_a_window_that_is_over_leaves_its_amount_as_it_was() {
    on_postgres(async |store| {
        let money = node(&store, "node-1", &MemoryDisk::default(), NOW).await;
        let put = async |amount, at| {
            money.put_budget(budget("bud_1", Scope::Global, Window::Day, amount, true), at, None).await.unwrap();
        };
        put(1000, NOW).await;
        let running = money.hold(ask(&money, "r1", 100)).await.unwrap();
        put(10, TOMORROW).await;
        settle(running, 50).await;
        assert_eq!(money.fold_all(TOMORROW).await.unwrap().alerts, [], "50 of 1000");
        money.refresh(TOMORROW).await.unwrap();
        let windows = store.windows("bud_1", 9).await.unwrap();
        let figures: Vec<_> = windows.iter().map(|window| (window.amount.get(), window.spent.get())).collect();
        assert_eq!(figures, [(10, 0), (1000, 50)]);
    })
    .await;
}

#[tokio::test]
async fn all_that_is_left_of_a_soft_budget_can_be_spent_once_it_is_hard_and_no_more() {
    on_postgres(async |store| {
        let one = node(&store, "node-1", &MemoryDisk::default(), NOW).await;
        let two = node(&store, "node-2", &MemoryDisk::default(), NOW).await;
        let put = async |hard| {
            one.put_budget(budget("bud_1", Scope::Global, Window::Day, 100, hard), NOW, None).await.unwrap();
            two.refresh(NOW).await.unwrap();
        };
        put(false).await;
        settle(one.hold(ask(&one, "soft", 60)).await.unwrap(), 60).await;
        one.fold_all(NOW).await.unwrap();
        put(true).await;
        for number in 0..40 {
            let node = if number % 2 == 0 { &one } else { &two };
            node.refresh(NOW).await.unwrap();
            settle(node.hold(ask(node, &format!("r{number}"), 1)).await.unwrap(), 1).await;
            node.give_back().await.unwrap();
        }
        for node in [&one, &two] {
            node.refresh(NOW).await.unwrap();
            spent(node, "too much").await;
            assert_eq!(node.fold_all(NOW).await.unwrap().overrun, NanoUsd(0));
        }
        let window = store.windows("bud_1", 1).await.unwrap().remove(0);
        assert_eq!((window.amount, window.spent, window.leased), (NanoUsd(100), NanoUsd(100), NanoUsd(0)));
        whole(&one).await;
    })
    .await;
}

#[tokio::test]
async fn what_was_spent_on_account_out_of_a_lease_keeps_the_rest_of_it_from_nobody() {
    on_postgres(async |store| {
        let money = node(&store, "node-1", &MemoryDisk::default(), NOW).await;
        let on_account = money.hold(ask(&money, "r1", 5)).await.unwrap();
        top_up(&money, "t1", 100).await;
        let prepaid = money.hold(ask(&money, "r2", 10)).await.unwrap();
        settle(on_account, 5).await;
        settle(prepaid, 2).await;
        money.fold_all(NOW).await.unwrap();
        money.refresh(NOW + HOUR).await.unwrap();
        let balance = store.balance(&ann()).await.unwrap().unwrap();
        assert_eq!((balance.spent, balance.leased), (NanoUsd(7), NanoUsd(0)));
        assert_eq!(store.leases("node-1").await.unwrap().iter().map(|lease| lease.unspent.get()).sum::<i64>(), 0);
        whole(&money).await;
        settle(money.hold(ask(&money, "r3", 93)).await.unwrap(), 93).await;
    })
    .await;
}
