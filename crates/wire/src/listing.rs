//! Lists of models as vendors give them: OpenAI's and Anthropic's `data`, Gemini's `models`, or a bare array.
//! Decides which names are fit to be used; bounded, for the bytes come from outside. Tests are below.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::error::WireError;

/// More models than this are not taken from one list.
pub const MOST: usize = 5_000;

/// The longest name that is taken.
const LONGEST: usize = 200;

#[derive(Deserialize)]
#[serde(untagged)]
enum Listing {
    Data { data: Vec<Item> },
    Models { models: Vec<Item> },
    Bare(Vec<Item>),
}

#[derive(Deserialize)]
struct Item {
    /// OpenAI's and Anthropic's.
    id: Option<String>,
    /// Gemini's, as `models/<name>`.
    name: Option<String>,
}

/// The names in a list, sorted, each once, at most [`MOST`]. Names that could not be asked for are left out.
pub fn names(body: &[u8]) -> Result<Vec<String>, WireError> {
    let unreadable = |_| WireError::invalid("data", "the answer is no list of models");
    let listing: Listing = serde_json::from_slice(body).map_err(unreadable)?;
    let items = match listing {
        Listing::Data { data } => data,
        Listing::Models { models } => models,
        Listing::Bare(items) => items,
    };
    let named = items.into_iter().filter_map(|item| {
        let name = item.id.or(item.name)?;
        Some(name.strip_prefix("models/").map(str::to_owned).unwrap_or(name))
    });
    let fit: BTreeSet<String> = named.filter(|name| is_fit(name)).collect();
    Ok(fit.into_iter().take(MOST).collect())
}

/// A name that can stand in a config: a `*` would make it a pattern.
fn is_fit(name: &str) -> bool {
    !name.is_empty() && name.len() <= LONGEST && !name.contains('*') && !name.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vendors_list_is_read() {
        let lists = [
            r#"{"object":"list","data":[{"id":"b","object":"model","created":1,"owned_by":"x"},{"id":"a"},{"id":"b"}]}"#,
            r#"{"data":[{"type":"model","id":"a","display_name":"A"},{"id":"b"}],"has_more":false,"first_id":"a"}"#,
            r#"{"models":[{"name":"models/b","supportedGenerationMethods":["generateContent"]},{"name":"models/a"}]}"#,
            r#"[{"id":"a","context_length":9},{"id":"b","name":"The B"}]"#,
        ];
        for list in lists {
            assert_eq!(names(list.as_bytes()).unwrap(), ["a", "b"], "{list}");
        }
        assert_eq!(names(br#"{"data":[]}"#).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_list_is_an_error_and_odd_names_are_left_out() {
        for body in ["", "<html>", "{}", r#"{"error":{"message":"no"}}"#, r#"{"data":{"id":"a"}}"#, r#"{"data":["a"]}"#]
        {
            assert!(names(body.as_bytes()).is_err(), "{body}");
        }
        let long = "x".repeat(LONGEST + 1);
        let odd = format!(
            r#"{{"data":[{{"id":""}},{{"id":"*"}},{{"id":"a\nb"}},{{"id":"{long}"}},{{}},{{"id":"good/one:8b"}}]}}"#
        );
        assert_eq!(names(odd.as_bytes()).unwrap(), ["good/one:8b"]);
        let many: Vec<String> = (0..MOST + 10).map(|number| format!(r#"{{"id":"m{number}"}}"#)).collect();
        assert_eq!(names(format!("[{}]", many.join(",")).as_bytes()).unwrap().len(), MOST);
    }
}
