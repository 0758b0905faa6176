//! Makes a small value that a JSON Schema accepts, from what the prompt is about.
//!
//! Heeds `const`, `enum`, `default`, `type`, `$ref` within the schema, `allOf`, `anyOf`, `oneOf`, `properties`,
//! `required`, `items`, `prefixItems`, `minItems`, `maxItems`, numeric bounds, `multipleOf`, string lengths and the common
//! `format`s. Does not heed `pattern`, `not`, `if` and the rarer keywords. Tests are below.

use serde_json::{Map, Number, Value, json};

use super::prompt::Prompt;

/// Where schemas that contain themselves come to an end.
const DEEPEST: usize = 12;
const MOST_ITEMS: u64 = 64;

/// A value for the schema. `subject` is the text that free strings hold.
pub(crate) fn instance(schema: &Value, prompt: &Prompt<'_>, subject: &str) -> Value {
    let maker = Maker { root: schema, prompt, subject };
    maker.value(schema, 0, 0)
}

struct Maker<'a> {
    root: &'a Value,
    prompt: &'a Prompt<'a>,
    subject: &'a str,
}

impl Maker<'_> {
    /// `place` tells the items of one array apart.
    fn value(&self, schema: &Value, depth: usize, place: u64) -> Value {
        let Some(keys) = schema.as_object() else {
            return self.subject.into();
        };
        if depth > DEEPEST {
            return Value::Null;
        }
        if let Some(fixed) = keys.get("const").or_else(|| keys.get("default")) {
            return fixed.clone();
        }
        if let Some(choices) = keys.get("enum").and_then(Value::as_array) {
            return self.choice(choices);
        }
        if let Some(target) = keys.get("$ref").and_then(Value::as_str) {
            let found = target.strip_prefix('#').and_then(|path| self.root.pointer(path));
            return found.map_or(Value::Null, |schema| self.value(schema, depth + 1, place));
        }
        if let Some(all) = keys.get("allOf").and_then(Value::as_array) {
            return self.value(&self.merged(keys, all), depth + 1, place);
        }
        let either = keys.get("anyOf").or_else(|| keys.get("oneOf"));
        if let Some(first) = either.and_then(Value::as_array).and_then(|either| preferred(either)) {
            return self.value(first, depth + 1, place);
        }
        match type_of(keys) {
            "object" => self.object(keys, depth),
            "array" => self.array(keys, depth),
            "integer" => integer(keys, self.prompt.number(), place).into(),
            "number" => number(keys, self.prompt.number()),
            "boolean" => true.into(),
            "null" => Value::Null,
            _ => self.string(keys, place).into(),
        }
    }

    /// The choice that the prompt names, or the first.
    fn choice(&self, choices: &[Value]) -> Value {
        let named = |choice: &&Value| choice.as_str().is_some_and(|word| self.prompt.mentions(word));
        let choice = choices.iter().find(named).or_else(|| choices.first());
        choice.cloned().unwrap_or_default()
    }

    /// One schema with the keywords of all; properties and required names are put together.
    fn merged(&self, keys: &Map<String, Value>, all: &[Value]) -> Value {
        let mut merged = keys.clone();
        merged.remove("allOf");
        for schema in all {
            let target = schema.get("$ref").and_then(Value::as_str);
            let target = target.and_then(|target| self.root.pointer(target.strip_prefix('#')?));
            for (key, value) in target.unwrap_or(schema).as_object().into_iter().flatten() {
                match (merged.get_mut(key), value) {
                    (Some(Value::Object(mine)), Value::Object(theirs)) => mine.extend(theirs.clone()),
                    (Some(Value::Array(mine)), Value::Array(theirs)) if key == "required" => {
                        mine.extend(theirs.clone())
                    }
                    _ => {
                        merged.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        Value::Object(merged)
    }

    /// The required properties; at the top all of them if none is required, so that an answer is never just `{}`.
    fn object(&self, keys: &Map<String, Value>, depth: usize) -> Value {
        let empty = Map::new();
        let properties = keys.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let required = keys.get("required").and_then(Value::as_array);
        let required: Vec<&str> = required.into_iter().flatten().filter_map(Value::as_str).collect();
        let mut object = Map::new();
        for (name, schema) in properties {
            if required.contains(&name.as_str()) || (required.is_empty() && depth == 0) {
                object.insert(name.clone(), self.value(schema, depth + 1, 0));
            }
        }
        for name in required.into_iter().filter(|name| !properties.contains_key(*name)) {
            object.insert(name.to_owned(), self.subject.into());
        }
        Value::Object(object)
    }

    fn array(&self, keys: &Map<String, Value>, depth: usize) -> Value {
        let limit = |key| keys.get(key).and_then(Value::as_u64);
        let fixed = keys.get("prefixItems").and_then(Value::as_array);
        let fixed = fixed.map(Vec::as_slice).unwrap_or_default();
        let usual = if depth < DEEPEST / 2 { 1 } else { 0 };
        let length = limit("minItems").unwrap_or(usual.max(fixed.len() as u64));
        let length = length.min(limit("maxItems").unwrap_or(MOST_ITEMS)).min(MOST_ITEMS);
        let any = json!({});
        let rest = keys.get("items").filter(|items| items.is_object()).unwrap_or(&any);
        let schemas = fixed.iter().chain(std::iter::repeat(rest));
        let items = (0..length).zip(schemas);
        items.map(|(place, schema)| self.value(schema, depth + 1, place)).collect()
    }

    fn string(&self, keys: &Map<String, Value>, place: u64) -> String {
        let format = keys.get("format").and_then(Value::as_str);
        if let Some(example) = format.and_then(formatted) {
            return example.to_owned();
        }
        let limit = |key| keys.get(key).and_then(Value::as_u64).and_then(|limit| usize::try_from(limit).ok());
        let mut text = match place {
            0 => self.subject.to_owned(),
            place => format!("{} {}", self.subject, place + 1),
        };
        let shortest = limit("minLength").unwrap_or(0).min(10_000);
        text.extend(std::iter::repeat_n('x', shortest.saturating_sub(text.chars().count())));
        text.chars().take(limit("maxLength").unwrap_or(usize::MAX)).collect()
    }
}

/// The first alternative that is not just null.
fn preferred(either: &[Value]) -> Option<&Value> {
    let real = |schema: &&Value| schema.get("type").and_then(Value::as_str) != Some("null");
    either.iter().find(real).or_else(|| either.first())
}

/// The type the schema names, or the one its keywords are about.
fn type_of(keys: &Map<String, Value>) -> &str {
    match keys.get("type") {
        Some(Value::String(name)) => name,
        Some(Value::Array(names)) => {
            let mut names = names.iter().filter_map(Value::as_str);
            names.find(|name| *name != "null").unwrap_or("null")
        }
        _ if keys.contains_key("properties") || keys.contains_key("required") => "object",
        _ if keys.contains_key("items") || keys.contains_key("prefixItems") => "array",
        _ => "string",
    }
}

fn integer(keys: &Map<String, Value>, wish: Option<i64>, place: u64) -> i64 {
    let bound = |key: &str| keys.get(key).and_then(Value::as_f64);
    let low = bound("minimum").map(|low| low.ceil() as i64);
    let above = bound("exclusiveMinimum").map(|low| (low.floor() as i64).saturating_add(1));
    let high = bound("maximum").map(|high| high.floor() as i64);
    let below = bound("exclusiveMaximum").map(|high| (high.ceil() as i64).saturating_sub(1));
    let low = low.max(above).unwrap_or(i64::MIN);
    let high = high.into_iter().chain(below).min().unwrap_or(i64::MAX);
    let place = i64::try_from(place).unwrap_or(0);
    let wish = wish.unwrap_or(1).saturating_add(place).max(low).min(high);
    let step = bound("multipleOf").filter(|step| *step >= 1.0).map_or(1, |step| step as i64);
    let beneath = wish.saturating_sub(wish.rem_euclid(step));
    if beneath >= low { beneath } else { beneath.saturating_add(step) }
}

fn number(keys: &Map<String, Value>, wish: Option<i64>) -> Value {
    let bound = |key: &str| keys.get(key).and_then(Value::as_f64);
    let whole = integer(keys, wish, 0) as f64;
    let fits = bound("minimum").is_none_or(|low| whole >= low)
        && bound("exclusiveMinimum").is_none_or(|low| whole > low)
        && bound("maximum").is_none_or(|high| whole <= high)
        && bound("exclusiveMaximum").is_none_or(|high| whole < high);
    let low = bound("minimum").or_else(|| bound("exclusiveMinimum"));
    let high = bound("maximum").or_else(|| bound("exclusiveMaximum"));
    let value = match (low, high) {
        _ if fits => whole,
        (Some(low), Some(high)) => low + (high - low) / 2.0,
        (Some(bound), None) | (None, Some(bound)) => bound,
        (None, None) => whole,
    };
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

fn formatted(format: &str) -> Option<&'static str> {
    Some(match format {
        "date" => "2026-01-01",
        "date-time" => "2026-01-01T00:00:00Z",
        "time" => "00:00:00Z",
        "duration" => "P1D",
        "email" => "someone@example.com",
        "hostname" => "example.com",
        "ipv4" => "192.0.2.1",
        "ipv6" => "2001:db8::1",
        "uri" | "url" => "https://example.com/",
        "uuid" => "00000000-0000-4000-8000-000000000000",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use waypost_wire::chat::{Message, Part, Request, Role};

    use super::*;

    fn made(schema: Value, question: &str) -> Value {
        let request = Request {
            messages: vec![Message { role: Role::User, parts: vec![Part::text(question)], name: None }],
            ..Request::default()
        };
        instance(&schema, &Prompt::of(&request), "Oslo")
    }

    #[test]
    fn objects_hold_what_is_required_and_nested_schemas_are_followed() {
        let schema = json!({
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"enum": ["celsius", "fahrenheit"]},
                "days": {"type": "array", "items": {"$ref": "#/$defs/day"}, "minItems": 2},
                "note": {"type": "string"}
            },
            "required": ["city", "unit", "days"],
            "additionalProperties": false,
            "$defs": {"day": {
                "type": "object",
                "properties": {"when": {"type": "string", "format": "date"}, "wet": {"type": ["null", "boolean"]}},
                "required": ["when", "wet"]
            }}
        });
        let day = json!({"when": "2026-01-01", "wet": true});
        assert_eq!(made(schema, "in fahrenheit"), json!({"city": "Oslo", "unit": "fahrenheit", "days": [day, day]}));
    }

    #[test]
    fn numbers_keep_their_bounds() {
        for (schema, value) in [
            (json!({"type": "integer"}), json!(7)),
            (json!({"type": "integer", "maximum": 5}), json!(5)),
            (json!({"type": "integer", "exclusiveMinimum": 7}), json!(8)),
            (json!({"type": "integer", "minimum": 10, "multipleOf": 4}), json!(12)),
            (json!({"type": "number", "minimum": 0, "maximum": 1}), json!(1.0)),
            (json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}), json!(0.5)),
        ] {
            assert_eq!(made(schema.clone(), "7 days"), value, "{schema}");
        }
    }

    #[test]
    fn strings_keep_their_lengths() {
        assert_eq!(made(json!({"type": "string", "maxLength": 2}), ""), "Os");
        assert_eq!(made(json!({"type": "string", "minLength": 6}), ""), "Osloxx");
    }

    #[test]
    fn alternatives_constants_and_unions_are_decided() {
        assert_eq!(made(json!({"anyOf": [{"type": "null"}, {"type": "boolean"}]}), ""), json!(true));
        assert_eq!(made(json!({"const": {"a": 1}}), ""), json!({"a": 1}));
        let all = json!({
            "allOf": [{"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]}, {"$ref": "#/$defs/b"}],
            "$defs": {"b": {"properties": {"b": {"const": 2}}, "required": ["b"]}}
        });
        assert_eq!(made(all, ""), json!({"a": null, "b": 2}));
    }

    #[test]
    fn a_schema_that_holds_itself_comes_to_an_end() {
        let list = json!({
            "type": "object", "required": ["next"],
            "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}
        });
        assert!(made(list, "").is_object());
        assert!(made(json!({"$ref": "#"}), "").is_null());
        let wide = json!({"type": "array", "minItems": 1_000_000_000_u64, "items": {"$ref": "#"}, "maxItems": 2});
        assert!(made(wide, "").is_array());
    }
}
