//! What the vendors document about their models: how much fits in, and what they can do. Told to callers, decides nothing.
//! Knows only what is documented: a model that is not in the table is not guessed at. Tests are below.

/// What is known of one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The most tokens of prompt and answer together, or of the prompt alone where the vendor counts so.
    pub context_length: u64,
    /// It calls functions.
    pub functions: bool,
    /// It takes images.
    pub vision: bool,
}

/// The beginning of upstream names; the longest that fits wins.
const TABLE: &[(&str, Facts)] = &[
    ("claude-3-", seeing(200_000)),
    ("claude-opus-4-", seeing(200_000)),
    ("claude-sonnet-4-", seeing(200_000)),
    ("claude-haiku-4-", seeing(200_000)),
    ("gpt-3.5-turbo", blind(16_385)),
    ("gpt-3.5-turbo-instruct", Facts { functions: false, ..blind(4_096) }),
    ("gpt-4", blind(8_192)),
    ("gpt-4-turbo", seeing(128_000)),
    ("gpt-4-turbo-preview", blind(128_000)),
    ("gpt-4-1106-preview", blind(128_000)),
    ("gpt-4-0125-preview", blind(128_000)),
    ("gpt-4o", seeing(128_000)),
    ("gpt-4.1", seeing(1_047_576)),
    ("gpt-5", seeing(400_000)),
    ("gpt-5-chat", Facts { functions: false, ..seeing(128_000) }),
    ("o1", seeing(200_000)),
    ("o1-mini", Facts { functions: false, ..blind(128_000) }),
    ("o1-preview", Facts { functions: false, ..blind(128_000) }),
    ("o3", seeing(200_000)),
    ("o3-mini", blind(200_000)),
    ("o4-mini", seeing(200_000)),
    ("gemini-2.0-flash", seeing(1_048_576)),
    ("gemini-2.5-flash", seeing(1_048_576)),
    ("gemini-2.5-pro", seeing(1_048_576)),
    ("gemini-3-pro", seeing(1_048_576)),
];

/// What is documented about the model of this upstream name, with or without a vendor in front.
pub fn facts(upstream_model: &str) -> Option<Facts> {
    let name = upstream_model.rsplit_once('/').map_or(upstream_model, |(_, name)| name);
    let fitting = TABLE.iter().filter(|(prefix, _)| name.starts_with(prefix));
    fitting.max_by_key(|(prefix, _)| prefix.len()).map(|(_, facts)| *facts)
}

const fn seeing(context_length: u64) -> Facts {
    Facts { context_length, functions: true, vision: true }
}

const fn blind(context_length: u64) -> Facts {
    Facts { vision: false, ..seeing(context_length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_beginning_wins_and_unknown_names_have_no_facts() {
        assert_eq!(facts("gpt-4o-mini"), Some(seeing(128_000)));
        assert_eq!(facts("gpt-4-0613"), Some(blind(8_192)));
        assert_eq!(facts("openai/gpt-4-turbo-2024-04-09"), Some(seeing(128_000)));
        assert_eq!(facts("anthropic/claude-sonnet-4-5"), Some(seeing(200_000)));
        assert_eq!(facts("my-deployment"), None);
        assert_eq!(facts(""), None);
    }
}
