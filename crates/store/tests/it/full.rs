//! A SQLite file that cannot grow, which is what a full disk looks like to a database.

use waypost_store::{Store, meta};

use crate::harness::{Folder, NOW};

#[tokio::test]
async fn a_transaction_that_a_full_disk_ended_is_not_in_the_way_of_the_next() {
    let folder = Folder::new();
    let store = Store::open(&folder.sqlite(), NOW).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    // No page more than there are. It holds for this connection only.
    sqlx::query("pragma max_page_count = 1").execute(&mut *tx).await.unwrap();
    let refused = meta::put(&mut tx, "large", &"x".repeat(1 << 20), NOW).await;
    assert!(refused.unwrap_err().to_string().contains("the database"), "there is no room");
    // SQLite has rolled it back by then, and says so to whoever wants to.
    let _ = tx.rollback().await;
    for turn in ["one", "two"] {
        let mut tx = store.begin().await.unwrap();
        assert!(meta::put(&mut tx, turn, "there", NOW).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(meta::get(&store, turn).await.unwrap().as_deref(), Some("there"));
    }
    store.close().await;
}
