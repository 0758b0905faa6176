//! From the keys of a config to callers by the hash of their key. Decides what a key and its scopes may look like and who may be
//! let in without one. Tests are in `tests.rs` beside this.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::Problems;
use crate::access::{BadEndpoint, Caller, Endpoints, Scopes, fingerprint};
use crate::address::{BadCidr, Cidr};
use crate::config::{Config, ConfigError, Key, KeyLimits};
use crate::health::States;
use crate::limit::{CallerLimits, Level, LevelKind, Levels};
use crate::nearest::nearest;
use crate::pattern::Pattern;
use crate::rate_headers::{days, rfc_3339};

/// Keys shorter than this can be guessed.
pub(super) const SAFE_KEY_LENGTH: usize = 16;

pub(super) fn callers(config: &Config, states: &States, problems: &mut Problems) -> HashMap<[u8; 32], Arc<Caller>> {
    let mut callers: HashMap<[u8; 32], Arc<Caller>> = HashMap::new();
    let mut names = HashSet::new();
    for (position, key) in config.keys.iter().enumerate() {
        let path = format!("keys[{position}]");
        if !names.insert(key.name.as_str()) {
            problems.error(
                ConfigError::at(format!("{path}.name"), format!("another key is named `{}`", key.name))
                    .fix("give each key a name of its own"),
            );
        }
        let Some(digest) = digest(key, &path, problems) else {
            continue;
        };
        match callers.entry(digest) {
            Entry::Occupied(other) => {
                problems.error(ConfigError::at(path, format!("this is the same key as that of `{}`", other.get().name)))
            }
            Entry::Vacant(place) => {
                place.insert(Arc::new(caller(key, &path, states, problems)));
            }
        }
    }
    callers
}

fn caller(key: &Key, path: &str, states: &States, problems: &mut Problems) -> Caller {
    let KeyLimits { rpm, tpm, concurrency, tokens_per_day } = key.limits;
    let level = Level {
        kind: LevelKind::Key,
        name: key.name.as_str().into(),
        limits: CallerLimits { rpm, tpm, concurrency, tokens_per_day },
        gate: states.level(LevelKind::Key, &key.name),
    };
    Caller {
        enabled: key.enabled,
        scopes: scopes(key, path, problems),
        user: key.user.as_deref().map(Arc::from),
        team: key.team.as_deref().map(Arc::from),
        levels: Levels::new(vec![level]),
        ..Caller::new(&key.name, &key.name)
    }
}

fn scopes(key: &Key, path: &str, problems: &mut Problems) -> Scopes {
    let models: Vec<_> = key.models.iter().map(|model| Pattern::new(model)).collect();
    let everything = models.iter().any(Pattern::is_everything);
    let endpoints = key.endpoints.as_deref().and_then(|words| {
        Endpoints::read(words).map_err(|BadEndpoint(word)| problems.error(no_endpoint(path, words, &word))).ok()
    });
    let addresses = key.addresses.as_deref().map(|list| networks(list, &format!("{path}.addresses"), problems));
    let expires_at = key.expires_at.as_deref().and_then(|text| {
        let end = expiry(text);
        if end.is_none() {
            let reason = format!("`{text}` is no time");
            let error = ConfigError::at(format!("{path}.expires_at"), reason);
            problems.error(error.fix("write 2027-01-31, or 2027-01-31T12:00:00Z"));
        }
        end
    });
    let groups: Vec<_> = key.groups.iter().map(|group| Pattern::new(group)).collect();
    Scopes {
        models: (!everything).then_some(models),
        groups: (!groups.is_empty()).then_some(groups),
        endpoints,
        addresses,
        expires_at,
    }
}

fn no_endpoint(path: &str, words: &[String], word: &str) -> ConfigError {
    let position = words.iter().position(|known| known == word).unwrap_or_default();
    let error = ConfigError::at(format!("{path}.endpoints[{position}]"), format!("`{word}` names no endpoint"));
    let known = Endpoints::OPERATIONS.map(|(name, _)| name);
    match nearest(word, known, 1).first() {
        Some(near) => error.fix(format!("did you mean `{near}`?")),
        None => error.fix(format!("use {}, or a path such as `/v1/files*`", known.join(", "))),
    }
}

/// Reads addresses and networks; those that are none are reported and left out.
pub(super) fn networks(list: &[String], path: &str, problems: &mut Problems) -> Vec<Cidr> {
    let mut read = Vec::with_capacity(list.len());
    for (position, text) in list.iter().enumerate() {
        match text.parse() {
            Ok(network) => read.push(network),
            Err(BadCidr) => {
                let reason = format!("`{text}` is neither an address nor a network");
                let error = ConfigError::at(format!("{path}[{position}]"), reason);
                problems.error(error.fix("write 192.0.2.7 or 10.0.0.0/8"));
            }
        }
    }
    read
}

/// Milliseconds since 1970 of a moment, or of the end of a day.
fn expiry(text: &str) -> Option<i64> {
    let text = text.trim();
    let date = text.get(..10).filter(|date| is_date(date))?;
    let (moment, more) =
        if text.len() == date.len() { (format!("{date}T00:00:00Z"), 86_400) } else { (text.to_owned(), 0) };
    let seconds = i64::try_from(rfc_3339(&moment)?).ok()?;
    (seconds + more).checked_mul(1000)
}

/// Is there such a day?
fn is_date(date: &str) -> bool {
    let mut parts = date.split('-').map(|part| part.parse::<i64>().ok().filter(|number| *number > 0));
    let (Some(Some(year)), Some(Some(month)), Some(Some(day)), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let after = if month == 12 { days(year + 1, 1, 1) } else { days(year, month + 1, 1) };
    (1..=12).contains(&month) && day <= after - days(year, month, 1)
}

fn digest(key: &Key, path: &str, problems: &mut Problems) -> Option<[u8; 32]> {
    match (&key.key, &key.key_sha256) {
        (Some(secret), None) => {
            let text = secret.expose();
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                problems.error(ConfigError::at(
                    format!("{path}.key"),
                    "a key is made of visible ASCII characters, without spaces",
                ));
                return None;
            }
            if text.len() < SAFE_KEY_LENGTH {
                problems.warn(
                    ConfigError::at(format!("{path}.key"), "the key is short enough to be guessed")
                        .fix(format!("use at least {SAFE_KEY_LENGTH} random characters")),
                );
            }
            Some(fingerprint(text))
        }
        (None, Some(hex)) => {
            let digest = from_hex(hex.trim());
            if digest.is_none() {
                problems.error(ConfigError::at(format!("{path}.key_sha256"), "expected 64 hexadecimal digits"));
            }
            digest
        }
        (None, None) => {
            problems.error(ConfigError::at(path, "the key itself is missing").fix("give `key`, or `key_sha256`"));
            None
        }
        (Some(_), Some(_)) => {
            problems.error(ConfigError::at(path, "`key` and `key_sha256` are both given").fix("keep one of them"));
            None
        }
    }
}

/// Reads 64 hexadecimal digits.
pub(super) fn from_hex(text: &str) -> Option<[u8; 32]> {
    // `from_str_radix` alone would take signs.
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (position, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(position * 2..position * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// The caller that stands for everybody, where the config opens the gateway.
pub(super) fn anybody(config: &Config, problems: &mut Problems) -> Option<Arc<Caller>> {
    if !config.open_mode {
        return None;
    }
    if !is_loopback(&config.server.host) {
        problems.error(
            ConfigError::at("open_mode", "only possible while the gateway listens on a loopback address")
                .fix("set `server.host: 127.0.0.1`, or give every caller a key"),
        );
    }
    Some(Arc::new(Caller::new("anybody", "anybody")))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
