//! Tables of a router that keeps providers, channels and model groups in a database, given out as JSON: its rows refer to one another
//! by number. Puts them into the form of its files, which is read like any other. Tests: `it/transfer.rs`.

use serde_json::{Map, Value};
use waypost_core::provider;
use waypost_store::catalog::ProviderDraft;

use super::plan::{object, take_text};

/// The same with names for numbers; `None` if these are no such tables.
pub(super) fn rearranged(written: &Value) -> Option<Value> {
    let top = written.get("tables").or_else(|| written.get("data")).unwrap_or(written);
    let providers = top.get("providers")?.as_array()?;
    let channels = top.get("channels")?.as_array()?;
    if written.get(super::FORM).is_some() {
        return None;
    }
    let mut names = Map::new();
    let mut by_name = Map::new();
    for mut row in providers.iter().cloned().filter_map(object) {
        let id = row.remove("id").unwrap_or_default();
        let Some(name) = take_text(&mut row, &["name"]) else { continue };
        names.insert(plain(&id), Value::String(name.clone()));
        by_name.insert(name, Value::Object(row));
    }
    let mut channel_names = Map::new();
    let channel = |mut row: Map<String, Value>| {
        if let Some(name) = row.remove("provider_id").and_then(|id| names.get(&plain(&id)).cloned()) {
            row.insert("provider".to_owned(), name);
        }
        // A number says nothing once the tables are gone; a word is what statistics are kept under.
        if let (Some(Value::Number(id)), Some(name)) = (row.get("id"), row.get("name").cloned()) {
            channel_names.insert(id.to_string(), name);
            row.remove("id");
        }
        for key in ["created_at", "updated_at"] {
            row.remove(key);
        }
        row.retain(|_, value| !value.is_null());
        Value::Object(row)
    };
    let channels: Vec<Value> = channels.iter().cloned().filter_map(object).map(channel).collect();
    let mut whole = Map::new();
    whole.insert("providers".to_owned(), Value::Object(by_name));
    whole.insert("channels".to_owned(), Value::Array(channels));
    if let Some(groups) = top.get("model_groups") {
        let mut groups = named(groups);
        for group in groups.as_object_mut().into_iter().flat_map(Map::values_mut) {
            let members = group.get_mut("channels").and_then(Value::as_array_mut);
            for member in members.into_iter().flatten().filter(|member| member.is_number()) {
                if let Some(name) = channel_names.get(&plain(member)) {
                    *member = name.clone();
                }
            }
        }
        whole.insert("model_groups".to_owned(), groups);
    }
    Some(Value::Object(whole))
}

/// The providers of a file of that router.
pub(super) fn providers(written: &Value) -> Vec<ProviderDraft> {
    let Some(providers) = written.get("providers").and_then(Value::as_object) else { return Vec::new() };
    let is_router = written.get("channels").is_some() || written.get("model_groups").is_some();
    let rows = providers.iter().filter(|_| is_router).filter_map(|(name, row)| Some((name, row.as_object()?)));
    rows.map(|(name, row)| {
        let text = |key: &str| row.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let adapter = text("adapter_class").map(|class| class.trim_end_matches("Adapter").to_ascii_lowercase());
        let known = |word: &str| provider::by_kind(word).map(|provider| provider.kind);
        let kind = known(name).or_else(|| adapter.as_deref().and_then(known)).unwrap_or("openai_compatible");
        ProviderDraft {
            name: name.clone(),
            kind: kind.to_owned(),
            base_url: text("base_url").map(str::to_owned),
            settings: Map::new(),
        }
    })
    .collect()
}

/// The model groups of a file of that router, each with its name.
pub(super) fn groups(written: &Value) -> Vec<Map<String, Value>> {
    let groups = named(written.get("model_groups").unwrap_or(&Value::Null));
    let Value::Object(groups) = groups else { return Vec::new() };
    let group = |(name, row): (String, Value)| {
        let mut row = object(row)?;
        row.insert("name".to_owned(), Value::String(name));
        Some(row)
    };
    groups.into_iter().filter_map(group).collect()
}

/// Rows by their name, whether they stand in a list or a map.
fn named(groups: &Value) -> Value {
    let Value::Array(rows) = groups else { return groups.clone() };
    let mut by_name = Map::new();
    for mut row in rows.iter().cloned().filter_map(object) {
        for key in ["id", "created_at", "updated_at"] {
            row.remove(key);
        }
        row.retain(|_, value| !value.is_null());
        if let Some(name) = take_text(&mut row, &["name"]) {
            by_name.insert(name, Value::Object(row));
        }
    }
    Value::Object(by_name)
}

fn plain(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}
