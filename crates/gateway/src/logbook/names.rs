//! How many names of models one key adds to the sums of a day. Where a pattern serves whatever is asked for, callers invent names:
//! beyond a bound they are counted together. Knows no database. Tests are below.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

/// So many names of one key are told apart in the sums of a day.
pub const MOST_NAMES: usize = 1000;

/// The names that each key has used today.
#[derive(Debug, Default)]
pub(super) struct Names {
    today: Mutex<Today>,
    /// Nobody outside knows which names it takes for one.
    hash: RandomState,
}

#[derive(Debug, Default)]
struct Today {
    day: i64,
    /// Hashes, since names may be long.
    keys: HashMap<Arc<str>, HashSet<u64>>,
}

impl Names {
    /// May the sums of the day tell this name of the key apart?
    pub(super) fn admit(&self, day: i64, key: &Arc<str>, name: &str) -> bool {
        let hash = self.hash.hash_one(name);
        let mut today = self.today.lock().unwrap_or_else(PoisonError::into_inner);
        if day > today.day {
            *today = Today { day, keys: HashMap::new() };
        }
        let names = today.keys.entry(Arc::clone(key)).or_default();
        names.contains(&hash) || (names.len() < MOST_NAMES && names.insert(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_so_many_names_a_day_and_another_key_its_own() {
        let names = Names::default();
        let (one, other) = ("key_1".into(), "key_2".into());
        let admitted = (0..MOST_NAMES + 50).filter(|number| names.admit(1, &one, &format!("m{number}"))).count();
        assert_eq!(admitted, MOST_NAMES);
        assert!(names.admit(1, &one, "m7") && !names.admit(1, &one, "new") && names.admit(1, &other, "new"));
        assert!(!names.admit(0, &one, "late"), "a row of yesterday begins no new day");
        assert!(names.admit(2, &one, "new"));
    }
}
