//! People and the built binary: its secrets, and what it tells its owner.

use serde_json::json;
use waypost_testkit::Request;

use super::{PASSWORD, text};
use crate::start::Waypost;

#[tokio::test]
async fn a_jwt_secret_of_31_characters_ends_the_start_with_the_fix_001_54() {
    for (secret, said) in [
        ("k3J9_sQ0vZ7pLx2mB8nRt5wYc1dFgH4", "31 characters"),
        ("your-super-secret-jwt-key-change-in-production", "can be guessed"),
    ] {
        let (code, _, err) = Waypost::new().arguments(&["--port", "0"]).env("JWT_SECRET", secret).run().await;
        assert_ne!(code, Some(0));
        assert!(err.contains("JWT_SECRET") && err.contains(said) && err.contains("openssl rand"), "{err}");
        assert!(!err.contains(secret), "{err}");
    }
}

#[tokio::test]
async fn whoever_starts_it_first_is_told_the_set_up_token_and_becomes_the_owner_001_54() {
    let mut waypost = Waypost::new().arguments(&["--port", "0"]).start().await;
    waypost.hear("Set-up token, shown this once: ").await;
    let line = waypost.heard().lines().find(|line| line.starts_with("Set-up token")).unwrap();
    let token = line.rsplit(' ').next().unwrap().to_owned();
    let body = json!({ "token": token, "email": "a@example.org", "password": PASSWORD });
    let answer = Request::post("/auth/setup", body.to_string()).send(waypost.url()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let profile = Request::get("/auth/profile").bearer(text(&answer.json(), "token")).send(waypost.url()).await;
    assert_eq!(profile.status, 200);
}

#[tokio::test]
async fn the_audit_log_is_verified_and_exported_on_the_command_line_and_tampering_is_named() {
    let folder = crate::harness::Database::sqlite().await;
    let house = crate::harness::Gateway::with_store(
        "channels: [{name: sim, provider: simulator}]\nidentity: {registration: open}\n",
        folder.store.clone(),
    )
    .await;
    for email in ["a@example.org", "b@example.org"] {
        let body = json!({ "email": email, "password": PASSWORD });
        assert_eq!(Request::post("/auth/register", body.to_string()).send(house.url()).await.status, 201);
    }
    let path = folder.folder.join("app.db");
    let audit = async |arguments: &[&str]| {
        Waypost::new().arguments(&[&["audit"], arguments].concat()).env("DB_PATH", path.to_str().unwrap()).run().await
    };
    let (code, out, _) = audit(&["verify"]).await;
    assert_eq!(code, Some(0), "{out}");
    let head = out.lines().last().unwrap().rsplit(' ').next().unwrap().to_owned();
    assert!(out.starts_with("2 rows") && head.starts_with("2:"), "{out}");
    assert_eq!(audit(&["verify", "--head", &head]).await.0, Some(0));
    let elsewhere = async |arguments: &[&str]| {
        let named = ["--database", path.to_str().unwrap()];
        Waypost::new().arguments(&[&["audit"], arguments, &named].concat()).run().await
    };
    let (code, out, _) = elsewhere(&["verify", "--head", &head]).await;
    assert!(code == Some(0) && out.starts_with("2 rows"), "{out}");
    let (code, export, _) = audit(&["export"]).await;
    assert_eq!(elsewhere(&["export"]).await.1, export);
    assert_eq!(elsewhere(&["verify", "--file", "x"]).await.0, Some(2));
    assert_eq!((code, export.lines().count()), (Some(0), 3));
    let file = folder.folder.join("export.jsonl");
    std::fs::write(&file, &export).unwrap();
    assert_eq!(audit(&["verify", "--file", file.to_str().unwrap()]).await.0, Some(0));
    std::fs::write(&file, export.replace("b@example.org", "c@example.org")).unwrap();
    let (code, out, _) = audit(&["verify", "--file", file.to_str().unwrap()]).await;
    assert!(code == Some(1) && out.contains("row 2: it was changed"), "{out}");

    let other = format!("2:{}", "0".repeat(64));
    let (code, out, _) = audit(&["verify", "--head", &other]).await;
    assert!(code == Some(1) && out.contains("row 2: it is not the one whose hash was kept"), "{out}");
    assert_ne!(audit(&["verify", "--head", "2:x"]).await.0, Some(0));
}

/// Does a start make a key and print it?
async fn makes_a_key(folder: &crate::transfer::Folder) -> bool {
    let waypost = Waypost::new().arguments(&["--port", "0"]).env("DB_PATH", &folder.database());
    let mut waypost = waypost.env("OPENAI_API_KEY", "sk-mine").start().await;
    waypost.terminate();
    let mut said = waypost.heard().to_owned();
    while let Some(line) = waypost.said_to_the_end().await {
        said.push_str(&line);
    }
    let check = Waypost::new().arguments(&["config", "check", "--database", &folder.database()]);
    let (_, checked, _) = check.env("OPENAI_API_KEY", "sk-mine").run().await;
    let made = said.contains("Key for your applications");
    assert_eq!(checked.contains("there is no key for callers"), made, "{checked}");
    made
}

#[tokio::test]
async fn a_start_makes_a_key_only_while_the_database_has_neither_a_usable_key_nor_an_owner() {
    let folder = crate::transfer::Folder::new();
    assert!(makes_a_key(&folder).await);
    let change = async |sql: &str| {
        let store = folder.store().await;
        let mut tx = store.begin().await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        store.close().await;
    };
    let key = "insert into keys (id, name, hint, enabled, origin, created_at, created_by, version)
               values ('key_1', 'app', 'abcd', 1, 'api', 1, 'token', 1)";
    change(key).await;
    assert!(!makes_a_key(&folder).await, "callers have a key");
    for unusable in ["enabled = 0", "revoked_at = 5", "expires_at = 5"] {
        change("update keys set enabled = 1, revoked_at = null, expires_at = null").await;
        change(&format!("update keys set {unusable}")).await;
        assert!(makes_a_key(&folder).await, "{unusable}");
    }
    let owner = "insert into users (id, created_at, changed_at, version, email, login, name, role, enabled, generation)
                 values ('usr_1', 1, 1, 1, 'a@example.org', 'a@example.org', 'a', 'owner', 1, 1)";
    change(owner).await;
    assert!(!makes_a_key(&folder).await, "an owner makes keys");
    change("update users set enabled = 0").await;
    assert!(makes_a_key(&folder).await, "nobody makes keys");
}
