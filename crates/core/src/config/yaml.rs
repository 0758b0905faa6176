//! YAML into a tree with places. Aliases and merge keys work, within a bound; tags and second documents do not exist here.
//! Tests are below.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::error::{ConfigError, Mark};
use super::node::{Entry, Node, Value};

/// How deep lists and maps may nest.
const MAX_DEPTH: usize = 64;

/// How many nodes all aliases together may stand for, so that a small text cannot grow without end.
const MAX_ALIASED: usize = 100_000;

/// Reads a text of one document. An empty one is an empty map.
pub(super) fn parse(text: &str) -> Result<Node, ConfigError> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| wrong(mark(error.marker()), format!("not valid YAML: {}", error.info())))?;
        builder.take(event, mark(&span.start))?;
    }
    Ok(builder.root.unwrap_or(Node::new(START, Value::Map(Vec::new()))))
}

const START: Mark = Mark::at(1, 1);

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    anchors: HashMap<usize, (Node, usize)>,
    aliased: usize,
}

/// A list or map that has begun.
struct Open {
    mark: Mark,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map(Vec<Entry>, Option<(String, Mark)>),
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Mark) -> Result<(), ConfigError> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(wrong(at, "a second document begins here").fix("keep everything in one document"));
                }
                Ok(())
            }
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tagged_as_text(tag.as_ref(), at)?;
                let plain = style == ScalarStyle::Plain && !is_text;
                let value = Value::Scalar { text: text.into_owned(), plain };
                self.place(Node::new(at, value), anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                tagged_as_text(tag.as_ref(), at)?;
                self.begin(at, anchor, Content::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                tagged_as_text(tag.as_ref(), at)?;
                self.begin(at, anchor, Content::Map(Vec::new(), None))
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
        }
    }

    fn begin(&mut self, mark: Mark, anchor: usize, content: Content) -> Result<(), ConfigError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(wrong(mark, "lists and maps nest too deep"));
        }
        self.open.push(Open { mark, anchor, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), ConfigError> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let value = match open.content {
            Content::List(items) => Value::List(items),
            Content::Map(entries, _) => Value::Map(merged(entries)?),
        };
        self.place(Node::new(open.mark, value), open.anchor)
    }

    fn alias(&mut self, anchor: usize, at: Mark) -> Result<(), ConfigError> {
        let Some((node, size)) = self.anchors.get(&anchor) else {
            return Err(wrong(at, "the alias stands inside what it names"));
        };
        self.aliased = self.aliased.saturating_add(*size);
        if self.aliased > MAX_ALIASED {
            return Err(wrong(at, "the aliases stand for too much"));
        }
        let node = node.clone();
        self.place(node, 0)
    }

    /// Puts a finished node where it belongs: as a key, a value, an item or the root.
    fn place(&mut self, node: Node, anchor: usize) -> Result<(), ConfigError> {
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), size(&node)));
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map(entries, pending)) => match pending.take() {
                None => *pending = Some(key(node, entries)?),
                Some((key, mark)) => entries.push(Entry { key, mark, node }),
            },
        }
        Ok(())
    }
}

fn key(node: Node, entries: &[Entry]) -> Result<(String, Mark), ConfigError> {
    let mark = node.mark;
    match node.value {
        Value::Scalar { text, .. } => match entries.iter().find(|entry| entry.key == text) {
            Some(first) => Err(wrong(mark, format!("`{text}` is given twice, first on line {}", first.mark.line))),
            None => Ok((text, mark)),
        },
        Value::List(_) | Value::Map(_) => Err(wrong(mark, "a key must be a word")),
    }
}

/// `<<: *defaults` adds the keys of another map, or of several, that are not written out.
fn merged(mut entries: Vec<Entry>) -> Result<Vec<Entry>, ConfigError> {
    let Some(position) = entries.iter().position(|entry| entry.key == "<<") else {
        return Ok(entries);
    };
    let merge = entries.remove(position);
    let sources = match merge.node.value {
        Value::List(items) => items,
        Value::Map(_) | Value::Scalar { .. } => vec![merge.node],
    };
    for source in sources {
        let Value::Map(more) = source.value else {
            return Err(wrong(merge.mark, "`<<` takes a map or a list of maps"));
        };
        for entry in more {
            if entries.iter().all(|known| known.key != entry.key) {
                entries.push(entry);
            }
        }
    }
    Ok(entries)
}

fn tagged_as_text(tag: Option<&Cow<'_, Tag>>, at: Mark) -> Result<bool, ConfigError> {
    match tag {
        None => Ok(false),
        Some(tag) if tag.is_yaml_core_schema() => Ok(tag.suffix == "str"),
        Some(tag) => Err(wrong(at, format!("the tag `{tag}` means nothing here"))
            .fix("remove it; quote the value if it begins with `!`")),
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar { .. } => 0,
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|entry| size(&entry.node)).sum(),
    }
}

fn mark(marker: &Marker) -> Mark {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Mark::at(number(marker.line()), number(marker.col()).saturating_add(1))
}

fn wrong(mark: Mark, reason: impl Into<String>) -> ConfigError {
    ConfigError { mark: Some(mark), ..ConfigError::at("", reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(text: &str) -> ConfigError {
        parse(text).expect_err(text)
    }

    fn render(node: &Node) -> String {
        match &node.value {
            Value::Scalar { text, plain: true } => text.clone(),
            Value::Scalar { text, plain: false } => format!("{text:?}"),
            Value::List(items) => format!("{:?}", items.iter().map(render).collect::<Vec<_>>()),
            Value::Map(entries) => {
                entries.iter().map(|entry| format!("{}={};", entry.key, render(&entry.node))).collect()
            }
        }
    }

    #[test]
    fn aliases_and_merge_keys_are_written_out() {
        let text = "base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: *b\n";
        assert_eq!(render(&parse(text).unwrap()), "base=x=1;y=2;;one=y=3;x=1;;two=x=1;y=2;;");
    }

    #[test]
    fn a_small_text_cannot_grow_without_end() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let previous = format!("*a{}, ", level - 1).repeat(9);
            text.push_str(&format!("a{level}: &a{level} [{previous}]\n"));
        }
        assert!(fails(&text).reason.contains("aliases"));
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&"- ".repeat(100_000)).is_err());
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        let duplicate = fails("a: 1\nb: 2\na: 3\n");
        assert_eq!(duplicate.mark, Some(Mark::at(3, 1)));
        assert!(duplicate.reason.contains("line 1"));
        assert_eq!(fails("a: b: c\n").mark.map(|mark| mark.line), Some(1));
        assert!(fails("a: !secret x\n").reason.contains("tag"));
        assert!(fails("a: 1\n---\nb: 2\n").reason.contains("second"));
        assert!(fails("a: &x [*x]\n").mark.is_some());
    }

    #[test]
    fn an_empty_text_is_an_empty_map() {
        assert_eq!(render(&parse("").unwrap()), "");
        assert_eq!(render(&parse("# only a comment\n").unwrap()), "");
    }
}
