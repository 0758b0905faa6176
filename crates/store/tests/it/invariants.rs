//! What must hold exactly, over the real store on both databases. The rest of the list: I1, I3 and I7 also in
//! `simulation`, I8 in the core's `limit`, I9 in `verify`.

use std::sync::Arc;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use waypost_core::ledger::{Account, Scope, Window};
use waypost_core::money::NanoUsd;
use waypost_core::role::Actor;
use waypost_store::journal::{Durability, Fault, MemoryDisk, Options};
use waypost_store::ledger::Kind as Entry;
use waypost_store::ledger::grants::Grant;
use waypost_store::ledger::vouchers::{self, Redemption};
use waypost_store::money::{Ask, Money, Refused, Settings};
use waypost_store::{Kind, Store, StoreError, audit, page};

use crate::harness::{NOW, on_both};
use crate::money::{ann, ask, budget, ended, open, settings, settle, sums, top_up};

pub(crate) async fn sql(store: &Store, text: &str) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

#[tokio::test]
async fn i2_no_overdraft_is_possible_in_the_database_itself() {
    on_both(async |store| {
        let (money, _) = open(&store, &MemoryDisk::default()).await;
        top_up(&money, "t1", 100).await;
        money.put_budget(budget("bud_1", Scope::Global, Window::Total, 50, true), NOW, None).await.unwrap();
        for text in [
            "update ledger_accounts set spent = 101 where name = 'user:usr_ann'",
            "update ledger_accounts set spent = 60, leased = 41 where name = 'user:usr_ann'",
            "update ledger_accounts set granted = -1 where name = 'user:usr_ann'",
            "update ledger_windows set spent = 51",
            "update ledger_windows set leased = 30, spent = 30",
        ] {
            assert!(sql(&store, text).await.is_err(), "{text}");
        }
    })
    .await;
}

#[tokio::test]
async fn i4_a_request_is_charged_once_whatever_is_written_twice() {
    on_both(async |store| {
        let disk = MemoryDisk::default();
        let (money, _) = open(&store, &disk).await;
        top_up(&money, "t1", 1000).await;
        settle(money.hold(ask(&money, "r1", 100)).await.unwrap(), 10).await;
        money.fold_all(NOW).await.unwrap();
        settle(money.hold(ask(&money, "r1", 100)).await.unwrap(), 20).await;
        assert_eq!(money.fold_all(NOW).await.unwrap().settled, 0);
        assert_eq!(sums(&store, &ann()).await, (1000, 10));
        let forged = "insert into ledger_transactions select node, 9, request, kind, at, outcome, actor, reason, prices, \
                      usage_counts, cost, charged, held, budgets, key_id, user_id, team_id, model, deployment, hash \
                      from ledger_transactions where request = 'r1'";
        assert!(sql(&store, forged).await.is_err());
    })
    .await;
}

/// Many callers at once on little money: what they want is unlike, and so is how they end.
async fn rush(money: &Money, round: usize, tasks: i64) -> (i64, i64) {
    let running = (0..tasks).map(|number| {
        let money = money.clone();
        tokio::spawn(async move {
            let (held, cost) = (20 + number * 7 % 90, number * 13 % 120);
            let request = format!("{round}-{number}");
            let Ok(hold) = money.hold(ask(&money, &request, held)).await else { return (0, 0) };
            tokio::task::yield_now().await;
            if number % 5 == 0 {
                return (0, 0);
            }
            let (settled, mut ticket) = hold.settle(ended(cost));
            ticket.synced().await.unwrap();
            (settled.charged.get(), cost)
        })
    });
    let (mut charged, mut cost) = (0, 0);
    for task in running.collect::<Vec<_>>() {
        let (one, other) = task.await.unwrap();
        (charged, cost) = (charged + one, cost + other);
    }
    (charged, cost)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i5_many_callers_at_once_never_spend_more_than_there_is() {
    on_both(async |store| {
        let (money, _) = open(&store, &MemoryDisk::default()).await;
        top_up(&money, "t1", 5_000).await;
        money
            .put_budget(budget("bud_1", Scope::Key("key_1".into()), Window::Day, 4_000, true), NOW, None)
            .await
            .unwrap();
        let (charged, cost) = rush(&money, 0, 300).await;
        assert!(charged <= 4_000 && charged > 2_000, "{charged}");
        let folded = money.fold_all(NOW).await.unwrap();
        assert_eq!(folded.overrun.get(), cost - charged);
        assert_eq!(sums(&store, &ann()).await, (5_000, charged));
        assert_eq!(sums(&store, &Account::revenue()).await, (0, -cost));
        assert_eq!(money.held(), 0);
        for purse in money.books().all() {
            assert_eq!(purse.standing(NOW).held, NanoUsd(0), "{}", purse.id());
        }
        assert_eq!(money.verify(&mut money.verifier(), NOW).await.unwrap().flaws, []);
    })
    .await;
}

#[tokio::test]
async fn i6_nothing_may_be_sent_before_its_hold_is_in_the_journal() {
    on_both(async |store| {
        let disk = MemoryDisk::default();
        let (money, _) = open(&store, &disk).await;
        top_up(&money, "t1", 1000).await;
        let _held = money.hold(ask(&money, "r1", 100)).await.unwrap();
        let (_, replayed) = open(&store, &disk.after_crash(false)).await;
        assert_eq!(replayed.unknown, 1);
        disk.set(Fault::Die(1));
        let refused = money.hold(ask(&money, "r2", 100)).await.unwrap_err();
        assert!(matches!(refused, Refused::Unavailable(_)), "{refused}");
        assert_eq!(money.books().credit(&ann()).unwrap().standing(NOW).held, NanoUsd(100), "it gave back what it took");
    })
    .await;
}

#[tokio::test]
async fn i7_what_was_delivered_is_recorded_even_over_a_power_cut_if_that_is_asked_for() {
    on_both(async |store| {
        for (node, durability) in [("process", Durability::Process), ("power", Durability::Power)] {
            let disk = MemoryDisk::default();
            let settings = || Settings { journal: Options { durability, ..settings(node).journal }, ..settings(node) };
            let money = Money::open_on(store.clone(), Arc::new(disk.clone()), settings(), NOW).await.unwrap().0;
            let held = money.hold(ask(&money, &format!("r-{node}"), 100)).await.unwrap();
            let (_, mut ticket) = held.settle(ended(30));
            ticket.durable().await.unwrap();
            let left = Arc::new(disk.after_crash(durability == Durability::Power));
            let (_, replayed) = Money::open_on(store.clone(), left, settings(), NOW).await.unwrap();
            assert_eq!((replayed.settled, replayed.unknown), (1, 0), "{node}");
        }
    })
    .await;
}

#[tokio::test]
async fn i10_amounts_that_the_books_cannot_hold_are_refused_and_never_wrap() {
    on_both(async |store| {
        let (money, _) = open(&store, &MemoryDisk::default()).await;
        top_up(&money, "t1", i64::MAX - 5).await;
        let held = money.hold(ask(&money, "r1", i64::MAX - 5)).await.unwrap();
        assert!(money.hold(ask(&money, "r2", i64::MAX)).await.is_err());
        assert!(money.hold(ask(&money, "r3", 1)).await.is_err());
        assert_eq!(settle(held, i64::MAX - 5).await, i64::MAX - 5);
        money.fold_all(NOW).await.unwrap();
        assert_eq!(sums(&store, &ann()).await, (i64::MAX - 5, i64::MAX - 5));
        assert!(money.hold(ask(&money, "r4", 1)).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn i10_what_was_given_in_all_is_a_whole_number_or_is_refused() {
    on_both(async |store| {
        let (money, _) = open(&store, &MemoryDisk::default()).await;
        top_up(&money, "t1", i64::MAX - 5).await;
        let bob = Account::user("usr_bob");
        let give = async |id, amount| {
            let (amount, kind, actor, reason) = (NanoUsd(amount), Entry::TopUp, "usr_owner", "test");
            money.grant(Grant { id, account: &bob, amount, kind, actor, reason, at: NOW }, None).await
        };
        let refused = give("t2", i64::MAX - 5).await.unwrap_err().to_string();
        assert_eq!(refused, "the amount is larger than the books can hold");
        assert_eq!((sums(&store, &bob).await, sums(&store, &Account::adjustments()).await.0), ((0, 0), 5 - i64::MAX));
        give("t3", 5).await.unwrap();
        assert_eq!(money.verify(&mut money.verifier(), NOW).await.unwrap().flaws, []);
    })
    .await;
}

/// What nodes hold, what was spent and what is free, and what was given.
async fn conserved(store: &Store, granted: i64) {
    let balance = store.balance(&ann()).await.unwrap().unwrap();
    assert_eq!(balance.granted.get(), granted);
    let free = balance.granted.get() - balance.spent.get() - balance.leased.get();
    assert!(free >= 0 && balance.leased.get() >= 0, "{balance:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i11_nodes_together_never_spend_more_than_there_is_and_can_spend_all_of_it() {
    on_both(async |store| {
        if store.kind() == Kind::Sqlite {
            return;
        }
        let disks = [MemoryDisk::default(), MemoryDisk::default(), MemoryDisk::default()];
        let mut nodes = Vec::new();
        for (number, disk) in disks.iter().enumerate() {
            let settings = settings(&format!("n{number}"));
            nodes.push(Money::open_on(store.clone(), Arc::new(disk.clone()), settings, NOW).await.unwrap().0);
        }
        top_up(&nodes[0], "t1", 9_000).await;
        nodes[0].put_budget(budget("bud_1", Scope::Global, Window::Day, 8_000, true), NOW, None).await.unwrap();
        let mut spent = 0;
        for round in 0..12 {
            let money = &nodes[round % 3];
            money.refresh(NOW).await.unwrap();
            spent += rush(money, round, 40).await.0;
            money.fold_all(NOW).await.unwrap();
            conserved(&store, 9_000).await;
            money.give_back().await.unwrap();
            assert!(spent <= 8_000, "{spent}");
        }
        assert!(spent > 7_800, "{spent} of 8000: leases keep money from those who want it");
        for node in &nodes {
            node.close(NOW).await.unwrap();
        }
        let balance = store.balance(&ann()).await.unwrap().unwrap();
        assert_eq!((balance.spent.get(), balance.leased.get()), (spent, 0));
        assert_eq!(nodes[0].verify(&mut nodes[0].verifier(), NOW).await.unwrap().flaws, []);
    })
    .await;
}

#[tokio::test]
async fn i11_a_dead_nodes_lease_comes_back_by_its_journal_or_by_being_written_off() {
    on_both(async |store| {
        if store.kind() == Kind::Sqlite {
            return;
        }
        let (disk, other) = (MemoryDisk::default(), MemoryDisk::default());
        let (dead, _) = open(&store, &disk).await;
        top_up(&dead, "t1", 1000).await;
        let held = dead.hold(ask(&dead, "r1", 800)).await.unwrap();
        let (_, mut ticket) = held.settle(ended(300));
        ticket.synced().await.unwrap();
        let node = settings("node-2");
        let alive = Money::open_on(store.clone(), Arc::new(other), node, NOW + 1).await.unwrap().0;
        let Err(Refused::Short(_)) = alive.hold(ask(&alive, "r2", 201)).await else {
            panic!("it spent what another node holds")
        };
        let (by, held) = (Actor::cli(), store.leases("node-1").await.unwrap());
        assert!(store.write_off("node-1", NOW, (&by, NOW)).await.is_err(), "it may be alive");
        assert_eq!(store.write_off("node-1", NOW + 1, (&by, NOW)).await.unwrap(), held);
        assert_eq!(
            held.iter().map(|lease| (&*lease.purse, lease.unspent.get())).collect::<Vec<_>>(),
            [("user:usr_ann", 800)]
        );
        assert_eq!(store.leases("node-1").await.unwrap(), []);
        let nodes = store.nodes().await.unwrap();
        assert_eq!(nodes.iter().map(|node| node.written_off).collect::<Vec<_>>(), [true, false]);
        let told = audit::page(&store, &page::Scope::All, &audit::Filter::default(), None, 1).await.unwrap().0;
        assert_eq!((&*told[0].action, &*told[0].actor, &*told[0].subject), ("ledger.write_off", "cli", "node-1"));
        assert!(told[0].detail.contains(r#""purse":"user:usr_ann""#), "{}", told[0].detail);
        alive.refresh(NOW).await.unwrap();
        settle(alive.hold(ask(&alive, "r3", 900)).await.unwrap(), 900).await;
        alive.fold_all(NOW).await.unwrap();
        let (_, replayed) = open(&store, &disk.after_crash(false)).await;
        assert_eq!(replayed.settled, 1);
        assert_eq!(sums(&store, &ann()).await, (1000, 900), "the late charge is the operator's");
        assert_eq!(sums(&store, &Account::overrun()).await, (0, 300));
        assert_eq!(alive.verify(&mut alive.verifier(), NOW).await.unwrap().flaws, []);
    })
    .await;
}

#[tokio::test]
async fn i11_a_lease_that_nobody_uses_comes_back_while_its_node_lives() {
    on_both(async |store| {
        if store.kind() == Kind::Sqlite {
            return;
        }
        const MINUTE: i64 = 60_000;
        let disks = [MemoryDisk::default(), MemoryDisk::default()];
        let mut nodes = Vec::new();
        for (number, disk) in disks.iter().enumerate() {
            let settings = settings(&format!("n{number}"));
            nodes.push(Money::open_on(store.clone(), Arc::new(disk.clone()), settings, NOW).await.unwrap().0);
        }
        let (one, two) = (&nodes[0], &nodes[1]);
        top_up(one, "t1", 1000).await;
        one.put_budget(budget("bud_1", Scope::Global, Window::Month, 1000, true), NOW, None).await.unwrap();
        let running = one.hold(ask(one, "r0", 100)).await.unwrap();
        settle(one.hold(ask(one, "r1", 700)).await.unwrap(), 200).await;
        one.fold_all(NOW).await.unwrap();
        two.refresh(NOW).await.unwrap();
        let later = |node: &Money, request: &str, amount, at| Ask { at, ..ask(node, request, amount) };
        // A request still runs there, and then it was not long ago.
        one.refresh(NOW + MINUTE).await.unwrap();
        two.refresh(NOW + MINUTE).await.unwrap();
        assert!(
            matches!(two.hold(later(two, "r2", 600, NOW + MINUTE)).await, Err(Refused::Short(_))),
            "it is the other's"
        );
        settle(running, 100).await;
        one.fold_all(NOW + MINUTE).await.unwrap();
        one.refresh(NOW + MINUTE - 1).await.unwrap();
        two.refresh(NOW + MINUTE).await.unwrap();
        assert!(
            matches!(two.hold(later(two, "r3", 600, NOW + MINUTE)).await, Err(Refused::Short(_))),
            "a minute is not over"
        );
        one.refresh(NOW + MINUTE).await.unwrap();
        conserved(&store, 1000).await;
        // What the other took for a request that it refused goes back as well.
        two.refresh(NOW + MINUTE).await.unwrap();
        assert_eq!(store.balance(&ann()).await.unwrap().unwrap().leased.get(), 0);
        settle(two.hold(later(two, "r4", 600, NOW + MINUTE)).await.unwrap(), 600).await;
        // What comes back is there for the first one, too.
        one.refresh(NOW + MINUTE).await.unwrap();
        settle(one.hold(later(one, "r5", 50, NOW + MINUTE)).await.unwrap(), 50).await;
        for node in &nodes {
            node.close(NOW + MINUTE).await.unwrap();
        }
        let balance = store.balance(&ann()).await.unwrap().unwrap();
        assert_eq!((balance.spent.get(), balance.leased.get()), (950, 0));
        assert_eq!(one.verify(&mut one.verifier(), NOW).await.unwrap().flaws, []);
    })
    .await;
}

#[tokio::test]
async fn a_database_that_is_away_refuses_only_those_whose_lease_is_short_and_loses_nothing() {
    on_both(async |store| {
        let disk = MemoryDisk::default();
        let settings = Settings { patience: Duration::from_millis(100), ..settings("node-1") };
        let money = Money::open_on(store.clone(), Arc::new(disk.clone()), settings, NOW).await.unwrap().0;
        top_up(&money, "t1", 1000).await;
        settle(money.hold(ask(&money, "r1", 500)).await.unwrap(), 100).await;
        money.fold_all(NOW).await.unwrap();
        let mut lock = store.begin().await.unwrap();
        sqlx::query("update ledger_accounts set changed_at = changed_at").execute(&mut *lock).await.unwrap();
        let held = money.hold(ask(&money, "r2", 300)).await.unwrap();
        let late = money.hold(ask(&money, "r3", 500)).await;
        match store.kind() {
            Kind::Sqlite => assert!(late.is_ok()),
            Kind::Postgres => assert!(matches!(late.unwrap_err(), Refused::Unavailable(_))),
        }
        settle(held, 200).await;
        lock.rollback().await.unwrap();
        money.fold_all(NOW).await.unwrap();
        assert_eq!(sums(&store, &ann()).await.1, 300);
    })
    .await;
}

#[tokio::test]
async fn vouchers_work_once_before_they_expire_and_adjustments_take_only_what_is_there() {
    on_both(async |store| {
        let (money, _) = open(&store, &MemoryDisk::default()).await;
        let voucher = |id: &str, expires_at| waypost_store::ledger::vouchers::Voucher {
            id: id.to_owned(),
            label: "launch".to_owned(),
            amount: NanoUsd(500),
            created_at: NOW,
            created_by: "usr_owner".to_owned(),
            expires_at,
            revoked_at: 0,
            redeemed_at: 0,
            redeemed_by: String::new(),
        };
        let mut tx = store.begin().await.unwrap();
        for (voucher, code) in
            [(voucher("vch_1", 0), "ABCD-efgh"), (voucher("vch_2", NOW), "late"), (voucher("vch_3", 0), "gone")]
        {
            vouchers::add(&mut tx, &voucher, code).await.unwrap();
        }
        vouchers::revoke(&mut tx, "vch_3", NOW).await.unwrap();
        tx.commit().await.unwrap();
        let payer = ann();
        let redeem =
            async |code| money.redeem(Redemption { code, account: &payer, actor: "usr_ann", at: NOW }, None).await;
        for code in ["late", "gone", "never"] {
            assert!(redeem(code).await.is_err(), "{code}");
        }
        assert_eq!(redeem("abcdEFGH").await.unwrap(), NanoUsd(500));
        assert!(redeem("ABCD-efgh").await.is_err());
        let mut tx = store.begin().await.unwrap();
        assert!(vouchers::revoke(&mut tx, "vch_1", NOW).await.is_err());
        drop(tx);
        let held = money.hold(ask(&money, "r1", 400)).await.unwrap();
        let account = ann();
        let take = |id, amount| waypost_store::ledger::grants::Grant {
            id,
            account: &account,
            amount: NanoUsd(amount),
            kind: waypost_store::ledger::Kind::Adjustment,
            actor: "usr_owner",
            reason: "a mistake",
            at: NOW,
        };
        assert!(money.grant(take("a1", -101), None).await.is_err(), "it is held");
        money.grant(take("a2", -100), None).await.unwrap();
        assert!(money.grant(take("a2", 1), None).await.is_err(), "a name is used once");
        settle(held, 400).await;
        money.fold_all(NOW).await.unwrap();
        assert_eq!(sums(&store, &ann()).await, (400, 400));
        let hold = Ask { amount: NanoUsd(1), ..ask(&money, "r2", 1) };
        assert!(money.hold(hold).await.is_err());
        assert_eq!(money.verify(&mut money.verifier(), NOW).await.unwrap().flaws, []);
    })
    .await;
}
