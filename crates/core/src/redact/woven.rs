//! What was said in pieces, as one text again: a text with escapes, or what the events of a stream say one after the other. Every byte
//! knows where it stands, so that what is found in the whole is taken out of the pieces. Tests: `redact/tests.rs`.

use std::collections::BTreeMap;

use super::strings::{self, Text};
use super::{Note, Span};

/// Pieces in a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Woven {
    pub text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, Default)]
struct Piece {
    /// Where it begins in the whole.
    start: usize,
    /// Where each of its bytes stands, and where it ends.
    at: Vec<usize>,
}

impl Woven {
    /// Another piece begins.
    pub(super) fn begin(&mut self) {
        self.pieces.push(Piece { start: self.text.len(), at: Vec::new() });
    }

    /// The character stands there.
    pub(super) fn push(&mut self, letter: char, at: usize) {
        self.text.push(letter);
        if let Some(piece) = self.pieces.last_mut() {
            piece.at.extend(std::iter::repeat_n(at, letter.len_utf8()));
        }
    }

    /// The piece ends there.
    pub(super) fn end(&mut self, at: usize) {
        if let Some(piece) = self.pieces.last_mut() {
            piece.at.push(at);
        }
    }

    /// A place of the whole, as places in the pieces. Only the first of them has the note.
    pub(super) fn placed(&self, span: &Span) -> Vec<Span> {
        let mut placed: Vec<Span> = Vec::new();
        let first = self.pieces.partition_point(|piece| piece.start <= span.range.start).saturating_sub(1);
        for piece in self.pieces.iter().skip(first).take_while(|piece| piece.start < span.range.end) {
            let length = piece.at.len().saturating_sub(1);
            let from = span.range.start.saturating_sub(piece.start).min(length);
            let to = (span.range.end - piece.start).min(length);
            if let (Some(from), Some(to)) = (piece.at.get(from), piece.at.get(to))
                && from < to
            {
                let note = if placed.is_empty() { span.note } else { Note::Rest };
                placed.push(Span { range: *from..*to, note });
            }
        }
        placed
    }
}

/// What the events of a stream say, field by field: the texts of the same name, of the same place in lists. Nothing if it is no
/// stream.
pub(super) fn of_stream(text: &str) -> Vec<Woven> {
    let mut said: BTreeMap<String, Woven> = BTreeMap::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.starts_with("data:") {
            let texts = strings::all(line);
            let place = place(line, &texts);
            let mut name = "";
            for found in &texts {
                if found.is_name {
                    name = line.get(found.range.clone()).unwrap_or_default();
                    continue;
                }
                let here = Text { range: found.range.start + at..found.range.end + at, ..found.clone() };
                strings::append(text, &here, said.entry(format!("{name} {place}")).or_default());
            }
        }
        at += line.len();
    }
    // What came in one piece was looked at where it stands.
    said.into_values().filter(|woven| woven.pieces.len() > 1).collect()
}

/// The numbers of an event that say which of several it goes on with, such as `"index": 1`.
fn place(line: &str, texts: &[Text]) -> String {
    let mut place = String::new();
    for name in texts.iter().filter(|text| text.is_name) {
        if line.get(name.range.clone()).is_some_and(|name| name.ends_with("index")) {
            let rest = line.get(name.range.end + 1..).unwrap_or_default();
            let rest = rest.trim_start_matches([' ', ':']);
            place.extend(rest.chars().take_while(char::is_ascii_digit));
            place.push(',');
        }
    }
    place
}
