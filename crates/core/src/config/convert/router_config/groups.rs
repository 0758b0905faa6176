//! Virtual model groups of a router that scores: their names, and the channels or models that they stand for. Tests are in
//! `convert/tests.rs`.

use super::super::super::node::{Entry, Node, Value};
use super::super::section::{Section, named};
use super::super::{NoteKind, Report};
use super::strategy;

/// What a group says of which deployments fit it and how they score.
const SCORES: [&str; 22] = [
    "weights",
    "scoring",
    "scoring_weights",
    "strategies",
    "filters",
    "max_cost_per_1k",
    "min_context_length",
    "required_capabilities",
    "optional_capabilities",
    "exclude_capabilities",
    "exclude_models",
    "min_quality_score",
    "max_latency_ms",
    "min_throughput_tps",
    "supports_streaming",
    "image_formats",
    "max_image_size",
    "capabilities",
    "tags",
    "metadata",
    "time_policies",
    "fallback_strategy",
];

/// The titles of channels that go by another name here, with that name.
pub(super) fn titles(channels: &Entry) -> Vec<(String, String)> {
    let title = |channel: &Node| {
        let text = |key: &str| channel.get(key).and_then(Node::scalar).map(str::to_owned);
        Some((text("name")?, text("id")?))
    };
    channels.node.items().iter().filter_map(title).collect()
}

pub(super) fn convert(groups: Entry, titles: &[(String, String)], root: &mut Node, report: &mut Report) {
    let mark = groups.mark;
    let sections = named(groups.node, "name", "model_groups");
    let text = format!("{} model groups; one that names no channels and no models stands for all", sections.len());
    report.note(NoteKind::Understood, mark, "model_groups", text);
    let list = sections.into_iter().map(|section| group(section, titles, report)).collect();
    root.set(&["model_groups"], Node::new(mark, Value::List(list)));
}

/// One group in our words. What is in them already stays.
pub(in super::super) fn group(mut section: Section, titles: &[(String, String)], report: &mut Report) -> Node {
    let mut group = Node::empty_map(section.mark);
    let name = section.take(&["name"]);
    let scope = name.as_ref().and_then(|name| name.node.scalar()).unwrap_or_default().to_owned();
    if let Some(name) = name {
        group.set(&["name"], name.node);
    }
    let description = section.take(&["display_name", "description"]);
    section.ignore(&["display_name", "description"], "one text says it", report);
    if let Some(description) = description {
        group.set(&["description"], description.node);
    }
    if let Some((word, mark)) = section.take_text(&["routing_strategy", "strategy"]) {
        let path = section.path_of("routing_strategy");
        strategy(word, mark, path, &mut group, report);
    }
    let members = members(&mut section, titles);
    if let Some(members) = members {
        group.set(&["members"], members);
    }
    let budgets = format!("budgets; `waypost admin post /admin/budgets` sets one for `group:{scope}`");
    section.keep(&["daily_budget", "hourly_budget", "monthly_budget", "budget"], &budgets, report);
    section.keep(&["max_cost_per_request"], "the most that a request may cost", report);
    section.keep(&SCORES, "which deployments fit and how they score", report);
    section.leave(&mut group);
    group
}

/// The channels and the models that a group names.
fn members(section: &mut Section, titles: &[(String, String)]) -> Option<Node> {
    let (channels, models) = (section.take(&["channels"]), section.take(&["models"]));
    let mark = channels.as_ref().or(models.as_ref())?.mark;
    let mut members = Vec::new();
    for item in channels.iter().flat_map(|channels| channels.node.items()) {
        members.push(member(item, "channel", &["id", "channel_id", "channel", "name"], titles));
    }
    for item in models.iter().flat_map(|models| models.node.items()) {
        members.push(member(item, "model", &["name", "model", "model_name", "id"], &[]));
    }
    Some(Node::new(mark, Value::List(members)))
}

fn member(item: &Node, key: &str, words: &[&str], titles: &[(String, String)]) -> Node {
    let mut member = Node::empty_map(item.mark);
    let name = match &item.value {
        Value::Map(_) => words.iter().find_map(|word| item.get(word)),
        Value::Scalar { .. } | Value::List(_) => Some(item),
    };
    if let Some(name) = name {
        let plain = name.scalar().unwrap_or_default();
        let known = titles.iter().find(|(title, _)| title == plain).map_or(plain, |(_, name)| name);
        member.set(&[key], Node::text(name.mark, known));
    }
    for (from, to) in [("priority", "tier"), ("tier", "tier"), ("weight", "weight")] {
        if let Some(value) = item.get(from) {
            member.set(&[to], value.clone());
        }
    }
    member
}
