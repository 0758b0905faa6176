//! What a provider does later or elsewhere, where nobody here sees what it costs. Decides who may not ask for it.
//! Tests: `it/money.rs`, and below.

use waypost_core::GatewayError;

use super::call::Call;

/// Paths that start such work, or make a key for it that is used without us; `*` is any one part. Whoever goes on with it,
/// looks at it or ends it may do so.
const STARTS: [&str; 20] = [
    "batches",
    "batch/jobs",
    "async/chat/completions",
    "fine_tuning/jobs",
    "fine_tuning/alpha/graders/run",
    "evals/*/runs",
    "threads/runs",
    "threads/*/runs",
    "realtime/client_secrets",
    "realtime/translations/client_secrets",
    "realtime/sessions",
    "realtime/transcription_sessions",
    "realtime/calls",
    "chatkit/sessions",
    "containers",
    "videos",
    "videos/edits",
    "videos/extensions",
    "videos/generations",
    "videos/*/remix",
];

/// Refuses what cannot be charged, once it is known who pays. An answer that is made later is fetched by a call that costs
/// nothing; of the rest, those may go on whose spending nothing limits.
pub fn refuse(call: &Call) -> Result<(), GatewayError> {
    let Some(charge) = call.charge else { return Ok(()) };
    if let Some(field) = call.peek.later {
        let message = format!(
            "What is answered later cannot be charged, because its usage is not known until then; leave `{field}` out and stream."
        );
        return Err(GatewayError::unsupported(message, Some(field)));
    }
    if charge.limited && call.passes_through() && starts(&call.path) {
        return Err(GatewayError::unmetered(&call.path));
    }
    Ok(())
}

fn starts(path: &str) -> bool {
    let path = path.trim_start_matches('/');
    let fits = |pattern: &str| {
        let is_same = |(part, asked): (&str, &str)| part == "*" || part.eq_ignore_ascii_case(asked);
        pattern.split('/').count() == path.split('/').count() && pattern.split('/').zip(path.split('/')).all(is_same)
    };
    STARTS.iter().any(|pattern| fits(pattern))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_starts_work_for_later_is_told_from_what_goes_on_with_it() {
        for path in ["/batches", "/Fine_Tuning/jobs", "/threads/thread_1/runs", "/threads/runs", "/realtime/calls"] {
            assert!(starts(path), "{path}");
        }
        for path in [
            "/batches/batch_1/cancel",
            "/fine_tuning/jobs/ftjob-1/cancel",
            "/threads",
            "/threads/thread_1/runs/run_1/cancel",
            "/files",
            "/images/generations",
        ] {
            assert!(!starts(path), "{path}");
        }
    }
}
