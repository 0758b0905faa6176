//! A file in any format that Waypost reads, as a document in Waypost's own words, for those who take it over into a database.
//! Decides nothing about it: the same conversion that reading a configuration uses. Tests are below.

use serde_json::{Map, Number, Value as Json};

use super::Format;
use super::convert::{self, Note};
use super::error::ConfigError;
use super::expand::{Lookup, expand};
use super::node::{Node, Value, snake_case};
use super::{Text, json, yaml};

/// A file as it was found and as it reads in Waypost's words.
#[derive(Debug)]
pub struct Transfer {
    /// As it was written.
    pub written: Json,
    /// The same in Waypost's own words. May hold secrets.
    pub converted: Json,
    /// What became of each part.
    pub notes: Vec<Note>,
}

/// The name of a field, however it was written: `maxRps` is `max_rps`.
pub fn field_name(key: &str) -> String {
    snake_case(key)
}

/// Reads a file to be taken over.
pub fn transfer(text: &Text, lookup: Lookup<'_>) -> Result<Transfer, Vec<ConfigError>> {
    let named = |mut error: ConfigError| {
        error.file = Some(text.name.clone());
        error
    };
    let content = text.text.strip_prefix('\u{feff}').unwrap_or(&text.text);
    let parsed = match text.format {
        Format::Yaml => yaml::parse(content),
        Format::Json => json::parse(content),
    };
    let mut root = parsed.map_err(|error| vec![named(error)])?;
    let mut errors = expand(&mut root, lookup);
    let written = as_json(&root);
    let converted = convert::convert(root);
    errors.extend(converted.errors);
    if !errors.is_empty() {
        return Err(errors.into_iter().map(named).collect());
    }
    let mut notes = converted.notes;
    notes.sort_by_key(|note| note.mark);
    notes.iter_mut().for_each(|note| note.file = Some(text.name.clone()));
    Ok(Transfer { written, converted: as_json(&converted.root), notes })
}

fn as_json(node: &Node) -> Json {
    match &node.value {
        Value::Scalar { .. } if node.is_null() => Json::Null,
        Value::Scalar { text, plain: true } => plain(text),
        Value::Scalar { text, plain: false } => Json::String(text.clone()),
        Value::List(items) => Json::Array(items.iter().map(as_json).collect()),
        Value::Map(entries) => {
            Json::Object(entries.iter().map(|entry| (entry.key.clone(), as_json(&entry.node))).collect::<Map<_, _>>())
        }
    }
}

/// As the reader takes it: a whole number, a truth value, or text.
fn plain(text: &str) -> Json {
    match text {
        "true" => Json::Bool(true),
        "false" => Json::Bool(false),
        _ => text.parse::<i64>().map_or_else(
            |_| text.parse::<Number>().map_or_else(|_| Json::String(text.to_owned()), Json::Number),
            Json::from,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_another_format_comes_out_in_our_words_and_as_it_was() {
        let text = "endpoints: [{name: a, url: 'http://127.0.0.1:1/v1', apiKey: k, models: [gpt-4o], priority: 2}]\n";
        let text = Text { name: "w.yaml".into(), format: Format::Yaml, text: text.into() };
        let read = transfer(&text, &|_| None).unwrap();
        assert_eq!(read.written["endpoints"][0]["apiKey"], "k");
        let channel = &read.converted["channels"][0];
        assert_eq!((channel["name"].as_str(), channel["models"][0].as_str()), (Some("a"), Some("gpt-4o")));
    }

    #[test]
    fn mistakes_name_the_file() {
        let text = Text { name: "w.json".into(), format: Format::Json, text: "{".into() };
        let errors = transfer(&text, &|_| None).unwrap_err();
        assert!(errors[0].to_string().starts_with("w.json:1:"), "{errors:?}");
    }
}
