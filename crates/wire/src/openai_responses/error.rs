//! Error objects, both ways. Decides nothing about blame or status. Tests are below.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::error::{Fault, RemoteError};

/// Reads an error body: OpenAI's `{"error":{..}}`, and what compatible servers send in its place
/// (`error` as a string with `code` beside it, `{"detail":..}`, `{"message":..}`, any of them in a one-element array).
pub(super) fn decode(body: &[u8]) -> RemoteError {
    match serde_json::from_slice(body) {
        Ok(Value::Array(mut items)) if items.len() == 1 => items.pop().map(|item| of_body(&item)).unwrap_or_default(),
        Ok(body) => of_body(&body),
        Err(_) => RemoteError::default(),
    }
}

/// Draws an error of ours.
pub(super) fn encode(fault: &Fault<'_>) -> Bytes {
    let error = json!({
        "message": fault.message,
        "type": fault.openai_type,
        "param": fault.param,
        "code": fault.openai_code,
    });
    json!({ "error": error }).to_string().into()
}

/// Reads an object that is known to be about an error: a body, or an `error` event.
pub(super) fn of_body(body: &Value) -> RemoteError {
    match body.get("error").filter(|error| !error.is_null()) {
        Some(Value::String(message)) => {
            RemoteError { code: word(body, "code"), message: message.clone(), ..RemoteError::default() }
        }
        Some(error) => of_error(error),
        None => of_error(body),
    }
}

/// Reads the error object itself.
pub(super) fn of_error(error: &Value) -> RemoteError {
    let message = ["message", "detail"]
        .iter()
        .find_map(|key| error.get(key).filter(|said| !said.is_null()))
        .map(|said| said.as_str().map_or_else(|| said.to_string(), str::to_owned))
        .unwrap_or_default();
    RemoteError {
        kind: word(error, "type").filter(|kind| kind != "error"),
        code: word(error, "code"),
        param: word(error, "param"),
        message,
        retry_after_ms: None,
    }
}

/// A string field; numbers are kept as text.
fn word(object: &Value, key: &str) -> Option<String> {
    match object.get(key) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_of_error_body_is_read() {
        let openai = decode(include_bytes!("../../tests/golden/chat/openai_responses/error.response.json"));
        assert_eq!(openai.kind.as_deref(), Some("invalid_request_error"));
        assert_eq!(openai.code.as_deref(), Some("context_length_exceeded"));
        assert_eq!(openai.param.as_deref(), Some("input"));
        assert!(openai.message.starts_with("Your input exceeds"));

        let text = decode(br#"{"code":"Some code","error":"no such model"}"#);
        assert_eq!((text.code.as_deref(), &*text.message), (Some("Some code"), "no such model"));
        assert_eq!(decode(br#"[{"error":{"code":429,"message":"slow"}}]"#).code.as_deref(), Some("429"));
        assert_eq!(decode(br#"{"detail":"Unsupported"}"#).message, "Unsupported");
        assert_eq!(decode(b"<html>"), RemoteError::default());
    }

    #[test]
    fn our_errors_have_all_four_keys() {
        let fault = Fault {
            status: 400,
            openai_type: "invalid_request_error",
            openai_code: None,
            anthropic_type: "invalid_request_error",
            gemini_status: "INVALID_ARGUMENT",
            message: "say \"model\"",
            param: Some("model"),
            request_id: "req_1",
        };
        assert_eq!(
            encode(&fault),
            r#"{"error":{"message":"say \"model\"","type":"invalid_request_error","param":"model","code":null}}"#
        );
    }
}
