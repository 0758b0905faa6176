//! Alerts: each mark is raised once in its window, whoever sees it, and told by one of many.

use std::sync::Arc;

use waypost_core::ledger::{Scope as For, Window};
use waypost_store::Store;
use waypost_store::alerts::{Alert, AlertFilter, Kind, Owner, Sighting};
use waypost_store::journal::MemoryDisk;
use waypost_store::money::Money;
use waypost_store::page::Scope;

use crate::harness::{NOW, on_both};
use crate::money::{ann, ask, budget, open, settings, settle, top_up};

async fn all(store: &Store) -> Vec<Alert> {
    store.alerts(&Scope::All, &AlertFilter::default(), None, 100).await.unwrap().rows
}

/// Kind, subject and mark of each, in their order.
fn told(alerts: &[Alert]) -> Vec<(String, String, i64)> {
    let mut told: Vec<_> = alerts.iter().map(|it| (it.kind.clone(), it.subject.clone(), it.mark)).collect();
    told.sort();
    told
}

fn quota(subject: &str, window_at: i64, owner: Owner) -> Sighting {
    let (kind, subject) = (Kind::TokenQuota, subject.to_owned());
    Sighting { kind, subject, window_at, mark: 90, reached: 95, bound: 100, unit: "tokens", owner }
}

#[tokio::test]
async fn a_budget_raises_each_mark_once_in_a_window_also_across_nodes_and_restarts_004_29() {
    on_both(async |store| {
        let disk = MemoryDisk::default();
        let (money, _) = open(&store, &disk).await;
        money
            .put_budget(budget("bud_1", For::User("usr_ann".into()), Window::Day, 1000, true), NOW, None)
            .await
            .unwrap();
        settle(money.hold(ask(&money, "r1", 850)).await.unwrap(), 850).await;
        money.fold_all(NOW).await.unwrap();
        let mark = |mark| ("budget".to_owned(), "bud_1".to_owned(), mark);
        assert_eq!(told(&all(&store).await), [mark(50), mark(80)], "both that were passed at once");
        assert_eq!(all(&store).await[0].owner.user, "usr_ann");
        money.close(NOW).await.unwrap();
        // Another process goes on where this one ended: what was raised is not raised again.
        let (again, _) = open(&store, &disk.after_crash(false)).await;
        settle(again.hold(ask(&again, "r2", 20)).await.unwrap(), 20).await;
        again.fold_all(NOW).await.unwrap();
        assert_eq!(all(&store).await.len(), 2);
        settle(again.hold(ask(&again, "r3", 130)).await.unwrap(), 130).await;
        again.fold_all(NOW).await.unwrap();
        assert_eq!(told(&all(&store).await), [mark(50), mark(80), mark(100)]);
        again.close(NOW).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_many_see_at_once_is_raised_once_and_taken_by_one() {
    on_both(async |store| {
        let sightings = [quota("key:a", NOW, Owner::default()), quota("key:b", NOW, Owner::default())];
        let raise = || store.raise_alerts(&sightings, NOW);
        let (one, two, three) = tokio::join!(raise(), raise(), raise());
        assert_eq!(one.unwrap() + two.unwrap() + three.unwrap(), 2);
        let take = || store.take_alerts(NOW, NOW + 60, 10);
        let (one, two) = tokio::join!(take(), take());
        let (mut taken, rest) = (one.unwrap(), two.unwrap());
        taken.extend(rest);
        assert_eq!(told(&taken).len(), 2, "nobody tells what another one tells");
        assert_eq!(store.take_alerts(NOW + 59, NOW + 120, 10).await.unwrap(), []);
        store.alert_told(&taken[0].id, 0, NOW + 5).await.unwrap();
        // Whoever took the other one is gone.
        let again = store.take_alerts(NOW + 60, NOW + 120, 10).await.unwrap();
        assert_eq!((again.len(), again[0].tries), (1, 1));
        assert_eq!(again[0].id, taken[1].id);
        // Another window is another alert.
        assert_eq!(store.raise_alerts(&[quota("key:a", NOW + 1, Owner::default())], NOW).await.unwrap(), 1);
        assert_eq!(store.prune_alerts(NOW + 1).await.unwrap(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_team_sees_its_own_alerts_page_by_page() {
    on_both(async |store| {
        let owner = |user: &str, team: &str| Owner { user: user.to_owned(), team: team.to_owned() };
        for number in 0..5 {
            let sighting = quota(&format!("key:{number}"), NOW, owner("usr_1", "team_a"));
            store.raise_alerts(&[sighting], NOW + number).await.unwrap();
        }
        store.raise_alerts(&[quota("key:x", NOW, owner("usr_2", "team_b"))], NOW).await.unwrap();
        let (team, filter) = (Scope::Team("team_a".to_owned()), AlertFilter::default());
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let page = store.alerts(&team, &filter, after.as_ref(), 2).await.unwrap();
            seen.extend(page.rows.iter().map(|alert| alert.subject.clone()));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, ["key:4", "key:3", "key:2", "key:1", "key:0"]);
        let own = store.alerts(&Scope::Own("usr_2".to_owned()), &filter, None, 10).await.unwrap();
        assert_eq!(told(&own.rows), [("token_quota".to_owned(), "key:x".to_owned(), 90)]);
    })
    .await;
}

#[tokio::test]
async fn credit_tells_at_its_marks_and_anew_after_a_top_up() {
    on_both(async |store| {
        let (money, _) = open(&store, &MemoryDisk::default()).await;
        let look = async |at| store.raise_credit_alerts(&[50, 80, 100], 0, at).await.unwrap();
        top_up(&money, "t1", 1000).await;
        assert_eq!(look(NOW).await, 0);
        settle(money.hold(ask(&money, "r1", 850)).await.unwrap(), 850).await;
        money.fold_all(NOW).await.unwrap();
        assert_eq!((look(NOW).await, look(NOW + 1).await), (2, 0));
        // 150 are left and 850 come to it: nothing is used up of these.
        top_up(&money, "t2", 850).await;
        assert_eq!(look(NOW + 2).await, 0);
        settle(money.hold(ask(&money, "r2", 499)).await.unwrap(), 499).await;
        money.fold_all(NOW).await.unwrap();
        assert_eq!(look(NOW + 3).await, 0);
        settle(money.hold(ask(&money, "r3", 501)).await.unwrap(), 501).await;
        money.fold_all(NOW).await.unwrap();
        assert_eq!((look(NOW + 4).await, look(NOW + 5).await), (3, 0));
        let all = all(&store).await;
        assert!(all.iter().all(|alert| alert.kind == "credit" && alert.subject == ann().as_str()), "{all:?}");
        money.close(NOW).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn nodes_add_up_what_an_hour_costs() {
    on_both(async |store| {
        assert_eq!(store.add_to_alert_sum(Kind::Cost, NOW, 3).await.unwrap(), 3);
        assert_eq!(store.add_to_alert_sum(Kind::Cost, NOW, 4).await.unwrap(), 7);
        assert_eq!(store.add_to_alert_sum(Kind::Cost, NOW + 1, 1).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn two_nodes_that_pass_a_mark_together_raise_it_once() {
    on_both(async |store| {
        if store.kind() == waypost_store::Kind::Sqlite {
            return;
        }
        let mut nodes = Vec::new();
        for name in ["n1", "n2"] {
            let disk = Arc::new(MemoryDisk::default());
            nodes.push(Money::open_on(store.clone(), disk, settings(name), NOW).await.unwrap().0);
        }
        nodes[0].put_budget(budget("bud_1", For::Global, Window::Day, 1000, false), NOW, None).await.unwrap();
        nodes[1].refresh(NOW).await.unwrap();
        for (number, node) in nodes.iter().enumerate() {
            settle(node.hold(ask(node, &format!("r{number}"), 600)).await.unwrap(), 600).await;
        }
        let (one, two) = tokio::join!(nodes[0].fold_all(NOW), nodes[1].fold_all(NOW));
        one.and(two).unwrap();
        let marks: Vec<i64> = told(&all(&store).await).into_iter().map(|(.., mark)| mark).collect();
        assert_eq!(marks, [50, 80, 100]);
        for node in &nodes {
            node.close(NOW).await.unwrap();
        }
    })
    .await;
}
