//! Files of other formats in Waypost's own words, before anything is read from them, so that mistakes keep their lines.
//! Decides which format a tree is in and hands it to the module for that format. What has no home yet is told, not refused.
//! Tests are beside the formats, in `convert/tests.rs`.

mod bundle;
mod endpoints;
mod models_providers;
mod price;
mod router_config;
mod section;

use std::fmt;

use super::error::{ConfigError, Mark};
use super::node::{Entry, Node, Value};
use section::Section;

/// What became of one part of a file in another format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub kind: NoteKind,
    /// The name of the file.
    pub file: Option<String>,
    pub mark: Mark,
    /// The key in the file's own words; empty for the whole.
    pub path: String,
    pub text: String,
}

/// How much of a part was taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind {
    /// Taken over as it is.
    Understood,
    /// Taken over with another meaning.
    Changed,
    /// Waypost has no home for it yet.
    Kept,
    /// It means nothing here.
    Ignored,
}

/// `router_config.yaml:12:3: model_groups: kept for later: virtual model groups`
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:{}:{}: ", self.mark.line, self.mark.column)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        let word = match self.kind {
            NoteKind::Understood => "understood",
            NoteKind::Changed => "changed",
            NoteKind::Kept => "kept for later",
            NoteKind::Ignored => "ignored",
        };
        write!(f, "{word}: {}", self.text)
    }
}

/// A tree in Waypost's own words.
pub(super) struct Converted {
    pub(super) root: Node,
    pub(super) notes: Vec<Note>,
    pub(super) errors: Vec<ConfigError>,
}

/// What converters have to say.
#[derive(Default)]
struct Report {
    notes: Vec<Note>,
    errors: Vec<ConfigError>,
}

impl Report {
    fn note(&mut self, kind: NoteKind, mark: Mark, path: impl Into<String>, text: impl Into<String>) {
        self.notes.push(Note { kind, file: None, mark, path: path.into(), text: text.into() });
    }

    fn error(&mut self, mark: Mark, path: impl Into<String>, reason: impl Into<String>, fix: impl Into<String>) {
        self.errors.push(ConfigError { mark: Some(mark), ..ConfigError::at(path, reason).fix(fix) });
    }
}

/// Puts a tree into Waypost's own words. A tree that is in them already comes back as it is.
pub(super) fn convert(mut root: Node) -> Converted {
    let mut report = Report::default();
    if is_map(root.get("open_ai_http_proxy")) {
        bundle::convert(&mut root, &mut report);
    }
    if root.get("endpoints").is_some_and(|endpoints| matches!(endpoints.value, Value::List(_))) {
        endpoints::convert(&mut root, &mut report);
    } else if root.get("channels").is_none() && is_map(root.get("providers")) && root.get("model_groups").is_none() {
        models_providers::convert(&mut root, &mut report);
    } else if root.get("providers").is_some() || is_map(root.get("model_groups")) {
        router_config::convert(&mut root, &mut report);
    }
    if root.get("retry").is_none() {
        fallback(&mut root, &mut report);
    }
    Converted { root, notes: report.notes, errors: report.errors }
}

/// A model group of a database in Waypost's own words, whoever wrote it. What has no home yet is left out.
pub(super) fn group(node: Node) -> Node {
    router_config::groups::group(Section::new(node, ""), &[], &mut Report::default())
}

fn is_map(node: Option<&Node>) -> bool {
    node.is_some_and(|node| matches!(node.value, Value::Map(_)))
}

/// `fallback: {enabled, maxRetries, backoffMs, circuitBreaker}` is `retry`, `retry.backoff.base` and `breaker`.
fn fallback(root: &mut Node, report: &mut Report) {
    let Some(Entry { mark, node, .. }) = root.remove(&["fallback"]) else { return };
    let Value::Map(_) = node.value else {
        root.set(&["retry"], node);
        return;
    };
    let mut section = Section::new(node, "fallback");
    let backoff = section.millis(&["backoff_ms"], report);
    let breaker = section.take(&["circuit_breaker"]);
    // Even an empty section has a place.
    root.set(&["retry"], Node::new(mark, Value::Map(section.rest())));
    if let Some(base) = backoff {
        let on_failover = Node::plain(base.mark, "true");
        super::environment::set_backoff(root, base);
        root.set(&["retry", "backoff", "on_failover"], on_failover);
    }
    if let Some(breaker) = breaker {
        root.set_default(&["breaker"], breaker.node);
    }
}

#[cfg(test)]
mod tests;
