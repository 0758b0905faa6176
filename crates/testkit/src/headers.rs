//! Header fields as they stood on the wire: order, case and repetition kept.
//! Knows nothing of their meaning beyond how a body's length is told. Tests at the foot.

use std::io;

/// Header fields in wire order, names in the case they were sent in. Bytes that are not UTF-8 show as U+FFFD.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The value of the first field of that name, in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The values of every field of that name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Name and value of every field, in order, case kept.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(crate) fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn write_to(&self, head: &mut String) {
        for (name, value) in self.iter() {
            head.extend([name, ": ", value, "\r\n"]);
        }
    }
}

/// The first line of a message and its fields.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) start: String,
    pub(crate) headers: Headers,
}

/// How the length of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyLength {
    Exactly(usize),
    Chunked,
    Untold,
}

impl Head {
    /// Reads a head without its closing blank line.
    pub(crate) fn parse(bytes: &[u8]) -> io::Result<Self> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let mut headers = Headers::default();
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(|| malformed("a header line without a colon", line))?;
            headers.push(name, value.trim_matches([' ', '\t']));
        }
        Ok(Self { start, headers })
    }

    pub(crate) fn body_length(&self) -> io::Result<BodyLength> {
        let chunked = |coding: &str| coding.to_ascii_lowercase().contains("chunked");
        if self.headers.all("transfer-encoding").any(chunked) {
            return Ok(BodyLength::Chunked);
        }
        match self.headers.get("content-length") {
            Some(digits) => digits
                .parse()
                .map(BodyLength::Exactly)
                .map_err(|_| malformed("a content-length that is no number", digits)),
            None => Ok(BodyLength::Untold),
        }
    }
}

pub(crate) fn malformed(what: &str, seen: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what}: {seen:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_order_case_and_repetition() {
        let head = Head::parse(b"GET / HTTP/1.1\r\nX-B: 2\r\nx-a:1\r\nx-b:  3 ").unwrap();

        assert_eq!(head.start, "GET / HTTP/1.1");
        assert_eq!(head.headers.iter().collect::<Vec<_>>(), [("X-B", "2"), ("x-a", "1"), ("x-b", "3")]);
        assert_eq!(head.headers.all("x-B").collect::<Vec<_>>(), ["2", "3"]);
        assert_eq!(head.headers.get("absent"), None);
    }

    #[test]
    fn a_chunked_body_wins_over_a_length() {
        let head = Head::parse(b"x\r\nContent-Length: 7\r\nTransfer-Encoding: Chunked").unwrap();
        assert_eq!(head.body_length().unwrap(), BodyLength::Chunked);
    }

    #[test]
    fn nonsense_in_a_head_is_told_apart_from_absence() {
        assert!(Head::parse(b"x\r\nno colon").is_err());
        assert!(Head::parse(b"x\r\ncontent-length: many").unwrap().body_length().is_err());
        assert_eq!(Head::parse(b"x").unwrap().body_length().unwrap(), BodyLength::Untold);
    }
}
