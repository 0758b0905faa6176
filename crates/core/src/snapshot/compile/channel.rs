//! From a channel of a config to one with everything an attempt needs worked out: address, logins as headers, waits.
//! Decides whether a channel can work at all. Tests are in `tests.rs` beside this.

use std::collections::HashSet;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue, USER_AGENT};

use waypost_wire::Dialect;

use super::base_url::BaseUrl;
use super::{Problems, probe};
use crate::access::fingerprint;
use crate::config::{self, Config, ConfigError, Limits, Span};
use crate::health::{Policy, States, Turn};
use crate::ids::{ChannelId, CredentialId};
use crate::operation::Operation;
use crate::pattern::Pattern;
use crate::pricing::Book;
use crate::provider::{self, Auth, Provider};
use crate::secret::Secret;
use crate::snapshot::{Channel, Credential, Discovery, Timeouts};

/// The provider of a channel: as written, else told from address or key.
fn provider_of(channel: &config::Channel, path: &str, problems: &mut Problems) -> Option<&'static Provider> {
    if let Some(kind) = &channel.provider {
        let provider = provider::by_kind(kind);
        if provider.is_none() {
            let kinds: Vec<_> = provider::ALL.iter().map(|provider| provider.kind).collect();
            problems.error(
                ConfigError::at(format!("{path}.provider"), "there is no such provider")
                    .fix(format!("use one of {}", kinds.join(", "))),
            );
        }
        return provider;
    }
    // A broken address is reported where it is taken apart; here it only says that there is one.
    let address = channel.base_url.as_deref().map(|url| BaseUrl::parse(url, ""));
    let authority = address.map(|base| base.map_or_else(|_| String::new(), |base| base.authority()));
    let key = channel
        .api_key
        .iter()
        .chain(&channel.api_keys)
        .chain(channel.credentials.iter().map(|credential| &credential.key))
        .next();
    let provider = provider::detect(authority.as_deref(), key.map(Secret::expose));
    if provider.is_none() {
        let error = ConfigError::at(path, "neither the address nor the key tells the provider");
        problems.error(error.fix("set `provider` or `base_url`"));
    }
    provider
}

/// Works a channel out. `None` if it cannot work; the reasons are in `problems`.
pub(super) fn compile(
    config: &Config,
    channel: &config::Channel,
    states: &States,
    book: &Book,
    path: &str,
    problems: &mut Problems,
) -> Option<Channel> {
    let provider = provider_of(channel, path, problems)?;
    let base = base_url(channel, provider, path, problems);
    let credentials = credentials(channel, provider, states, path, problems);
    let headers = headers(config, channel, provider, path, problems);
    api_version(channel, provider, path, problems);
    let dialects = dialects(channel, provider, path, problems);
    let discovery = discovery(channel, provider, path, problems);
    let base = base?;
    let login = credentials.iter().any(|credential| credential.header.is_some());
    if login && !base.tls && !base.is_private() {
        problems.warn(
            ConfigError::at(format!("{path}.base_url"), "the key goes over an unencrypted connection")
                .fix("use https://"),
        );
    }
    let id = ChannelId::of(&channel.name);
    let breaker = channel.breaker.unwrap_or(config.breaker);
    let cooldowns = channel.cooldowns.unwrap_or(config.cooldowns);
    Some(Channel {
        id,
        name: channel.name.as_str().into(),
        provider,
        origin: if provider.built_in { String::new() } else { base.origin() },
        prefix: base.prefix.into(),
        credentials,
        api_version: channel.api_version.clone(),
        dialects,
        headers,
        timeouts: timeouts(config, channel),
        verify_tls: channel.verify_tls.unwrap_or(config.defaults.verify_tls),
        allow_private: channel.allow_private,
        limits: Limits { rps: channel.limits.rps.or(channel.max_rps), ..channel.limits },
        gate: states.gate(id),
        key_strategy: channel.key_strategy.unwrap_or(config.defaults.key_strategy),
        turn: states.turn(Turn::Keys(id)),
        policy: Policy { watched: !provider.built_in || channel.breaker.is_some(), ..Policy::new(breaker, cooldowns) },
        discovery,
        enabled: channel.enabled,
        probe: probe::compile(channel, provider, path, problems),
        probe_model: probe::model(channel, provider),
        prices: book.for_channel(&channel.name, provider),
    })
}

/// The shortest time between two questions.
const LEAST: Duration = Duration::from_secs(10);

fn discovery(
    channel: &config::Channel,
    provider: &'static Provider,
    path: &str,
    problems: &mut Problems,
) -> Option<Discovery> {
    let wanted = channel.discover.as_ref().filter(|discover| discover.enabled && channel.enabled)?;
    if wanted.every.0 < LEAST {
        let error = ConfigError::at(format!("{path}.discover.every"), "this is too often");
        problems.error(error.fix("ask every 10s or less often"));
    }
    if provider.built_in {
        problems
            .error(ConfigError::at(format!("{path}.discover"), format!("{} has no list to ask for", provider.name)));
    }
    let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::new(text)).collect();
    Some(Discovery { every: wanted.every.0, include: patterns(&wanted.include), exclude: patterns(&wanted.exclude) })
}

fn base_url(
    channel: &config::Channel,
    provider: &'static Provider,
    path: &str,
    problems: &mut Problems,
) -> Option<BaseUrl> {
    let Some(url) = channel.base_url.as_deref().or(provider.origin) else {
        problems
            .error(ConfigError::at(path, format!("{} has no address of its own", provider.name)).fix("set `base_url`"));
        return None;
    };
    BaseUrl::parse(url, provider.prefix)
        .map_err(|reason| {
            problems.error(ConfigError::at(format!("{path}.base_url"), reason).fix("write it as https://host/path"));
        })
        .ok()
}

fn credentials(
    channel: &config::Channel,
    provider: &'static Provider,
    states: &States,
    path: &str,
    problems: &mut Problems,
) -> Vec<Credential> {
    let none = Limits::default();
    let single = channel.api_key.iter().map(|key| ("api_key".to_owned(), "key".to_owned(), key, true, none));
    let several = channel.api_keys.iter().enumerate().map(|(position, key)| {
        let label = format!("key-{}", position + 1);
        (format!("api_keys[{position}]"), label, key, true, none)
    });
    let named = channel.credentials.iter().enumerate().map(|(position, credential)| {
        let path = format!("credentials[{position}]");
        let label = credential.name.clone();
        (path, label, &credential.key, credential.enabled, credential.limits)
    });
    let auth = channel.auth.unwrap_or(provider.auth);
    let mut labels = HashSet::new();
    let mut usable = Vec::new();
    let mut given = false;
    for (key, label, secret, enabled, limits) in single.chain(several).chain(named) {
        given = true;
        let path = format!("{path}.{key}");
        if !labels.insert(label.clone()) {
            problems.error(ConfigError::at(path, format!("another key of this channel is named `{label}`")));
        } else if let Some(header) = login(auth, secret) {
            if enabled {
                let id = CredentialId::of(&channel.name, &label);
                usable.push(Credential {
                    id,
                    label: label.into(),
                    header: Some(header),
                    limits: limits_of_key(limits, channel.key_limits),
                    state: states.credential(id, short(secret)),
                });
            }
        } else {
            problems.error(
                ConfigError::at(path, "the key is empty or cannot stand in a header")
                    .fix("check for spaces and line ends around it"),
            );
        }
    }
    if !given {
        if provider.credential_required && channel.enabled {
            problems.error(ConfigError::at(path, format!("{} needs a key", provider.name)).fix("set `api_key`"));
        }
        let id = CredentialId::of(&channel.name, "none");
        let limits = channel.key_limits;
        usable.push(Credential { id, label: "none".into(), header: None, limits, state: states.credential(id, 0) });
    }
    usable
}

fn limits_of_key(own: Limits, common: Limits) -> Limits {
    Limits {
        rps: own.rps.or(common.rps),
        rpm: own.rpm.or(common.rpm),
        tpm: own.tpm.or(common.tpm),
        rpd: own.rpd.or(common.rpd),
        concurrency: own.concurrency.or(common.concurrency),
    }
}

/// Enough of a secret's hash to notice that it changed, and too little to find it by.
fn short(secret: &Secret) -> u64 {
    let [first, second, third, fourth, ..] = fingerprint(secret.expose());
    u64::from(u32::from_be_bytes([first, second, third, fourth]))
}

fn login(auth: Auth, secret: &Secret) -> Option<(HeaderName, HeaderValue)> {
    let text = secret.expose();
    if text.is_empty() || text.trim() != text {
        return None;
    }
    auth.header(secret)
}

/// The provider's headers, then the configured agent, then the channel's own; later ones replace earlier ones.
fn headers(
    config: &Config,
    channel: &config::Channel,
    provider: &'static Provider,
    path: &str,
    problems: &mut Problems,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers: Vec<(HeaderName, HeaderValue)> = provider
        .headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    let agent = config.defaults.user_agent.as_deref();
    let agent = agent.map(|agent| ("defaults.user_agent".to_owned(), USER_AGENT.as_str(), agent));
    let own =
        channel.headers.iter().map(|(name, value)| (format!("{path}.headers.{name}"), name.as_str(), value.as_str()));
    for (path, name, value) in agent.into_iter().chain(own) {
        match header(name, value) {
            Ok((name, value)) => {
                headers.retain(|(known, _)| *known != name);
                headers.push((name, value));
            }
            Err(reason) => problems.error(ConfigError::at(path, reason)),
        }
    }
    headers
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), &'static str> {
    const OURS: &[&str] = &[
        "accept-encoding",
        "api-key",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-api-key",
        "x-goog-api-key",
    ];
    let name: HeaderName = name.parse().map_err(|_| "this is no header name")?;
    if OURS.contains(&name.as_str()) {
        return Err("the gateway sets this header itself; for keys there are `api_key` and `auth`");
    }
    let mut value = HeaderValue::from_str(value).map_err(|_| "the value cannot stand in a header")?;
    value.set_sensitive(true);
    Ok((name, value))
}

fn api_version(channel: &config::Channel, provider: &'static Provider, path: &str, problems: &mut Problems) {
    let Some(version) = channel.api_version.as_deref() else {
        return;
    };
    let path = format!("{path}.api_version");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if provider.versioned_endpoints.is_empty() {
        problems.error(ConfigError::at(path, format!("{} has no API versions", provider.name)).fix("remove it"));
    } else if version.is_empty() || !version.bytes().all(plain) {
        problems.error(ConfigError::at(path, "a version looks like 2024-10-21"));
    } else if channel.base_url.as_deref().is_some_and(|url| url.trim_end_matches('/').ends_with("/v1")) {
        problems.error(
            ConfigError::at(path, "the paths of `base_url` take no version")
                .fix("remove `/v1` there, or `api_version` here"),
        );
    }
}

/// Those the channel lists; each has to be one the provider speaks.
fn dialects(
    channel: &config::Channel,
    provider: &'static Provider,
    path: &str,
    problems: &mut Problems,
) -> Vec<Dialect> {
    let versioned = channel.api_version.is_some();
    let spoken = |dialect| {
        provider.endpoint(Operation::Chat, dialect, versioned).is_some_and(|endpoint| endpoint.dialect == dialect)
    };
    let listed: Vec<Dialect> = channel.dialects.iter().map(|dialect| Dialect::from(*dialect)).collect();
    for (position, dialect) in listed.iter().enumerate().filter(|(_, dialect)| !spoken(**dialect)) {
        let known: Vec<_> = Dialect::ALL.into_iter().filter(|dialect| spoken(*dialect)).map(Dialect::name).collect();
        let complaint = format!("{} does not speak {}", provider.name, dialect.name());
        let error = ConfigError::at(format!("{path}.dialects[{position}]"), complaint);
        problems.error(error.fix(format!("use {}", known.join(" or "))));
    }
    listed
}

fn timeouts(config: &Config, channel: &config::Channel) -> Timeouts {
    let (own, common) = (&channel.timeouts, &config.defaults.timeouts);
    let first = |choices: [Option<Span>; 4], usual: u64| {
        let chosen = choices.into_iter().flatten().next();
        chosen.map_or(Duration::from_secs(usual), |span| span.0)
    };
    let defaults = &config.defaults;
    Timeouts {
        connect: first([own.connect, common.connect, defaults.connect_timeout, None], 5),
        first_byte: first([own.first_byte, common.first_byte, None, None], 60),
        first_token: first([own.first_token, common.first_token, None, None], 120),
        idle: first([own.idle, common.idle, None, None], 60),
        total: first([own.total, channel.timeout, common.total, defaults.timeout], 600),
    }
}
