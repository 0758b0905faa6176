//! Keys as they are kept: never their texts, within the scope of whoever asks, and changed for the version that was meant.

use sqlx::Row as _;
use waypost_core::access::fingerprint;
use waypost_store::keys::{self, Filter, Key, Limits, New, Owner, Scopes};
use waypost_store::page::{Cursor, Scope};
use waypost_store::{Store, StoreError, id};

use crate::harness::{NOW, on_both};

fn new(number: u128, text: &str, owner: Owner) -> New {
    New {
        id: id::new("key", number),
        name: format!("key {number}"),
        owner,
        plan: None,
        scopes: Scopes { models: Some(vec!["gpt-*".to_owned()]), ..Scopes::default() },
        limits: Limits { rpm: Some(60), ..Limits::default() },
        enabled: true,
        expires_at: None,
        origin: "api".to_owned(),
        created_by: "token".to_owned(),
        hashes: vec![fingerprint(text)],
        hint: "6789".to_owned(),
    }
}

fn of_team(team: &str) -> Owner {
    Owner { user: None, team: Some(team.to_owned()) }
}

async fn made(store: &Store, new: &New, now: i64) -> Key {
    let mut tx = store.begin().await.expect("writing begins");
    let key = keys::create(&mut tx, new, now).await.expect("the key is made");
    tx.commit().await.expect("it is written");
    key
}

#[tokio::test]
async fn a_key_is_kept_as_it_was_made_and_only_by_the_hash_of_its_text_001_34() {
    on_both(async |store| {
        let key = made(&store, &new(1, "wp-a-text-nobody-keeps", of_team("team_a")), NOW).await;
        assert_eq!(keys::get(&store, &Scope::All, &key.id).await.expect("it is there"), key);
        assert_eq!((key.version, key.limits.rpm, key.last_used_at), (1, Some(60), None));
        let texts = keys::texts(&store, &key.id).await.expect("they are there");
        assert_eq!(texts.iter().map(|text| text.hash).collect::<Vec<_>>(), [fingerprint("wp-a-text-nobody-keeps")]);
        let row = sqlx::query("select count(*) from key_secrets where hash = $1")
            .bind(fingerprint("wp-a-text-nobody-keeps").to_vec())
            .fetch_one(store.reader())
            .await
            .expect("it can be counted");
        assert_eq!(row.get::<i64, _>(0), 1);
    })
    .await;
}

#[tokio::test]
async fn the_same_text_cannot_be_two_keys() {
    on_both(async |store| {
        made(&store, &new(1, "wp-one", of_team("team_a")), NOW).await;
        let mut tx = store.begin().await.expect("writing begins");
        let again = keys::create(&mut tx, &new(2, "wp-one", of_team("team_b")), NOW).await;
        assert!(matches!(again, Err(StoreError::Taken(_))), "{again:?}");
        drop(tx);
        assert!(matches!(keys::get(&store, &Scope::All, &id::new("key", 2)).await, Err(StoreError::NotFound)));
    })
    .await;
}

#[tokio::test]
async fn what_is_out_of_scope_is_not_there() {
    on_both(async |store| {
        let key = made(&store, &new(1, "wp-one", of_team("team_a")), NOW).await;
        for scope in [Scope::Team("team_b".to_owned()), Scope::Own("usr_a".to_owned())] {
            assert!(matches!(keys::get(&store, &scope, &key.id).await, Err(StoreError::NotFound)));
            let page = keys::page(&store, &scope, &Filter::default(), None, 10).await.expect("a page");
            assert!(page.rows.is_empty());
            let mut tx = store.begin().await.expect("writing begins");
            let changed = keys::change(&mut tx, &scope, &key).await;
            assert!(matches!(changed, Err(StoreError::NotFound)));
            let revoked = keys::revoke(&mut tx, &scope, (&key.id, None), NOW).await;
            assert!(matches!(revoked, Err(StoreError::NotFound)));
        }
        assert_eq!(keys::get(&store, &Scope::Team("team_a".to_owned()), &key.id).await.expect("its own"), key);
    })
    .await;
}

#[tokio::test]
async fn a_change_is_for_one_version_and_a_revoked_key_stays_as_it_is() {
    on_both(async |store| {
        let key = made(&store, &new(1, "wp-one", Owner::default()), NOW).await;
        let mut tx = store.begin().await.expect("writing begins");
        let wanted =
            Key { name: "renamed".to_owned(), limits: Limits { tpm: Some(1), ..Limits::default() }, ..key.clone() };
        let changed = keys::change(&mut tx, &Scope::All, &wanted).await.expect("it is changed");
        assert_eq!(changed, Key { version: 2, ..wanted.clone() });
        assert!(matches!(keys::change(&mut tx, &Scope::All, &wanted).await, Err(StoreError::Stale)));
        let stale = keys::revoke(&mut tx, &Scope::All, (&key.id, Some(1)), NOW + 5).await;
        assert!(matches!(stale, Err(StoreError::Stale)));
        let revoked = keys::revoke(&mut tx, &Scope::All, (&key.id, Some(2)), NOW + 5).await.expect("it is revoked");
        assert_eq!((revoked.revoked_at, revoked.version), (Some(NOW + 5), 3));
        let again = keys::revoke(&mut tx, &Scope::All, (&key.id, None), NOW + 9).await.expect("it stays revoked");
        assert_eq!(again, revoked);
        assert!(matches!(keys::change(&mut tx, &Scope::All, &revoked).await, Err(StoreError::NotFound)));
        tx.commit().await.expect("it is written");
        let count = async |revoked| {
            let filter = Filter { revoked, ..Filter::default() };
            keys::page(&store, &Scope::All, &filter, None, 10).await.expect("a page").rows.len()
        };
        assert_eq!((count(false).await, count(true).await), (0, 1));
    })
    .await;
}

#[tokio::test]
async fn rotating_keeps_the_old_text_until_its_time_and_no_longer() {
    on_both(async |store| {
        let key = made(&store, &new(1, "wp-one", Owner::default()), NOW).await;
        let rotated = async |text: &str, now, until| {
            let mut tx = store.begin().await.expect("writing begins");
            let hash = fingerprint(text);
            let key = keys::rotate(&mut tx, &Scope::All, (&key.id, None), (&hash, text), (now, until)).await;
            tx.commit().await.expect("it is written");
            key.expect("it is rotated")
        };
        let texts = async || {
            let texts = keys::texts(&store, &key.id).await.expect("texts").into_iter();
            texts.map(|text| (text.hash, text.valid_until)).collect::<Vec<_>>()
        };
        assert_eq!(rotated("wp-two", NOW + 10, NOW + 100).await.version, 2);
        assert_eq!(texts().await, [(fingerprint("wp-one"), Some(NOW + 100)), (fingerprint("wp-two"), None)]);
        // The first text's time is not made longer by another rotation; what is over is gone.
        rotated("wp-three", NOW + 20, NOW + 200).await;
        assert_eq!(texts().await.first(), Some(&(fingerprint("wp-one"), Some(NOW + 100))));
        rotated("wp-four", NOW + 100, NOW + 150).await;
        assert_eq!(
            texts().await,
            [
                (fingerprint("wp-two"), Some(NOW + 150)),
                (fingerprint("wp-three"), Some(NOW + 150)),
                (fingerprint("wp-four"), None)
            ]
        );
        // However often it is rotated, a few old ones work.
        for number in 5..20 {
            rotated(&format!("wp-{number}"), NOW + 100 + number, NOW + 1_000).await;
        }
        let left = texts().await;
        assert_eq!((left.len(), left.first().unwrap().0), (6, fingerprint("wp-14")));
    })
    .await;
}

#[tokio::test]
async fn pages_show_each_key_once_whatever_is_added_meanwhile() {
    on_both(async |store| {
        for number in 0..25_u8 {
            // Several of the same millisecond.
            let at = NOW + i64::from(number / 4);
            made(&store, &new(u128::from(number), &format!("wp-{number}"), of_team("team_a")), at).await;
        }
        let (mut seen, mut after) = (Vec::new(), None::<Cursor>);
        for turn in 0..100 {
            let scope = Scope::Team("team_a".to_owned());
            let page = keys::page(&store, &scope, &Filter::default(), after.as_ref(), 4).await.expect("a page");
            seen.extend(page.rows.into_iter().map(|key| key.name));
            let late = format!("wp-late-{turn}");
            made(&store, &new(1000 + turn, &late, of_team("team_a")), NOW + 1000).await;
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let expected: Vec<String> = {
            let mut all: Vec<u8> = (0..25).collect();
            all.sort_by_key(|number| std::cmp::Reverse((number / 4, id::new("key", u128::from(*number)))));
            all.iter().map(|number| format!("key {number}")).collect()
        };
        assert_eq!(seen, expected);
    })
    .await;
}

#[tokio::test]
async fn the_time_of_the_last_use_only_grows_and_is_no_change() {
    on_both(async |store| {
        let key = made(&store, &new(1, "wp-one", Owner::default()), NOW).await;
        for at in [NOW + 5, NOW + 3] {
            keys::note_uses(&store, &[(key.id.clone(), at)]).await.expect("it is noted");
        }
        let used = keys::get(&store, &Scope::All, &key.id).await.expect("it is there");
        assert_eq!((used.last_used_at, used.version), (Some(NOW + 5), 1));
    })
    .await;
}
