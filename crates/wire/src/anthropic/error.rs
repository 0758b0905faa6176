//! Error bodies and error events: `{"type":"error","error":{"type","message"},"request_id"}`, both ways.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::error::{Fault, RemoteError};

/// Reads an error body; empty if it is none.
pub(super) fn decode(body: &[u8]) -> RemoteError {
    serde_json::from_slice::<Value>(body).ok().and_then(|body| find(&body)).unwrap_or_default()
}

/// The error in a body or frame, if it is one. Vendors that copy the dialect also send a bare sentence for `error`.
pub(super) fn find(body: &Value) -> Option<RemoteError> {
    let is_error = body.get("type").and_then(Value::as_str) == Some("error");
    match body.get("error") {
        Some(Value::String(message)) => Some(RemoteError { message: message.clone(), ..RemoteError::default() }),
        Some(error @ Value::Object(_)) => Some(read(error)),
        Some(_) | None if is_error => Some(read(body)),
        Some(_) | None => None,
    }
}

/// Draws an error of ours.
pub(super) fn encode(fault: &Fault<'_>) -> Bytes {
    json!({
        "type": "error",
        "error": {"type": fault.anthropic_type, "message": fault.message},
        "request_id": fault.request_id,
    })
    .to_string()
    .into()
}

fn read(error: &Value) -> RemoteError {
    let text = |key: &str| match error.get(key) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(number @ Value::Number(_)) => Some(number.to_string()),
        Some(_) | None => None,
    };
    let mut remote = RemoteError { message: text("message").unwrap_or_default(), ..RemoteError::default() };
    remote.kind = text("type").filter(|kind| kind != "error");
    remote.code = text("code");
    remote.param = text("param");
    remote
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_body_is_read() {
        let error = decode(include_bytes!("../../tests/golden/chat/anthropic/error.response.json"));
        assert_eq!(error.kind.as_deref(), Some("rate_limit_error"));
        assert!(error.message.contains("would exceed"));
    }

    #[test]
    fn other_shapes_and_garbage_break_nothing() {
        assert_eq!(decode(br#"{"error":"no such model"}"#).message, "no such model");
        assert_eq!(decode(br#"{"error":{"message":"x","code":429}}"#).code.as_deref(), Some("429"));
        assert_eq!(decode(br#"{"type":"error","message":"x"}"#).message, "x");
        for garbage in [&b""[..], b"<html>", b"[]", b"{\"error\":null}", b"{\"type\":\"message\"}"] {
            assert_eq!(decode(garbage), RemoteError::default());
        }
    }

    #[test]
    fn ours_names_the_type_of_this_dialect_and_the_request() {
        let fault = Fault {
            status: 529,
            openai_type: "server_error",
            openai_code: None,
            anthropic_type: "overloaded_error",
            gemini_status: "UNAVAILABLE",
            message: "Busy \"now\".",
            param: Some("model"),
            request_id: "req_1",
        };
        assert_eq!(
            encode(&fault),
            &br#"{"type":"error","error":{"type":"overloaded_error","message":"Busy \"now\"."},"request_id":"req_1"}"#
                [..]
        );
    }
}
