//! Chunks that differ from the one before in their words only, as nearly all chunks of a stream do: their words are read and
//! the rest is not parsed again. Decides only whether a chunk is so; any other is left to the parser. Tests are below.

use std::ops::Range;

use memchr::{memchr2, memmem, memrchr};

use crate::chat::event::Event;
use crate::openai_chat::answer::{Choice, Message};

/// A longer chunk is not worth the memory that an open stream would have to keep for it.
const MOST: usize = 2048;
/// The key of OpenAI's padding, whose value is another in every chunk and is read by nobody.
const PADDING: &[u8] = b"\"obfuscation\":";

/// The latest chunk that was parsed, if it did nothing but say some words.
///
/// Another chunk with the same bytes, but for these words and the padding, is the same document with another string in
/// their place: to parse it would say that string and change nothing else. An empty string is not said, so it is parsed.
#[derive(Debug, Default)]
pub(super) struct Pattern {
    /// Empty if it did anything else.
    chunk: Vec<u8>,
    /// Where the words stand, with their quotes.
    words: Range<usize>,
    /// Where the value of the padding stands behind them, with its quotes.
    padding: Option<Range<usize>>,
    choice: u32,
    is_thought: bool,
}

impl Pattern {
    /// What a chunk of this pattern says; `None` if it has to be parsed.
    pub(super) fn read(&self, chunk: &[u8]) -> Option<Event> {
        let before = self.chunk.get(..self.words.start).filter(|before| !before.is_empty())?;
        let rest = chunk.strip_prefix(before)?;
        let (rest, behind) = match &self.padding {
            None => (rest, self.chunk.get(self.words.end..)?),
            Some(at) => {
                let rest = rest.strip_suffix(self.chunk.get(at.end..)?)?;
                (without_string(rest)?, self.chunk.get(self.words.end..at.start)?)
            }
        };
        // One whole string, or the chunk is another document.
        let text: String = serde_json::from_slice(rest.strip_suffix(behind)?).ok()?;
        let choice = self.choice;
        match self.is_thought {
            _ if text.is_empty() => None,
            false => Some(Event::Text { choice, text }),
            true => Some(Event::Reasoning { choice, text }),
        }
    }

    /// Takes the place of the pattern before. `choices` is what the chunk holds, `said` all that it said.
    pub(super) fn learn(&mut self, chunk: &[u8], choices: &[Choice<'_>], said: &[Event]) {
        self.chunk.clear();
        let ([choice], [event]) = (choices, said) else {
            return;
        };
        let Some(words) = words(choice, event).and_then(|words| place(chunk, words)) else {
            return;
        };
        if chunk.len() <= MOST {
            self.chunk.extend_from_slice(chunk);
            self.padding = padding(chunk, words.end);
            self.words = words;
            self.choice = choice.number();
            self.is_thought = matches!(event, Event::Reasoning { .. });
        }
    }
}

/// The words of a choice that did nothing but say them. Pieces of calls may be kept without being said, and details come
/// before plain reasoning.
fn words<'t>(choice: &'t Choice<'_>, said: &Event) -> Option<&'t str> {
    let delta = choice.delta();
    if delta.is_some_and(Message::has_calls) {
        return None;
    }
    match said {
        Event::Text { .. } => choice.plain_text(),
        Event::Reasoning { .. } => {
            delta.filter(|delta| delta.reasoning_details.is_none()).and_then(Message::plain_reasoning)
        }
        _ => None,
    }
}

/// Where the string stands in the chunk, with its quotes. A string with escapes was copied, so it stands elsewhere.
fn place(chunk: &[u8], text: &str) -> Option<Range<usize>> {
    let start = (text.as_ptr() as usize).checked_sub(chunk.as_ptr() as usize)?.checked_sub(1)?;
    let at = start..start.checked_add(text.len() + 2)?;
    let inside = chunk.get(at.clone())?.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    (inside == text.as_bytes()).then_some(at)
}

/// Where the padding's value stands, if it is a plain string.
fn padding(chunk: &[u8], from: usize) -> Option<Range<usize>> {
    let start = from + memmem::find(chunk.get(from..)?, PADDING)? + PADDING.len();
    let value = chunk.get(start..)?.strip_prefix(b"\"")?;
    let length = memchr2(b'"', b'\\', value)?;
    (value.get(length) == Some(&b'"')).then_some(start..start + length + 2)
}

/// What is left without the plain string at the end.
fn without_string(bytes: &[u8]) -> Option<&[u8]> {
    let quote = memrchr(b'"', bytes.strip_suffix(b"\"")?)?;
    let (rest, string) = bytes.split_at_checked(quote)?;
    serde_json::from_slice::<&str>(string).ok().map(|_| rest)
}

#[cfg(test)]
mod tests;
