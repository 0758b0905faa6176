//! What happened to one account: all of it, once, the newest first, whatever nodes wrote it and wherever pages end.

use std::sync::Arc;

use waypost_core::ledger::Account;
use waypost_core::money::NanoUsd;
use waypost_store::journal::MemoryDisk;
use waypost_store::ledger::Kind;
use waypost_store::ledger::grants::Grant;
use waypost_store::ledger::history::Place;
use waypost_store::money::Money;

use crate::harness::{NOW, on_both};
use crate::money::{ann, ask, open, settings, settle};

#[tokio::test]
async fn pages_hold_everything_that_happened_to_an_account_once_and_the_newest_first() {
    on_both(async |store| {
        let (one, _) = open(&store, &MemoryDisk::default()).await;
        let other = Arc::new(MemoryDisk::default());
        let other = Money::open_on(store.clone(), other, settings("node-2"), NOW).await.unwrap().0;
        for at in 0..11 {
            let (account, id) = (ann(), format!("gift {at}"));
            let grant = Grant {
                id: &id,
                account: &account,
                amount: NanoUsd(100 + at),
                kind: if at == 0 { Kind::TopUp } else { Kind::Adjustment },
                actor: "usr_owner",
                reason: "a test",
                at: NOW - 100 + at,
            };
            // By turns, with several at the same node in a row.
            if at % 4 == 1 { &other } else { &one }.grant(grant, None).await.unwrap();
        }
        one.refresh(NOW).await.unwrap();
        settle(one.hold(ask(&one, "r1", 50)).await.unwrap(), 30).await;
        one.fold_all(NOW).await.unwrap();
        for size in [1, 2, 5, 12, 100] {
            let (mut place, mut all) = (None::<Place>, Vec::new());
            for _ in 0..20 {
                let (page, next) = store.history(&ann(), place.as_ref(), size).await.unwrap();
                assert!(page.len() <= size as usize);
                all.extend(page);
                let Some(next) = next else { break };
                // As it goes over a wire.
                place = Some(next.to_string().parse().unwrap());
                assert_eq!(place.as_ref(), Some(&next));
            }
            let amounts: Vec<i64> = all.iter().map(|event| event.amount.get()).collect();
            assert_eq!(amounts, [-30, 110, 109, 108, 107, 106, 105, 104, 103, 102, 101, 100], "pages of {size}");
            let (spent, gift) = (&all[0], &all[11]);
            assert_eq!((spent.kind, &*spent.request, &*spent.key), (Kind::Charge, "r1", "key_1"));
            assert_eq!((gift.kind, &*gift.actor, &*gift.reason), (Kind::TopUp, "usr_owner", "a test"));
        }
        assert_eq!(store.history(&Account::user("usr_eve"), None, 5).await.unwrap(), (Vec::new(), None));
    })
    .await;
}

#[test]
fn what_is_no_place_is_refused() {
    for none in ["", "local", "local:", "local:0", "local:-1", "local:x", "local:1,"] {
        assert!(none.parse::<Place>().is_err(), "{none}");
    }
}
