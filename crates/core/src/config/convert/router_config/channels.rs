//! Channels of one model each, with the providers that they name. Tests are in `convert/tests.rs`.

use super::super::super::environment::is_of;
use super::super::super::error::Mark;
use super::super::super::node::{Entry, Node, Value, joined, snake_case};
use super::super::models_providers::unknown;
use super::super::section::{Section, named};
use super::super::{NoteKind, Report, price};
use super::weights;
use crate::provider::{self, Provider};

/// What a provider gives its channels.
struct Vendor {
    names: Vec<String>,
    kind: Option<(&'static str, Mark)>,
    base_url: Option<Node>,
    auth: Option<Node>,
    rpm: Option<Node>,
    enabled: Option<Node>,
    api_key: Option<Node>,
}

pub(super) fn convert(
    providers: Option<Entry>,
    channels: Option<Entry>,
    interval: Option<&Node>,
    root: &mut Node,
    report: &mut Report,
) {
    let providers = providers.map_or_else(Vec::new, |entry| named(entry.node, "id", "providers"));
    let vendors: Vec<Vendor> = providers.into_iter().map(|section| vendor(section, report)).collect();
    let Some(channels) = channels else { return };
    let mark = channels.mark;
    let sections = named(channels.node, "id", "channels");
    let text = format!("{} providers and {} channels", vendors.len(), sections.len());
    report.note(NoteKind::Understood, mark, "channels", text);
    let mut list: Vec<Node> =
        sections.into_iter().map(|section| channel(section, &vendors, interval, report)).collect();
    weights::make_whole(&mut list, report);
    root.set(&["channels"], Node::new(mark, Value::List(list)));
}

fn vendor(mut section: Section, report: &mut Report) -> Vendor {
    let texts = [section.take_text(&["id"]), section.take_text(&["name"]), section.take_text(&["display_name"])];
    let names: Vec<String> = texts.into_iter().flatten().map(|(text, _)| text).collect();
    let base_url = section.take(&["base_url", "api_base", "url"]).map(|entry| entry.node);
    let adapter = section.take_text(&["adapter_class", "adapter", "type"]);
    let kind = kind(&names, adapter, base_url.as_ref(), section.mark);
    let auth = section.take_text(&["auth_type"]).map(|(word, mark)| Node::text(mark, snake_case(&word)));
    let rpm = section.take(&["rate_limit"]);
    if let Some(rpm) = &rpm {
        let text = "requests in a minute, of each channel of the provider";
        report.note(NoteKind::Changed, rpm.mark, section.path_of(&rpm.key), text);
    }
    let (enabled, api_key) = (section.take(&["enabled"]), section.take(&["api_key"]));
    section.ignore(&["capabilities", "models", "pricing", "timeout"], "the channels say it", report);
    let path = section.path.clone();
    for entry in section.rest() {
        let text = "a provider gives its channels address and login only";
        report.note(NoteKind::Ignored, entry.mark, joined(&path, &entry.key), text);
    }
    Vendor {
        names,
        kind,
        base_url,
        auth,
        rpm: rpm.map(|entry| entry.node),
        enabled: enabled.map(|entry| entry.node),
        api_key: api_key.map(|entry| entry.node),
    }
}

/// The kind by the provider's names, else by its adapter; an OpenAI adapter at another address only says what is spoken there.
fn kind(
    names: &[String],
    adapter: Option<(String, Mark)>,
    base_url: Option<&Node>,
    mark: Mark,
) -> Option<(&'static str, Mark)> {
    if let Some(provider) = names.iter().find_map(|name| by_word(name)) {
        let elsewhere = base_url.and_then(Node::scalar).is_some_and(|url| !is_of(provider.kind, url));
        return Some((if elsewhere && provider.kind == "openai" { "openai_compatible" } else { provider.kind }, mark));
    }
    let (adapter, at) = adapter?;
    let class = adapter.rsplit('.').next().unwrap_or(&adapter);
    let provider = by_word(class.strip_suffix("Adapter").unwrap_or(class))?;
    let told = base_url.is_some() && provider.kind == "openai";
    (!told).then_some((provider.kind, at))
}

/// `OpenAI`, `open-ai` and `openai` are one word.
fn by_word(word: &str) -> Option<&'static Provider> {
    let plain = |word: &str| -> String {
        word.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
    };
    let wanted = plain(word);
    let known = provider::words().find(|known| plain(known) == wanted)?;
    provider::by_kind(known)
}

fn channel(mut section: Section, vendors: &[Vendor], interval: Option<&Node>, report: &mut Report) -> Node {
    let mut channel = Node::empty_map(section.mark);
    let title = section.take(&["name"]);
    let name = section.take(&["id"]).or(title);
    if let Some(name) = name {
        channel.set(&["name"], Node { mark: name.node.mark, ..name.node });
    }
    if let Some((name, mark)) = section.take_text(&["provider"]) {
        match vendors.iter().find(|vendor| vendor.names.iter().any(|known| known.eq_ignore_ascii_case(&name))) {
            Some(vendor) => take_from(vendor, &mut channel),
            None if by_word(&name).is_some() || vendors.is_empty() => {
                channel.set(&["provider"], Node::text(mark, name))
            }
            None => {
                let names = vendors.iter().filter_map(|vendor| vendor.names.first()).map(String::as_str);
                unknown(mark, section.path_of("provider"), &name, names, report);
            }
        }
    }
    for key in ["base_url", "api_key", "enabled", "weight"] {
        section.move_to(&[key], &mut channel, &[key]);
    }
    section.move_to(&["priority"], &mut channel, &["tier"]);
    section.move_to(&["daily_limit"], &mut channel, &["limits", "rpd"]);
    section.move_to(&["rate_limit", "rpm_limit"], &mut channel, &["limits", "rpm"]);
    section.move_to(&["timeout"], &mut channel, &["timeouts", "first_byte"]);
    let price = price::take(&mut section, report);
    if let Some(mut model) = model(&mut section, report) {
        if let Some(price) = price {
            model.set(&["price"], price);
        }
        channel.set(&["models"], Node::new(model.mark, Value::List(vec![model])));
    }
    if let Some(interval) = interval {
        channel.set(&["probe", "every"], interval.clone());
    }
    section.keep(&["performance", "quality_score", "latency_ms", "tags", "metadata"], "the parts of scores", report);
    section.leave(&mut channel);
    channel
}

fn take_from(vendor: &Vendor, channel: &mut Node) {
    if let Some((kind, mark)) = vendor.kind {
        channel.set(&["provider"], Node::text(mark, kind));
    }
    let given = [
        (&["base_url"][..], &vendor.base_url),
        (&["auth"], &vendor.auth),
        (&["limits", "rpm"], &vendor.rpm),
        (&["enabled"], &vendor.enabled),
        (&["api_key"], &vendor.api_key),
    ];
    for (path, node) in given {
        if let Some(node) = node {
            channel.set(path, node.clone());
        }
    }
}

fn model(section: &mut Section, report: &mut Report) -> Option<Node> {
    let name = section.take(&["model_name", "model"])?;
    let mut model = Node::empty_map(name.node.mark);
    model.set(&["name"], name.node);
    section.move_to(&["max_tokens", "max_output_tokens"], &mut model, &["max_output_tokens"]);
    section.move_to(&["context_length", "max_context", "context_window"], &mut model, &["context_length"]);
    if let Some(list) = section.take(&["capabilities"]) {
        capabilities(list, &section.path, &mut model, report);
    }
    Some(model)
}

/// What all models can do needs no word; what Waypost has no word for is told.
fn capabilities(list: Entry, path: &str, model: &mut Node, report: &mut Report) {
    let mark = list.node.mark;
    let mut known = Vec::new();
    for item in list.node.items() {
        match item.scalar().map(snake_case).as_deref() {
            Some("function_calling" | "functions" | "tools" | "tool_calls") => known.push("tools"),
            Some("vision" | "images" | "image") => known.push("vision"),
            Some("audio") => known.push("audio"),
            Some("json_mode" | "json") => known.push("json_mode"),
            Some("json_schema" | "structured_outputs") => known.push("json_schema"),
            Some("reasoning" | "thinking") => known.push("reasoning"),
            Some("streaming") => model.set(&["supports_streaming"], Node::plain(item.mark, "true")),
            Some("text" | "chat" | "completion" | "text_generation") => {}
            Some(other) => {
                let text = format!("requests do not ask for `{other}`");
                report.note(NoteKind::Ignored, item.mark, format!("{path}.{}", list.key), text);
            }
            None => {}
        }
    }
    known.dedup();
    if !list.node.items().is_empty() {
        model.set(&["capabilities"], Node::list_of_texts(mark, known));
    }
}
