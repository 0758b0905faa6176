//! Error objects: `google.rpc.Status` as JSON, alone, in an array, or inside a stream.

use serde_json::Value;

use crate::error::RemoteError;

/// Reads a whole error body; what cannot be read gives an empty error.
pub(super) fn decode(body: &[u8]) -> RemoteError {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let wrapped = body.get(0).unwrap_or(&body);
    wrapped.get("error").map(read).unwrap_or_default()
}

/// Reads the value of an `error` field. The finer code is the reason in `google.rpc.ErrorInfo`, or else the number.
pub(super) fn read(error: &Value) -> RemoteError {
    if let Value::String(message) = error {
        return RemoteError { message: message.clone(), ..RemoteError::default() };
    }
    let details = error.get("details").and_then(Value::as_array);
    let detail = |key: &str| details?.iter().find_map(|detail| detail.get(key));
    RemoteError {
        kind: text(error.get("status")),
        code: text(detail("reason").or_else(|| error.get("code"))),
        param: text(detail("fieldViolations").and_then(|list| list.get(0)?.get("field"))),
        message: text(error.get("message")).unwrap_or_default(),
        retry_after_ms: detail("retryDelay").and_then(Value::as_str).and_then(milliseconds),
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A `google.protobuf.Duration` (`"34.07s"`), rounded up so that nobody comes back too early.
fn milliseconds(duration: &str) -> Option<u64> {
    let seconds: f64 = duration.strip_suffix('s')?.parse().ok()?;
    let milliseconds = (seconds * 1000.0).ceil();
    // The cast saturates, so an absurd delay stays a number.
    (milliseconds >= 0.0).then_some(milliseconds as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: &[u8] = include_bytes!("../../tests/golden/chat/gemini/error.response.json");

    #[test]
    fn a_quota_error_says_how_long_to_wait() {
        let error = decode(QUOTA);
        assert_eq!(error.kind.as_deref(), Some("RESOURCE_EXHAUSTED"));
        assert_eq!(error.code.as_deref(), Some("429"));
        assert!(error.message.starts_with("You exceeded your current quota"));
        assert_eq!(error.retry_after_ms, Some(34_075));
    }

    #[test]
    fn a_bad_key_is_told_by_its_reason_and_a_bad_field_by_its_name() {
        let error = decode(
            br#"[{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[
                {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"},
                {"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"contents[0]"}]}]}}]"#,
        );
        assert_eq!(error.code.as_deref(), Some("API_KEY_INVALID"));
        assert_eq!(error.param.as_deref(), Some("contents[0]"));
        assert_eq!(error.retry_after_ms, None);
    }

    #[test]
    fn bodies_that_are_no_error_give_an_empty_one() {
        for body in [&b"<html>"[..], b"", b"[]", b"{}", b"{\"error\":null}"] {
            assert_eq!(decode(body), RemoteError::default());
        }
    }

    #[test]
    fn delays_are_read_as_durations_only() {
        assert_eq!(milliseconds("0.0001s"), Some(1));
        assert_eq!(milliseconds("1e30s"), Some(u64::MAX));
        for odd in ["34", "-1s", "NaNs", "s"] {
            assert_eq!(milliseconds(odd), None);
        }
    }
}
