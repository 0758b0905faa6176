//! What a file asks for, in the words of the store: whatever its format is. Decides which column each part of a channel goes to.
//! Tests: `it/transfer.rs`.

use serde_json::{Map, Value};
use waypost_core::access::fingerprint;
use waypost_core::config::{Format, SECTIONS, Text, Variables, field_name, transfer};
use waypost_core::secret::Secret;
use waypost_store::catalog::{ChannelDraft, GroupDraft, ModelDraft, ProviderDraft};

use super::{FORM, dump, tables};

/// More of anything is a mistake, or a bomb.
const MAX_ROWS: usize = 100_000;

/// Everything a file asks for.
#[derive(Debug, Default)]
pub struct Plan {
    pub providers: Vec<ProviderDraft>,
    pub channels: Vec<ChannelPlan>,
    pub groups: Vec<GroupDraft>,
    pub settings: Vec<(String, Value)>,
    pub keys: Vec<KeyPlan>,
    /// What cannot be taken over, and why.
    pub skipped: Vec<Skipped>,
    /// What became of parts of another format.
    pub notes: Vec<String>,
}

/// A channel with its credentials.
#[derive(Debug)]
pub struct ChannelPlan {
    pub draft: ChannelDraft,
    pub credentials: Vec<CredentialPlan>,
}

/// A credential of a channel.
#[derive(Clone, Debug)]
pub struct CredentialPlan {
    pub name: String,
    /// Exports without secrets have none.
    pub key: Option<Secret>,
    pub enabled: bool,
    pub limits: Map<String, Value>,
}

/// A caller's key. What is known of its text are hashes.
#[derive(Debug)]
pub struct KeyPlan {
    pub name: String,
    pub hashes: Vec<[u8; 32]>,
    /// The last letters of a long text.
    pub hint: String,
    pub enabled: bool,
    pub models: Option<Vec<String>>,
}

/// Something that cannot be taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// As `channel one`.
    pub what: String,
    pub reason: String,
}

/// Reads a file in any format: an export, a configuration, tables as JSON, or an SQL dump.
pub fn read(text: &Text, variables: &Variables) -> Result<Plan, Vec<String>> {
    if dump::is_dump(&text.name, &text.text) {
        return dump::read(&text.text).map_err(|error| vec![format!("{}:{error}", text.name)]);
    }
    let lookup = |name: &str| variables.get(name).map(str::to_owned);
    let lines = |errors: Vec<_>| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut read = transfer(text, &lookup).map_err(lines)?;
    if let Some(tables) = tables::rearranged(&read.written) {
        let text = Text { name: text.name.clone(), format: Format::Json, text: tables.to_string() };
        read = transfer(&text, &|_| None).map_err(lines)?;
    }
    let is_export = read.written.get(FORM).is_some();
    let found = if is_export { read.written.clone() } else { read.converted };
    let (mut found, mut plan) = (Value::Object(fields(object(found).unwrap_or_default())), Plan::default());
    plan.notes = read.notes.iter().map(ToString::to_string).collect();
    for provider in list(&mut found, "providers") {
        plan.provider(provider);
    }
    if !is_export {
        plan.providers.extend(tables::providers(&read.written));
    }
    let groups = if is_export { list(&mut found, "model_groups") } else { tables::groups(&read.written) };
    groups.into_iter().for_each(|group| plan.group(group));
    list(&mut found, "channels").into_iter().for_each(|channel| plan.channel(channel));
    list(&mut found, "keys").into_iter().for_each(|key| plan.key(key));
    let settings = if is_export { found.get_mut("settings").map(Value::take) } else { Some(found) };
    for (path, value) in settings.and_then(object).unwrap_or_default() {
        let section = path.split('.').next().unwrap_or_default();
        if SECTIONS.contains(&section) && !is_empty(&value) {
            plan.settings.push((path, value));
        }
    }
    let rows = plan.providers.len() + plan.channels.len() + plan.groups.len() + plan.keys.len();
    if rows > MAX_ROWS {
        return Err(vec![format!("{}: it holds {rows} rows, and {MAX_ROWS} is the most; split it", text.name)]);
    }
    Ok(plan)
}

impl Plan {
    pub(super) fn skip(&mut self, what: impl Into<String>, reason: impl Into<String>) {
        self.skipped.push(Skipped { what: what.into(), reason: reason.into() });
    }

    fn provider(&mut self, mut row: Map<String, Value>) {
        let (name, kind) = (take_text(&mut row, &["name"]), take_text(&mut row, &["kind"]));
        let (Some(name), Some(kind)) = (name, kind) else {
            return self.skip("a provider", "it has no `name` or no `kind`");
        };
        let base_url = take_text(&mut row, &["base_url"]);
        let settings = take_map(&mut row, "settings").unwrap_or_default();
        self.providers.push(ProviderDraft { name, kind, base_url, settings });
    }

    fn group(&mut self, mut row: Map<String, Value>) {
        let Some(name) = take_text(&mut row, &["name"]) else {
            return self.skip("a model group", "it has no `name`");
        };
        let enabled = take_switch(&mut row);
        let settings = take_map(&mut row, "settings").unwrap_or(row);
        self.groups.push(GroupDraft { name, enabled, settings });
    }

    pub(super) fn channel(&mut self, mut row: Map<String, Value>) {
        let Some(name) = take_text(&mut row, &["name"]) else {
            return self.skip("a channel", "it has no `name`");
        };
        let credentials = credentials(&mut row);
        let models = match row.remove("models").map(models).transpose() {
            Ok(models) => models.unwrap_or_default(),
            Err(reason) => return self.skip(format!("channel {name}"), reason),
        };
        let headers = take_map(&mut row, "headers");
        let draft = ChannelDraft {
            provider: take_text(&mut row, &["provider", "type"]),
            base_url: take_text(&mut row, &["base_url", "url"]),
            enabled: take_switch(&mut row),
            headers,
            models,
            name,
            settings: row,
        };
        self.channels.push(ChannelPlan { draft, credentials });
    }

    fn key(&mut self, mut row: Map<String, Value>) {
        let Some(name) = take_text(&mut row, &["name"]) else { return self.skip("a key", "it has no `name`") };
        let text = take_text(&mut row, &["key"]);
        let told = take_text(&mut row, &["key_sha256", "sha256"]);
        let hashes: Option<Vec<_>> = match (&text, row.remove("hashes")) {
            (Some(text), _) => Some(vec![fingerprint(text)]),
            (None, Some(Value::Array(all))) => all.iter().map(|hash| unhex(hash.as_str()?)).collect(),
            (None, _) => told.as_deref().and_then(unhex).map(|hash| vec![hash]),
        };
        let Some(hashes) = hashes.filter(|hashes| !hashes.is_empty()) else {
            return self.skip(format!("key {name}"), "it has neither `key` nor `key_sha256`");
        };
        let enabled = take_switch(&mut row);
        let models = row.remove("models").and_then(|models| serde_json::from_value::<Vec<String>>(models).ok());
        let models = models.filter(|models| !models.iter().any(|model| model == "*"));
        let hint = text.as_deref().map_or_else(|| take_text(&mut row, &["hint"]).unwrap_or_default(), hint);
        self.keys.push(KeyPlan { name, hashes, hint, enabled, models });
    }
}

/// The last letters of a text that is long enough to lose them.
pub(super) fn hint(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    if letters.len() < 16 { String::new() } else { letters.iter().skip(letters.len() - 4).collect() }
}

fn credentials(row: &mut Map<String, Value>) -> Vec<CredentialPlan> {
    let plain = |name: String, key: String| CredentialPlan {
        name,
        key: Some(Secret::new(key)),
        enabled: true,
        limits: Map::new(),
    };
    let mut all: Vec<CredentialPlan> = Vec::new();
    all.extend(take_text(row, &["api_key"]).map(|key| plain("default".to_owned(), key)));
    if let Some(Value::Array(keys)) = row.remove("api_keys") {
        let texts = keys.into_iter().zip(1..).filter_map(|(key, number)| Some((key.as_str()?.to_owned(), number)));
        all.extend(texts.map(|(key, number): (String, u32)| plain(format!("key-{number}"), key)));
    }
    if let Some(Value::Array(named)) = row.remove("credentials") {
        for mut credential in named.into_iter().filter_map(object).map(fields) {
            let Some(name) = take_text(&mut credential, &["name"]) else { continue };
            let key = take_text(&mut credential, &["key"]).map(Secret::new);
            let limits = take_map(&mut credential, "limits").unwrap_or_default();
            all.push(CredentialPlan { name, key, enabled: take_switch(&mut credential), limits });
        }
    }
    all
}

fn models(list: Value) -> Result<Vec<ModelDraft>, String> {
    let Value::Array(list) = list else { return Err("`models` is no list".to_owned()) };
    let model = |value: Value| match value {
        Value::String(name) => Ok(ModelDraft { name, ..ModelDraft::default() }),
        Value::Object(row) => {
            let mut row = fields(row);
            let name = take_text(&mut row, &["name"]).ok_or("a model has no `name`")?;
            Ok(ModelDraft { name, upstream: take_text(&mut row, &["upstream"]), settings: row })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Err("a model is no name".to_owned()),
    };
    list.into_iter().map(model).collect()
}

// === parts of JSON ===

pub(super) fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(object) => Some(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    }
}

/// A map with fields, however their names were written.
fn fields(row: Map<String, Value>) -> Map<String, Value> {
    row.into_iter().map(|(key, value)| (field_name(&key), value)).collect()
}

fn list(of: &mut Value, key: &str) -> Vec<Map<String, Value>> {
    match of.get_mut(key).map(Value::take) {
        Some(Value::Array(items)) => items.into_iter().filter_map(object).map(fields).collect(),
        Some(_) | None => Vec::new(),
    }
}

/// The text under the first of these keys that has one; numbers count as text.
pub(super) fn take_text(row: &mut Map<String, Value>, keys: &[&str]) -> Option<String> {
    keys.iter().filter_map(|key| row.remove(*key)).find_map(|value| match value {
        Value::String(text) if !text.is_empty() => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    })
}

fn take_map(row: &mut Map<String, Value>, key: &str) -> Option<Map<String, Value>> {
    row.remove(key).and_then(object)
}

/// Is it switched on? Databases say so with numbers; whoever says nothing means yes.
pub(super) fn take_switch(row: &mut Map<String, Value>) -> bool {
    match row.remove("enabled") {
        Some(Value::Bool(on)) => on,
        Some(Value::Number(number)) => number.as_i64() != Some(0),
        Some(Value::String(text)) => !matches!(text.as_str(), "false" | "0" | "no" | "off"),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => true,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(object) => object.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => false,
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}
