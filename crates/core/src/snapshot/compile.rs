//! From a config to a snapshot: every cross-reference resolved, or everything that does not fit reported at once.
//! Decides whether the parts of a config fit together; their form was checked when they were read.
//! Tests are in `compile/tests.rs`.

mod base_url;
mod channel;
mod keys;
mod routes;

use std::collections::HashSet;
use std::sync::Arc;

use waypost_wire::Dialect;

use super::{Channel, Deployment, Snapshot};
use crate::config::{self, Config, ConfigError};
use crate::ids::DeploymentId;
use crate::nearest::nearest;
use crate::operation::Operation;
use crate::pattern::Pattern;
use crate::provider;

/// What was found so far.
#[derive(Debug, Default)]
struct Problems {
    errors: Vec<ConfigError>,
    warnings: Vec<ConfigError>,
}

impl Problems {
    fn error(&mut self, error: ConfigError) {
        self.errors.push(error);
    }

    fn warn(&mut self, warning: ConfigError) {
        self.warnings.push(warning);
    }
}

/// Resolves a config. Errors and warnings have places where the config came from a file, and stand in its order.
pub fn compile(config: &Config) -> Result<Snapshot, Vec<ConfigError>> {
    let mut problems = Problems::default();
    let keys = keys::callers(config, &mut problems);
    let anybody = keys::anybody(config, &mut problems);
    let channels = channels(config, &mut problems);
    let default = default(&channels, config, &mut problems);
    check_rules(config, &mut problems);
    for list in [&mut problems.errors, &mut problems.warnings] {
        config.locate(list);
        list.sort_by_key(|error| error.mark);
    }
    if !problems.errors.is_empty() {
        return Err(problems.errors);
    }
    let routes = routes::compile(config, &channels);
    Ok(Snapshot {
        keys,
        anybody,
        channels: channels.into_iter().map(|(_, channel)| channel).collect(),
        routes: routes.names,
        families: routes.families,
        default,
        max_attempts: config.retry.attempts(),
        show_upstream_model: config.model_mappings.expose_actual,
        models: routes.listed,
        warnings: problems.warnings,
    })
}

fn channels<'c>(config: &'c Config, problems: &mut Problems) -> Vec<(&'c config::Channel, Arc<Channel>)> {
    let mut names = HashSet::new();
    let mut channels = Vec::new();
    for (position, settings) in config.channels.iter().enumerate() {
        let path = format!("channels[{position}]");
        if !names.insert(settings.name.as_str()) {
            let reason = format!("another channel is named `{}`", settings.name);
            let error = ConfigError::at(format!("{path}.name"), reason);
            problems.error(error.fix("give each channel a name of its own"));
        }
        check_models(settings, &path, problems);
        if let Some(channel) = channel::compile(config, settings, &path, problems) {
            channels.push((settings, Arc::new(channel)));
        }
    }
    channels
}

fn check_models(settings: &config::Channel, path: &str, problems: &mut Problems) {
    let mut names = HashSet::new();
    for (position, entry) in settings.models.iter().flatten().enumerate() {
        let path = format!("{path}.models[{position}]");
        let model = &entry.0;
        if model.name.is_empty() {
            problems.error(ConfigError::at(path, "a model's name is not empty"));
        } else if !names.insert(model.name.as_str()) {
            problems.error(ConfigError::at(path, format!("the channel lists `{}` twice", model.name)));
        } else if Pattern::is_pattern(&model.name) {
            check_family(model, &path, problems);
        }
    }
}

/// Settings that describe one model cannot stand at a pattern.
fn check_family(model: &config::Model, path: &str, problems: &mut Problems) {
    let given = [("upstream", model.upstream.is_some()), ("max_output_tokens", model.max_output_tokens.is_some())];
    for (key, _) in given.into_iter().filter(|(_, given)| *given) {
        let error = ConfigError::at(format!("{path}.{key}"), "this describes one model, not a pattern");
        problems.error(error.fix("list the model by its name"));
    }
}

fn check_rules(config: &Config, problems: &mut Problems) {
    for kind in config.model_mappings.providers.keys() {
        if provider::by_kind(kind).is_none() {
            let near = nearest(kind, provider::words(), 1);
            let error = ConfigError::at(format!("model_mappings.providers.{kind}"), "there is no such provider");
            problems.error(match near.first() {
                Some(name) => error.fix(format!("did you mean `{name}`?")),
                None => error,
            });
        }
    }
    let retry = &config.retry;
    if retry.max_attempts.is_some() && retry.max_retries.is_some() {
        let error = ConfigError::at("retry.max_retries", "`max_attempts` says the same");
        problems.error(error.fix("keep one of them"));
    }
}

/// Where requests without a model go: the channel marked for it, else the first that passes OpenAI's paths through.
fn default(
    channels: &[(&config::Channel, Arc<Channel>)],
    config: &Config,
    problems: &mut Problems,
) -> Option<Arc<Deployment>> {
    let marked: Vec<usize> = config.channels.iter().enumerate().filter(|(_, c)| c.default).map(|(at, _)| at).collect();
    if let Some(second) = marked.get(1) {
        problems
            .error(ConfigError::at(format!("channels[{second}].default"), "another channel is the default already"));
    }
    let able = || channels.iter().filter(|(settings, channel)| settings.enabled && passes_through(channel));
    let (_, channel) = able().find(|(settings, _)| settings.default).or_else(|| able().next())?;
    Some(Arc::new(Deployment {
        id: DeploymentId::of(&channel.name, ""),
        label: channel.name.as_ref().into(),
        channel: Arc::clone(channel),
        model: "".into(),
        upstream: "".into(),
        traits: channel.provider.traits(""),
        tier: 1,
        weight: 1,
    }))
}

fn passes_through(channel: &Channel) -> bool {
    let versioned = channel.api_version.is_some();
    !channel.credentials.is_empty()
        && channel.provider.endpoint(Operation::Passthrough, Dialect::OpenaiChat, versioned).is_some()
}

#[cfg(test)]
mod tests;
