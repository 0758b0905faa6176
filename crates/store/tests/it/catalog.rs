//! The catalog: what was written is read, its version counts writes, and secrets stay where they were sealed.

use serde_json::{Map, Value, json};
use sqlx::Row as _;
use waypost_core::config::{Catalog, ChannelRow};
use waypost_store::catalog::{ChannelDraft, GroupDraft, ModelDraft, ProviderDraft, Put};
use waypost_store::{Store, StoreError, Vault, VaultError};

use crate::harness::{NOW, on_both};
use crate::vault::{credential, damage, dice, vault};

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn model(name: &str, upstream: Option<&str>) -> ModelDraft {
    ModelDraft { name: name.into(), upstream: upstream.map(Into::into), settings: object(json!({"tier": 2})) }
}

fn channel(name: &str) -> ChannelDraft {
    ChannelDraft {
        name: name.into(),
        provider: Some("house".into()),
        enabled: true,
        headers: Some(object(json!({"x-team": "blue"}))),
        settings: object(json!({"weight": 7})),
        models: vec![model("gpt-4o", None), model("fast", Some("gpt-4o-mini"))],
        ..ChannelDraft::default()
    }
}

fn provider() -> ProviderDraft {
    ProviderDraft {
        name: "house".into(),
        kind: "openai_compatible".into(),
        base_url: Some("http://127.0.0.1:9/v1".into()),
        settings: object(json!({"weight": 3, "tier": 4})),
    }
}

/// Everything there can be, once each.
async fn put_all(store: &Store, vault: &Vault, turn: u8) -> Vec<Put> {
    let mut changes = store.change_catalog(vault, dice(turn), NOW + i64::from(turn)).await.unwrap();
    let mut put = vec![changes.put_provider(&provider()).await.unwrap()];
    put.push(changes.put_channel(&channel("one")).await.unwrap());
    let id = put[1].id().to_owned();
    put.push(changes.put_credential(&credential(&id, "main", "sk-0123456789-last")).await.unwrap());
    let group = GroupDraft { name: "auto:fast".into(), enabled: true, settings: object(json!({"models": ["gpt-4o"]})) };
    put.push(changes.put_group(&group).await.unwrap());
    put.push(changes.put_setting("routing.strategy", &json!("round_robin")).await.unwrap());
    changes.commit().await.unwrap();
    put
}

fn only(catalog: &Catalog) -> &ChannelRow {
    assert_eq!((catalog.channels.len(), catalog.broken.len()), (1, 0), "{:?}", catalog.broken);
    &catalog.channels[0]
}

#[tokio::test]
async fn what_was_written_is_read_and_writing_it_again_changes_nothing_004_02() {
    on_both(async |store| {
        let vault = vault(&store).await;
        assert!(put_all(&store, &vault, 2).await.iter().all(|put| matches!(put, Put::Created { .. })));
        let edition = store.catalog(&vault).await.unwrap();
        let row = only(&edition.catalog);
        assert_eq!(
            (row.provider.as_deref(), row.base_url.as_deref()),
            (Some("openai_compatible"), Some("http://127.0.0.1:9/v1"))
        );
        assert_eq!(serde_json::from_str::<Value>(&row.settings).unwrap(), json!({"weight": 7, "tier": 4}));
        assert_eq!(row.credentials[0].key.expose(), "sk-0123456789-last");
        assert_eq!(row.headers.as_ref().map(|headers| headers.expose()), Some(r#"{"x-team":"blue"}"#));
        let names: Vec<_> = row.models.iter().map(|model| (model.name.as_str(), model.upstream.as_deref())).collect();
        assert_eq!(names, [("fast", Some("gpt-4o-mini")), ("gpt-4o", None)]);
        assert_eq!(edition.catalog.settings[0].value, "\"round_robin\"");
        assert_eq!(store.model_groups().await.unwrap()[0].name, "auto:fast");

        assert!(put_all(&store, &vault, 3).await.iter().all(|put| matches!(put, Put::Same { .. })));
        assert_eq!(store.catalog(&vault).await.unwrap(), edition);
    })
    .await;
}

#[tokio::test]
async fn each_write_counts_the_version_and_a_dropped_one_leaves_nothing() {
    on_both(async |store| {
        let vault = vault(&store).await;
        let start = store.catalog_version().await.unwrap();
        put_all(&store, &vault, 2).await;
        assert_eq!(store.catalog_version().await.unwrap(), start + 1);
        let mut changes = store.change_catalog(&vault, dice(3), NOW).await.unwrap();
        changes.put_channel(&channel("two")).await.unwrap();
        assert_eq!(changes.count(), 1);
        drop(changes);
        let mut changes = store.change_catalog(&vault, dice(4), NOW).await.unwrap();
        let less = ChannelDraft { models: vec![model("gpt-4o", Some("other"))], headers: None, ..channel("one") };
        assert!(matches!(changes.put_channel(&less).await.unwrap(), Put::Changed { .. }));
        changes.commit().await.unwrap();
        let edition = store.catalog(&vault).await.unwrap();
        assert_eq!(edition.version, start + 2);
        let row = only(&edition.catalog);
        assert_eq!((row.models.len(), row.models[0].upstream.as_deref()), (1, Some("other")));
        assert!(row.headers.is_some(), "headers that were not said are gone");
    })
    .await;
}

#[tokio::test]
async fn who_changes_what_somebody_else_has_changed_is_told() {
    on_both(async |store| {
        let vault = vault(&store).await;
        let id = put_all(&store, &vault, 2).await[1].id().to_owned();
        let seen = store.channel(&id).await.unwrap();
        let mut changes = store.change_catalog(&vault, dice(3), NOW).await.unwrap();
        let renamed = ChannelDraft { name: "uno".into(), ..channel("one") };
        changes.change_channel(&id, &renamed, Some(seen.revision)).await.unwrap();
        let late = changes.change_channel(&id, &channel("one"), Some(seen.revision)).await;
        assert!(matches!(late, Err(VaultError::Store(StoreError::Stale))), "{late:?}");
        assert!(matches!(changes.delete_channel(&id, Some(seen.revision)).await, Err(StoreError::Stale)));
        changes.delete_channel(&id, Some(seen.revision + 1)).await.unwrap();
        assert!(matches!(changes.delete_channel(&id, None).await, Err(StoreError::NotFound)));
        changes.commit().await.unwrap();
        assert!(matches!(store.channel(&id).await, Err(StoreError::NotFound)));
        assert!(store.credentials(None, "", 10).await.unwrap().is_empty(), "its credentials are still there");
    })
    .await;
}

#[tokio::test]
async fn lists_show_the_end_of_a_key_and_nothing_of_a_short_one() {
    on_both(async |store| {
        let vault = vault(&store).await;
        let id = put_all(&store, &vault, 2).await[1].id().to_owned();
        let mut changes = store.change_catalog(&vault, dice(3), NOW).await.unwrap();
        changes.create_credential(&credential(&id, "short", "sk-short")).await.unwrap();
        let twice = changes.create_credential(&credential("chn_none", "x", "sk-short")).await;
        assert!(matches!(twice, Err(VaultError::Store(StoreError::NotFound))));
        changes.commit().await.unwrap();
        let credentials = store.credentials(Some(&id), "", 10).await.unwrap();
        let mut hints: Vec<_> = credentials.iter().map(|known| (known.name.as_str(), known.hint.as_str())).collect();
        hints.sort_unstable();
        assert_eq!(hints, [("main", "last"), ("short", "")]);
        assert!(!format!("{:?}", (credentials, store.channels("", 10).await.unwrap())).contains("blue"));
    })
    .await;
}

#[tokio::test]
async fn a_secret_moved_to_another_row_is_told_with_table_and_row() {
    on_both(async |store| {
        let vault = vault(&store).await;
        let id = put_all(&store, &vault, 2).await[1].id().to_owned();
        let mut changes = store.change_catalog(&vault, dice(3), NOW).await.unwrap();
        let other = changes.create_credential(&credential(&id, "other", "sk-other")).await.unwrap().id().to_owned();
        changes.commit().await.unwrap();
        let mut tx = store.begin().await.unwrap();
        let sealed: Vec<u8> =
            sqlx::query("select sealed from credentials where name = 'main'").fetch_one(&mut *tx).await.unwrap().get(0);
        let swap = sqlx::query("update credentials set sealed = $1 where id = $2").bind(sealed).bind(&other);
        swap.execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        let catalog = store.catalog(&vault).await.unwrap().catalog;
        assert_eq!(catalog.channels[0].credentials.len(), 1, "the swapped secret was opened");
        let told = catalog.broken[0].to_string();
        assert!(told.starts_with(&format!("database, credentials {other}: sealed: ")), "{told}");
    })
    .await;
}

#[tokio::test]
async fn a_channel_whose_headers_were_changed_is_left_out_and_told() {
    on_both(async |store| {
        let vault = vault(&store).await;
        put_all(&store, &vault, 2).await;
        damage(&store, "channels", "headers").await;
        let catalog = store.catalog(&vault).await.unwrap().catalog;
        assert_eq!((catalog.channels.len(), catalog.broken.len()), (0, 1));
    })
    .await;
}
