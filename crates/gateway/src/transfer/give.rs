//! The catalog as one JSON document that another Waypost takes over. Decides its form; without secrets unless they are asked for.
//! Tests: `it/transfer.rs`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use waypost_core::config::Catalog;
use waypost_store::{Store, StoreError};

use super::FORM;

/// The most rows of a kind that are given out at once.
const ALL: i64 = 1_000_000;

/// Everything in the catalog. With a catalog whose secrets are open, these are in it, too.
pub async fn export(store: &Store, secrets: Option<&Catalog>) -> Result<Value, StoreError> {
    let providers: Vec<Value> = store
        .providers()
        .await?
        .into_iter()
        .map(|row| json!({ "name": row.name, "kind": row.kind, "base_url": row.base_url, "settings": parsed(&row.settings) }))
        .collect();
    let mut credentials: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in store.credentials(None, "", ALL).await? {
        let mut shown = Map::new();
        shown.insert("name".to_owned(), row.name.into());
        shown.insert("enabled".to_owned(), row.enabled.into());
        shown.insert("limits".to_owned(), parsed(&row.limits));
        let open = secrets.and_then(|catalog| {
            let channel = catalog.channels.iter().find(|channel| channel.id == row.channel_id)?;
            channel.credentials.iter().find(|credential| credential.id == row.id)
        });
        match open {
            Some(open) => shown.insert("key".to_owned(), open.key.expose().into()),
            None => shown.insert("hint".to_owned(), row.hint.into()),
        };
        credentials.entry(row.channel_id).or_default().push(Value::Object(shown));
    }
    let mut channels = Vec::new();
    for row in store.channels("", ALL).await? {
        let mut shown = parsed(&row.settings).as_object().cloned().unwrap_or_default();
        shown.insert("name".to_owned(), row.name.into());
        shown.insert("provider".to_owned(), row.provider.into());
        shown.insert("base_url".to_owned(), row.base_url.into());
        shown.insert("enabled".to_owned(), row.enabled.into());
        shown.insert("models".to_owned(), row.models.iter().map(model).collect());
        let mut keys = credentials.remove(&row.id).unwrap_or_default();
        keys.sort_by_key(|key| key.get("name").and_then(Value::as_str).map(str::to_owned));
        shown.insert("credentials".to_owned(), Value::Array(keys));
        let open = secrets.and_then(|catalog| catalog.channels.iter().find(|channel| channel.id == row.id));
        if let Some(headers) = open.and_then(|channel| channel.headers.as_ref()) {
            shown.insert("headers".to_owned(), parsed(headers.expose()));
        }
        shown.retain(|_, value| !value.is_null());
        channels.push(Value::Object(shown));
    }
    channels.sort_by_key(|channel| channel.get("name").and_then(Value::as_str).map(str::to_owned));
    let groups: Vec<Value> = store
        .model_groups()
        .await?
        .into_iter()
        .map(|row| json!({ "name": row.name, "enabled": row.enabled, "settings": parsed(&row.settings) }))
        .collect();
    let settings: Map<String, Value> =
        store.settings().await?.into_iter().map(|row| (row.path, parsed(&row.value))).collect();
    Ok(json!({
        FORM: 1,
        "providers": providers,
        "channels": channels,
        "model_groups": groups,
        "settings": settings,
    }))
}

/// How many secrets an export without them leaves out.
pub fn hidden(export: &Value) -> usize {
    let channels = export.get("channels").and_then(Value::as_array).into_iter().flatten();
    let credentials = channels.filter_map(|channel| channel.get("credentials")?.as_array()).flatten();
    credentials.filter(|credential| credential.get("key").is_none()).count()
}

fn model(row: &waypost_store::catalog::Model) -> Value {
    let mut shown = parsed(&row.settings).as_object().cloned().unwrap_or_default();
    shown.insert("name".to_owned(), row.name.clone().into());
    if let Some(upstream) = &row.upstream {
        shown.insert("upstream".to_owned(), upstream.clone().into());
    }
    Value::Object(shown)
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}
