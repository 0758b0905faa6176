//! A config as it was written: a tree that remembers where each part stood.
//! Knows no keys and no types. Tests are with the parsers and the reader.

use std::collections::HashMap;

use super::error::Mark;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) mark: Mark,
    pub(super) value: Value,
    /// Already reported as wrong: readers pass over it, positions of its neighbours stay.
    pub(super) skipped: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// `plain` text may be read as a number, a truth value or null; other text is text.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) mark: Mark,
    pub(super) node: Node,
}

/// One step down the tree, by position.
pub(super) type Step = usize;

impl Node {
    pub(super) fn new(mark: Mark, value: Value) -> Self {
        Self { mark, value, skipped: false }
    }

    /// Text that is text, whatever it looks like.
    pub(super) fn text(mark: Mark, text: impl Into<String>) -> Self {
        Self::new(mark, Value::Scalar { text: text.into(), plain: false })
    }

    /// Text that may be a number or a truth value.
    pub(super) fn plain(mark: Mark, text: impl Into<String>) -> Self {
        Self::new(mark, Value::Scalar { text: text.into(), plain: true })
    }

    pub(super) fn empty_map(mark: Mark) -> Self {
        Self::new(mark, Value::Map(Vec::new()))
    }

    pub(super) fn list_of_texts(mark: Mark, texts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::new(mark, Value::List(texts.into_iter().map(|text| Self::text(mark, text)).collect()))
    }

    /// The text of a scalar that is not null.
    pub(super) fn scalar(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } if !self.is_null() => Some(text),
            Value::Scalar { .. } | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The entries of a map; none of anything else.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Scalar { .. } | Value::List(_) => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub(super) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            Value::Scalar { .. } | Value::Map(_) => &[],
        }
    }

    /// What a map has under a key, by its name in snake case.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| snake_case(&entry.key) == key).map(|entry| &entry.node)
    }

    /// Puts a value where the path leads, in place of what is there. What is no map on the way is left for the reader to
    /// refuse.
    pub(super) fn set(&mut self, path: &[&str], value: Self) {
        let Some((key, rest)) = path.split_first() else {
            *self = value;
            return;
        };
        if self.is_null() {
            self.value = Value::Map(Vec::new());
        }
        let Value::Map(entries) = &mut self.value else { return };
        let mark = value.mark;
        let at = entries.iter().position(|entry| snake_case(&entry.key) == *key);
        match at.and_then(|at| entries.get_mut(at)) {
            Some(entry) => {
                if rest.is_empty() {
                    entry.mark = mark;
                }
                entry.node.set(rest, value);
            }
            None => {
                let mut node = Self::empty_map(mark);
                node.set(rest, value);
                entries.push(Entry { key: (*key).to_owned(), mark, node });
            }
        }
    }

    /// As [`Node::set`], where nothing is there yet.
    pub(super) fn set_default(&mut self, path: &[&str], value: Self) {
        if self.find(path).is_none_or(Self::is_null) {
            self.set(path, value);
        }
    }

    /// Takes out what stands where the path leads.
    pub(super) fn remove(&mut self, path: &[&str]) -> Option<Entry> {
        let (key, rest) = path.split_first()?;
        let Value::Map(entries) = &mut self.value else { return None };
        let at = entries.iter().position(|entry| snake_case(&entry.key) == *key)?;
        if rest.is_empty() { Some(entries.remove(at)) } else { entries.get_mut(at)?.node.remove(rest) }
    }

    pub(super) fn find(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// Says of every part which source it stands in.
    pub(super) fn set_source(&mut self, source: u16) {
        self.mark.source = source;
        match &mut self.value {
            Value::Scalar { .. } => {}
            Value::List(items) => items.iter_mut().for_each(|item| item.set_source(source)),
            Value::Map(entries) => entries.iter_mut().for_each(|entry| {
                entry.mark.source = source;
                entry.node.set_source(source);
            }),
        }
    }

    pub(super) fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar { text, plain } => *plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"),
            Value::List(_) | Value::Map(_) => false,
        }
    }

    pub(super) fn descend(&mut self, steps: &[Step]) -> Option<&mut Self> {
        steps.iter().try_fold(self, |node, step| match &mut node.value {
            Value::List(items) => items.get_mut(*step),
            Value::Map(entries) => entries.get_mut(*step).map(|entry| &mut entry.node),
            Value::Scalar { .. } => None,
        })
    }
}

/// Where each key stands, by its path with keys in snake case.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(HashMap<String, Mark>);

impl Places {
    pub(super) fn of(root: &Node) -> Self {
        let mut places = Self::default();
        places.collect(root, String::new());
        places
    }

    /// The place of the key, or of the nearest key around it.
    pub(super) fn find(&self, path: &str) -> Option<Mark> {
        let path = snake_case(path);
        let mut path = path.as_str();
        loop {
            if let Some(mark) = self.0.get(path) {
                return Some(*mark);
            }
            path = path.get(..path.rfind(['.', '['])?)?;
        }
    }

    /// The place of the key itself.
    pub(super) fn exact(&self, path: &str) -> Option<Mark> {
        self.0.get(path).copied()
    }

    fn collect(&mut self, node: &Node, path: String) {
        match &node.value {
            Value::Scalar { .. } => {}
            Value::List(items) => {
                for (position, item) in items.iter().enumerate() {
                    self.insert(item, item.mark, format!("{path}[{position}]"));
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    let path = joined(&path, &snake_case(&entry.key));
                    self.insert(&entry.node, entry.mark, path);
                }
            }
        }
    }

    fn insert(&mut self, node: &Node, mark: Mark, path: String) {
        self.0.insert(path.clone(), mark);
        self.collect(node, path);
    }
}

pub(super) fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// `maxRPS` and `max-rps` are `max_rps`.
pub(super) fn snake_case(key: &str) -> String {
    let mut snake = String::with_capacity(key.len() + 4);
    let mut after_lower = false;
    for letter in key.chars() {
        if letter.is_ascii_uppercase() && after_lower {
            snake.push('_');
        }
        after_lower = letter.is_ascii_lowercase() || letter.is_ascii_digit();
        snake.push(if letter == '-' { '_' } else { letter.to_ascii_lowercase() });
    }
    snake
}
