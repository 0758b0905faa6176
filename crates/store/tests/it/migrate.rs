//! Tables from nothing, from an older version, from a newer one, and by several processes at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::Row as _;
use waypost_store::{Kind, Store, StoreError};
use waypost_testkit::postgres::Database;

use crate::harness::{Folder, NOW, on_both, postgres};

#[tokio::test]
async fn doing_it_again_does_nothing_004_03() {
    on_both(async |store| {
        let again = store.migrate(NOW).await.unwrap();
        assert_eq!((again.steps.len(), again.backup.clone(), again.from), (0, None, again.to));
        assert_eq!(store.version().await.unwrap(), Some(again.to));
    })
    .await;
}

#[tokio::test]
async fn an_embedded_database_is_a_private_file_in_wal_mode_001_02() {
    let folder = Folder::new();
    let store = Store::open(&folder.sqlite(), NOW).await.unwrap();
    let mode: String = sqlx::query("pragma journal_mode").fetch_one(store.reader()).await.unwrap().get(0);
    assert_eq!(mode, "wal");
    let about = std::fs::metadata(store.path().unwrap()).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o777, 0o600);
}

#[tokio::test]
async fn a_commit_of_an_embedded_database_is_on_the_disk() {
    let folder = Folder::new();
    let store = Store::open(&folder.sqlite(), NOW).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let synchronous: i64 = sqlx::query("pragma synchronous").fetch_one(&mut *tx).await.unwrap().get(0);
    const FULL: i64 = 2;
    assert_eq!(synchronous, FULL);
}

/// An embedded database from before the first version, with this in it.
async fn old(folder: &Folder, mark: &str) -> Store {
    let store = Store::connect(&folder.sqlite()).await.unwrap();
    store.migrate_to(1, NOW).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    sqlx::query("insert into meta (name, value, changed_at) values ('mark', $1, 1)")
        .bind(mark.to_owned())
        .execute(&mut *tx)
        .await
        .unwrap();
    sqlx::query("update migrations set number = 0").execute(&mut *tx).await.unwrap();
    sqlx::query("drop table nodes").execute(&mut *tx).await.unwrap();
    sqlx::query("alter table meta rename to kept").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    store
}

#[cfg(unix)]
#[tokio::test]
async fn a_copy_is_private_from_its_first_byte_on() {
    let folder = Folder::new();
    // Enough to be a while at it.
    let store = old(&folder, &"x".repeat(24 << 20)).await;
    let (beside, done) = (store.path().unwrap().parent().unwrap().to_path_buf(), Arc::new(AtomicBool::new(false)));
    let watcher = {
        let done = Arc::clone(&done);
        std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            loop {
                let is_last = done.load(Ordering::Acquire);
                for entry in std::fs::read_dir(&beside).unwrap().flatten() {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    let Ok(about) = entry.metadata() else { continue };
                    let mode = std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o777;
                    if name.contains(".backup") {
                        seen.insert((name, mode));
                    }
                }
                if is_last {
                    return seen;
                }
            }
        })
    };
    let copy = store.migrate(NOW).await.unwrap().backup.unwrap();
    done.store(true, Ordering::Release);
    let seen = watcher.join().unwrap();
    assert!(seen.iter().all(|(_, mode)| *mode == 0o600), "{seen:?}");
    assert!(seen.iter().any(|(name, _)| copy.ends_with(name)), "{seen:?}");
    let left = std::fs::read_dir(copy.parent().unwrap()).unwrap().flatten();
    let backups = left.filter(|entry| entry.file_name().to_string_lossy().contains(".backup")).count();
    assert_eq!(backups, 1, "nothing is left of how it was made");
}

#[tokio::test]
async fn many_that_start_at_once_leave_a_copy_of_the_old_version() {
    let folder = Folder::new();
    let place = folder.sqlite();
    old(&folder, &"old".repeat(1 << 20)).await.close().await;
    let started: Vec<_> = (0..8)
        .map(|_| {
            let place = place.clone();
            tokio::spawn(async move { Store::connect(&place).await.unwrap().migrate(NOW).await })
        })
        .collect();
    let mut copies = Vec::new();
    for started in started {
        copies.extend(started.await.unwrap().unwrap().backup);
    }
    assert_eq!(copies.len(), 1, "who changes it copies it");
    let copy = Store::connect(&waypost_store::Place::Sqlite(copies.remove(0))).await.unwrap();
    assert_eq!(copy.version().await.unwrap(), Some(0));
}

#[tokio::test]
async fn an_older_embedded_database_is_copied_before_it_is_changed_004_03() {
    let folder = Folder::new();
    let store = old(&folder, "old").await;
    // What a start left that did not get to its end.
    let mut half = store.path().unwrap().as_os_str().to_owned();
    half.push(".version-0.backup.part");
    std::fs::write(half, "half a copy").unwrap();
    let done = store.migrate(NOW).await.unwrap();
    assert_eq!(done.from, 0);
    let copy = Store::connect(&waypost_store::Place::Sqlite(done.backup.unwrap())).await.unwrap();
    let kept: String = sqlx::query("select value from kept").fetch_one(copy.reader()).await.unwrap().get(0);
    assert_eq!(kept, "old");
}

#[tokio::test]
async fn a_newer_database_is_refused_in_words() {
    on_both(async |store| {
        let mut tx = store.begin().await.unwrap();
        let newer = "insert into migrations (number, name, applied_at) values (999999, 'later', 1)";
        sqlx::query(newer).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        let Err(StoreError::Version(text)) = store.migrate(NOW).await else { panic!("it was taken") };
        assert!(text.contains("999999") && text.contains("newer program"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn many_that_start_at_once_take_each_step_once() {
    let (folder, database) = (Folder::new(), Database::create());
    for place in [folder.sqlite(), postgres(&database)] {
        let opened: Vec<_> = (0..4)
            .map(|_| {
                tokio::spawn({
                    let place = place.clone();
                    async move { Store::open(&place, NOW).await }
                })
            })
            .collect();
        for store in opened {
            let store = store.await.unwrap().unwrap();
            let steps: i64 =
                sqlx::query("select count(*) from migrations").fetch_one(store.reader()).await.unwrap().get(0);
            let distinct = "select count(distinct number) from migrations";
            let numbers: i64 = sqlx::query(distinct).fetch_one(store.reader()).await.unwrap().get(0);
            assert!(steps > 0 && steps == numbers, "{:?}", store.kind());
            if store.kind() == Kind::Postgres {
                store.close().await;
            }
        }
    }
}
