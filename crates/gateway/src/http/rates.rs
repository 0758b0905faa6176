//! What answers say of the limits of their caller's key, in the words of the caller's SDKs. Decides nothing.
//! Tests: `it/caller_limits.rs` and below.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

use waypost_core::limit::{Left, Standing};
use waypost_wire::Dialect;

use crate::telemetry::rfc_3339;

/// How the parts of one limit are called.
struct Names {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

const OPENAI: [Names; 2] = [
    Names {
        limit: HeaderName::from_static("x-ratelimit-limit-requests"),
        remaining: HeaderName::from_static("x-ratelimit-remaining-requests"),
        reset: HeaderName::from_static("x-ratelimit-reset-requests"),
    },
    Names {
        limit: HeaderName::from_static("x-ratelimit-limit-tokens"),
        remaining: HeaderName::from_static("x-ratelimit-remaining-tokens"),
        reset: HeaderName::from_static("x-ratelimit-reset-tokens"),
    },
];

const ANTHROPIC: [Names; 2] = [
    Names {
        limit: HeaderName::from_static("anthropic-ratelimit-requests-limit"),
        remaining: HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
        reset: HeaderName::from_static("anthropic-ratelimit-requests-reset"),
    },
    Names {
        limit: HeaderName::from_static("anthropic-ratelimit-tokens-limit"),
        remaining: HeaderName::from_static("anthropic-ratelimit-tokens-remaining"),
        reset: HeaderName::from_static("anthropic-ratelimit-tokens-reset"),
    },
];

/// Adds how the tightest limits stand. `unix_ms` is now, in milliseconds since 1970.
pub fn tell(standing: &Standing, dialect: Dialect, unix_ms: i64, headers: &mut HeaderMap) {
    let anthropic = dialect == Dialect::Anthropic;
    let names = if anthropic { ANTHROPIC } else { OPENAI };
    for (names, left) in names.into_iter().zip([standing.requests, standing.tokens]) {
        let Some(Left { limit, remaining, reset }) = left else { continue };
        headers.insert(names.limit, limit.into());
        headers.insert(names.remaining, remaining.into());
        let reset = if anthropic { moment(reset, unix_ms) } else { length(reset) };
        if let Ok(reset) = HeaderValue::try_from(reset) {
            headers.insert(names.reset, reset);
        }
    }
}

/// `0s`, `120ms`, `7s`, `6m0s`, `1h0m5s`, rounded up.
fn length(span: Duration) -> String {
    let millis = span.as_micros().div_ceil(1000);
    if millis > 0 && millis < 1000 {
        return format!("{millis}ms");
    }
    let seconds = millis.div_ceil(1000);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// The moment in so long, to the second, rounded up.
fn moment(span: Duration, unix_ms: i64) -> String {
    let millis = u64::try_from(unix_ms).unwrap_or_default().saturating_add(span.as_millis() as u64);
    rfc_3339(millis.div_ceil(1000).saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_openai_writes_them() {
        for (micros, written) in [
            (0, "0s"),
            (1, "1ms"),
            (120_000, "120ms"),
            (1_000_000, "1s"),
            (1_000_001, "2s"),
            (360_000_000, "6m0s"),
            (3_605_000_000, "1h0m5s"),
        ] {
            assert_eq!(length(Duration::from_micros(micros)), written);
        }
        assert_eq!(moment(Duration::from_millis(1200), 0), "1970-01-01T00:00:02.000Z");
    }
}
