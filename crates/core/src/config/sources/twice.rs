//! Accounts that are there twice: their limits and health would be kept twice, too. Tests are below.

use std::collections::HashMap;

use super::super::{Channel, Config, ConfigError};

/// What makes a channel the same account for a model: kind, address, key, model; no model where none is listed.
type Account<'c> = (Option<&'c str>, Option<&'c str>, &'c str, Option<&'c str>);

/// Warns of each channel that is the same account for a same model as one before it.
pub(super) fn twice(config: &Config) -> Vec<ConfigError> {
    let mut known: HashMap<Account<'_>, &str> = HashMap::new();
    let mut warnings = Vec::new();
    for (position, channel) in config.channels.iter().enumerate() {
        let mut before = None;
        for account in accounts(channel) {
            before = before.or(known.insert(account, &channel.name));
        }
        if let Some(before) = before {
            let reason = format!("this is the same account for the same models as `{before}`");
            let warning = ConfigError::at(format!("channels[{position}]"), reason);
            warnings.push(warning.fix("keep one of them, or give each a key or models of its own"));
        }
    }
    config.locate(&mut warnings);
    warnings
}

/// Keys are compared here and go nowhere.
fn accounts(channel: &Channel) -> Vec<Account<'_>> {
    let kind = channel.provider.as_deref();
    let address = channel.base_url.as_deref().map(|url| url.trim_end_matches('/'));
    let models: Vec<Option<&str>> = match &channel.models {
        Some(models) => models.iter().map(|model| Some(model.0.name.as_str())).collect(),
        None => vec![None],
    };
    let keys = channel.api_key.iter().chain(&channel.api_keys);
    keys.flat_map(|key| models.iter().map(move |model| (kind, address, key.expose(), *model))).collect()
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
