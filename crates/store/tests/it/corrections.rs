//! Charges made right later: the difference is entered once, balances and windows follow in memory and in the database, and nobody
//! is overdrawn by it.

use serde_json::{Value, json};
use waypost_core::ledger::{Scope, Window};
use waypost_core::money::NanoUsd;
use waypost_core::role::Actor;
use waypost_store::audit::{self, Entry};
use waypost_store::journal::MemoryDisk;
use waypost_store::ledger::charges::{Charged, Wanted};
use waypost_store::ledger::verify::{Flaw, Verifier};
use waypost_store::money::{By, Corrected, Correction, Money, Refused};
use waypost_store::{Kind, Store};

use crate::harness::{NOW, on_both};
use crate::invariants::sql;
use crate::money::{ann, ask, budget, open, settings, settle, top_up};

const BY: By<'_> = By { actor: "usr_owner", reason: "a new price", at: NOW + 60_000 };

fn all() -> Wanted<'static> {
    Wanted { from: 0, to: i64::MAX, model: None, unpriced: false }
}

async fn charges(store: &Store) -> Vec<Charged> {
    store.charges(&all(), None, 100).await.unwrap()
}

/// All charges cost this much from now on.
async fn correct(money: &Money, charges: &[Charged], cost: i64, price: &str) -> Corrected {
    let corrections: Vec<_> = charges.iter().map(|charge| Correction { charge, cost: NanoUsd(cost), price }).collect();
    money.correct(&corrections, BY, None).await.unwrap()
}

fn came_to(posted: usize, left: usize, difference: i64, charged: i64) -> Corrected {
    let (difference, charged) = (NanoUsd(difference), NanoUsd(charged));
    Corrected { posted, left, difference, charged, alerts: Vec::new() }
}

/// What the database says was spent, and what the window of the budget says.
async fn spent(store: &Store) -> (i64, i64) {
    let balance = store.balance(&ann()).await.unwrap().unwrap();
    let windows = store.windows("bud_1", 1).await.unwrap();
    (balance.spent.get(), windows.first().map_or(0, |window| window.spent.get()))
}

async fn whole(money: &Money) {
    money.fold_all(NOW).await.unwrap();
    let report = money.verify(&mut money.verifier(), NOW).await.unwrap();
    assert_eq!(report.flaws, []);
}

/// Can so much be held, and not one more?
async fn left(money: &Money, amount: i64) {
    drop(money.hold(ask(money, &format!("fits {amount}"), amount)).await.unwrap());
    let refused = money.hold(ask(money, &format!("too much {amount}"), amount + 1)).await.unwrap_err();
    assert!(matches!(refused, Refused::Short(_)), "{refused}");
}

/// Three charges of 10 out of a credit of 1000 and a budget of 10,000.
async fn history(store: &Store) -> Money {
    let (money, _) = open(store, &MemoryDisk::default()).await;
    top_up(&money, "t1", 1000).await;
    let mut total = budget("bud_1", Scope::Global, Window::Total, 10_000, true);
    total.alerts.clear();
    money.put_budget(total, NOW, None).await.unwrap();
    for number in 0..3 {
        settle(money.hold(ask(&money, &format!("r{number}"), 100)).await.unwrap(), 10).await;
    }
    money.fold_all(NOW).await.unwrap();
    money
}

#[tokio::test]
async fn a_difference_is_entered_once_and_the_settled_charge_stays() {
    on_both(async |store| {
        let money = history(&store).await;
        let before = charges(&store).await;
        assert_eq!(before.len(), 3);
        let first = &before[0];
        assert_eq!((first.price.as_str(), first.cost, first.charged), ("v1", NanoUsd(10), NanoUsd(10)));
        assert_eq!(first.usage, "input=10,output=5");
        assert_eq!(correct(&money, &before, 25, "v2").await, came_to(3, 0, 45, 45));
        assert_eq!(spent(&store).await, (75, 75));
        left(&money, 1000 - 75).await;
        // The same knowledge again, as somebody else may have it who was slower.
        assert_eq!(correct(&money, &before, 25, "v2").await, came_to(0, 3, 0, 0));
        let after = charges(&store).await;
        assert_eq!((after[0].price.as_str(), after[0].cost, after[0].charged), ("v2", NanoUsd(25), NanoUsd(25)));
        assert_eq!((after[0].usage.as_str(), &after[0].mark), ("input=10,output=5", &before[0].mark));
        // And back again, and to another price: each is an entry of its own.
        assert_eq!(correct(&money, &after, 5, "v3").await, came_to(3, 0, -60, -60));
        assert_eq!(correct(&money, &charges(&store).await, 7, "v2").await, came_to(3, 0, 6, 6));
        assert_eq!(spent(&store).await, (21, 21));
        left(&money, 1000 - 21).await;
        whole(&money).await;
    })
    .await;
}

#[tokio::test]
async fn a_process_that_starts_later_knows_what_was_corrected() {
    on_both(async |store| {
        let disk = MemoryDisk::default();
        let (money, _) = open(&store, &disk).await;
        top_up(&money, "t1", 1000).await;
        settle(money.hold(ask(&money, "r0", 100)).await.unwrap(), 10).await;
        money.fold_all(NOW).await.unwrap();
        assert_eq!(correct(&money, &charges(&store).await, 400, "v2").await, came_to(1, 0, 390, 390));
        settle(money.hold(ask(&money, "r1", 100)).await.unwrap(), 50).await;
        money.close(NOW).await.unwrap();
        let (money, _) = open(&store, &disk.after_crash(false)).await;
        left(&money, 550).await;
        whole(&money).await;
    })
    .await;
}

#[tokio::test]
async fn what_a_payer_has_not_is_the_operators_and_nobody_is_overdrawn() {
    on_both(async |store| {
        let money = history(&store).await;
        // 970 are left: enough for two of the three.
        let done = correct(&money, &charges(&store).await, 410, "v2").await;
        assert_eq!(done, came_to(3, 0, 1200, 800));
        left(&money, 170).await;
        assert_eq!(spent(&store).await, (830, 830));
        // What the operator bore is the operator's to have back.
        let done = correct(&money, &charges(&store).await, 10, "v1").await;
        assert_eq!(done, came_to(3, 0, -1200, -800));
        assert_eq!(spent(&store).await, (30, 30));
        left(&money, 970).await;
        whole(&money).await;
    })
    .await;
}

#[tokio::test]
async fn money_that_is_held_is_not_taken_and_a_budget_bounds_corrections_too() {
    on_both(async |store| {
        let money = history(&store).await;
        let held = money.hold(ask(&money, "runs", 900)).await.unwrap();
        let charged = charges(&store).await;
        assert_eq!(correct(&money, &charged[..1], 81, "v2").await, came_to(1, 0, 71, 0), "70 are left");
        assert_eq!(correct(&money, &charged[1..2], 80, "v2").await, came_to(1, 0, 70, 70));
        settle(held, 900).await;
        money.fold_all(NOW).await.unwrap();
        assert_eq!(spent(&store).await.0, 1000);
        top_up(&money, "t2", 100_000).await;
        let lower = budget("bud_1", Scope::Global, Window::Total, 1005, true);
        money.put_budget(lower, NOW, None).await.unwrap();
        let done = correct(&money, &charged[2..], 16, "v2").await;
        assert_eq!((done.posted, done.charged), (1, NanoUsd(0)), "5 are left of the budget");
        let done = correct(&money, &charges(&store).await[2..3], 21, "v3").await;
        assert_eq!((done.posted, done.charged), (1, NanoUsd(5)));
        whole(&money).await;
    })
    .await;
}

/// A transaction that undid another one: nothing writes them any more.
async fn undone(store: &Store, number: i64, id: &str) {
    let sql = "insert into ledger_transactions select 'older', $1, $2, 'reversal', at, '', actor, reason, '', '', 0, 0, 0, '', \
               key_id, user_id, team_id, model, deployment, hash from ledger_transactions where request = 't1'";
    let mut tx = store.begin().await.unwrap();
    sqlx::query(sql).bind(number).bind(id.to_owned()).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn what_an_older_ledger_undid_or_nobody_may_spend_from_is_left_alone() {
    on_both(async |store| {
        let money = history(&store).await;
        undone(&store, 1, "reversal:r0").await;
        assert_eq!(correct(&money, &charges(&store).await, 12, "v2").await, came_to(2, 1, 4, 4));
        undone(&store, 2, "reversal:correction:r1:1").await;
        let charged = charges(&store).await;
        assert_eq!(charged.iter().map(|charge| charge.reversed).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!(correct(&money, &charged, 13, "v3").await, came_to(1, 2, 1, 1));
        money.freeze("user:usr_ann", true, NOW).await.unwrap();
        assert_eq!(correct(&money, &charges(&store).await, 14, "v4").await, came_to(0, 3, 0, 0));
    })
    .await;
}

#[tokio::test]
async fn charges_are_found_by_time_model_and_want_of_a_price_page_by_page() {
    on_both(async |store| {
        let (money, _) = open(&store, &MemoryDisk::default()).await;
        for (number, (model, price)) in [("a", "v1"), ("b", ""), ("a", ""), ("b", "v1"), ("a", "v1")].iter().enumerate()
        {
            let mut ask = ask(&money, &format!("r{number}"), 100);
            ask.parties.model = Some((*model).into());
            let mut held = money.hold(ask).await.unwrap();
            held.priced((*price).into());
            settle(held, if price.is_empty() { 0 } else { 10 }).await;
        }
        drop(money.hold(ask(&money, "never sent", 5)).await.unwrap());
        money.fold_all(NOW).await.unwrap();
        let found = async |wanted: Wanted<'_>| {
            let (mut names, mut after) = (Vec::new(), None);
            loop {
                let page = store.charges(&wanted, after.as_ref(), 2).await.unwrap();
                let Some(last) = page.last() else { return names.join(" ") };
                after = Some(last.mark.to_string().parse().unwrap());
                names.extend(page.into_iter().map(|charge| charge.request));
            }
        };
        assert_eq!(found(all()).await, "r0 r1 r2 r3 r4");
        assert_eq!(found(Wanted { model: Some("a"), ..all() }).await, "r0 r2 r4");
        assert_eq!(found(Wanted { unpriced: true, ..all() }).await, "r1 r2");
        assert_eq!(found(Wanted { unpriced: true, model: Some("b"), ..all() }).await, "r1");
        assert_eq!(found(Wanted { to: NOW, ..all() }).await, "");
        // What cost nothing has a payer all the same.
        let free = store.charges(&Wanted { unpriced: true, ..all() }, None, 9).await.unwrap();
        assert_eq!(correct(&money, &free, 7, "v2").await, came_to(2, 0, 14, 14));
        assert_eq!(store.balance(&ann()).await.unwrap().unwrap().spent, NanoUsd(44));
        whole(&money).await;
    })
    .await;
}

#[tokio::test]
async fn two_processes_that_correct_the_same_at_once_enter_it_once() {
    on_both(async |store| {
        // An embedded database has one process.
        if store.kind() == Kind::Sqlite {
            return;
        }
        let money = history(&store).await;
        let another = std::sync::Arc::new(MemoryDisk::default());
        let (other, _) = Money::open_on(store.clone(), another, settings("node-2"), NOW).await.unwrap();
        let charged = charges(&store).await;
        for round in 1..=10 {
            let known = charges(&store).await;
            let cost = 10 + 5 * round;
            let (a, b) = tokio::join!(correct(&money, &known, cost, "x"), correct(&other, &known, cost + 1, "y"));
            assert_eq!(a.posted + b.posted, charged.len(), "round {round}");
        }
        let known = charges(&store).await;
        let sum: i64 = known.iter().map(|charge| charge.cost.get()).sum();
        assert_eq!(spent(&store).await, (sum, sum));
        whole(&money).await;
    })
    .await;
}

#[tokio::test]
async fn a_correction_that_follows_from_nothing_is_found() {
    on_both(async |store| {
        let money = history(&store).await;
        let charged = charges(&store).await;
        correct(&money, &charged, 25, "v2").await;
        whole(&money).await;
        let mut tx = store.begin().await.unwrap();
        let triggers = match store.kind() {
            Kind::Sqlite => "drop trigger ledger_transactions_stay; drop trigger ledger_entries_stay",
            Kind::Postgres => {
                "drop trigger ledger_transactions_kept on ledger_transactions; \
                 drop trigger ledger_entries_kept on ledger_entries"
            }
        };
        sqlx::raw_sql(triggers).execute(&mut *tx).await.unwrap();
        sqlx::raw_sql("delete from ledger_transactions where request = 'r1'").execute(&mut *tx).await.unwrap();
        let report = Verifier::new(settings("node-1").key).pass_in(&mut tx, &[]).await.unwrap();
        assert!(report.flaws.contains(&Flaw::Correction { id: "correction:r1:1".into() }), "{:?}", report.flaws);
        tx.rollback().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_correction_that_cannot_be_noted_is_not_entered() {
    on_both(async |store| {
        let money = history(&store).await;
        let charges = charges(&store).await;
        let corrections: Vec<_> =
            charges.iter().map(|charge| Correction { charge, cost: NanoUsd(15), price: "v2" }).collect();
        let (actor, detail) = (Actor::token(), json!({ "reason": "a new price" }));
        let note = Entry {
            at: NOW,
            actor: &actor,
            action: "price.rerate",
            subject: "all",
            team: None,
            detail: &detail,
            address: None,
            request_id: None,
        };
        sql(&store, "alter table audit rename to audit_away").await.unwrap();
        assert!(money.correct(&corrections, BY, Some(note)).await.is_err());
        sql(&store, "alter table audit_away rename to audit").await.unwrap();
        assert_eq!(spent(&store).await, (30, 30));
        left(&money, 970).await;
        assert_eq!(money.correct(&corrections, BY, Some(note)).await.unwrap(), came_to(3, 0, 15, 15));
        // The second time there is nothing to enter, and nothing to tell.
        assert_eq!(money.correct(&corrections, BY, Some(note)).await.unwrap().posted, 0);
        let rows = audit::after(&store, 0, 10).await.unwrap();
        let told: Vec<Value> = rows.iter().map(|row| serde_json::from_str(&row.detail).unwrap()).collect();
        let sums =
            json!({ "reason": "a new price", "corrected": 3, "difference": "0.000000015", "charged": "0.000000015" });
        assert_eq!(told, [sums]);
        whole(&money).await;
    })
    .await;
}
