//! What of a body may be kept: its text, without secrets and media. Decides what looks like a secret, whether it stands in the open, in
//! JSON texts within JSON texts, or in pieces over the events of a stream. Leaves everything else as it is, so that JSON stays JSON.
//! Knows no request and no configuration. Tests: `redact/tests.rs`.

mod shapes;
mod strings;
mod woven;

use std::ops::Range;

/// A body as it may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted {
    pub text: String,
    /// How many places were made unreadable.
    pub places: usize,
}

/// What is known of a body beside its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct About<'a> {
    /// Secrets that may stand in it, of whatever form. Those of fewer than eight characters could be any word, and are left.
    pub known: &'a [&'a str],
    /// Its end is missing, so that the last of it may be the beginning of a secret.
    pub cut: bool,
}

/// A body without its secrets and media. What is no text becomes a note of its size.
pub fn redact(body: &[u8], about: About<'_>) -> Redacted {
    let Some(text) = readable(body, about.cut) else {
        return Redacted { text: format!("[{} bytes that are no text]", body.len()), places: 1 };
    };
    rendered(text, spans(text, about, 0))
}

/// The text, without half a character at a missing end.
fn readable(body: &[u8], cut: bool) -> Option<&str> {
    match std::str::from_utf8(body) {
        Ok(text) => Some(text),
        Err(error) if cut && error.error_len().is_none() => std::str::from_utf8(body.get(..error.valid_up_to())?).ok(),
        Err(_) => None,
    }
}

/// A place that must not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    range: Range<usize>,
    note: Note,
}

/// What stands there instead. No note has a quote or a backslash, so it may stand in JSON at any depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Note {
    Secret,
    /// A secret that stood there as a number, in JSON.
    Number,
    /// Media of so many bytes.
    Media(usize),
    /// The rest of what has its note elsewhere.
    Rest,
}

/// JSON in texts of JSON in texts of JSON ... is followed so far.
const MOST_DEPTH: usize = 4;

/// Every place that must not be read, in no order.
fn spans(text: &str, about: About<'_>, depth: usize) -> Vec<Span> {
    let mut found = shapes::find(text, about);
    let texts = strings::all(text);
    found.extend(strings::in_secret_fields(text, &texts));
    if depth < MOST_DEPTH {
        for said in texts.iter().filter_map(|string| strings::unescaped(text, string)) {
            let inside = spans(&said.text, about, depth + 1);
            found.extend(inside.iter().flat_map(|span| said.placed(span)));
        }
        if depth == 0 {
            for said in woven::of_stream(text) {
                let inside = spans(&said.text, about, depth + 1);
                // Ids are alike in each event: together they are long, and no media.
                let secrets = inside.iter().filter(|span| !matches!(span.note, Note::Media(_)));
                found.extend(secrets.flat_map(|span| said.placed(span)));
            }
        }
    }
    found
}

fn rendered(text: &str, mut spans: Vec<Span>) -> Redacted {
    // The longest of those that begin together comes first; of media that are a secret, nothing is told.
    let is_media = |note| matches!(note, Note::Media(_));
    spans.sort_by_key(|span| (span.range.start, std::cmp::Reverse(span.range.end), is_media(span.note)));
    let mut out = String::with_capacity(text.len());
    let (mut at, mut places) = (0, 0);
    for Span { range, note } in spans {
        if range.end <= at || range.is_empty() {
            continue;
        }
        // What overlaps with the one before has its note already.
        if range.start >= at {
            out.push_str(text.get(at..range.start).unwrap_or_default());
            note.write(&mut out);
            places += usize::from(note != Note::Rest);
        }
        at = range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    Redacted { text: out, places }
}

/// What stands in the place of a secret.
const SECRET: &str = "[redacted]";

impl Note {
    fn write(self, out: &mut String) {
        match self {
            Self::Secret => out.push_str(SECRET),
            Self::Number => out.push_str("null"),
            Self::Media(bytes) => out.push_str(&format!("[{bytes} bytes]")),
            Self::Rest => {}
        }
    }
}

#[cfg(test)]
mod tests;
