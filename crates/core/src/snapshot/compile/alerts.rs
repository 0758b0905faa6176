//! What must hold of the `alerts` section: posts that are signed, with a secret that is worth it. Tests are below.

use super::Problems;
use crate::config::{Config, ConfigError};

/// The shortest secret, in characters.
const SECRET_LENGTH: usize = 16;
/// The highest mark; more than all of something can be used where it refuses nothing.
const HIGHEST: u16 = 1000;

pub(super) fn check(config: &Config, problems: &mut Problems) {
    let alerts = &config.alerts;
    if let Some(webhook) = &alerts.webhook
        && !webhook.starts_with("https://")
        && !webhook.starts_with("http://")
    {
        let error = ConfigError::at("alerts.webhook", "this is no http or https address");
        problems.error(error.fix("write it as https://host/path"));
    }
    let short = alerts.secret.as_ref().is_none_or(|secret| secret.expose().chars().count() < SECRET_LENGTH);
    if alerts.webhook.is_some() && short {
        let reason = format!("a webhook needs a secret of at least {SECRET_LENGTH} characters to sign posts with");
        problems.error(ConfigError::at("alerts.secret", reason).fix("use the output of `openssl rand -hex 32`"));
    }
    if let Some(place) = alerts.credit.iter().position(|mark| !(1..=HIGHEST).contains(mark)) {
        let error =
            ConfigError::at(format!("alerts.credit[{place}]"), format!("a mark is from 1 to {HIGHEST} per cent"));
        problems.error(error);
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Format};
    use crate::health::States;
    use crate::snapshot::compile;

    fn errors(alerts: &str) -> Vec<String> {
        let text = format!("alerts: {alerts}\n");
        let config = Config::parse(&text, Format::Yaml, "w.yaml", &|_| None).unwrap();
        let compiled = compile(&config, &States::default());
        compiled.err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_webhook_needs_an_address_and_a_secret_that_is_worth_it() {
        assert_eq!(errors("{webhook: 'https://a.example/hook', secret: 0123456789abcdef}"), Vec::<String>::new());
        assert_eq!(errors("{key_usage: 0, credit: []}"), Vec::<String>::new());
        for (wrong, field) in [
            ("{webhook: 'ftp://a.example', secret: 0123456789abcdef}", "alerts.webhook"),
            ("{webhook: 'https://a.example'}", "alerts.secret"),
            ("{webhook: 'https://a.example', secret: short}", "alerts.secret"),
            ("{credit: [0]}", "alerts.credit[0]"),
        ] {
            let found = errors(wrong);
            assert!(found.len() == 1 && found[0].contains(field), "{found:?}");
        }
    }
}
