//! Callers whose keys are in the database, by the SHA-256 of the key: what requests ask, so that none of them waits for SQL.
//! Filled by whoever reads the database and by the write that changed it. Knows neither. Tests are below.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::hint::black_box;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::access::Caller;

/// How many locks the callers are spread over.
const SHARDS: usize = 64;

/// Callers by the hash of their key. Reading takes one read lock of a sixty-fourth of them.
#[derive(Debug)]
pub struct Directory {
    shards: [Shard; SHARDS],
}

#[derive(Debug, Default)]
struct Shard(RwLock<HashMap<Print, Arc<Caller>>>);

impl Default for Directory {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Shard::default()) }
    }
}

impl Directory {
    /// The caller of a key with this hash, if there is one.
    pub fn find(&self, print: &[u8; 32]) -> Option<Arc<Caller>> {
        self.shard(print)?.read().get(&Print(*print)).map(Arc::clone)
    }

    /// From now on the key with this hash is this caller's. Gives back whose it was.
    pub fn put(&self, print: [u8; 32], caller: Arc<Caller>) -> Option<Arc<Caller>> {
        self.shard(&print)?.write().insert(Print(print), caller)
    }

    /// From now on there is no such key.
    pub fn remove(&self, print: &[u8; 32]) -> Option<Arc<Caller>> {
        self.shard(print)?.write().remove(&Print(*print))
    }

    /// Keeps only those of which this holds.
    pub fn retain(&self, keeps: impl Fn(&[u8; 32], &Caller) -> bool) {
        for shard in &self.shards {
            shard.write().retain(|print, caller| keeps(&print.0, caller));
        }
    }

    /// All callers there are, in no order. One with several keys is there several times.
    pub fn all(&self) -> Vec<Arc<Caller>> {
        self.shards.iter().flat_map(|shard| shard.read().values().cloned().collect::<Vec<_>>()).collect()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.read().is_empty())
    }

    /// There is one for every hash.
    fn shard(&self, print: &[u8; 32]) -> Option<&Shard> {
        let [.., last] = print;
        self.shards.get(usize::from(*last) % SHARDS)
    }
}

impl Shard {
    fn read(&self) -> RwLockReadGuard<'_, HashMap<Print, Arc<Caller>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Print, Arc<Caller>>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hash whose comparison takes as long for any other.
#[derive(Clone, Copy, Debug)]
struct Print([u8; 32]);

impl PartialEq for Print {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).fold(0, |sum, (ours, theirs)| black_box(sum | (ours ^ theirs))) == 0
    }
}

impl Eq for Print {}

impl Hash for Print {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::fingerprint;

    #[test]
    fn callers_are_put_found_and_removed() {
        let directory = Directory::default();
        assert!(directory.is_empty());
        let prints: Vec<_> = (0..500).map(|number| fingerprint(&format!("key {number}"))).collect();
        for (number, print) in prints.iter().enumerate() {
            let name = format!("key_{number}");
            assert!(directory.put(*print, Arc::new(Caller::new(&name, &name))).is_none());
        }
        assert_eq!(directory.len(), 500);
        for (number, print) in prints.iter().enumerate() {
            assert_eq!(*directory.find(print).unwrap().id, *format!("key_{number}"));
        }
        assert!(directory.find(&[0; 32]).is_none());
        assert_eq!(&*directory.remove(&prints[7]).unwrap().id, "key_7");
        assert!(directory.find(&prints[7]).is_none() && directory.remove(&prints[7]).is_none());
        directory.retain(|_, caller| &*caller.id == "key_8");
        assert_eq!(directory.len(), 1);
    }
}
