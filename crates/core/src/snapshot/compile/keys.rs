//! From the keys of a config to callers by the hash of their key. Decides what a key may look like and who may be let in
//! without one. Tests are in `tests.rs` beside this.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::Problems;
use crate::access::{Caller, Scopes, fingerprint};
use crate::config::{Config, ConfigError, Key};
use crate::pattern::Pattern;

/// Keys shorter than this can be guessed.
pub(super) const SAFE_KEY_LENGTH: usize = 16;

pub(super) fn callers(config: &Config, problems: &mut Problems) -> HashMap<[u8; 32], Arc<Caller>> {
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
                place.insert(Arc::new(caller(key)));
            }
        }
    }
    callers
}

fn caller(key: &Key) -> Caller {
    let models: Vec<_> = key.models.iter().map(|model| Pattern::new(model)).collect();
    let everything = models.iter().any(Pattern::is_everything);
    let scopes = Scopes { models: (!everything).then_some(models), ..Scopes::default() };
    Caller { enabled: key.enabled, scopes, ..Caller::new(&key.name, &key.name) }
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
