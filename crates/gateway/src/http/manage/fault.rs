//! What the database refused, as whoever asked is told it. Tests: `it/manage/`.

use waypost_core::GatewayError;
use waypost_store::StoreError;

/// The error for whoever asked for `what`: an id, or a name.
pub(crate) fn of(error: StoreError, what: &str) -> GatewayError {
    match error {
        StoreError::NotFound => GatewayError::no_such(what),
        StoreError::Stale => GatewayError::precondition_failed(),
        StoreError::Taken(_) => GatewayError::conflict("Something of that name is already there.", None),
        StoreError::Refused(why) => GatewayError::conflict(sentence(&why), None),
        error @ (StoreError::Unavailable(_) | StoreError::Full(_)) => GatewayError::database_away().caused_by(error),
        error @ (StoreError::Corrupt(_) | StoreError::Version(_) | StoreError::File { .. } | StoreError::Query(_)) => {
            GatewayError::internal(error)
        }
    }
}

fn sentence(why: &str) -> String {
    let mut letters = why.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
