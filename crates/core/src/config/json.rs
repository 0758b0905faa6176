//! JSON into a tree with places, by the same scanner that reads requests. Tests are below.

use waypost_wire::WireError;
use waypost_wire::scan::{Kind, Scanner};

use super::error::{ConfigError, Mark};
use super::node::{Entry, Node, Value};

/// Reads one JSON document.
pub(super) fn parse(text: &str) -> Result<Node, ConfigError> {
    let lines = Lines::of(text);
    Scanner::document(text.as_bytes(), |scanner| value(scanner, &lines)).map_err(|error| {
        let at = match &error {
            WireError::Syntax { at, .. } => *at,
            WireError::Invalid { .. } | WireError::Unsupported { .. } | WireError::Unfinished => 0,
        };
        let reason = match &error {
            WireError::Syntax { message, .. } => format!("not valid JSON: {message}"),
            WireError::Invalid { .. } | WireError::Unsupported { .. } | WireError::Unfinished => error.to_string(),
        };
        ConfigError { mark: Some(lines.mark(at)), ..ConfigError::at("", reason) }
    })
}

fn value(scanner: &mut Scanner<'_>, lines: &Lines<'_>) -> Result<Node, WireError> {
    let kind = scanner.kind()?;
    let mark = lines.mark(scanner.offset());
    let scalar = |text: &str, plain| Value::Scalar { text: text.to_owned(), plain };
    let value = match kind {
        Kind::Object => Value::Map(entries(scanner, lines)?),
        Kind::Array => {
            let mut items = Vec::new();
            scanner.array(|scanner, _| {
                items.push(value(scanner, lines)?);
                Ok(())
            })?;
            Value::List(items)
        }
        Kind::String => scalar(&scanner.string()?, false),
        Kind::Number => scalar(scanner.number()?, true),
        Kind::Bool => scalar(if scanner.bool()? { "true" } else { "false" }, true),
        Kind::Null => {
            scanner.skip()?;
            scalar("null", true)
        }
    };
    Ok(Node::new(mark, value))
}

fn entries(scanner: &mut Scanner<'_>, lines: &Lines<'_>) -> Result<Vec<Entry>, WireError> {
    let mut entries: Vec<Entry> = Vec::new();
    scanner.object(|scanner, key| {
        let at = scanner.offset();
        if entries.iter().any(|entry| entry.key == key) {
            return Err(WireError::Syntax { at, message: "the key before this value was given already" });
        }
        let node = value(scanner, lines)?;
        entries.push(Entry { key: key.to_owned(), mark: node.mark, node });
        Ok(())
    })?;
    Ok(entries)
}

/// Where lines begin, to turn offsets into places.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        let after = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(after).collect() }
    }

    fn mark(&self, at: usize) -> Mark {
        let line = self.starts.partition_point(|start| *start <= at);
        let start = line.checked_sub(1).and_then(|line| self.starts.get(line)).copied().unwrap_or_default();
        let column = self.text.get(start..at).map_or(at - start, |text| text.chars().count());
        Mark::at(u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX).saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_kept_and_mistakes_are_shown_where_they_are() {
        let node = parse("{\n  \"a\": [1,\n    \"x\"]\n}").unwrap();
        let Value::Map(entries) = &node.value else { unreachable!("an object") };
        let Value::List(items) = &entries[0].node.value else { unreachable!("an array") };
        assert_eq!(items[1].mark, Mark::at(3, 5));

        let error = parse("{\"a\": 1,\n \"a\": 2}").unwrap_err();
        assert_eq!(error.mark, Some(Mark::at(2, 7)));
        let error = parse("{\n\"a\": tru}").unwrap_err();
        assert_eq!(error.mark.map(|mark| mark.line), Some(2));
        assert!(error.reason.starts_with("not valid JSON"));
    }

    #[test]
    fn escapes_that_yaml_does_not_know_are_read() {
        let node = parse(r#""\ud83d\ude00\/""#).unwrap();
        assert!(matches!(&node.value, Value::Scalar { text, .. } if text == "😀/"));
    }
}
