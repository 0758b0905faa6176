//! Byte-pair merging over the flat vocabulary table: how many tokens one piece of text is.
//!
//! Knows nothing of words. The work grows as n log n with the piece, so no text can make it quadratic.
//! Tests are in `tokens.rs`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::hash::slot_and_tag;

static SLOTS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/o200k.slots"));
static OFFSETS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/o200k.offsets"));
static TEXT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/o200k.text"));

const SLOT_BITS: u32 = 18;
const TAG_BITS: u32 = 14;
/// No token is longer.
const LONGEST: usize = 128;
const NONE: usize = usize::MAX;

/// The number of tokens in a piece.
pub(crate) fn count(piece: &[u8]) -> u64 {
    if rank(piece).is_some() {
        return 1;
    }
    let mut parts = Parts::bytes_of(piece);
    parts.merge();
    parts.count
}

/// A piece as a chain of parts, each known by where it begins.
struct Parts<'a> {
    piece: &'a [u8],
    /// By beginning: where the part ends, or [`NONE`] once it was merged into the one before.
    ends: Vec<usize>,
    /// By beginning: where the part before begins.
    before: Vec<usize>,
    /// Pairs that could merge, lowest rank first and leftmost among equals: rank, beginning, end.
    pairs: BinaryHeap<Reverse<(u32, usize, usize)>>,
    count: u64,
}

impl<'a> Parts<'a> {
    fn bytes_of(piece: &'a [u8]) -> Self {
        let mut parts = Self {
            piece,
            ends: (1..=piece.len()).collect(),
            before: (0..piece.len()).map(|at| at.wrapping_sub(1)).collect(),
            pairs: BinaryHeap::with_capacity(piece.len()),
            count: piece.len() as u64,
        };
        for start in 0..piece.len() {
            parts.offer(start);
        }
        parts
    }

    fn merge(&mut self) {
        while let Some(Reverse((_, start, end))) = self.pairs.pop() {
            let middle = self.end(start);
            // A pair whose halves have changed since it was offered is stale.
            if middle == NONE || self.end(middle) != end {
                continue;
            }
            self.set_end(start, end);
            self.set_end(middle, NONE);
            if let Some(before) = self.before.get_mut(end) {
                *before = start;
            }
            self.count -= 1;
            self.offer(start);
            if let Some(before) = self.before.get(start).filter(|at| **at != NONE) {
                self.offer(*before);
            }
        }
    }

    /// Queues the pair that begins here, if the vocabulary has it.
    fn offer(&mut self, start: usize) {
        let end = self.end(self.end(start));
        let pair = self.piece.get(start..end);
        if let Some(rank) = pair.and_then(rank) {
            self.pairs.push(Reverse((rank, start, end)));
        }
    }

    fn end(&self, start: usize) -> usize {
        self.ends.get(start).copied().unwrap_or(NONE)
    }

    fn set_end(&mut self, start: usize, end: usize) {
        if let Some(slot) = self.ends.get_mut(start) {
            *slot = end;
        }
    }
}

/// The token's rank, if these bytes are a token.
fn rank(bytes: &[u8]) -> Option<u32> {
    if bytes.is_empty() || bytes.len() > LONGEST {
        return None;
    }
    let (first, tag) = slot_and_tag(bytes, SLOT_BITS, TAG_BITS);
    let slots = 1 << SLOT_BITS;
    for step in 0..slots {
        let entry = word(SLOTS, (first + step) % slots)?;
        if entry == u32::MAX {
            return None;
        }
        let rank = entry & ((1 << SLOT_BITS) - 1);
        if entry >> SLOT_BITS == tag && token(rank) == Some(bytes) {
            return Some(rank);
        }
    }
    None
}

fn token(rank: u32) -> Option<&'static [u8]> {
    let rank = rank as usize;
    let start = word(OFFSETS, rank)? as usize;
    let end = word(OFFSETS, rank + 1)? as usize;
    TEXT.get(start..end)
}

fn word(table: &[u8], index: usize) -> Option<u32> {
    let bytes = table.get(index * 4..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*bytes))
}
