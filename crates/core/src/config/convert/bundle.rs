//! `open_ai_http_proxy:` of a Symfony bundle: all as it is but for the growing pause and bodies in the log.
//! Tests are in `tests.rs` beside this.

use super::super::node::{Node, Value, joined};
use super::section::Section;
use super::{NoteKind, Report};

pub(super) fn convert(root: &mut Node, report: &mut Report) {
    let Some(entry) = root.remove(&["open_ai_http_proxy"]) else { return };
    report.note(
        NoteKind::Understood,
        entry.mark,
        entry.key.as_str(),
        "the configuration of an OpenAI HTTP proxy bundle",
    );
    let mut bundle = Section::new(entry.node, entry.key.as_str());
    let logging = bundle.take(&["logging"]);
    let Value::Map(entries) = &mut root.value else { return };
    // An outer key of the same name is told by the reader as given twice.
    entries.extend(bundle.rest());
    if let Some(strategy) = root.remove(&["retry", "strategy"]) {
        root.set(&["retry", "backoff", "strategy"], strategy.node);
    }
    if let Some(mut logging) = logging {
        bodies(&mut logging.node, &format!("{}.logging", entry.key), report);
        root.set_default(&["logging"], logging.node);
    }
}

/// Bodies may be asked for there; here they are never logged.
fn bodies(logging: &mut Node, path: &str, report: &mut Report) {
    if logging.get("log_body").and_then(Node::scalar) == Some("true")
        && let Some(entry) = logging.remove(&["log_body"])
    {
        report.note(NoteKind::Kept, entry.mark, joined(path, &entry.key), "bodies are not logged at all");
    }
}
