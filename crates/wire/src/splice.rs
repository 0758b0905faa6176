//! Replaces the few bytes Waypost owns in a body it relays; every other byte stays as the caller wrote it.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::error::WireError;
use crate::peek::Peek;
use crate::scan::{Kind, Scanner};

/// Edits to one body. Ranges must not overlap; they may be given in any order.
#[derive(Clone, Debug, Default)]
pub struct Splice(Vec<(Range<usize>, String)>);

impl Splice {
    /// Puts `json` where `range` stands; an empty range inserts.
    pub fn replace(&mut self, range: Range<usize>, json: impl Into<String>) {
        self.0.push((range, json.into()));
    }

    /// Puts `key` with the value `json` where its value stands in the object `body`, or first in it.
    pub fn set(&mut self, body: &[u8], key: &str, json: &str) -> Result<(), WireError> {
        match find(body, &[key])? {
            Some(at) => self.replace(at, json),
            None => self.insert(body, 0, key, json)?,
        }
        Ok(())
    }

    /// Asks a chat upstream to end its stream with usage, whatever else the caller's `stream_options` say.
    pub fn ask_usage(&mut self, body: &[u8], peek: &Peek) -> Result<(), WireError> {
        let Some(at) = peek.stream_options_at.clone() else {
            self.replace(peek.inside..peek.inside, "\"stream_options\":{\"include_usage\":true},");
            return Ok(());
        };
        let options = body.get(at.clone()).unwrap_or_default();
        if !options.starts_with(b"{") {
            self.replace(at, "{\"include_usage\":true}");
        } else if let Some(said) = find(options, &["include_usage"])? {
            self.replace(at.start + said.start..at.start + said.end, "true");
        } else {
            self.insert(options, at.start, "include_usage", "true")?;
        }
        Ok(())
    }

    /// Lowers the output cap that the caller set to `most` tokens. Anthropic wants a thinking budget to stay below the cap;
    /// one that would not is lowered with it, and the new budget told.
    pub fn cap_output(&mut self, body: &[u8], peek: &Peek, most: u64) -> Result<Option<u64>, WireError> {
        let Some(at) = peek.max_output_at.clone().filter(|_| peek.max_output_tokens.is_some_and(|cap| cap > most))
        else {
            return Ok(None);
        };
        self.replace(at, most.to_string());
        let below = most.saturating_sub(1);
        if let Some(at) = find(body, &["thinking", "budget_tokens"])?
            && let Some(budget) = number(body, &at)
            && budget >= most
        {
            self.replace(at, below.to_string());
            return Ok(Some(below));
        }
        Ok(None)
    }

    /// Sees to it that a request has the output cap `cap` where the deployment reads it: in `field`, see
    /// [`Dialect::cap_field`](crate::dialect::Dialect::cap_field). A cap that the caller set there stands, and so does an old
    /// `max_tokens` where the newer field is meant, which is read as well; a server that knows only `max_tokens` is told it
    /// again under that name. A null is replaced.
    pub fn put_cap(&mut self, body: &[u8], peek: &Peek, field: &str, cap: u64) -> Result<(), WireError> {
        let stands = peek.max_output_tokens.is_some() && (peek.needs.output_field == field || field != "max_tokens");
        if stands { Ok(()) } else { self.set(body, field, &cap.to_string()) }
    }

    /// Asks for the answer whole rather than as a stream.
    pub fn unstream(&mut self, body: &[u8]) -> Result<(), WireError> {
        self.set(body, "stream", "false")?;
        if let Some(member) = member(body, "stream_options")? {
            self.replace(member, "");
        }
        Ok(())
    }

    /// Puts a key first into an object that begins `offset` bytes into the body being edited.
    fn insert(&mut self, object: &[u8], offset: usize, key: &str, json: &str) -> Result<(), WireError> {
        let (inside, is_empty) = Scanner::document(object, |scanner| {
            let (inside, mut is_empty) = (scanner.offset() + 1, true);
            scanner.object(|scanner, _| {
                is_empty = false;
                scanner.skip().map(drop)
            })?;
            Ok((offset + inside, is_empty))
        })?;
        let comma = if is_empty { "" } else { "," };
        self.replace(inside..inside, format!("{}:{json}{comma}", quoted(key)));
        Ok(())
    }

    /// There is nothing to edit.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The edited body; the same bytes, uncopied, if there is nothing to edit.
    pub fn apply(mut self, body: &Bytes) -> Bytes {
        if self.0.is_empty() {
            return body.clone();
        }
        self.0.sort_by_key(|(range, _)| range.start);
        let added: usize = self.0.iter().map(|(_, json)| json.len()).sum();
        let mut spliced = BytesMut::with_capacity(body.len() + added);
        let mut copied = 0;
        for (range, json) in &self.0 {
            spliced.extend_from_slice(body.get(copied..range.start).unwrap_or_default());
            spliced.extend_from_slice(json.as_bytes());
            copied = range.end;
        }
        spliced.extend_from_slice(body.get(copied..).unwrap_or_default());
        spliced.freeze()
    }
}

/// A JSON string literal that says `text`.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Where the value at `path` stands in a document of nested objects; `None` if it is absent.
pub fn find(json: &[u8], path: &[&str]) -> Result<Option<Range<usize>>, WireError> {
    Scanner::document(json, |scanner| descend(scanner, path))
}

fn number(body: &[u8], at: &Range<usize>) -> Option<u64> {
    std::str::from_utf8(body.get(at.clone())?).ok()?.parse().ok()
}

/// The bytes to cut so that the object `body` loses its member `key`: with the comma before it, or after it if it is first.
fn member(body: &[u8], key: &str) -> Result<Option<Range<usize>>, WireError> {
    let found = Scanner::document(body, |scanner| {
        let (mut found, mut before, mut first) = (None, scanner.offset() + 1, true);
        scanner.object(|scanner, name| {
            let value = scanner.skip()?;
            if name == key {
                found = Some((before..value.end, first));
            }
            (before, first) = (value.end, false);
            Ok(())
        })?;
        Ok(found)
    })?;
    let Some((member, first)) = found else { return Ok(None) };
    let rest = body.get(member.end..).unwrap_or_default();
    let blanks = rest.len() - rest.trim_ascii_start().len();
    let comma = first && rest.get(blanks) == Some(&b',');
    Ok(Some(member.start..if comma { member.end + blanks + 1 } else { member.end }))
}

fn descend(scanner: &mut Scanner<'_>, path: &[&str]) -> Result<Option<Range<usize>>, WireError> {
    let Some((key, deeper)) = path.split_first() else {
        return scanner.skip().map(Some);
    };
    if scanner.kind()? != Kind::Object {
        scanner.skip()?;
        return Ok(None);
    }
    let mut found = None;
    scanner.object(|scanner, name| {
        if name == *key {
            found = descend(scanner, deeper)?;
            Ok(())
        } else {
            scanner.skip().map(drop)
        }
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_edited_ranges_change() {
        let body = Bytes::from_static(b"{ \"model\" : \"a\", \"n\":1e0 }");
        let range = find(&body, &["model"]).unwrap().unwrap();
        let mut splice = Splice::default();
        splice.replace(1..1, "\"x\":1,");
        splice.replace(range, quoted("b\"c"));
        assert_eq!(splice.apply(&body), &b"{\"x\":1, \"model\" : \"b\\\"c\", \"n\":1e0 }"[..]);
    }

    #[test]
    fn a_key_is_set_where_it_stands_or_first() {
        let set = |body: &'static str| {
            let mut splice = Splice::default();
            splice.set(body.as_bytes(), "usage", "{}").unwrap();
            String::from_utf8(splice.apply(&Bytes::from(body)).to_vec()).unwrap()
        };
        assert_eq!(set(r#"{"a":1e0, "usage" : null}"#), r#"{"a":1e0, "usage" : {}}"#);
        assert_eq!(set(r#" { "a":1e0}"#), r#" {"usage":{}, "a":1e0}"#);
        assert_eq!(set("{ }"), r#"{"usage":{} }"#);
        assert!(Splice::default().set(b"[1]", "usage", "{}").is_err());
    }

    #[test]
    fn asking_for_usage_leaves_the_other_stream_options() {
        let ask = |body: &str| {
            let at = find(body.as_bytes(), &["stream_options"]).unwrap();
            let peek = Peek { stream_options_at: at, inside: 1, ..Peek::default() };
            let mut splice = Splice::default();
            splice.ask_usage(body.as_bytes(), &peek).unwrap();
            String::from_utf8(splice.apply(&Bytes::from(body.to_owned())).to_vec()).unwrap()
        };
        let asked = r#""stream_options":{"include_usage":true}"#;
        assert_eq!(ask(r#"{"n":1}"#), format!("{{{asked},\"n\":1}}"));
        assert_eq!(ask(r#"{"stream_options":null}"#), format!("{{{asked}}}"));
        assert_eq!(ask(r#"{"stream_options":{}}"#), format!("{{{asked}}}"));
        assert_eq!(ask(r#"{"stream_options":{"include_usage":false}}"#), format!("{{{asked}}}"));
        assert_eq!(
            ask(r#"{"stream_options":{ "include_obfuscation": false}}"#),
            r#"{"stream_options":{"include_usage":true, "include_obfuscation": false}}"#
        );
    }

    #[test]
    fn a_cap_is_lowered_where_it_stands_and_a_budget_with_it_000_34() {
        let capped = |body: &str, key: &str, most: u64| {
            let at = find(body.as_bytes(), &[key]).unwrap().unwrap();
            let peek =
                Peek { max_output_tokens: number(body.as_bytes(), &at), max_output_at: Some(at), ..Peek::default() };
            let mut splice = Splice::default();
            splice.cap_output(body.as_bytes(), &peek, most).unwrap();
            String::from_utf8(splice.apply(&Bytes::from(body.to_owned())).to_vec()).unwrap()
        };
        let chat = r#"{ "max_completion_tokens" : 9000 ,"n":1e0}"#;
        assert_eq!(capped(chat, "max_completion_tokens", 4096), chat.replace("9000", "4096"));
        assert_eq!(capped(chat, "max_completion_tokens", 9000), chat);
        assert_eq!(capped(r#"{"max_tokens":null}"#, "max_tokens", 1), r#"{"max_tokens":null}"#);
        let thinking = r#"{"thinking":{"type":"enabled","budget_tokens":6000},"max_tokens":9000}"#;
        assert_eq!(
            capped(thinking, "max_tokens", 4096),
            r#"{"thinking":{"type":"enabled","budget_tokens":4095},"max_tokens":4096}"#
        );
        assert_eq!(capped(thinking, "max_tokens", 8000), thinking.replace("9000", "8000"));
    }

    #[test]
    fn a_cap_is_put_in_where_there_is_none_and_the_rest_stays() {
        use crate::dialect::{Dialect, Face, MaxTokensField, Traits};
        let older = Traits { max_tokens_field: MaxTokensField::MaxTokens, ..Traits::default() };
        let put = |face: Face, traits: &Traits, body: &str| {
            let peek = face.codec.peek(body.as_bytes()).unwrap();
            let mut splice = Splice::default();
            splice.put_cap(body.as_bytes(), &peek, face.dialect.cap_field(traits), 512).unwrap();
            String::from_utf8(splice.apply(&Bytes::from(body.to_owned())).to_vec()).unwrap()
        };
        let usual = Traits::default();
        let chat = r#"{ "model":"m","messages":[{"role":"user","content":"x"}], "top_p":1e0}"#;
        let with = |field: &str| chat.replacen('{', &format!("{{\"{field}\":512,"), 1);
        assert_eq!(put(Face::OPENAI_CHAT, &usual, chat), with("max_completion_tokens"));
        assert_eq!(put(Face::OPENAI_CHAT, &older, chat), with("max_tokens"));
        for said in [r#""max_tokens":7,"#, r#""max_completion_tokens":7,"#] {
            let capped = chat.replacen('{', &format!("{{{said}"), 1);
            assert_eq!(put(Face::OPENAI_CHAT, &usual, &capped), capped);
        }
        let newer = chat.replacen('{', r#"{"max_completion_tokens":512,"#, 1);
        assert_eq!(put(Face::OPENAI_CHAT, &older, &newer), newer.replacen('{', r#"{"max_tokens":512,"#, 1));
        let null = chat.replacen('{', r#"{"max\u005ftokens" : null,"#, 1);
        assert_eq!(put(Face::OPENAI_CHAT, &older, &null), null.replace("null", "512"));
        let responses = r#"{"model":"m","input":"x","max_output_tokens":null}"#;
        assert_eq!(put(Face::OPENAI_RESPONSES, &usual, responses), responses.replace("null", "512"));
        let messages = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}]}"#;
        assert_eq!(put(Face::ANTHROPIC, &usual, messages), messages);
        assert_eq!(Dialect::Gemini.cap_field(&usual), "maxOutputTokens");
    }

    #[test]
    fn a_cap_and_usage_can_be_put_in_together() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
        let peek = crate::dialect::Face::OPENAI_CHAT.codec.peek(body.as_bytes()).unwrap();
        let mut splice = Splice::default();
        splice.ask_usage(body.as_bytes(), &peek).unwrap();
        splice.put_cap(body.as_bytes(), &peek, "max_tokens", 8).unwrap();
        let spliced = splice.apply(&Bytes::from(body));
        let json: serde_json::Value = serde_json::from_slice(&spliced).unwrap();
        assert_eq!((&json["max_tokens"], &json["stream_options"]["include_usage"]), (&8.into(), &true.into()));
    }

    #[test]
    fn a_stream_is_asked_for_whole_without_its_options_000_24() {
        let whole = |body: &str| {
            let mut splice = Splice::default();
            splice.unstream(body.as_bytes()).unwrap();
            String::from_utf8(splice.apply(&Bytes::from(body.to_owned())).to_vec()).unwrap()
        };
        for (body, expected) in [
            (r#"{"model":"m", "stream" : true }"#, r#"{"model":"m", "stream" : false }"#),
            (r#"{"stream":true,"stream_options":{"include_usage":true},"n":1}"#, r#"{"stream":false,"n":1}"#),
            (r#"{"stream_options" : {"a,b":[1,2]} , "stream":true}"#, r#"{ "stream":false}"#),
            (r#"{"stream":true, "stream_options":null}"#, r#"{"stream":false}"#),
            (r#"{"n":1,"stream\u005foptions":{},"stream":true}"#, r#"{"n":1,"stream":false}"#),
        ] {
            assert_eq!(whole(body), expected);
        }
    }

    #[test]
    fn no_edit_is_no_copy() {
        let body = Bytes::from_static(b"{}");
        assert_eq!(Splice::default().apply(&body).as_ptr(), body.as_ptr());
    }

    #[test]
    fn a_path_is_found_in_nested_objects_only() {
        let json = br#"{"message":{"id":1,"model":"m"},"model":[1]}"#;
        assert_eq!(find(json, &["message", "model"]).unwrap(), Some(27..30));
        assert_eq!(find(json, &["model", "x"]).unwrap(), None);
        assert!(find(b"{", &["model"]).is_err());
    }
}
