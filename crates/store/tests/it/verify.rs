//! Whoever changes the past is found and named; whoever exports it gets nothing that runs.

use sqlx::AssertSqlSafe;
use waypost_core::ledger::{Account, Scope, Window};
use waypost_core::money::NanoUsd;
use waypost_core::role::Actor;
use waypost_store::journal::{Anchor, MemoryDisk};
use waypost_store::ledger::charges::Wanted;
use waypost_store::ledger::export::{Between, Format, export};
use waypost_store::ledger::grants::Grant;
use waypost_store::ledger::verify::{Flaw, Verifier};
use waypost_store::ledger::{ChainKey, Kind as Entry};
use waypost_store::money::{Ask, By, Correction, Money};
use waypost_store::{Kind, Store, StoreError, audit, page};

use crate::harness::{Folder, NOW, on_both};
use crate::money::{ann, ask, budget, open, settings, settle, top_up};

async fn sql(store: &Store, text: &str) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

/// Some history: 1 a grant, 2 to 6 charges.
async fn history(store: &Store, disk: &MemoryDisk) -> Money {
    let (money, _) = open(store, disk).await;
    top_up(&money, "t1", 1000).await;
    money.put_budget(budget("bud_1", Scope::Global, Window::Day, 10_000, true), NOW, None).await.unwrap();
    for number in 0..5 {
        settle(money.hold(ask(&money, &format!("r{number}"), 100)).await.unwrap(), 10 + number).await;
        money.fold_all(NOW).await.unwrap();
    }
    money
}

/// What a thief with all rights on the database does first.
async fn disarm(store: &Store) {
    let text = match store.kind() {
        Kind::Sqlite => {
            "drop trigger ledger_transactions_kept; drop trigger ledger_transactions_stay; \
             drop trigger ledger_entries_kept; drop trigger ledger_entries_stay"
        }
        Kind::Postgres => {
            "drop trigger ledger_transactions_kept on ledger_transactions; \
             drop trigger ledger_entries_kept on ledger_entries"
        }
    };
    sql(store, text).await.unwrap();
}

#[tokio::test]
async fn i9_entries_and_transactions_are_never_changed_or_deleted() {
    on_both(async |store| {
        let money = history(&store, &MemoryDisk::default()).await;
        for text in [
            "update ledger_entries set amount = 1",
            "delete from ledger_entries",
            "update ledger_transactions set cost = 1",
            "delete from ledger_transactions where number = 1",
        ] {
            assert!(sql(&store, text).await.is_err(), "{text}");
        }
        // Mistakes are mended by entries of their own.
        let account = ann();
        let adjust = async |id, amount| {
            let (amount, kind) = (NanoUsd(amount), Entry::Adjustment);
            let (actor, reason) = ("usr_owner", "a bad answer");
            money.grant(Grant { id, account: &account, amount, kind, actor, reason, at: NOW }, None).await
        };
        adjust("a1", -941).await.unwrap_err();
        adjust("a1", 10).await.unwrap();
        assert!(adjust("a1", 10).await.is_err());
        assert_eq!(money.verify(&mut money.verifier(), NOW).await.unwrap().flaws, []);
        let balance = store.balance(&ann()).await.unwrap().unwrap();
        assert_eq!((balance.granted, balance.spent), (NanoUsd(1010), NanoUsd(60)));
        let left = money.books().credit(&ann()).unwrap();
        drop(money.hold(ask(&money, "r9", 950)).await.unwrap());
        assert!(money.hold(ask(&money, "r10", 951)).await.is_err(), "{:?}", left.standing(NOW));
    })
    .await;
}

#[tokio::test]
async fn every_kind_of_tampering_is_found_and_named() {
    let changed = |number| Flaw::Changed { node: "node-1".into(), number };
    let balance = |account: &Account| Flaw::Balance { account: account.as_str().into() };
    let table: Vec<(&str, Flaw)> = vec![
        ("update ledger_entries set amount = amount - 1 where number = 3", changed(3)),
        ("update ledger_entries set account = 'user:eve' where number = 3 and amount < 0", changed(3)),
        ("update ledger_transactions set at = at + 1 where number = 4", changed(4)),
        ("update ledger_transactions set kind = 'top_up' where number = 4", changed(4)),
        ("update ledger_transactions set kind = 'gift' where number = 4", changed(4)),
        ("update ledger_transactions set key_id = 'key_2' where number = 6", changed(6)),
        ("update ledger_transactions set budgets = '' where number = 2", changed(2)),
        (
            "delete from ledger_transactions where number = 3; delete from ledger_entries where number = 3",
            Flaw::Missing { node: "node-1".into(), number: 3 },
        ),
        ("delete from ledger_transactions where number = 3", Flaw::Stray { node: "node-1".into(), number: 3 }),
        (
            "delete from ledger_transactions where number = 6; delete from ledger_entries where number = 6",
            Flaw::Cut { node: "node-1".into(), number: 6 },
        ),
        (
            "insert into ledger_transactions select node, 7, 'forged', kind, at, outcome, actor, reason, prices, usage_counts, \
             cost, charged, held, budgets, key_id, user_id, team_id, model, deployment, hash \
             from ledger_transactions where number = 6",
            changed(7),
        ),
        (
            "update ledger_transactions set number = 100 where number = 3; \
             update ledger_transactions set number = 3 where number = 4; \
             update ledger_transactions set number = 4 where number = 100",
            changed(3),
        ),
        ("update ledger_accounts set granted = granted + 5 where name = 'user:usr_ann'", balance(&ann())),
        ("update ledger_accounts set spent = spent - 5 where name = 'user:usr_ann'", balance(&ann())),
        ("delete from ledger_accounts where name = 'revenue'", balance(&Account::revenue())),
        (
            "update ledger_windows set spent = 0",
            Flaw::Window { budget: "bud_1".into(), start: Window::Day.start_of(NOW) },
        ),
        (
            "insert into ledger_leases (node, purse, start_at, unspent) values ('x', 'team:t', 0, 5)",
            Flaw::Leases { purse: "team:t".into() },
        ),
        (
            "insert into ledger_entries values ('ghost', 1, 0, 'revenue', 5)",
            Flaw::Stray { node: "ghost".into(), number: 1 },
        ),
    ];
    let databases = std::sync::atomic::AtomicUsize::new(0);
    on_both(async |store| {
        let disk = MemoryDisk::default();
        let money = history(&store, &disk).await;
        assert_eq!(money.verify(&mut money.verifier(), NOW).await.unwrap().flaws, []);
        disarm(&store).await;
        // Only SQLite keeps in a column what is not of its type.
        let loose = ("update ledger_transactions set cost = 'much' where number = 4", changed(4));
        let loose = Some(loose).filter(|_| store.kind() == Kind::Sqlite);
        for (text, expected) in table.iter().chain(&loose) {
            // Found by a new process with the same key, in one look at everything; then undone.
            let mut tx = store.begin().await.unwrap();
            sqlx::raw_sql(AssertSqlSafe((*text).to_owned())).execute(&mut *tx).await.unwrap();
            let mut verifier = Verifier::new(settings("node-1").key);
            let report = verifier.pass_in(&mut tx, &[]).await.unwrap();
            assert!(report.flaws.contains(expected), "{text}: {:?}", report.flaws);
            tx.rollback().await.unwrap();
        }
        assert_eq!(money.verify(&mut money.verifier(), NOW).await.unwrap().flaws, []);
        let forger = Verifier::new(ChainKey::new(b"another key than that")).pass(&store, &[]).await.unwrap();
        assert_eq!(forger.flaws.len(), 6, "each link needs the key");
        databases.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    })
    .await;
    assert_eq!(databases.into_inner(), 2);
}

#[tokio::test]
async fn a_cut_tail_is_found_by_the_journal_even_if_all_sums_were_mended() {
    on_both(async |store| {
        let disk = MemoryDisk::default();
        let money = history(&store, &disk).await;
        money.journal().close();
        disarm(&store).await;
        sql(
            &store,
            "delete from ledger_transactions where number = 6; delete from ledger_entries where number = 6; \
             update ledger_accounts set spent = spent - 14 where name = 'user:usr_ann'; \
             update ledger_accounts set spent = spent + 14 where name = 'revenue'; \
             update ledger_windows set spent = spent - 14; \
             update ledger_nodes set number = 5, hash = (select hash from ledger_transactions where number = 5)",
        )
        .await
        .unwrap();
        let key = settings("node-1").key;
        let blind = Verifier::new(key.clone()).pass(&store, &[]).await.unwrap();
        assert!(blind.flaws.iter().all(|flaw| matches!(flaw, Flaw::Leases { .. })), "{:?}", blind.flaws);
        let (_, replayed) = open(&store, &disk.after_crash(false)).await;
        assert!(replayed.behind_anchor);
        let anchor: Anchor = replayed.journal.anchor.unwrap();
        let seen = Verifier::new(key).pass(&store, &[("node-1", &anchor)]).await.unwrap();
        assert!(seen.flaws.contains(&Flaw::Cut { node: "node-1".into(), number: 6 }), "{:?}", seen.flaws);
    })
    .await;
}

#[tokio::test]
async fn what_is_new_is_verified_by_itself_and_a_wrong_account_becomes_read_only() {
    on_both(async |store| {
        let money = history(&store, &MemoryDisk::default()).await;
        let mut verifier = money.verifier();
        assert_eq!(money.verify(&mut verifier, NOW).await.unwrap().transactions, 6);
        settle(money.hold(ask(&money, "n1", 100)).await.unwrap(), 3).await;
        money.fold_all(NOW).await.unwrap();
        let report = money.verify(&mut verifier, NOW).await.unwrap();
        assert_eq!((report.transactions, report.accounts, report.flaws.len()), (1, 2, 0));
        sql(&store, "update ledger_accounts set granted = granted + 1 where name = 'user:usr_ann'").await.unwrap();
        settle(money.hold(ask(&money, "n2", 100)).await.unwrap(), 3).await;
        money.fold_all(NOW).await.unwrap();
        let report = money.verify(&mut verifier, NOW).await.unwrap();
        assert_eq!(report.flaws, [Flaw::Balance { account: "user:usr_ann".into() }]);
        assert!(money.hold(ask(&money, "n3", 1)).await.unwrap_err().to_string().contains("read-only"));
        assert!(store.balance(&ann()).await.unwrap().unwrap().read_only);
    })
    .await;
}

#[tokio::test]
async fn a_node_that_was_proved_and_is_gone_altogether_is_missed() {
    on_both(async |store| {
        let money = history(&store, &MemoryDisk::default()).await;
        let mut verifier = money.verifier();
        assert_eq!(money.verify(&mut verifier, NOW).await.unwrap().flaws, []);
        disarm(&store).await;
        sql(&store, "delete from ledger_nodes").await.unwrap();
        let beheaded = [Flaw::Changed { node: "node-1".into(), number: 6 }];
        assert_eq!(verifier.pass(&store, &[]).await.unwrap().flaws, beheaded);
        let all = "delete from ledger_transactions; delete from ledger_entries; delete from ledger_accounts; \
                   delete from ledger_windows; delete from ledger_leases";
        sql(&store, all).await.unwrap();
        let cut = [Flaw::Cut { node: "node-1".into(), number: 1 }];
        assert_eq!(verifier.pass(&store, &[]).await.unwrap().flaws, cut);
    })
    .await;
}

#[tokio::test]
async fn a_pass_that_breaks_off_forgets_nothing_that_it_found() {
    on_both(async |store| {
        let money = history(&store, &MemoryDisk::default()).await;
        disarm(&store).await;
        sql(&store, "update ledger_transactions set cost = cost + 1 where number = 3").await.unwrap();
        sql(&store, "update ledger_accounts set granted = granted + 1 where name = 'user:usr_ann'").await.unwrap();
        let mut verifier = money.verifier();
        for _ in 0..2 {
            sql(&store, "alter table ledger_windows rename to away").await.unwrap();
            verifier.pass(&store, &[]).await.unwrap_err();
            sql(&store, "alter table away rename to ledger_windows").await.unwrap();
        }
        let report = verifier.pass(&store, &[]).await.unwrap();
        let account = "user:usr_ann".to_owned();
        let found = [Flaw::Changed { node: "node-1".to_owned(), number: 3 }, Flaw::Balance { account }];
        assert_eq!((&report.flaws[..], report.transactions, report.accounts), (&found[..], 6, 3), "each of them once");
    })
    .await;
}

#[tokio::test]
async fn a_page_that_cannot_be_proved_now_is_not_counted_twice_later() {
    let folder = Folder::new();
    // Only an embedded database takes an amount that is none, so that a later query of the same page fails.
    let store = Store::open(&folder.sqlite(), NOW).await.unwrap();
    let money = history(&store, &MemoryDisk::default()).await;
    for cost in [20, 30] {
        let wanted = Wanted { from: 0, to: i64::MAX, model: None, unpriced: false };
        let charges = store.charges(&wanted, None, 100).await.unwrap();
        let corrections: Vec<_> =
            charges.iter().map(|charge| Correction { charge, cost: NanoUsd(cost), price: "v2" }).collect();
        money.correct(&corrections, By { actor: "usr_owner", reason: "a new price", at: NOW }, None).await.unwrap();
    }
    disarm(&store).await;
    let say = async |cost: &str| {
        let text = format!("update ledger_transactions set cost = {cost} where request = 'correction:r1:1'");
        sql(&store, &text).await.unwrap();
    };
    let mut verifier = money.verifier();
    say("'nothing'").await;
    for _ in 0..2 {
        money.verify_ahead(&mut verifier).await.unwrap_err();
        money.verify(&mut verifier, NOW).await.unwrap_err();
    }
    say("9").await;
    let report = money.verify(&mut verifier, NOW).await.unwrap();
    assert_eq!((&report.flaws[..], report.transactions), (&[][..], 6 + 10));
    drop(money.hold(ask(&money, "n1", 1)).await.expect("nobody was frozen"));
}

#[tokio::test]
async fn an_account_that_could_not_be_frozen_is_frozen_by_the_next_pass() {
    let folder = Folder::new();
    let store = Store::open(&folder.sqlite(), NOW).await.unwrap();
    let money = history(&store, &MemoryDisk::default()).await;
    sql(&store, "update ledger_accounts set granted = granted + 1 where name = 'user:usr_ann'").await.unwrap();
    let mut verifier = money.verifier();
    let busy =
        "create trigger busy before update of read_only on ledger_accounts begin select raise(abort, 'busy'); end";
    sql(&store, busy).await.unwrap();
    money.verify(&mut verifier, NOW).await.unwrap_err();
    sql(&store, "drop trigger busy").await.unwrap();
    let report = money.verify(&mut verifier, NOW).await.unwrap();
    assert_eq!(report.flaws, [Flaw::Balance { account: "user:usr_ann".into() }]);
    assert!(store.balance(&ann()).await.unwrap().unwrap().read_only);
}

#[tokio::test]
async fn whoever_looked_lets_an_account_spend_again_and_that_is_written_down() {
    on_both(async |store| {
        let money = history(&store, &MemoryDisk::default()).await;
        let by = Actor::cli();
        let refused = store.unfreeze(&ann(), (&by, NOW)).await.unwrap_err();
        assert_eq!(refused.to_string(), "account: user:usr_ann is not read-only");
        money.freeze("user:usr_ann", true, NOW).await.unwrap();
        money.refresh(NOW).await.unwrap();
        assert!(money.hold(ask(&money, "n1", 1)).await.unwrap_err().to_string().contains("read-only"));
        store.unfreeze(&ann(), (&by, NOW)).await.unwrap();
        money.refresh(NOW).await.unwrap();
        drop(money.hold(ask(&money, "n2", 1)).await.unwrap());
        let told = audit::page(&store, &page::Scope::All, &audit::Filter::default(), None, 1).await.unwrap().0;
        assert_eq!((&*told[0].action, &*told[0].actor, &*told[0].subject), ("ledger.unfreeze", "cli", "user:usr_ann"));
    })
    .await;
}

#[tokio::test]
async fn the_export_adds_up_and_nothing_in_it_runs_as_a_formula() {
    on_both(async |store| {
        let money = history(&store, &MemoryDisk::default()).await;
        let payer = Account::key("=cmd|' /C calc'!A0");
        let evil = Ask { purses: vec![], payer, ..ask(&money, "x,\"1\"", 10) };
        settle(money.hold(evil).await.unwrap(), 7).await;
        money.fold_all(NOW).await.unwrap();
        let written = async |format| {
            let mut out = Vec::new();
            let count = export(&store, format, Between(0, i64::MAX), &mut out).await.unwrap();
            assert_eq!(count, 7);
            String::from_utf8(out).unwrap()
        };
        let csv = written(Format::Csv).await;
        assert!(csv.contains("\"x,\"\"1\"\"\"") && csv.lines().count() == 1 + 14, "{csv}");
        assert!(csv.lines().all(|line| line.split(',').all(|field| !field.starts_with('='))), "{csv}");
        let mut sum = 0;
        for line in written(Format::Json).await.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            for entry in line["entries"].as_array().unwrap() {
                sum += entry["amount"].as_str().unwrap().parse::<NanoUsd>().unwrap().get();
            }
        }
        assert_eq!(sum, 0);
        let nothing = export(&store, Format::Json, Between(0, NOW), &mut Vec::new()).await.unwrap();
        assert_eq!(nothing, 0);
    })
    .await;
}

#[tokio::test]
async fn what_is_proved_ahead_is_told_by_the_next_pass_together_with_what_came_since() {
    on_both(async |store| {
        let disk = MemoryDisk::default();
        let money = history(&store, &disk).await;
        let mut verifier = money.verifier();
        while money.verify_ahead(&mut verifier).await.unwrap() {}
        settle(money.hold(ask(&money, "r5", 100)).await.unwrap(), 15).await;
        money.fold_all(NOW).await.unwrap();
        let report = verifier.pass(&store, &[]).await.unwrap();
        assert_eq!((report.transactions, &report.flaws[..]), (7, &[][..]));

        disarm(&store).await;
        sql(&store, "update ledger_transactions set cost = cost + 1 where number = 3").await.unwrap();
        let mut verifier = money.verifier();
        while money.verify_ahead(&mut verifier).await.unwrap() {}
        let report = verifier.pass(&store, &[]).await.unwrap();
        assert_eq!(report.transactions, 7);
        assert!(matches!(&report.flaws[..], [Flaw::Changed { number: 3, .. }]), "{:?}", report.flaws);
        assert_eq!(verifier.pass(&store, &[]).await.unwrap().flaws, [], "it is told once");
    })
    .await;
}

#[tokio::test]
async fn an_export_of_many_pages_has_every_transaction_once_in_order_with_its_own_entries() {
    on_both(async |store| {
        let _money = history(&store, &MemoryDisk::default()).await;
        // Two more nodes of 700 transactions, three at each moment, so that pages end in the midst of a moment.
        for node in ["a", "b"] {
            let numbers =
                "(with recursive n(i) as (select 1 union all select i + 1 from n where i < 700) select i from n) as n";
            sql(
                &store,
                &format!(
                    "insert into ledger_transactions select '{node}', n.i, '{node}' || n.i, kind, n.i / 3, outcome, actor, \
                     reason, prices, usage_counts, n.i, n.i, held, budgets, key_id, user_id, team_id, model, deployment, hash \
                     from {numbers} cross join ledger_transactions t where t.node = 'node-1' and t.number = 2; \
                     insert into ledger_entries select '{node}', n.i, 1, 'revenue', n.i from {numbers} where n.i % 5 <> 0; \
                     insert into ledger_entries select '{node}', n.i, 0, 'user:usr_ann', -n.i from {numbers} where n.i % 5 <> 0"
                ),
            )
            .await
            .unwrap();
        }
        let mut out = Vec::new();
        assert_eq!(export(&store, Format::Json, Between(1, i64::MAX), &mut out).await.unwrap(), 1396 + 6);
        let mut places = Vec::new();
        for line in String::from_utf8(out).unwrap().lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let (node, number) = (line["node"].as_str().unwrap().to_owned(), line["number"].as_i64().unwrap());
            if node != "node-1" {
                let amount = NanoUsd(number).to_string();
                let spent = serde_json::json!({ "account": "user:usr_ann", "amount": format!("-{amount}") });
                let earned = serde_json::json!({ "account": "revenue", "amount": amount });
                let entries = if number % 5 == 0 { vec![] } else { vec![spent, earned] };
                assert_eq!(line["entries"], serde_json::Value::from(entries), "{node} {number}");
            }
            places.push((line["at"].as_i64().unwrap(), node, number));
        }
        assert!(places.is_sorted_by(|one, next| one < next), "each once, and in order");
    })
    .await;
}
