//! Gateways over a catalog, by the built binary: the modes, what files and database say together, changes while it runs, broken rows
//! and the master key.

use waypost_testkit::{Request, Script, Upstream, fixtures};

use crate::harness::KEY;
use crate::start::Waypost;
use crate::transfer::Folder;

const CHAT: &str = "/v1/chat/completions";
const ASK: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello!"}]}"#;

fn channel(name: &str, upstream: &Upstream, more: &str) -> String {
    format!(
        "channels: [{{name: {name}, provider: openai, dialects: [openai_chat], base_url: '{}/v1', api_key: sk-in-the-database-1, \
         models: [m]{more}}}]\n",
        upstream.url()
    )
}

async fn well() -> Upstream {
    Upstream::always(Script::reply(200, fixtures::openai_chat::PLAIN)).await
}

/// A gateway over the folder's database.
fn over(folder: &Folder, mode: &str) -> Waypost {
    Waypost::new()
        .arguments(&["--port", "0", "--mode", mode])
        .env("DB_PATH", &folder.database())
        .env("WAYPOST_API_KEY", KEY)
}

async fn served_by(url: &str) -> Option<String> {
    let answer = Request::post(CHAT, ASK).bearer(KEY).send(url).await;
    answer.header("x-waypost-deployment").map(str::to_owned)
}

async fn imported(folder: &Folder, text: &str) {
    let file = folder.write("import.yaml", text);
    let said = folder.run(&["import", &file]).await;
    assert!(!said.contains("skipped:"), "{said}");
}

#[tokio::test]
async fn in_mode_sqlite_the_database_holds_the_channels_and_changes_take_effect_while_it_runs() {
    let (folder, upstream) = (Folder::new(), well().await);
    imported(&folder, &channel("one", &upstream, "")).await;
    // A file that nobody asked for is no part of it.
    let gateway = over(&folder, "sqlite").file("waypost.yaml", "channels: [{name: x, provider: openai, api_key: k}]\n");
    let mut gateway = gateway.start().await;
    assert_eq!(served_by(gateway.url()).await.as_deref(), Some("one/m"));
    assert_eq!(upstream.requests()[0].header("authorization"), Some("Bearer sk-in-the-database-1"));

    imported(&folder, &channel("two", &upstream, "")).await;
    imported(&folder, &channel("one", &upstream, ", enabled: false")).await;
    gateway.hear("\"trigger\":\"database\"").await;
    // Both writes are in effect when the version was seen that counts the second.
    for _ in 0..100 {
        if served_by(gateway.url()).await.as_deref() == Some("two/m") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the second change was not taken into use");
}

#[tokio::test]
async fn in_mode_auto_a_file_lies_over_the_database_and_in_mode_yaml_there_is_only_the_file() {
    let (folder, kept, filed) = (Folder::new(), well().await, well().await);
    imported(&folder, &channel("kept", &kept, ", tier: 2")).await;
    let file = channel("filed", &filed, "");
    let gateway = over(&folder, "auto").file("waypost.yaml", &file).start().await;
    assert_eq!(served_by(gateway.url()).await.as_deref(), Some("filed/m"));
    let models = |url: String| async move {
        let answer = Request::get("/admin/channels").bearer("wp-admin-token-0123456789").send(&url).await;
        answer.text().to_owned()
    };
    drop(gateway);
    for (mode, both) in [("auto", true), ("yaml", false)] {
        let gateway =
            over(&folder, mode).file("waypost.yaml", &file).env("WAYPOST_ADMIN_TOKEN", "wp-admin-token-0123456789");
        let gateway = gateway.start().await;
        let shown = models(gateway.url().to_owned()).await;
        assert!(shown.contains("\"filed\"") && shown.contains("\"kept\"") == both, "{mode}: {shown}");
        assert!(!shown.contains("sk-in-the-database"), "{shown}");
    }
}

#[tokio::test]
async fn a_mode_that_does_not_fit_the_database_is_refused_in_words() {
    for (mode, variable, value, words) in [
        ("postgres", "DB_PATH", "app.db", "DATABASE_URL"),
        ("sqlite", "DATABASE_URL", "postgres://nobody@127.0.0.1:1/x", "--mode postgres"),
    ] {
        let (code, _, err) =
            Waypost::new().arguments(&["--port", "0", "--mode", mode]).env(variable, value).run().await;
        assert!(code != Some(0) && err.contains(words), "{err}");
    }
}

#[tokio::test]
async fn a_row_that_is_broken_at_the_start_is_left_out_and_one_that_breaks_later_leaves_all_as_it_was() {
    let (folder, upstream) = (Folder::new(), well().await);
    imported(&folder, &channel("one", &upstream, "")).await;
    imported(&folder, &channel("two", &upstream, ", tier: 2")).await;
    let store = folder.store().await;
    let change = async |sql: &'static str| {
        let mut tx = store.begin().await.unwrap();
        sqlx::query(sql).execute(&mut *tx).await.unwrap();
        sqlx::query("update catalog_version set version = version + 1").execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    };
    change("update channels set settings = '{\"tier\": 11}' where name = 'two'").await;
    let mut gateway = over(&folder, "sqlite").start().await;
    assert!(gateway.heard().contains("database, channels chn_") && gateway.heard().contains("tier: expected"));
    assert_eq!(served_by(gateway.url()).await.as_deref(), Some("one/m"));

    change("update channels set provider = 'opnai' where name = 'one'").await;
    gateway.hear("the old one stays in use").await;
    assert!(gateway.heard().contains("provider: there is no such provider"), "{}", gateway.heard());
    assert_eq!(served_by(gateway.url()).await.as_deref(), Some("one/m"));

    // The other one is mended; what was broken from the start may come in now.
    change("update channels set provider = 'openai' where name = 'one'").await;
    gateway.hear("\"trigger\":\"database\",\"generation\"").await;
    assert_eq!(served_by(gateway.url()).await.as_deref(), Some("one/m"));
}

#[tokio::test]
async fn without_the_right_master_key_it_does_not_start() {
    let (folder, upstream) = (Folder::new(), well().await);
    imported(&folder, &channel("one", &upstream, "")).await;
    let key = folder.path("master.key");
    let (code, _, err) = over(&folder, "sqlite").env("WAYPOST_MASTER_KEY", &"ab".repeat(32)).run().await;
    assert!(code != Some(0) && err.contains("is sealed with the master key") && !err.contains("abab"), "{err}");
    let (code, _, err) = over(&folder, "sqlite").env("WAYPOST_MASTER_KEY", "too short").run().await;
    assert!(code != Some(0) && err.contains("WAYPOST_MASTER_KEY: this is no master key"), "{err}");

    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, _, err) = over(&folder, "sqlite").run().await;
    assert!(code != Some(0) && err.contains("chmod 600"), "{err}");

    std::fs::rename(&key, folder.path("elsewhere.key")).unwrap();
    let (code, _, err) = over(&folder, "sqlite").run().await;
    assert!(code != Some(0) && err.contains("nowhere to be found"), "{err}");
    assert!(!std::path::Path::new(&key).exists(), "a key was made that opens nothing");

    std::fs::set_permissions(folder.path("elsewhere.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let gateway = over(&folder, "sqlite").env("WAYPOST_MASTER_KEY_FILE", &folder.path("elsewhere.key")).start().await;
    assert_eq!(served_by(gateway.url()).await.as_deref(), Some("one/m"));
}

#[tokio::test]
async fn check_and_explain_look_into_the_database_or_say_that_they_did_not() {
    let (folder, upstream) = (Folder::new(), well().await);
    let file = "channels: [{name: filed, provider: openai, api_key: k, models: [f]}]\nkeys: [{name: a, key: wp-a-key-of-the-file-1}]\n";
    let look = async |arguments: &[&str], more: &[(&str, &str)]| {
        let waypost = Waypost::new().file("waypost.yaml", file).arguments(arguments);
        more.iter().fold(waypost, |waypost, (name, value)| waypost.env(name, value)).run().await
    };
    let database = folder.database();
    let here = [("DB_PATH", database.as_str())];
    let (code, out, err) = look(&["config", "check"], &here).await;
    assert_eq!((code, &*err), (Some(0), ""));
    assert!(out.contains("the database was not looked at: there is no ") && !folder.0.join("app.db").exists(), "{out}");
    assert!(out.ends_with("waypost.yaml: ok, 1 channels, 1 models\n"), "{out}");
    let (code, _, err) = look(&["config", "check", "--database", &database], &[]).await;
    assert!(code == Some(1) && err.contains("--database: there is no "), "{err}");

    imported(&folder, &channel("kept", &upstream, "")).await;
    let whole = format!("waypost.yaml and {database}: ok, 2 channels, 2 models\n");
    assert_eq!(look(&["config", "check"], &here).await, (Some(0), whole.clone(), String::new()));
    assert_eq!(look(&["check", "--database", &database], &[]).await.1, whole);
    let (_, out, err) = look(&["config", "explain", "channels"], &here).await;
    assert!(out.contains("kept") && !out.contains("sk-in-the-database-1"), "{out}");
    assert_eq!(err, "");
    let (_, out, err) = look(&["--mode", "yaml", "config", "explain", "channels"], &here).await;
    assert!(!out.contains("kept") && err.contains("the database was not looked at: in this mode"), "{out}{err}");
    let (_, out, _) = look(&["--mode", "yaml", "config", "check"], &here).await;
    assert!(out.contains("the database was not looked at: in this mode"), "{out}");

    // Nobody who checks a file needs the server that it names; whoever asks for it does.
    let away = "postgres://nobody:hidden-word@127.0.0.1:1/none";
    let (code, out, _) = look(&["config", "check"], &[("DATABASE_URL", away)]).await;
    assert!(code == Some(0) && out.contains("not looked at: the Postgres server is away"), "{out}");
    let (code, out, err) = look(&["config", "check", "--database", away], &[]).await;
    assert!(code == Some(1) && err.contains("the Postgres server cannot be read"), "{err}");
    assert!(!out.contains("hidden-word") && !err.contains("hidden-word"));
    let (code, _, err) = look(&["--mode", "postgres", "config", "check"], &here).await;
    assert!(code == Some(1) && err.contains("--mode postgres: no server is named"), "{err}");

    // What would be left out at a start is told.
    let store = folder.store().await;
    let mut tx = store.begin().await.unwrap();
    sqlx::query("update channels set base_url = 'nowhere' where name = 'kept'").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    store.close().await;
    let (_, out, _) = look(&["config", "check"], &here).await;
    assert!(out.contains("warning: ") && out.contains("ok, 1 channels"), "{out}");
}
