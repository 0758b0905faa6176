//! The description for machines: complete, well-formed, and the same as the table of routes.

use std::collections::BTreeSet;

use serde_json::Value;
use waypost_testkit::Request;

use super::Stage;

async fn document(path: &str) -> Value {
    let stage = Stage::start().await;
    let answer = Request::get(path).send(stage.gateway.url()).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    answer.json()
}

/// Everything that is referred to, anywhere.
fn references<'v>(value: &'v Value, found: &mut BTreeSet<&'v str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn it_is_served_to_everybody_and_refers_to_nothing_that_it_lacks_001_29() {
    let document = document("/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 10, "{found:?}");
    for reference in found {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn every_operation_has_a_name_of_its_own_a_summary_and_says_who_may() {
    let document = document("/admin/openapi.json").await;
    let mut lines = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{id}");
            let roles = match &operation["x-waypost-roles"] {
                Value::Object(roles) => {
                    let reach = |whose: &str| -> Vec<String> {
                        let of = roles[whose].as_object().unwrap().iter();
                        of.map(|(role, reach)| format!("{role} {}", reach.as_str().unwrap())).collect()
                    };
                    format!("{} | of a team: {}", reach("instance").join(", "), reach("team").join(", "))
                }
                other => other.to_string(),
            };
            lines.push(format!("{} {path} {id}: {roles}", method.to_uppercase()));
        }
    }
    let names: BTreeSet<&str> = lines.iter().filter_map(|line| line.split(' ').nth(2)).collect();
    assert_eq!(names.len(), lines.len());
    insta::assert_snapshot!(lines.join("\n"));
}
