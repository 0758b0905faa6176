//! What changes between two configurations, by what they mean: how and where it was written makes no difference.
//! Shows no secret. Tests are below.

use std::collections::BTreeMap;
use std::fmt;

use super::Config;
use super::effective::flattened;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Added {
        path: String,
        value: String,
    },
    Removed {
        path: String,
        value: String,
    },
    Changed {
        path: String,
        before: String,
        after: String,
    },
    /// Something that must not be shown is another one now.
    Secret {
        path: String,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { path, value } => write!(f, "+ {path}: {value}"),
            Self::Removed { path, value } => write!(f, "- {path}: {value}"),
            Self::Changed { path, before, after } => write!(f, "~ {path}: {before} -> {after}"),
            Self::Secret { path } => write!(f, "~ {path}: another secret"),
        }
    }
}

/// Everything that is different in `after`, by path.
pub fn difference(before: &Config, after: &Config) -> Vec<Change> {
    let (old, new) = (by_name(before), by_name(after));
    let mut changes = Vec::new();
    for (path, value) in &old {
        match new.get(path) {
            None => changes.push(Change::Removed { path: path.clone(), value: value.clone() }),
            Some(now) if now != value => {
                changes.push(Change::Changed { path: path.clone(), before: value.clone(), after: now.clone() })
            }
            Some(_) => {}
        }
    }
    for (path, value) in new.iter().filter(|(path, _)| !old.contains_key(*path)) {
        changes.push(Change::Added { path: path.clone(), value: value.clone() });
    }
    changes.extend(secrets(before, after).into_iter().map(|path| Change::Secret { path }));
    whole(changes)
}

/// Values by paths that have names in them instead of positions.
fn by_name(config: &Config) -> BTreeMap<String, String> {
    let names = Names::of(config);
    let mut values = flattened(config);
    // An empty list is as good as none; not so one of models, which serves nothing.
    values.retain(|(path, value)| path.ends_with(".models") || !matches!(value.as_str(), "[]" | "{}"));
    values.into_iter().map(|(path, value)| (names.apply(&path), value)).collect()
}

struct Names(Vec<(String, String)>);

impl Names {
    fn of(config: &Config) -> Self {
        let mut names = Vec::new();
        for (position, channel) in config.channels.iter().enumerate() {
            for (model, entry) in channel.models.iter().flatten().enumerate() {
                let path = format!("channels[{position}].models[{model}]");
                names.push((path, format!("channels[{}].models[{}]", channel.name, entry.0.name)));
            }
            for (at, credential) in channel.credentials.iter().enumerate() {
                let path = format!("channels[{position}].credentials[{at}]");
                names.push((path, format!("channels[{}].credentials[{}]", channel.name, credential.name)));
            }
            names.push((format!("channels[{position}]"), format!("channels[{}]", channel.name)));
        }
        for (position, group) in config.model_groups.iter().enumerate() {
            names.push((format!("model_groups[{position}]"), format!("model_groups[{}]", group.name)));
        }
        for (position, key) in config.keys.iter().enumerate() {
            names.push((format!("keys[{position}]"), format!("keys[{}]", key.name)));
        }
        for (position, entry) in config.prices.iter().enumerate() {
            let scope = entry.channel.as_deref().or(entry.provider.as_deref());
            let model = entry.model.as_deref().unwrap_or_default();
            let name = scope.map_or_else(|| model.to_owned(), |scope| format!("{scope}/{model}"));
            let from = entry.effective_from.map_or_else(String::new, |day| format!("@{day}"));
            names.push((format!("prices[{position}]"), format!("prices[{name}{from}]")));
        }
        // Longer paths before those that they begin with.
        names.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Self(names)
    }

    fn apply(&self, path: &str) -> String {
        let named = self.0.iter().find_map(|(from, to)| Some(format!("{to}{}", path.strip_prefix(from.as_str())?)));
        named.unwrap_or_else(|| path.to_owned())
    }
}

/// Where the same name has another secret.
fn secrets(before: &Config, after: &Config) -> Vec<String> {
    let mut paths = Vec::new();
    if before.admin.token != after.admin.token {
        paths.push("admin.token".to_owned());
    }
    if before.identity.jwt_secret != after.identity.jwt_secret {
        paths.push("identity.jwt_secret".to_owned());
    }
    let client = |config: &Config| config.identity.oidc.as_ref().map(|oidc| oidc.client_secret.clone());
    if client(before) != client(after) {
        paths.push("identity.oidc.client_secret".to_owned());
    }
    for key in &after.keys {
        if before.keys.iter().any(|old| old.name == key.name && old.key != key.key) {
            paths.push(format!("keys[{}].key", key.name));
        }
    }
    for channel in &after.channels {
        let Some(old) = before.channels.iter().find(|old| old.name == channel.name) else { continue };
        if old.api_key != channel.api_key {
            paths.push(format!("channels[{}].api_key", channel.name));
        }
        if old.api_keys != channel.api_keys {
            paths.push(format!("channels[{}].api_keys", channel.name));
        }
        for (name, value) in &channel.headers {
            if old.headers.get(name).is_some_and(|known| known != value) {
                paths.push(format!("channels[{}].headers.{name}", channel.name));
            }
        }
        for credential in &channel.credentials {
            if old.credentials.iter().any(|known| known.name == credential.name && known.key != credential.key) {
                paths.push(format!("channels[{}].credentials[{}].key", channel.name, credential.name));
            }
        }
    }
    paths
}

/// A channel, key or model that is new or gone is one line, not one for each of its values; what is told already is not told
/// again as a secret.
fn whole(changes: Vec<Change>) -> Vec<Change> {
    let gone = heads(&changes, |change| matches!(change, Change::Removed { .. }));
    let come = heads(&changes, |change| matches!(change, Change::Added { .. }));
    let told: Vec<String> = changes
        .iter()
        .filter(|change| !matches!(change, Change::Secret { .. }))
        .map(|change| path(change).to_owned())
        .collect();
    let mut kept: Vec<Change> = Vec::new();
    for change in changes {
        let within = |heads: &[String]| heads.iter().find(|head| is_under(path(&change), head)).cloned();
        let head = match &change {
            Change::Removed { .. } => within(&gone),
            Change::Added { .. } => within(&come),
            Change::Changed { .. } => None,
            Change::Secret { path } if told.contains(path) => continue,
            Change::Secret { .. } => None,
        };
        let change = match (head, change) {
            (Some(path), Change::Removed { .. }) => Change::Removed { path, value: "all of it".to_owned() },
            (Some(path), Change::Added { .. }) => Change::Added { path, value: "all of it".to_owned() },
            (_, change) => change,
        };
        if !kept.contains(&change) {
            kept.push(change);
        }
    }
    kept.sort_by(|one, other| path(one).cmp(path(other)));
    kept
}

/// The lists' members that came or went with their name.
fn heads(changes: &[Change], is_meant: impl Fn(&Change) -> bool) -> Vec<String> {
    let names =
        changes.iter().filter(|change| is_meant(change)).filter_map(|change| path(change).strip_suffix(".name"));
    let mut heads: Vec<String> = names.filter(|head| head.ends_with(']')).map(str::to_owned).collect();
    heads.sort_by_key(String::len);
    heads
}

fn is_under(path: &str, head: &str) -> bool {
    path.strip_prefix(head).is_some_and(|rest| rest.starts_with(['.', '[']))
}

fn path(change: &Change) -> &str {
    match change {
        Change::Added { path, .. }
        | Change::Removed { path, .. }
        | Change::Changed { path, .. }
        | Change::Secret { path } => path,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::*;

    fn shown(before: &str, after: &str) -> Vec<String> {
        let read = |text: &str| Config::parse(text, Format::Yaml, "w.yaml", &|_| None).expect(text);
        difference(&read(before), &read(after)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_what_means_something_else_is_shown_and_no_secret() {
        let before = "server: {port: 3000}\nkeys: [{name: a, key: wp-secret-1}]\nchannels:\n\
                      - {name: x, provider: openai, api_key: sk-secret-1, models: [m, n]}\n- {name: y, provider: openai, api_key: k}\n";
        let after = "keys: [{name: a, key: wp-secret-2}, {name: b, key: wp-secret-3}]\nretry: {max_attempts: 5}\nchannels:\n\
                     - {name: z, provider: anthropic, api_key: sk-secret-4}\n\
                     - {name: x, provider: openai, api_key: sk-secret-5, priority: 2, models: [m, {name: o, upstream: u}]}\n";
        assert_eq!(
            shown(before, after),
            [
                "~ channels[x].api_key: another secret",
                "- channels[x].models[n]: all of it",
                "+ channels[x].models[o]: all of it",
                "~ channels[x].tier: 1 -> 2",
                "- channels[y]: all of it",
                "+ channels[z]: all of it",
                "~ keys[a].key: another secret",
                "+ keys[b]: all of it",
                "+ retry.max_attempts: 5",
            ]
        );
        assert!(shown(before, before).is_empty());
        let headers =
            |value: &str| format!("channels: [{{name: a, provider: openai, api_key: k, headers: {{x-key: {value}}}}}]");
        assert_eq!(shown(&headers("secret-1"), &headers("secret-2")), ["~ channels[a].headers.x-key: another secret"]);
        assert_eq!(shown("keys: []", "keys: [{name: k, key: wp-1}]"), ["+ keys[k]: all of it"]);
    }
}
