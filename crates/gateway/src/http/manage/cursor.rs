//! Places in lists as opaque words: a page begins after a thing, not at a number, so that nothing is shown twice or left out when
//! others come and go. Tests are below.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use waypost_core::GatewayError;

/// The word for a place that these parts describe.
pub(crate) fn write(parts: &[&str]) -> String {
    URL_SAFE_NO_PAD.encode(parts.join("\n"))
}

/// The parts of a place. A word that is none is an error of whoever asks.
pub(crate) fn read<const N: usize>(word: &str) -> Result<[String; N], GatewayError> {
    let text = URL_SAFE_NO_PAD.decode(word).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let parts = text.map(|text| text.split('\n').map(str::to_owned).collect::<Vec<_>>());
    parts.and_then(|parts| parts.try_into().ok()).ok_or_else(bad)
}

/// The part as a number.
pub(crate) fn number(part: &str) -> Result<i64, GatewayError> {
    part.parse().map_err(|_| bad())
}

fn bad() -> GatewayError {
    GatewayError::invalid_request("`after` is no place in this list; use `next` of an answer.", Some("after"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written_and_others_are_refused() {
        assert_eq!(read::<2>(&write(&["17", "key_1"])).unwrap(), ["17", "key_1"]);
        for word in ["", "!", "e30", &write(&["1"]), &write(&["1", "2", "3"])] {
            assert_eq!(read::<2>(word).unwrap_err().param(), Some("after"), "{word}");
        }
        assert!(number("x").is_err());
    }
}
