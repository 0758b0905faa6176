//! `open_ai_http_proxy:` of a Symfony bundle: mappings and defaults as they are, a growing pause, and what is logged.
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
    if let Some(logging) = logging {
        log(Section::new(logging.node, format!("{}.logging", entry.key)), report);
    }
}

fn log(mut section: Section, report: &mut Report) {
    for name in ["enabled", "log_request", "log_response"] {
        let Some(entry) = section.take(&[name]) else { continue };
        let path = section.path_of(&entry.key);
        if entry.node.scalar() == Some("false") {
            let text = "the access log has a line for every request; standard output can be discarded";
            report.note(NoteKind::Changed, entry.mark, path, text);
        } else {
            let text = "the access log has a line with what was asked and how it was answered";
            report.note(NoteKind::Understood, entry.mark, path, text);
        }
    }
    if let Some(entry) = section.take(&["log_body"]) {
        let path = section.path_of(&entry.key);
        if entry.node.scalar() == Some("true") {
            report.note(NoteKind::Kept, entry.mark, path, "bodies are not logged at all");
        } else {
            report.note(NoteKind::Understood, entry.mark, path, "bodies are never logged");
        }
    }
    let path = section.path.clone();
    for entry in section.rest() {
        let fix = "the keys here are enabled, log_request, log_response, log_body";
        report.error(entry.mark, joined(&path, &entry.key), "there is no such key", fix);
    }
}
