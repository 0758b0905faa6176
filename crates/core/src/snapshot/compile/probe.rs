//! Whether a channel can be asked as its file wants it to be, and with which model. Tests are below.

use std::time::Duration;

use super::Problems;
use crate::capability::Modality;
use crate::config::{self, ConfigError, Model, ProbeKind};
use crate::nearest::nearest;
use crate::pattern::Pattern;
use crate::provider::Provider;
use crate::snapshot::Probe;

/// The shortest time between two questions.
const LEAST: Duration = Duration::from_secs(10);

/// What is asked of the channel from time to time; the reasons why it cannot be are in `problems`.
pub(super) fn compile(
    channel: &config::Channel,
    provider: &'static Provider,
    path: &str,
    problems: &mut Problems,
) -> Option<Probe> {
    let wanted = channel.probe.as_ref()?;
    if wanted.every.0 < LEAST {
        let error = ConfigError::at(format!("{path}.probe.every"), "this is too often");
        problems.error(error.fix("ask every 10s or less often"));
    }
    match &wanted.model {
        Some(model) if !serves(channel, provider, model) => {
            let near = nearest(model, listed(channel).map(|listed| listed.name.as_str()), 1);
            let error = ConfigError::at(format!("{path}.probe.model"), format!("the channel does not serve `{model}`"));
            problems.error(match near.first() {
                Some(name) => error.fix(format!("did you mean `{name}`?")),
                None => error,
            });
        }
        None if wanted.kind == ProbeKind::Chat && self::model(channel, provider).is_none() => {
            let error = ConfigError::at(format!("{path}.probe"), "the channel lists no model to ask with");
            problems.error(error.fix("set `probe.model`"));
        }
        Some(_) | None => {}
    }
    if wanted.kind == ProbeKind::Models && provider.open_list {
        let reason = format!("{} tells its list to everybody, so the probe says nothing of the key", provider.name);
        problems.warn(ConfigError::at(format!("{path}.probe.kind"), reason).fix("use `kind: chat`"));
    }
    channel.enabled.then_some(Probe { kind: wanted.kind, every: wanted.every.0 })
}

/// The model to ask with: as written, else the first one listed by name that is not known to do something else than chat.
pub(super) fn model(channel: &config::Channel, provider: &'static Provider) -> Option<Box<str>> {
    let written = channel.probe.as_ref().and_then(|probe| probe.model.as_deref());
    let chats = |model: &&Model| {
        let upstream = model.upstream.as_deref().unwrap_or(&model.name);
        matches!(provider.capabilities(upstream).modality, None | Some(Modality::Chat))
    };
    written.or_else(|| Some(listed(channel).find(chats)?.name.as_str())).map(Box::from)
}

fn listed(channel: &config::Channel) -> impl Iterator<Item = &Model> {
    channel.models.iter().flatten().map(|entry| &entry.0).filter(|model| !Pattern::is_pattern(&model.name))
}

fn serves(channel: &config::Channel, provider: &'static Provider, model: &str) -> bool {
    let fits = |name: &str| Pattern::new(name).matches(model);
    let discovered = channel.discover.as_ref().is_some_and(|discover| discover.enabled);
    match &channel.models {
        Some(models) => discovered || models.iter().any(|entry| fits(&entry.0.name)),
        None => {
            discovered || channel.model_mapping.contains_key(model) || provider.models.iter().any(|name| fits(name))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Format, ProbeKind};
    use crate::health::States;
    use crate::snapshot::{Channel, compile};

    fn channel(settings: &str) -> Result<std::sync::Arc<Channel>, String> {
        let text = format!("channels: [{{name: a, api_key: k, {settings}}}]");
        let config = Config::parse(&text, Format::Yaml, "w.yaml", &|_| None).expect(&text);
        let snapshot = compile(&config, &States::default());
        snapshot.map(|snapshot| snapshot.channels[0].clone()).map_err(|errors| errors[0].to_string())
    }

    #[test]
    fn a_channel_is_asked_with_its_own_word_or_the_first_model_that_chats() {
        let asked = |settings: &str| channel(settings).unwrap().probe_model.as_deref().map(str::to_owned);
        let listed = "models: ['gpt-*', text-embedding-3-small, gpt-4o, gpt-4o-mini]";
        assert_eq!(asked(&format!("provider: openai, {listed}")).as_deref(), Some("gpt-4o"));
        let written = format!("provider: openai, {listed}, probe: {{kind: chat, model: gpt-4o-mini}}");
        assert_eq!(asked(&written).as_deref(), Some("gpt-4o-mini"));
        assert_eq!(asked("provider: openai"), None);
        let probe = channel(&written).unwrap().probe.unwrap();
        assert_eq!((probe.kind, probe.every.as_secs()), (ProbeKind::Chat, 300));
        assert_eq!(channel("provider: openai, enabled: false, models: [m], probe: {}").unwrap().probe, None);
    }

    #[test]
    fn what_cannot_be_asked_is_an_error_with_its_place() {
        for (settings, complaint) in [
            (
                "models: [m], probe: {every: 1s}",
                "channels[0].probe.every: this is too often; ask every 10s or less often",
            ),
            (
                "models: [gpt-4o], probe: {model: gpt-4}",
                "channels[0].probe.model: the channel does not serve `gpt-4`; did you mean `gpt-4o`?",
            ),
            ("probe: {kind: chat}", "channels[0].probe: the channel lists no model to ask with; set `probe.model`"),
        ] {
            let error = channel(&format!("provider: openai, {settings}")).unwrap_err();
            assert!(error.ends_with(complaint), "{error}");
        }
    }

    #[test]
    fn a_probe_that_proves_nothing_of_the_key_is_a_warning() {
        let warned = |kind: &str| {
            let text = format!(
                "channels: [{{name: a, provider: openrouter, api_key: k, models: [x/m], probe: {{kind: {kind}}}}}]"
            );
            let config = Config::parse(&text, Format::Yaml, "w.yaml", &|_| None).expect(&text);
            let warnings = compile(&config, &States::default()).expect(&text).warnings;
            warnings.iter().any(|warning| warning.to_string().ends_with("use `kind: chat`"))
        };
        assert!(warned("models") && !warned("chat"));
    }
}
