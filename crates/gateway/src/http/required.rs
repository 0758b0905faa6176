//! What the endpoints that pass through must at least be sent, so that an empty or mistyped body costs no upstream call.
//! A table after OpenAI's API reference; paths that are not in it are the upstream's to judge. Tests are below.

use waypost_core::GatewayError;
use waypost_wire::WireError;
use waypost_wire::peek::{KeysRead, Peek, known, missing, mistyped, optional_integer};
use waypost_wire::scan::{Kind, Scanner};

/// The form a body must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A JSON object with these fields.
    Json(&'static [Field]),
    /// A multipart form; the first field a caller forgets is named.
    Multipart(&'static str),
    /// Either: JSON is checked, a multipart form is left to the upstream.
    Either(&'static [Field]),
}

/// A required field and the JSON types it may have.
pub type Field = (&'static str, &'static [Kind]);

const TEXT: &[Kind] = &[Kind::String];
const TEXT_OR_LIST: &[Kind] = &[Kind::String, Kind::Array];
const ANY_SOURCE: &[Kind] = &[Kind::String, Kind::Array, Kind::Object];

const TABLE: &[(&str, Form)] = &[
    ("moderations", Form::Json(&[("input", TEXT_OR_LIST)])),
    ("images/generations", Form::Json(&[("prompt", TEXT)])),
    ("images/edits", Form::Either(&[("prompt", TEXT)])),
    ("images/variations", Form::Multipart("image")),
    ("audio/speech", Form::Json(&[("model", TEXT), ("input", TEXT), ("voice", ANY_SOURCE)])),
    ("audio/transcriptions", Form::Multipart("file")),
    ("audio/translations", Form::Multipart("file")),
    ("files", Form::Multipart("file")),
    ("uploads", Form::Json(&[("filename", TEXT), ("purpose", TEXT), ("mime_type", TEXT), ("bytes", &[Kind::Number])])),
    ("fine_tuning/jobs", Form::Json(&[("model", TEXT), ("training_file", TEXT)])),
    ("batches", Form::Json(&[("input_file_id", TEXT), ("endpoint", TEXT), ("completion_window", TEXT)])),
    ("responses/input_tokens", Form::Json(&[])),
    ("responses/compact", Form::Json(&[("model", TEXT)])),
    ("realtime/client_secrets", Form::Json(&[])),
];

/// The form that a POST to this path must have, if the table knows it.
pub fn form(rest: &str) -> Option<Form> {
    TABLE.iter().find(|(path, _)| *path == rest).map(|(_, form)| *form)
}

/// Checks a JSON body and reads its `model` and how many results it wants, in one scan.
pub fn check_json(body: &[u8], fields: &'static [Field]) -> Result<Peek, WireError> {
    let mut keys = KeysRead::default();
    let mut seen: Vec<&'static str> = Vec::new();
    let mut peek = Peek { n: 1, ..Peek::default() };
    // How many are wanted is paid for; where the path is not known, `n` may mean anything.
    let read: &[&'static str] = if fields.is_empty() { &["model"] } else { &["model", "n"] };
    Scanner::document(body, |scanner| {
        if scanner.kind()? != Kind::Object {
            return Err(mistyped("body", "a JSON object"));
        }
        scanner.object(|scanner, key| {
            let kind = scanner.kind()?;
            if let Some((name, kinds)) = fields.iter().find(|(name, _)| *name == key)
                && kind != Kind::Null
            {
                if !kinds.contains(&kind) {
                    return Err(mistyped(name, words(kinds)));
                }
                seen.push(name);
            }
            let Some(key) = known("", key, read)? else { return scanner.skip().map(drop) };
            keys.once("", key)?;
            if key == "model" {
                if kind == Kind::String {
                    let start = scanner.offset();
                    peek.model = Some(scanner.string()?.into_owned());
                    peek.model_at = Some(start..scanner.end());
                    return Ok(());
                }
                // Where the path is not known, nor is what else a model may be there.
                if kind != Kind::Null && !fields.is_empty() {
                    return Err(mistyped("model", "a string"));
                }
            }
            if key == "n" {
                peek.n = optional_integer(scanner, "n", 1..=128)?.unwrap_or(1);
                return Ok(());
            }
            scanner.skip().map(drop)
        })
    })?;
    match fields.iter().find(|(name, _)| !seen.contains(name)) {
        Some((name, _)) => Err(missing(name)),
        None => Ok(peek),
    }
}

/// The error for a body that is not the multipart form it must be.
pub fn not_multipart(field: &'static str) -> GatewayError {
    let message = format!("`{field}` is required: send the body as multipart/form-data.");
    GatewayError::invalid_request(message, Some(field))
}

fn words(kinds: &[Kind]) -> &'static str {
    match kinds {
        [Kind::String] => "a string",
        [Kind::Number] => "a number",
        [Kind::String, Kind::Array] => "a string or an array",
        _ => "a string or an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &str, body: &[u8]) -> Option<String> {
        let Some(Form::Json(fields) | Form::Either(fields)) = form(path) else { panic!("{path} takes no JSON") };
        check_json(body, fields).err().and_then(|error| error.param().map(str::to_owned))
    }

    #[test]
    fn an_empty_object_is_refused_with_the_first_missing_field() {
        for (path, field) in [
            ("moderations", "input"),
            ("images/generations", "prompt"),
            ("audio/speech", "model"),
            ("batches", "input_file_id"),
        ] {
            assert_eq!(refusal(path, b"{}").as_deref(), Some(field));
            assert_eq!(refusal(path, b"[]").as_deref(), Some("body"));
        }
    }

    #[test]
    fn types_are_checked_and_a_null_is_no_value() {
        assert_eq!(refusal("moderations", br#"{"input":7}"#).as_deref(), Some("input"));
        assert_eq!(refusal("moderations", br#"{"input":null}"#).as_deref(), Some("input"));
        assert_eq!(refusal("moderations", br#"{"input":["a"]}"#), None);
    }

    #[test]
    fn how_many_are_wanted_is_read_for_they_are_paid_for() {
        let wanted = |body: &str| check_json(body.as_bytes(), &[("prompt", TEXT)]).map(|peek| peek.n);
        assert_eq!(wanted(r#"{"prompt":"x"}"#).unwrap(), 1);
        assert_eq!(wanted(r#"{"prompt":"x","n":4}"#).unwrap(), 4);
        assert_eq!(wanted(r#"{"prompt":"x","n":"4"}"#).unwrap_err().param(), Some("n"));
        assert_eq!(wanted(r#"{"prompt":"x","n":4,"\u006e":1}"#).unwrap_err().param(), Some("n"));
        assert_eq!(check_json(br#"{"n":"any"}"#, &[]).unwrap().n, 1);
    }

    #[test]
    fn the_model_is_read_once_and_twice_is_refused() {
        let peek = check_json(br#"{"x":{"model":"no"},"model":"m" }"#, &[]).unwrap();
        assert_eq!((peek.model.as_deref(), peek.model_at), (Some("m"), Some(28..31)));
        let twice = check_json(br#"{"model":"a","mod\u0065l":"b"}"#, &[]).unwrap_err();
        assert_eq!(twice.param(), Some("model"));
    }

    #[test]
    fn what_is_read_is_refused_in_other_letters() {
        let refused = |body: &str, fields| check_json(body.as_bytes(), fields).unwrap_err().param().map(str::to_owned);
        assert_eq!(refused(r#"{"prompt":"x","model":"a","Model":"b"}"#, &[("prompt", TEXT)]).as_deref(), Some("Model"));
        assert_eq!(refused(r#"{"prompt":"x","n":1,"N":9}"#, &[("prompt", TEXT)]).as_deref(), Some("N"));
        assert_eq!(refused(r#"{"MODEL":"b"}"#, &[]).as_deref(), Some("MODEL"));
        assert_eq!(check_json(br#"{"N":9}"#, &[]).unwrap().n, 1);
    }
}
