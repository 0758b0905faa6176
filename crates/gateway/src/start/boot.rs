//! The configuration that a start begins with: the present one, or the last that worked. Decides which; how they are read is
//! for [`crate::config_sources`]. Tests: `it/config_files.rs`.

use waypost_core::health::States;
use waypost_core::snapshot::{Snapshot, compile};

use crate::config_sources::{ConfigSource, Found, Mistakes, lines};

/// What a start begins with.
pub(super) struct Booted {
    pub found: Found,
    pub snapshot: Snapshot,
    /// Why this is not the present configuration; empty if it is.
    pub mistakes: Mistakes,
}

/// Reads and compiles the configuration; if it is broken, the last one that worked.
pub(super) fn boot(source: &mut ConfigSource, states: &States) -> Result<Booted, Mistakes> {
    let compiled = |found: Found| {
        let snapshot = compile(&found.loaded.config, states).map_err(|errors| lines(&errors))?;
        Ok(Booted { found, snapshot, mistakes: Mistakes::new() })
    };
    let mistakes = match source.find().and_then(compiled) {
        Ok(good) => return Ok(good),
        Err(mistakes) if source.is_strict() => return Err(mistakes),
        Err(mistakes) => mistakes,
    };
    match source.find_last_good().map(|found| found.and_then(compiled)) {
        Some(Ok(last_good)) => Ok(Booted { mistakes, ..last_good }),
        Some(Err(_)) | None => Err(mistakes),
    }
}

/// Says what its owner may want to know of the configuration.
pub(super) fn tell(found: &Found, snapshot: &Snapshot, mistakes: &Mistakes) {
    let loaded = &found.loaded;
    for error in mistakes {
        tracing::error!(%error, "the configuration is broken");
    }
    if !mistakes.is_empty() {
        tracing::error!(
            serving = found.name,
            "the last configuration that worked is in use until the mistakes are corrected"
        );
    }
    if !loaded.notes.is_empty() {
        let (file, notes) = (&found.name, loaded.notes.len());
        tracing::info!(
            file,
            notes,
            "the file is in another format; `waypost config check` says what became of each part"
        );
    }
    // In set-up there is nobody whose file could be better.
    for warning in snapshot.warnings.iter().chain(&loaded.warnings).filter(|_| !loaded.setup) {
        tracing::warn!(%warning, "the configuration works, but");
    }
}
