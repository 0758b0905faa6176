//! The ledger at the command line: what an owner and a finance department get. What is proved by it is tested in the store.

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
async fn export_prints_a_table_that_begins_with_its_columns() {
    let folder = Folder::new();
    let table = folder.run(&["ledger", "export"]).await;
    assert!(table.starts_with("node,number,at,request,kind,"), "{table}");
    let file = folder.path("ledger.jsonl");
    folder.run(&["ledger", "export", "--format", "json", "--output", &file]).await;
    assert_eq!(std::fs::read_to_string(file).unwrap(), "");
}
