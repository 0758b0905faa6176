//! Several trees as one: maps merge, lists follow one another, and what would be said twice is an error that names both
//! places. Tests are in `tests.rs` beside this.

use super::super::error::ConfigError;
use super::super::error::Mark;
use super::super::node::{Entry, Node, Value, joined, snake_case};
use super::Sources;

/// All trees as one, in their order.
pub(super) fn merged(roots: Vec<Node>, sources: &Sources, errors: &mut Vec<ConfigError>) -> Node {
    let mut roots = roots.into_iter();
    let Some(mut all) = roots.next() else {
        return Node::empty_map(Mark::at(1, 1));
    };
    for root in roots {
        add(&mut all, root, "", sources, errors);
    }
    all
}

fn add(to: &mut Node, more: Node, path: &str, sources: &Sources, errors: &mut Vec<ConfigError>) {
    if more.is_null() {
        return;
    }
    if to.is_null() {
        *to = more;
        return;
    }
    let mark = more.mark;
    match (&mut to.value, more.value) {
        (Value::Map(entries), Value::Map(added)) => {
            for entry in added {
                add_entry(entries, entry, path, sources, errors);
            }
        }
        (Value::List(items), Value::List(added)) => items.extend(added),
        (Value::Scalar { .. } | Value::List(_) | Value::Map(_), _) => {
            let reason = format!("this was said already, at {}", sources.shown(to.mark));
            errors.push(ConfigError { mark: Some(mark), ..ConfigError::at(path, reason).fix("keep one of them") });
        }
    }
}

fn add_entry(entries: &mut Vec<Entry>, entry: Entry, path: &str, sources: &Sources, errors: &mut Vec<ConfigError>) {
    let name = snake_case(&entry.key);
    match entries.iter_mut().find(|known| known.key == entry.key || snake_case(&known.key) == name) {
        Some(known) => add(&mut known.node, entry.node, &joined(path, &entry.key), sources, errors),
        None => entries.push(entry),
    }
}
