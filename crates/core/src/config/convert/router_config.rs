//! `router_config.yaml` of a router with providers, channels of one model each, virtual model groups and scored routing.
//! Tests are in `tests.rs` beside this.

mod channels;
pub(super) mod groups;
mod weights;

use super::super::error::Mark;
use super::super::node::{Node, Value, snake_case};
use super::models_providers::custom_strategy;
use super::section::Section;
use super::{NoteKind, Report};

/// Strategies whose scores Waypost does not work out yet.
const SCORED: [&str; 8] = [
    "multi_layer",
    "cost_optimized",
    "speed_optimized",
    "quality_optimized",
    "balanced",
    "cost_first",
    "free_first",
    "local_first",
];

/// Sections without a home yet, with what they are about.
const LATER: [(&str, &str); 12] = [
    ("cost_control", "budgets"),
    ("budget", "budgets"),
    ("budgets", "budgets"),
    ("global_daily_budget", "budgets"),
    ("alert_threshold", "alerts"),
    ("pricing", "schedules of prices; set `prices`"),
    ("cache", "the cache of answers"),
    ("monitoring", "alerts and schedules"),
    ("alerts", "alerts"),
    ("scheduled_tasks", "schedules"),
    ("tasks", "schedules"),
    ("time_policies", "rules by the time of day"),
];

/// Sections that mean nothing here.
const NOTHING: [(&str, &str); 5] = [
    ("system", "the system's name and version"),
    ("version", "the version of the file"),
    ("database", "this configuration is in files"),
    ("logging", "see --log-level and --log-format"),
    ("plugins", "there are none"),
];

pub(super) fn convert(root: &mut Node, report: &mut Report) {
    let mark = root.mark;
    let mut top = Section::new(std::mem::replace(root, Node::empty_map(mark)), "");
    let (server, routing) = (top.take(&["server"]), top.take(&["routing"]));
    let (providers, list) = (top.take(&["providers"]), top.take(&["channels"]));
    let (auth, groups) = (top.take(&["auth"]), top.take(&["model_groups"]));
    if let Some(server) = server {
        listen(Section::new(server.node, "server"), root, report);
    }
    let interval = routing.and_then(|routing| route(Section::new(routing.node, "routing"), root, report));
    let titles = list.as_ref().map_or_else(Vec::new, groups::titles);
    channels::convert(providers, list, interval.as_ref(), root, report);
    if let Some(groups) = groups {
        groups::convert(groups, &titles, root, report);
    }
    if let Some(auth) = auth {
        login(Section::new(auth.node, "auth"), root, report);
    }
    for (name, what) in LATER {
        top.keep(&[name], what, report);
    }
    for (name, why) in NOTHING {
        top.ignore(&[name], why, report);
    }
    top.leave(root);
    custom_strategy(root, report);
}

fn listen(mut section: Section, root: &mut Node, report: &mut Report) {
    let mut server = Node::empty_map(section.mark);
    section.move_to(&["max_request_size"], &mut server, &["max_body_bytes"]);
    section.move_to(&["cors_origins"], &mut server, &["cors", "origins"]);
    section.ignore(&["debug", "reload", "workers", "log_level"], "see --log-level", report);
    section.move_to(&["request_timeout"], root, &["defaults", "timeout"]);
    section.leave(&mut server);
    root.set(&["server"], server);
}

/// A strategy whose scores are not worked out is that of everybody.
fn strategy(word: String, mark: Mark, path: String, to: &mut Node, report: &mut Report) {
    if SCORED.contains(&snake_case(&word).as_str()) {
        let text = format!("the scores of `{word}`; by tier and weight until then");
        report.note(NoteKind::Kept, mark, path, text);
    } else {
        to.set(&["strategy"], Node::text(mark, word));
    }
}

/// Gives how often accounts are asked whether they are well.
fn route(mut section: Section, root: &mut Node, report: &mut Report) -> Option<Node> {
    let mut routing = Node::empty_map(section.mark);
    if let Some((word, mark)) = section.take_text(&["default_strategy", "default", "routing_strategy", "strategy"]) {
        let path = section.path_of("default_strategy");
        strategy(word, mark, path, &mut routing, report);
    }
    if let Some(count) = section.take(&["max_retry_attempts", "max_retries"]) {
        let text = "attempts after the first";
        report.note(NoteKind::Understood, count.mark, section.path_of(&count.key), text);
        root.set(&["retry", "max_retries"], count.node);
    }
    section.move_to(&["enable_fallback", "fallback_enabled"], root, &["retry", "enabled"]);
    section.move_to(&["error_cooldown", "error_cooldown_period"], root, &["cooldowns", "server_error"]);
    if let Some(rest) = section.take(&["cooldown", "cooldowns", "cooldown_periods"]) {
        let mut each = Section::new(rest.node, section.path_of(&rest.key));
        for name in ["rate_limit", "timeout", "server_error"] {
            each.move_to(&[name], root, &["cooldowns", name]);
        }
        let permanent = ["permanent", "quota_exceeded", "invalid_api_key", "insufficient_credits"];
        each.ignore(&permanent, "such keys rest until they work again", report);
        let mark = each.mark;
        root.set_default(&["cooldowns"], Node::empty_map(mark));
        if let Value::Map(entries) = &mut root.value
            && let Some(cooldowns) = entries.iter_mut().find(|entry| entry.key == "cooldowns")
        {
            each.leave(&mut cooldowns.node);
        }
    }
    let interval = section.take(&["health_check_interval"]);
    let cached = ["enable_cache", "cache", "cache_ttl", "cache_size", "cache_enabled"];
    section.keep(&cached, "the cache of answers", report);
    section.keep(&["global_daily_budget", "daily_budget", "alert_threshold"], "budgets", report);
    section.keep(&["weights", "scoring", "strategies", "scoring_weights"], "the parts of scores", report);
    section.leave(&mut routing);
    root.set(&["routing"], routing);
    interval.map(|interval| interval.node)
}

/// One token for everybody.
fn login(mut section: Section, root: &mut Node, report: &mut Report) {
    let enabled = section.take(&["enabled"]);
    let off = enabled.as_ref().is_some_and(|entry| entry.node.scalar() == Some("false"));
    let token = section.take_text(&["api_token", "token", "api_key"]).filter(|(token, _)| !token.is_empty());
    match token {
        Some((token, mark)) if !off => {
            let mut key = Node::empty_map(mark);
            key.set(&["name"], Node::text(mark, "default"));
            key.set(&["key"], Node::text(mark, token));
            root.set_default(&["keys"], Node::new(mark, Value::List(vec![key])));
        }
        Some(_) | None if off => {
            let text = "callers need a key all the same; `open_mode: true` serves anybody on this machine";
            report.note(NoteKind::Changed, section.mark, "auth.enabled", text);
        }
        Some(_) | None => {}
    }
    let left = section.rest();
    if let Some(first) = left.first() {
        report.note(NoteKind::Ignored, first.mark, format!("auth.{}", first.key), "keys are in `keys`");
    }
}
