//! A JSON scanner that validates everything and builds nothing: the eyes of the peek.
//!
//! It walks a document once, hands keys and the values a caller wants to closures, and skips the rest at memory speed.
//! It accepts exactly what RFC 8259 allows, in UTF-8, nested at most [`MAX_DEPTH`] deep; the laws compare it with serde_json.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr2;
use serde::Deserialize;

use crate::error::WireError;

/// How deep arrays and objects may nest.
pub const MAX_DEPTH: u8 = 128;

/// The JSON type of the next value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

/// A cursor over one JSON document. Each method consumes one value; ranges are byte offsets into the document.
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: u8,
}

type Result<T> = std::result::Result<T, WireError>;

impl<'a> Scanner<'a> {
    /// Walks a whole document: `read` must consume exactly one value, and only white space may follow it.
    pub fn document<T>(body: &'a [u8], read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let text = std::str::from_utf8(body)
            .map_err(|error| WireError::Syntax { at: error.valid_up_to(), message: "the text is not UTF-8" })?;
        let mut scanner = Self { text, at: 0, depth: 0 };
        let value = read(&mut scanner)?;
        scanner.white_space();
        if scanner.at < text.len() {
            return Err(scanner.wrong("something follows the document"));
        }
        Ok(value)
    }

    /// The type of the next value, judged by its first byte.
    pub fn kind(&mut self) -> Result<Kind> {
        self.white_space();
        match self.byte() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            Some(_) => Err(self.wrong("a value was expected")),
            None => Err(self.wrong("the text ends where a value was expected")),
        }
    }

    /// Is the next value a list of nothing? Consumes nothing.
    pub fn is_empty_list(&mut self) -> bool {
        self.white_space();
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        rest.strip_prefix(b"[").is_some_and(|list| list.trim_ascii_start().first() == Some(&b']'))
    }

    /// Where the next value begins.
    pub fn offset(&mut self) -> usize {
        self.white_space();
        self.at
    }

    /// Where the value that was just read ended.
    pub fn end(&self) -> usize {
        self.at
    }

    /// Walks an object; `visit` gets each key and must consume its value.
    pub fn object(&mut self, mut visit: impl FnMut(&mut Self, &str) -> Result<()>) -> Result<()> {
        self.white_space();
        self.expect(b'{', "an object was expected")?;
        self.descend()?;
        self.white_space();
        if !self.accept(b'}') {
            loop {
                self.white_space();
                let key = self.string()?;
                self.white_space();
                self.expect(b':', "a colon was expected after the key")?;
                visit(self, &key)?;
                self.white_space();
                if self.accept(b'}') {
                    break;
                }
                self.expect(b',', "a comma or closing brace was expected")?;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Walks an array; `visit` gets each position and must consume the value there.
    pub fn array(&mut self, mut visit: impl FnMut(&mut Self, usize) -> Result<()>) -> Result<()> {
        self.white_space();
        self.expect(b'[', "an array was expected")?;
        self.descend()?;
        self.white_space();
        if !self.accept(b']') {
            for position in 0.. {
                visit(self, position)?;
                self.white_space();
                if self.accept(b']') {
                    break;
                }
                self.expect(b',', "a comma or closing bracket was expected")?;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads a string, borrowed unless it holds escapes.
    pub fn string(&mut self) -> Result<Cow<'a, str>> {
        self.white_space();
        let start = self.at;
        let escaped = self.skip_string()?;
        let quoted = self.slice(start..self.at);
        if !escaped {
            return Ok(Cow::Borrowed(quoted.get(1..quoted.len() - 1).unwrap_or_default()));
        }
        // Lone surrogates are legal JSON but no text; serde_json refuses them, and so do we.
        serde_json::from_str::<String>(quoted)
            .map(Cow::Owned)
            .map_err(|_| WireError::Syntax { at: start, message: "a string holds a broken escape" })
    }

    /// Reads a number as it is written.
    pub fn number(&mut self) -> Result<&'a str> {
        self.white_space();
        let start = self.at;
        self.accept(b'-');
        match self.byte() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.wrong("a number was expected")),
        }
        if self.accept(b'.') {
            self.some_digits()?;
        }
        if self.accept(b'e') || self.accept(b'E') {
            let _sign = self.accept(b'+') || self.accept(b'-');
            self.some_digits()?;
        }
        Ok(self.slice(start..self.at))
    }

    /// Reads `true` or `false`.
    pub fn bool(&mut self) -> Result<bool> {
        self.white_space();
        match self.byte() {
            Some(b't') => self.word("true").map(|()| true),
            Some(b'f') => self.word("false").map(|()| false),
            _ => Err(self.wrong("true or false was expected")),
        }
    }

    /// Consumes any value and says where it stood.
    pub fn skip(&mut self) -> Result<Range<usize>> {
        let kind = self.kind()?;
        let start = self.at;
        match kind {
            Kind::Object => self.object(|scanner, _| scanner.skip().map(drop))?,
            Kind::Array => self.array(|scanner, _| scanner.skip().map(drop))?,
            Kind::String => drop(self.skip_string()?),
            Kind::Number => drop(self.number()?),
            Kind::Bool => drop(self.bool()?),
            Kind::Null => self.word("null")?,
        }
        Ok(start..self.at)
    }

    /// Reads a value as serde reads a `T`, where it stands; one that is no `T` is an error.
    pub fn read<T: Deserialize<'a>>(&mut self) -> Result<T> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_str(rest).into_iter();
        let Some(Ok(value)) = values.next() else { return Err(self.wrong("the value is none of its kind")) };
        self.at += values.byte_offset();
        Ok(value)
    }

    /// A syntax error at the place the scanner stands.
    fn wrong(&self, message: &'static str) -> WireError {
        WireError::Syntax { at: self.at, message }
    }

    /// Consumes a string; says whether it holds escapes. Escapes are checked for form only.
    fn skip_string(&mut self) -> Result<bool> {
        self.expect(b'"', "a string was expected")?;
        let mut escaped = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let Some(length) = memchr2(b'"', b'\\', rest) else {
                return Err(self.wrong("a string does not end"));
            };
            let plain = rest.get(..length).unwrap_or_default();
            // Folded without an early exit, so that the compiler turns it into wide compares.
            if plain.iter().fold(false, |bad, byte| bad | (*byte < 0x20)) {
                return Err(self.wrong("a string holds a raw control character"));
            }
            self.at += length;
            if self.accept(b'"') {
                return Ok(escaped);
            }
            escaped = true;
            self.at += 1;
            match self.byte() {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
                Some(b'u') => {
                    self.at += 1;
                    for _ in 0..4 {
                        if !self.byte().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                            return Err(self.wrong("a \\u escape needs four hexadecimal digits"));
                        }
                        self.at += 1;
                    }
                }
                _ => return Err(self.wrong("an unknown escape")),
            }
        }
    }

    fn descend(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.wrong("arrays and objects nest more than 128 deep"));
        }
        Ok(())
    }

    fn white_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.at += 1;
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn accept(&mut self, byte: u8) -> bool {
        let found = self.byte() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, message: &'static str) -> Result<()> {
        if self.accept(byte) { Ok(()) } else { Err(self.wrong(message)) }
    }

    fn word(&mut self, word: &'static str) -> Result<()> {
        if !self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            return Err(self.wrong("true, false or null was expected"));
        }
        self.at += word.len();
        Ok(())
    }

    fn digits(&mut self) {
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<()> {
        let start = self.at;
        self.digits();
        if self.at == start { Err(self.wrong("digits were expected")) } else { Ok(()) }
    }

    fn slice(&self, range: Range<usize>) -> &'a str {
        self.text.get(range).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accepts(body: &[u8]) -> bool {
        Scanner::document(body, |scanner| scanner.skip()).is_ok()
    }

    fn serde_accepts(body: &[u8]) -> bool {
        // Through text, as the scanner works; recursion limits agree on both sides.
        std::str::from_utf8(body).is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
    }

    #[test]
    fn it_accepts_and_refuses_what_serde_json_does() {
        let deep = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
        let cases: &[&[u8]] = &[
            b"{}",
            b"[]",
            b"0",
            b"-0",
            b"-0.1e+9",
            b"01",
            b"1.",
            b".5",
            b"1e",
            b"--1",
            b"NaN",
            b"true",
            b"tru",
            b"null x",
            b"{\"a\":1,}",
            b"[1,]",
            b"{\"a\" 1}",
            b"{a:1}",
            b"\"\\u12g4\"",
            b"\"\\x\"",
            b"\"a\nb\"",
            b"\"",
            b"",
            b" ",
            b"\xef\xbb\xbf{}",
            b"\"\xff\"",
            b"{\"a\":{\"b\":[1,2,{\"c\":null}]}} \r\n\t",
            b"1e400",
            b"[1 2]",
            b"{\"a\":1 \"b\":2}",
        ];
        for case in cases {
            assert_eq!(accepts(case), serde_accepts(case), "{:?}", String::from_utf8_lossy(case));
        }
        assert!(accepts(&deep(127)) && !accepts(&deep(200_000)));
    }

    proptest! {
        #[test]
        fn it_agrees_with_serde_json_on_any_text_of_json_like_bytes(body in "[\\[\\]{}:,\"\\\\a-fnu0-9eE+. tr-]{0,24}") {
            prop_assert_eq!(accepts(body.as_bytes()), serde_accepts(body.as_bytes()));
        }

        #[test]
        fn it_reads_any_string_as_serde_json_writes_it(text in any::<String>()) {
            let written = serde_json::to_string(&text).unwrap();
            let read = Scanner::document(written.as_bytes(), |scanner| scanner.string().map(Cow::into_owned));
            prop_assert_eq!(read, Ok(text));
        }
    }
}
