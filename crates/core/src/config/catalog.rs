//! What a database holds of a configuration, put under what files, variables and arguments say. Decides that those win, and how
//! a row becomes part of the tree, so that it is read and checked as if it stood in a file and its mistakes name table, row and
//! field. Knows no database. Tests: `catalog/tests.rs`.

use std::collections::BTreeSet;

use super::convert;
use super::error::{ConfigError, Mark};
use super::json;
use super::node::{Entry, Node, Value, snake_case};
use super::sources::{Place, Sources};
use crate::secret::Secret;

/// Sections that rows of the table `settings` may say something of. The others are a node's own, or decide who may come in.
pub const SECTIONS: [&str; 7] =
    ["model_mappings", "retry", "routing", "breaker", "cooldowns", "capabilities", "defaults"];

/// Keys of a channel that have a column or a table of their own.
const ELSEWHERE: [&str; 12] = [
    "name",
    "provider",
    "type",
    "base_url",
    "url",
    "enabled",
    "models",
    "credentials",
    "api_key",
    "api_keys",
    "headers",
    "discovered",
];

/// Everything of a configuration that stands in a database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    pub channels: Vec<ChannelRow>,
    pub groups: Vec<GroupRow>,
    pub settings: Vec<SettingRow>,
    /// Rows that could not even be read; see [`ConfigError::of_row`].
    pub broken: Vec<ConfigError>,
}

/// A channel in the table `channels`, with what belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelRow {
    pub id: String,
    pub name: String,
    /// The kind of provider, if it is said.
    pub provider: Option<String>,
    pub base_url: Option<String>,
    pub enabled: bool,
    /// A JSON object from header name to value: a header may carry a key.
    pub headers: Option<Secret>,
    /// Everything else that a channel in a file may say, as a JSON object.
    pub settings: String,
    /// What it serves; if empty, what the provider is known for.
    pub models: Vec<ModelRow>,
    pub credentials: Vec<CredentialRow>,
}

/// A model of a channel, in the table `models`.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelRow {
    pub id: String,
    pub name: String,
    pub upstream: Option<String>,
    /// Everything else that a model in a file may say, as a JSON object.
    pub settings: String,
}

/// A key of a channel, in the table `credentials`.
#[derive(Clone, Debug, PartialEq)]
pub struct CredentialRow {
    pub id: String,
    pub name: String,
    pub key: Secret,
    pub enabled: bool,
    /// Its limits, as a JSON object.
    pub limits: String,
}

/// A model group, in the table `model_groups`.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupRow {
    pub id: String,
    pub name: String,
    pub enabled: bool,
    /// Everything else that a group in a file may say, as a JSON object: in our words, or in those of a router that has been taken
    /// over.
    pub settings: String,
}

/// A setting, in the table `settings`.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingRow {
    /// The key, as `routing.strategy`; also the row's id.
    pub path: String,
    /// Its value as JSON.
    pub value: String,
}

impl Catalog {
    pub fn is_empty(&self) -> bool {
        let Self { channels, groups, settings, broken } = self;
        channels.is_empty() && groups.is_empty() && settings.is_empty() && broken.is_empty()
    }

    /// The catalog without the rows that these errors name; `None` if one of them names no row, so that leaving rows out does not
    /// help.
    pub fn without(&self, errors: &[ConfigError]) -> Option<Self> {
        let named: BTreeSet<&str> = errors.iter().filter_map(|error| error.file.as_deref()).collect();
        let is_good = |table: &str, id: &str| !named.contains(row_name(table, id).as_str());
        let mut less = self.clone();
        less.broken.clear();
        less.settings.retain(|row| is_good("settings", &row.path));
        less.channels.retain(|row| is_good("channels", &row.id));
        less.groups.retain(|row| is_good("model_groups", &row.id));
        for channel in &mut less.channels {
            channel.models.retain(|row| is_good("models", &row.id));
            channel.credentials.retain(|row| is_good("credentials", &row.id));
        }
        let about_rows = errors.iter().all(|error| error.file.as_deref().is_some_and(|file| file.starts_with(PREFIX)));
        (about_rows && less != *self).then_some(less)
    }

    /// Puts everything into the tree, under what is there. Gives warnings of what has no effect because of that.
    pub(super) fn add_to(
        &self,
        root: &mut Node,
        sources: &mut Sources,
        errors: &mut Vec<ConfigError>,
    ) -> Vec<ConfigError> {
        errors.extend(self.broken.iter().cloned());
        for row in &self.settings {
            let mark = sources.add_row("settings", &row.path, 0);
            match setting(row, mark) {
                Ok(tree) => fill(root, tree),
                Err(error) => errors.push(ConfigError { mark: Some(mark), ..error }),
            }
        }
        let mut warnings = Vec::new();
        let mut added = Vec::new();
        for row in &self.channels {
            if let Some(owner) = owner(root, "channels", &row.name) {
                warnings.push(shadowed("channels", &row.id, &row.name, &sources.shown(owner)));
                continue;
            }
            match channel(row, sources) {
                Ok(node) => added.push(node),
                Err(error) => errors.push(error),
            }
        }
        append(root, "channels", added);
        let mut added = Vec::new();
        for row in &self.groups {
            if let Some(owner) = owner(root, "model_groups", &row.name) {
                warnings.push(shadowed("model_groups", &row.id, &row.name, &sources.shown(owner)));
                continue;
            }
            match group(row, sources) {
                Ok(node) => added.push(node),
                Err(error) => errors.push(error),
            }
        }
        append(root, "model_groups", added);
        warnings
    }
}

/// How a row is called in errors.
const PREFIX: &str = "database, ";

/// `database, channels chn_1`.
pub(super) fn row_name(table: &str, id: &str) -> String {
    format!("{PREFIX}{table} {id}")
}

impl ConfigError {
    /// What is wrong with a row of the catalog.
    pub fn of_row(table: &str, id: &str, field: &str, reason: impl Into<String>) -> Self {
        Self { file: Some(row_name(table, id)), ..Self::at(field, reason) }
    }
}

// === rows as trees ===

/// Where a file, a variable or an argument has something of that name in this list.
fn owner(root: &Node, list: &str, name: &str) -> Option<Mark> {
    let items = root.get(list)?.items();
    let owner = items.iter().find(|item| item.get("name").and_then(Node::scalar) == Some(name))?;
    Some(owner.mark)
}

fn shadowed(table: &str, id: &str, name: &str, owner: &str) -> ConfigError {
    let reason = format!("`{name}` stands in {owner} too, which wins");
    ConfigError::of_row(table, id, "name", reason).fix("rename one of them")
}

fn channel(row: &ChannelRow, sources: &mut Sources) -> Result<Node, ConfigError> {
    let mark = sources.add_row("channels", &row.id, 1);
    let text = |text: &String| Node::text(mark, text);
    let mut node = object(&row.settings, mark)?;
    for entry in node.entries() {
        if ELSEWHERE.contains(&snake_case(&entry.key).as_str()) {
            let reason = format!("`{}` does not stand in the column `settings`", entry.key);
            let error =
                ConfigError::at("settings", reason).fix("write it through the API, which knows where it belongs");
            return Err(ConfigError { mark: Some(mark), ..error });
        }
    }
    node.set(&["name"], text(&row.name));
    for (key, value) in [("provider", &row.provider), ("base_url", &row.base_url)] {
        if let Some(value) = value {
            node.set(&[key], text(value));
        }
    }
    node.set(&["enabled"], Node::plain(mark, row.enabled.to_string()));
    if let Some(headers) = &row.headers {
        node.set(&["headers"], object(headers.expose(), mark)?);
    }
    let models = row.models.iter().map(|row| model(row, sources)).collect::<Result<Vec<_>, _>>()?;
    if !models.is_empty() {
        node.set(&["models"], Node::new(mark, Value::List(models)));
    }
    let credentials = row.credentials.iter().map(|row| credential(row, sources)).collect::<Result<Vec<_>, _>>()?;
    if !credentials.is_empty() {
        node.set(&["credentials"], Node::new(mark, Value::List(credentials)));
    }
    Ok(node)
}

fn model(row: &ModelRow, sources: &mut Sources) -> Result<Node, ConfigError> {
    let mark = sources.add_row("models", &row.id, 2);
    let mut node = object(&row.settings, mark)?;
    node.set(&["name"], Node::text(mark, &row.name));
    if let Some(upstream) = &row.upstream {
        node.set(&["upstream"], Node::text(mark, upstream));
    }
    Ok(node)
}

fn credential(row: &CredentialRow, sources: &mut Sources) -> Result<Node, ConfigError> {
    let mark = sources.add_row("credentials", &row.id, 2);
    let mut node = Node::empty_map(mark);
    node.set(&["name"], Node::text(mark, &row.name));
    node.set(&["key"], Node::text(mark, row.key.expose()));
    node.set(&["enabled"], Node::plain(mark, row.enabled.to_string()));
    node.set(&["limits"], object(&row.limits, mark)?);
    Ok(node)
}

fn group(row: &GroupRow, sources: &mut Sources) -> Result<Node, ConfigError> {
    let mark = sources.add_row("model_groups", &row.id, 1);
    let mut node = convert::group(object(&row.settings, mark)?);
    node.set(&["name"], Node::text(mark, &row.name));
    node.set(&["enabled"], Node::plain(mark, row.enabled.to_string()));
    Ok(node)
}

fn setting(row: &SettingRow, mark: Mark) -> Result<Node, ConfigError> {
    let steps: Vec<&str> = row.path.split('.').collect();
    if !steps.first().is_some_and(|section| SECTIONS.contains(section)) {
        let fix = format!("the sections that may stand there are {}", SECTIONS.join(", "));
        return Err(ConfigError::at("", "this is no setting for a database").fix(fix));
    }
    let mut tree = Node::empty_map(mark);
    tree.set(&steps, parsed(&row.value, mark)?);
    Ok(tree)
}

/// The JSON object in a column; what it holds is marked as the row's.
fn object(text: &str, mark: Mark) -> Result<Node, ConfigError> {
    let node = parsed(text, mark)?;
    match node.value {
        Value::Map(_) => Ok(node),
        Value::List(_) | Value::Scalar { .. } => {
            let error = ConfigError::at("settings", "this column holds a JSON object, and something else was found");
            Err(ConfigError { mark: Some(mark), ..error })
        }
    }
}

fn parsed(text: &str, mark: Mark) -> Result<Node, ConfigError> {
    let mut node = json::parse(text).map_err(|error| ConfigError { mark: Some(mark), ..error })?;
    node.set_source(mark.source);
    Ok(node)
}

// === under what is there ===

/// Adds what is missing; what is said already stays.
fn fill(to: &mut Node, more: Node) {
    if to.is_null() {
        *to = more;
        return;
    }
    let (Value::Map(known), Value::Map(added)) = (&mut to.value, more.value) else { return };
    for entry in added {
        let name = snake_case(&entry.key);
        match known.iter_mut().find(|known| snake_case(&known.key) == name) {
            Some(known) => fill(&mut known.node, entry.node),
            None => known.push(entry),
        }
    }
}

fn append(root: &mut Node, key: &str, items: Vec<Node>) {
    let Some(first) = items.first() else { return };
    let mark = first.mark;
    if root.is_null() {
        root.value = Value::Map(Vec::new());
    }
    let Value::Map(entries) = &mut root.value else { return };
    match entries.iter_mut().find(|entry| snake_case(&entry.key) == key) {
        Some(entry) if entry.node.is_null() => entry.node.value = Value::List(items),
        Some(entry) => {
            // What is no list there is for the reader to refuse.
            if let Value::List(known) = &mut entry.node.value {
                known.extend(items);
            }
        }
        None => entries.push(Entry { key: key.to_owned(), mark, node: Node::new(mark, Value::List(items)) }),
    }
}

impl Sources {
    /// Numbers a row. `depth` is how many lists its fields stand in.
    fn add_row(&mut self, table: &'static str, id: &str, depth: u8) -> Mark {
        self.add_new(Place::Row { table, id: id.to_owned(), depth })
    }
}

#[cfg(test)]
mod tests;
