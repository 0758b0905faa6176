//! What can be said on the command line, and variables that say the same. Decides precedence between the two.
//! Tests: `it/start.rs`, against the built binary.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use waypost_core::config::Argument;

use crate::cli::admin::Call;
use crate::cli::alerts::Alerts;
use crate::cli::audit::Auditing;
use crate::cli::budgets::Budgets;
use crate::cli::channels::Channels;
use crate::cli::credentials::Credentials;
use crate::cli::credits::Credits;
use crate::cli::deployments::Deployments;
use crate::cli::export::Export;
use crate::cli::gateway::Gateway;
use crate::cli::health::Health;
use crate::cli::import::Import;
use crate::cli::invites::Invites;
use crate::cli::keys::Keys;
use crate::cli::ledger::Ledger;
use crate::cli::logs::Logs;
use crate::cli::migrate::Migrate;
use crate::cli::mock::Mock;
use crate::cli::plans::Plans;
use crate::cli::prices::Prices;
use crate::cli::secrets::Sealing;
use crate::cli::security::Security;
use crate::cli::selftest::Selftest;
use crate::cli::sessions::Sessions;
use crate::cli::teams::Teams;
use crate::cli::test::Testing;
use crate::cli::usage::Usage;
use crate::cli::users::Users;
use crate::cli::vouchers::Vouchers;
use crate::config_cli::{Check, Look};
use crate::config_sources::{Mistakes, Mode, Wanted, variables};
use crate::records::LogStyle;

/// An AI gateway in one binary: talks OpenAI and Anthropic, sends each request to the best of your provider accounts,
/// fails over when one breaks.
#[derive(Parser, Clone, Debug)]
#[command(name = "waypost", version)]
pub struct Arguments {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    /// The configuration: a YAML or JSON file, or a folder of them [env: WAYPOST_CONFIG] [default: waypost.yaml, waypost.yml,
    /// waypost.json, config/router_config.yaml or the folder config, whichever is here].
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What holds the configuration [env: WAYPOST_MODE] [default: auto].
    #[arg(long, global = true)]
    mode: Option<Mode>,
    /// Where the last configuration that worked is kept [env: WAYPOST_STATE_DIR] [default: .waypost beside the configuration].
    #[arg(long, global = true, value_name = "FOLDER")]
    state_dir: Option<PathBuf>,
    /// Do not start with the last configuration that worked if the present one is broken [env: WAYPOST_STRICT_CONFIG].
    #[arg(long)]
    strict_config: bool,
    /// The address to listen on [env: HOST] [default: 127.0.0.1].
    #[arg(long)]
    host: Option<String>,
    /// The port to listen on; 0 takes any free one [env: PORT] [default: 3000].
    #[arg(long)]
    port: Option<u16>,
    /// How log lines look [env: LOG_FORMAT] [default: as the configuration says; else pretty at a terminal, json otherwise].
    #[arg(long, value_name = "STYLE")]
    log_format: Option<LogFormat>,
    /// What is logged: error, warn, info, debug or trace, or a filter by module [env: LOG_LEVEL] [default: as the
    /// configuration says; else info].
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Logs as with --log-level debug, whatever else is said.
    #[arg(long)]
    debug: bool,
}

/// What can be asked for instead of serving.
#[derive(Subcommand, Clone, Debug)]
pub(super) enum Command {
    /// Looks at the configuration.
    Config {
        #[command(subcommand)]
        look: Look,
    },
    /// The same as `config check`.
    Check(Check),
    /// The same as `config schema`.
    Schema,
    /// Asks the accounts of the configuration whether their keys work.
    #[command(subcommand)]
    Test(Testing),
    /// Asks a running gateway whether it is ready: exit code 0 if so, 1 if not, 2 if nobody answers.
    Health(Health),
    /// Proves on this machine that failover, streams, limits and breakers work. Needs no configuration and no network.
    Selftest(Selftest),
    /// Proves that nobody has touched the log of what was done, or prints it.
    #[command(subcommand)]
    Audit(Auditing),
    /// Brings the tables of the database up to date, and says which version they are of.
    Migrate(Migrate),
    /// Takes providers, channels, model groups and keys from a file over into the database: an export of Waypost's or of another
    /// router, a configuration file, or an SQL dump. Doing it again changes nothing.
    Import(Import),
    /// Prints providers, channels, model groups and settings of the database as JSON.
    Export(Export),
    /// Works on how secrets in the database are sealed.
    #[command(subcommand)]
    Secrets(Sealing),
    /// Makes, lists, rotates and revokes keys of a running gateway.
    #[command(subcommand)]
    Keys(Keys),
    /// Lists, shows, sets and withdraws prices of a running gateway, and prices the past anew.
    #[command(subcommand)]
    Prices(Prices),
    /// Makes, lists, changes and disables users of a running gateway.
    #[command(subcommand)]
    Users(Users),
    /// Makes, lists and withdraws invites to register at a running gateway.
    #[command(subcommand)]
    Invites(Invites),
    /// Makes, lists, changes and disables teams of a running gateway.
    #[command(subcommand)]
    Teams(Teams),
    /// Makes, lists, changes and disables the plans that users of a running gateway may have.
    #[command(subcommand)]
    Plans(Plans),
    /// Shows and gives prepaid credit of a running gateway.
    #[command(subcommand)]
    Credits(Credits),
    /// Makes, lists, withdraws and redeems vouchers of a running gateway.
    #[command(subcommand)]
    Vouchers(Vouchers),
    /// Makes, lists, changes and deletes budgets of a running gateway.
    #[command(subcommand)]
    Budgets(Budgets),
    /// Tells requests, tokens and cost of a running gateway, by any one or two nouns.
    Usage(Usage),
    /// Lists and shows the calls that a running gateway answered.
    #[command(subcommand)]
    Logs(Logs),
    /// Lists who is signed in to a running gateway, and ends sessions.
    #[command(subcommand)]
    Sessions(Sessions),
    /// Lists the channels of a running gateway, and makes, changes and deletes those of its database.
    #[command(subcommand)]
    Channels(Channels),
    /// Lists, tests and resets the credentials of a running gateway, and makes, changes and deletes those of its database.
    #[command(subcommand)]
    Credentials(Credentials),
    /// Lists and resets each model on each channel of a running gateway.
    #[command(subcommand)]
    Deployments(Deployments),
    /// Shows what was suspicious at a running gateway, and lets addresses in again.
    #[command(subcommand)]
    Security(Security),
    /// Looks at a running gateway, has it explain itself or read its configuration again.
    #[command(subcommand)]
    Gateway(Gateway),
    /// Shows what a running gateway tells of budgets, credit, limits and cost.
    #[command(subcommand)]
    Alerts(Alerts),
    /// Makes any call of a running gateway's administration, for what has no command of its own.
    Admin(Call),
    /// Proves that the ledger is whole, or prints it.
    #[command(subcommand)]
    Ledger(Ledger),
    /// Serves the simulator as a provider, for other gateways and applications to be tried against.
    Mock(Mock),
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum LogFormat {
    Json,
    Pretty,
}

/// What arguments and variables say of how to log; what they leave open is the configuration's to say.
#[derive(Clone, Debug)]
pub(super) struct SaidOfLogs {
    pub(super) style: Option<LogStyle>,
    pub(super) level: Option<String>,
}

impl Arguments {
    /// What they say about the configuration.
    pub(super) fn wanted(&self) -> Wanted {
        let host = self.host.iter().map(|host| ("--host", &["server", "host"], host.clone()));
        let port = self.port.iter().map(|port| ("--port", &["server", "port"], port.to_string()));
        Wanted {
            config: self.config.clone(),
            mode: self.mode,
            state_dir: self.state_dir.clone(),
            strict: self.strict_config,
            settings: host.chain(port).map(|(flag, path, value)| Argument { flag, path, value }).collect(),
        }
    }

    /// How to log, by arguments and then variables.
    pub(super) fn logging(&self) -> Result<SaidOfLogs, Mistakes> {
        let variables = variables()?;
        let format = match (self.log_format, variables.said("LOG_FORMAT")) {
            (Some(format), _) => Some(format),
            (None, Some(word)) => Some(LogFormat::from_str(word, true).map_err(|_| {
                vec!["LOG_FORMAT: expected json or pretty; correct the variable, or unset it".to_owned()]
            })?),
            (None, None) => None,
        };
        let said = self.debug.then_some("debug").or(self.log_level.as_deref());
        let level = said.or_else(|| variables.said("LOG_LEVEL")).map(str::to_owned);
        let style = format.map(|format| match format {
            LogFormat::Json => LogStyle::Json,
            LogFormat::Pretty => LogStyle::Pretty,
        });
        Ok(SaidOfLogs { style, level })
    }
}
