//! The peek: validates what has a closed set or a range and reads what routing needs, in one scan.
//! Item and tool types are an open set that grows monthly, so only their form is checked here. Tests are below.

use std::borrow::Cow;
use std::ops::Range;

use crate::error::WireError;
use crate::peek::{
    Features, KeysRead, Needs, Peek, Source, Weight, known, known_in, missing, mistyped, name, not_one_of, note_parts,
    optional_bool, optional_integer, optional_number, optional_string, string, word_at,
};
use crate::scan::{Kind, Scanner};

type Result<T> = std::result::Result<T, WireError>;

pub(super) const ROLES: [&str; 4] = ["user", "assistant", "system", "developer"];

/// The top-level keys that are read; each may stand once.
const READ: [&str; 22] = [
    "model",
    "input",
    "stream",
    "max_output_tokens",
    "previous_response_id",
    "conversation",
    "prompt",
    "temperature",
    "top_p",
    "top_logprobs",
    "tools",
    "tool_choice",
    "background",
    "store",
    "parallel_tool_calls",
    "instructions",
    "metadata",
    "reasoning",
    "text",
    "stream_options",
    "include",
    "service_tier",
];

/// See [`crate::dialect::ClientDialect::peek`].
pub(super) fn peek(body: &[u8]) -> Result<Peek> {
    let mut top = Top { body, peek: Peek::default(), read: KeysRead::default(), input: false, continues: false };
    Scanner::document(body, |scanner| {
        top.peek.inside = scanner.offset() + 1;
        scanner.object(|scanner, key| top.field(scanner, key))
    })?;
    // A stored prompt or an earlier response may name the model and hold the input.
    if top.peek.model.is_none() && !top.continues {
        return Err(missing("model"));
    }
    if !top.input && !top.continues {
        return Err(missing("input"));
    }
    top.peek.n = 1;
    top.peek.needs.boundless |= top.continues;
    top.peek.finish(body.len());
    Ok(top.peek)
}

struct Top<'a> {
    body: &'a [u8],
    peek: Peek,
    read: KeysRead,
    input: bool,
    /// The request leans on something stored at the provider.
    continues: bool,
}

impl Top<'_> {
    /// Consumes one top-level value.
    fn field(&mut self, scanner: &mut Scanner<'_>, key: &str) -> Result<()> {
        let Some(key) = known("", key, &READ)? else { return self.peek.other(scanner, key, &mut self.read) };
        self.read.once("", key)?;
        match key {
            "model" if scanner.kind()? != Kind::Null => {
                let (model, at) = self.located(scanner, |scanner| name(scanner, key))?;
                (self.peek.model, self.peek.model_at) = (Some(model), Some(at));
            }
            "input" => self.input = input(scanner, &mut self.peek.needs)?,
            "stream" => self.peek.stream = optional_bool(scanner, key)?.unwrap_or(false),
            "max_output_tokens" => {
                let (cap, at) = self.located(scanner, |scanner| optional_integer(scanner, key, 1..=u64::MAX))?;
                // A null still holds its key's place, so that nobody puts a second one there.
                (self.peek.max_output_tokens, self.peek.max_output_at) = (cap, Some(at));
                self.peek.needs.output_field = key;
            }
            "previous_response_id" | "conversation" | "prompt" => {
                self.continues |= scanner.kind()? != Kind::Null;
                scanner.skip()?;
            }
            "temperature" => drop(optional_number(scanner, key, 0.0..=2.0)?),
            "top_p" => drop(optional_number(scanner, key, 0.0..=1.0)?),
            "top_logprobs" => drop(optional_integer(scanner, key, 0..=20)?),
            "tools" => tools(scanner, &mut self.peek.needs)?,
            "tool_choice" => tool_choice(scanner)?,
            "background" => self.peek.later = optional_bool(scanner, key)?.filter(|later| *later).map(|_| key),
            "store" | "parallel_tool_calls" => drop(optional_bool(scanner, key)?),
            "instructions" => typed(scanner, key, Kind::String, "a string")?,
            "reasoning" => reasoning(scanner, &mut self.peek.needs)?,
            "text" => text(scanner, &mut self.peek.needs)?,
            "metadata" | "stream_options" => typed(scanner, key, Kind::Object, "an object")?,
            "service_tier" => self.peek.service_tier = optional_string(scanner, key)?,
            "include" => typed(scanner, key, Kind::Array, "an array")?,
            _ => return scanner.skip().map(drop),
        }
        Ok(())
    }

    /// Reads a value and says where it stands, without the white space around it.
    fn located<'s, T>(
        &self,
        scanner: &mut Scanner<'s>,
        read: impl FnOnce(&mut Scanner<'s>) -> Result<T>,
    ) -> Result<(T, Range<usize>)> {
        let start = scanner.offset();
        let value = read(scanner)?;
        let span = self.body.get(start..scanner.offset()).unwrap_or_default();
        Ok((value, start..start + span.trim_ascii_end().len()))
    }
}

/// A text or a list of items; says whether it was there at all.
fn input(scanner: &mut Scanner<'_>, needs: &mut Needs) -> Result<bool> {
    match scanner.kind()? {
        Kind::Null => scanner.skip().map(|_| false),
        Kind::String => scanner.skip().map(|_| true),
        Kind::Array => {
            let mut count = 0;
            scanner.array(|scanner, at| {
                count += 1;
                item(scanner, needs, at)
            })?;
            if count == 0 {
                return Err(WireError::invalid("input", "`input` must hold at least one item"));
            }
            Ok(true)
        }
        Kind::Object | Kind::Number | Kind::Bool => Err(mistyped("input", "a string or an array of items")),
    }
}

/// What one input item says about itself.
#[derive(Default)]
struct Item {
    kind: Option<ItemKind>,
    role: bool,
    content: bool,
    /// What the provider sealed of it is there.
    sealed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ItemKind {
    Message,
    /// Whatever it means to the model is in it.
    Whole,
    /// It is whole if it brings its seal; else it lies at the provider.
    Sealed,
    /// It stands for what lies elsewhere, or may.
    Other,
}

impl ItemKind {
    fn of(word: &str) -> Self {
        match word {
            "message" => Self::Message,
            "reasoning" | "compaction" => Self::Sealed,
            "function_call"
            | "function_call_output"
            | "custom_tool_call"
            | "custom_tool_call_output"
            | "local_shell_call"
            | "local_shell_call_output"
            | "shell_call"
            | "shell_call_output"
            | "apply_patch_call"
            | "apply_patch_call_output"
            | "web_search_call"
            | "mcp_list_tools"
            | "mcp_call"
            | "mcp_approval_request"
            | "mcp_approval_response" => Self::Whole,
            _ => Self::Other,
        }
    }
}

fn item(scanner: &mut Scanner<'_>, needs: &mut Needs, at: usize) -> Result<()> {
    let param = |key: &str| format!("input[{at}].{key}");
    if scanner.kind()? != Kind::Object {
        return Err(mistyped(&format!("input[{at}]"), "an object"));
    }
    let mut item = Item::default();
    let within = || format!("input[{at}]");
    let read = ["type", "role", "content", "output", "encrypted_content"];
    scanner.object(|scanner, key| match known_in(&within, key, &read)? {
        Some(key @ "type") if scanner.kind()? != Kind::Null => {
            if item.kind.is_some() {
                return Err(twice(&param(key)));
            }
            if scanner.kind()? != Kind::String {
                return Err(mistyped(&param(key), "a string"));
            }
            item.kind = Some(ItemKind::of(&scanner.string()?));
            Ok(())
        }
        Some(key @ "role") => {
            if std::mem::replace(&mut item.role, true) {
                return Err(twice(&param(key)));
            }
            if scanner.kind()? != Kind::String {
                return Err(mistyped(&param(key), "a string"));
            }
            let role = scanner.string()?;
            if ROLES.contains(&&*role) { Ok(()) } else { Err(not_one_of(&param(key), &role, &ROLES)) }
        }
        Some(key @ "content") => {
            if std::mem::replace(&mut item.content, true) {
                return Err(twice(&param(key)));
            }
            content(scanner, needs, || param(key))
        }
        Some(key @ "output") => note_parts(scanner, needs, &|| param(key), weight_of),
        Some("encrypted_content") => {
            item.sealed = scanner.kind()? == Kind::String;
            scanner.skip().map(drop)
        }
        _ => scanner.skip().map(drop),
    })?;
    needs.boundless |= match item.kind {
        Some(ItemKind::Other) => true,
        Some(ItemKind::Sealed) => !item.sealed,
        Some(ItemKind::Message | ItemKind::Whole) | None => false,
    };
    match (item.kind, item.role, item.content) {
        (Some(ItemKind::Whole | ItemKind::Sealed | ItemKind::Other), ..) | (_, true, true) => Ok(()),
        (_, false, _) => Err(missing(&param("role"))),
        (_, true, false) => Err(missing(&param("content"))),
    }
}

/// A text, null (as reasoning items have it), or a list of typed parts.
fn content(scanner: &mut Scanner<'_>, needs: &mut Needs, param: impl Fn() -> String) -> Result<()> {
    match scanner.kind()? {
        Kind::String | Kind::Null => scanner.skip().map(drop),
        Kind::Array => scanner.array(|scanner, at| part(scanner, needs, || format!("{}[{at}]", param()))),
        Kind::Object | Kind::Number | Kind::Bool => Err(mistyped(&param(), "a string or an array of parts")),
    }
}

fn part(scanner: &mut Scanner<'_>, needs: &mut Needs, param: impl Fn() -> String) -> Result<()> {
    let (start, mut source) = (scanner.offset(), Source::default());
    let kind = typed_object(scanner, &param, &["type", "image_url"], |scanner| {
        source = Source::read(scanner, &|| format!("{}.image_url", param()))?;
        Ok(())
    })?;
    needs.weigh(weight_of(&kind), source, scanner.end() - start);
    Ok(())
}

/// What a part of this type is to whoever counts its tokens.
fn weight_of(kind: &str) -> Weight {
    match kind {
        "input_text" | "output_text" | "summary_text" | "reasoning_text" | "text" | "refusal" => Weight::Text,
        "input_image" => Weight::Media(Features::VISION),
        "input_audio" => Weight::Media(Features::AUDIO),
        "input_file" => Weight::File,
        _ => Weight::Unknown,
    }
}

fn reasoning(scanner: &mut Scanner<'_>, needs: &mut Needs) -> Result<()> {
    if scanner.kind()? != Kind::Object {
        return typed(scanner, "reasoning", Kind::Object, "an object");
    }
    word_at(scanner, &["effort"])?.iter().for_each(|word| needs.effort(word));
    Ok(())
}

fn text(scanner: &mut Scanner<'_>, needs: &mut Needs) -> Result<()> {
    if scanner.kind()? != Kind::Object {
        return typed(scanner, "text", Kind::Object, "an object");
    }
    word_at(scanner, &["format", "type"])?.iter().for_each(|word| needs.format(word));
    Ok(())
}

fn tools(scanner: &mut Scanner<'_>, needs: &mut Needs) -> Result<()> {
    match scanner.kind()? {
        Kind::Null => scanner.skip().map(drop),
        Kind::Array => scanner.array(|scanner, at| {
            let kind =
                typed_object(scanner, &|| format!("tools[{at}]"), &["type"], |scanner| scanner.skip().map(drop))?;
            needs.tool(&kind);
            Ok(())
        }),
        Kind::Object | Kind::String | Kind::Number | Kind::Bool => Err(mistyped("tools", "an array")),
    }
}

fn tool_choice(scanner: &mut Scanner<'_>) -> Result<()> {
    const WORDS: [&str; 3] = ["none", "auto", "required"];
    match scanner.kind()? {
        Kind::Null => scanner.skip().map(drop),
        Kind::Object => {
            let path = || "tool_choice".to_owned();
            typed_object(scanner, &path, &["type"], |scanner| scanner.skip().map(drop)).map(drop)
        }
        Kind::String => {
            let word = string(scanner, "tool_choice")?;
            if WORDS.contains(&&*word) { Ok(()) } else { Err(not_one_of("tool_choice", &word, &WORDS)) }
        }
        Kind::Array | Kind::Number | Kind::Bool => Err(mistyped("tool_choice", "a string or an object")),
    }
}

/// An object with a `type` that is a string: that string. `visit` consumes the value of each other key that is read.
fn typed_object<'a>(
    scanner: &mut Scanner<'a>,
    param: &dyn Fn() -> String,
    read: &[&'static str],
    mut visit: impl FnMut(&mut Scanner<'a>) -> Result<()>,
) -> Result<Cow<'a, str>> {
    if scanner.kind()? != Kind::Object {
        return Err(mistyped(&param(), "an object"));
    }
    let mut kind = None;
    scanner.object(|scanner, key| {
        match known_in(param, key, read)? {
            Some("type") => {}
            Some(_) => return visit(scanner),
            None => return scanner.skip().map(drop),
        }
        if kind.is_some() {
            return Err(twice(&format!("{}.type", param())));
        }
        if scanner.kind()? != Kind::String {
            return Err(mistyped(&format!("{}.type", param()), "a string"));
        }
        kind = Some(scanner.string()?);
        Ok(())
    })?;
    kind.ok_or_else(|| missing(&format!("{}.type", param())))
}

fn typed(scanner: &mut Scanner<'_>, param: &str, kind: Kind, expected: &str) -> Result<()> {
    let found = scanner.kind()?;
    if found != kind && found != Kind::Null {
        return Err(mistyped(param, expected));
    }
    scanner.skip().map(drop)
}

fn twice(param: &str) -> WireError {
    WireError::invalid(param, format!("`{param}` stands twice in the same object; send it once"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn param(body: &str) -> String {
        peek(body.as_bytes()).unwrap_err().param().unwrap_or("syntax").to_owned()
    }

    #[test]
    fn routing_reads_the_model_the_stream_and_the_cap_where_they_stand() {
        let body =
            br#" { "model" : "gpt-5" , "input":"hi","stream":true,"max_output_tokens": 99 ,"new_field":{"a":[1]}}"#;
        let peeked = peek(body).unwrap();
        assert_eq!(peeked.model.as_deref(), Some("gpt-5"));
        assert_eq!(&body[peeked.model_at.unwrap()], b"\"gpt-5\"");
        assert_eq!(&body[peeked.max_output_at.unwrap()], b"99");
        assert_eq!((peeked.max_output_tokens, peeked.stream, peeked.n), (Some(99), true, 1));
        assert_eq!(peeked.inside, 2);
    }

    #[test]
    fn an_answer_that_is_to_be_fetched_later_is_said_to_be() {
        let later = |field: &str| peek(format!(r#"{{"model":"m","input":"hi"{field}}}"#).as_bytes()).unwrap().later;
        assert_eq!(later(r#","background":true"#), Some("background"));
        for now in ["", r#","background":false"#, r#","background":null"#] {
            assert_eq!(later(now), None, "{now}");
        }
    }

    #[test]
    fn every_form_of_input_item_is_let_through() {
        peek(
            br#"{"model":"m","input":[
            {"role":"user","content":"hi"},
            {"type":"message","role":"developer","content":[{"type":"input_text","text":"a"}]},
            {"type":null,"role":"assistant","content":[{"type":"output_text","text":"b","annotations":[]}]},
            {"type":"reasoning","summary":[],"content":null,"encrypted_content":"x"},
            {"type":"function_call","call_id":"c","name":"f","arguments":"{}"},
            {"type":"function_call_output","call_id":"c","output":"1"},
            {"type":"of_next_month","content":null}],
            "temperature":null,"tools":null,"tool_choice":{"type":"function","name":"f"},"metadata":{},"store":false}"#,
        )
        .unwrap();
        peek(br#"{"prompt":{"id":"pmpt_1"}}"#).unwrap();
        peek(br#"{"model":"m","previous_response_id":"resp_1"}"#).unwrap();
    }

    #[test]
    fn each_mistake_is_named_by_its_path() {
        for (body, expected) in [
            (r#"{"input":"a"}"#, "model"),
            (r#"{"model":"","input":"a"}"#, "model"),
            (r#"{"model":"a","mod\u0065l":"b","input":"a"}"#, "model"),
            (r#"{"model":"m","store":true,"store":false,"input":"a"}"#, "store"),
            (r#"{"model":"m"}"#, "input"),
            (r#"{"model":"m","previous_response_id":null}"#, "input"),
            (r#"{"model":"m","input":[]}"#, "input"),
            (r#"{"model":"m","input":7}"#, "input"),
            (r#"{"model":"m","input":["a"]}"#, "input[0]"),
            (r#"{"model":"m","input":[{"content":"a"}]}"#, "input[0].role"),
            (r#"{"model":"m","input":[{"role":"tool","content":"a"}]}"#, "input[0].role"),
            (r#"{"model":"m","input":[{"role":"user","role":"user","content":"a"}]}"#, "input[0].role"),
            (r#"{"model":"m","input":[{"role":"user"}]}"#, "input[0].content"),
            (r#"{"model":"m","input":[{"role":"user","content":{}}]}"#, "input[0].content"),
            (r#"{"model":"m","input":[{"role":"user","content":[{"text":"a"}]}]}"#, "input[0].content[0].type"),
            (r#"{"model":"m","input":"a","temperature":2.1}"#, "temperature"),
            (r#"{"model":"m","input":"a","top_p":-0.1}"#, "top_p"),
            (r#"{"model":"m","input":"a","max_output_tokens":0}"#, "max_output_tokens"),
            (r#"{"model":"m","input":"a","max_output_tokens":1e3}"#, "max_output_tokens"),
            (r#"{"model":"m","input":"a","stream":"yes"}"#, "stream"),
            (r#"{"model":"m","input":"a","tools":[{}]}"#, "tools[0].type"),
            (r#"{"model":"m","input":"a","tool_choice":"any"}"#, "tool_choice"),
            (r#"{"model":"m","input":"a","metadata":[]}"#, "metadata"),
            (r#"{"model":"m","input":"a""#, "syntax"),
        ] {
            assert_eq!(param(body), expected, "{body}");
        }
    }
}
