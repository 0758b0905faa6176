//! Error bodies: OpenAI's own, drawn for callers, and the shapes that vendors of this dialect answer with instead.
//! Decides what an error says, not whose fault it is. Tests are below.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::error::{Fault, RemoteError};

/// Draws an error of ours: `{"error":{"message","type","param","code"}}`, all four keys always there.
pub(super) fn encode(fault: &Fault<'_>) -> Bytes {
    let body = json!({"error": {
        "message": fault.message,
        "type": fault.openai_type,
        "param": fault.param,
        "code": fault.openai_code,
    }});
    body.to_string().into()
}

/// Reads an error body; empty if it cannot be read.
pub(crate) fn decode(body: &[u8]) -> RemoteError {
    told(body).unwrap_or_default()
}

/// Reads an error body; `None` if it is not one in any known shape.
pub(crate) fn told(body: &[u8]) -> Option<RemoteError> {
    let value: Value = serde_json::from_slice(body).ok()?;
    // Gemini's OpenAI form wraps its errors in an array.
    let value = match &value {
        Value::Array(items) => items.first()?,
        other => other,
    };
    match value.get("error") {
        Some(Value::String(message)) => {
            // xAI: {"code", "error": "sentence"}.
            let mut error = named(value);
            message.clone_into(&mut error.message);
            Some(error)
        }
        Some(error @ Value::Object(_)) => Some(named(error)),
        _ => bare(value),
    }
}

/// Errors without an `error` key: vLLM and Mistral (`object: "error"`), SiliconFlow (`code`, `message`),
/// Baidu (`error_code`, `error_msg`), FastAPI (`detail`).
fn bare(value: &Value) -> Option<RemoteError> {
    if value.get("choices").is_some_and(|it| !it.is_null()) {
        return None;
    }
    let error = named(value);
    (!error.message.is_empty()).then_some(error)
}

fn named(error: &Value) -> RemoteError {
    let word =
        |keys: &[&str]| keys.iter().find_map(|key| error.get(key).and_then(plain)).filter(|word| !word.is_empty());
    let sentence = |key: &&str| error.get(key).and_then(sentence);
    RemoteError {
        kind: word(&["type", "status"]),
        code: word(&["code", "error_code"]),
        param: word(&["param"]),
        message: ["message", "error_msg", "detail", "msg"].iter().find_map(sentence).unwrap_or_default(),
        retry_after_ms: None,
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A message that may be a list of findings (`{"detail":[{"loc","msg"}]}`) rather than a sentence.
fn sentence(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(findings) => {
            let told: Vec<String> = findings.iter().filter_map(sentence).collect();
            (!told.is_empty()).then(|| told.join("; "))
        }
        Value::Object(finding) => {
            ["detail", "msg", "message"].iter().find_map(|key| finding.get(*key).and_then(sentence))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_as(kind: &str, code: &str, message: &str) -> RemoteError {
        let word = |word: &str| (!word.is_empty()).then(|| word.to_owned());
        RemoteError {
            kind: word(kind),
            code: word(code),
            param: None,
            message: message.to_owned(),
            retry_after_ms: None,
        }
    }

    #[test]
    fn every_vendors_shape_is_read() {
        let cases: &[(&str, RemoteError)] = &[
            (
                r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
                told_as("insufficient_quota", "insufficient_quota", "You exceeded your current quota"),
            ),
            (
                r#"{"error":{"code":502,"message":"Provider returned error","metadata":{"provider_name":"X"}},"user_id":"u"}"#,
                told_as("", "502", "Provider returned error"),
            ),
            (
                r#"{"code":"The caller does not have permission","error":"Incorrect API key"}"#,
                told_as("", "The caller does not have permission", "Incorrect API key"),
            ),
            (
                r#"[{"error":{"code":400,"message":"Unknown name","status":"INVALID_ARGUMENT"}}]"#,
                told_as("INVALID_ARGUMENT", "400", "Unknown name"),
            ),
            (
                r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","x"],"msg":"Extra inputs are not permitted"}]},"type":"invalid_request_error","param":null,"code":null}"#,
                told_as("invalid_request_error", "", "Extra inputs are not permitted"),
            ),
            (
                r#"{"code":20012,"message":"Model does not exist.","data":null}"#,
                told_as("", "20012", "Model does not exist."),
            ),
            (r#"{"error_code":336003,"error_msg":"messages empty"}"#, told_as("", "336003", "messages empty")),
            (r#"{"detail":"Not Found"}"#, told_as("", "", "Not Found")),
        ];
        for (body, expected) in cases {
            assert_eq!(told(body.as_bytes()).as_ref(), Some(expected), "{body}");
        }
    }

    #[test]
    fn what_is_no_error_is_not_taken_for_one() {
        for body in ["<html>", "", "[]", "{}", r#"{"error":null}"#, r#"{"choices":[],"message":"x"}"#] {
            assert_eq!(told(body.as_bytes()), None, "{body}");
            assert_eq!(decode(body.as_bytes()), RemoteError::default());
        }
    }

    #[test]
    fn our_error_always_has_all_four_keys() {
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
