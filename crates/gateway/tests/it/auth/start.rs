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
    let (code, export, _) = audit(&["export"]).await;
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
