//! The log of changes: every write of what requests depend on is in it, in order, whoever wrote.

use waypost_store::changes::Since;
use waypost_store::keys::{self, Limits, New, Owner, Scopes};
use waypost_store::page::Scope;
use waypost_store::{Store, id, teams};

use crate::harness::{NOW, on_both};

fn new(number: u8) -> New {
    New {
        id: id::new("key", u128::from(number)),
        name: "a".to_owned(),
        owner: Owner::default(),
        plan: None,
        scopes: Scopes::default(),
        limits: Limits::default(),
        enabled: true,
        expires_at: None,
        origin: "api".to_owned(),
        created_by: "token".to_owned(),
        hashes: vec![[number; 32]],
        hint: String::new(),
    }
}

async fn make(store: &Store, number: u8) {
    let mut tx = store.begin().await.expect("writing begins");
    keys::create(&mut tx, &new(number), NOW).await.expect("it is made");
    tx.commit().await.expect("it is written");
}

async fn words(store: &Store, after: i64) -> Vec<(i64, String)> {
    match store.changes_since(after, 100).await.expect("changes are read") {
        Since::Changes(changes) => {
            changes.into_iter().map(|change| (change.number, format!("{} {}", change.noun, change.id))).collect()
        }
        Since::TooMuch => vec![(-1, "too much".to_owned())],
    }
}

#[tokio::test]
async fn every_write_is_noted_with_the_next_number_and_one_that_is_taken_back_is_not() {
    on_both(async |store| {
        assert_eq!(store.last_change().await.expect("a number"), 0);
        make(&store, 1).await;
        let mut tx = store.begin().await.expect("writing begins");
        keys::create(&mut tx, &new(2), NOW).await.expect("it is made");
        drop(tx);
        let mut tx = store.begin().await.expect("writing begins");
        keys::revoke(&mut tx, &Scope::All, (&id::new("key", 1), None), NOW).await.expect("it is revoked");
        let team = teams::create(&mut tx, "team_a", "A", None, NOW).await.expect("a team is made");
        let off = teams::Change { enabled: Some(false), ..teams::Change::default() };
        teams::change(&mut tx, &Scope::All, &team.id, None, &off, NOW).await.expect("it is switched off");
        tx.commit().await.expect("it is written");
        let key = format!("key {}", id::new("key", 1));
        let expected = [(1, key.clone()), (2, key), (3, "team team_a".to_owned())];
        assert_eq!(words(&store, 0).await, expected);
        assert_eq!(words(&store, 3).await, []);
        assert_eq!(store.last_change().await.expect("a number"), 3);
    })
    .await;
}

#[tokio::test]
async fn whoever_fell_behind_is_told_to_read_everything() {
    on_both(async |store| {
        for number in 1..=6 {
            make(&store, number).await;
        }
        assert_eq!(store.changes_since(0, 5).await.expect("changes"), Since::TooMuch);
        assert!(matches!(store.changes_since(1, 5).await, Ok(Since::Changes(changes)) if changes.len() == 5));
        store.forget_changes(2).await.expect("the old ones go");
        assert_eq!(store.changes_since(3, 5).await.expect("changes"), Since::TooMuch);
        assert!(matches!(store.changes_since(4, 5).await, Ok(Since::Changes(changes)) if changes.len() == 2));
    })
    .await;
}

#[tokio::test]
async fn writers_at_the_same_time_leave_no_gap_and_no_two_of_a_number() {
    on_both(async |store| {
        let writers = (1..=20).map(|number| {
            let store = store.clone();
            tokio::spawn(async move { make(&store, number).await })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.expect("it is written");
        }
        let numbers: Vec<i64> = words(&store, 0).await.into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, (1..=20).collect::<Vec<i64>>());
    })
    .await;
}
