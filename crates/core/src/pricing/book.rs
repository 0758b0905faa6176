//! The price book: which versions of a price a deployment has, the most binding first. Resolved when a configuration is
//! compiled, so that a request only asks which of them is in force. Tests are in `book/tests.rs`.

mod embedded;
mod entry;

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use waypost_wire::chat::Usage;

use super::cost::{Cost, Terms};
use super::price::{Price, Rates};
use crate::config::{Config, ConfigError, PriceEntry, SetPrice};
use crate::pattern::Pattern;
use crate::provider::{self, Provider};

/// Who said a price. Earlier ones come before later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// A model of a channel, in a file.
    Channel,
    /// `prices` of a file.
    File,
    /// Set while the gateway ran.
    Api,
    /// The book that is built in.
    Embedded,
    /// The policy for what has no price.
    Ceiling,
}

impl Origin {
    /// The word in records and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::File => "file",
            Self::Api => "api",
            Self::Embedded => "embedded",
            Self::Ceiling => "ceiling",
        }
    }
}

/// A price from a time on. It never changes: another price is another version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Tells the version from every other: whose it is, what it is for, since when, and a fingerprint of the price.
    pub id: Arc<str>,
    pub origin: Origin,
    /// Unix, milliseconds.
    pub effective_from: i64,
    pub price: Price,
    /// Where the price is from, for people.
    pub source: Option<Arc<str>>,
}

impl Version {
    /// A version of the price of what `name` stands for.
    pub fn new(origin: Origin, name: &str, effective_from: i64, price: Price) -> Self {
        let id = format!("{}:{name}@{}#{}", origin.name(), effective_from / 1000, fingerprint(&price));
        Self { id: id.into(), origin, effective_from, price, source: None }
    }

    /// What usage costs at this version; see [`Price::cost`].
    pub fn cost(&self, usage: &Usage, terms: Terms) -> Option<Cost> {
        self.price.cost(usage, terms, &self.id)
    }
}

/// The first bytes of a hash over every number of the price.
fn fingerprint(price: &Price) -> String {
    let mut text = String::new();
    let mut rates = |rates: &Rates| {
        let Rates { input, output, cache_read, cache_write, cache_write_1h, reasoning, audio_input, audio_output } =
            *rates;
        for rate in [input, output, cache_read, cache_write, cache_write_1h, reasoning, audio_input, audio_output] {
            let _ = write!(text, "{},", rate.get());
        }
    };
    rates(&price.rates);
    price.tiers.iter().for_each(|tier| rates(&tier.rates));
    for tier in &price.tiers {
        let _ = write!(text, "{},", tier.above);
    }
    let service = price.service;
    let _ = write!(text, "{},{},", price.call.get(), price.image.get());
    let _ = write!(text, "{:?},{:?},{:?}", service.flex, service.batch, service.priority);
    Sha256::digest(text.as_bytes()).iter().take(4).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The versions of one deployment's price, the most binding first.
pub type Prices = Arc<[Arc<Version>]>;

/// The version in force at a time.
pub fn in_force(prices: &[Arc<Version>], now_ms: i64) -> Option<&Arc<Version>> {
    prices.iter().find(|version| version.effective_from <= now_ms)
}

/// Every price that is known, as a configuration is compiled.
#[derive(Debug)]
pub struct Book(Vec<Rule>);

/// What of the book can hold for one channel, the most binding first.
#[derive(Clone, Debug, Default)]
pub struct ChannelPrices(Vec<Rule>);

/// One version, and what it is for.
#[derive(Clone, Debug)]
struct Rule {
    channel: Option<Arc<str>>,
    provider: Option<&'static str>,
    names: Names,
    version: Arc<Version>,
}

/// The models that a price is for.
#[derive(Clone, Debug)]
enum Names {
    /// By the name at the provider or the public one.
    Fitting(Pattern),
    /// By the name at the provider, with or without a date behind it.
    Upstream(&'static str),
}

impl Names {
    fn has(&self, model: &str, upstream: &str) -> bool {
        match self {
            Self::Fitting(pattern) => pattern.matches(upstream) || pattern.matches(model),
            Self::Upstream(name) => upstream.strip_prefix(name).is_some_and(is_snapshot),
        }
    }

    /// Is it one name, and how much of a name does it say?
    fn precision(&self) -> (bool, usize) {
        match self {
            Self::Fitting(pattern) => {
                let text = pattern.as_str();
                (!Pattern::is_pattern(text), text.len())
            }
            Self::Upstream(name) => (true, name.len()),
        }
    }
}

/// `-2025-08-07`, `-20250514`, `-0613` or `-latest` behind a name is the same model; `-1` or `-mini` is another.
fn is_snapshot(rest: &str) -> bool {
    let Some(date) = rest.strip_prefix('-') else { return rest.is_empty() };
    let digits = date.bytes().filter(u8::is_ascii_digit).count();
    date == "latest" || (digits >= 4 && date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'))
}

impl Book {
    /// The prices of a configuration and those that are built in. What is wrong with the former is told to `problem`.
    pub fn of(config: &Config, mut problem: impl FnMut(ConfigError)) -> Self {
        let mut rules = Vec::new();
        let filed = config.prices.iter().map(|entry| (Origin::File, entry, since(entry)));
        let set = config.api_prices.iter().map(|set| (Origin::Api, &set.entry, set.effective_at));
        for (position, (origin, entry, from)) in filed.enumerate().chain(set.enumerate()) {
            let key = if origin == Origin::File { "prices" } else { "api_prices" };
            match rule((origin, from), entry, &format!("{key}[{position}]"), config) {
                Ok(rule) => rules.push(rule),
                Err(error) => problem(error),
            }
        }
        for (channel, settings) in config.channels.iter().enumerate() {
            for (position, model) in settings.models.iter().flatten().enumerate() {
                let Some(entry) = &model.0.price else { continue };
                let path = format!("channels[{channel}].models[{position}].price");
                match own_rule(entry, &settings.name, &model.0.name, &path) {
                    Ok(rule) => rules.push(rule),
                    Err(error) => problem(error),
                }
            }
        }
        rules.extend(embedded::rules());
        Self(rules)
    }

    /// The version that a price is which is set while the gateway runs; `path` is where errors say that it stands. Channels
    /// are not looked up: one may be added later.
    pub fn check(set: &SetPrice, path: &str) -> Result<Arc<Version>, ConfigError> {
        rule((Origin::Api, set.effective_at), &set.entry, path, &Config::default()).map(|rule| rule.version)
    }

    /// What of it can hold for a channel of this name at this provider.
    pub fn for_channel(&self, name: &str, provider: &Provider) -> ChannelPrices {
        let holds = |rule: &&Rule| {
            rule.channel.as_deref().is_none_or(|channel| channel == name)
                && rule.provider.is_none_or(|kind| kind == provider.kind)
        };
        let mut rules: Vec<Rule> = self.0.iter().filter(holds).cloned().collect();
        rules.sort_by_key(|rule| {
            let scope = (rule.channel.is_some(), rule.provider.is_some(), rule.names.precision());
            (rule.version.origin, Reverse(scope), Reverse(rule.version.effective_from))
        });
        ChannelPrices(rules)
    }
}

impl ChannelPrices {
    /// The versions for a model by its public name and its name at the provider.
    pub fn of(&self, model: &str, upstream: &str) -> Prices {
        let fitting = self.0.iter().filter(|rule| rule.names.has(model, upstream));
        fitting.map(|rule| Arc::clone(&rule.version)).collect()
    }
}

fn rule((origin, from): (Origin, i64), entry: &PriceEntry, path: &str, config: &Config) -> Result<Rule, ConfigError> {
    let Some(model) = entry.model.as_deref().filter(|model| !model.is_empty()) else {
        return Err(ConfigError::at(path, "it does not say which model it is for").fix("set `model`, if only to \"*\""));
    };
    let provider = match entry.provider.as_deref() {
        None => None,
        Some(word) => Some(provider::by_kind(word).ok_or_else(|| {
            let kinds: Vec<_> = provider::ALL.iter().map(|provider| provider.kind).collect();
            let error = ConfigError::at(format!("{path}.provider"), "there is no such provider");
            error.fix(format!("use one of {}", kinds.join(", ")))
        })?),
    };
    let channel = entry.channel.as_deref();
    if let Some(name) = channel
        && !config.channels.iter().any(|channel| channel.name == name)
        && origin == Origin::File
    {
        let near = crate::nearest::nearest(name, config.channels.iter().map(|channel| channel.name.as_str()), 1);
        let error = ConfigError::at(format!("{path}.channel"), "there is no such channel");
        return Err(match near.first() {
            Some(near) => error.fix(format!("did you mean `{near}`?")),
            None => error.fix("remove it, or name one of `channels`"),
        });
    }
    let scope = channel.or(provider.map(|provider| provider.kind));
    let name = scope.map_or_else(|| model.to_owned(), |scope| format!("{scope}/{model}"));
    Ok(Rule {
        channel: channel.map(Arc::from),
        provider: provider.map(|provider| provider.kind),
        names: Names::Fitting(Pattern::new(model)),
        version: Arc::new(version((origin, from), entry, &name, path)?),
    })
}

/// The price at a channel's own model.
fn own_rule(entry: &PriceEntry, channel: &str, model: &str, path: &str) -> Result<Rule, ConfigError> {
    let scoped = [("model", &entry.model), ("provider", &entry.provider), ("channel", &entry.channel)];
    if let Some((key, _)) = scoped.iter().find(|(_, said)| said.is_some()) {
        let error = ConfigError::at(format!("{path}.{key}"), "the price of a channel's model is for that model only");
        return Err(error.fix("remove it, or write the price in `prices`"));
    }
    Ok(Rule {
        channel: Some(channel.into()),
        provider: None,
        names: Names::Fitting(Pattern::new(model)),
        version: Arc::new(version((Origin::Channel, since(entry)), entry, &format!("{channel}/{model}"), path)?),
    })
}

/// The moment from which on an entry says that it holds.
fn since(entry: &PriceEntry) -> i64 {
    entry.effective_from.map_or(0, |day| day.unix_ms())
}

fn version((origin, from): (Origin, i64), entry: &PriceEntry, name: &str, path: &str) -> Result<Version, ConfigError> {
    let source = entry.source.as_deref().map(Arc::from);
    Ok(Version { source, ..Version::new(origin, name, from, entry::price(entry, path)?) })
}

#[cfg(test)]
mod tests;
