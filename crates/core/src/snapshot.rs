//! Everything that requests are decided by, compiled once: immutable, whole, with every cross-reference resolved.
//! Look-ups are one hash and allocate nothing. Living state is not in it but beside it, kept by id over reloads; what is
//! compiled holds on to the state it needs, so that nobody has to look for it. Tests: `snapshot/compile.rs`.

mod admin;
mod compile;
mod cors;
mod discovery;
mod family;
mod probe;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use waypost_wire::Dialect;
use waypost_wire::dialect::Traits;

use crate::access::Caller;
use crate::address::Cidr;
use crate::capability::Capabilities;
use crate::config::{Backoff, Block, CapabilityPolicy, ConfigError, Hedge, KeyStrategy, Limits, Queue, RetryBudget};
use crate::health::{CredentialState, DeploymentState, Lane, Policy, Pulse};
use crate::ids::{ChannelId, CredentialId, DeploymentId};
use crate::limit::Gate;
use crate::nearest::nearest;
use crate::operation::Operation;
use crate::pricing::{ChannelPrices, Prices, Pricing};
use crate::provider::{Endpoint, Provider};
use crate::route::Strategy;

pub use admin::Admin;
pub use compile::compile;
pub use cors::Cors;
pub use discovery::Discovery;
pub use family::{Families, Family, Found};
pub use probe::Probe;

/// A compiled configuration.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Callers by the SHA-256 of their key.
    pub keys: HashMap<[u8; 32], Arc<Caller>>,
    /// Who a request without a key is, in open mode.
    pub anybody: Option<Arc<Caller>>,
    pub channels: Vec<Arc<Channel>>,
    /// Deployments by public model name.
    pub routes: HashMap<Box<str>, Route>,
    /// Channels that serve whole families of names, asked when no route has the name.
    pub families: Families,
    /// Where requests without a model go.
    pub default: Option<Arc<Route>>,
    pub retry: Retry,
    pub queue: Queue,
    /// What becomes of requests that ask for more than a deployment can do.
    pub capabilities: CapabilityPolicy,
    /// What becomes of requests whose price nobody knows.
    pub pricing: Pricing,
    /// Show callers the upstream's model name instead of the one they asked for.
    pub show_upstream_model: bool,
    /// Who may look at the gateway and steer it.
    pub admin: Admin,
    /// Which web pages may call the data plane from a browser.
    pub cors: Cors,
    /// Proxies that are believed when they say who called them.
    pub trusted_proxies: Vec<Cidr>,
    /// When an address is refused that behaves suspiciously.
    pub block: Option<Block>,
    /// What `/v1/models` lists, by name.
    pub models: Vec<ListedModel>,
    /// What in the config works, but is worth telling its owner.
    pub warnings: Vec<ConfigError>,
}

/// A configured account at a provider.
#[derive(Debug)]
pub struct Channel {
    pub id: ChannelId,
    pub name: Arc<str>,
    pub provider: &'static Provider,
    /// Scheme, host and port; empty for a built-in provider.
    pub origin: String,
    /// The path of the base URL, without a slash at the end.
    pub prefix: String,
    /// Never empty: a channel that needs no credential has one without a header.
    pub credentials: Vec<Credential>,
    /// The provider's `versioned_endpoints` apply.
    pub api_version: Option<String>,
    /// The only chat dialects to speak, best first; empty if those of the provider.
    pub dialects: Vec<Dialect>,
    /// Sent with every request, before the credential.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub timeouts: Timeouts,
    pub verify_tls: bool,
    /// Its name may lead to a private address.
    pub allow_private: bool,
    pub limits: Limits,
    /// What was taken of the limits.
    pub gate: Arc<Gate>,
    pub key_strategy: KeyStrategy,
    /// Counts whose turn it is among the credentials.
    pub turn: Arc<AtomicU64>,
    pub policy: Policy,
    /// It is asked which models it has.
    pub discovery: Option<Discovery>,
    /// It may get requests.
    pub enabled: bool,
    /// It is asked whether it is well.
    pub probe: Option<Probe>,
    /// The public name of the model to ask it with, where one is known.
    pub probe_model: Option<Box<str>>,
    /// What its models cost.
    pub prices: ChannelPrices,
}

impl Channel {
    /// What serves the operation for a caller of this dialect. Chat prefers the caller's own dialect and settles for the
    /// channel's first; everything else is served in its dialect or not at all.
    pub fn endpoint(&self, operation: Operation, dialect: Dialect) -> Option<&'static Endpoint> {
        let limited = operation == Operation::Chat && !self.dialects.contains(&dialect);
        let spoken = self.dialects.first().copied().filter(|_| limited).unwrap_or(dialect);
        self.provider.endpoint(operation, spoken, self.api_version.is_some())
    }
}

/// One secret of a channel, as the header it is sent in.
#[derive(Debug)]
pub struct Credential {
    pub id: CredentialId,
    /// Its name in the channel, for logs and reports.
    pub label: Arc<str>,
    pub header: Option<(HeaderName, HeaderValue)>,
    pub limits: Limits,
    pub state: Arc<CredentialState>,
}

/// How long the phases of one upstream call may take; `total` is for all attempts of a request together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    pub first_byte: Duration,
    /// Until the first meaningful event of a stream.
    pub first_token: Duration,
    pub idle: Duration,
    pub total: Duration,
}

/// One model on one channel.
#[derive(Debug)]
pub struct Deployment {
    pub id: DeploymentId,
    /// `channel/model`, for headers and logs.
    pub label: Arc<str>,
    pub channel: Arc<Channel>,
    /// The public name.
    pub model: Arc<str>,
    /// The name the upstream knows.
    pub upstream: Arc<str>,
    pub traits: Traits,
    pub capabilities: Capabilities,
    /// What it costs, the most binding first; empty if nobody knows. One may hold only later:
    /// [`Pricing::decide`](crate::pricing::Pricing::decide) knows which holds now.
    pub prices: Prices,
    /// Lower is tried first.
    pub tier: u8,
    /// The share among its tier; 0 is tried only when all others failed.
    pub weight: u32,
    pub limits: Limits,
    pub state: Arc<DeploymentState>,
    /// For each of the channel's credentials, in their order: how the model is doing on it.
    pub lanes: Box<[Arc<Lane>]>,
}

/// Deployments that are tried together, before those of any later tier.
#[derive(Debug)]
pub struct Tier {
    /// Never empty.
    pub deployments: Vec<Arc<Deployment>>,
    /// Counts whose turn it is.
    pub turn: Arc<AtomicU64>,
}

/// The deployments of one model, tier by tier.
#[derive(Debug, Default)]
pub struct Route {
    /// Sorted by tier; none is empty.
    pub tiers: Vec<Tier>,
    pub strategy: Strategy,
    pub hedge: Hedge,
    /// How soon its answers begin; kept only where hedging asks for it.
    pub pulse: Option<Arc<Pulse>>,
    /// What answers in its place when a budget that degrades has not enough left for it, in order.
    pub degrade_to: Vec<Arc<str>>,
}

/// How requests are tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The most upstream calls one request may cause; 1 when failover is off.
    pub max_attempts: u32,
    /// The only statuses after which there is another attempt, if they are limited.
    pub on: Option<Box<[u16]>>,
    pub backoff: Backoff,
    pub budget: RetryBudget,
}

impl Default for Retry {
    fn default() -> Self {
        Self { max_attempts: 1, on: None, backoff: Backoff::default(), budget: RetryBudget::default() }
    }
}

/// A model as callers see it in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedModel {
    pub name: Arc<str>,
    /// The provider's kind.
    pub owned_by: &'static str,
    pub capabilities: Capabilities,
    /// The listed name that this is another name for.
    pub alias_of: Option<Arc<str>>,
}

impl ListedModel {
    /// A name as the deployment that is tried first for it serves it.
    pub fn of(name: &str, deployment: &Deployment) -> Self {
        Self {
            name: name.into(),
            owned_by: deployment.channel.provider.kind,
            capabilities: deployment.capabilities,
            alias_of: None,
        }
    }
}

impl Snapshot {
    /// How a model is routed; `None` if nobody knows the name.
    pub fn route(&self, model: &str) -> Option<Found<'_>> {
        match self.routes.get(model) {
            Some(route) => Some(Found::Listed(route)),
            None => self.families.route(model).map(Found::OfFamily),
        }
    }

    /// Names that somebody who wrote `model` may have meant.
    pub fn nearest(&self, model: &str) -> Vec<&str> {
        nearest(model, self.models.iter().map(|listed| &*listed.name), 3)
    }
}
