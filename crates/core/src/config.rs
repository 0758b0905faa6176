//! The config file: what may be written, and what is wrong when something else is. One file per section.
//! Decides form only; whether the parts fit together is for [`crate::snapshot`]. Knows no file system and no environment:
//! texts and a lookup function come in. Tests are below and beside the parts.

mod admin;
mod capabilities;
mod channels;
mod cors;
mod defaults;
mod discovery;
mod environment;
mod error;
mod expand;
mod health;
mod json;
mod keys;
mod limits;
mod mappings;
mod node;
mod probe;
mod read;
mod retry;
mod routing;
mod server;
mod telemetry;
mod tls;
mod values;
mod yaml;

use schemars::JsonSchema;
use serde::Deserialize;

pub use admin::{Admin, MetricsAccess};
pub use capabilities::{Capability, CapabilityPolicy, Missing, OverLimit, Unstreamed};
pub use channels::{Channel, ChatDialect, Credential, Model, ModelEntry, Timeouts};
pub use cors::Cors;
pub use defaults::Defaults;
pub use discovery::Discover;
pub use environment::{Environment, from_environment};
pub use error::{ConfigError, Mark};
pub use expand::Lookup;
pub use health::{Breaker, BreakerChoice, Cooldowns, Preset};
pub use keys::Key;
pub use limits::Limits;
pub use mappings::ModelMappings;
pub use probe::{Probe, ProbeKind};
pub use retry::{Backoff, BackoffStrategy, Retry, RetryBudget};
pub use routing::{Hedge, KeyStrategy, ModelRouting, Queue, Routing, Strategy};
pub use server::Server;
pub use telemetry::{LogFormat, Logging, Otlp, Share, Telemetry};
pub use tls::Tls;
pub use values::Span;

use node::{Node, Places, Value};

/// Everything an owner can say in a file.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Waypost configuration")]
pub struct Config {
    pub server: Server,
    /// Who may look at the running gateway and steer it.
    pub admin: Admin,
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
    pub defaults: Defaults,
    pub telemetry: Telemetry,
    pub logging: Logging,
    /// Serve callers without a key. Only possible while the gateway listens on a loopback address.
    pub open_mode: bool,
    #[serde(skip)]
    origin: Origin,
}

/// Where a config came from, to say where its mistakes are.
#[derive(Clone, Debug, Default)]
struct Origin {
    file: Option<String>,
    places: Places,
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
        let named = |mut errors: Vec<ConfigError>| {
            errors.sort_by_key(|error| error.mark);
            for error in &mut errors {
                error.file = Some(file.to_owned());
            }
            errors
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut root = match format {
            Format::Yaml => yaml::parse(text),
            Format::Json => json::parse(text),
        }
        .map_err(|error| named(vec![error]))?;
        root = unwrapped(root);
        let mut errors = expand::expand(&mut root, lookup);
        let places = Places::of(&root);
        match read::read::<Self>(root) {
            Ok(mut config) if errors.is_empty() => {
                config.origin = Origin { file: Some(file.to_owned()), places };
                Ok(config)
            }
            Ok(_) => Err(named(errors)),
            Err(more) => {
                errors.extend(more);
                Err(named(errors))
            }
        }
    }

    /// The JSON Schema of the file, for editors and documentation.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    /// Adds the file and the place to errors that name a key of this config.
    pub(crate) fn locate(&self, errors: &mut [ConfigError]) {
        for error in errors {
            error.file.clone_from(&self.origin.file);
            error.mark = self.origin.places.find(&error.path);
        }
    }
}

/// A file may hold everything under the one key `open_ai_http_proxy`, as bundles of that name do.
fn unwrapped(root: Node) -> Node {
    if let Value::Map(entries) = &root.value
        && let [entry] = entries.as_slice()
        && entry.key == "open_ai_http_proxy"
    {
        return entry.node.clone();
    }
    root
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests;
