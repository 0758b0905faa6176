//! How results of commands look to people: a table of many things, the facts of one. Tests are below.

use std::io::Write as _;

use serde_json::Value;

use crate::telemetry::rfc_3339;

/// A column of a table: its head, and where in each thing it stands, as a JSON pointer.
pub(super) type Column = (&'static str, &'static str);

/// Prints a line; nobody to read it is no reason to fail.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Rows as a table, each column as wide as its widest cell.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Things as a table with a head.
pub(super) fn things(columns: &[Column], things: &[Value]) -> String {
    let head = columns.iter().map(|(head, _)| (*head).to_owned()).collect();
    let row = |thing: &Value| columns.iter().map(|(_, place)| cell(thing, place)).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(things.iter().map(row)).collect();
    table(&rows)
}

/// Everything that is said of one thing, a line for each.
pub(super) fn facts(thing: &Value) -> String {
    let mut rows = Vec::new();
    add_facts(&mut rows, "", thing);
    table(&rows)
}

fn add_facts(rows: &mut Vec<Vec<String>>, name: &str, value: &Value) {
    let below = |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") };
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                add_facts(rows, &below(field), value);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            for (place, value) in list.iter().enumerate() {
                add_facts(rows, &format!("{name}[{place}]"), value);
            }
        }
        value => rows.push(vec![plain(name), written(value, name)]),
    }
}

/// What stands in a thing at a JSON pointer.
pub(super) fn cell(thing: &Value, place: &str) -> String {
    written(thing.pointer(place).unwrap_or(&Value::Null), place)
}

fn written(value: &Value, name: &str) -> String {
    let nothing = || "-".to_owned();
    match value {
        Value::Null => nothing(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => match number.as_u64().filter(|_| is_time(name)) {
            Some(millis) => rfc_3339(millis),
            None => number.to_string(),
        },
        Value::String(text) if text.is_empty() => nothing(),
        Value::String(text) => plain(text),
        Value::Array(list) if list.is_empty() => nothing(),
        Value::Array(list) => list.iter().map(|value| written(value, "")).collect::<Vec<_>>().join(","),
        Value::Object(_) => plain(&value.to_string()),
    }
}

/// Times are in milliseconds since 1970 and have these names.
fn is_time(name: &str) -> bool {
    let last = name.rsplit(['/', '.']).next().unwrap_or(name);
    last.ends_with("_at") || matches!(last, "at" | "start" | "valid_until")
}

/// Callers name models and keys as they like; what they write steers no terminal.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
        let rows = [row(&["CHANNEL", "MS"]), row(&["a", "12"]), row(&["größer", ""])];
        assert_eq!(table(&rows), "CHANNEL  MS\na        12\ngrößer");
    }
    #[test]
    fn things_are_rows_and_what_is_not_there_is_a_dash() {
        let all = [
            json!({ "id": "a", "on": true, "at": 0, "models": ["m", "n"], "more": { "n": 7 } }),
            json!({ "id": "b\u{1b}[2J", "on": false, "models": [], "more": null }),
        ];
        let columns =
            [("ID", "/id"), ("ON", "/on"), ("MADE", "/at"), ("MODELS", "/models"), ("N", "/more/n")].map(Column::from);
        let wanted = "ID     ON   MADE                      MODELS  N\n\
                      a      yes  1970-01-01T00:00:00.000Z  m,n     7\n\
                      b\u{fffd}[2J  no   -                         -       -";
        assert_eq!(super::things(&columns, &all), wanted);
    }

    #[test]
    fn facts_name_what_is_within_what() {
        let thing =
            json!({ "id": "a", "limits": { "rpm": 5, "tpm": null }, "windows": [{ "start": 0 }, { "start": 1 }] });
        let wanted = "id                a\nlimits.rpm        5\nlimits.tpm        -\n\
                      windows[0].start  1970-01-01T00:00:00.000Z\nwindows[1].start  1970-01-01T00:00:00.001Z";
        assert_eq!(facts(&thing), wanted);
    }
}
