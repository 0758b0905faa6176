//! The commands that look at a configuration: check it, explain it, compare it, describe its form. They serve nothing.
//! Tests: `it/start.rs`, `it/config_files.rs`, against the built binary.

mod check;
mod database;
mod diff;
mod explain;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use waypost_core::config::Config;

use crate::cli::database::Which;
use crate::config_sources::{ConfigSource, Mistakes, Wanted};

/// Ways to look at a configuration.
#[derive(Subcommand, Clone, Debug)]
pub enum Look {
    /// Reads and compiles the configuration, with what the database holds of it, says what is wrong with it, and serves nothing.
    Check(Check),
    /// Prints every value in force and where it came from, the database included; secrets are not shown.
    Explain {
        /// Only what stands at or below this key, such as `server.port` or `channels[0]`.
        key: Option<String>,
        #[command(flatten)]
        which: Which,
    },
    /// Prints what changes from one configuration to another; secrets are not shown.
    Diff {
        /// The configuration before. If it is the only one: the configuration after, compared with the last that worked.
        a: Option<PathBuf>,
        /// The configuration after.
        b: Option<PathBuf>,
    },
    /// Prints the JSON Schema of the configuration.
    Schema,
}

/// What to check.
#[derive(Args, Clone, Debug)]
pub struct Check {
    /// The configuration to check instead of the usual one.
    file: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
}

/// Looks, and gives what to print. `dice` stand for a caller's key where none is given.
pub async fn look(look: &Look, wanted: Wanted, dice: [u8; 24]) -> Result<String, Mistakes> {
    let at =
        |file: &Option<PathBuf>| Wanted { config: file.clone().or_else(|| wanted.config.clone()), ..wanted.clone() };
    match look {
        Look::Check(Check { file, which }) => check::check(ConfigSource::new(at(file), dice), which).await,
        Look::Explain { key, which } => {
            let source = ConfigSource::new(wanted, dice);
            explain::explain(source, which, key.as_deref().unwrap_or_default()).await
        }
        Look::Diff { a, b: None } => diff::with_last_good(ConfigSource::new(at(a), dice)),
        Look::Diff { a, b } => diff::between(ConfigSource::new(at(a), dice), ConfigSource::new(at(b), dice)),
        Look::Schema => Ok(format!("{:#}", Config::schema())),
    }
}
