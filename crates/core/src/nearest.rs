//! Names somebody may have meant: the few that differ least from what was written.
//! Decides what counts as near; knows nothing of what the names are. Tests are below.

/// At most `count` candidates that are near to `word`, nearest first, equals in their given order.
/// Near is up to one change for every three letters, ignoring case and the difference of `-`, `_`, `.` and nothing.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>, count: usize) -> Vec<&'a str> {
    let wanted = folded(word);
    let limit = wanted.len().div_ceil(3);
    let mut near: Vec<(usize, &str)> = Vec::new();
    for candidate in candidates {
        let name = folded(candidate);
        if name.len().abs_diff(wanted.len()) > limit {
            continue;
        }
        let distance = distance(&wanted, &name);
        if distance <= limit {
            near.push((distance, candidate));
        }
    }
    near.sort_by_key(|(distance, _)| *distance);
    near.into_iter().take(count).map(|(_, candidate)| candidate).collect()
}

fn folded(word: &str) -> Vec<char> {
    word.chars()
        .take(64)
        .filter(|letter| !matches!(letter, '-' | '_' | '.'))
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}

/// Levenshtein's distance, one row at a time.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (deleted, letter) in from.iter().enumerate() {
        let mut diagonal = deleted;
        let mut left = deleted + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(to) {
            let swapped = diagonal + usize::from(letter != other);
            diagonal = *cell;
            *cell = swapped.min(left + 1).min(diagonal + 1);
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = deleted + 1;
        }
    }
    row.last().copied().unwrap_or(from.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_come_first_and_strangers_not_at_all() {
        let names = ["gpt-4o-mini", "gpt-4", "gpt-4o", "claude-opus-4-6"];
        assert_eq!(nearest("gpt4o", names, 3), ["gpt-4o", "gpt-4"]);
        assert_eq!(nearest("GPT_4O_MINI", names, 1), ["gpt-4o-mini"]);
        assert_eq!(nearest("claude-opus-4-5", names, 3), ["claude-opus-4-6"]);
        assert!(nearest("mistral", names, 3).is_empty());
        assert!(nearest("", names, 3).is_empty());
    }

    #[test]
    fn distances_are_levenshteins() {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        for (a, b, expected) in [("kitten", "sitting", 3), ("", "abc", 3), ("flaw", "lawn", 2)] {
            assert_eq!(distance(&chars(a), &chars(b)), expected);
            assert_eq!(distance(&chars(b), &chars(a)), expected);
        }
    }
}
