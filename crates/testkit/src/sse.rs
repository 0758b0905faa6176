//! Reads server-sent events the way a strict client does (WHATWG HTML, section 9.2.6), for tests to compare.
//! It must not know any provider's events. Tests at the foot.

use serde_json::Value;

/// One dispatched event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The last `event:` line, if there was one.
    pub event: Option<String>,
    /// The `data:` lines, joined with a line feed.
    pub data: String,
}

impl Event {
    /// The data as JSON. Panics when it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error} in event data {:?}", self.data))
    }
}

/// The events of a whole body. What follows the last blank line is no event: a stream cut there lost it.
/// Panics when an event is not UTF-8.
pub fn parse(body: &[u8]) -> Vec<Event> {
    let mut reader = EventReader::default();
    reader.push(body)
}

/// Reads events from bytes that arrive in any pieces. Lines end with LF, CRLF or CR.
#[derive(Debug, Default)]
pub struct EventReader {
    line: Vec<u8>,
    /// The last byte was a CR, so a LF now belongs to it.
    returned: bool,
    event: Option<String>,
    data: Option<String>,
}

impl EventReader {
    /// Takes the next bytes and gives the events they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = vec![];
        for &byte in bytes {
            let returned = std::mem::replace(&mut self.returned, byte == b'\r');
            match byte {
                b'\n' if returned => {}
                b'\r' | b'\n' => {
                    let line = String::from_utf8(std::mem::take(&mut self.line)).expect("an event stream is UTF-8");
                    events.extend(self.take(&line));
                }
                _ => self.line.push(byte),
            }
        }
        events
    }

    /// Whether an event has begun that no blank line has ended.
    pub fn in_the_middle(&self) -> bool {
        !self.line.is_empty() || self.event.is_some() || self.data.is_some()
    }

    fn take(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = self.event.take();
            return self.data.take().map(|data| Event { event, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match (field, &mut self.data) {
            ("event", _) => self.event = Some(value.to_owned()),
            ("data", Some(data)) => data.extend(["\n", value]),
            ("data", nothing) => *nothing = Some(value.to_owned()),
            // Comments have an empty field name; `id`, `retry` and unknown fields say nothing a test looks at.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str =
        ": hi\r\n\r\nevent: a\r\ndata:1\r\ndata:  2\r\nid: 7\r\n\r\nevent: lost\n\ndata: \u{1F600}\n\ndata: cut";

    #[test]
    fn events_are_the_same_wherever_the_bytes_are_cut() {
        let expected = [
            Event { event: Some("a".to_owned()), data: "1\n 2".to_owned() },
            Event { event: None, data: "\u{1F600}".to_owned() },
        ];
        for size in 1..=BODY.len() {
            let mut reader = EventReader::default();
            let events: Vec<Event> = BODY.as_bytes().chunks(size).flat_map(|piece| reader.push(piece)).collect();
            assert_eq!(events, expected, "pieces of {size}");
            assert!(reader.in_the_middle());
        }
    }

    #[test]
    fn a_lone_carriage_return_ends_a_line() {
        assert_eq!(parse(b"data: 1\rdata: 2\r\rdata: 3\r\n\r\n").len(), 2);
        assert_eq!(parse(b"data: 1\rdata: 2\r\r")[0].data, "1\n2");
    }

    #[test]
    fn nothing_is_left_open_after_a_whole_body() {
        let mut reader = EventReader::default();
        assert_eq!(reader.push(b"data: [DONE]\n\n"), parse(b"data: [DONE]\n\n"));
        assert!(!reader.in_the_middle());
    }
}
