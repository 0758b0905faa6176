//! Records in a segment: length, checksum, version, record. The checksum covers the place too, so that bytes left over
//! from elsewhere, or a record that was moved or repeated, are not taken for one. Tests are below.

use super::Position;
use super::bytes::{In, Out};
use super::record::Record;

const VERSION: u8 = 1;
/// Length and checksum.
const PREFIX: usize = 8;
/// No record is longer.
pub(super) const LONGEST: usize = 128 << 10;

/// Appends a record that will begin at this offset of the segment.
pub(super) fn write(segment: u64, offset: u64, record: &Record, into: &mut Vec<u8>) {
    let mut body = Out(vec![VERSION]);
    record.write(&mut body);
    let length = u32::try_from(body.0.len()).unwrap_or(u32::MAX);
    into.extend_from_slice(&length.to_le_bytes());
    into.extend_from_slice(&checksum(segment, offset, &body.0).to_le_bytes());
    into.extend_from_slice(&body.0);
}

fn checksum(segment: u64, offset: u64, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&segment.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

/// The whole records of a piece of a segment, until the first that is not whole.
pub(super) struct Frames<'a> {
    segment: u64,
    /// Where the bytes begin in the segment.
    base: u64,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Frames<'a> {
    pub(super) fn new(segment: u64, base: u64, bytes: &'a [u8]) -> Self {
        Self { segment, base, bytes, at: 0 }
    }

    /// Where the next record would begin.
    pub(super) fn next_offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Goes on at the next place where a whole record lies, after some that are broken. `None`: there is none.
    pub(super) fn resync(&mut self) -> Option<u64> {
        let start = self.at + 1;
        let place = (start..self.bytes.len()).find(|place| self.frame(*place).is_some())?;
        self.at = place;
        Some(self.next_offset())
    }

    /// Is there anything but zeros from here on?
    pub(super) fn is_blank(&self) -> bool {
        self.bytes.get(self.at..).is_none_or(|rest| rest.iter().all(|byte| *byte == 0))
    }

    fn frame(&self, at: usize) -> Option<&'a [u8]> {
        let rest = self.bytes.get(at..)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length =
            usize::try_from(u32::from_le_bytes(*length)).ok().filter(|length| (2..=LONGEST).contains(length))?;
        let (sum, rest) = rest.split_first_chunk::<4>()?;
        let body = rest.get(..length)?;
        (checksum(self.segment, self.base + at as u64, body) == u32::from_le_bytes(*sum)).then_some(body)
    }
}

impl Iterator for Frames<'_> {
    /// The record is absent if this program does not know what it means, though it is whole.
    type Item = (Position, Option<Record>);

    fn next(&mut self) -> Option<Self::Item> {
        let body = self.frame(self.at)?;
        let position = Position { segment: self.segment, offset: self.next_offset() };
        self.at += PREFIX + body.len();
        let record = match body.split_first() {
            Some((&VERSION, record)) => Record::read(&mut In(record)),
            Some(_) | None => None,
        };
        Some((position, record))
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Release;
    use super::*;

    fn release(request: &str) -> Record {
        Record::Release(Release { request: request.into(), at: 1, reason: "r".into() })
    }

    fn three() -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        for request in ["a", "bb", "ccc"] {
            starts.push(bytes.len());
            write(7, 20 + bytes.len() as u64, &release(request), &mut bytes);
        }
        (bytes, starts)
    }

    #[test]
    fn a_cut_anywhere_leaves_the_records_before_it() {
        let (bytes, mut starts) = three();
        starts.push(bytes.len());
        for cut in 0..=bytes.len() {
            let whole = starts.iter().skip(1).filter(|end| **end <= cut).count();
            let mut frames = Frames::new(7, 20, &bytes[..cut]);
            assert_eq!(frames.by_ref().count(), whole);
            assert_eq!(frames.next_offset(), 20 + starts[whole] as u64);
        }
    }

    #[test]
    fn a_changed_byte_anywhere_breaks_its_record_and_the_next_is_found_again() {
        let (bytes, starts) = three();
        for place in starts[1]..starts[2] {
            let mut bytes = bytes.clone();
            bytes[place] ^= 1;
            let mut frames = Frames::new(7, 20, &bytes);
            assert_eq!(frames.by_ref().count(), 1);
            assert_eq!(frames.resync(), Some(20 + starts[2] as u64));
            assert_eq!(frames.next().unwrap().1, Some(release("ccc")));
        }
    }

    #[test]
    fn a_record_counts_only_where_it_was_written() {
        let (bytes, _) = three();
        assert_eq!(Frames::new(8, 20, &bytes).count(), 0);
        assert_eq!(Frames::new(7, 21, &bytes).count(), 0);
        assert!(Frames::new(7, 0, &[0; 100]).is_blank());
    }
}
