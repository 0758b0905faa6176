//! The commands that change a running gateway, by the built binary.

use serde_json::Value;

use waypost_store::alerts::{Kind, Owner, Sighting};

use super::{Stage, TOKEN, text};
use crate::harness::NOW;
use crate::start::Waypost;

async fn ran(stage: &Stage, arguments: &[&str]) -> (Option<i32>, String, String) {
    let waypost = Waypost::new().env("WAYPOST_URL", stage.gateway.url()).env("WAYPOST_ADMIN_TOKEN", TOKEN);
    waypost.arguments(arguments).run().await
}

#[tokio::test]
async fn keys_are_made_listed_rotated_and_revoked_by_command() {
    let stage = Stage::start().await;
    let (code, said, complaint) = ran(&stage, &["keys", "create", "app", "--model", "m", "--rpm", "60"]).await;
    assert_eq!((code, &*complaint), (Some(0), ""));
    let first = said.trim().to_owned();
    assert_eq!(stage.chat(&first).await, 200);
    let made = stage.ask("GET", "/admin/keys", Value::Null).await.json();
    let id = text(&made["data"][0], "id").to_owned();
    let (_, said, _) = ran(&stage, &["keys", "list"]).await;
    assert!(said.contains(&id) && said.contains("enabled") && !said.contains(&first), "{said}");
    let (_, said, _) = ran(&stage, &["keys", "rotate", &id, "--overlap", "0"]).await;
    assert_eq!((stage.chat(&first).await, stage.chat(said.trim()).await), (401, 200));
    let (code, ..) = ran(&stage, &["keys", "revoke", &id]).await;
    assert_eq!((code, stage.chat(said.trim()).await), (Some(0), 401));
    let (code, _, complaint) = ran(&stage, &["keys", "revoke", "key_0"]).await;
    assert!(code == Some(1) && complaint.contains("There is no `key_0` here."), "{complaint}");
}

#[tokio::test]
async fn alerts_are_listed_by_command_and_their_kind_is_checked() {
    let stage = Stage::start().await;
    let sighting = |kind, subject: &str, mark| Sighting {
        kind,
        subject: subject.to_owned(),
        window_at: 0,
        mark,
        reached: 9,
        bound: 10,
        unit: "tokens",
        owner: Owner::default(),
    };
    let seen = [sighting(Kind::TokenQuota, "key:app", 90), sighting(Kind::KeyUsage, "key:other", 80)];
    stage.database.store.raise_alerts(&seen, NOW).await.unwrap();
    let (code, said, complaint) = ran(&stage, &["alerts", "list"]).await;
    assert_eq!((code, &*complaint), (Some(0), ""));
    assert!(said.contains("key:app has used its tokens of the day up to 90 %: 9 tokens of 10 tokens"), "{said}");
    assert!(said.contains("key:other"), "{said}");
    let (_, said, _) = ran(&stage, &["alerts", "list", "--kind", "token_quota"]).await;
    assert!(said.contains("key:app") && !said.contains("key:other"), "{said}");
    let (code, _, complaint) = ran(&stage, &["alerts", "list", "--kind", "rumour"]).await;
    assert!(code == Some(1) && complaint.contains("`kind` is"), "{complaint}");
}

#[tokio::test]
async fn any_call_of_the_administration_is_a_command() {
    let stage = Stage::start().await;
    let (code, said, complaint) = ran(&stage, &["admin", "post", "/admin/teams", r#"{"name":"A"}"#]).await;
    assert_eq!((code, &*complaint), (Some(0), ""));
    let made: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(text(&made, "name"), "A");
    let (code, _, complaint) = ran(&stage, &["admin", "post", "/admin/teams", r#"{"nam":"A"}"#]).await;
    assert!(code == Some(1) && complaint.contains("`nam`"), "{complaint}");
}
