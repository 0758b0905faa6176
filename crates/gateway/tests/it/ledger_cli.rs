//! The ledger at the command line: what an owner and a finance department get. What is proved by it is tested in the store.

use serde_json::Value;
use waypost_core::Secret;
use waypost_store::{Place, Store};
use waypost_testkit::postgres::Database;

use crate::harness::NOW;
use crate::start::Waypost;
use crate::transfer::Folder;

#[tokio::test]
async fn verify_says_whether_the_books_are_whole_by_its_exit_code() {
    let folder = Folder::new();
    assert!(folder.run(&["ledger", "verify"]).await.contains("0 transactions of 0 accounts: whole"));
    let store = folder.store().await;
    let mut tx = store.begin().await.unwrap();
    let gift = "insert into ledger_accounts (name, granted, changed_at) values ('user:eve', 5, 1)";
    sqlx::query(gift).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    store.close().await;
    let (code, out, _) = folder.try_run(&["ledger", "verify"]).await;
    assert_eq!(code, Some(1));
    assert!(
        out.contains("the balance of user:eve is not the sum of its entries") && out.contains("NOT WHOLE"),
        "{out}"
    );
    let (_, out, _) = folder.try_run(&["ledger", "verify", "--json"]).await;
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((told["whole"].as_bool(), told["flaws"].as_array().map(Vec::len)), (Some(false), Some(1)));
}

#[tokio::test]
async fn a_read_only_account_can_be_spent_from_again_when_somebody_says_so() {
    let folder = Folder::new();
    folder.run(&["migrate"]).await;
    let store = folder.store().await;
    let mut tx = store.begin().await.unwrap();
    let frozen = "insert into ledger_accounts (name, prepaid, read_only, changed_at) values ('user:eve', 1, 1, 1)";
    sqlx::query(frozen).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let (code, _, err) = folder.try_run(&["ledger", "unfreeze", "eve"]).await;
    assert!(code == Some(1) && err.contains("ACCOUNT: `eve` is none of: user:<id>"), "{err}");
    let told = folder.run(&["ledger", "unfreeze", "user:eve"]).await;
    assert!(told.contains("user:eve may be spent from again"), "{told}");
    let account = waypost_core::ledger::Account::user("eve");
    assert!(!store.balance(&account).await.unwrap().unwrap().read_only);
    let (code, _, err) = folder.try_run(&["ledger", "unfreeze", "user:eve"]).await;
    assert!(code == Some(1) && err.contains("account: user:eve is not read-only"), "{err}");
    let audit = folder.run(&["audit", "export"]).await;
    assert!(audit.contains(r#""actor":"cli""#) && audit.contains(r#""action":"ledger.unfreeze""#), "{audit}");
    store.close().await;
}

#[tokio::test]
async fn export_prints_a_table_that_begins_with_its_columns() {
    let folder = Folder::new();
    let table = folder.run(&["ledger", "export"]).await;
    assert!(table.starts_with("node,number,at,request,kind,"), "{table}");
    let file = folder.path("ledger.jsonl");
    folder.run(&["ledger", "export", "--format", "json", "--output", &file]).await;
    assert_eq!(std::fs::read_to_string(file).unwrap(), "");
}

/// What a command says of a database on a server: exit code, what it said, what it complained of.
async fn ran(database: &Database, arguments: &[&str]) -> (Option<i32>, String, String) {
    Waypost::new().arguments(&[&["ledger"], arguments].concat()).env("DATABASE_URL", &database.url()).run().await
}

#[tokio::test]
async fn a_node_that_does_not_come_back_is_written_off_only_if_it_was_not_seen_and_somebody_says_yes() {
    let database = Database::create();
    let place = Place::Postgres { url: Secret::new(database.url()), connections: 2 };
    let store = Store::open(&place, NOW).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    for text in [
        "insert into ledger_accounts (name, prepaid, granted, leased, changed_at) values ('user:ann', 1, 900, 800, 1)",
        "insert into ledger_nodes (node, number, hash, segment, byte_offset, seen_at) values ('node_a', 0, '', 0, 0, 1000)",
        "insert into ledger_nodes (node, number, hash, segment, byte_offset, seen_at)
         values ('node_b', 0, '', 0, 0, 253402300799999)",
        "insert into ledger_leases (node, purse, start_at, unspent) values ('node_a', 'user:ann', 0, 800)",
    ] {
        sqlx::query(text).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    let left = async || store.leases("node_a").await.unwrap().iter().map(|lease| lease.unspent.get()).sum::<i64>();

    let (_, out, _) = ran(&database, &["nodes"]).await;
    assert!(out.contains("node_a  1970-01-01T00:00:01.000Z  no           1"), "{out}");
    let (code, _, err) = ran(&database, &["write-off", "node_b", "--yes"]).await;
    assert!(code == Some(1) && err.contains("node_b was seen at 9999-12-31") && err.contains("may be alive"), "{err}");
    let (code, _, err) = ran(&database, &["write-off", "node_c", "--yes"]).await;
    assert!(code == Some(1) && err.contains("`waypost ledger nodes` prints those that there are"), "{err}");
    let (code, _, err) = ran(&database, &["write-off", "node_a", "--unseen-for", "5"]).await;
    assert!(code == Some(2) && err.contains("--unseen-for <SECONDS>"), "{err}");

    let (code, out, _) = ran(&database, &["write-off", "node_a"]).await;
    assert!(code == Some(0) && out.contains("user:ann  -       0.0000008"), "{out}");
    assert!(out.contains("Nothing was changed: with --yes") && left().await == 800, "{out}");
    let (code, out, _) = ran(&database, &["write-off", "node_a", "--yes", "--json"]).await;
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["done"], &told["leases"][0]["amount"]), (Some(0), &true.into(), &"0.0000008".into()));
    assert_eq!(left().await, 0);
    let account = waypost_core::ledger::Account::user("ann");
    assert_eq!(store.balance(&account).await.unwrap().unwrap().leased.get(), 0);
    let (_, out, _) = ran(&database, &["nodes", "--json"]).await;
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["data"][0]["written_off"], &told["data"][1]["written_off"]), (&true.into(), &false.into()));
    let audit = Waypost::new().arguments(&["audit", "export", "--database", &database.url()]).run().await.1;
    assert!(audit.contains(r#""actor":"cli""#) && audit.contains(r#""action":"ledger.write_off""#), "{audit}");
    store.close().await;
}

#[tokio::test]
async fn an_embedded_database_lends_nothing_and_none_is_made_by_asking() {
    let folder = Folder::new();
    let (code, _, err) = folder.try_run(&["ledger", "nodes"]).await;
    assert!(code == Some(1) && err.contains("there is no") && err.contains("--database"), "{err}");
    assert!(!folder.0.join("app.db").exists());
    folder.run(&["migrate"]).await;
    let (code, _, err) = folder.try_run(&["ledger", "write-off", "local", "--yes"]).await;
    assert!(code == Some(1) && err.contains("there is nothing to write off"), "{err}");
    assert_eq!(folder.run(&["ledger", "nodes"]).await.lines().count(), 1);
}
