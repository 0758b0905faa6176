//! The words of OpenTelemetry's conventions for generative AI, where they are not ours. Tests: `it/metrics.rs`, `it/traces.rs`.

use waypost_core::usage::{Outcome, UsageRecord};

/// `gen_ai.operation.name` of one of our operations.
pub fn operation(ours: &'static str) -> &'static str {
    match ours {
        "completions" => "text_completion",
        other => other,
    }
}

/// `error.type` of a request; `None` if it went well.
pub fn error(record: &UsageRecord) -> Option<&'static str> {
    match (record.error, record.outcome) {
        (Some(kind), _) => Some(kind.row().label),
        (None, Outcome::Complete) => None,
        (None, ended @ (Outcome::Broken | Outcome::Abandoned | Outcome::Failed)) => Some(ended.name()),
    }
}
