//! The list of providers, and how one is told from an address or a key.
//! Decides which vendor a channel without `provider` belongs to. Tests are below.

use super::Provider;

/// Every provider, in the order they are listed to people.
pub static ALL: &[&Provider] = &[
    &super::openai::PROVIDER,
    &super::anthropic::PROVIDER,
    &super::azure_openai::PROVIDER,
    &super::gemini::PROVIDER,
    &super::cerebras::PROVIDER,
    &super::groq::PROVIDER,
    &super::openrouter::PROVIDER,
    &super::deepseek::PROVIDER,
    &super::siliconflow::PROVIDER,
    &super::mistral::PROVIDER,
    &super::xai::PROVIDER,
    &super::moonshot::PROVIDER,
    &super::zhipu::PROVIDER,
    &super::qwen::PROVIDER,
    &super::ollama::PROVIDER,
    &super::vllm::PROVIDER,
    &super::openai_compatible::PROVIDER,
    &super::simulator::PROVIDER,
];

/// The provider of this kind or alias; hyphens equal underscores.
pub fn by_kind(word: &str) -> Option<&'static Provider> {
    let word = word.replace('-', "_");
    ALL.iter().copied().find(|provider| provider.kind == word || provider.aliases.contains(&word.as_str()))
}

/// Every word that names a provider: kinds and their aliases.
pub fn words() -> impl Iterator<Item = &'static str> {
    ALL.iter().flat_map(|provider| provider.aliases.iter().chain([&provider.kind]).copied())
}

/// The provider of an account, told from its host, else from how its key begins, else by the fact that it has an
/// address of its own. `None` if there is nothing to tell it from.
pub fn detect(authority: Option<&str>, key: Option<&str>) -> Option<&'static Provider> {
    authority
        .and_then(by_authority)
        .or_else(|| key.and_then(|key| by_key(key, authority.is_none())))
        .or_else(|| authority.and_then(|_| by_kind("openai_compatible")))
}

/// `authority` is `host` or `host:port`.
fn by_authority(authority: &str) -> Option<&'static Provider> {
    let authority = authority.to_ascii_lowercase();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => authority.as_str(),
    };
    let fits = |hint: &&str| {
        if hint.starts_with('.') {
            host.ends_with(*hint)
        } else if hint.starts_with(':') {
            authority.ends_with(*hint)
        } else {
            host == *hint
        }
    };
    ALL.iter().copied().find(|provider| provider.hosts.iter().any(&fits))
}

/// The longest beginning wins. A bare `sk-` says OpenAI only where no address says otherwise: half the world uses it.
fn by_key(key: &str, at_home: bool) -> Option<&'static Provider> {
    ALL.iter()
        .copied()
        .flat_map(|provider| provider.key_prefixes.iter().map(move |prefix| (prefix, provider)))
        .filter(|(prefix, _)| key.starts_with(**prefix) && (at_home || prefix.len() > 3))
        .max_by_key(|(prefix, _)| prefix.len())
        .map(|(_, provider)| provider)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use waypost_wire::Dialect;

    use super::*;
    use crate::operation::Operation;

    #[test]
    fn every_provider_is_complete_and_named_once_001_19() {
        let mut words = HashSet::new();
        for provider in ALL {
            assert!(!provider.name.is_empty() && !provider.kind.is_empty());
            for word in provider.aliases.iter().chain([&provider.kind]) {
                assert!(words.insert(*word), "{word} names two providers");
                assert_eq!(by_kind(word).unwrap().kind, provider.kind);
            }
            assert!(
                provider.endpoint(Operation::Chat, Dialect::OpenaiChat, false).is_some(),
                "{} cannot chat",
                provider.kind
            );
            assert!(!provider.models.is_empty(), "{}", provider.kind);
            assert!(provider.prefix.is_empty() || provider.prefix.starts_with('/'));
            assert!(!provider.prefix.ends_with('/'));
        }
        assert_eq!(by_kind("azure-openai").unwrap().kind, "azure_openai");
        assert!(by_kind("nobody").is_none());
    }

    #[test]
    fn no_two_providers_claim_a_host_or_a_key_prefix() {
        let mut seen = HashSet::new();
        for provider in ALL {
            for hint in provider.hosts.iter().chain(provider.key_prefixes) {
                assert!(seen.insert(*hint), "{hint}");
            }
        }
    }

    #[test]
    fn a_provider_is_told_from_its_address_or_its_key() {
        // 002-17
        let cases = [
            (Some("api.openai.com"), None, Some("openai")),
            (Some("API.OpenAI.com:443"), None, Some("openai")),
            (Some("my-res.openai.azure.com"), None, Some("azure_openai")),
            (Some("api.anthropic.com"), None, Some("anthropic")),
            (Some("localhost:11434"), None, Some("ollama")),
            (Some("api.groq.com"), Some("sk-ant-1"), Some("groq")),
            (None, Some("sk-ant-api03-x"), Some("anthropic")),
            (None, Some("sk-or-v1-x"), Some("openrouter")),
            (None, Some("sk-proj-x"), Some("openai")),
            (None, Some("sk-x"), Some("openai")),
            (None, Some("gsk_x"), Some("groq")),
            (None, Some("AIzaSyX"), Some("gemini")),
            (None, Some("xai-x"), Some("xai")),
            (Some("relay.example"), Some("sk-x"), Some("openai_compatible")),
            (Some("relay.example"), Some("sk-ant-x"), Some("anthropic")),
            (Some("relay.example"), None, Some("openai_compatible")),
            (Some("evil-api.openai.com.example"), None, Some("openai_compatible")),
            (Some("[::1]:8080"), None, Some("openai_compatible")),
            (None, Some("whatever"), None),
            (None, None, None),
        ];
        for (authority, key, kind) in cases {
            assert_eq!(detect(authority, key).map(|provider| provider.kind), kind, "{authority:?} {key:?}");
        }
    }
}
