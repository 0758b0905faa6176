//! Who is calling and what they may do. Keys are known by their SHA-256 only, so no table, log or dump can hold one.
//! Knows no header; the gateway hands over the token. Tests are below.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::error::GatewayError;
use crate::ids::KeyId;
use crate::pattern::Pattern;
use crate::snapshot::Snapshot;

/// The owner of a virtual key.
#[derive(Debug)]
pub struct Caller {
    pub key: KeyId,
    /// The key's name, for logs.
    pub name: Arc<str>,
    pub enabled: bool,
    /// Models the key may use; `None` means all.
    pub models: Option<Vec<Pattern>>,
}

impl Caller {
    /// May this caller use the model?
    pub fn may_use(&self, model: &str) -> bool {
        self.models.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(model)))
    }
}

/// The hash a key is known by.
pub fn fingerprint(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Finds the caller of a token. What is looked up and compared is the SHA-256, so the time it takes says nothing about
/// the key; every refusal but that of a disabled key is the same.
pub fn identify<'s>(snapshot: &'s Snapshot, token: Option<&str>) -> Result<&'s Arc<Caller>, GatewayError> {
    let known = token.and_then(|token| snapshot.keys.get(&fingerprint(token)));
    let caller = known.or(snapshot.anybody.as_ref()).ok_or_else(GatewayError::unauthenticated)?;
    if caller.enabled { Ok(caller) } else { Err(GatewayError::key_disabled()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn snapshot(enabled: bool) -> Snapshot {
        let models = Some(vec![Pattern::new("gpt-*")]);
        let caller = Caller { key: KeyId::of("app"), name: "app".into(), enabled, models };
        let keys = [(fingerprint("wp-good"), Arc::new(caller))].into();
        Snapshot { keys, ..Snapshot::default() }
    }

    fn kind(snapshot: &Snapshot, token: Option<&str>) -> Option<Kind> {
        identify(snapshot, token).err().map(|error| error.kind())
    }

    #[test]
    fn a_known_key_finds_its_caller_and_any_other_is_told_the_same() {
        let snapshot = snapshot(true);
        assert_eq!(kind(&snapshot, Some("wp-good")), None);
        for token in [None, Some(""), Some("wp-goo"), Some("wp-good ")] {
            assert_eq!(kind(&snapshot, token), Some(Kind::Unauthenticated), "{token:?}");
        }
    }

    #[test]
    fn the_stored_hash_is_no_key() {
        let hash: String = fingerprint("wp-good").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(kind(&snapshot(true), Some(&hash)), Some(Kind::Unauthenticated));
    }

    #[test]
    fn a_disabled_key_is_refused_even_in_open_mode() {
        let mut snapshot = snapshot(false);
        assert_eq!(kind(&snapshot, Some("wp-good")), Some(Kind::KeyDisabled));
        let anybody = Caller { key: KeyId::of("anybody"), name: "anybody".into(), enabled: true, models: None };
        snapshot.anybody = Some(Arc::new(anybody));
        assert_eq!(kind(&snapshot, Some("wp-good")), Some(Kind::KeyDisabled));
        assert_eq!(kind(&snapshot, None), None);
    }

    #[test]
    fn a_key_may_use_the_models_it_lists() {
        let snapshot = snapshot(true);
        let caller = identify(&snapshot, Some("wp-good")).unwrap();
        assert!(caller.may_use("gpt-4o") && !caller.may_use("claude-3"));
    }
}
