//! What variables say, put into the tree of a configuration: accounts where there is no file, settings for all over any.
//! Knows the names of variables and what they stand for; whether a value can be is for the reader. Tests are below.

use std::collections::BTreeSet;

use super::error::{ConfigError, Mark};
use super::node::{Node, Value};
use super::sources::{Place, Sources};
use super::variables::Variables;
use crate::nearest::nearest;
use crate::provider;

/// The vendors whose accounts variables can describe, by the beginning of their names.
const VENDORS: [(&str, &str); 2] = [("OPENAI", "openai"), ("ANTHROPIC", "anthropic")];

/// What can be said of an account, with or without a number at the end.
const OF_ACCOUNTS: [&str; 8] =
    ["API_KEY", "BASE_URL", "PRIORITY", "MAX_RPS", "TIMEOUT", "WEIGHT", "ENABLED", "HEALTH_CHECK"];

/// What can be said of everything.
const OF_ALL: [&str; 24] = [
    "HOST",
    "PORT",
    "DB_PATH",
    "DATABASE_URL",
    "WAYPOST_MASTER_KEY",
    "WAYPOST_MASTER_KEY_FILE",
    "LOG_LEVEL",
    "LOG_FORMAT",
    "CORS_ORIGINS",
    "PROXY_KEY_STRATEGY",
    "OPENAI_FALLBACK_ENABLED",
    "OPENAI_MAX_RETRIES",
    "OPENAI_BACKOFF_MS",
    "OPENAI_CIRCUIT_BREAKER",
    "OPENAI_MODEL",
    "ANTHROPIC_MODEL",
    CALLER_KEY,
    ADMIN_TOKEN,
    JWT_SECRET,
    "WAYPOST_CONFIG",
    "WAYPOST_MODE",
    "WAYPOST_STATE_DIR",
    "WAYPOST_STRICT_CONFIG",
    "WAYPOST_URL",
];

/// The variable that holds the key callers present.
const CALLER_KEY: &str = "WAYPOST_API_KEY";

/// The variable that holds the administrator's token.
const ADMIN_TOKEN: &str = "WAYPOST_ADMIN_TOKEN";

/// The variable that holds what sessions are signed with.
const JWT_SECRET: &str = "JWT_SECRET";

/// What an account with a number gets unless its variables say otherwise.
const USUAL_RPS: &str = "100";
const USUAL_TIMEOUT: &str = "30000ms";
const USUAL_RETRIES: &str = "3";
const USUAL_BACKOFF: &str = "1000ms";

/// The longest pause unless something longer is asked for.
const USUAL_CAP_MS: u64 = 8000;

/// Puts what variables say into a tree.
pub(super) struct Environment<'a> {
    pub(super) variables: &'a Variables,
    pub(super) sources: &'a mut Sources,
    pub(super) errors: Vec<ConfigError>,
}

impl Environment<'_> {
    /// Adds a channel for each account that variables describe.
    pub(super) fn add_accounts(&mut self, root: &mut Node) {
        let mut channels = Vec::new();
        for (prefix, provider) in VENDORS {
            let numbers = numbers(self.variables, prefix);
            if numbers.is_empty() {
                channels.extend(self.account(prefix, provider, None));
                continue;
            }
            if prefix == "OPENAI" {
                self.add_usual_settings(root);
            }
            channels.extend(numbers.into_iter().filter_map(|number| self.account(prefix, provider, Some(number))));
        }
        if let Some(first) = channels.first() {
            root.set(&["channels"], Node::new(first.mark, Value::List(channels)));
        }
    }

    /// Puts the settings for all over what is there.
    pub(super) fn add_settings(&mut self, root: &mut Node) {
        self.plain(root, "HOST", &["server", "host"]);
        self.plain(root, "PORT", &["server", "port"]);
        self.plain(root, "DB_PATH", &["database", "path"]);
        if let Some((mark, url)) = self.said("DATABASE_URL") {
            root.set(&["database", "url"], Node::text(mark, url));
        }
        if let Some((mark, file)) = self.said("WAYPOST_MASTER_KEY_FILE") {
            root.set(&["secrets", "master_key_file"], Node::text(mark, file));
        }
        self.plain(root, "PROXY_KEY_STRATEGY", &["defaults", "key_strategy"]);
        if let Some((mark, list)) = self.said("CORS_ORIGINS") {
            let origins = list.split(',').map(str::trim).filter(|origin| !origin.is_empty());
            root.set(&["server", "cors", "origins"], Node::list_of_texts(mark, origins));
        }
        if let Some(node) = self.truth("OPENAI_FALLBACK_ENABLED") {
            root.set(&["retry", "enabled"], node);
        }
        if let Some((mark, count)) = self.said("OPENAI_MAX_RETRIES") {
            root.remove(&["retry", "max_attempts"]);
            root.set(&["retry", "max_retries"], Node::plain(mark, count));
        }
        if let Some(base) = self.millis("OPENAI_BACKOFF_MS") {
            set_backoff(root, base);
            let mark = self.mark("OPENAI_BACKOFF_MS");
            root.set(&["retry", "backoff", "on_failover"], Node::plain(mark, "true"));
        }
        self.breaker(root);
        if let Some((mark, token)) = self.said(ADMIN_TOKEN) {
            root.remove(&["admin", "token_sha256"]);
            root.set(&["admin", "token"], Node::text(mark, token));
        }
        if let Some((mark, secret)) = self.said(JWT_SECRET) {
            root.set(&["identity", "jwt_secret"], Node::text(mark, secret));
        }
        if root.get("keys").is_none_or(|keys| keys.items().is_empty())
            && let Some((mark, key)) = self.said(CALLER_KEY)
        {
            let mut entry = Node::empty_map(mark);
            entry.set(&["name"], Node::text(mark, "default"));
            entry.set(&["key"], Node::text(mark, key));
            root.set(&["keys"], Node::new(mark, Value::List(vec![entry])));
        }
    }

    /// What several accounts together are taken to want.
    fn add_usual_settings(&mut self, root: &mut Node) {
        let mark = self.sources.add(Place::Default);
        root.set_default(&["retry", "max_retries"], Node::plain(mark, USUAL_RETRIES));
        root.set_default(&["retry", "backoff", "base"], Node::plain(mark, USUAL_BACKOFF));
    }

    fn account(&mut self, prefix: &str, provider: &str, number: Option<u32>) -> Option<Node> {
        let name = |what: &str| match number {
            Some(number) => format!("{prefix}_{what}_{number}"),
            None => format!("{prefix}_{what}"),
        };
        let (mark, key) = self.said(&name("API_KEY"))?;
        let mut channel = Node::empty_map(mark);
        let called = number.map_or_else(|| provider.to_owned(), |number| format!("{provider}-{number}"));
        channel.set(&["name"], Node::text(mark, called));
        channel.set(&["provider"], Node::text(mark, provider));
        channel.set(&["api_key"], Node::text(mark, key));
        if let Some(number) = number {
            channel.set(&["tier"], Node::plain(mark, number.clamp(1, 10).to_string()));
            channel.set(&["max_rps"], Node::plain(mark, USUAL_RPS));
            channel.set(&["timeouts", "first_byte"], Node::text(mark, USUAL_TIMEOUT));
        }
        if let Some((mark, url)) = self.said(&name("BASE_URL")) {
            if number.is_some() && provider == "openai" && !is_of(provider, &url) {
                channel.set(&["dialects"], Node::list_of_texts(mark, ["openai_chat"]));
            }
            channel.set(&["base_url"], Node::text(mark, url));
        }
        self.plain(&mut channel, &name("PRIORITY"), &["tier"]);
        self.plain(&mut channel, &name("MAX_RPS"), &["max_rps"]);
        self.plain(&mut channel, &name("WEIGHT"), &["weight"]);
        if let Some(timeout) = self.millis(&name("TIMEOUT")) {
            channel.set(&["timeouts", "first_byte"], timeout);
        }
        if let Some(enabled) = self.truth(&name("ENABLED")) {
            channel.set(&["enabled"], enabled);
        }
        if let Some(watched) = self.truth(&name("HEALTH_CHECK"))
            && watched.scalar() == Some("true")
        {
            channel.set(&["probe"], Node::empty_map(watched.mark));
        }
        if let Some((mark, model)) = self.said(&format!("{prefix}_MODEL")) {
            let usual = provider::by_kind(provider).map_or(&[][..], |provider| provider.models);
            let models = std::iter::once(model.as_str()).chain(usual.iter().copied());
            channel.set(&["models"], Node::list_of_texts(mark, models));
        }
        Some(channel)
    }

    fn breaker(&mut self, root: &mut Node) {
        let Some(node) = self.truth("OPENAI_CIRCUIT_BREAKER") else { return };
        // Switched on, a breaker with numbers of its own stays as it is.
        let off = |node: &Node| matches!(node.scalar(), Some("off" | "false" | "no"));
        if node.scalar() != Some("true") || root.get("breaker").is_none_or(off) {
            root.set(&["breaker"], node);
        }
    }

    // === one variable ===

    fn mark(&mut self, name: &str) -> Mark {
        self.sources.add(Place::Variable(self.variables.place(name)))
    }

    fn said(&mut self, name: &str) -> Option<(Mark, String)> {
        let value = self.variables.said(name)?.to_owned();
        Some((self.mark(name), value))
    }

    fn plain(&mut self, root: &mut Node, name: &str, path: &[&str]) {
        if let Some((mark, value)) = self.said(name) {
            root.set(path, Node::plain(mark, value));
        }
    }

    fn truth(&mut self, name: &str) -> Option<Node> {
        let (mark, value) = self.said(name)?;
        let word = match value.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => "true",
            "false" | "0" | "no" | "off" => "false",
            _ => {
                self.wrong(mark, "expected true or false", "set it to true or false, or unset it");
                return None;
            }
        };
        Some(Node::plain(mark, word))
    }

    fn millis(&mut self, name: &str) -> Option<Node> {
        let (mark, value) = self.said(name)?;
        if value.bytes().all(|digit| digit.is_ascii_digit()) {
            return Some(Node::text(mark, format!("{value}ms")));
        }
        self.wrong(mark, "expected a whole number of milliseconds", "set it to a number such as 30000, or unset it");
        None
    }

    fn wrong(&mut self, mark: Mark, reason: &str, fix: &str) {
        self.errors.push(ConfigError { mark: Some(mark), ..ConfigError::at("", reason).fix(fix) });
    }
}

/// The first pause, and room for it below the longest.
pub(super) fn set_backoff(root: &mut Node, base: Node) {
    let millis = base.scalar().and_then(|text| text.strip_suffix("ms")).and_then(|digits| digits.parse::<u64>().ok());
    if let Some(millis) = millis.filter(|millis| *millis > USUAL_CAP_MS) {
        root.set_default(&["retry", "backoff", "cap"], Node::text(base.mark, format!("{millis}ms")));
    }
    root.set(&["retry", "backoff", "base"], base);
}

/// Does the address belong to the vendor itself?
pub(super) fn is_of(kind: &str, url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    provider::detect(Some(authority), None).is_some_and(|provider| provider.kind == kind)
}

/// The numbers that keys have.
fn numbers(variables: &Variables, prefix: &str) -> BTreeSet<u32> {
    let beginning = format!("{prefix}_API_KEY_");
    let numbers = variables.names().filter(|name| variables.said(name).is_some());
    numbers.filter_map(|name| name.strip_prefix(&beginning)?.parse().ok()).collect()
}

/// Warns of variables that look as if they were meant for Waypost and are not read.
pub(super) fn unread(variables: &Variables, only_settings: bool) -> Vec<ConfigError> {
    let of_accounts = VENDORS.iter().flat_map(|(prefix, _)| OF_ACCOUNTS.map(|what| format!("{prefix}_{what}")));
    let known: Vec<String> = OF_ALL.iter().map(|name| (*name).to_owned()).chain(of_accounts).collect();
    let meant =
        |name: &&str| ["OPENAI_", "ANTHROPIC_", "WAYPOST_", "PROXY_"].iter().any(|start| name.starts_with(start));
    let mut warnings = Vec::new();
    for name in variables.names().filter(meant).filter(|name| variables.said(name).is_some()) {
        let place = || Some(variables.place(name));
        let (stem, number) = match name.rsplit_once('_') {
            Some((stem, number)) if number.parse::<u32>().is_ok() => (stem, Some(number)),
            Some(_) | None => (name, None),
        };
        let is_account = VENDORS.iter().any(|(prefix, _)| {
            stem.strip_prefix(prefix)
                .and_then(|rest| rest.strip_prefix('_'))
                .is_some_and(|what| OF_ACCOUNTS.contains(&what))
        });
        let is_known = known.iter().any(|known| known == stem) && (number.is_none() || is_account);
        if !is_known {
            let near = nearest(name, known.iter().map(String::as_str), 1);
            let warning = ConfigError { file: place(), ..ConfigError::at("", "the variable means nothing to Waypost") };
            warnings.push(match near.first() {
                Some(near) => warning.fix(format!("did you mean `{near}`?")),
                None => warning,
            });
        } else if only_settings && is_account {
            let reason = "the variable describes an account, and accounts come from the file";
            warnings
                .push(ConfigError { file: place(), ..ConfigError::at("", reason).fix("add a channel to the file") });
        } else if let Some(number) = number.filter(|_| !only_settings)
            && let Some((vendor, _)) = VENDORS.iter().find(|(prefix, _)| stem.starts_with(prefix))
            && variables.said(&format!("{vendor}_API_KEY_{number}")).is_none()
        {
            let reason = "the account with this number has no key";
            let fix = format!("set {vendor}_API_KEY_{number}");
            warnings.push(ConfigError { file: place(), ..ConfigError::at("", reason).fix(fix) });
        } else if number.is_none() && is_account && !only_settings {
            warnings.extend(overruled(variables, name));
        }
    }
    warnings
}

/// An account without a number is not used beside those with one.
fn overruled(variables: &Variables, name: &str) -> Option<ConfigError> {
    let (vendor, _) = VENDORS.iter().find(|(prefix, _)| name.starts_with(prefix))?;
    let first = numbers(variables, vendor).into_iter().next()?;
    let reason = format!("the variable is not read, because {vendor}_API_KEY_{first} is set");
    let error = ConfigError { file: Some(variables.place(name)), ..ConfigError::at("", reason) };
    Some(error.fix("give it a number too, or unset it"))
}

#[cfg(test)]
mod tests;
