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
