//! The description as a judge of answers: whatever is answered must be what the description says of it, to the last field. Knows
//! the part of JSON Schema that the description is written in, and fails at any other.

#![expect(clippy::panic, reason = "an answer that is not as described must fail the test, and say where")]

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use waypost_testkit::{Answer, Request};

use crate::harness::Gateway;

/// What a schema says for people, and nothing of a value.
const WORDS: [&str; 5] = ["title", "description", "default", "examples", "format"];

/// The description that a gateway serves.
pub(crate) struct Described(Value);

/// One operation of it.
pub(crate) struct Operation<'d> {
    pub(crate) path: &'d str,
    /// In capitals.
    pub(crate) method: String,
    pub(crate) name: &'d str,
    pub(crate) says: &'d Value,
}

impl Operation<'_> {
    /// Does its answer go on for ever?
    pub(crate) fn is_endless(&self) -> bool {
        !self.says["responses"]["200"]["content"]["text/event-stream"].is_null()
    }
}

impl Described {
    pub(crate) async fn by(gateway: &Gateway) -> Self {
        Self::at(gateway.url()).await
    }

    /// That of a gateway at this address.
    pub(crate) async fn at(url: &str) -> Self {
        Self(Request::get("/openapi.json").send(url).await.json())
    }

    /// All operations, in the order of their paths.
    pub(crate) fn operations(&self) -> Vec<Operation<'_>> {
        let paths = self.0["paths"].as_object().expect("there are paths");
        let all = paths.iter().flat_map(|(path, operations)| {
            operations.as_object().expect("they have operations").iter().map(move |(method, says)| Operation {
                path,
                method: method.to_uppercase(),
                name: says["operationId"].as_str().expect("each has a name"),
                says,
            })
        });
        all.collect()
    }

    /// Panics if the answer is not what the description says of it.
    pub(crate) fn judge(&self, operation: &Operation<'_>, answer: &Answer) {
        if let Err(why) = self.judged(operation, answer) {
            panic!("{} {}: {why}: {}", operation.name, answer.status, answer.text());
        }
    }

    /// What is wrong with the answer, if the description says something else.
    pub(crate) fn judged(&self, operation: &Operation<'_>, answer: &Answer) -> Result<(), String> {
        let responses = &operation.says["responses"];
        let exact = &responses[answer.status.to_string()];
        let response = if exact.is_null() { &responses["default"] } else { exact };
        if exact.is_null() && answer.status < 400 {
            return Err("there is no such status".to_owned());
        }
        let named = response["headers"].as_object();
        if let Some(name) = named.into_iter().flatten().map(|(name, _)| name).find(|name| answer.header(name).is_none())
        {
            return Err(format!("there is no header {name}"));
        }
        let schema = &response["content"]["application/json"]["schema"];
        if schema.is_null() {
            return if answer.body.is_empty() { Ok(()) } else { Err("nothing is said of the body".to_owned()) };
        }
        if answer.header("content-type") != Some("application/json") {
            return Err("it is not JSON".to_owned());
        }
        self.fits(schema, &answer.json(), "", true)
    }

    /// Is the value what the schema says? Where it is a whole, each of its fields must be described.
    fn fits(&self, schema: &Value, value: &Value, at: &str, whole: bool) -> Result<(), String> {
        let Some(keywords) = schema.as_object() else {
            return if *schema == Value::Bool(true) { Ok(()) } else { Err(format!("{at}: nothing is allowed there")) };
        };
        for (keyword, says) in keywords {
            self.keyword((keyword, says, keywords), value, at)?;
        }
        if let (true, Some(fields)) = (whole, value.as_object()) {
            let mut known = BTreeSet::new();
            let open = self.fields(schema, &mut known);
            if let Some(field) = fields.keys().find(|field| !open && !known.contains(field.as_str())) {
                return Err(format!("{at}/{field} is not described"));
            }
        }
        Ok(())
    }

    fn keyword(
        &self,
        (keyword, says, beside): (&str, &Value, &Map<String, Value>),
        value: &Value,
        at: &str,
    ) -> Result<(), String> {
        let all = || says.as_array().into_iter().flatten();
        let good = match keyword {
            "$ref" => return self.fits(self.named(says), value, at, false),
            "type" => match says {
                Value::Array(types) => types.iter().any(|one| is(one, value)),
                one => is(one, value),
            },
            "properties" => {
                for (name, schema) in says.as_object().into_iter().flatten() {
                    if let Some(value) = value.get(name) {
                        self.fits(schema, value, &format!("{at}/{name}"), true)?;
                    }
                }
                true
            }
            "additionalProperties" => {
                let named = beside.get("properties");
                let other = |name: &str| named.is_none_or(|named| named.get(name).is_none());
                for (name, value) in value.as_object().into_iter().flatten().filter(|(name, _)| other(name)) {
                    self.fits(says, value, &format!("{at}/{name}"), true)?;
                }
                true
            }
            "required" => {
                if let Some(missing) = all().filter_map(Value::as_str).find(|name| value.get(name).is_none()) {
                    return Err(format!("{at}/{missing} is missing"));
                }
                true
            }
            "items" => {
                for (number, value) in value.as_array().into_iter().flatten().enumerate() {
                    self.fits(says, value, &format!("{at}/{number}"), true)?;
                }
                true
            }
            "allOf" => return all().try_for_each(|schema| self.fits(schema, value, at, false)),
            "anyOf" => all().any(|schema| self.fits(schema, value, at, true).is_ok()),
            "oneOf" => all().filter(|schema| self.fits(schema, value, at, true).is_ok()).count() == 1,
            "enum" => all().any(|one| one == value),
            "const" => says == value,
            "minimum" => value.as_f64().is_none_or(|number| says.as_f64().is_some_and(|least| number >= least)),
            "maximum" => value.as_f64().is_none_or(|number| says.as_f64().is_some_and(|most| number <= most)),
            word if WORDS.contains(&word) => true,
            unknown => panic!("the judge does not know `{unknown}`, which the description uses at {at}"),
        };
        if good { Ok(()) } else { Err(format!("{at} is not as `{keyword}` says: {says}")) }
    }

    /// The fields that a schema names; true if there may be others.
    fn fields<'d>(&'d self, schema: &'d Value, known: &mut BTreeSet<&'d str>) -> bool {
        let Some(keywords) = schema.as_object() else { return true };
        let mut open = !["properties", "$ref", "allOf", "anyOf", "oneOf"].iter().any(|key| keywords.contains_key(*key));
        open |= keywords.get("additionalProperties").is_some_and(|others| *others != Value::Bool(false));
        known.extend(
            keywords.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| &**name),
        );
        if let Some(reference) = keywords.get("$ref") {
            open |= self.fields(self.named(reference), known);
        }
        for part in ["allOf", "anyOf", "oneOf"].iter().filter_map(|key| keywords.get(*key)?.as_array()).flatten() {
            let is_null = part["type"] == "null";
            open |= !is_null && self.fields(part, known);
        }
        open
    }

    fn named(&self, reference: &Value) -> &Value {
        let pointer = reference.as_str().and_then(|text| text.strip_prefix('#')).expect("it is within the document");
        self.0.pointer(pointer).unwrap_or_else(|| panic!("{reference} is not there"))
    }
}

fn is(name: &Value, value: &Value) -> bool {
    match name.as_str().expect("a type is a word") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("`{other}` is no type"),
    }
}

/// A judge who lets everything pass would be none.
#[test]
fn a_value_that_is_not_as_described_is_found() {
    use serde_json::json;

    let document = json!({ "components": { "schemas": {
        "Thing": {
            "type": "object",
            "properties": { "id": { "type": "string" }, "size": { "type": ["integer", "null"], "minimum": 1 } },
            "required": ["id"],
        },
    } } });
    let described = Described(document);
    let schema = json!({
        "type": "object",
        "properties": {
            "data": { "type": "array", "items": { "$ref": "#/components/schemas/Thing" } },
            "state": { "enum": ["on", "off"] },
            "last": { "anyOf": [{ "$ref": "#/components/schemas/Thing" }, { "type": "null" }] },
        },
        "required": ["data"],
    });
    let fits = |value: &Value| described.fits(&schema, value, "", true);
    assert_eq!(
        fits(&json!({ "data": [{ "id": "a" }, { "id": "b", "size": null }], "state": "on", "last": null })),
        Ok(())
    );
    for bad in [
        json!([]),
        json!({}),
        json!({ "data": {} }),
        json!({ "data": [{}] }),
        json!({ "data": [{ "id": 1 }] }),
        json!({ "data": [{ "id": "a", "size": 0 }] }),
        json!({ "data": [{ "id": "a", "secret": "s" }] }),
        json!({ "data": [], "state": "broken" }),
        json!({ "data": [], "last": { "id": "a", "secret": "s" } }),
        json!({ "data": [], "more": true }),
    ] {
        assert!(fits(&bad).is_err(), "{bad}");
    }
}
