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

/// Looks for the field in the bytes that came so far.
pub fn model(seen: &[u8], boundary: &str) -> Ahead {
    let delimiter = format!("--{boundary}");
    let finder = memmem::Finder::new(delimiter.as_bytes());
    let Some(first) = finder.find(seen) else { return Ahead::Unknown };
    let mut at = first + delimiter.len();
    loop {
        let rest = seen.get(at..).unwrap_or_default();
        if rest.starts_with(b"--") {
            return Ahead::Absent;
        }
        let Some(head_end) = memmem::find(rest, b"\r\n\r\n") else { return Ahead::Unknown };
        let head = rest.get(..head_end).unwrap_or_default();
        let body = rest.get(head_end + 4..).unwrap_or_default();
        let Some(end) = finder.find(body) else { return Ahead::Unknown };
        let start = at + head_end + 4;
        if is_model(head) {
            let value = body.get(..end).and_then(|value| value.strip_suffix(b"\r\n")).unwrap_or_default();
            return match std::str::from_utf8(value) {
                Ok(name) if !name.is_empty() => Ahead::Model(name.to_owned(), start..start + name.len()),
                Ok(_) | Err(_) => Ahead::Absent,
            };
        }
        at = start + end + delimiter.len();
    }
}

fn is_model(head: &[u8]) -> bool {
    let Ok(head) = std::str::from_utf8(head) else { return false };
    head.lines().any(|line| {
        let Some((name, value)) = line.split_once(':') else { return false };
        name.trim().eq_ignore_ascii_case("content-disposition")
            && value.split(';').any(|parameter| matches!(parameter.trim(), "name=\"model\"" | "name=model"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n--xy\r\n--xyz\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--xyz--\r\n";

    #[test]
    fn the_field_is_found_behind_a_file_and_only_when_it_is_whole() {
        let Ahead::Model(name, range) = model(BODY, "xyz") else { panic!("not found") };
        assert_eq!((name.as_bytes(), name.as_str()), (&BODY[range], "whisper-1"));
        for length in 0..BODY.len() - 10 {
            assert_eq!(model(&BODY[..length], "xyz"), Ahead::Unknown, "{length}");
        }
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
