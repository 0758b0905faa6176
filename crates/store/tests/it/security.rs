//! The security log: kept once, read page by page, forgotten in time.

use waypost_store::security::{SecurityEvent, SecurityFilter};

use crate::harness::{NOW, on_both};

fn event(number: u8) -> SecurityEvent {
    SecurityEvent {
        id: waypost_store::id::new("sec", number.into()),
        created_at: NOW + i64::from(number),
        kind: if number.is_multiple_of(2) { "bad_key" } else { "burst" }.to_owned(),
        address: Some(format!("192.0.2.{}", number % 3)),
        key_name: (!number.is_multiple_of(2)).then(|| "app".to_owned()),
        count: 20,
        blocked_for: number.is_multiple_of(2).then_some(600),
    }
}

#[tokio::test]
async fn events_are_kept_once_listed_by_page_and_pruned() {
    on_both(async |store| {
        let events: Vec<_> = (0..10).map(event).collect();
        store.add_security_events(&events).await.unwrap();
        store.add_security_events(&events[..3]).await.unwrap();
        let all = SecurityFilter::default();
        let first = store.security_events(&all, None, 7).await.unwrap();
        let next = store.security_events(&all, first.next.as_ref(), 7).await.unwrap();
        let read: Vec<_> = first.rows.into_iter().chain(next.rows).collect();
        assert_eq!((read.len(), next.next), (10, None));
        assert!(read.iter().rev().eq(&events), "{read:?}");

        let count = async |filter: SecurityFilter| store.security_events(&filter, None, 100).await.unwrap().rows.len();
        assert_eq!(count(SecurityFilter { kind: Some("bad_key".into()), ..all.clone() }).await, 5);
        assert_eq!(count(SecurityFilter { address: Some("192.0.2.0".into()), ..all.clone() }).await, 4);
        assert_eq!(count(SecurityFilter { key_name: Some("app".into()), ..all.clone() }).await, 5);

        assert_eq!(store.prune_security_events(NOW + 4).await.unwrap(), 4);
        assert_eq!(count(all.clone()).await, 6);
    })
    .await;
}
