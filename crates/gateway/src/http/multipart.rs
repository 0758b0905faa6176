//! Finds the `model` of a multipart body while it arrives, and how many results are wanted of it, so that an upload can be
//! routed and paid before it is here whole; and sees to it that nothing behind says otherwise. Changes nothing: the bytes go on
//! as they came. Format: RFC 7578. Tests are below.

mod head;

use std::fmt;
use std::ops::Range;

use waypost_core::GatewayError;

use self::head::{begins, field_names};

/// Is it the type of a form?
pub fn is_form(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("multipart/form-data")
}

/// The error for a form of which nobody can say where its parts begin.
pub fn no_boundary() -> GatewayError {
    GatewayError::invalid_request("The `boundary` of the form's Content-Type cannot be read.", None)
}

/// The boundary that a `multipart/form-data` content type names; `None` for any other type, and where providers could read
/// another one.
pub fn boundary(content_type: &str) -> Option<String> {
    let (_, parameters) = content_type.split_once(';').filter(|_| is_form(content_type))?;
    let named = parameters.split(';').map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")));
    // Some read `boundary*` as well (RFC 2231), and then that one.
    let mut named = named.filter(|(name, _)| begins(name.trim(), "boundary"));
    let (Some((name, value)), None) = (named.next(), named.next()) else { return None };
    let value = Some(value.trim()).filter(|_| name.trim().len() == "boundary".len())?;
    let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    // RFC 2046, 5.1.1.
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    ((1..=70).contains(&bare.len()) && bare.bytes().all(usual)).then(|| bare.to_owned())
}

/// The head of a part may have so many bytes; those that SDKs write have two hundred.
const LONGEST_HEAD: usize = 8 << 10;
/// A value that is read may have so many bytes.
const LONGEST_VALUE: usize = 1 << 10;
/// A line break has so many bytes.
const CRLF: usize = 2;
/// As many results as anybody makes at once.
const MOST: u64 = 128;

/// A field that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Model,
    N,
}

impl Field {
    fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::N => "n",
        }
    }
}

/// Why a form is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A provider might read the other one.
    Twice(Field),
    /// It came when the upload was on its way already, and was routed and paid without it.
    Late(Field),
    /// It is not text, or too long.
    Unreadable(Field),
    /// Not a whole number that anybody makes.
    Count,
    /// The head of a part is too long to be one.
    Head,
    /// The head of a part names it in a way that not everybody reads alike.
    Unclear,
    /// A boundary has no line of its own, or a line that does not end in CRLF: some providers take it for one, and some do not.
    Boundary,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twice(field) => write!(f, "`{}` stands twice in the form; send it once.", field.name()),
            Self::Late(field) => {
                write!(f, "`{}` comes too late in the form; send it before the files.", field.name())
            }
            Self::Unreadable(field) => write!(f, "`{}` must be a short text.", field.name()),
            Self::Count => write!(f, "`n` must be a whole number from 1 to {MOST}."),
            Self::Head => f.write_str("The head of a part of the form is too long."),
            Self::Unclear => f.write_str(
                "The head of a part of the form must be lines of `Name: value`, one of them `Content-Disposition: form-data; \
                 name=\"...\"`.",
            ),
            Self::Boundary => {
                f.write_str("The lines of the form must end in CRLF, and its boundary stand in lines of its own.")
            }
        }
    }
}

impl std::error::Error for Flaw {}

impl From<Flaw> for GatewayError {
    fn from(flaw: Flaw) -> Self {
        let param = match flaw {
            Flaw::Twice(field) | Flaw::Late(field) | Flaw::Unreadable(field) => Some(field.name()),
            Flaw::Count => Some("n"),
            Flaw::Head | Flaw::Unclear | Flaw::Boundary => None,
        };
        Self::invalid_request(flaw.to_string(), param)
    }
}

/// Reads a form piece by piece, in pieces of any size, and each byte once. Keeps nothing but the head or the value it is in.
pub struct Search {
    /// What ends a part, behind a line break. It holds none itself, so that only a line break can begin it anew.
    delimiter: Vec<u8>,
    fields: &'static [Field],
    needed: Option<&'static str>,
    has_needed: bool,
    place: Place,
    /// The line break before the last bytes, if they may be the delimiter.
    line: Line,
    /// How much of the delimiter the last bytes are.
    matched: usize,
    /// The head or the value that is being read.
    kept: Vec<u8>,
    /// How many bytes were read.
    at: usize,
    seen: Vec<Field>,
    model: Option<(String, Range<usize>)>,
    n: Option<u64>,
    sealed: bool,
}

/// What a line began with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    /// It is no delimiter.
    Other,
    /// CRLF, or the beginning of the form.
    Whole,
    Cr,
    Lf,
}

/// Where the next byte stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In what nobody reads, or in the value of a field.
    Content(Option<Field>),
    /// Behind a boundary.
    Head,
    /// Behind the last one, in its line.
    Last,
    /// Behind all of them.
    Over,
}

impl Search {
    /// Reads `fields` and remembers whether `needed` was there.
    pub fn new(boundary: &str, fields: &'static [Field], needed: Option<&'static str>) -> Self {
        Self {
            delimiter: format!("--{boundary}").into_bytes(),
            fields,
            needed,
            has_needed: false,
            place: Place::Content(None),
            // The first boundary needs no line break before it.
            line: Line::Whole,
            matched: 0,
            kept: Vec::new(),
            at: 0,
            seen: Vec::new(),
            model: None,
            n: None,
            sealed: false,
        }
    }

    /// Was the needed field among the parts read so far?
    pub fn has_needed(&self) -> bool {
        self.has_needed
    }

    /// Are all fields that are read known?
    pub fn has_all(&self) -> bool {
        self.fields.iter().all(|field| match field {
            Field::Model => self.model.is_some(),
            Field::N => self.n.is_some(),
        })
    }

    /// Has the last part ended?
    pub fn is_over(&self) -> bool {
        matches!(self.place, Place::Last | Place::Over)
    }

    /// The model, once its part has ended, and where in the form it stands.
    pub fn model(&self) -> Option<&(String, Range<usize>)> {
        self.model.as_ref()
    }

    /// How many results are wanted, once that part has ended.
    pub fn n(&self) -> Option<u64> {
        self.n
    }

    /// From now on no field may come that is read: the upload is on its way.
    pub fn seal(&mut self) {
        self.sealed = true;
    }

    /// Reads on.
    pub fn read(&mut self, mut bytes: &[u8]) -> Result<(), Flaw> {
        while !bytes.is_empty() {
            let read = match self.place {
                Place::Content(None) => self.skip(bytes)?,
                Place::Content(Some(field)) => self.value(field, bytes)?,
                Place::Head => self.head(bytes)?,
                Place::Last => self.last(bytes)?,
                Place::Over => bytes.len(),
            };
            self.at += read;
            bytes = bytes.get(read..).unwrap_or_default();
        }
        Ok(())
    }

    /// Steps over what nobody reads, up to the next boundary; tells how much of it there was.
    fn skip(&mut self, bytes: &[u8]) -> Result<usize, Flaw> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if self.line == Line::Other {
                let Some(line) = memchr::memchr2(b'\r', b'\n', rest) else { break };
                at += line;
            }
            let ended = bytes.get(at).map_or(Ok(false), |byte| self.ends(*byte))?;
            at += 1;
            if ended {
                return Ok(at);
            }
        }
        Ok(bytes.len())
    }

    /// Keeps the value of a field, up to the next boundary.
    fn value(&mut self, field: Field, bytes: &[u8]) -> Result<usize, Flaw> {
        for (at, byte) in bytes.iter().enumerate() {
            self.kept.push(*byte);
            if self.ends(*byte)? {
                self.keep(field, self.at + at + 1)?;
                return Ok(at + 1);
            }
            if self.kept.len() > LONGEST_VALUE + self.delimiter.len() + CRLF {
                return Err(Flaw::Unreadable(field));
            }
        }
        Ok(bytes.len())
    }

    /// Is the delimiter whole with this byte? Then a head begins.
    fn ends(&mut self, byte: u8) -> Result<bool, Flaw> {
        let after_cr = self.line == Line::Cr && self.matched == 0;
        match byte {
            b'\n' if after_cr => (self.line, self.matched) = (Line::Whole, 0),
            b'\n' => (self.line, self.matched) = (Line::Lf, 0),
            b'\r' => (self.line, self.matched) = (Line::Cr, 0),
            _ if self.line != Line::Other && self.delimiter.get(self.matched) == Some(&byte) => self.matched += 1,
            _ => self.line = Line::Other,
        }
        if self.line == Line::Other || self.matched < self.delimiter.len() {
            return Ok(false);
        }
        if self.line != Line::Whole {
            return Err(Flaw::Boundary);
        }
        self.place = Place::Head;
        Ok(true)
    }

    /// Takes over the value of a field, whose delimiter ends at `end`.
    fn keep(&mut self, field: Field, end: usize) -> Result<(), Flaw> {
        let kept = std::mem::take(&mut self.kept);
        let length = kept.len().saturating_sub(self.delimiter.len() + CRLF);
        let value = kept.get(..length).and_then(|value| std::str::from_utf8(value).ok());
        let value = value.ok_or(Flaw::Unreadable(field))?;
        let start = (end - self.delimiter.len() - CRLF).saturating_sub(length);
        match field {
            Field::Model if value.is_empty() => {}
            Field::Model => self.model = Some((value.to_owned(), start..start + length)),
            Field::N => {
                let n = value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok()).flatten();
                self.n = Some(n.filter(|n| (1..=MOST).contains(n)).ok_or(Flaw::Count)?);
            }
        }
        Ok(())
    }

    /// Keeps what follows a boundary, up to the empty line.
    fn head(&mut self, bytes: &[u8]) -> Result<usize, Flaw> {
        for (at, byte) in bytes.iter().enumerate() {
            let half_a_break = (*byte == b'\n') != (self.kept.last() == Some(&b'\r'));
            self.kept.push(*byte);
            match self.kept.as_slice() {
                _ if half_a_break => return Err(Flaw::Boundary),
                [b'-', b'-'] => {
                    self.place = Place::Last;
                    self.kept.clear();
                    return Ok(at + 1);
                }
                [b'-', _] => return Err(Flaw::Boundary),
                [b'-'] | [b'\r', b'\n'] => {}
                head if !head.contains(&b'\r') && !is_blank(*byte) => return Err(Flaw::Boundary),
                head if head.ends_with(b"\r\n\r\n") => {
                    self.begin()?;
                    return Ok(at + 1);
                }
                head if head.len() > LONGEST_HEAD => return Err(Flaw::Head),
                _ => {}
            }
        }
        Ok(bytes.len())
    }

    /// Reads the rest of the line that the last boundary stands in: whoever finds anything there may take the line for none, and
    /// read on.
    fn last(&mut self, bytes: &[u8]) -> Result<usize, Flaw> {
        for (at, byte) in bytes.iter().enumerate() {
            match (byte, self.kept.last()) {
                (b'\n', Some(b'\r')) => {
                    self.place = Place::Over;
                    return Ok(at + 1);
                }
                (b' ' | b'\t' | b'\r', None | Some(b' ' | b'\t')) => self.kept = vec![*byte],
                _ => return Err(Flaw::Boundary),
            }
        }
        Ok(bytes.len())
    }

    /// A part begins, whose head was read.
    fn begin(&mut self) -> Result<(), Flaw> {
        let head = std::mem::take(&mut self.kept);
        let (names, is_usual) = field_names(&String::from_utf8_lossy(&head)).ok_or(Flaw::Unclear)?;
        self.has_needed |= names.iter().any(|name| self.needed == Some(name.as_str()));
        // Where a part has two names, providers differ in which one they take.
        let field = self.fields.iter().copied().find(|field| names.iter().any(|name| name == field.name()));
        if let Some(field) = field {
            if !is_usual {
                return Err(Flaw::Unclear);
            }
            if self.seen.contains(&field) || names.len() > 1 {
                return Err(Flaw::Twice(field));
            }
            if self.sealed {
                return Err(Flaw::Late(field));
            }
            self.seen.push(field);
        }
        // The line break of the empty line may be that of the next boundary.
        (self.line, self.matched, self.place) = (Line::Whole, 0, Place::Content(field));
        Ok(())
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n--xy\r\n\n--xy\rz\r\n--xyz\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--xyz\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n10\r\n--xyz--\r\n";

    const BOTH: [Field; 2] = [Field::Model, Field::N];

    fn read(body: &[u8], boundary: &str) -> Result<Search, Flaw> {
        let mut search = Search::new(boundary, &BOTH, None);
        search.read(body).map(|()| search)
    }

    fn model(body: &[u8], boundary: &str) -> Option<String> {
        read(body, boundary).unwrap().model().map(|(model, _)| model.clone())
    }

    /// A form of these fields.
    fn form(fields: &[(&str, &str)]) -> String {
        let part = |(name, value): &(&str, &str)| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        fields.iter().map(part).collect::<String>() + "--b--\r\n"
    }

    #[test]
    fn the_fields_are_found_behind_a_file_and_only_when_they_are_whole() {
        let search = read(BODY, "xyz").unwrap();
        let (name, range) = search.model().unwrap();
        assert_eq!((&BODY[range.clone()], name.as_str()), (&b"whisper-1"[..], "whisper-1"));
        assert!(search.is_over() && search.n() == Some(10));
        let behind = range.end + "\r\n--xyz".len();
        for length in 0..BODY.len() - 2 {
            let search = read(&BODY[..length], "xyz").unwrap();
            assert_eq!(search.model().is_some(), length >= behind, "{length}");
            assert_eq!(search.is_over(), length >= BODY.len() - 2, "{length}");
        }
    }

    #[test]
    fn the_pieces_a_form_comes_in_make_no_difference() {
        for size in 1..BODY.len() {
            let mut search = Search::new("xyz", &BOTH, Some("file"));
            BODY.chunks(size).for_each(|piece| search.read(piece).unwrap());
            assert_eq!(search.model(), read(BODY, "xyz").unwrap().model(), "{size}");
            assert!(search.has_needed() && search.is_over() && search.n() == Some(10));
        }
    }

    #[test]
    fn nothing_inside_a_file_or_its_name_passes_for_the_field() {
        let inside = "x--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nfake\r\n-- b";
        let name = "a;name=model;\\\\";
        let body = format!(
            "--b\r\nContent-Disposition: form-data; filename=\"{name};name=model\"; name=\"file\"\r\n\r\n{inside}\r\n--b \r\n\
             content-disposition:form-data;name=model\r\n\r\nreal\r\n--b--"
        );
        assert_eq!(model(body.as_bytes(), "b").as_deref(), Some("real"));
    }

    #[test]
    fn a_body_that_ends_without_it_says_so() {
        let search = read(form(&[("purpose", "model"), ("empty", "")]).as_bytes(), "b").unwrap();
        assert!(search.is_over() && search.model().is_none() && search.n().is_none());
        assert_eq!(model(form(&[("model", "")]).as_bytes(), "b"), None);
        // The empty line of a head may be followed by the next boundary at once.
        let bare = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--b--";
        assert_eq!(model(bare.as_bytes(), "b").as_deref(), Some("m"));
    }

    #[test]
    fn a_second_model_is_refused_wherever_a_piece_ends() {
        let twice = form(&[("model", "cheap"), ("file", "RIFF\r\n--"), ("model", "dear")]);
        for size in 1..twice.len() {
            let mut search = Search::new("b", &BOTH, None);
            let flaw = twice.as_bytes().chunks(size).find_map(|piece| search.read(piece).err());
            assert_eq!(flaw, Some(Flaw::Twice(Field::Model)), "{size}");
        }
        for head in ["name=\"file\"; name=\"model\"", "name=\"model\"\r\nContent-Disposition: form-data; name=\"file\""]
        {
            let body = format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\nm\r\n--b--");
            assert_eq!(read(body.as_bytes(), "b").err(), Some(Flaw::Twice(Field::Model)), "{head}");
        }
    }

    #[test]
    fn what_some_providers_take_for_a_boundary_and_some_do_not_is_refused_wherever_a_piece_ends() {
        let cheap = form(&[("model", "cheap")]);
        let dear = "Content-Disposition: form-data; name=\"model\"\n\ndear\n--b--\n";
        let file = "--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nRIFF";
        for body in [
            format!("--b\n{dear}\r\n{cheap}"),
            format!("{file}\n--b\n{dear}\r\n{cheap}"),
            format!("{file}\r--b\r{dear}\r\n{cheap}"),
            format!("{file}\r\n--bc\r\n{cheap}"),
            format!("{file}\r\n--b c\r\n{cheap}"),
            format!("{file}\r\n--b--c\r\n{cheap}"),
            format!("{file}\r\n--b--\n{cheap}"),
            format!("{file}\r\n--b-\r\n{cheap}"),
            format!("{file}\r\n--b\r{dear}\r\n{cheap}"),
            format!("--b\r\nContent-Disposition: form-data; name=\"file\"\nX: y\r\n\r\n\r\n{cheap}"),
        ] {
            for size in 1..body.len() {
                let mut search = Search::new("b", &BOTH, None);
                let flaw = body.as_bytes().chunks(size).find_map(|piece| search.read(piece).err());
                assert_eq!(flaw, Some(Flaw::Boundary), "{size}: {body:?}");
            }
        }
    }

    #[test]
    fn a_part_whose_name_some_providers_find_and_some_do_not_is_refused_wherever_a_piece_ends() {
        let cheap = form(&[("model", "cheap")]);
        for head in [
            "Content-Disposition: form-data; x; name=\"model\"",
            "Content-Disposition: form-data;; name=\"model\"",
            "Content-Disposition: form-data; name*=utf-8''model",
            "Content-Disposition: form-data; name*0=\"mo\"; name*1=\"del\"",
            "Content-Disposition: form-data;\r\n name=\"model\"",
            "Content-Disposition : form-data; name=\"model\"",
            "Content-Disposition: attachment; name=\"model\"",
            "Content-Disposition: form-data; filename=\"a\\\\\"; name=\"model\" x",
            "Content-Disposition: form-data; filename=\"a\\\"; name=\"model\"; x=\"\\\"\"",
            "name=\"model\"",
        ] {
            for body in [
                format!("--b\r\n{head}\r\n\r\ndear\r\n{cheap}"),
                cheap.replace("--b--", &format!("--b\r\n{head}\r\n\r\ndear\r\n--b--")),
            ] {
                for size in [1, 2, 7, body.len()] {
                    let mut search = Search::new("b", &BOTH, None);
                    let flaw = body.as_bytes().chunks(size).find_map(|piece| search.read(piece).err());
                    assert_eq!(flaw, Some(Flaw::Unclear), "{size}: {body}");
                }
            }
        }
        let ended = "--b\r\nContent-Disposition: form-data; name=\"model\"; \r\n\r\nm\r\n--b--";
        assert_eq!(model(ended.as_bytes(), "b").as_deref(), Some("m"));
        // Two backslashes are one, and the quote behind them ends the text.
        let ends = "--b\r\nContent-Disposition: form-data; filename=\"a\\\\\"; name=\"model\"\r\n\r\nm\r\n--b--";
        assert_eq!(model(ends.as_bytes(), "b").as_deref(), Some("m"));
        let usual = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a \\\"name\\\".wav\"; filename*=UTF-8''%C3%A9.wav\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n";
        assert_eq!(model(format!("{usual}{cheap}").as_bytes(), "b").as_deref(), Some("cheap"));
    }

    #[test]
    fn what_comes_when_the_upload_is_on_its_way_is_too_late() {
        let mut search = Search::new("b", &BOTH, None);
        search.read(b"--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nRIFF").unwrap();
        search.seal();
        let rest = b"\r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ndear\r\n--b--";
        assert_eq!(search.read(rest), Err(Flaw::Late(Field::Model)));
    }

    #[test]
    fn how_many_are_wanted_is_a_whole_number_that_somebody_makes() {
        let n = |value| read(form(&[("n", value)]).as_bytes(), "b").map(|search| search.n());
        assert_eq!((n("1").unwrap(), n("128").unwrap()), (Some(1), Some(128)));
        for odd in ["0", "129", "-1", "+4", "4.0", "1e1", " 4", "", "ten", "99999999999999999999"] {
            assert_eq!(n(odd).err(), Some(Flaw::Count), "{odd}");
        }
        let long = "m".repeat(LONGEST_VALUE + 9);
        assert_eq!(read(form(&[("model", &long)]).as_bytes(), "b").err(), Some(Flaw::Unreadable(Field::Model)));
        let head = format!("--b\r\nX: {}", "x".repeat(LONGEST_HEAD));
        assert_eq!(read(head.as_bytes(), "b").err(), Some(Flaw::Head));
    }

    #[test]
    fn the_boundary_is_read_from_the_content_type() {
        assert_eq!(boundary("multipart/form-data; charset=utf-8; Boundary=\"a b\""), Some("a b".to_owned()));
        assert_eq!(boundary("multipart/mixed; boundary=a"), None);
        assert_eq!(boundary("application/json"), None);
        for odd in [
            "",
            "; boundary=",
            "; boundary=a; boundary=b",
            "; boundary=\"a;b\"",
            "; boundary=a\"b",
            "; boundary=\"a",
            "; boundary=a; boundary*=utf-8''b",
            "; boundary*=utf-8''b",
            "; boundary*0=a",
            "; boundary",
        ] {
            assert_eq!(boundary(&format!("multipart/form-data{odd}")), None, "{odd}");
        }
    }
}
