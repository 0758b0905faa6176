//! Finds the `model` field in the first part of a multipart body, so that an upload can be routed while it arrives.
//! Reads nothing else of it and changes nothing: the bytes go on as they came. Format: RFC 7578. Tests are below.

use std::ops::Range;

use memchr::memmem;

/// What the bytes seen so far say about the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// The field is there, whole: the name and where it stands.
    Model(String, Range<usize>),
    /// The body is over, or broken, and has no such field.
    Absent,
    /// More bytes are needed to tell.
    Unknown,
}

/// The boundary that a `multipart/form-data` content type names; `None` for any other type.
pub fn boundary(content_type: &str) -> Option<String> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let value = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    (1..=70).contains(&value.len()).then(|| value.to_owned())
}

/// Looks for the `model` field while a form arrives, and remembers whether a needed one was there. Reads each byte once,
/// however small the pieces are that it comes in.
pub struct Search {
    /// What stands between two parts, but for the line break before it.
    delimiter: Vec<u8>,
    needed: Option<&'static str>,
    has_needed: bool,
    /// Where the part that is being read begins.
    part: Option<usize>,
    /// No delimiter begins before this.
    searched: usize,
}

impl Search {
    pub fn new(boundary: &str, needed: Option<&'static str>) -> Self {
        let delimiter = format!("--{boundary}").into_bytes();
        Self { delimiter, needed, has_needed: false, part: None, searched: 0 }
    }

    /// Was the needed field among the parts read so far?
    pub fn has_needed(&self) -> bool {
        self.has_needed
    }

    /// Looks on. `seen` is all that came so far.
    pub fn look(&mut self, seen: &[u8]) -> Ahead {
        loop {
            let unread = seen.get(self.searched..).unwrap_or_default();
            let Some(found) = memmem::find(unread, &self.delimiter) else {
                let tail = self.delimiter.len() - 1;
                self.searched = self.searched.max(seen.len().saturating_sub(tail));
                return Ahead::Unknown;
            };
            let at = self.searched + found;
            let behind = at + self.delimiter.len();
            let Some(next) = seen.get(behind..behind + 2) else {
                self.searched = at;
                return Ahead::Unknown;
            };
            let before = seen.get(..at).unwrap_or_default();
            // A file may hold the same characters elsewhere than on a line of their own (RFC 2046, 5.1.1).
            let own_line = before.is_empty() || before.ends_with(b"\r\n");
            if !own_line || !matches!(next, b"--" | b"\r\n" | [b' ' | b'\t', _]) {
                self.searched = at + 1;
                continue;
            }
            self.searched = behind;
            if let Some(start) = self.part.replace(behind)
                && let Some(model) = self.read_part(seen, start..at.saturating_sub(2))
            {
                return model;
            }
            if next == b"--" {
                return Ahead::Absent;
            }
        }
    }

    /// Reads a whole part: the model's name, if it is that.
    fn read_part(&mut self, seen: &[u8], at: Range<usize>) -> Option<Ahead> {
        let part = seen.get(at.clone())?;
        let head_end = memmem::find(part, b"\r\n\r\n")?;
        let name = field_name(&String::from_utf8_lossy(part.get(..head_end)?))?;
        self.has_needed |= self.needed == Some(name.as_str());
        let value = part.get(head_end + 4..)?;
        let model = std::str::from_utf8(value).ok().filter(|model| name == "model" && !model.is_empty())?;
        Some(Ahead::Model(model.to_owned(), at.end - model.len()..at.end))
    }
}

/// The `name` of a part's `Content-Disposition`. File names may hold anything, quoted: they are stepped over.
fn field_name(head: &str) -> Option<String> {
    let disposition = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    let (_, mut rest) = disposition.split_once(';')?;
    loop {
        let (key, tail) = rest.split_once('=')?;
        let (value, tail) = match tail.trim_start().strip_prefix('"') {
            Some(quoted) => {
                let escaped = |at: usize| quoted.get(..at).is_some_and(|before| before.ends_with('\\'));
                let end = quoted.match_indices('"').map(|(at, _)| at).find(|at| !escaped(*at))?;
                (quoted.get(..end)?, quoted.get(end + 1..)?)
            }
            None => tail.split_at(tail.find(';').unwrap_or(tail.len())),
        };
        if key.trim().eq_ignore_ascii_case("name") {
            return Some(value.trim().to_owned());
        }
        (_, rest) = tail.split_once(';')?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n--xy\r\n--xyz\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--xyz--\r\n";

    fn model(body: &[u8], boundary: &str) -> Ahead {
        Search::new(boundary, None).look(body)
    }

    #[test]
    fn the_field_is_found_behind_a_file_and_only_when_it_is_whole() {
        let Ahead::Model(name, range) = model(BODY, "xyz") else { panic!("not found") };
        assert_eq!((name.as_bytes(), name.as_str()), (&BODY[range], "whisper-1"));
        for length in 0..BODY.len() - 4 {
            assert_eq!(model(&BODY[..length], "xyz"), Ahead::Unknown, "{length}");
        }
    }

    #[test]
    fn the_pieces_a_form_comes_in_make_no_difference() {
        for size in 1..BODY.len() {
            let mut search = Search::new("xyz", Some("file"));
            let ends = (size..=BODY.len()).step_by(size).chain([BODY.len()]);
            let found = ends.map(|end| search.look(&BODY[..end])).find(|ahead| *ahead != Ahead::Unknown);
            assert_eq!(found, Some(model(BODY, "xyz")), "{size}");
            assert!(search.has_needed());
        }
    }

    #[test]
    fn nothing_inside_a_file_or_its_name_passes_for_the_field() {
        let inside = "x--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nfake\r\n--bc\r\n";
        let name = "a;name=model;\\\";name=\"";
        let body = format!(
            "--b\r\nContent-Disposition: form-data; filename=\"{name};name=model\"; name=\"file\"\r\n\r\n{inside}\r\n--b \r\n\
             content-disposition:form-data;name=model\r\n\r\nreal\r\n--b--"
        );
        let mut search = Search::new("b", Some("file"));
        let Ahead::Model(model, _) = search.look(body.as_bytes()) else { panic!("not found") };
        assert_eq!(model, "real");
    }

    #[test]
    fn a_body_that_ends_without_it_says_so() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nmodel\r\n--b--\r\n";
        assert_eq!(model(body, "b"), Ahead::Absent);
    }

    #[test]
    fn the_boundary_is_read_from_the_content_type() {
        assert_eq!(boundary("multipart/form-data; charset=utf-8; Boundary=\"a b\""), Some("a b".to_owned()));
        assert_eq!(boundary("multipart/mixed; boundary=a"), None);
        assert_eq!(boundary("application/json"), None);
        assert_eq!(boundary("multipart/form-data; boundary="), None);
    }
}
