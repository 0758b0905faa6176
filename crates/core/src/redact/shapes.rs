//! What secrets and media look like in plain text. Rather too much than too little: a word that is taken for a secret costs a word.
//! Tests: `redact/tests.rs`.

use super::strings::{LONGEST_NAME, is_secret_name};
use super::{About, Note, SECRET, Span};

/// How keys, tokens and the like begin, and how many characters must follow for it to be one: ours, and those of providers and of
/// what applications often have at hand.
const PREFIXES: [(&str, usize); 32] = [
    ("wp-", 12),
    ("wps_", 12),
    ("wpi_", 12),
    ("wpr_", 12),
    ("sk-", 12),
    ("rk-", 12),
    ("pk-", 12),
    ("ak-", 16),
    ("sk_live_", 12),
    ("sk_test_", 12),
    ("gsk_", 12),
    ("xai-", 12),
    ("csk-", 12),
    ("hf_", 12),
    ("r8_", 12),
    ("pplx-", 12),
    ("nvapi-", 12),
    ("tgp_v1_", 12),
    ("AIza", 16),
    ("ya29.", 12),
    ("AKIA", 16),
    ("ASIA", 16),
    ("ghp_", 12),
    ("gho_", 12),
    ("ghs_", 12),
    ("github_pat_", 12),
    ("glpat-", 12),
    ("xoxb-", 12),
    ("xoxp-", 12),
    ("whsec_", 12),
    ("SG.", 20),
    ("eyJ", 24),
];

/// Shorter texts are no secrets, and may stand in any sentence.
const MIN_KNOWN: usize = 8;
/// So much of a known secret at a missing end is too much.
const MIN_BEGUN: usize = 4;
/// Nothing that people write has so many characters without a space; and how many behind `base64,`, which says what they are.
const MIN_MEDIA: usize = 256;
const MIN_NAMED_MEDIA: usize = 16;
/// What follows a name such as `password`.
const MIN_NAMED: usize = 6;

/// The secrets and media of a text.
pub(super) fn find(text: &str, about: About<'_>) -> Vec<Span> {
    let mut found = Vec::new();
    known(text, about, &mut found);
    private_keys(text, &mut found);
    media(text, &mut found);
    let bytes = text.as_bytes();
    // Within a key there is no other to be found, and a text of nothing but beginnings would be read again from each of them.
    let (mut before, mut taken) = (b' ', 0);
    for (at, byte) in bytes.iter().copied().enumerate() {
        if !before.is_ascii_alphanumeric() && byte.is_ascii_alphabetic() {
            if at >= taken {
                taken = prefixed(text, at, about.cut, &mut found).unwrap_or(taken);
            }
            logins(text, at, about.cut, &mut found);
            named(text, at, &mut found);
        }
        before = byte;
    }
    found
}

fn secret(range: std::ops::Range<usize>) -> Span {
    Span { range, note: Note::Secret }
}

/// How many bytes from here on are of this kind.
fn run(text: &str, from: usize, is: impl Fn(u8) -> bool) -> usize {
    text.as_bytes().get(from..).unwrap_or_default().iter().take_while(|byte| is(**byte)).count()
}

fn of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

fn of_login(byte: u8) -> bool {
    of_token(byte) || matches!(byte, b'~' | b'+' | b'/' | b'=')
}

fn of_media(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// Secrets that somebody knows to be secrets, and the beginning of one at a missing end.
fn known(text: &str, about: About<'_>, found: &mut Vec<Span>) {
    for known in about.known.iter().filter(|known| known.len() >= MIN_KNOWN) {
        found.extend(text.match_indices(known).map(|(at, hit)| secret(at..at + hit.len())));
        let begun = (MIN_BEGUN..known.len()).rev().filter_map(|length| known.get(..length));
        if let Some(begun) = about.cut.then_some(begun).and_then(|mut begun| begun.find(|begun| text.ends_with(begun)))
        {
            found.push(secret(text.len() - begun.len()..text.len()));
        }
    }
}

/// From `-----BEGIN .. PRIVATE KEY-----` to its end, or to the end of the text that it stands in.
fn private_keys(text: &str, found: &mut Vec<Span>) {
    const END: &str = "PRIVATE KEY-----";
    /// The longest head.
    const HEAD: usize = 64;
    let mut taken = 0;
    for (at, _) in text.match_indices("-----BEGIN ") {
        let near = text.as_bytes().iter().skip(at).take(HEAD + END.len()).take_while(|byte| **byte != b'"');
        let near: Vec<u8> = near.copied().collect();
        let Some(head) = near.windows(END.len()).position(|part| part == END.as_bytes()).filter(|_| at >= taken) else {
            continue;
        };
        let body = at + head + END.len();
        let rest = text.get(body..).unwrap_or_default();
        let key = rest.find(END).map_or(rest, |end| rest.get(..end + END.len()).unwrap_or(rest));
        taken = body + key.find('"').unwrap_or(key.len());
        found.push(secret(at..taken));
    }
}

/// Runs of base64 that are longer than any word.
fn media(text: &str, found: &mut Vec<Span>) {
    const NAME: &str = ";base64,";
    let mut at = 0;
    while at < text.len() {
        let length = run(text, at, of_media);
        let named = text.get(..at).is_some_and(|before| before.ends_with(NAME));
        if length >= if named { MIN_NAMED_MEDIA } else { MIN_MEDIA } {
            let end = at + length;
            let end = end + run(text, end, |byte| byte == b'=').min(2);
            found.push(Span { range: at..end, note: Note::Media(length * 3 / 4) });
        }
        at += length.max(1);
        // The next place where a character begins.
        while !text.is_char_boundary(at) {
            at += 1;
        }
    }
}

/// Keys that say what they are. At a missing end, whatever begins like one.
/// Answers where it ends.
fn prefixed(text: &str, at: usize, cut: bool, found: &mut Vec<Span>) -> Option<usize> {
    let mut end = None;
    let rest = text.get(at..).unwrap_or_default();
    for (prefix, least) in PREFIXES {
        if !rest.starts_with(prefix) {
            continue;
        }
        let mut length = run(text, at, of_token);
        let open = cut && at + length == text.len();
        // A full stop behind it belongs to the sentence.
        while !open && rest.as_bytes().get(..length).is_some_and(|token| token.ends_with(b".")) {
            length -= 1;
        }
        if length >= prefix.len() + least || open {
            found.push(secret(at..at + length));
            end = end.max(Some(at + length));
        }
    }
    end
}

/// `Bearer ..` and `Basic ..`, unless what follows is a plain word.
fn logins(text: &str, at: usize, cut: bool, found: &mut Vec<Span>) {
    for scheme in ["bearer", "basic"] {
        let begins = text.get(at..at + scheme.len()).is_some_and(|word| word.eq_ignore_ascii_case(scheme));
        let spaces = run(text, at + scheme.len(), |byte| byte == b' ');
        if !begins || spaces == 0 {
            continue;
        }
        let from = at + scheme.len() + spaces;
        let length = run(text, from, of_login);
        let token = text.get(from..from + length).unwrap_or_default();
        let odd = token.bytes().skip(1).any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase() || byte == b'=');
        let open = cut && from + length == text.len();
        if length >= 16 || (length >= 8 && odd) || (open && length > 0) {
            found.push(secret(from..from + length));
        }
    }
}

/// `password: ..`, `api_key=..` and the like.
fn named(text: &str, at: usize, found: &mut Vec<Span>) {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let length = text.as_bytes().iter().skip(at).take(LONGEST_NAME + 1).take_while(|byte| is_name(byte)).count();
    if !text.get(at..at + length).is_some_and(is_secret_name) {
        return;
    }
    // A name in double quotes is a field's: those are looked at as JSON.
    let quote = |from: usize| run(text, from, |byte| matches!(byte, b'\'' | b'`')).min(1);
    let opening = |from: usize| match text.as_bytes().get(from..) {
        Some([b'\\', b'"', ..]) => 2,
        Some([b'\'' | b'`' | b'"', ..]) => 1,
        Some(_) | None => 0,
    };
    let space = |from: usize| run(text, from, |byte| byte == b' ');
    let mut from = at + length;
    from += quote(from);
    from += space(from);
    if !matches!(text.as_bytes().get(from), Some(b':' | b'=')) {
        return;
    }
    from += 1;
    from += space(from);
    from += opening(from);
    let is_value = |byte: u8| !byte.is_ascii_whitespace() && !b"\"'`\\,;&)}]<>".contains(&byte);
    let length = run(text, from, is_value);
    // The note has no closing bracket here.
    let told = text.get(from..).is_some_and(|value| value.starts_with(SECRET));
    if length >= MIN_NAMED && !told {
        found.push(secret(from..from + length));
    }
}
