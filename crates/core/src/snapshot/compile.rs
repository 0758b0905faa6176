//! From a config to a snapshot: every cross-reference resolved, or everything that does not fit reported at once.
//! Decides whether the parts of a config fit together; their form was checked when they were read.
//! Tests are in `compile/tests.rs`.

mod admin;
mod alerts;
mod base_url;
mod channel;
mod cors;
mod identity;
mod keys;
mod prices;
mod probe;
mod routes;
pub(super) mod tiers;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use waypost_wire::Dialect;

use super::{Channel, Families, Retry, Route, Snapshot, family};
use crate::config::{self, Config, ConfigError, Routing};
use crate::health::States;
use crate::mapping;
use crate::nearest::nearest;
use crate::operation::Operation;
use crate::pattern::Pattern;
use crate::pricing::Book;
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

/// Resolves a config. Errors and warnings have places where the config came from a file, and stand in its order. What is
/// already known of a deployment or credential of the same name is taken from `states`.
pub fn compile(config: &Config, states: &States) -> Result<Snapshot, Vec<ConfigError>> {
    let mut problems = Problems::default();
    let keys = keys::callers(config, states, &mut problems);
    let anybody = keys::anybody(config, &mut problems);
    let book = Book::of(config, |error| problems.error(error));
    let pricing = prices::policy(config, &mut problems);
    let channels = channels(config, &book, states, &mut problems);
    let default = default(&channels, config, states, &mut problems);
    let fallback = fallback(&channels, config, &mut problems);
    let cors = cors::compile(config, &mut problems);
    let trusted_proxies = keys::networks(&config.server.trusted_proxies, "server.trusted_proxies", &mut problems);
    let admin = admin::compile(config, &mut problems);
    identity::check(config, &mut problems);
    alerts::check(config, &mut problems);
    check_rules(config, &mut problems);
    for list in [&mut problems.errors, &mut problems.warnings] {
        config.locate(list);
        list.sort_by_key(|error| error.mark);
    }
    if !problems.errors.is_empty() {
        return Err(problems.errors);
    }
    let routes = routes::compile(config, &channels, fallback.as_ref(), states);
    warn_of_nowhere(config, &routes, &mut problems);
    Ok(Snapshot {
        keys,
        anybody,
        channels: channels.into_iter().map(|(_, channel)| channel).collect(),
        routes: routes.names,
        families: Families::new(routes.families, config.routing.clone(), fallback, states.clone()),
        default,
        retry: retry(config),
        queue: config.routing.queue,
        capabilities: config.capabilities,
        pricing,
        show_upstream_model: config.model_mappings.expose_actual,
        admin,
        cors,
        trusted_proxies,
        block: config.security.block,
        models: routes.listed,
        warnings: problems.warnings,
    })
}

/// What requests are to fall to may be found out only later, so that it is no mistake where nobody serves it yet.
fn warn_of_nowhere(config: &Config, routes: &routes::Routes, problems: &mut Problems) {
    for (model, own) in &config.routing.models {
        for (place, name) in own.degrade_to.iter().enumerate() {
            let served = routes.names.contains_key(name.as_str())
                || routes.families.iter().any(|family| family.pattern.matches(name));
            let why = match () {
                () if name == model => "a model cannot take its own place",
                () if served => continue,
                () => "no channel serves this model",
            };
            let warning = ConfigError::at(format!("routing.models.{model}.degrade_to[{place}]"), why);
            problems.warn(warning.fix("name a cheaper model that a channel lists"));
        }
    }
    config.locate(&mut problems.warnings);
    problems.warnings.sort_by_key(|warning| warning.mark);
}

fn retry(config: &Config) -> Retry {
    Retry {
        max_attempts: config.retry.attempts(),
        on: config.retry.retry_on.as_deref().map(Box::from),
        backoff: config.retry.backoff,
        budget: config.retry.budget,
    }
}

fn channels<'c>(
    config: &'c Config,
    book: &Book,
    states: &States,
    problems: &mut Problems,
) -> Vec<(&'c config::Channel, Arc<Channel>)> {
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
        if let Some(channel) = channel::compile(config, settings, states, book, &path, problems) {
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
    check_names("model_mappings.global", &config.model_mappings.global, problems);
    for (kind, rules) in &config.model_mappings.providers {
        check_names(&format!("model_mappings.providers.{kind}"), rules, problems);
    }
    for (position, channel) in config.channels.iter().enumerate() {
        check_names(&format!("channels[{position}].model_mapping"), &channel.model_mapping, problems);
    }
    for (position, status) in config.retry.retry_on.iter().flatten().enumerate() {
        if !(400..=599).contains(status) {
            let error =
                ConfigError::at(format!("retry.retry_on[{position}]"), format!("{status} is no status of an error"));
            problems.error(error.fix("use statuses from 400 to 599, such as 429 and 503"));
        }
    }
    let retry = &config.retry;
    if retry.max_attempts.is_some() && retry.max_retries.is_some() {
        let error = ConfigError::at("retry.max_retries", "`max_attempts` says the same");
        problems.error(error.fix("keep one of them"));
    }
}

/// Rules about names have to be such that each name ends somewhere.
fn check_names(path: &str, rules: &BTreeMap<String, String>, problems: &mut Problems) {
    for (from, to) in rules {
        if let Some(fault) = mapping::fault(from, to) {
            problems.error(ConfigError::at(format!("{path}.{from}"), fault));
        }
    }
    for from in mapping::rings(rules) {
        let error = ConfigError::at(format!("{path}.{from}"), "this name leads back to itself");
        problems.error(error.fix("let each rule lead to the name that the provider knows"));
    }
}

/// Where requests without a model go: the channel marked for it, else the first that passes OpenAI's paths through.
fn default(
    channels: &[(&config::Channel, Arc<Channel>)],
    config: &Config,
    states: &States,
    problems: &mut Problems,
) -> Option<Arc<Route>> {
    let marked: Vec<usize> = config.channels.iter().enumerate().filter(|(_, c)| c.default).map(|(at, _)| at).collect();
    if let Some(second) = marked.get(1) {
        problems
            .error(ConfigError::at(format!("channels[{second}].default"), "another channel is the default already"));
    }
    let able = || channels.iter().filter(|(settings, channel)| settings.enabled && passes_through(channel));
    let (_, channel) = able().find(|(settings, _)| settings.default).or_else(|| able().next())?;
    let deployment = Arc::new(family::named(channel, "", "", Some(states)));
    Some(Arc::new(tiers::route("", vec![deployment], &Routing::default(), None, Some(states))))
}

/// The channel that is tried when all else failed.
fn fallback(
    channels: &[(&config::Channel, Arc<Channel>)],
    config: &Config,
    problems: &mut Problems,
) -> Option<Arc<Channel>> {
    let name = config.routing.fallback_channel.as_deref()?;
    // A channel that could not be compiled has been reported itself.
    if !config.channels.iter().any(|channel| channel.name == name) {
        let error = ConfigError::at("routing.fallback_channel", format!("there is no channel `{name}`"));
        let near = nearest(name, config.channels.iter().map(|channel| channel.name.as_str()), 1);
        problems.error(match near.first() {
            Some(near) => error.fix(format!("did you mean `{near}`?")),
            None => error,
        });
    }
    let (_, channel) = channels.iter().find(|(settings, channel)| settings.enabled && &*channel.name == name)?;
    (!channel.credentials.is_empty()).then(|| Arc::clone(channel))
}

fn passes_through(channel: &Channel) -> bool {
    !channel.credentials.is_empty() && channel.endpoint(Operation::Passthrough, Dialect::OpenaiChat).is_some()
}

#[cfg(test)]
mod tests;
