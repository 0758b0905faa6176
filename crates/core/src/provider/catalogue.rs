//! What vendors document about their models, told from the beginning of their upstream name: one table, a line a family.
//! Decides nothing about models it does not know, nor about open weights, which every server runs its own way.
//! Tests are below.

mod anthropic;
mod gemini;
mod openai;
mod others;

use waypost_wire::dialect::{ThinkingStyle, Traits};
use waypost_wire::peek::Features;

use crate::capability::{Capabilities, Modality};

/// The day on which the table was last compared with what the vendors publish.
const CHECKED: &str = "2026-11-25";

/// A family of models by the beginning of its names. Whatever is absent is not documented, or not needed.
#[derive(Debug)]
struct Family {
    prefix: &'static str,
    modality: Modality,
    /// The most tokens of prompt and answer together, or of the prompt alone where the vendor counts so.
    context: Option<u64>,
    max_output: Option<u64>,
    can: Features,
    cannot: Features,
    thinking: Option<ThinkingStyle>,
    /// Fields the models answer with an error though the vendor's others take them: left out, or refused.
    drop: &'static [&'static str],
    refuse: &'static [&'static str],
}

const TABLES: [&[Family]; 4] = [anthropic::FAMILIES, openai::FAMILIES, gemini::FAMILIES, others::FAMILIES];

/// The family whose beginning is the longest that fits, with or without a vendor in front.
fn family(upstream_model: &str) -> Option<&'static Family> {
    let name = upstream_model.rsplit_once('/').map_or(upstream_model, |(_, name)| name);
    let fitting = TABLES.into_iter().flatten().filter(|family| begins(name, family.prefix));
    fitting.max_by_key(|family| family.prefix.len())
}

/// Whole words only: what is said of `gpt-4` says nothing of a `gpt-4.9` to come.
fn begins(name: &str, prefix: &str) -> bool {
    let rest = name.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || prefix.ends_with(['-', '.']) || rest.starts_with(['-', '@', ':', '_']))
}

/// What is documented about the model of this upstream name, added to what is known already.
pub(super) fn describe(capabilities: &mut Capabilities, upstream_model: &str) {
    let Some(family) = family(upstream_model) else { return };
    capabilities.say(family.can, family.cannot);
    capabilities.context = family.context;
    capabilities.max_output = family.max_output;
    capabilities.modality = Some(family.modality);
    capabilities.checked = Some(CHECKED);
}

/// Applies what is known about the model to the vendor's traits.
pub(super) fn refine(traits: &mut Traits, upstream_model: &str) {
    let Some(family) = family(upstream_model) else { return };
    traits.max_output_tokens = family.max_output;
    traits.thinking = family.thinking.unwrap_or(traits.thinking);
    for (list, more) in [(&mut traits.drop, family.drop), (&mut traits.refuse, family.refuse)] {
        list.extend(more.iter().map(|field| (*field).to_owned()));
    }
}

impl Family {
    /// A family that chats, streams and calls functions.
    const fn chat(prefix: &'static str) -> Self {
        Self {
            prefix,
            modality: Modality::Chat,
            context: None,
            max_output: None,
            can: Features::STREAMING.with(Features::TOOLS),
            cannot: Features::NONE,
            thinking: None,
            drop: &[],
            refuse: &[],
        }
    }

    /// A family that does something else, of which only that is known.
    const fn other(prefix: &'static str, modality: Modality) -> Self {
        Self { modality, can: Features::NONE, ..Self::chat(prefix) }
    }

    const fn fits(self, context: u64) -> Self {
        Self { context: Some(context), ..self }
    }

    const fn writes(self, max_output: u64) -> Self {
        Self { max_output: Some(max_output), ..self }
    }

    const fn can(self, more: Features) -> Self {
        Self { can: self.can.with(more), cannot: self.cannot.without(more), ..self }
    }

    const fn cannot(self, more: Features) -> Self {
        Self { can: self.can.without(more), cannot: self.cannot.with(more), ..self }
    }

    const fn thinks(self, style: ThinkingStyle) -> Self {
        let known = match style {
            ThinkingStyle::Never => self.cannot(Features::REASONING),
            ThinkingStyle::Budget | ThinkingStyle::Adaptive => self.can(Features::REASONING),
        };
        Self { thinking: Some(style), ..known }
    }
}

/// JSON as the answer, in both forms.
const JSON: Features = Features::JSON_MODE.with(Features::JSON_SCHEMA);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use ThinkingStyle::{Adaptive, Budget, Never};

    use super::super::by_kind;
    use super::*;

    fn capabilities(model: &str) -> Capabilities {
        by_kind("openai_compatible").unwrap().capabilities(model)
    }

    fn traits(kind: &str, model: &str) -> Traits {
        by_kind(kind).unwrap().traits(model)
    }

    #[test]
    fn the_longest_beginning_wins_with_or_without_a_vendor_in_front() {
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
    fn what_is_documented_is_told_with_its_day_and_the_rest_is_not_guessed() {
        let known = |model: &str| {
            let it = capabilities(model);
            (it.context, it.knows(Features::TOOLS), it.knows(Features::VISION), it.checked.is_some())
        };
        assert_eq!(known("gpt-4o-mini"), (Some(128_000), Some(true), Some(true), true));
        assert_eq!(known("gpt-4-0613"), (Some(8_192), Some(true), Some(false), true));
        assert_eq!(known("openai/gpt-4-turbo-2024-04-09"), (Some(128_000), Some(true), Some(true), true));
        assert_eq!(known("anthropic/claude-sonnet-4-5"), (Some(200_000), Some(true), Some(true), true));
        assert_eq!(known("my-deployment"), (None, None, None, false));
        assert_eq!(known(""), (None, None, None, false));
        assert_eq!(known("gpt-4.9"), (None, None, None, false));
        assert_eq!(known("o30"), (None, None, None, false));
        assert_eq!(CHECKED.len(), "2026-01-01".len());
    }

    #[test]
    fn vendors_and_models_add_up() {
        let mistral = traits("mistral", "mistral-large-latest");
        assert_eq!(mistral.rename, [("seed".to_owned(), "random_seed".to_owned())]);
        let grok = traits("xai", "grok-4-fast");
        assert_eq!(grok.refuse, ["stop"]);
        assert!(traits("deepseek", "deepseek-v4").reasoning_content);
        assert!(!traits("ollama", "qwen3:8b").image_urls);
        assert_eq!(traits("xai", "grok-4.9").refuse, ["stop"]);
        let azure = by_kind("azure_openai").unwrap().capabilities("gpt-4");
        assert_eq!(azure, Capabilities::default(), "its owner may have called anything so");
        let claude = by_kind("anthropic").unwrap().capabilities("claude-of-tomorrow");
        assert_eq!((claude.knows(Features::AUDIO), claude.knows(Features::VISION)), (Some(false), None));
    }

    #[test]
    fn every_family_is_named_once_and_holds_together() {
        let mut seen = HashSet::new();
        for family in TABLES.into_iter().flatten() {
            assert!(seen.insert(family.prefix), "{} stands twice", family.prefix);
            assert!(family.can.within(family.cannot).is_empty(), "{}", family.prefix);
            let (Some(output), Some(context)) = (family.max_output, family.context) else { continue };
            assert!(output <= context, "{}", family.prefix);
        }
    }
}
