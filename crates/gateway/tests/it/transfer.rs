//! Taking configurations over into a database and giving them out, by the built binary: what is written, what is said, and that the
//! second time changes nothing.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use sqlx::Row as _;
use waypost_store::{Place, Store};
use waypost_testkit::{Request, Script, Upstream, fixtures};

use crate::harness::NOW;
use crate::start::Waypost;

/// A folder that several commands share.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("transfer-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    pub(crate) fn database(&self) -> String {
        self.path("app.db")
    }

    /// Writes a file, and gives its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.0.join(name), text).unwrap();
        self.path(name)
    }

    /// Runs a command on this folder's database, which must work; gives what it printed.
    pub(crate) async fn run(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.try_run(arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}: {err}");
        out
    }

    pub(crate) async fn try_run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        Waypost::new().arguments(arguments).arguments(&["--database", &self.database()]).run().await
    }

    pub(crate) async fn store(&self) -> Store {
        Store::open(&Place::Sqlite(self.0.join("app.db")), NOW).await.unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Providers, channels and groups as tables, as the router of the fourth founding document gives them out.
const TABLES: &str = r#"{
  "providers": [
    {"id": 1, "name": "openai", "display_name": "OpenAI", "base_url": "https://api.openai.com/v1", "auth_type": "bearer", "adapter_class": "OpenAIAdapter"},
    {"id": 2, "name": "groq", "display_name": "Groq", "base_url": "https://api.groq.com/openai/v1", "auth_type": "bearer", "adapter_class": "GroqAdapter"}
  ],
  "channels": [
    {"id": 1, "name": "OpenAI GPT-4o", "provider_id": 1, "model_name": "gpt-4o", "api_key": "sk-table-one-0123456789", "enabled": true, "priority": 1, "weight": 100, "created_at": "2024-01-20"},
    {"id": 2, "name": "Llama on Groq", "provider_id": 2, "model_name": "llama-3.1-8b-instant", "api_key": "gsk_table-two-0123456789", "enabled": false, "priority": 2, "weight": 50}
  ],
  "model_groups": [
    {"id": 1, "name": "auto:fast", "display_name": "Fast", "routing_strategy": "speed_optimized", "channels": [1, 2]}
  ]
}"#;

#[tokio::test]
async fn providers_channels_and_model_groups_round_trip_004_02() {
    let (first, second) = (Folder::new(), Folder::new());
    let tables = first.write("tables.json", TABLES);
    let said = first.run(&["import", &tables]).await;
    assert!(said.contains("7 changes made"), "{said}");
    let exported = first.run(&["export"]).await;
    let document: Value = serde_json::from_str(&exported).unwrap();
    for (noun, count) in [("providers", 2), ("channels", 2), ("model_groups", 1)] {
        assert_eq!(document[noun].as_array().map(Vec::len), Some(count), "{noun}");
    }
    assert_eq!(document["model_groups"][0]["settings"]["routing_strategy"], "speed_optimized");
    // Rows refer to one another by name afterwards.
    assert_eq!(document["channels"][1]["name"], "OpenAI GPT-4o");
    assert_eq!(document["model_groups"][0]["settings"]["channels"], json!(["OpenAI GPT-4o", "Llama on Groq"]));
    assert_eq!(document["channels"][0]["credentials"][0]["hint"], "6789");
    assert!(!exported.contains("gsk_table") && !exported.contains("sk-table"), "a secret was exported");

    // With its secrets, it is the same in another database; without them, it says what is missing.
    let whole = first.run(&["export", "--with-secrets"]).await;
    let file = second.write("export.json", &whole);
    assert!(second.run(&["import", &file]).await.contains("7 changes made"));
    assert_eq!(second.run(&["export", "--with-secrets"]).await, whole);
    assert!(second.run(&["import", &file]).await.contains(" 0 changes made"));
    let third = Folder::new();
    let file = third.write("export.json", &exported);
    let said = third.run(&["import", &file]).await;
    assert!(said.contains("skipped: credential") && said.contains("holds no secret"), "{said}");
}

#[tokio::test]
async fn a_group_of_the_database_is_asked_like_a_model_004_02_004_07() {
    let (folder, upstream) = (Folder::new(), Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await);
    let tables = TABLES.replace("https://api.openai.com/v1", &format!("{}/v1", upstream.url()));
    folder.run(&["import", &folder.write("tables.json", &tables)]).await;
    let gateway = Waypost::new().arguments(&["--port", "0", "--mode", "sqlite"]).env("DB_PATH", &folder.database());
    let gateway = gateway.env("WAYPOST_API_KEY", "wp-of-the-environment-01").start().await;
    let body = json!({"model": "auto:fast", "messages": [{"role": "user", "content": "Hi"}]}).to_string();
    let answer =
        Request::post("/v1/chat/completions", body).bearer("wp-of-the-environment-01").send(gateway.url()).await;
    assert_eq!(
        (answer.status, answer.header("x-waypost-deployment")),
        (200, Some("OpenAI GPT-4o/gpt-4o")),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let folder = Folder::new();
    let tables = folder.write("tables.json", TABLES);
    let said = folder.run(&["import", "--dry-run", &tables]).await;
    assert!(said.contains("7 changes would be made"), "{said}");
    assert_eq!(serde_json::from_str::<Value>(&folder.run(&["export"]).await).unwrap()["channels"], json!([]));
}

#[tokio::test]
async fn an_import_that_changes_something_is_in_the_audit_log() {
    let folder = Folder::new();
    let tables = folder.write("tables.json", TABLES);
    for more in [&["--dry-run"][..], &[], &[]] {
        folder.run(&[&["import", &tables], more].concat()).await;
    }
    let told = folder.run(&["audit", "export"]).await;
    // The head of the chain comes last.
    assert_eq!(told.lines().count(), 2, "{told}");
    let row: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&row["actor"], &row["action"], &row["subject"]),
        (&json!("cli"), &json!("catalog.import"), &json!(tables))
    );
    assert!(row["detail"].as_str().unwrap().contains(r#""channels":{"#) && !told.contains("sk-table"), "{told}");
}

#[tokio::test]
async fn what_cannot_work_is_left_out_with_its_reason_and_the_rest_is_taken() {
    let folder = Folder::new();
    let file = folder.write(
        "waypost.yaml",
        "channels:\n- {name: good, provider: openai, api_key: sk-good-0123456789}\n- {name: bad, provider: opnai, api_key: sk-1}\n\
         - {name: odd, provider: openai, api_key: sk-2, tier: 11}\nretry: {maxAttempts: 2}\n",
    );
    let said = folder.run(&["import", &file]).await;
    for words in ["skipped: channel bad: provider: there is no such provider", "skipped: channel odd: tier: expected"] {
        assert!(said.contains(words), "{said}");
    }
    let document: Value = serde_json::from_str(&folder.run(&["export"]).await).unwrap();
    assert_eq!(document["channels"].as_array().map(Vec::len), Some(1));
    assert_eq!(document["settings"]["retry"], json!({"maxAttempts": 2}));
}

#[tokio::test]
async fn a_file_that_is_nothing_changes_nothing_and_is_told() {
    let folder = Folder::new();
    for (name, text, words) in [
        ("a.json", "{\"channels\": [", "a.json:1:"),
        ("a.sql", "insert into open_ai_api_key values (1", "a.sql:1: the text ends within values"),
        ("none", "", "none: cannot be read"),
    ] {
        let file = if name == "none" { folder.path(name) } else { folder.write(name, text) };
        let (code, _, err) = folder.try_run(&["import", &file]).await;
        assert_ne!(code, Some(0));
        assert!(err.contains(words), "{err}");
        assert!(!folder.0.join("app.db").exists(), "a database was made for nothing");
    }
}

/// As the second founding document prints its rows, with one caller that is not valid and one more account.
fn dump(url: &str) -> String {
    format!(
        "INSERT INTO open_ai_api_key (id, title, base_url, api_key, model, status)\nVALUES (1, 'OpenAI Key 1', '{url}/v1', \
         'sk-of-the-dump-0123', 'gpt-3.5-turbo', 1);\nINSERT INTO api_caller (id, title, app_id, app_secret, valid)\nVALUES (1, \
         'Internal App', 'app_token_123', 'secret-of-app-1', 1),\n(2, 'Old App', 'app_token_456', 'secret-of-app-2', 0);\n"
    )
}

#[tokio::test]
async fn accounts_and_callers_of_a_dump_serve_at_once_and_an_invalid_caller_is_401_002_34_002_35() {
    let (folder, upstream) = (Folder::new(), Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await);
    let file = folder.write("dump.sql", &dump(&upstream.url()));
    let said = folder.run(&["import", &file]).await;
    assert!(said.contains(" 4 changes made"), "{said}");
    assert!(folder.run(&["import", &file]).await.contains(" 0 changes made"));
    let gateway = Waypost::new().arguments(&["--port", "0", "--mode", "sqlite"]).env("DB_PATH", &folder.database());
    let gateway = gateway.start().await;
    let ask = async |key: &str| {
        let body = r#"{"model":"gpt-3.5-turbo","messages":[{"role":"user","content":"Hello"}]}"#;
        Request::post("/proxy/v1/chat/completions", body).bearer(key).send(gateway.url()).await.status
    };
    for (key, status) in
        [("app_token_123", 200), ("secret-of-app-1", 200), ("app_token_456", 401), ("secret-of-app-2", 401)]
    {
        assert_eq!(ask(key).await, status, "{key}");
    }
    assert_eq!(upstream.requests()[0].header("authorization"), Some("Bearer sk-of-the-dump-0123"));

    // Given out and taken over elsewhere, keys are their hashes, and a second time changes nothing.
    let exported = folder.run(&["export"]).await;
    assert!(!exported.contains("app_token") && !exported.contains("secret-of"), "{exported}");
    let other = Folder::new();
    let file = other.write("export.json", &exported);
    other.run(&["import", &file]).await;
    let again: Value = serde_json::from_str(&other.run(&["export"]).await).unwrap();
    assert_eq!(again["keys"], serde_json::from_str::<Value>(&exported).unwrap()["keys"]);
    assert_eq!(again["keys"].as_array().map(Vec::len), Some(2));
}

// === migrate ===

#[tokio::test]
async fn migrating_twice_changes_nothing_the_second_time_004_03() {
    let folder = Folder::new();
    assert!(folder.run(&["migrate"]).await.contains("version 0 -> "));
    assert!(folder.run(&["migrate"]).await.contains("up to date"));
}

#[tokio::test]
async fn an_old_database_that_is_full_is_migrated_after_a_copy_004_03() {
    let folder = Folder::new();
    let store = Store::connect(&Place::Sqlite(folder.0.join("app.db"))).await.unwrap();
    store.migrate_to(1, NOW).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    for number in 0..1000 {
        let row = sqlx::query("insert into meta (name, value, changed_at) values ($1, 'kept', 1)");
        row.bind(format!("row {number}")).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    store.close().await;
    let said = folder.run(&["migrate"]).await;
    assert!(said.contains("version 1 -> ") && said.contains("copied to "), "{said}");
    assert!(folder.0.join("app.db.version-1.backup").is_file());
    let store = folder.store().await;
    let kept: i64 =
        sqlx::query("select count(*) from meta where value = 'kept'").fetch_one(store.reader()).await.unwrap().get(0);
    assert_eq!(kept, 1000);
    assert!(folder.run(&["import", &folder.write("t.json", TABLES)]).await.contains("7 changes made"));
}

// === the master key ===

#[tokio::test]
async fn rotation_keeps_every_secret_and_the_old_key_opens_nothing_any_more() {
    let folder = Folder::new();
    folder.run(&["import", &folder.write("t.json", TABLES)]).await;
    let before = folder.run(&["export", "--with-secrets"]).await;
    let new = folder.path("new.key");
    let said = folder.run(&["secrets", "rotate", "--to", &new]).await;
    assert!(said.contains("3 secrets sealed anew"), "{said}");

    let (code, out, err) = folder.try_run(&["export", "--with-secrets"]).await;
    assert!(code != Some(0) && out.is_empty() && err.contains("is sealed with the master key"), "{err}");
    let with_new = Waypost::new().env("WAYPOST_MASTER_KEY_FILE", &new);
    let (code, out, err) =
        with_new.arguments(&["export", "--with-secrets", "--database", &folder.database()]).run().await;
    assert_eq!((code, out), (Some(0), before), "{err}");
}
