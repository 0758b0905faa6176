//! A map of another format while its keys are taken out one by one; what is left over is left to the reader, which refuses it.
//! Knows no format. Tests are with the formats.

use super::super::error::Mark;
use super::super::node::{Entry, Node, Value, joined, snake_case};
use super::{NoteKind, Report};

/// A map on its way out.
pub(super) struct Section {
    pub(super) mark: Mark,
    /// How the file calls it.
    pub(super) path: String,
    entries: Vec<Entry>,
}

impl Section {
    /// What is no map has no keys.
    pub(super) fn new(node: Node, path: impl Into<String>) -> Self {
        let entries = match node.value {
            Value::Map(entries) => entries,
            Value::Scalar { .. } | Value::List(_) => Vec::new(),
        };
        Self { mark: node.mark, path: path.into(), entries }
    }

    /// Takes the first of these keys that is there and says something.
    pub(super) fn take(&mut self, names: &[&str]) -> Option<Entry> {
        names.iter().find_map(|name| {
            let at = self.entries.iter().position(|entry| snake_case(&entry.key) == *name)?;
            Some(self.entries.remove(at)).filter(|entry| !entry.node.is_null())
        })
    }

    /// As [`Section::take`], of a text.
    pub(super) fn take_text(&mut self, names: &[&str]) -> Option<(String, Mark)> {
        let entry = self.take(names)?;
        match entry.node.scalar() {
            Some(text) => Some((text.to_owned(), entry.node.mark)),
            None => {
                self.entries.push(entry);
                None
            }
        }
    }

    /// Takes a number of milliseconds as a time.
    pub(super) fn millis(&mut self, names: &[&str], report: &mut Report) -> Option<Node> {
        let entry = self.take(names)?;
        let digits = entry.node.scalar().map(|text| text.replace('_', ""));
        match digits.filter(|text| text.bytes().all(|digit| digit.is_ascii_digit())) {
            Some(digits) => Some(Node::text(entry.node.mark, format!("{digits}ms"))),
            None => {
                let path = joined(&self.path, &entry.key);
                report.error(entry.node.mark, path, "expected a whole number of milliseconds", "write it as 30000");
                None
            }
        }
    }

    /// Moves a key that means the same under another name.
    pub(super) fn move_to(&mut self, names: &[&str], to: &mut Node, path: &[&str]) -> bool {
        let Some(entry) = self.take(names) else { return false };
        to.set(path, entry.node);
        true
    }

    /// Takes keys that Waypost has no home for yet.
    pub(super) fn keep(&mut self, names: &[&str], what: &str, report: &mut Report) {
        self.tell(names, NoteKind::Kept, what, report);
    }

    /// Takes keys that mean nothing here.
    pub(super) fn ignore(&mut self, names: &[&str], why: &str, report: &mut Report) {
        self.tell(names, NoteKind::Ignored, why, report);
    }

    fn tell(&mut self, names: &[&str], kind: NoteKind, text: &str, report: &mut Report) {
        for name in names {
            if let Some(entry) = self.take(&[name]) {
                report.note(kind, entry.mark, joined(&self.path, &entry.key), text);
            }
        }
    }

    /// How the file calls a key of it.
    pub(super) fn path_of(&self, key: &str) -> String {
        joined(&self.path, key)
    }

    /// What nobody took.
    pub(super) fn rest(self) -> Vec<Entry> {
        self.entries
    }

    /// Leaves what nobody took in the result, where the reader refuses it with its place.
    pub(super) fn leave(self, to: &mut Node) {
        if let Value::Map(entries) = &mut to.value {
            entries.extend(self.entries);
        }
    }
}

/// A list, or a map whose keys are the names: the same maps with their names.
pub(super) fn named(node: Node, key: &str, path: &str) -> Vec<Section> {
    let mut sections = Vec::new();
    match node.value {
        Value::List(items) => {
            let items = items.into_iter().enumerate();
            sections.extend(items.map(|(position, item)| Section::new(item, format!("{path}[{position}]"))));
        }
        Value::Map(entries) => {
            for entry in entries {
                let mut item = entry.node;
                if item.is_null() {
                    item.value = Value::Map(Vec::new());
                }
                item.set_default(&[key], Node::text(entry.mark, entry.key.as_str()));
                let mut section = Section::new(item, joined(path, &entry.key));
                section.mark = entry.mark;
                sections.push(section);
            }
        }
        Value::Scalar { .. } => {}
    }
    sections
}
