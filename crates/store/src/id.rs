//! Ids of what the database keeps: a word that says what it is and 128 random bits, so that none can be guessed or found by
//! counting. Decides their form only. Tests are below.

/// Crockford's alphabet in lower case: no letter that can be taken for another.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A new id such as `usr_` and 26 characters; `random` must be unpredictable.
pub fn new(prefix: &str, random: u128) -> String {
    let mut id = String::with_capacity(prefix.len() + 27);
    id.push_str(prefix);
    id.push('_');
    for place in (0..26).rev() {
        let digit = (random >> (place * 5)) & 31;
        id.push(ALPHABET.get(digit as usize).copied().map_or('0', char::from));
    }
    id
}

/// Could this be an id with that prefix?
pub fn is(prefix: &str, text: &str) -> bool {
    let tail = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
    tail.is_some_and(|tail| tail.len() == 26 && tail.bytes().all(|byte| ALPHABET.contains(&byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_its_prefix_and_26_characters() {
        assert_eq!(new("usr", 0), "usr_00000000000000000000000000");
        assert_eq!(new("usr", u128::MAX), "usr_7zzzzzzzzzzzzzzzzzzzzzzzzz");
        assert!(is("usr", &new("usr", 12345)) && !is("key", &new("usr", 1)) && !is("usr", "usr_1"));
    }
}
