//! The database beside a running gateway, against the built binary.

use crate::harness::{Database, Gateway, KEY};
use crate::start::Waypost;

#[tokio::test]
async fn the_embedded_database_appears_where_db_path_says_001_57() {
    let waypost = Waypost::new().arguments(&["--port", "0"]).start().await;
    assert!(waypost.path("database/app.db").is_file());
    let waypost = Waypost::new().arguments(&["--port", "0"]).env("DB_PATH", "kept/here.db").start().await;
    assert!(waypost.path("kept/here.db").is_file() && !waypost.path("database").exists());
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_is_told_with_its_key_and_the_fix() {
    for (variable, value, key, fix) in [
        ("DB_PATH", "/proc/none/app.db", "database.path", "DB_PATH"),
        ("DATABASE_URL", "postgres://nobody:hidden-word@127.0.0.1:1/none", "database.url", "DATABASE_URL"),
    ] {
        let (code, _, err) = Waypost::new().arguments(&["--port", "0"]).env(variable, value).run().await;
        assert_ne!(code, Some(0));
        assert!(err.contains(key) && err.contains(fix) && !err.contains("hidden-word"), "{err}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_never_overwritten() {
    let text = "not a database, but somebody's text that is long enough to be taken for one".repeat(20);
    let waypost = Waypost::new().file("mine.db", &text).arguments(&["--port", "0"]).env("DB_PATH", "mine.db");
    let (code, _, err) = waypost.run().await;
    assert_ne!(code, Some(0));
    assert!(err.contains("database.path") && err.contains("damaged"), "{err}");
}

#[tokio::test]
async fn a_gateway_over_a_database_serves() {
    let database = Database::sqlite().await;
    let yaml = format!("keys: [{{name: test, key: {KEY}}}]\nchannels: [{{name: sim, provider: simulator}}]\n");
    let gateway = Gateway::with_store(&yaml, database.store.clone()).await;
    let answer = gateway
        .post("/v1/chat/completions", r#"{"model": "sim/chat", "messages": [{"role": "user", "content": "hi"}]}"#)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(gateway.app.store.is_some() && database.folder.join("app.db").is_file());
}
