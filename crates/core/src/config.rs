//! The config file: what may be written, and what is wrong when something else is. One file per section.
//! Decides form only; whether the parts fit together is for [`crate::snapshot`]. Knows no file system and no environment:
//! texts and a lookup function come in. Tests are below and beside the parts.

mod admin;
mod alerts;
mod capabilities;
mod catalog;
mod channels;
mod convert;
mod cors;
mod database;
mod defaults;
mod diff;
mod discovery;
mod effective;
mod environment;
mod error;
mod expand;
mod health;
mod identity;
mod json;
mod keys;
mod ledger;
mod limits;
mod mappings;
mod node;
mod prices;
mod probe;
mod read;
mod retry;
mod routing;
mod secrets;
mod security;
mod server;
mod sources;
mod telemetry;
mod tls;
mod transfer;
mod values;
mod variables;
mod yaml;

use schemars::JsonSchema;
use serde::Deserialize;

pub use admin::{Admin, MetricsAccess};
pub use alerts::Alerts;
pub use capabilities::{Capability, CapabilityPolicy, Missing, OverLimit, Unstreamed};
pub use catalog::{Catalog, ChannelRow, CredentialRow, ModelRow, SECTIONS, SettingRow};
pub use channels::{Channel, ChatDialect, Credential, Model, ModelEntry, Timeouts};
pub use convert::{Note, NoteKind};
pub use cors::Cors;
pub use database::Database;
pub use defaults::Defaults;
pub use diff::{Change, difference};
pub use discovery::Discover;
pub use effective::{Effective, explain};
pub use error::{ConfigError, Mark};
pub use expand::Lookup;
pub use health::{Breaker, BreakerChoice, Cooldowns, Preset};
pub use identity::{Identity, Oidc, Registration};
pub use keys::{Key, KeyLimits};
pub use ledger::{Durability, Ledger, Unfinished};
pub use limits::Limits;
pub use mappings::ModelMappings;
pub use prices::{
    Ceiling, Currency, Day, PerMillion, PerUnit, PriceEntry, PriceTier, Pricing, ServiceTiers, SetPrice, UnknownPrice,
};
pub use probe::{Probe, ProbeKind};
pub use retry::{Backoff, BackoffStrategy, Retry, RetryBudget};
pub use routing::{Hedge, KeyStrategy, ModelRouting, Queue, Routing, Strategy};
pub use secrets::Secrets;
pub use security::{Block, Security};
pub use server::Server;
pub use sources::{Argument, Inputs, Loaded, Text, load};
pub use telemetry::{CallLog, LogFormat, Logging, Otlp, Share, Telemetry};
pub use tls::Tls;
pub use transfer::{Transfer, field_name, transfer};
pub use values::Span;
pub use variables::Variables;

use sources::Origin;

/// Everything an owner can say in a file.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Waypost configuration")]
pub struct Config {
    pub server: Server,
    pub database: Database,
    pub ledger: Ledger,
    pub secrets: Secrets,
    /// Who may look at the running gateway and steer it.
    pub admin: Admin,
    /// Who may become a user, and how users prove who they are.
    pub identity: Identity,
    /// The keys that callers present.
    pub keys: Vec<Key>,
    /// The accounts at providers.
    pub channels: Vec<Channel>,
    pub model_mappings: ModelMappings,
    #[serde(alias = "fallback")]
    pub retry: Retry,
    pub routing: Routing,
    /// When a failing deployment is isolated and how it comes back.
    pub breaker: BreakerChoice,
    /// How long a failure of each class keeps requests away.
    pub cooldowns: Cooldowns,
    /// What becomes of requests that ask for more than a model can do.
    pub capabilities: CapabilityPolicy,
    /// What models cost.
    pub prices: Vec<PriceEntry>,
    /// What becomes of requests whose price nobody knows.
    pub pricing: Pricing,
    pub defaults: Defaults,
    pub telemetry: Telemetry,
    pub logging: Logging,
    /// What people are to be told, and where.
    pub alerts: Alerts,
    pub security: Security,
    /// Serve callers without a key. Only possible while the gateway listens on a loopback address.
    pub open_mode: bool,
    /// Prices that were set while the gateway ran: after those of files, before those that are built in.
    #[serde(skip)]
    pub api_prices: Vec<SetPrice>,
    #[serde(skip)]
    origin: Origin,
}

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Yaml,
    Json,
}

impl Format {
    /// JSON if the file's name says so, else YAML.
    pub fn of(file: &str) -> Self {
        if file.to_ascii_lowercase().ends_with(".json") { Self::Json } else { Self::Yaml }
    }
}

impl Config {
    /// Reads a config. `file` is the name to show in errors. Reports every mistake of form it can find, in the order of
    /// the file where several are found.
    pub fn parse(text: &str, format: Format, file: &str, lookup: Lookup<'_>) -> Result<Self, Vec<ConfigError>> {
        sources::parse(&Text { name: file.to_owned(), format, text: text.to_owned() }, lookup)
    }

    /// The JSON Schema of the file, for editors and documentation.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    /// Adds the source and the place to errors that name a key of this config.
    pub(crate) fn locate(&self, errors: &mut [ConfigError]) {
        self.origin.locate(errors);
    }
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests;
