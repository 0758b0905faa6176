//! `waypost migrate`: the tables of a database as this version needs them. Tests: `it/transfer.rs`, against the built binary.

use clap::Args;

use super::database::Which;
use super::print::say;
use crate::clock::unix_millis;
use crate::config_sources::{Mistakes, Wanted};
use crate::pipeline::meter::Chain;

/// What is to be migrated.
#[derive(Args, Clone, Debug)]
pub struct Migrate {
    #[command(flatten)]
    which: Which,
}

/// Migrates, and says from which version to which. Doing it again does nothing.
pub async fn run(wanted: &Migrate, config: Wanted) -> Result<(), Mistakes> {
    let database = wanted.which.connect(config).await?;
    let name = &database.name;
    let done = database.store.migrate(unix_millis()).await;
    let done = done.map_err(|error| vec![format!("{name} cannot be migrated: {}", Chain(&error))])?;
    database.store.close().await;
    if let Some(backup) = &done.backup {
        say(&format!("copied to {} before the change", backup.display()));
    }
    if done.steps.is_empty() {
        say(&format!("{name}: version {}, up to date", done.to));
    } else {
        say(&format!("{name}: version {} -> {} ({})", done.from, done.to, done.steps.join(", ")));
    }
    Ok(())
}
