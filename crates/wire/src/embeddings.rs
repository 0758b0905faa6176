//! OpenAI Embeddings, which are relayed and never translated: what routing and money read of them.
//!
//! Decides which requests are sound; the vectors are never looked at. Tests are below.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::Usage;
use crate::completions::{optional_string, texts};
use crate::dialect::{AnswerSplice, StreamDecoder, Survey, Tap};
use crate::error::{RemoteError, WireError};
use crate::openai_chat::splice::{Edits, Seen};
use crate::openai_chat::{OpenaiChat, Reported, lenient, told};
use crate::peek::{KeysRead, Peek, known, missing, mistyped, name, not_one_of, optional_integer};
use crate::scan::{Kind, Scanner};

type Result<T> = std::result::Result<T, WireError>;

/// `POST /v1/embeddings`.
#[derive(Clone, Copy, Debug)]
pub struct Embeddings;

impl Tap for Embeddings {
    fn survey_response(&self, body: &[u8]) -> Result<Survey> {
        survey(body)
    }

    fn decode_error(&self, body: &[u8]) -> RemoteError {
        OpenaiChat.decode_error(body)
    }

    /// Embeddings never stream: what this reads never comes to a clean end.
    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        OpenaiChat.stream_decoder()
    }

    fn splice_answer(&self, json: &[u8], splice: &AnswerSplice<'_>) -> Option<Bytes> {
        let seen = Seen::look(json).ok()?;
        let mut edits = Edits::default();
        edits.model(json, &seen, splice.model);
        if let Some(usage) = splice.usage
            && seen.has_data
            && seen.reported(json).and_then(|reported| reported.input).is_none()
        {
            let input = usage.input.unwrap_or(0);
            edits.put_usage(&seen, &format!(r#"{{"prompt_tokens":{input},"total_tokens":{input}}}"#));
        }
        edits.apply(json)
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    /// The vectors, unread.
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "lenient")]
    usage: Option<Reported>,
}

fn survey(body: &[u8]) -> Result<Survey> {
    let answer: std::result::Result<Answer<'_>, _> = serde_json::from_slice(body);
    if let Ok(Answer { data: Some(data), error: None, usage }) = &answer
        && data.get().starts_with('[')
    {
        let input = usage.as_ref().and_then(Reported::usage).and_then(|usage| usage.input);
        let usage = input.map(|input| Usage { input: Some(input), output: Some(0), ..Usage::default() });
        return Ok(Survey { usage, error: None, output_bytes: 0 });
    }
    match told(body) {
        Some(error) => Ok(Survey { error: Some(error), ..Survey::default() }),
        None => Err(WireError::invalid("data", "the answer has no `data`")),
    }
}

/// Validates a request and reads what routing needs, in one scan.
pub fn peek(body: &[u8]) -> Result<Peek> {
    let mut peek = Peek { n: 1, ..Peek::default() };
    let mut keys = KeysRead::default();
    let mut has_input = false;
    Scanner::document(body, |scanner| {
        peek.inside = scanner.offset() + 1;
        scanner.object(|scanner, key| {
            let Some(key) = known("", key, &READ)? else { return peek.other(scanner, key, &mut keys) };
            keys.once("", key)?;
            match key {
                "model" => model(body, scanner, &mut peek)?,
                "input" => {
                    let from = scanner.offset();
                    peek.needs.several = scanner.kind()? == Kind::Array;
                    texts(scanner, key)?;
                    if body.get(from..scanner.end()) == Some(b"\"\"") {
                        return Err(WireError::invalid(key, "`input` must not be empty"));
                    }
                    has_input = true;
                }
                "encoding_format" => encoding(scanner)?,
                "dimensions" => drop(optional_integer(scanner, key, 1..=u64::MAX)?),
                _ => optional_string(scanner, key)?,
            }
            Ok(())
        })
    })?;
    if peek.model.is_none() {
        return Err(missing("model"));
    }
    if !has_input {
        return Err(missing("input"));
    }
    peek.finish(body.len());
    Ok(peek)
}

/// The keys that are read; each may stand once.
const READ: [&str; 5] = ["model", "input", "encoding_format", "dimensions", "user"];

fn model(body: &[u8], scanner: &mut Scanner<'_>, peek: &mut Peek) -> Result<()> {
    let start = scanner.offset();
    peek.model = Some(name(scanner, "model")?);
    let span = body.get(start..scanner.offset()).unwrap_or_default();
    peek.model_at = Some(start..start + span.trim_ascii_end().len());
    Ok(())
}

fn encoding(scanner: &mut Scanner<'_>) -> Result<()> {
    const FORMATS: [&str; 2] = ["float", "base64"];
    match scanner.kind()? {
        Kind::Null => scanner.skip().map(drop),
        Kind::String => {
            let format = scanner.string()?;
            if FORMATS.contains(&&*format) { Ok(()) } else { Err(not_one_of("encoding_format", &format, &FORMATS)) }
        }
        Kind::Object | Kind::Array | Kind::Number | Kind::Bool => Err(mistyped("encoding_format", "a string")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_input_is_accepted_and_the_model_is_found() {
        for input in [r#""a""#, r#"["a","b"]"#, "[1,2]", "[[1],[2,3]]"] {
            let body = format!(r#"{{"input":{input},"encoding_format":"base64","dimensions":8,"model":"e-3" }}"#);
            let peek = peek(body.as_bytes()).expect(input);
            assert_eq!((peek.model.as_deref(), &body[peek.model_at.unwrap()]), (Some("e-3"), "\"e-3\""));
            assert_eq!((peek.stream, peek.max_output_tokens, peek.n), (false, None, 1));
        }
    }

    #[test]
    fn what_the_api_would_refuse_is_refused_by_name() {
        let cases = [
            (r#"{"input":"a"}"#, "model"),
            (r#"{"model":1,"input":"a"}"#, "model"),
            (r#"{"model":"m"}"#, "input"),
            (r#"{"model":"m","input":[]}"#, "input"),
            (r#"{"model":"m","input" : "" }"#, "input"),
            (r#"{"model":"m","input":{"text":"a"}}"#, "input"),
            (r#"{"model":"m","input":[[1,"a"]]}"#, "input[0][1]"),
            (r#"{"model":"m","input":"a","encoding_format":"int8"}"#, "encoding_format"),
            (r#"{"model":"m","input":"a","dimensions":0}"#, "dimensions"),
            (r#"{"model":"m","model":"n","input":"a"}"#, "model"),
        ];
        for (body, param) in cases {
            assert_eq!(peek(body.as_bytes()).unwrap_err().param(), Some(param), "{body}");
        }
    }

    const ANSWER: &str = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1,-2e-3]}],"model":"e-3-small","usage":{"prompt_tokens":8,"total_tokens":8}}"#;

    #[test]
    fn the_input_is_all_that_is_charged() {
        let survey = Embeddings.survey_response(ANSWER.as_bytes()).unwrap();
        assert_eq!(survey.usage, Some(Usage { input: Some(8), output: Some(0), ..Usage::default() }));
        assert_eq!((survey.error, survey.output_bytes), (None, 0));
        let error = Embeddings.survey_response(br#"{"error":{"message":"no"}}"#).unwrap();
        assert_eq!(error.error.unwrap().message, "no");
        for other in ["{}", "<html>", r#"{"choices":[]}"#, r#"{"data":null}"#] {
            assert!(Embeddings.survey_response(other.as_bytes()).is_err(), "{other}");
        }
    }

    #[test]
    fn answers_are_renamed_and_get_the_usage_they_lack() {
        let usage = Usage { input: Some(8), output: Some(0), ..Usage::default() };
        let splice = AnswerSplice { model: Some("fast"), hide_usage: false, usage: Some(&usage) };
        let renamed = ANSWER.replace("e-3-small", "fast");
        assert_eq!(Embeddings.splice_answer(ANSWER.as_bytes(), &splice).unwrap(), renamed);
        assert_eq!(Embeddings.splice_answer(renamed.as_bytes(), &splice), None);
        let bare = renamed.replace(r#","usage":{"prompt_tokens":8,"total_tokens":8}"#, "");
        assert_eq!(Embeddings.splice_answer(bare.as_bytes(), &splice).unwrap(), renamed);
    }
}
