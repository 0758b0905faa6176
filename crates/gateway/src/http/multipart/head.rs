//! Reads what the head of a form's part calls it. Decides that a head which two servers could read in two ways is none.
//! Format: RFC 7578. Tests: in `multipart`.

/// Every `name` in the `Content-Disposition` of a part, and whether that is `form-data`; nothing if not everybody reads it alike. File
/// names may hold anything, quoted: they are stepped over.
pub(super) fn field_names(head: &str) -> Option<(Vec<String>, bool)> {
    let (mut names, mut is_usual) = (Vec::new(), true);
    // What stands behind the boundary in its line is no line of the head.
    for line in head.split("\r\n").skip(1).filter(|line| !line.is_empty()) {
        let (header, value) = line.split_once(':')?;
        // A line that goes on with another one, and a name with a space behind it, are read by some only.
        if header.is_empty() || header.contains([' ', '\t']) {
            return None;
        }
        if header.eq_ignore_ascii_case("content-disposition") {
            is_usual &= names_in(value, &mut names)?;
        }
    }
    Some((names, is_usual))
}

/// Adds each `name` of `form-data; name="..."; filename="..."`, and tells whether it is `form-data`: some call files otherwise. Nothing
/// if it is not written so, or if `name` is written in another way (RFC 2231: `name*`, `name*0`), which some read as well.
fn names_in(disposition: &str, names: &mut Vec<String>) -> Option<bool> {
    let (kind, mut rest) = match disposition.split_once(';') {
        Some((kind, rest)) => (kind, Some(rest)),
        None => (disposition, None),
    };
    while let Some(text) = rest.filter(|rest| !rest.trim().is_empty()) {
        let (key, value, tail) = parameter(text)?;
        if key.eq_ignore_ascii_case("name") {
            names.push(value.to_owned());
        } else if begins(key, "name") {
            return None;
        }
        rest = tail;
    }
    Some(kind.trim().eq_ignore_ascii_case("form-data"))
}

/// The first parameter, and what follows it.
fn parameter(text: &str) -> Option<(&str, &str, Option<&str>)> {
    let (key, tail) = text.split_once('=')?;
    let (key, tail) = (key.trim(), tail.trim_start());
    let (value, tail) = match tail.strip_prefix('"') {
        Some(quoted) => {
            let end = closing(quoted)?;
            (quoted.get(..end)?, quoted.get(end + 1..)?)
        }
        None => tail.split_at(tail.find(';').unwrap_or(tail.len())),
    };
    let (value, tail) = (value.trim(), tail.trim());
    let is_word = !key.is_empty() && !key.contains([' ', '\t', ';', '"']);
    // Some end at a quote whatever stands before it: no name may hide between the two ends.
    let hides_a_name = || value.split(';').skip(1).any(|part| begins(part.trim_start(), "name"));
    let is_clear = !value.contains("\\\"") || !hides_a_name();
    (is_word && is_clear).then_some(())?;
    if tail.is_empty() { Some((key, value, None)) } else { Some((key, value, Some(tail.strip_prefix(';')?))) }
}

/// Where a quoted text ends: at a quote that no backslash stands before, unless that belongs to another one.
fn closing(quoted: &str) -> Option<usize> {
    let mut escaped = false;
    quoted.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

/// Does it begin so, in whatever letters?
pub(super) fn begins(text: &str, with: &str) -> bool {
    text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
}
