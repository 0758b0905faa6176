//! JSON schemas as the API's structured output takes them: every object closed, no bounds. Walks schemas only where
//! schemas stand, so that a property called `minimum` stays a property. Tests: here.

use serde_json::{Map, Value};

use crate::loss::Losses;

/// Keywords the API refuses.
const REFUSED: [&str; 12] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
];

/// The schema with every object closed and refused keywords removed; each removed keyword is a loss under `field`.
pub(super) fn closed(schema: &Value, field: &str, losses: &mut Losses) -> Value {
    let Value::Object(schema) = schema else { return schema.clone() };
    let mut closed = Map::new();
    for (keyword, value) in schema {
        let keyword = keyword.as_str();
        if REFUSED.contains(&keyword) && !is_small_count(keyword, value) {
            losses.dropped(format!("{field}.{keyword}"));
            continue;
        }
        let value = match (keyword, value) {
            (
                "properties" | "$defs" | "definitions" | "patternProperties" | "dependentSchemas",
                Value::Object(named),
            ) => {
                let named = named.iter().map(|(name, schema)| (name.clone(), self::closed(schema, field, losses)));
                Value::Object(named.collect())
            }
            ("anyOf" | "oneOf" | "allOf" | "prefixItems" | "items", Value::Array(schemas)) => {
                schemas.iter().map(|schema| self::closed(schema, field, losses)).collect()
            }
            ("items" | "not" | "if" | "then" | "else" | "contains", schema) => self::closed(schema, field, losses),
            ("additionalProperties", Value::Object(_)) => {
                losses.dropped(format!("{field}.additionalProperties"));
                Value::Bool(false)
            }
            (_, value) => value.clone(),
        };
        closed.insert(keyword.to_owned(), value);
    }
    if is_object(&closed) && closed.get("additionalProperties") != Some(&Value::Bool(false)) {
        losses.emulated(format!("{field}.additionalProperties"));
        closed.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    Value::Object(closed)
}

/// The API takes `minItems` of 0 and 1.
fn is_small_count(keyword: &str, value: &Value) -> bool {
    keyword == "minItems" && value.as_u64().is_some_and(|count| count <= 1)
}

fn is_object(schema: &Map<String, Value>) -> bool {
    match schema.get("type") {
        Some(Value::String(kind)) => kind == "object",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        Some(_) => false,
        None => schema.contains_key("properties"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_closed_at_every_depth_and_bounds_are_reported() {
        let schema = json!({"type": "object", "properties": {
            "minimum": {"type": "integer", "minimum": 1, "maximum": 9},
            "list": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": ["object", "null"], "properties": {}}},
            "any": {"anyOf": [{"properties": {"x": {"const": {"minimum": 1}}}}, {"$ref": "#/$defs/d"}]}},
            "required": ["minimum"], "additionalProperties": true,
            "$defs": {"d": {"type": "object", "additionalProperties": {"type": "string"}}}});
        let mut losses = Losses::default();
        let closed = closed(&schema, "s", &mut losses);
        assert_eq!(
            closed,
            json!({"type": "object", "properties": {
                "minimum": {"type": "integer"},
                "list": {"type": "array", "minItems": 1,
                    "items": {"type": ["object", "null"], "properties": {}, "additionalProperties": false}},
                "any": {"anyOf": [{"properties": {"x": {"const": {"minimum": 1}}}, "additionalProperties": false},
                    {"$ref": "#/$defs/d"}]}},
                "required": ["minimum"], "additionalProperties": false,
                "$defs": {"d": {"type": "object", "additionalProperties": false}}})
        );
        let losses: Vec<_> = losses.iter().map(ToString::to_string).collect();
        assert_eq!(
            losses,
            [
                "s.minimum=dropped",
                "s.maximum=dropped",
                "s.maxItems=dropped",
                "s.additionalProperties=emulated",
                "s.additionalProperties=dropped"
            ]
        );
    }

    #[test]
    fn a_schema_that_is_already_strict_is_left_alone() {
        let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false});
        let mut losses = Losses::default();
        assert_eq!(closed(&schema, "s", &mut losses), schema);
        assert!(losses.is_empty());
    }
}
