//! The first look at a chat request: one scan that refuses what OpenAI's API reference refuses (closed sets, ranges, types)
//! and reads what routing and money need. Leaves unknown fields alone: they may be a vendor's. Tests are below.

use std::borrow::Cow;
use std::ops::Range;

use crate::error::WireError;
use crate::peek::{
    Features, KeysRead, Needs, Peek, Source, Weight, known, known_in, missing, mistyped, name, not_one_of,
    optional_bool, optional_integer, optional_number, optional_string, word_at,
};
use crate::scan::{Kind, Scanner};

type Result<T> = std::result::Result<T, WireError>;

const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];
const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
const VERBOSITIES: [&str; 3] = ["low", "medium", "high"];
const FORMATS: [&str; 3] = ["text", "json_object", "json_schema"];
/// `any` is Mistral's word for `required`.
const TOOL_CHOICES: [&str; 4] = ["none", "auto", "required", "any"];

/// The keys that are read, in the order in which they usually stand.
const READ: [&str; 33] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "n",
    "stop",
    "seed",
    "logprobs",
    "top_logprobs",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "verbosity",
    "metadata",
    "logit_bias",
    "store",
    "user",
    "service_tier",
    "modalities",
    "audio",
    "prediction",
    "web_search_options",
    "functions",
    "function_call",
    "prompt_cache_key",
];

/// See [`crate::dialect::ClientDialect::peek`].
pub(super) fn peek(body: &[u8]) -> Result<Peek> {
    Scanner::document(body, |scanner| {
        let mut reading = Reading::default();
        reading.peek.n = 1;
        reading.peek.inside = scanner.offset() + 1;
        let mut keys = KeysRead::default();
        scanner.object(|scanner, key| {
            let Some(key) = known("", key, &READ)? else { return reading.peek.other(scanner, key, &mut keys) };
            keys.once("", key)?;
            reading.field(scanner, key)
        })?;
        reading.finish(body.len())
    })
}

#[derive(Default)]
struct Reading {
    peek: Peek,
    has_messages: bool,
    cap: Cap,
    old_cap: Cap,
}

/// One of the two fields that may carry the output cap.
#[derive(Default)]
struct Cap {
    tokens: Option<u64>,
    at: Option<Range<usize>>,
}

impl Reading {
    fn field(&mut self, scanner: &mut Scanner<'_>, key: &'static str) -> Result<()> {
        match key {
            "model" => model(scanner, &mut self.peek)?,
            "messages" => {
                messages(scanner, &mut self.peek.needs)?;
                self.has_messages = true;
            }
            "stream" => self.peek.stream = optional_bool(scanner, key)?.unwrap_or(false),
            "stream_options" => stream_options(scanner, &mut self.peek)?,
            "max_completion_tokens" => self.cap = cap(scanner, key)?,
            "max_tokens" => self.old_cap = cap(scanner, key)?,
            "temperature" => drop(optional_number(scanner, key, 0.0..=2.0)?),
            "top_p" => drop(optional_number(scanner, key, 0.0..=1.0)?),
            "presence_penalty" | "frequency_penalty" => drop(optional_number(scanner, key, -2.0..=2.0)?),
            "n" => self.peek.n = optional_integer(scanner, key, 1..=128)?.unwrap_or(1),
            "top_logprobs" => drop(optional_integer(scanner, key, 0..=20)?),
            "seed" => seed(scanner)?,
            "stop" => stop(scanner)?,
            "tools" => typed_items(scanner, key, "type", |kind| self.peek.needs.tool(kind))?,
            "functions" => typed_items(scanner, key, "name", |_| self.peek.needs.tool("function"))?,
            "tool_choice" => choice(scanner, key, &TOOL_CHOICES)?,
            "function_call" => choice(scanner, key, &["none", "auto"])?,
            "response_format" => response_format(scanner, &mut self.peek.needs)?,
            "reasoning_effort" => effort(scanner, &mut self.peek.needs)?,
            "verbosity" => optional_word(scanner, key, &VERBOSITIES)?,
            "parallel_tool_calls" | "logprobs" | "store" => drop(optional_bool(scanner, key)?),
            "service_tier" => self.peek.service_tier = optional_string(scanner, key)?,
            "user" | "prompt_cache_key" => {
                shaped(scanner, key, Kind::String, "a string")?;
            }
            "web_search_options" => {
                self.peek.needs.boundless |= scanner.kind()? != Kind::Null;
                shaped(scanner, key, Kind::Object, "an object")?;
            }
            "modalities" => modalities(scanner, &mut self.peek.needs)?,
            _ => shaped(scanner, key, Kind::Object, "an object")?,
        }
        Ok(())
    }

    fn finish(self, length: usize) -> Result<Peek> {
        let mut peek = self.peek;
        if peek.model.is_none() {
            return Err(missing("model"));
        }
        if !self.has_messages {
            return Err(missing("messages"));
        }
        if self.cap.tokens.is_some() && self.old_cap.tokens.is_some() {
            return Err(WireError::invalid(
                "max_tokens",
                "`max_tokens` and `max_completion_tokens` say the same; send only `max_completion_tokens`",
            ));
        }
        // A null still holds its key's place, so that nobody puts a second one there.
        let is_old = self.old_cap.tokens.is_some() || self.cap.at.is_none();
        peek.needs.output_field = if is_old { "max_tokens" } else { "max_completion_tokens" };
        let spoken = if is_old { self.old_cap } else { self.cap };
        peek.max_output_tokens = spoken.tokens;
        peek.max_output_at = spoken.at;
        peek.finish(length);
        Ok(peek)
    }
}

/// `model`: a name, and where it stands.
pub(crate) fn model(scanner: &mut Scanner<'_>, peek: &mut Peek) -> Result<()> {
    let start = scanner.offset();
    peek.model = Some(name(scanner, "model")?);
    peek.model_at = Some(start..scanner.end());
    Ok(())
}

/// `stream_options`, which is the same in chat and legacy completions.
pub(crate) fn stream_options(scanner: &mut Scanner<'_>, peek: &mut Peek) -> Result<()> {
    let start = scanner.offset();
    match scanner.kind()? {
        Kind::Null => {
            scanner.skip()?;
        }
        Kind::Object => {
            let mut keys = KeysRead::default();
            scanner.object(|scanner, key| {
                let Some(key) = known("stream_options", key, &["include_usage"])? else {
                    return scanner.skip().map(drop);
                };
                keys.once("stream_options", key)?;
                peek.include_usage = optional_bool(scanner, "stream_options.include_usage")?;
                Ok(())
            })?;
        }
        Kind::Array | Kind::String | Kind::Number | Kind::Bool => {
            return Err(mistyped("stream_options", "an object"));
        }
    }
    peek.stream_options_at = Some(start..scanner.end());
    Ok(())
}

/// `stop`: one string, or up to four.
pub(crate) fn stop(scanner: &mut Scanner<'_>) -> Result<()> {
    match scanner.kind()? {
        Kind::Null | Kind::String => scanner.skip().map(drop),
        Kind::Array => scanner.array(|scanner, at| {
            if at >= 4 {
                return Err(WireError::invalid("stop", "`stop` takes at most 4 strings"));
            }
            if scanner.kind()? != Kind::String {
                return Err(mistyped(&format!("stop[{at}]"), "a string"));
            }
            scanner.skip().map(drop)
        }),
        Kind::Object | Kind::Number | Kind::Bool => Err(mistyped("stop", "a string or an array of strings")),
    }
}

fn cap(scanner: &mut Scanner<'_>, key: &str) -> Result<Cap> {
    let start = scanner.offset();
    let tokens = optional_integer(scanner, key, 1..=u64::MAX)?;
    Ok(Cap { tokens, at: Some(start..scanner.end()) })
}

fn messages(scanner: &mut Scanner<'_>, needs: &mut Needs) -> Result<()> {
    if scanner.kind()? != Kind::Array {
        return Err(mistyped("messages", "an array"));
    }
    let mut empty = true;
    scanner.array(|scanner, at| {
        empty = false;
        message(scanner, needs, at)
    })?;
    if empty {
        return Err(WireError::invalid("messages", "`messages` must hold at least one message"));
    }
    Ok(())
}

/// What one message says of itself.
#[derive(Default)]
struct Message {
    role: Option<&'static str>,
    has_content: bool,
    /// Seen before, even as a null.
    content: bool,
    call_id: bool,
    calls: bool,
}

/// Paths are made only for errors, so that a good body costs no allocation.
fn message(scanner: &mut Scanner<'_>, needs: &mut Needs, at: usize) -> Result<()> {
    if scanner.kind()? != Kind::Object {
        return Err(mistyped(&format!("messages[{at}]"), "an object"));
    }
    let path = |key: &str| format!("messages[{at}].{key}");
    let mut said = Message::default();
    scanner.object(|scanner, key| {
        let within = || format!("messages[{at}]");
        let Some(key) = known_in(&within, key, &["role", "content", "tool_call_id", "tool_calls"])? else {
            return scanner.skip().map(drop);
        };
        match key {
            "role" if said.role.is_some() => return Err(twice(path(key))),
            "role" => said.role = Some(role(scanner, || path(key))?),
            "content" => {
                once(&mut said.content, || path(key))?;
                said.has_content = content(scanner, needs, || path(key))?;
            }
            "tool_call_id" if scanner.kind()? == Kind::String => {
                once(&mut said.call_id, || path(key))?;
                scanner.skip()?;
            }
            "tool_calls" if matches!(scanner.kind()?, Kind::Array | Kind::Null) => {
                once(&mut said.calls, || path(key))?;
                scanner.skip()?;
            }
            "tool_call_id" => return Err(mistyped(&path(key), "a string")),
            "tool_calls" => return Err(mistyped(&path(key), "an array")),
            _ => return scanner.skip().map(drop),
        }
        Ok(())
    })?;
    match said.role {
        None => Err(missing(&path("role"))),
        Some("system" | "developer" | "user" | "tool") if !said.has_content => Err(missing(&path("content"))),
        Some("tool") if !said.call_id => Err(missing(&path("tool_call_id"))),
        Some(_) => Ok(()),
    }
}

fn role(scanner: &mut Scanner<'_>, path: impl Fn() -> String) -> Result<&'static str> {
    if scanner.kind()? != Kind::String {
        return Err(mistyped(&path(), "a string"));
    }
    let role = scanner.string()?;
    ROLES.into_iter().find(|known| *known == role).ok_or_else(|| not_one_of(&path(), &role, &ROLES))
}

/// A text or a list of typed parts; says whether it is there, for a null is not.
fn content(scanner: &mut Scanner<'_>, needs: &mut Needs, path: impl Fn() -> String) -> Result<bool> {
    match scanner.kind()? {
        Kind::String => scanner.skip().map(|_| true),
        Kind::Null => scanner.skip().map(|_| false),
        Kind::Array => scanner.array(|scanner, at| part(scanner, needs, || format!("{}[{at}]", path()))).map(|()| true),
        Kind::Object | Kind::Number | Kind::Bool => Err(mistyped(&path(), "a string or an array of parts")),
    }
}

/// The types of parts are an open set.
fn part(scanner: &mut Scanner<'_>, needs: &mut Needs, path: impl Fn() -> String) -> Result<()> {
    if scanner.kind()? != Kind::Object {
        return Err(mistyped(&path(), "an object"));
    }
    let (start, mut typed, mut weight, mut source) = (scanner.offset(), false, Weight::Text, Source::default());
    scanner.object(|scanner, key| match known_in(&path, key, &["type", "image_url"])? {
        Some("type") => {
            once(&mut typed, || format!("{}.type", path()))?;
            if scanner.kind()? != Kind::String {
                return Err(mistyped(&format!("{}.type", path()), "a string"));
            }
            weight = weight_of(&scanner.string()?);
            Ok(())
        }
        Some("image_url") => {
            source = Source::read(scanner, &|| format!("{}.image_url", path()))?;
            Ok(())
        }
        _ => scanner.skip().map(drop),
    })?;
    needs.weigh(weight, source, scanner.end() - start);
    if typed { Ok(()) } else { Err(missing(&format!("{}.type", path()))) }
}

/// What a part of this type is to whoever counts its tokens.
fn weight_of(kind: &str) -> Weight {
    match kind {
        "text" | "refusal" | "thinking" => Weight::Text,
        "image_url" => Weight::Media(Features::VISION),
        "input_audio" => Weight::Media(Features::AUDIO),
        "file" => Weight::File,
        _ => Weight::Unknown,
    }
}

fn once(seen: &mut bool, path: impl Fn() -> String) -> Result<()> {
    if std::mem::replace(seen, true) { Err(twice(path())) } else { Ok(()) }
}

fn twice(param: String) -> WireError {
    let message = format!("`{param}` stands twice in the same object; send it once");
    WireError::invalid(param, message)
}

fn seed(scanner: &mut Scanner<'_>) -> Result<()> {
    match scanner.kind()? {
        Kind::Null => scanner.skip().map(drop),
        Kind::Number if scanner.number()?.parse::<i64>().is_ok() => Ok(()),
        _ => Err(mistyped("seed", "a whole number")),
    }
}

/// An array of objects that each hold a string at `tag`, which is told to `note`.
fn typed_items(
    scanner: &mut Scanner<'_>,
    key: &'static str,
    tag: &'static str,
    mut note: impl FnMut(&str),
) -> Result<()> {
    match scanner.kind()? {
        Kind::Null => return scanner.skip().map(drop),
        Kind::Array => {}
        Kind::Object | Kind::String | Kind::Number | Kind::Bool => {
            return Err(mistyped(key, "an array"));
        }
    }
    scanner.array(|scanner, at| {
        if scanner.kind()? != Kind::Object {
            return Err(mistyped(&format!("{key}[{at}]"), "an object"));
        }
        tagged(scanner, &format!("{key}[{at}]"), tag).map(|tag| note(&tag))
    })
}

/// Walks an object and gives the string at `tag`, which must be there.
fn tagged(scanner: &mut Scanner<'_>, path: &str, tag: &'static str) -> Result<String> {
    let mut keys = KeysRead::default();
    let mut value = None;
    scanner.object(|scanner, key| {
        if known(path, key, &[tag])?.is_none() {
            return scanner.skip().map(drop);
        }
        keys.once(path, tag)?;
        value = Some(name(scanner, &format!("{path}.{tag}"))?);
        Ok(())
    })?;
    value.ok_or_else(|| missing(&format!("{path}.{tag}")))
}

/// One of a few words, or an object that says more.
fn choice(scanner: &mut Scanner<'_>, key: &str, words: &[&str]) -> Result<()> {
    match scanner.kind()? {
        Kind::Object => scanner.skip().map(drop),
        _ => optional_word(scanner, key, words),
    }
}

fn response_format(scanner: &mut Scanner<'_>, needs: &mut Needs) -> Result<()> {
    match scanner.kind()? {
        Kind::Null => scanner.skip().map(drop),
        Kind::Object => {
            let kind = tagged(scanner, "response_format", "type")?;
            needs.format(&kind);
            if FORMATS.contains(&&*kind) { Ok(()) } else { Err(not_one_of("response_format.type", &kind, &FORMATS)) }
        }
        Kind::Array | Kind::String | Kind::Number | Kind::Bool => Err(mistyped("response_format", "an object")),
    }
}

fn effort(scanner: &mut Scanner<'_>, needs: &mut Needs) -> Result<()> {
    let word = one_word(scanner, "reasoning_effort", &EFFORTS)?;
    word.iter().for_each(|word| needs.effort(word));
    Ok(())
}

/// What the answer is made of; what is not a word in it is left to the provider.
fn modalities(scanner: &mut Scanner<'_>, needs: &mut Needs) -> Result<()> {
    if scanner.kind()? != Kind::Array {
        return shaped(scanner, "modalities", Kind::Array, "an array");
    }
    scanner.array(|scanner, _| {
        if word_at(scanner, &[])?.as_deref() == Some("audio") {
            needs.part(Features::AUDIO, 0);
        }
        Ok(())
    })
}

fn optional_word(scanner: &mut Scanner<'_>, key: &str, words: &[&str]) -> Result<()> {
    one_word(scanner, key, words).map(drop)
}

/// One of `words`, or `None` for null.
fn one_word<'a>(scanner: &mut Scanner<'a>, key: &str, words: &[&str]) -> Result<Option<Cow<'a, str>>> {
    match scanner.kind()? {
        Kind::Null => scanner.skip().map(|_| None),
        Kind::String => {
            let word = scanner.string()?;
            if words.contains(&&*word) { Ok(Some(word)) } else { Err(not_one_of(key, &word, words)) }
        }
        Kind::Object | Kind::Array | Kind::Number | Kind::Bool => Err(mistyped(key, "a string")),
    }
}

/// A value of one type, or null.
pub(crate) fn shaped(scanner: &mut Scanner<'_>, key: &str, kind: Kind, expected: &str) -> Result<()> {
    let found = scanner.kind()?;
    if found != kind && found != Kind::Null {
        return Err(mistyped(key, expected));
    }
    scanner.skip().map(drop)
}

#[cfg(test)]
mod tests;
