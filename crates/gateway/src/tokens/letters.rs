//! Cuts text into the pieces that o200k_base merges within, as its published pattern does:
//!
//! ```text
//! [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//! [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//! \p{N}{1,3}
//!  ?[^\s\p{L}\p{N}]+[\r\n/]*
//! \s*[\r\n]+
//! \s+(?!\S)
//! \s+
//! ```
//!
//! By hand because the lookahead is beyond linear-time regex engines, and because no engine is then needed at all.
//! Knows nothing of tokens. Tests are in `tokens.rs`, against the crate the vocabulary comes from.

static BLOCKS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/letters.blocks"));
static INDEX: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/letters.index"));

/// What the pattern tells apart. The numbers are build.rs's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Other,
    /// `\p{Lu}\p{Lt}`
    Upper,
    /// `\p{Ll}`
    Lower,
    /// `\p{Lm}\p{Lo}`: both halves of a word may hold it.
    Caseless,
    /// `\p{M}`: like caseless, but not a letter.
    Mark,
    Number,
    Space,
    Newline,
}

impl Class {
    fn of(c: char) -> Self {
        let code = c as usize;
        let block = INDEX.get(code >> 8).copied().unwrap_or(0);
        match BLOCKS.get((usize::from(block) << 8) | (code & 0xff)) {
            Some(1) => Self::Upper,
            Some(2) => Self::Lower,
            Some(3) => Self::Caseless,
            Some(4) => Self::Mark,
            Some(5) => Self::Number,
            Some(6) => Self::Space,
            Some(7) => Self::Newline,
            _ => Self::Other,
        }
    }

    fn in_head(self) -> bool {
        matches!(self, Self::Upper | Self::Caseless | Self::Mark)
    }

    fn in_tail(self) -> bool {
        matches!(self, Self::Lower | Self::Caseless | Self::Mark)
    }

    fn may_lead(self) -> bool {
        matches!(self, Self::Other | Self::Mark | Self::Space)
    }

    fn is_sign(self) -> bool {
        matches!(self, Self::Other | Self::Mark)
    }

    fn is_space(self) -> bool {
        matches!(self, Self::Space | Self::Newline)
    }
}

/// The pieces of a text, in order; together they are the text.
pub(crate) struct Pieces<'a> {
    rest: &'a str,
}

pub(crate) fn pieces(text: &str) -> Pieces<'_> {
    Pieces { rest: text }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (piece, rest) = self.rest.split_at(piece_len(self.rest));
        self.rest = rest;
        Some(piece)
    }
}

/// The alternatives in the pattern's order; the first that matches wins.
fn piece_len(text: &str) -> usize {
    word(text, cased_tail)
        .or_else(|| word(text, head_first))
        .or_else(|| number(text))
        .or_else(|| signs(text))
        .or_else(|| line_ends(text))
        .unwrap_or_else(|| spaces(text))
}

/// A word with its optional leading character, tried first with and then without it, and an English contraction after it.
fn word(text: &str, body: fn(&str) -> Option<usize>) -> Option<usize> {
    let first = text.chars().next()?;
    let lead = Some(first.len_utf8()).filter(|_| Class::of(first).may_lead());
    let with_lead = lead.and_then(|lead| Some(lead + body(text.get(lead..)?)?));
    let end = with_lead.or_else(|| body(text))?;
    Some(end + contraction(text.get(end..)?))
}

/// `[head]*[tail]+`: greedy, giving back head characters until one that is also a tail character.
fn cased_tail(text: &str) -> Option<usize> {
    let head = run(text, Class::in_head);
    let tail = run(text.get(head..)?, Class::in_tail);
    if tail > 0 {
        return Some(head + tail);
    }
    let given_back = text.get(..head)?.char_indices().rev();
    let mut shared = given_back.filter(|(_, c)| Class::of(*c).in_tail());
    shared.next().map(|(at, c)| at + c.len_utf8())
}

/// `[head]+[tail]*`
fn head_first(text: &str) -> Option<usize> {
    let head = run(text, Class::in_head);
    (head > 0).then(|| head + run(text.get(head..).unwrap_or_default(), Class::in_tail))
}

/// Without regard to case as Unicode folds it, so the long s (U+017F) counts as an s.
fn contraction(text: &str) -> usize {
    let mut chars = text.chars();
    if chars.next() != Some('\'') {
        return 0;
    }
    let first = chars.next();
    let second = chars.next().map(|c| c.to_ascii_lowercase());
    match first.map(|c| (c.to_ascii_lowercase(), c.len_utf8())) {
        Some(('s' | '\u{17f}' | 't' | 'm' | 'd', width)) => 1 + width,
        Some(('r' | 'v', _)) if second == Some('e') => 3,
        Some(('l', _)) if second == Some('l') => 3,
        _ => 0,
    }
}

/// `\p{N}{1,3}`
fn number(text: &str) -> Option<usize> {
    let digits = text.chars().take(3);
    let end: usize = digits.take_while(|c| Class::of(*c) == Class::Number).map(char::len_utf8).sum();
    (end > 0).then_some(end)
}

/// ` ?[^\s\p{L}\p{N}]+[\r\n/]*`
fn signs(text: &str) -> Option<usize> {
    let lead = usize::from(text.starts_with(' '));
    let signs = run(text.get(lead..)?, Class::is_sign);
    let end = lead + signs;
    let trail = text.get(end..)?.bytes();
    let trail = trail.take_while(|byte| matches!(byte, b'\r' | b'\n' | b'/'));
    (signs > 0).then(|| end + trail.count())
}

/// `\s*[\r\n]+`: up to the last line end of the blank run.
fn line_ends(text: &str) -> Option<usize> {
    let blank = run(text, Class::is_space);
    let last = text.get(..blank)?.rfind(['\r', '\n'])?;
    Some(last + 1)
}

/// `\s+(?!\S)`, else `\s+`: a blank run leaves its last character to the word that follows it.
fn spaces(text: &str) -> usize {
    let blank = run(text, Class::is_space);
    let last = text.get(..blank).and_then(|run| run.chars().next_back());
    let last = last.map_or(0, char::len_utf8);
    if blank < text.len() && blank > last { blank - last } else { blank }
}

/// The length in bytes of the leading run of characters in the class.
fn run(text: &str, class: fn(Class) -> bool) -> usize {
    let mut chars = text.char_indices();
    let end = chars.find(|(_, c)| !class(Class::of(*c)));
    end.map_or(text.len(), |(at, _)| at)
}
