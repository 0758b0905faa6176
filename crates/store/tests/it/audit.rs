//! The audit log: whatever is done to it afterwards is found.

use serde_json::json;
use sqlx::Executor as _;
use waypost_core::role::Actor;
use waypost_store::Store;
use waypost_store::audit::{self, Entry, Filter, Head};
use waypost_store::page::Scope;

use crate::harness::{NOW, on_both};

async fn append(store: &Store, number: i64) {
    let (actor, detail) = (Actor::cli(), json!({ "name": format!("n{number}") }));
    let entry = Entry {
        at: NOW + number,
        actor: &actor,
        action: "thing.change",
        subject: "thing_1",
        team: Some("team_a").filter(|_| number % 2 == 0),
        detail: &detail,
        address: Some("192.0.2.1"),
        request_id: None,
    };
    let mut tx = store.begin().await.unwrap();
    audit::append(&mut tx, entry).await.unwrap();
    tx.commit().await.unwrap();
}

async fn alter(store: &Store, sql: &'static str) {
    let mut tx = store.begin().await.unwrap();
    tx.execute(sql).await.unwrap();
    tx.commit().await.unwrap();
}

async fn faults(store: &Store, kept: Option<&Head>) -> Vec<String> {
    audit::verify(store, kept).await.unwrap().faults
}

#[tokio::test]
async fn an_untouched_chain_verifies_whoever_appended_at_the_same_time() {
    on_both(async |store| {
        assert_eq!(faults(&store, None).await, Vec::<String>::new());
        let appending = (1..=6).map(|number| append(&store, number));
        let mut all = Vec::from_iter(appending.map(Box::pin));
        // All at once, on as many connections as there are.
        std::future::poll_fn(|cx| {
            all.retain_mut(|one| one.as_mut().poll(cx).is_pending());
            if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        let verified = audit::verify(&store, None).await.unwrap();
        assert_eq!((verified.rows, verified.head.number, verified.faults), (6, 6, vec![]));
    })
    .await;
}

const TAMPERINGS: [(&str, &str); 8] = [
    ("update audit set detail = '{}' where number = 2", "row 2: it was changed"),
    ("update audit set actor = 'usr_x' where number = 2", "row 2: it was changed"),
    ("update audit set team = null where number = 2", "row 2: it was changed"),
    ("update audit set at = at + 1 where number = 3", "row 3: it was changed"),
    ("delete from audit where number = 2", "row 3: rows 2 to 2 are missing"),
    ("delete from audit where number = 1", "row 2: rows 1 to 1 are missing"),
    ("delete from audit where number = 4", "row 3: the chain should end at row 4 and does not"),
    ("delete from audit", "row 0: the chain should end at row 4 and does not"),
];

#[tokio::test]
async fn every_way_of_tampering_is_found_with_its_row() {
    on_both(async |store| {
        for (tampering, found) in TAMPERINGS {
            alter(&store, "delete from audit").await;
            alter(&store, "update audit_head set number = 0, hash = ''").await;
            for number in 1..=4 {
                append(&store, number).await;
            }
            alter(&store, tampering).await;
            let faults = faults(&store, None).await;
            assert!(faults.iter().any(|fault| fault == found), "{tampering}: {faults:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_chain_that_was_rewritten_to_its_end_is_found_by_a_head_that_was_kept() {
    on_both(async |store| {
        for number in 1..=3 {
            append(&store, number).await;
        }
        let kept = audit::head(&store).await.unwrap();
        append(&store, 4).await;
        assert_eq!(faults(&store, Some(&kept)).await, Vec::<String>::new());
        // Whoever may write the tables can begin the chain anew; it is sound in itself.
        alter(&store, "delete from audit").await;
        alter(&store, "update audit_head set number = 0, hash = ''").await;
        for number in [1, 2, 9] {
            append(&store, number).await;
        }
        assert_eq!(faults(&store, None).await, Vec::<String>::new());
        assert_eq!(faults(&store, Some(&kept)).await, ["row 3: it is not the one whose hash was kept"]);
        let later = Head { number: 4, ..kept };
        assert_eq!(faults(&store, Some(&later)).await, ["row 4: it was there when the head was kept, and is gone"]);
    })
    .await;
}

#[tokio::test]
async fn the_log_is_read_page_by_page_and_within_a_team() {
    on_both(async |store| {
        for number in 1..=5 {
            append(&store, number).await;
        }
        let page = async |scope: &Scope, filter: Filter<'_>, before| {
            let (rows, next) = audit::page(&store, scope, &filter, before, 2).await.unwrap();
            (rows.iter().map(|row| row.number).collect::<Vec<_>>(), next)
        };
        assert_eq!(page(&Scope::All, Filter::default(), None).await, (vec![5, 4], Some(4)));
        assert_eq!(page(&Scope::All, Filter::default(), Some(2)).await, (vec![1], None));
        assert_eq!(page(&Scope::Team("team_a".into()), Filter::default(), None).await, (vec![4, 2], None));
        let of_nobody = Filter { actor: Some("usr_a"), ..Filter::default() };
        assert_eq!(page(&Scope::All, of_nobody, None).await, (vec![], None));
        let late = Filter { since: Some(NOW + 5), action: Some("thing.change"), ..Filter::default() };
        assert_eq!(page(&Scope::All, late, None).await, (vec![5], None));
    })
    .await;
}
