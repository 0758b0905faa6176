//! How an account is asked which models it has, and which of them are served.
//! Tests are below and in `compile/tests.rs`.

use std::time::Duration;

use waypost_wire::Dialect;

use super::Channel;
use crate::operation::Operation;
use crate::pattern::Pattern;
use crate::provider::Place;

/// What is wanted of an account's list of models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// How often it is asked.
    pub every: Duration,
    /// Everything, if empty.
    pub include: Vec<Pattern>,
    pub exclude: Vec<Pattern>,
}

impl Discovery {
    /// Is a model of this name wanted?
    pub fn wants(&self, name: &str) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(name));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }
}

impl Channel {
    /// The path and query of the account's list of models; `None` if it has none.
    pub fn models_path(&self) -> Option<String> {
        let versioned = self.api_version.is_some();
        let lists = [
            (Dialect::OpenaiChat, None),
            (Dialect::Anthropic, Some("limit=1000")),
            (Dialect::Gemini, Some("pageSize=1000")),
        ];
        lists.into_iter().find_map(|(dialect, query)| {
            let endpoint = self.provider.endpoint(Operation::Models, dialect, versioned)?;
            let version = self.api_version.as_deref().unwrap_or_default();
            let place = Place { prefix: &self.prefix, path: "/models", query, version, ..Place::default() };
            endpoint.path_and_query(&place)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Format};
    use crate::health::States;
    use crate::snapshot::compile;

    #[test]
    fn names_are_wanted_by_patterns() {
        let of = |texts: &[&str]| texts.iter().map(|text| Pattern::new(text)).collect::<Vec<_>>();
        let wants = |include: &[&str], exclude: &[&str], name| {
            Discovery { every: Duration::ZERO, include: of(include), exclude: of(exclude) }.wants(name)
        };
        assert!(wants(&[], &[], "anything"));
        assert!(wants(&["gpt-*", "o3"], &["*-audio*"], "gpt-4o"));
        assert!(!wants(&["gpt-*", "o3"], &["*-audio*"], "gpt-4o-audio-preview"));
        assert!(!wants(&["gpt-*"], &[], "o3"));
    }

    #[test]
    fn every_kind_of_account_is_asked_where_its_list_is() {
        for (channel, path) in [
            ("provider: openai, api_key: k", "/v1/models"),
            ("provider: openai_compatible, base_url: 'https://relay.example/api'", "/api/models"),
            ("provider: anthropic, api_key: k", "/v1/models?limit=1000"),
            ("provider: gemini, api_key: k", "/v1beta/models?pageSize=1000"),
            ("provider: openrouter, api_key: k", "/api/v1/models"),
            ("provider: azure_openai, api_key: k, base_url: 'https://x.openai.azure.com'", "/openai/v1/models"),
        ] {
            let text = format!("channels: [{{name: a, {channel}}}]");
            let config = Config::parse(&text, Format::Yaml, "w.yaml", &|_| None).expect(&text);
            let snapshot = compile(&config, &States::default()).expect(&text);
            assert_eq!(snapshot.channels[0].models_path().as_deref(), Some(path), "{channel}");
        }
    }
}
