//! One file of the journal: what it is called and how it begins. Tests are with `open`.

/// Bytes at the beginning of every segment.
pub(super) const HEADER: usize = 20;
/// The file that is kept for a full disk.
pub(super) const SPARE_NAME: &str = "spare";

const MAGIC: &[u8; 8] = b"WPJRNL1\n";
const SUFFIX: &str = ".journal";

pub(super) fn name_of(segment: u64) -> String {
    format!("{segment:016x}{SUFFIX}")
}

/// The number of a segment by its file's name.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

pub(super) fn header_of(segment: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let parts = MAGIC.iter().copied().chain(segment.to_le_bytes()).chain(sum_of(segment).to_le_bytes());
    header.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    header
}

fn sum_of(segment: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(MAGIC);
    hasher.update(&segment.to_le_bytes());
    hasher.finalize()
}

pub(super) fn is_headed(segment: u64, bytes: &[u8]) -> bool {
    bytes.get(..HEADER) == Some(&header_of(segment))
}
