//! Ids for function calls that came without one. Dialects that answer a call by its id need one that is unique over the
//! turns of a conversation and the same each time the same bytes are read.

use std::hash::{DefaultHasher, Hash, Hasher};

/// OpenAI takes ids of up to 40 characters; this leaves room for the prefix and the count.
const LONGEST_RESPONSE_ID: usize = 24;

/// The ids made for one answer.
#[derive(Debug, Default)]
pub(super) struct CallIds {
    answer: Option<String>,
    made: u32,
}

impl CallIds {
    /// Notes which answer the calls belong to; the first name given stays.
    pub(super) fn answer(&mut self, response_id: Option<&str>) {
        if self.answer.is_none() {
            self.answer = response_id.map(tidy).filter(|id| !id.is_empty());
        }
    }

    /// The next id: `call_<answer>_<n>`. An answer without a name is told apart by the bytes of the piece the call is in,
    /// which hold the growing prompt's token count.
    pub(super) fn next(&mut self, piece: &[u8]) -> String {
        let answer = self.answer.get_or_insert_with(|| format!("{:016x}", digest(piece)));
        let id = format!("call_{answer}_{}", self.made);
        self.made = self.made.saturating_add(1);
        id
    }
}

/// Only letters that every dialect takes in an id.
fn tidy(response_id: &str) -> String {
    response_id
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-'))
        .take(LONGEST_RESPONSE_ID)
        .collect()
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_name_the_answer_and_count_its_calls() {
        let mut ids = CallIds::default();
        ids.answer(Some("mAit/aLm=kHPPlz7IPvtfUqQ4-and-much-more-than-fits"));
        ids.answer(Some("other"));
        let (first, second) = (ids.next(b""), ids.next(b""));
        assert_eq!(first, "call_mAitaLmkHPPlz7IPvtfUqQ4-_0");
        assert_eq!(second, "call_mAitaLmkHPPlz7IPvtfUqQ4-_1");
        assert!(second.len() <= 40);
    }

    #[test]
    fn answers_without_a_name_are_told_apart_by_their_bytes() {
        let id = |piece| CallIds::default().next(piece);
        assert_eq!(id(b"one"), id(b"one"));
        assert_ne!(id(b"one"), id(b"two"));
    }
}
