//! Bodies as the pages of `/auth` take them: small JSON objects with the fields they name and no others. Decides the words
//! for what is wrong, which never repeat a value: it may be a password. Tests are below, and in `it/auth/`.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use waypost_core::GatewayError;

use crate::http::unreadable;
use crate::serve::{Limits, read_body};

/// In bytes: four times what the longest password and all else can take.
const LARGEST: u64 = 16 * 1024;

/// Reads a body. One that is not empty must be called JSON, which no form of a foreign page can do.
pub(in crate::http) async fn read(body: Incoming, head: &Parts, limits: &Limits) -> Result<Bytes, GatewayError> {
    let limits = Limits { max_body_bytes: LARGEST, ..limits.clone() };
    let body = read_body(body, &limits).await.map_err(unreadable)?;
    let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !body.is_empty() && !essence.eq_ignore_ascii_case("application/json") {
        let message = "Send the body as JSON, with `Content-Type: application/json`.";
        return Err(GatewayError::invalid_request(message, None));
    }
    Ok(body)
}

/// The body as this; an empty one is an empty object.
pub(in crate::http) fn input<T: DeserializeOwned>(body: &[u8]) -> Result<T, GatewayError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| mistake(&error))
}

fn mistake(error: &serde_json::Error) -> GatewayError {
    let text = error.to_string();
    // Only names of fields stand between the first two of these signs.
    let field = text.split('`').nth(1);
    let message = match (text.split(' ').next(), field) {
        (Some("unknown"), Some(field)) => format!("There is no field `{field}` here."),
        (Some("missing"), Some(field)) => format!("The field `{field}` is missing."),
        (Some("duplicate"), Some(field)) => format!("The field `{field}` is given twice."),
        _ => {
            let message = format!("The body cannot be read at line {}, column {}.", error.line(), error.column());
            return GatewayError::invalid_request(message, None);
        }
    };
    GatewayError::invalid_request(message, field)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use waypost_core::Secret;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Thing {
        #[expect(dead_code, reason = "only its form matters")]
        password: Secret,
    }

    #[test]
    fn a_mistake_is_named_by_its_field_and_never_by_its_value() {
        for (body, message, param) in [
            (r#"{"password": "p", "role": "owner"}"#, "There is no field `role` here.", Some("role")),
            ("{}", "The field `password` is missing.", Some("password")),
            ("", "The field `password` is missing.", Some("password")),
            (r#"{"password": "a", "password": "b"}"#, "The field `password` is given twice.", Some("password")),
            (r#"{"password": 12345}"#, "The body cannot be read at line 1, column 18.", None),
            (r#"{"password": ["hunter2"]}"#, "The body cannot be read at line 1, column 13.", None),
            ("[]", "The body cannot be read at line 1, column", None),
            ("hunter2", "The body cannot be read at line 1, column 1.", None),
        ] {
            let error = input::<Thing>(body.as_bytes()).unwrap_err();
            assert!(error.message().starts_with(message), "{body}: {}", error.message());
            assert_eq!(error.param(), param, "{body}");
            assert!(!error.message().contains("hunter2") && !error.message().contains("12345"), "{}", error.message());
        }
    }
}
