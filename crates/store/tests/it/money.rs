//! Money from the hold to the database: what is admitted, what is charged, what a crash leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use waypost_core::ledger::{Account, Budget, Scope, WhenSpent, Why, Window};
use waypost_core::money::NanoUsd;
use waypost_store::Store;
use waypost_store::journal::{MemoryDisk, Options, Parties, Record, Repair, Settle, Sizes};
use waypost_store::ledger::grants::Grant;
use waypost_store::ledger::{ChainKey, Kind};
use waypost_store::money::{Ask, Held, Money, Progress, Refused, Replayed, Settings, Settlement, Unknown};

use crate::harness::{NOW, on_both};

pub(crate) fn settings(node: &str) -> Settings {
    let mut settings = Settings::new(node, ChainKey::new(b"a key that only tests know"));
    settings.journal = Options {
        sizes: Sizes { segment: 1 << 20, spare: 1 << 12 },
        sync_every: Duration::ZERO,
        retry_every: Duration::from_millis(2),
        ..Options::default()
    };
    settings
}

pub(crate) async fn open(store: &Store, disk: &MemoryDisk) -> (Money, Replayed) {
    Money::open_on(store.clone(), Arc::new(disk.clone()), settings("node-1"), NOW).await.unwrap()
}

pub(crate) fn ann() -> Account {
    Account::user("usr_ann")
}

pub(crate) fn ask(money: &Money, request: &str, amount: i64) -> Ask {
    let scopes = [Scope::Global, Scope::User("usr_ann".into()), Scope::Key("key_1".into())];
    Ask {
        request: request.into(),
        payer: ann(),
        purses: money.books().purses(&ann(), &scopes),
        amount: NanoUsd(amount),
        prices: "v1".into(),
        parties: Parties { key: Some("key_1".into()), user: Some("usr_ann".into()), ..Parties::default() },
        at: NOW,
    }
}

pub(crate) fn ended(cost: i64) -> Settlement {
    Settlement {
        at: NOW + 5,
        usage: vec![("input".into(), 10), ("output".into(), 5)],
        cost: NanoUsd(cost),
        outcome: "complete".into(),
        deployment: Some("ch/gpt".into()),
    }
}

pub(crate) async fn top_up(money: &Money, id: &str, amount: i64) {
    let account = ann();
    let (kind, amount) = (if amount < 0 { Kind::Adjustment } else { Kind::TopUp }, NanoUsd(amount));
    let grant = Grant { id, account: &account, amount, kind, actor: "usr_owner", reason: "test", at: NOW };
    money.grant(grant, None).await.unwrap();
}

pub(crate) fn budget(id: &str, scope: Scope, window: Window, amount: i64, hard: bool) -> Budget {
    Budget {
        id: id.into(),
        scope,
        window,
        amount: NanoUsd(amount),
        hard,
        alerts: vec![50, 80, 100],
        when_spent: WhenSpent::Refuse,
    }
}

/// Settles and waits until it can be folded in.
pub(crate) async fn settle(held: Held, cost: i64) -> i64 {
    let (settled, mut ticket) = held.settle(ended(cost));
    ticket.synced().await.unwrap();
    settled.charged.get()
}

/// What an account was given, and what it spent.
pub(crate) async fn sums(store: &Store, account: &Account) -> (i64, i64) {
    let balance = store.balance(account).await.unwrap();
    balance.map_or((0, 0), |balance| (balance.granted.get(), balance.spent.get()))
}

#[tokio::test]
async fn a_request_is_held_settled_and_folded_in_once() {
    on_both(async |store| {
        let disk = MemoryDisk::default();
        let (money, _) = open(&store, &disk).await;
        top_up(&money, "t1", 1000).await;
        let held = money.hold(ask(&money, "r1", 600)).await.unwrap();
        let Err(Refused::Short(short)) = money.hold(ask(&money, "r2", 600)).await else { panic!("it was admitted") };
        assert_eq!((short.why, short.left), (Why::Spent, NanoUsd(400)));
        assert_eq!(settle(held, 250).await, 250);
        let other = money.hold(ask(&money, "r3", 700)).await.unwrap();
        assert_eq!(money.held(), 1);
        assert_eq!(settle(other, 900).await, 700);
        let folded = money.fold_all(NOW).await.unwrap();
        assert_eq!((folded.settled, folded.overrun), (2, NanoUsd(200)));
        assert_eq!(money.fold_all(NOW).await.unwrap().settled, 0);
        assert_eq!(sums(&store, &ann()).await, (1000, 950));
        assert_eq!(sums(&store, &Account::revenue()).await, (0, -1150));
        assert_eq!(sums(&store, &Account::overrun()).await, (0, 200));
        let (again, replayed) = open(&store, &disk.after_crash(false)).await;
        assert_eq!((replayed.settled, replayed.unknown, replayed.behind_anchor), (0, 0, false));
        assert!(again.hold(ask(&again, "r4", 51)).await.is_err());
        drop(again.hold(ask(&again, "r5", 50)).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn what_ran_when_the_process_died_is_charged_by_its_last_checkpoint() {
    on_both(async |store| {
        let disk = MemoryDisk::default();
        let (money, _) = open(&store, &disk).await;
        top_up(&money, "t1", 1000).await;
        let mut streamed = money.hold(ask(&money, "r1", 300)).await.unwrap();
        let _silent = money.hold(ask(&money, "r2", 300)).await.unwrap();
        for cost in [10, 70] {
            streamed.checkpoint(Progress {
                at: NOW,
                usage: vec![("output".into(), 7)],
                cost: NanoUsd(cost),
                deployment: None,
            });
        }
        streamed.durable().await.unwrap();
        let _last = money.hold(ask(&money, "r3", 1)).await.unwrap();
        let (_, replayed) = open(&store, &disk.after_crash(false)).await;
        assert_eq!((replayed.settled, replayed.unknown), (0, 3));
        assert_eq!(sums(&store, &ann()).await, (1000, 70));
    })
    .await;
}

#[tokio::test]
async fn the_policy_says_what_an_unknown_end_costs() {
    for (policy, spent) in [(Unknown::Delivered, 0), (Unknown::FullHold, 300), (Unknown::Nothing, 0)] {
        let folder = crate::harness::Folder::new();
        let store = Store::open(&folder.sqlite(), NOW).await.unwrap();
        let disk = MemoryDisk::default();
        let (money, _) = open(&store, &disk).await;
        top_up(&money, "t1", 1000).await;
        let _held = money.hold(ask(&money, "r1", 300)).await.unwrap();
        let settings = Settings { unknown: policy, ..settings("node-1") };
        let again = Money::open_on(store.clone(), Arc::new(disk.after_crash(false)), settings, NOW).await;
        assert_eq!(again.unwrap().1.unknown, 1);
        assert_eq!(sums(&store, &ann()).await, (1000, spent));
    }
}

#[tokio::test]
async fn a_hold_that_is_dropped_ends_all_the_same() {
    on_both(async |store| {
        let disk = MemoryDisk::default();
        let (money, _) = open(&store, &disk).await;
        top_up(&money, "t1", 1000).await;
        let mut streamed = money.hold(ask(&money, "r1", 300)).await.unwrap();
        streamed.checkpoint(Progress { at: NOW, usage: vec![], cost: NanoUsd(40), deployment: None });
        drop(streamed);
        drop(money.hold(ask(&money, "r2", 300)).await.unwrap());
        assert_eq!((money.fold_all(NOW).await.unwrap().settled, money.held()), (2, 0));
        assert_eq!(sums(&store, &ann()).await, (1000, 40));
        let standing = money.books().credit(&ann()).unwrap().standing(NOW);
        assert_eq!(standing.held, NanoUsd(0));
    })
    .await;
}

#[tokio::test]
async fn budgets_of_all_scopes_limit_a_request_and_tell_at_their_marks() {
    on_both(async |store| {
        let disk = MemoryDisk::default();
        let (money, _) = open(&store, &disk).await;
        let user = Scope::User("usr_ann".into());
        money.put_budget(budget("bud_day", user.clone(), Window::Day, 1000, true), NOW, None).await.unwrap();
        money.put_budget(budget("bud_all", Scope::Global, Window::Total, 100, false), NOW, None).await.unwrap();
        let held = money.hold(ask(&money, "r1", 900)).await.unwrap();
        let Err(Refused::Short(short)) = money.hold(ask(&money, "r2", 101)).await else { panic!("it was admitted") };
        assert_eq!(short.ends, Window::Day.end_of(Window::Day.start_of(NOW)));
        settle(held, 820).await;
        let folded = money.fold_all(NOW).await.unwrap();
        let told: Vec<_> = folded.alerts.iter().map(|alert| (alert.budget.as_str(), alert.percent)).collect();
        let marks = [("bud_all", 50), ("bud_all", 80), ("bud_all", 100), ("bud_day", 50), ("bud_day", 80)];
        assert_eq!(told, marks, "every mark that was passed");
        settle(money.hold(ask(&money, "r3", 10)).await.unwrap(), 10).await;
        assert_eq!(money.fold_all(NOW).await.unwrap().alerts, []);
        let tomorrow = NOW + 24 * 3_600_000;
        let later = |money: &Money, request: &str, at| Ask { at, ..ask(money, request, 1000) };
        let held = money.hold(later(&money, "r4", tomorrow)).await.unwrap();
        settle(held, 1000).await;
        assert!(money.hold(later(&money, "r5", NOW)).await.is_err(), "a clock that steps back");
        money.fold_all(NOW).await.unwrap();
        let (again, _) = open(&store, &disk.after_crash(false)).await;
        assert!(again.hold(later(&again, "r6", NOW)).await.is_err(), "not even over a restart");
        let windows: Vec<_> = store.windows("bud_day", 9).await.unwrap().iter().map(|it| it.spent.get()).collect();
        assert_eq!(windows, [1000, 830]);
        again.put_budget(budget("bud_day", user, Window::Day, 1500, true), tomorrow, None).await.unwrap();
        let held = again.hold(Ask { amount: NanoUsd(500), ..later(&again, "r7", tomorrow) }).await.unwrap();
        again.delete_budget("bud_day", None, tomorrow, None).await.unwrap();
        settle(held, 500).await;
        settle(again.hold(later(&again, "r8", tomorrow)).await.unwrap(), 1).await;
        again.fold_all(tomorrow).await.unwrap();
        assert_eq!(store.windows("bud_day", 1).await.unwrap()[0].spent, NanoUsd(1500));
    })
    .await;
}

#[tokio::test]
async fn without_credit_or_budget_a_request_is_charged_in_full() {
    on_both(async |store| {
        let (money, _) = open(&store, &MemoryDisk::default()).await;
        let held = money.hold(ask(&money, "r1", 10)).await.unwrap();
        assert!(!held.is_bounded());
        settle(held, 25).await;
        // It spends on account until it is made prepaid with enough to cover that.
        let running = money.hold(ask(&money, "r2", 10)).await.unwrap();
        assert!(money.make_prepaid(&ann(), NOW).await.is_err());
        top_up(&money, "t1", 30).await;
        assert!(money.hold(ask(&money, "r3", 6)).await.is_err());
        assert_eq!(settle(running, 99).await, 99);
        money.fold_all(NOW).await.unwrap();
        assert_eq!(sums(&store, &ann()).await, (30, 25), "the rest is the operator's");
        assert_eq!(sums(&store, &Account::overrun()).await, (0, 99));
    })
    .await;
}

#[tokio::test]
async fn salvage_folds_all_that_is_behind_the_damage_and_says_for_whom_nobody_is_charged() {
    on_both(async |store| {
        const SEGMENT: &str = "0000000000000001.journal";
        let disk = MemoryDisk::default();
        let (money, _) = open(&store, &disk).await;
        for request in ["r1", "r2", "r3"] {
            let (_, mut ticket) = money.hold(ask(&money, request, 100)).await.unwrap().settle(ended(30));
            ticket.synced().await.unwrap();
        }
        let left = disk.after_crash(false);
        let mut bytes = left.bytes(SEGMENT).unwrap();
        // In the first record, which is the hold of the first request.
        bytes[40] ^= 1;
        left.put(SEGMENT, bytes);
        let mut salvage = settings("node-1");
        salvage.journal.repair = Repair::Salvage;
        let (money, replayed) = Money::open_on(store.clone(), Arc::new(left), salvage, NOW).await.unwrap();
        assert_eq!(replayed.settled, 2);
        assert_eq!((money.journal().unheld(), money.journal().take_unheld()), (1, vec!["r1".into()]));

        // Written twice, as a disk that does not say what it has makes it; and one of which nobody knows.
        for request in ["r2", "unknown"] {
            let again = Settle {
                request: request.into(),
                at: NOW,
                usage: vec![],
                cost: NanoUsd(30),
                price: None,
                outcome: "complete".into(),
                deployment: None,
            };
            money.journal().append(Record::Settle(again)).synced().await.unwrap();
        }
        assert_eq!(money.fold_all(NOW).await.unwrap().settled, 0);
        assert_eq!((money.journal().unheld(), money.journal().take_unheld()), (2, vec!["unknown".into()]));
        assert!(money.journal().take_unheld().is_empty(), "it is told once");
    })
    .await;
}

#[tokio::test]
async fn a_budget_is_either_changed_or_deleted_and_is_spent_from_only_if_it_is_there() {
    on_both(async |store| {
        let (money, _) = open(&store, &MemoryDisk::default()).await;
        for round in 0..20 {
            let id = format!("bud_{round}");
            let new = |amount| budget(&id, Scope::Global, Window::Day, amount, true);
            assert_eq!(money.put_budget(new(1000), NOW, None).await.unwrap(), 1);
            let (changing, deleting) = (money.clone(), money.clone());
            let (wanted, gone) = (new(2000), id.clone());
            let changed = tokio::spawn(async move { changing.change_budget(wanted, 1, NOW, None).await });
            let deleted = tokio::spawn(async move { deleting.delete_budget(&gone, Some(1), NOW, None).await });
            let (changed, deleted) = (changed.await.unwrap(), deleted.await.unwrap());
            assert_ne!(changed.is_ok(), deleted.is_ok(), "{changed:?} {deleted:?}");
            let kept = store.budget(&id).await.unwrap();
            let purse = money.books().all().into_iter().find(|purse| purse.id().to_string() == format!("budget {id}"));
            assert_eq!((kept.is_some(), purse.is_some()), (changed.is_ok(), changed.is_ok()));
            // Of the version that is there it goes.
            if let Some(kept) = kept {
                money.delete_budget(&id, Some(kept.version), NOW, None).await.unwrap();
            }
        }
        assert_eq!(money.books().all().len(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_budget_keeps_its_window_and_what_was_spent_in_it() {
    on_both(async |store| {
        let (money, _) = open(&store, &MemoryDisk::default()).await;
        let new = |window, amount| budget("bud_1", Scope::Global, window, amount, true);
        money.put_budget(new(Window::Day, 1000), NOW, None).await.unwrap();
        drop(money.hold(ask(&money, "r1", 700)).await.unwrap().settle(ended(700)));
        let refused = money.change_budget(new(Window::Hour, 1000), 1, NOW, None).await.unwrap_err();
        assert!(refused.to_string().contains("window"), "{refused}");
        assert!(money.hold(ask(&money, "r2", 301)).await.is_err(), "nothing of it begins anew");
        let kept = store.budget("bud_1").await.unwrap().unwrap();
        assert_eq!((kept.budget.window, kept.version), (Window::Day, 1));
    })
    .await;
}

#[tokio::test]
async fn credits_given_at_once_are_in_memory_what_they_are_in_the_books() {
    on_both(async |store| {
        let (money, _) = open(&store, &MemoryDisk::default()).await;
        let given = (0..20).map(|number| {
            let money = money.clone();
            tokio::spawn(async move { top_up(&money, &format!("t{number}"), 50).await })
        });
        for given in given.collect::<Vec<_>>() {
            given.await.unwrap();
        }
        assert_eq!(sums(&store, &ann()).await, (1000, 0));
        assert!(money.hold(ask(&money, "r1", 1001)).await.is_err());
        drop(money.hold(ask(&money, "r2", 1000)).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_budget_that_is_changed_is_there_at_every_moment() {
    on_both(async |store| {
        let (money, _) = open(&store, &MemoryDisk::default()).await;
        let user = Scope::User("usr_ann".into());
        let new = |amount| budget("bud_1", user.clone(), Window::Day, amount, true);
        money.put_budget(new(1000), NOW, None).await.unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let (looking, until, scopes) = (money.clone(), Arc::clone(&done), [user.clone()]);
        let looks = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                assert_eq!(looking.books().purses(&ann(), &scopes).len(), 1);
            }
        });
        for amount in 1001..1200 {
            money.put_budget(new(amount), NOW, None).await.unwrap();
        }
        done.store(true, Ordering::Relaxed);
        looks.join().expect("it is there whenever somebody looks");
    })
    .await;
}

#[tokio::test]
async fn no_scope_has_more_budgets_than_records_of_requests_have_room_for() {
    on_both(async |store| {
        let disk = MemoryDisk::default();
        let (money, _) = open(&store, &disk).await;
        let user = Scope::User("usr_ann".into());
        let new =
            |number: usize, scope: &Scope| budget(&format!("bud_{number}"), scope.clone(), Window::Day, 1000, true);
        for number in 0..12 {
            money.put_budget(new(number, &user), NOW, None).await.unwrap();
        }
        let refused = money.put_budget(new(12, &user), NOW, None).await.unwrap_err().to_string();
        assert!(refused.starts_with("scope: user:usr_ann has 12 budgets already"), "{refused}");
        assert!(store.budget("bud_12").await.unwrap().is_none());
        money.put_budget(new(11, &user), NOW, None).await.unwrap();
        money.put_budget(new(12, &Scope::Global), NOW, None).await.unwrap();
        money.put_budget(new(12, &user), NOW, None).await.unwrap_err();
        money.delete_budget("bud_3", None, NOW, None).await.unwrap();
        money.put_budget(new(13, &user), NOW, None).await.unwrap();

        // As somebody made them who knew of no limit.
        let numbers =
            "(with recursive n(i) as (select 100 union all select i + 1 from n where i < 151) select i from n) as n";
        let columns = "length, amount, hard, alerts, deleted, changed_at";
        crate::invariants::sql(
            &store,
            &format!(
                "insert into ledger_budgets (id, scope, {columns}) select 'bud_' || n.i, 'global', {columns} \
                 from {numbers} cross join ledger_budgets b where b.id = 'bud_1'"
            ),
        )
        .await
        .unwrap();
        let (money, _) = open(&store, &disk.after_crash(false)).await;
        let refused = money.hold(ask(&money, "r1", 1)).await.unwrap_err();
        assert!(matches!(refused, Refused::Unavailable(_)), "{refused}");
        assert!(money.books().all().iter().all(|purse| purse.standing(NOW).held == NanoUsd(0)));
        money.delete_budget("bud_100", None, NOW, None).await.unwrap();
        settle(money.hold(ask(&money, "r1", 1)).await.unwrap(), 1).await;
        money.fold_all(NOW).await.unwrap();
        for number in [1, 13, 101, 151] {
            assert_eq!(store.windows(&format!("bud_{number}"), 1).await.unwrap()[0].spent, NanoUsd(1));
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_admitted_in_an_earlier_window_is_charged_though_its_budget_was_lowered_since() {
    const LATER: i64 = NOW + 3_600_000;
    on_both(async |store| {
        let (money, _) = open(&store, &MemoryDisk::default()).await;
        let new = |amount| budget("bud_1", Scope::Global, Window::Hour, amount, true);
        let before = NOW - 3_600_000;
        money.put_budget(new(100), before, None).await.unwrap();
        let [one, other] =
            [money.hold(ask(&money, "r1", 50)).await.unwrap(), money.hold(ask(&money, "r2", 50)).await.unwrap()];
        money.put_budget(new(10), LATER, None).await.unwrap();
        for (held, spent) in [(one, 50), (other, 100)] {
            assert_eq!(settle(held, 50).await, 50);
            money.fold_all(LATER).await.unwrap();
            assert_eq!(sums(&store, &ann()).await, (0, spent), "what memory said");
            assert_eq!(sums(&store, &Account::overrun()).await, (0, 0));
        }
        let later = |request: &str, amount| Ask { at: LATER, ..ask(&money, request, amount) };
        assert!(money.hold(later("r3", 11)).await.is_err());
        drop(money.hold(later("r4", 10)).await.unwrap());
        money.fold_all(LATER).await.unwrap();
        money.refresh(LATER).await.unwrap();
        assert_eq!(money.verify(&mut money.verifier(), LATER).await.unwrap().flaws, []);
    })
    .await;
}

#[tokio::test]
async fn what_was_admitted_is_charged_though_its_budget_was_lowered_and_deleted_since() {
    on_both(async |store| {
        let (money, _) = open(&store, &MemoryDisk::default()).await;
        let new = |amount| budget("bud_1", Scope::Global, Window::Day, amount, true);
        money.put_budget(new(100), NOW, None).await.unwrap();
        let held = money.hold(ask(&money, "r1", 50)).await.unwrap();
        money.put_budget(new(10), NOW, None).await.unwrap();
        money.delete_budget("bud_1", None, NOW, None).await.unwrap();
        assert_eq!(settle(held, 50).await, 50);
        money.fold_all(NOW).await.unwrap();
        assert_eq!((sums(&store, &ann()).await, sums(&store, &Account::overrun()).await), ((0, 50), (0, 0)));
    })
    .await;
}
