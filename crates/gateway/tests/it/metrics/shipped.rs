//! The dashboards and alert rules that are shipped ask for metrics and labels that are exported.

#![expect(clippy::panic, reason = "what asks for a metric that is not there must fail the test, and say which")]

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use serde_json::Value;

use super::exposition::Exposition;
use super::{ask, counted, ill_and_well, page};

fn shipped(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of metrics in an expression, each with the labels it is asked by.
fn asked(expression: &str) -> Vec<(String, Vec<String>)> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut found = Vec::new();
    for prefix in ["waypost_", "gen_ai_", "process_"] {
        for (at, _) in expression.match_indices(prefix) {
            let inside = expression[..at].chars().next_back().is_some_and(|letter| is_word(letter) || letter == '"');
            let name: String = expression[at..].chars().take_while(|letter| is_word(*letter)).collect();
            let after = &expression[at + name.len()..];
            // A label by which is grouped or filtered is no metric.
            if inside || after.starts_with('=') || after.starts_with("!=") || name.starts_with("gen_ai_provider_name") {
                continue;
            }
            let selector =
                after.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inside, _)| inside);
            let labels = selector.split("\",").filter_map(|pair| {
                let end = pair.find(['=', '!'])?;
                Some(pair[..end].trim().to_owned())
            });
            found.push((name, labels.filter(|label| !matches!(label.as_str(), "instance" | "job")).collect()));
        }
    }
    found.retain(|(name, _)| !name.ends_with("_model") && !name.ends_with("_token_type"));
    found
}

/// Which labels each exported name can have.
fn exported(page: &Exposition, text: &str) -> HashMap<String, HashSet<String>> {
    let mut names: HashMap<String, HashSet<String>> = HashMap::new();
    for (name, family) in &page.families {
        let endings: &[&str] = if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        for ending in endings {
            names.entry(format!("{name}{ending}")).or_default();
        }
        for sample in &family.samples {
            names.entry(sample.name.clone()).or_default().extend(sample.labels.keys().cloned());
        }
    }
    assert!(names.len() > 40, "{text}");
    names
}

fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value.as_str()) {
                    ("expr" | "query", Some(text)) => found.push(text.to_owned()),
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn dashboards_and_alerts_ask_for_what_is_exported_001_47() {
    let (_ill, _well, mut gateway) = ill_and_well().await;
    counted(&mut gateway, ask("m", true)).await;
    let exported = exported(&page(&gateway).await, "");

    let dashboard: Value = serde_json::from_str(&shipped("grafana/waypost.json")).expect("it is JSON");
    let mut all = Vec::new();
    expressions(&dashboard, &mut all);
    assert!(all.len() > 30, "{all:?}");
    let rules = shipped("prometheus/alerts.yaml");
    // Rules are written on one line, or folded over lines that are indented further.
    let alerts = rules.replace("expr: >-\n", "expr: ").replace("\n          ", " ");
    let alerts: Vec<_> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned).collect();
    assert_eq!(alerts.len(), rules.matches("- alert: ").count());
    let mut used = BTreeSet::new();
    for expression in all.iter().chain(&alerts) {
        for (name, labels) in asked(expression) {
            let known = exported.get(&name).unwrap_or_else(|| panic!("{name} is not exported: {expression}"));
            for label in labels {
                // Series with some labels come only with the traffic that makes them.
                let later = known.is_empty();
                assert!(later || known.contains(&label), "{name} has no {label}: {expression}");
            }
            used.insert(name);
        }
    }
    assert!(used.len() > 25, "{used:?}");
}

#[test]
fn the_thresholds_of_alerts_are_those_that_were_promised_002_r8() {
    let rules = shipped("prometheus/alerts.yaml");
    for threshold in [
        "* 60 > 1000",
        "> 0.05",
        "sum by (le) (rate(gen_ai_server_request_duration_seconds_bucket[5m]))) > 5\n",
        "waypost_key_usage_percent > 80\n",
        "waypost_token_quota_percent > 90\n",
        "sum(increase(waypost_cost_nano_usd_total[1h])) > 100000000000\n",
    ] {
        assert!(rules.contains(threshold), "{threshold}");
    }
    for alert in rules.split("- alert: ").skip(1) {
        for part in ["expr:", "severity:", "summary:"] {
            assert!(alert.contains(part), "{part} of {alert}");
        }
    }
}
