//! Accounts that are there twice: their limits and health would be kept twice, too. Tests are below.

use super::super::{Channel, Config, ConfigError};

/// Warns of each channel that is the same account for the same models as one before it.
pub(super) fn twice(config: &Config) -> Vec<ConfigError> {
    let mut warnings = Vec::new();
    for (position, channel) in config.channels.iter().enumerate() {
        let before = config.channels.iter().take(position).find(|before| is_same(before, channel));
        if let Some(before) = before {
            let reason = format!("this is the same account for the same models as `{}`", before.name);
            let warning = ConfigError::at(format!("channels[{position}]"), reason);
            warnings.push(warning.fix("keep one of them, or give each a key or models of its own"));
        }
    }
    config.locate(&mut warnings);
    warnings
}

fn is_same(one: &Channel, other: &Channel) -> bool {
    let address = |channel: &Channel| channel.base_url.as_deref().map(|url| url.trim_end_matches('/').to_owned());
    one.provider == other.provider && address(one) == address(other) && share_key(one, other) && share_model(one, other)
}

fn share_key(one: &Channel, other: &Channel) -> bool {
    let has = |key| other.api_key.as_ref() == Some(key) || other.api_keys.contains(key);
    one.api_key.iter().chain(&one.api_keys).any(has)
}

fn share_model(one: &Channel, other: &Channel) -> bool {
    match (&one.models, &other.models) {
        (None, None) => true,
        (Some(mine), Some(theirs)) => mine.iter().any(|model| theirs.iter().any(|other| other.0.name == model.0.name)),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Format;
    use super::*;

    #[test]
    fn the_same_account_for_the_same_models_is_told_003_36() {
        let channel = |name: &str, key: &str, more: &str| {
            format!("- {{name: {name}, provider: openai, api_key: {key}, base_url: 'https://a.example/v1', {more}}}\n")
        };
        let warnings = |second: &str| {
            let text = format!("channels:\n{}{second}", channel("one", "k1", "models: [m, n]"));
            let config = Config::parse(&text, Format::Yaml, "w.yaml", &|_| None).unwrap();
            twice(&config).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let told = warnings(&channel("two", "k1", "models: [n]"));
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("w.yaml:3:3: channels[1]: this is the same account"), "{told:?}");
        // Another key at the same address is another account.
        assert!(warnings(&channel("two", "k2", "models: [n]")).is_empty());
        assert!(warnings(&channel("two", "k1", "models: [o]")).is_empty());
    }
}
