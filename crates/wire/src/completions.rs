//! OpenAI's legacy Completions, which are relayed and never translated: what routing and money read of them.
//!
//! Decides which requests are sound. Answers share the envelope of chat, and so its readers. Tests are below.

use bytes::Bytes;

use crate::dialect::{AnswerSplice, StreamDecoder, Survey, Tap};
use crate::error::{RemoteError, WireError};
use crate::openai_chat::{OpenaiChat, splice, survey};
use crate::peek::{KeysRead, Peek, known, missing, mistyped, name, optional_bool, optional_integer, optional_number};
use crate::scan::{Kind, Scanner};

type Result<T> = std::result::Result<T, WireError>;

/// `POST /v1/completions`.
#[derive(Clone, Copy, Debug)]
pub struct Completions;

impl Tap for Completions {
    fn survey_response(&self, body: &[u8]) -> Result<Survey> {
        survey::survey(body)
    }

    fn decode_error(&self, body: &[u8]) -> RemoteError {
        OpenaiChat.decode_error(body)
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        OpenaiChat.stream_decoder()
    }

    fn splice_answer(&self, json: &[u8], splice: &AnswerSplice<'_>) -> Option<Bytes> {
        splice::answer(json, splice)
    }

    fn terminal_mark(&self) -> &'static [u8] {
        OpenaiChat.terminal_mark()
    }
}

/// The keys that are read; each may stand once.
const READ: [&str; 17] = [
    "model",
    "prompt",
    "max_tokens",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
    "n",
    "best_of",
    "stop",
    "echo",
    "logprobs",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "suffix",
    "user",
];

/// Validates a request and reads what routing needs, in one scan.
pub fn peek(body: &[u8]) -> Result<Peek> {
    let mut top =
        Top { body, peek: Peek { n: 1, ..Peek::default() }, read: KeysRead::default(), prompts: 0, best_of: 1 };
    Scanner::document(body, |scanner| {
        top.peek.inside = scanner.offset() + 1;
        scanner.object(|scanner, key| top.field(scanner, key))
    })?;
    if top.peek.model.is_none() {
        return Err(missing("model"));
    }
    if top.prompts == 0 {
        return Err(missing("prompt"));
    }
    // Each prompt has answers of its own, and all of them are made and paid for, not only the best.
    top.peek.n = top.peek.n.max(top.best_of).saturating_mul(top.prompts);
    top.peek.finish(body.len());
    Ok(top.peek)
}

struct Top<'a> {
    body: &'a [u8],
    peek: Peek,
    read: KeysRead,
    prompts: u64,
    best_of: u64,
}

impl Top<'_> {
    fn field(&mut self, scanner: &mut Scanner<'_>, key: &str) -> Result<()> {
        let Some(key) = known("", key, &READ)? else { return self.peek.other(scanner, key, &mut self.read) };
        self.read.once("", key)?;
        let start = scanner.offset();
        match key {
            "model" => self.peek.model = Some(name(scanner, key)?),
            "prompt" => {
                self.peek.needs.several = scanner.kind()? == Kind::Array;
                self.prompts = texts(scanner, key)?;
            }
            // With `echo`, a caller may want the prompt's own log probabilities and nothing more.
            "max_tokens" => {
                self.peek.max_output_tokens = optional_integer(scanner, key, 0..=u64::MAX)?;
                self.peek.needs.output_field = key;
            }
            "stream" => self.peek.stream = optional_bool(scanner, key)?.unwrap_or(false),
            "stream_options" => self.peek.include_usage = include_usage(scanner)?,
            "temperature" => drop(optional_number(scanner, key, 0.0..=2.0)?),
            "top_p" => drop(optional_number(scanner, key, 0.0..=1.0)?),
            "presence_penalty" | "frequency_penalty" => drop(optional_number(scanner, key, -2.0..=2.0)?),
            "n" => self.peek.n = optional_integer(scanner, key, 1..=128)?.unwrap_or(1),
            "best_of" => self.best_of = optional_integer(scanner, key, 1..=20)?.unwrap_or(1),
            "logprobs" => drop(optional_integer(scanner, key, 0..=5)?),
            "echo" => drop(optional_bool(scanner, key)?),
            "stop" => stop(scanner)?,
            "seed" => seed(scanner)?,
            _ => optional_string(scanner, key)?,
        }
        let end = start + self.body.get(start..scanner.offset()).unwrap_or_default().trim_ascii_end().len();
        match key {
            "model" => self.peek.model_at = Some(start..end),
            "max_tokens" => self.peek.max_output_at = Some(start..end),
            "stream_options" => self.peek.stream_options_at = Some(start..end),
            _ => {}
        }
        Ok(())
    }
}

/// One text, or a list of texts, of tokens, or of lists of tokens. The list must not be empty. Gives how many texts it is.
pub(crate) fn texts(scanner: &mut Scanner<'_>, param: &'static str) -> Result<u64> {
    const EXPECTED: &str = "a string or an array of strings, of token numbers, or of arrays of token numbers";
    match scanner.kind()? {
        Kind::String => return scanner.skip().map(|_| 1),
        Kind::Array => {}
        Kind::Object | Kind::Number | Kind::Bool | Kind::Null => return Err(mistyped(param, EXPECTED)),
    }
    let (mut of, mut count) = (None, 0);
    scanner.array(|scanner, at| {
        count += 1;
        let kind = scanner.kind()?;
        let same = *of.get_or_insert(kind) == kind;
        match kind {
            Kind::String if same => scanner.skip().map(drop),
            Kind::Number if same => token(scanner, || format!("{param}[{at}]")),
            Kind::Array if same => tokens(scanner, &format!("{param}[{at}]")),
            _ => Err(mistyped(param, EXPECTED)),
        }
    })?;
    let count = of.map(|kind| if kind == Kind::Number { 1 } else { count });
    count.ok_or_else(|| WireError::invalid(param, format!("`{param}` must hold at least one text")))
}

fn tokens(scanner: &mut Scanner<'_>, param: &str) -> Result<()> {
    let mut empty = true;
    scanner.array(|scanner, at| {
        empty = false;
        token(scanner, || format!("{param}[{at}]"))
    })?;
    if empty { Err(WireError::invalid(param, format!("`{param}` must hold at least one token"))) } else { Ok(()) }
}

fn token(scanner: &mut Scanner<'_>, param: impl FnOnce() -> String) -> Result<()> {
    let is_token = scanner.kind()? == Kind::Number && scanner.number()?.parse::<u32>().is_ok();
    if is_token { Ok(()) } else { Err(mistyped(&param(), "a token number")) }
}

fn include_usage(scanner: &mut Scanner<'_>) -> Result<Option<bool>> {
    match scanner.kind()? {
        Kind::Null => return scanner.skip().map(|_| None),
        Kind::Object => {}
        Kind::Array | Kind::String | Kind::Number | Kind::Bool => return Err(mistyped("stream_options", "an object")),
    }
    let (mut keys, mut include) = (KeysRead::default(), None);
    scanner.object(|scanner, key| {
        let Some(key) = known("stream_options", key, &["include_usage"])? else {
            return scanner.skip().map(drop);
        };
        keys.once("stream_options", key)?;
        include = optional_bool(scanner, "stream_options.include_usage")?;
        Ok(())
    })?;
    Ok(include)
}

fn stop(scanner: &mut Scanner<'_>) -> Result<()> {
    if scanner.kind()? != Kind::Array {
        return optional_string(scanner, "stop");
    }
    scanner.array(|scanner, at| {
        if at >= 4 {
            return Err(WireError::invalid("stop", "`stop` takes at most 4 strings"));
        }
        match scanner.kind()? {
            Kind::String => scanner.skip().map(drop),
            _ => Err(mistyped(&format!("stop[{at}]"), "a string")),
        }
    })
}

fn seed(scanner: &mut Scanner<'_>) -> Result<()> {
    match scanner.kind()? {
        Kind::Null => scanner.skip().map(drop),
        Kind::Number if scanner.number()?.parse::<i64>().is_ok() => Ok(()),
        _ => Err(mistyped("seed", "a whole number")),
    }
}

/// A string or null, whose content does not matter.
pub(crate) fn optional_string(scanner: &mut Scanner<'_>, param: &str) -> Result<()> {
    match scanner.kind()? {
        Kind::String | Kind::Null => scanner.skip().map(drop),
        Kind::Object | Kind::Array | Kind::Number | Kind::Bool => Err(mistyped(param, "a string")),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::chat::event::Event;
    use crate::chat::{FinishReason, Usage};
    use crate::sse::Framer;

    #[test]
    fn every_answer_that_is_made_is_counted() {
        let made = |fields: &str| peek(format!(r#"{{"model":"m",{fields}}}"#).as_bytes()).unwrap().n;
        assert_eq!(made(r#""prompt":"a""#), 1);
        assert_eq!(made(r#""prompt":[1,2,3],"n":2"#), 2);
        assert_eq!(made(r#""prompt":["a","b"],"n":2"#), 4);
        assert_eq!(made(r#""prompt":["a","b","c"],"n":2,"best_of":5"#), 15);
    }

    #[test]
    fn what_routing_needs_is_read_and_found() {
        let body = br#"{ "model" : "davinci" , "prompt":["a","b"],"max_tokens": 7 ,"n":2,"stream":true,
            "stream_options":{"include_usage":true},"stop":["x"],"logprobs":null,"vendor":{"x":[1]}}"#;
        let peek = peek(body).unwrap();
        let at = |range: Option<std::ops::Range<usize>>| std::str::from_utf8(&body[range.unwrap()]).unwrap();
        assert_eq!((peek.model.as_deref(), at(peek.model_at)), (Some("davinci"), "\"davinci\""));
        assert_eq!((peek.max_output_tokens, at(peek.max_output_at)), (Some(7), "7"));
        assert_eq!(at(peek.stream_options_at), r#"{"include_usage":true}"#);
        assert_eq!((peek.n, peek.stream, peek.include_usage, peek.inside), (4, true, Some(true), 1));
    }

    #[test]
    fn every_form_of_prompt_is_accepted() {
        for prompt in [r#""""#, r#""a""#, r#"["a","b"]"#, "[1,2]", "[[1],[2,3]]"] {
            peek(format!(r#"{{"model":"m","prompt":{prompt}}}"#).as_bytes()).expect(prompt);
        }
    }

    #[test]
    fn what_the_api_would_refuse_is_refused_by_name() {
        let cases = [
            (r#"{"prompt":"a"}"#, "model"),
            (r#"{"model":"","prompt":"a"}"#, "model"),
            (r#"{"model":"m"}"#, "prompt"),
            (r#"{"model":"m","prompt":[]}"#, "prompt"),
            (r#"{"model":"m","prompt":null}"#, "prompt"),
            (r#"{"model":"m","prompt":["a",1]}"#, "prompt"),
            (r#"{"model":"m","prompt":[1,-2]}"#, "prompt[1]"),
            (r#"{"model":"m","prompt":[[1],[]]}"#, "prompt[1]"),
            (r#"{"model":"m","prompt":[["a"]]}"#, "prompt[0][0]"),
            (r#"{"model":"m","prompt":"a","prompt":"b"}"#, "prompt"),
            (r#"{"model":"m","prompt":"a","n":0}"#, "n"),
            (r#"{"model":"m","prompt":"a","max_tokens":1.5}"#, "max_tokens"),
            (r#"{"model":"m","prompt":"a","temperature":2.1}"#, "temperature"),
            (r#"{"model":"m","prompt":"a","stop":["1","2","3","4","5"]}"#, "stop"),
            (r#"{"model":"m","prompt":"a","stream_options":{"include_usage":1}}"#, "stream_options.include_usage"),
            (r#"{"model":"m","prompt":"a","user":1}"#, "user"),
        ];
        for (body, param) in cases {
            assert_eq!(peek(body.as_bytes()).unwrap_err().param(), Some(param), "{body}");
        }
    }

    #[test]
    fn a_stream_of_texts_is_read_to_its_end() {
        let mut framer = Framer::new(4096);
        framer.push(Bytes::from_static(include_bytes!("../tests/golden/completions/text.sse")));
        let (mut decoder, mut events) = (Completions.stream_decoder(), Vec::new());
        while let Some(frame) = framer.next_frame().unwrap() {
            decoder.frame(&frame, &mut events).unwrap();
        }
        decoder.end(&mut events).unwrap();
        let text = |text: &str| Event::Text { choice: 0, text: text.to_owned() };
        assert_eq!(events[1..3], [text(" Hello"), text(" world")]);
        let usage = Usage { input: Some(5), output: Some(2), ..Usage::default() };
        let finish = Event::Finish { choice: 0, reason: FinishReason::Stop };
        assert_eq!(events[3..], [finish, Event::Usage(usage), Event::Done]);
    }
}
