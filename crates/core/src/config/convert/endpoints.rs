//! `endpoints: [{url, apiKey, priority, maxRPS, timeout, weight, enabled}]` with `fallback`, and what the code form of the same
//! adds: a name, a model, options beside the list. Tests are in `tests.rs` beside this.

use super::super::environment::is_of;
use super::super::error::Mark;
use super::super::node::{Node, Value};
use super::section::{Section, named};
use super::{NoteKind, Report};
use crate::provider;

pub(super) fn convert(root: &mut Node, report: &mut Report) {
    let Some(list) = root.remove(&["endpoints"]) else { return };
    lift_options(root);
    let name = root.remove(&["name"]).and_then(|entry| entry.node.scalar().map(str::to_owned));
    let model = root.remove(&["model"]).and_then(|entry| Some((entry.node.scalar()?.to_owned(), entry.node.mark)));
    if let Some((model, mark)) = &model {
        let text = format!("`{model}` is listed; callers may ask for other models, too");
        report.note(NoteKind::Changed, *mark, "model", text);
    }
    let sections = named(list.node, "name", "endpoints");
    let text = format!("{} endpoints of OpenAI's API", sections.len());
    report.note(NoteKind::Understood, list.mark, "endpoints", text);
    let base = name.as_deref().unwrap_or("endpoint");
    let mut channels = Vec::new();
    for (section, number) in sections.into_iter().zip(1_usize..) {
        channels.push(channel(section, &format!("{base}-{number}"), model.as_ref(), report));
    }
    let list = Node::new(list.mark, Value::List(channels));
    match root.get("channels").is_some() {
        true => report.error(list.mark, "endpoints", "`channels` says the same", "keep one of them"),
        false => root.set(&["channels"], list),
    }
}

/// `maxRetries`, `backoffMs` and the like beside the list or in `options` are what `fallback` says.
fn lift_options(root: &mut Node) {
    let options = root.remove(&["options"]);
    if let Some(options) = options
        && let (Value::Map(more), Value::Map(entries)) = (options.node.value, &mut root.value)
    {
        entries.extend(more);
    }
    let names = [
        ("max_retries", "max_retries"),
        ("backoff_ms", "backoff_ms"),
        ("circuit_breaker", "circuit_breaker"),
        ("fallback_enabled", "enabled"),
    ];
    for (name, within) in names {
        if let Some(entry) = root.remove(&[name]) {
            root.set_default(&["fallback", within], entry.node);
        }
    }
}

fn channel(mut section: Section, called: &str, model: Option<&(String, Mark)>, report: &mut Report) -> Node {
    let mark = section.mark;
    let mut channel = Node::empty_map(mark);
    channel.set(&["name"], Node::text(mark, called));
    section.move_to(&["name"], &mut channel, &["name"]);
    channel.set(&["provider"], Node::text(mark, "openai"));
    if let Some((url, mark)) = section.take_text(&["url", "base_url"]) {
        if !is_of("openai", &url) {
            channel.set(&["dialects"], Node::list_of_texts(mark, ["openai_chat"]));
        }
        channel.set(&["base_url"], Node::text(mark, url));
    }
    section.move_to(&["api_key"], &mut channel, &["api_key"]);
    section.move_to(&["priority"], &mut channel, &["tier"]);
    section.move_to(&["max_rps"], &mut channel, &["max_rps"]);
    if let Some(timeout) = section.millis(&["timeout"], report) {
        channel.set(&["timeouts", "first_byte"], timeout);
    }
    if let Some((model, mark)) = model {
        let usual = provider::by_kind("openai").map_or(&[][..], |provider| provider.models);
        let models = std::iter::once(model.as_str()).chain(usual.iter().copied());
        channel.set(&["models"], Node::list_of_texts(*mark, models));
    }
    section.leave(&mut channel);
    channel
}
