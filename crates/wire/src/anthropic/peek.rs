//! What is read from a Messages request before it is routed, in one scan. Unknown fields and unknown block types pass;
//! a null is refused where the API refuses it, because a relayed body would only fail later. Tests: here.

use std::ops::Range;

use crate::error::WireError;
use crate::peek::{
    Features, KeysRead, Needs, Peek, Source, Weight, join, known, known_in, missing, mistyped, not_one_of, note_parts,
    optional_bool, optional_integer, optional_number, word_at,
};
use crate::scan::{Kind, Scanner};

type Result<T> = std::result::Result<T, WireError>;

/// The top-level keys that are read. None of them may be null.
const READ: [&str; 15] = [
    "model",
    "messages",
    "max_tokens",
    "stream",
    "system",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "tools",
    "tool_choice",
    "thinking",
    "metadata",
    "output_config",
    "service_tier",
];

const ROLES: [&str; 3] = ["user", "assistant", "system"];
const CHOICES: [&str; 4] = ["auto", "any", "tool", "none"];

/// The least thinking budget the API takes.
const LEAST_BUDGET: u64 = 1024;

/// Reads a `/v1/messages` request.
pub(super) fn peek(body: &[u8]) -> Result<Peek> {
    let peek = peek_count_tokens(body)?;
    if peek.max_output_tokens.is_none() {
        return Err(missing("max_tokens"));
    }
    Ok(peek)
}

/// Like [`crate::dialect::ClientDialect::peek`], for a `/v1/messages/count_tokens` request: `max_tokens` may be absent.
pub fn peek_count_tokens(body: &[u8]) -> std::result::Result<Peek, WireError> {
    let mut peek = Peek { n: 1, ..Peek::default() };
    let mut keys = KeysRead::default();
    let mut messages_seen = false;
    Scanner::document(body, |scanner| {
        peek.inside = scanner.offset() + 1;
        scanner.object(|scanner, key| {
            let Some(key) = known("", key, &READ)? else { return peek.other(scanner, key, &mut keys) };
            keys.once("", key)?;
            if scanner.kind()? == Kind::Null {
                return Err(WireError::invalid(key, format!("`{key}` must not be null; leave it out instead")));
            }
            messages_seen |= key == "messages";
            field(scanner, key, body, &mut peek)
        })
    })?;
    if peek.model.is_none() {
        return Err(missing("model"));
    }
    if !messages_seen {
        return Err(missing("messages"));
    }
    peek.finish(body.len());
    Ok(peek)
}

fn field(scanner: &mut Scanner<'_>, key: &'static str, body: &[u8], peek: &mut Peek) -> Result<()> {
    match key {
        "model" => {
            let (model, at) = name(scanner, key, body)?;
            peek.model = Some(model);
            peek.model_at = Some(at);
            Ok(())
        }
        "max_tokens" => {
            let from = scanner.offset();
            // 0 is legal: it warms the prompt cache without an answer.
            let cap = optional_integer(scanner, key, 0..=u64::MAX)?;
            let digits = body.get(from..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count();
            peek.max_output_tokens = cap;
            peek.max_output_at = Some(from..from + digits);
            peek.needs.output_field = key;
            Ok(())
        }
        "stream" => optional_bool(scanner, key).map(|stream| peek.stream = stream == Some(true)),
        "messages" => messages(scanner, &mut peek.needs),
        "temperature" | "top_p" => optional_number(scanner, key, 0.0..=1.0).map(drop),
        "top_k" => optional_integer(scanner, key, 0..=u64::MAX).map(drop),
        "system" => content(scanner, &mut peek.needs, &|| key.to_owned()),
        "stop_sequences" => array(scanner, key, |scanner, at| string(scanner, &|| format!("stop_sequences[{at}]"))),
        "tools" => array(scanner, key, |scanner, at| tool(scanner, &mut peek.needs, at)),
        "tool_choice" => tool_choice(scanner),
        "thinking" => thinking(scanner, &mut peek.needs),
        "output_config" => output_config(scanner, &mut peek.needs),
        "service_tier" => read(scanner, &|| key.to_owned()).map(|word| peek.service_tier = Some(word.into_owned())),
        _ => object(scanner, &|| key.to_owned(), &[], |scanner, _| scanner.skip().map(drop)),
    }
}

/// A string that is not empty, and where it stands.
fn name(scanner: &mut Scanner<'_>, key: &str, body: &[u8]) -> Result<(String, Range<usize>)> {
    if scanner.kind()? != Kind::String {
        return Err(mistyped(key, "a string"));
    }
    let at = scanner.skip()?;
    let quoted = body.get(at.clone()).unwrap_or_default();
    let text: String = serde_json::from_slice(quoted)
        .map_err(|_| WireError::Syntax { at: at.start, message: "a string holds a broken escape" })?;
    if text.is_empty() {
        return Err(WireError::invalid(key, format!("`{key}` must not be empty")));
    }
    Ok((text, at))
}

fn messages(scanner: &mut Scanner<'_>, needs: &mut Needs) -> Result<()> {
    let mut empty = true;
    array(scanner, "messages", |scanner, at| {
        empty = false;
        message(scanner, needs, at)
    })?;
    if empty {
        return Err(WireError::invalid("messages", "`messages` must hold at least one message"));
    }
    Ok(())
}

fn message(scanner: &mut Scanner<'_>, needs: &mut Needs, at: usize) -> Result<()> {
    let path = |key: &str| format!("messages[{at}].{key}");
    let (mut role_seen, mut content_seen) = (false, false);
    object(scanner, &|| format!("messages[{at}]"), &["role", "content"], |scanner, key| match key {
        Some("role") => {
            once(&mut role_seen, &|| path("role"))?;
            one_of(scanner, &ROLES, &|| path("role"))
        }
        Some("content") => {
            once(&mut content_seen, &|| path("content"))?;
            content(scanner, needs, &|| path("content"))
        }
        _ => scanner.skip().map(drop),
    })?;
    match (role_seen, content_seen) {
        (false, _) => Err(missing(&path("role"))),
        (true, false) => Err(missing(&path("content"))),
        (true, true) => Ok(()),
    }
}

/// A string, or an array of blocks that each say their type.
fn content(scanner: &mut Scanner<'_>, needs: &mut Needs, path: &dyn Fn() -> String) -> Result<()> {
    match scanner.kind()? {
        Kind::String => scanner.skip().map(drop),
        Kind::Array => scanner.array(|scanner, at| {
            let block = || format!("{}[{at}]", path());
            let (start, mut type_seen, mut weight, mut source) =
                (scanner.offset(), false, Weight::Text, Source::default());
            object(scanner, &block, &["type", "content", "source"], |scanner, key| match key {
                Some("type") => {
                    once(&mut type_seen, &|| format!("{}.type", block()))?;
                    weight = weight_of(&read(scanner, &|| format!("{}.type", block()))?);
                    Ok(())
                }
                Some("content") => note_parts(scanner, needs, &|| join(&block(), "content"), weight_of),
                Some("source") => {
                    source = Source::read(scanner, &|| join(&block(), "source"))?;
                    Ok(())
                }
                _ => scanner.skip().map(drop),
            })?;
            needs.weigh(weight, source, scanner.end() - start);
            if type_seen { Ok(()) } else { Err(missing(&format!("{}.type", block()))) }
        }),
        Kind::Object | Kind::Number | Kind::Bool | Kind::Null => {
            Err(mistyped(&path(), "a string or an array of content blocks"))
        }
    }
}

/// What a block of this type is to whoever counts its tokens.
fn weight_of(kind: &str) -> Weight {
    match kind {
        "text"
        | "thinking"
        | "redacted_thinking"
        | "tool_use"
        | "tool_result"
        | "tool_reference"
        | "search_result"
        | "server_tool_use"
        | "web_search_tool_result"
        | "web_search_result"
        | "mcp_tool_use"
        | "mcp_tool_result" => Weight::Text,
        "image" => Weight::Media(Features::VISION),
        "document" => Weight::File,
        _ => Weight::Unknown,
    }
}

/// A tool of the caller's own has a name and a schema; tools of other types have fields of their own. None may run a model of its
/// own, which nobody has authorised or priced.
fn tool(scanner: &mut Scanner<'_>, needs: &mut Needs, at: usize) -> Result<()> {
    let path = |key: &str| format!("tools[{at}].{key}");
    let (mut hosted, mut typed, mut named, mut schema, mut model) = (None, false, false, false, false);
    let known = ["type", "name", "input_schema", "model"];
    object(scanner, &|| format!("tools[{at}]"), &known, |scanner, key| match key {
        Some("type") => {
            once(&mut typed, &|| path("type"))?;
            if scanner.kind()? == Kind::Null {
                return scanner.skip().map(drop);
            }
            let kind = read(scanner, &|| path("type"))?;
            hosted = (kind != "custom").then(|| kind.into_owned());
            Ok(())
        }
        Some("name") => {
            once(&mut named, &|| path("name"))?;
            string(scanner, &|| path("name"))
        }
        Some("input_schema") => {
            schema = true;
            object(scanner, &|| path("input_schema"), &[], |scanner, _| scanner.skip().map(drop))
        }
        Some("model") => {
            model |= scanner.kind()? != Kind::Null;
            scanner.skip().map(drop)
        }
        _ => scanner.skip().map(drop),
    })?;
    needs.tool(hosted.as_deref().unwrap_or("custom"));
    let hosted = hosted.is_some();
    if hosted && model {
        return Err(second_model(path("model")));
    }
    match (hosted || named, hosted || schema) {
        (false, _) => Err(missing(&path("name"))),
        (true, false) => Err(missing(&path("input_schema"))),
        (true, true) => Ok(()),
    }
}

fn second_model(param: String) -> WireError {
    let message = format!(
        "`{param}` has a provider run another model than `model`, which nobody has authorised or priced here: leave the tool out"
    );
    WireError::invalid(param, message)
}

fn tool_choice(scanner: &mut Scanner<'_>) -> Result<()> {
    let (mut kind, mut named) = (None, false);
    object(scanner, &|| "tool_choice".to_owned(), &["type", "name"], |scanner, key| match key {
        Some("type") => {
            let param = || "tool_choice.type".to_owned();
            let word = read(scanner, &param)?;
            let known = CHOICES.iter().find(|choice| **choice == word);
            kind = Some(*known.ok_or_else(|| not_one_of(&param(), &word, &CHOICES))?);
            Ok(())
        }
        Some("name") => {
            named = true;
            string(scanner, &|| "tool_choice.name".to_owned())
        }
        _ => scanner.skip().map(drop),
    })?;
    match kind {
        None => Err(missing("tool_choice.type")),
        Some("tool") if !named => Err(missing("tool_choice.name")),
        Some(_) => Ok(()),
    }
}

/// The kinds of thinking are an open set; a budget is checked because a small one is a sure 400.
fn thinking(scanner: &mut Scanner<'_>, needs: &mut Needs) -> Result<()> {
    let mut kind = None;
    let mut budget = false;
    object(scanner, &|| "thinking".to_owned(), &["type", "budget_tokens"], |scanner, key| match key {
        Some("type") => {
            kind = Some(read(scanner, &|| "thinking.type".to_owned())?.into_owned());
            Ok(())
        }
        Some("budget_tokens") => {
            budget = optional_integer(scanner, "thinking.budget_tokens", LEAST_BUDGET..=u64::MAX)?.is_some();
            Ok(())
        }
        _ => scanner.skip().map(drop),
    })?;
    if matches!(kind.as_deref(), Some("enabled" | "adaptive")) {
        needs.effort("some");
    }
    match kind.as_deref() {
        None => Err(missing("thinking.type")),
        Some("enabled") if !budget => Err(missing("thinking.budget_tokens")),
        Some(_) => Ok(()),
    }
}

/// How hard to think and in which form to answer.
fn output_config(scanner: &mut Scanner<'_>, needs: &mut Needs) -> Result<()> {
    object(scanner, &|| "output_config".to_owned(), &["effort", "format"], |scanner, key| match key {
        Some("effort") => word_at(scanner, &[]).map(|word| word.iter().for_each(|word| needs.effort(word))),
        Some("format") => word_at(scanner, &["type"]).map(|word| word.iter().for_each(|word| needs.format(word))),
        _ => scanner.skip().map(drop),
    })
}

fn array(scanner: &mut Scanner<'_>, key: &str, visit: impl FnMut(&mut Scanner<'_>, usize) -> Result<()>) -> Result<()> {
    if scanner.kind()? != Kind::Array {
        return Err(mistyped(key, "an array"));
    }
    let mut visit = visit;
    scanner.array(|scanner, at| visit(scanner, at))
}

/// Tells `visit` which of the keys that are `known` each is. Paths are made only for errors, so that a good body costs no
/// allocation.
fn object(
    scanner: &mut Scanner<'_>,
    path: &dyn Fn() -> String,
    known: &[&'static str],
    mut visit: impl FnMut(&mut Scanner<'_>, Option<&'static str>) -> Result<()>,
) -> Result<()> {
    if scanner.kind()? != Kind::Object {
        return Err(mistyped(&path(), "an object"));
    }
    scanner.object(|scanner, key| visit(scanner, known_in(path, key, known)?))
}

fn read<'a>(scanner: &mut Scanner<'a>, path: &dyn Fn() -> String) -> Result<std::borrow::Cow<'a, str>> {
    if scanner.kind()? != Kind::String {
        return Err(mistyped(&path(), "a string"));
    }
    scanner.string()
}

fn string(scanner: &mut Scanner<'_>, path: &dyn Fn() -> String) -> Result<()> {
    read(scanner, path).map(drop)
}

fn one_of(scanner: &mut Scanner<'_>, allowed: &[&str], path: &dyn Fn() -> String) -> Result<()> {
    let word = read(scanner, path)?;
    if allowed.contains(&&*word) { Ok(()) } else { Err(not_one_of(&path(), &word, allowed)) }
}

fn once(seen: &mut bool, path: &dyn Fn() -> String) -> Result<()> {
    if std::mem::replace(seen, true) {
        let param = path();
        let message = format!("`{param}` stands twice in the same object; send it once");
        return Err(WireError::invalid(param, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = include_bytes!("../../tests/golden/chat/anthropic/text.request.json");
    const TOOLS: &[u8] = include_bytes!("../../tests/golden/chat/anthropic/tool_result.request.json");

    /// A good request with one field added or replaced.
    fn with(field: &str) -> Result<Peek> {
        peek(
            format!(r#"{{"model":"m","max_tokens":5,"messages":[{{"role":"user","content":"x"}}],{field}}}"#)
                .as_bytes(),
        )
    }

    #[test]
    fn a_request_says_model_cap_and_stream_and_where_they_stand() {
        let peek = peek(TEXT).unwrap();
        assert_eq!(peek.model.as_deref(), Some("claude-sonnet-4-6"));
        assert_eq!(&TEXT[peek.model_at.unwrap()], b"\"claude-sonnet-4-6\"");
        assert_eq!(peek.max_output_tokens, Some(1024));
        assert_eq!(&TEXT[peek.max_output_at.unwrap()], b"1024");
        assert_eq!((peek.stream, peek.n, peek.include_usage), (false, 1, None));
        assert_eq!(TEXT[peek.inside - 1], b'{');
    }

    #[test]
    fn an_agents_request_with_tools_and_results_is_accepted() {
        assert!(peek(TOOLS).unwrap().stream);
    }

    #[test]
    fn only_counting_tokens_needs_no_max_tokens() {
        let body = br#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
        assert_eq!(peek_count_tokens(body).unwrap().max_output_tokens, None);
        assert_eq!(peek(body).unwrap_err().param(), Some("max_tokens"));
    }

    #[test]
    fn what_the_api_would_refuse_is_refused_with_its_path() {
        let cases = [
            (r#""model":"n""#, "model"),
            (r#""\u006dodel":"n""#, "model"),
            (r#""temperature":1.5"#, "temperature"),
            (r#""temperature":null"#, "temperature"),
            (r#""top_p":-0.1"#, "top_p"),
            (r#""top_k":1.5"#, "top_k"),
            (r#""stream":"yes""#, "stream"),
            (r#""stream":null"#, "stream"),
            (r#""system":7"#, "system"),
            (r#""system":[{"text":"x"}]"#, "system[0].type"),
            (r#""stop_sequences":["a",1]"#, "stop_sequences[1]"),
            (r#""tools":{}"#, "tools"),
            (r#""tools":[{"input_schema":{}}]"#, "tools[0].name"),
            (r#""tools":[{"name":"f"}]"#, "tools[0].input_schema"),
            (r#""tools":[{"name":"f","input_schema":"{}"}]"#, "tools[0].input_schema"),
            (r#""tool_choice":"auto""#, "tool_choice"),
            (r#""tool_choice":{"type":"required"}"#, "tool_choice.type"),
            (r#""tool_choice":{"type":"tool"}"#, "tool_choice.name"),
            (r#""thinking":{"budget_tokens":2000}"#, "thinking.type"),
            (r#""thinking":{"type":"enabled"}"#, "thinking.budget_tokens"),
            (r#""thinking":{"type":"enabled","budget_tokens":1023}"#, "thinking.budget_tokens"),
            (r#""metadata":[]"#, "metadata"),
        ];
        for (field, param) in cases {
            assert_eq!(with(field).unwrap_err().param(), Some(param), "{field}");
        }
    }

    #[test]
    fn messages_are_checked_one_by_one() {
        let cases = [
            ("[]", "messages"),
            ("{}", "messages"),
            ("[1]", "messages[0]"),
            (r#"[{"content":"x"}]"#, "messages[0].role"),
            (r#"[{"role":"user"}]"#, "messages[0].content"),
            (r#"[{"role":"user","content":"x"},{"role":"tool","content":"x"}]"#, "messages[1].role"),
            (r#"[{"role":"user","role":"assistant","content":"x"}]"#, "messages[0].role"),
            (r#"[{"role":"user","content":null}]"#, "messages[0].content"),
            (r#"[{"role":"user","content":["x"]}]"#, "messages[0].content[0]"),
            (r#"[{"role":"user","content":[{"type":"text","text":"x"},{"text":"x"}]}]"#, "messages[0].content[1].type"),
        ];
        for (messages, param) in cases {
            let body = format!(r#"{{"model":"m","max_tokens":5,"messages":{messages}}}"#);
            assert_eq!(peek(body.as_bytes()).unwrap_err().param(), Some(param), "{messages}");
        }
    }

    #[test]
    fn what_is_unknown_or_documented_as_nullable_passes() {
        for field in [
            r#""container":null"#,
            r#""new_field":{"model":1,"model":2}"#,
            r#""max_tokens_hint":null"#,
            r#""thinking":{"type":"between_tools"}"#,
            r#""tools":[{"type":"web_search_20250305","name":"web_search"},{"type":"mcp_toolset","mcp_server_name":"x"}]"#,
            r#""tools":[{"type":null,"name":"f","input_schema":{}}]"#,
        ] {
            assert!(with(field).is_ok(), "{field}");
        }
    }
}
