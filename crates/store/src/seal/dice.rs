//! As many unpredictable bytes as somebody needs, of 32 that were drawn. Decides nothing; where the 32 come from is the caller's.
//! Tests: `seal/tests.rs`.

use ring::hmac;

use super::{SealDice, WrapDice};

/// Unpredictable bytes without end: HMAC-SHA256 of a count, with a key that must be drawn anew for each of these.
pub struct Dice {
    key: hmac::Key,
    turn: u64,
}

impl Dice {
    /// `seed` must be unpredictable, and must never be used twice.
    pub fn seeded(seed: [u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &seed), turn: 0 }
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(32) {
            self.turn += 1;
            let block = hmac::sign(&self.key, &self.turn.to_be_bytes());
            chunk.iter_mut().zip(block.as_ref()).for_each(|(to, from)| *to = *from);
        }
        bytes
    }

    /// A new id; see [`crate::id::new`].
    pub fn id(&mut self, prefix: &str) -> String {
        crate::id::new(prefix, u128::from_be_bytes(self.bytes()))
    }

    pub(crate) fn for_seal(&mut self) -> SealDice {
        SealDice(self.bytes())
    }

    pub(crate) fn for_wrap(&mut self) -> WrapDice {
        WrapDice(self.bytes())
    }
}
