//! `models{id}`, `providers{id}` and `routing{strategy, fallbackProvider}`: each provider is a channel, which serves the models
//! that name it. Tests are in `tests.rs` beside this.

use super::super::error::Mark;
use super::super::node::{Node, Value, snake_case};
use super::section::{Section, named};
use super::{NoteKind, Report, price};
use crate::nearest::nearest;

pub(super) fn convert(root: &mut Node, report: &mut Report) {
    let Some(providers) = root.remove(&["providers"]) else { return };
    let models = root.remove(&["models"]);
    let (mark, lists_models) = (providers.mark, models.is_some());
    let mut channels: Vec<Channel> =
        named(providers.node, "name", "providers").into_iter().map(|section| channel(section, report)).collect();
    let mut count = 0;
    for section in models.map_or_else(Vec::new, |entry| named(entry.node, "name", "models")) {
        count += 1;
        add_model(section, &mut channels, report);
    }
    let text = format!("{} providers and {count} models", channels.len());
    report.note(NoteKind::Understood, mark, "providers", text);
    let channels = channels.into_iter().map(|channel| channel.finish(lists_models)).collect();
    root.set(&["channels"], Node::new(mark, Value::List(channels)));
    custom_strategy(root, report);
}

struct Channel {
    name: String,
    node: Node,
    models: Vec<Node>,
}

impl Channel {
    fn finish(mut self, lists_models: bool) -> Node {
        if lists_models {
            let mark = self.models.first().map_or(self.node.mark, |model| model.mark);
            self.node.set(&["models"], Node::new(mark, Value::List(self.models)));
        }
        self.node
    }
}

fn channel(mut section: Section, report: &mut Report) -> Channel {
    let mark = section.mark;
    let mut node = Node::empty_map(mark);
    let name = section.take_text(&["name"]).map_or_else(String::new, |(name, _)| name);
    node.set(&["name"], Node::text(mark, name.as_str()));
    let address = section.take(&["base_url", "url"]);
    if let Some((kind, at)) = section.take_text(&["type"]) {
        let kind = if snake_case(&kind) == "custom" { "openai_compatible" } else { &kind };
        node.set(&["provider"], Node::text(at, kind));
    }
    if let Some(address) = address {
        node.set(&["base_url"], address.node);
    }
    if let Some(timeout) = section.millis(&["timeout"], report) {
        let text = "until the first byte of an answer; then the next provider is asked, and a long stream is not cut";
        report.note(NoteKind::Changed, timeout.mark, section.path_of("timeout"), text);
        node.set(&["timeouts", "first_byte"], timeout);
    }
    // The key, and whatever else Waypost has the same word for.
    section.leave(&mut node);
    Channel { name, node, models: Vec::new() }
}

fn add_model(mut section: Section, channels: &mut [Channel], report: &mut Report) {
    let mark = section.mark;
    let mut model = Node::empty_map(mark);
    section.move_to(&["name"], &mut model, &["name"]);
    section.move_to(&["max_tokens"], &mut model, &["max_output_tokens"]);
    if let Some(price) = price::take(&mut section, report) {
        model.set(&["price"], price);
    }
    let Some((provider, at)) = section.take_text(&["provider"]) else {
        report.error(mark, section.path.clone(), "`provider` is missing", "name one of `providers`");
        return;
    };
    let path = section.path_of("provider");
    section.leave(&mut model);
    match channels.iter_mut().find(|channel| channel.name == provider) {
        Some(channel) => channel.models.push(model),
        None => unknown(at, path, &provider, channels.iter().map(|channel| channel.name.as_str()), report),
    }
}

pub(super) fn unknown<'a>(
    mark: Mark,
    path: String,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    report: &mut Report,
) {
    let fix = match nearest(name, known.clone(), 1).first() {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the providers here are {}", known.collect::<Vec<_>>().join(", ")),
    };
    report.error(mark, path, format!("there is no provider `{name}`"), fix);
}

/// What stands for the owner's own code elsewhere has nothing to stand for here.
pub(super) fn custom_strategy(root: &mut Node, report: &mut Report) {
    let Some(strategy) = root.find(&["routing", "strategy"]) else { return };
    if strategy.scalar().is_some_and(|word| snake_case(word) == "custom") {
        let text = "strategies of your own; `weighted` is used until then";
        report.note(NoteKind::Kept, strategy.mark, "routing.strategy", text);
        root.remove(&["routing", "strategy"]);
    }
}
