//! The hash of one transaction: it covers every column, every entry and the hash before, under a key that is not in the
//! database. Tests are with `verify`.

use ring::hmac;

use super::post::Draft;
use crate::journal::Out;

/// What hashes are made with. Whoever has it can forge a history.
#[derive(Clone)]
pub struct ChainKey(hmac::Key);

impl ChainKey {
    /// From at least 16 unpredictable bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The hash of the transaction with this number on this node.
    pub(super) fn link(&self, before: &[u8], node: &str, number: i64, draft: &Draft) -> Vec<u8> {
        let mut out = Out::default();
        out.bytes(before);
        out.bytes(node.as_bytes());
        out.signed(number);
        for text in draft.texts() {
            out.bytes(text.as_bytes());
        }
        for amount in draft.amounts() {
            out.signed(amount);
        }
        out.number(draft.entries.len() as u64);
        for (account, amount) in &draft.entries {
            out.bytes(account.as_bytes());
            out.signed(*amount);
        }
        hmac::sign(&self.0, &out.0).as_ref().to_vec()
    }
}

impl std::fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChainKey(..)")
    }
}
