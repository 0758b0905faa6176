//! The texts of JSON where they stand, without reading JSON: what is between two quotes in a line. So a body that is cut, or of which
//! only the lines are JSON, is understood as well. Tests: `redact/tests.rs`.

use std::ops::Range;

use super::woven::Woven;
use super::{Note, SECRET, Span};

/// A text between quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    /// Without its quotes.
    pub range: Range<usize>,
    /// It has a backslash.
    pub escaped: bool,
    /// A colon follows: it is the name of a field.
    pub is_name: bool,
}

/// Names of fields that hold secrets, in lower case and without what joins their words.
const SECRET_NAMES: [&str; 27] = [
    "accesskey",
    "accesskeyid",
    "accesstoken",
    "apikey",
    "apitoken",
    "authorization",
    "authorizationtoken",
    "authtoken",
    "awssecretaccesskey",
    "bearertoken",
    "clientsecret",
    "cookie",
    "idtoken",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "proxyauthorization",
    "pwd",
    "refreshtoken",
    "secret",
    "secretaccesskey",
    "secretkey",
    "setcookie",
    "userpassword",
    "xapikey",
    "xauthtoken",
];

/// No name of a secret is longer, with all that may stand before it.
pub(super) const LONGEST_NAME: usize = 64;

/// Does a field of this name hold a secret? `OPENAI_API_KEY` does because `API_KEY` does.
pub(super) fn is_secret_name(name: &str) -> bool {
    if name.len() > LONGEST_NAME {
        return false;
    }
    let joins = |letter: char| matches!(letter, '-' | '_' | ' ');
    let tails = name.match_indices(joins).filter_map(|(at, _)| name.get(at + 1..));
    std::iter::once(name).chain(tails).any(|tail| {
        let letters = || tail.chars().filter(|letter| !joins(*letter)).map(|letter| letter.to_ascii_lowercase());
        SECRET_NAMES.iter().any(|known| letters().eq(known.chars()))
    })
}

/// Every text, in order. One without an end goes to the end of its line.
pub(super) fn all(text: &str) -> Vec<Text> {
    let bytes = text.as_bytes();
    let byte = |at: usize| bytes.get(at).copied();
    let (mut texts, mut at) = (Vec::new(), 0);
    while let Some(from) = bytes.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'"')) {
        let from = at + from + 1;
        let (mut end, mut escaped) = (from, false);
        while let Some(letter) = byte(end).filter(|letter| !matches!(letter, b'"' | b'\n')) {
            let backslash = letter == b'\\' && byte(end + 1) != Some(b'\n');
            escaped |= letter == b'\\';
            end += if backslash { 2 } else { 1 };
        }
        let end = end.min(bytes.len());
        let closed = byte(end) == Some(b'"');
        let colon = closed && byte(skip_spaces(text, end + 1)) == Some(b':');
        texts.push(Text { range: from..end, escaped, is_name: colon });
        at = end + 1;
    }
    texts
}

fn skip_spaces(text: &str, from: usize) -> usize {
    let rest = text.as_bytes().get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count()
}

/// The values of fields whose names say that they are secret.
pub(super) fn in_secret_fields(text: &str, texts: &[Text]) -> Vec<Span> {
    let mut found = Vec::new();
    for (place, name) in texts.iter().enumerate().filter(|(_, string)| string.is_name) {
        let spelled = text.get(name.range.clone()).unwrap_or_default();
        let is_secret = match unescaped(text, name) {
            Some(plain) => is_secret_name(&plain.text),
            None => is_secret_name(spelled),
        };
        if !is_secret {
            continue;
        }
        let value = skip_spaces(text, skip_spaces(text, name.range.end + 1) + 1);
        match texts.get(place + 1).filter(|next| next.range.start == value + 1) {
            Some(next) if text.get(next.range.clone()) == Some(SECRET) => {}
            Some(next) => found.push(Span { range: next.range.clone(), note: Note::Secret }),
            None => found.extend(number(text, value)),
        }
    }
    found
}

fn number(text: &str, from: usize) -> Option<Span> {
    let rest = text.as_bytes().get(from..)?;
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte)).count();
    let is_number = rest.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-');
    is_number.then(|| Span { range: from..from + length, note: Note::Number })
}

/// What a text says, if it is not what stands there.
pub(super) fn unescaped(text: &str, string: &Text) -> Option<Woven> {
    string.escaped.then(|| {
        let mut woven = Woven::default();
        append(text, string, &mut woven);
        woven
    })
}

/// Adds what a text says as one more piece, with where each byte of it stands.
pub(super) fn append(text: &str, string: &Text, woven: &mut Woven) {
    woven.begin();
    let (mut at, end) = (string.range.start, string.range.end);
    while let Some(letter) = text.get(at..end).and_then(|rest| rest.chars().next()) {
        let (said, length) = if letter == '\\' { escape(text, at, end) } else { (letter, letter.len_utf8()) };
        woven.push(said, at);
        at += length;
    }
    woven.end(end);
}

/// The character that is meant by an escape, and how long the escape is.
fn escape(text: &str, at: usize, end: usize) -> (char, usize) {
    let rest = text.get(at..end).unwrap_or_default();
    let unit = |from: usize| -> Option<u32> {
        let digits = rest.get(from..from + 6)?.strip_prefix("\\u")?;
        if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) { u32::from_str_radix(digits, 16).ok() } else { None }
    };
    if let Some(first) = unit(0) {
        let pair = unit(6).filter(|second| (0xd800..0xdc00).contains(&first) && (0xdc00..0xe000).contains(second));
        if let Some(second) = pair {
            let joined = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            return (char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
        }
        return (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6);
    }
    let Some(letter) = rest.chars().nth(1) else { return ('\\', rest.len().max(1)) };
    let said = match letter {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        // `\"`, `\\` and `\/`; and what is no escape is its letter.
        other => other,
    };
    (said, 1 + letter.len_utf8())
}
