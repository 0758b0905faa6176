//! Replaces the few bytes Waypost owns in a body it relays; every other byte stays as the caller wrote it.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::error::WireError;
use crate::scan::{Kind, Scanner};

/// Edits to one body. Ranges must not overlap; they may be given in any order.
#[derive(Clone, Debug, Default)]
pub struct Splice(Vec<(Range<usize>, String)>);

impl Splice {
    /// Puts `json` where `range` stands; an empty range inserts.
    pub fn replace(&mut self, range: Range<usize>, json: impl Into<String>) {
        self.0.push((range, json.into()));
    }

    /// The edited body; the same bytes, uncopied, if there is nothing to edit.
    pub fn apply(mut self, body: &Bytes) -> Bytes {
        if self.0.is_empty() {
            return body.clone();
        }
        self.0.sort_by_key(|(range, _)| range.start);
        let added: usize = self.0.iter().map(|(_, json)| json.len()).sum();
        let mut spliced = BytesMut::with_capacity(body.len() + added);
        let mut copied = 0;
        for (range, json) in &self.0 {
            spliced.extend_from_slice(body.get(copied..range.start).unwrap_or_default());
            spliced.extend_from_slice(json.as_bytes());
            copied = range.end;
        }
        spliced.extend_from_slice(body.get(copied..).unwrap_or_default());
        spliced.freeze()
    }
}

/// A JSON string literal that says `text`.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Where the value at `path` stands in a document of nested objects; `None` if it is absent.
pub fn find(json: &[u8], path: &[&str]) -> Result<Option<Range<usize>>, WireError> {
    Scanner::document(json, |scanner| descend(scanner, path))
}

fn descend(scanner: &mut Scanner<'_>, path: &[&str]) -> Result<Option<Range<usize>>, WireError> {
    let Some((key, deeper)) = path.split_first() else {
        return scanner.skip().map(Some);
    };
    if scanner.kind()? != Kind::Object {
        scanner.skip()?;
        return Ok(None);
    }
    let mut found = None;
    scanner.object(|scanner, name| {
        if name == *key {
            found = descend(scanner, deeper)?;
            Ok(())
        } else {
            scanner.skip().map(drop)
        }
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_edited_ranges_change() {
        let body = Bytes::from_static(b"{ \"model\" : \"a\", \"n\":1e0 }");
        let range = find(&body, &["model"]).unwrap().unwrap();
        let mut splice = Splice::default();
        splice.replace(1..1, "\"x\":1,");
        splice.replace(range, quoted("b\"c"));
        assert_eq!(splice.apply(&body), &b"{\"x\":1, \"model\" : \"b\\\"c\", \"n\":1e0 }"[..]);
    }

    #[test]
    fn no_edit_is_no_copy() {
        let body = Bytes::from_static(b"{}");
        assert_eq!(Splice::default().apply(&body).as_ptr(), body.as_ptr());
    }

    #[test]
    fn a_path_is_found_in_nested_objects_only() {
        let json = br#"{"message":{"id":1,"model":"m"},"model":[1]}"#;
        assert_eq!(find(json, &["message", "model"]).unwrap(), Some(27..30));
        assert_eq!(find(json, &["model", "x"]).unwrap(), None);
        assert!(find(b"{", &["model"]).is_err());
    }
}
