//! Numbers and texts as few bytes. Reading never panics and never takes more memory than it was given bytes.
//! Tests are below.

/// Texts are cut at this length when they are written, so that no record is ever too long to be kept.
const LONGEST_TEXT: usize = 512;

/// Appends fields to a record.
#[derive(Debug, Default)]
pub(crate) struct Out(pub(crate) Vec<u8>);

impl Out {
    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(crate) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// Small negative numbers are as short as small positive ones.
    pub(crate) fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)) as u64);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        let end = (0..=text.len().min(LONGEST_TEXT)).rev().find(|end| text.is_char_boundary(*end));
        self.bytes(text.get(..end.unwrap_or(0)).unwrap_or_default().as_bytes());
    }

    pub(crate) fn maybe(&mut self, text: Option<&str>) {
        match text {
            Some(text) => {
                self.byte(1);
                self.text(text);
            }
            None => self.byte(0),
        }
    }
}

/// Takes fields off a record. `None` is a record that is not what it should be.
#[derive(Debug)]
pub(super) struct In<'a>(pub(super) &'a [u8]);

impl<'a> In<'a> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(super) fn text<T: From<&'a str>>(&mut self) -> Option<T> {
        std::str::from_utf8(self.bytes()?).ok().map(T::from)
    }

    pub(super) fn maybe<T: From<&'a str>>(&mut self) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            1 => self.text().map(Some),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_they_were_written() {
        let numbers = [0, 1, 127, 128, 1 << 40, u64::MAX];
        let signed = [0, -1, 1, -64, i64::MAX, i64::MIN];
        let mut out = Out::default();
        numbers.iter().for_each(|number| out.number(*number));
        signed.iter().for_each(|number| out.signed(*number));
        out.text("grüße");
        out.maybe(None);
        out.maybe(Some(""));
        let mut input = In(&out.0);
        numbers.iter().for_each(|number| assert_eq!(input.number(), Some(*number)));
        signed.iter().for_each(|number| assert_eq!(input.signed(), Some(*number)));
        assert_eq!(input.text::<String>().as_deref(), Some("grüße"));
        assert_eq!((input.maybe::<String>(), input.maybe::<String>()), (Some(None), Some(Some(String::new()))));
        assert_eq!((input.byte(), input.number(), input.bytes()), (None, None, None));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let mut out = Out::default();
        out.text(&"é".repeat(300));
        assert_eq!(In(&out.0).text::<String>(), Some("é".repeat(256)));
    }
}
