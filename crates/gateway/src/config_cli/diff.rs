//! `waypost config diff`: what changes between two configurations, or since the last one that worked.
//! Tests: `it/config_files.rs`.

use waypost_core::config::{Config, difference};

use crate::config_sources::{ConfigSource, Mistakes};

pub(super) fn between(mut before: ConfigSource, mut after: ConfigSource) -> Result<String, Mistakes> {
    let before = before.find()?.loaded.config;
    Ok(shown(&before, &after.find()?.loaded.config))
}

pub(super) fn with_last_good(mut source: ConfigSource) -> Result<String, Mistakes> {
    let after = source.find()?;
    let Some(before) = source.find_last_good() else {
        let name = after.name;
        return Err(vec![format!(
            "{name}: no gateway has started with it here; name two configurations, or --state-dir"
        )]);
    };
    Ok(shown(&before?.loaded.config, &after.loaded.config))
}

fn shown(before: &Config, after: &Config) -> String {
    let changes: Vec<String> = difference(before, after).iter().map(ToString::to_string).collect();
    if changes.is_empty() { "no difference".to_owned() } else { changes.join("\n") }
}
