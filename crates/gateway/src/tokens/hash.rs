// Shared with build.rs, which lays the table out with the very function that later reads it.

/// Where a token belongs in the table and the tag that tells most strangers apart without touching their bytes.
/// FNV-1a with a final mix: tokens are short, and neighbours in the table must not depend on common prefixes.
pub(crate) fn slot_and_tag(bytes: &[u8], slot_bits: u32, tag_bits: u32) -> (usize, u32) {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let slot = (hash >> (64 - slot_bits)) as usize;
    let tag = (hash & ((1 << tag_bits) - 1)) as u32;
    (slot, tag)
}
