//! Names with `*` in them, which stands for any run of characters. Nothing else is special.
//! Tests are below.

/// A name, or a family of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Does the text hold a `*`?
    pub fn is_pattern(text: &str) -> bool {
        text.contains('*')
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Does it stand for every name?
    pub fn is_everything(&self) -> bool {
        &*self.0 == "*"
    }

    /// Whether the name belongs to the family. Case matters. Linear in practice; never exponential.
    pub fn matches(&self, name: &str) -> bool {
        let Some((head, rest)) = self.0.split_once('*') else {
            return &*self.0 == name;
        };
        let Some(name) = name.strip_prefix(head) else {
            return false;
        };
        let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(mut name) = name.strip_suffix(tail) else {
            return false;
        };
        for piece in middle.split('*') {
            let Some((_, after)) = name.split_once(piece) else {
                return false;
            };
            name = after;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, name, expected) in [
            ("gpt-4o", "gpt-4o", true),
            ("gpt-4o", "gpt-4o-mini", false),
            ("*", "", true),
            ("*", "anything/at:all", true),
            ("gpt-*", "gpt-4o", true),
            ("gpt-*", "my-gpt-4o", false),
            ("*-mini", "gpt-4o-mini", true),
            ("*-mini", "gpt-4o", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("**", "x", true),
            ("a**c", "abc", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let pattern = Pattern::new(&"a*".repeat(2000));
        assert!(!pattern.matches(&format!("{}b", "a".repeat(1000))));
    }
}
