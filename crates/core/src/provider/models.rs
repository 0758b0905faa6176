//! What single models accept, told from the beginning of their upstream name. A table, so that a new model is a line.
//! Decides nothing about models it does not know: the defaults of the dialect hold for them. Tests are below.

use waypost_wire::dialect::{ThinkingStyle, Traits};

use ThinkingStyle::{Adaptive, Budget, Never};

/// A family of models by the beginning of its names. `None` and empty lists leave the vendor's word.
struct Family {
    prefix: &'static str,
    max_output_tokens: Option<u64>,
    thinking: Option<ThinkingStyle>,
    drop: &'static [&'static str],
    refuse: &'static [&'static str],
}

/// The longest prefix that fits wins. Limits are the vendors' documented ones.
const FAMILIES: &[Family] = &[
    // Anthropic: the switch to self-paced thinking came with 4.6.
    family("claude-3-", Some(4_096), Some(Never)),
    family("claude-3-5-", Some(8_192), Some(Never)),
    family("claude-3-7-", Some(64_000), Some(Budget)),
    family("claude-opus-4-0", Some(32_000), Some(Budget)),
    family("claude-opus-4-1", Some(32_000), Some(Budget)),
    family("claude-opus-4-2025", Some(32_000), Some(Budget)),
    family("claude-opus-4-5", Some(64_000), Some(Budget)),
    family("claude-sonnet-4-0", Some(64_000), Some(Budget)),
    family("claude-sonnet-4-2025", Some(64_000), Some(Budget)),
    family("claude-sonnet-4-5", Some(64_000), Some(Budget)),
    family("claude-haiku-4-5", Some(64_000), Some(Budget)),
    family("claude-opus-4-6", Some(128_000), Some(Adaptive)),
    family("claude-sonnet-4-6", Some(64_000), Some(Adaptive)),
    // OpenAI
    family("gpt-3.5-turbo", Some(4_096), Some(Never)),
    family("gpt-4", Some(8_192), Some(Never)),
    family("gpt-4-turbo", Some(4_096), Some(Never)),
    family("gpt-4o", Some(16_384), Some(Never)),
    family("gpt-4.1", Some(32_768), Some(Never)),
    family("gpt-5", Some(128_000), Some(Adaptive)),
    family("o1", Some(100_000), Some(Adaptive)),
    family("o3", Some(100_000), Some(Adaptive)),
    family("o4", Some(100_000), Some(Adaptive)),
    // Gemini: a budget up to 2.5, a level since 3.
    family("gemini-1.5", Some(8_192), Some(Never)),
    family("gemini-2.0", Some(8_192), Some(Never)),
    family("gemini-2.5", Some(65_536), Some(Budget)),
    family("gemini-3", Some(65_536), Some(Adaptive)),
    // xAI: reasoning models refuse these.
    Family { drop: &["presence_penalty", "frequency_penalty"], refuse: &["stop"], ..family("grok-4", None, None) },
];

/// Applies what is known about the model to the vendor's traits.
pub(super) fn refine(traits: &mut Traits, upstream_model: &str) {
    // Routers name models `vendor/model`.
    let name = upstream_model.rsplit_once('/').map_or(upstream_model, |(_, name)| name);
    let Some(family) =
        FAMILIES.iter().filter(|family| name.starts_with(family.prefix)).max_by_key(|family| family.prefix.len())
    else {
        return;
    };
    traits.max_output_tokens = family.max_output_tokens;
    traits.thinking = family.thinking.unwrap_or(traits.thinking);
    for (list, more) in [(&mut traits.drop, family.drop), (&mut traits.refuse, family.refuse)] {
        list.extend(more.iter().map(|field| (*field).to_owned()));
    }
}

const fn family(prefix: &'static str, max_output_tokens: Option<u64>, thinking: Option<ThinkingStyle>) -> Family {
    Family { prefix, max_output_tokens, thinking, drop: &[], refuse: &[] }
}

#[cfg(test)]
mod tests {
    use super::super::by_kind;
    use super::*;

    fn traits(kind: &str, model: &str) -> Traits {
        by_kind(kind).unwrap().traits(model)
    }

    #[test]
    fn the_longest_prefix_wins_with_or_without_a_vendor_in_front() {
        for (model, cap, thinking) in [
            ("claude-3-opus-20240229", Some(4_096), Never),
            ("claude-3-5-sonnet-20241022", Some(8_192), Never),
            ("anthropic/claude-3-7-sonnet", Some(64_000), Budget),
            ("claude-opus-4-6", Some(128_000), Adaptive),
            ("gpt-4o-mini", Some(16_384), Never),
            ("gpt-4-0613", Some(8_192), Never),
            ("gemini-2.5-pro", Some(65_536), Budget),
            ("nobody-knows-it", None, Adaptive),
        ] {
            let traits = traits("openrouter", model);
            assert_eq!((traits.max_output_tokens, traits.thinking), (cap, thinking), "{model}");
        }
    }

    #[test]
    fn vendors_and_models_add_up() {
        let mistral = traits("mistral", "mistral-large-latest");
        assert_eq!(mistral.rename, [("seed".to_owned(), "random_seed".to_owned())]);
        let grok = traits("xai", "grok-4-fast");
        assert_eq!(grok.refuse, ["stop"]);
        assert!(traits("deepseek", "deepseek-v4").reasoning_content);
        assert!(!traits("ollama", "qwen3:8b").image_urls);
    }
}
