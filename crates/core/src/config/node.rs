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
