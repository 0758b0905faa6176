//! Empty databases of both kinds, gone when the test ends.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use waypost_core::secret::Secret;
use waypost_store::{Place, Store};
use waypost_testkit::postgres::Database;

/// A moment of 2026, in milliseconds; tests that care about time add to it.
pub(crate) const NOW: i64 = 1_790_000_000_000;

/// Runs the same test on SQLite and then on Postgres, each with today's tables and nothing in them.
pub(crate) async fn on_both(test: impl AsyncFn(Store)) {
    let folder = Folder::new();
    test(Store::open(&folder.sqlite(), NOW).await.expect("SQLite opens")).await;
    let database = Database::create();
    let store = Store::open(&postgres(&database), NOW).await.expect("Postgres opens");
    test(store.clone()).await;
    store.close().await;
}

/// Where a test's Postgres database is.
pub(crate) fn postgres(database: &Database) -> Place {
    Place::Postgres { url: Secret::new(database.url()), connections: 4 }
}

/// A folder of one test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("waypost-store-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("the temporary folder can be written");
        Self(path)
    }

    pub(crate) fn sqlite(&self) -> Place {
        Place::Sqlite(self.0.join("database/app.db"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
