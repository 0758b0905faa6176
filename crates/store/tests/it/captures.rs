//! Captures: ordered once at a time, kept up to what was ordered, sealed, seen by nobody else, and gone when they are ended or old.

use sqlx::Row as _;
use waypost_core::secret::Secret;
use waypost_store::captures::{self, Body, Capture, CapturedCall, Direction, Filter, Limits};
use waypost_store::changes::Since;
use waypost_store::keys::Owner;
use waypost_store::page::Scope;
use waypost_store::seal::KeyId;
use waypost_store::{Store, StoreError, Vault, VaultError};

use crate::harness::{NOW, on_both};
use crate::vault::{dice, master, vault};

fn capture(number: u8) -> Capture {
    Capture {
        id: waypost_store::id::new("cap", number.into()),
        created_at: NOW + i64::from(number),
        key: format!("key_{number}"),
        key_name: "app".to_owned(),
        owner: Owner { user: None, team: Some(format!("team_{}", number % 2)) },
        from: NOW,
        until: NOW + 3_600_000,
        ordered_by: "token".to_owned(),
        why: "answers are cut".to_owned(),
        limits: Limits { body_bytes: 1000, calls: 2 },
        taken: 0,
        lost: 0,
    }
}

async fn order(store: &Store, capture: &Capture) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    captures::order(&mut tx, capture).await?;
    Ok(tx.commit().await?)
}

async fn end(store: &Store, scope: &Scope, id: &str) -> Result<Capture, StoreError> {
    let mut tx = store.begin().await?;
    let ended = captures::end(store, &mut tx, scope, id).await?;
    tx.commit().await?;
    Ok(ended)
}

/// The bodies of a request of a capture's key.
fn call(capture: &Capture, number: i64) -> CapturedCall {
    let body = |direction, text: &str| Body {
        direction,
        text: Secret::new(text),
        bytes: 5000,
        cut: direction == Direction::Answer,
        redacted: 1,
    };
    CapturedCall {
        id: format!("cpt_{number}"),
        capture: capture.id.clone(),
        request_id: "req_1".to_owned(),
        owner: capture.owner.clone(),
        at: NOW + number,
        bodies: vec![body(Direction::Request, "what is asked"), body(Direction::Answer, "what is said")],
    }
}

async fn keep(store: &Store, vault: &Vault, call: &CapturedCall) -> bool {
    // Dice are never thrown twice.
    let seed = u8::try_from(call.at - NOW).unwrap() + if call.capture.ends_with('1') { 0 } else { 100 };
    captures::keep(store, vault, &mut dice(seed), call).await.unwrap()
}

async fn count(store: &Store, table: &str) -> i64 {
    let sql = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
    sqlx::query(sql).fetch_one(store.reader()).await.unwrap().get(0)
}

#[tokio::test]
async fn a_key_has_one_capture_at_a_time() {
    on_both(async |store| {
        let first = capture(1);
        order(&store, &first).await.unwrap();
        let second = Capture { id: capture(2).id, from: NOW + 10, until: NOW + 20, ..first.clone() };
        let refused = order(&store, &second).await.unwrap_err();
        assert!(matches!(&refused, StoreError::Refused(text) if text.contains(&first.id)), "{refused}");
        let later = Capture { from: first.until, until: first.until + 10, ..second.clone() };
        order(&store, &later).await.unwrap();
        assert_eq!(captures::get(&store, &Scope::All, &first.id).await.unwrap(), first);
        let all = captures::all(&store, NOW).await.unwrap();
        assert_eq!((all.len(), captures::all(&store, first.until).await.unwrap()), (2, vec![later.clone()]));
        // One that is full is over.
        let vault = vault(&store).await;
        assert!(keep(&store, &vault, &call(&first, 1)).await && keep(&store, &vault, &call(&first, 2)).await);
        let third = Capture { id: capture(3).id, ..second };
        order(&store, &third).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn of_those_that_order_at_the_same_time_one_is_obeyed() {
    on_both(async |store| {
        let orders = (0..8).map(|number| {
            let store = store.clone();
            tokio::spawn(async move { order(&store, &Capture { key: "key_a".to_owned(), ..capture(number) }).await })
        });
        let mut obeyed = 0;
        for ordered in orders.collect::<Vec<_>>() {
            obeyed += usize::from(ordered.await.unwrap().is_ok());
        }
        assert_eq!((obeyed, count(&store, "captures").await), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn bodies_are_kept_up_to_the_ordered_number_sealed_and_read_within_a_scope() {
    on_both(async |store| {
        let (vault, capture) = (vault(&store).await, capture(1));
        order(&store, &capture).await.unwrap();
        let first = call(&capture, 1);
        assert!(keep(&store, &vault, &first).await);
        let rows = sqlx::query("select sealed from captured_bodies").fetch_all(store.reader()).await.unwrap();
        for row in &rows {
            let sealed: Vec<u8> = row.get(0);
            assert_eq!(KeyId::of(&sealed), Some(master(1).id()));
            assert!(!String::from_utf8_lossy(&sealed).contains("what is"));
        }
        // Of requests with the same id it is the newest.
        let second = call(&capture, 2);
        assert!(keep(&store, &vault, &second).await);
        let read = async |scope: Scope, id: &str| captures::of_request(&store, &vault, &scope, id).await.unwrap();
        assert_eq!(read(Scope::All, "req_1").await, Some(second.clone()));
        assert_eq!(read(Scope::Team("team_1".to_owned()), "req_1").await, Some(second));
        assert_eq!(read(Scope::Team("team_0".to_owned()), "req_1").await, None);
        assert_eq!(read(Scope::Own("usr_a".to_owned()), "req_1").await, None);
        assert_eq!(read(Scope::All, "req_2").await, None);
        // No more than was ordered, whoever writes.
        assert!(!keep(&store, &vault, &call(&capture, 3)).await);
        captures::note_lost(&store, &capture.id, 3).await.unwrap();
        let now = captures::get(&store, &Scope::All, &capture.id).await.unwrap();
        assert_eq!((now.taken, now.lost, count(&store, "captured_bodies").await), (2, 3, 4));
        assert!(!now.is_in_force(NOW) && captures::all(&store, NOW).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_capture_is_in_force_from_its_first_moment_to_the_one_before_its_last() {
    let capture = capture(1);
    for (now, expected) in
        [(capture.from - 1, false), (capture.from, true), (capture.until - 1, true), (capture.until, false)]
    {
        assert_eq!(capture.is_in_force(now), expected, "{now}");
    }
}

#[tokio::test]
async fn what_is_ended_is_gone_with_all_that_it_kept_and_nothing_of_it_is_kept_afterwards() {
    on_both(async |store| {
        let vault = vault(&store).await;
        let (one, other) = (capture(1), capture(2));
        for capture in [&one, &other] {
            order(&store, capture).await.unwrap();
            assert!(keep(&store, &vault, &call(capture, 1)).await);
        }
        let foreign = end(&store, &Scope::Team("team_0".to_owned()), &one.id).await;
        assert!(matches!(foreign, Err(StoreError::NotFound)), "{foreign:?}");
        let ended = end(&store, &Scope::Team("team_1".to_owned()), &one.id).await.unwrap();
        assert_eq!((ended.id, ended.taken), (one.id.clone(), 1));
        assert!(!keep(&store, &vault, &call(&one, 2)).await);
        let left = captures::page(&store, &Scope::All, &Filter::default(), None, 10).await.unwrap().rows;
        assert_eq!((left.len(), &left[0].id, count(&store, "captured_bodies").await), (1, &other.id, 2));
        let of_key = Filter { key: Some("key_1") };
        assert!(captures::page(&store, &Scope::All, &of_key, None, 10).await.unwrap().rows.is_empty());
    })
    .await;
}

#[tokio::test]
async fn orders_ends_and_the_last_of_a_number_are_noted_for_other_processes() {
    on_both(async |store| {
        let (vault, capture) = (vault(&store).await, capture(1));
        order(&store, &capture).await.unwrap();
        assert!(keep(&store, &vault, &call(&capture, 1)).await);
        assert_eq!(store.last_change().await.unwrap(), 1, "the first of two is nobody's news");
        assert!(keep(&store, &vault, &call(&capture, 2)).await);
        end(&store, &Scope::All, &capture.id).await.unwrap();
        let Since::Changes(changes) = store.changes_since(0, 10).await.unwrap() else { panic!("they are few") };
        assert_eq!(changes.len(), 3);
        assert!(changes.iter().all(|change| change.noun == "capture" && change.id == capture.id), "{changes:?}");
    })
    .await;
}

#[tokio::test]
async fn what_is_old_is_forgotten_a_few_at_a_time_and_the_order_after_it() {
    on_both(async |store| {
        let (vault, capture) = (vault(&store).await, Capture { until: NOW + 100, ..capture(1) });
        order(&store, &capture).await.unwrap();
        for number in 1..=2 {
            assert!(keep(&store, &vault, &call(&capture, number)).await);
        }
        assert_eq!(captures::prune(&store, NOW + 2, 10).await.unwrap(), 2);
        assert_eq!((count(&store, "captured_bodies").await, count(&store, "captures").await), (2, 1));
        assert_eq!(captures::prune(&store, NOW + 101, 1).await.unwrap(), 1);
        assert_eq!(count(&store, "captures").await, 1, "something of it is still there");
        assert_eq!(captures::prune(&store, NOW + 101, 10).await.unwrap(), 1);
        assert_eq!((count(&store, "captured_bodies").await, count(&store, "captures").await), (0, 0));
    })
    .await;
}

#[tokio::test]
async fn another_master_key_opens_what_was_captured_and_a_process_with_the_old_one_keeps_nothing() {
    on_both(async |store| {
        let capture = Capture { limits: Limits { body_bytes: 1000, calls: 100 }, ..capture(1) };
        let old = vault(&store).await;
        order(&store, &capture).await.unwrap();
        // More than are sealed anew at a time.
        for number in 1..=40 {
            let each = CapturedCall { request_id: format!("req_{number}"), ..call(&capture, number) };
            assert!(captures::keep(&store, &old, &mut dice(u8::try_from(number).unwrap()), &each).await.unwrap());
        }
        let rotated = store.rotate_master_key(&master(1), &master(2), &mut dice(50), NOW).await.unwrap();
        assert_eq!(rotated.secrets, 81);
        let new = store.open_vault(master(2), &mut dice(51), NOW).await.unwrap();
        for number in [1, 40] {
            let read = captures::of_request(&store, &new, &Scope::All, &format!("req_{number}")).await.unwrap();
            assert_eq!(read.unwrap().bodies, call(&capture, number).bodies);
        }
        let refused = captures::keep(&store, &old, &mut dice(52), &call(&capture, 41)).await.unwrap_err();
        assert!(
            matches!(&refused, VaultError::Store(StoreError::Refused(text)) if text.contains("restart")),
            "{refused}"
        );
        assert_eq!(count(&store, "captured_bodies").await, 80);
    })
    .await;
}
