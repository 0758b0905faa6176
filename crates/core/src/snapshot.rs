//! Everything that requests are decided by, compiled once: immutable, whole, with every cross-reference resolved.
//! Look-ups are one hash and allocate nothing (families of models aside). Knows no living state: health and counters are
//! kept beside it, by id. Tests: `snapshot/compile.rs`.

mod compile;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use waypost_wire::Dialect;
use waypost_wire::dialect::Traits;

use crate::access::Caller;
use crate::config::ConfigError;
use crate::ids::{ChannelId, CredentialId, DeploymentId};
use crate::nearest::nearest;
use crate::operation::Operation;
use crate::pattern::Pattern;
use crate::provider::{self, Endpoint, Facts, Provider};

pub use compile::compile;

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
    pub families: Vec<Family>,
    /// Where requests without a model go.
    pub default: Option<Arc<Deployment>>,
    /// The most upstream calls one request may cause; 1 when failover is off.
    pub max_attempts: u32,
    /// Show callers the upstream's model name instead of the one they asked for.
    pub show_upstream_model: bool,
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
    pub header: Option<(HeaderName, HeaderValue)>,
}

/// How long the phases of one upstream call may take; `total` is for all attempts of a request together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    pub first_byte: Duration,
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
    /// Lower is tried first.
    pub tier: u8,
    /// The share among its tier; 0 is tried only when all others failed.
    pub weight: u32,
}

/// Deployments that are tried together, before those of any later tier.
pub type Tier = Vec<Arc<Deployment>>;

/// The deployments of one model, tier by tier.
#[derive(Debug, Default)]
pub struct Route {
    /// Sorted by tier; none is empty.
    pub tiers: Vec<Tier>,
}

/// A channel that serves every model whose name fits.
#[derive(Debug)]
pub struct Family {
    pub pattern: Pattern,
    pub channel: Arc<Channel>,
    pub tier: u8,
    pub weight: u32,
    /// Upstream names of some public names; others go by their own.
    pub mapping: HashMap<Box<str>, Box<str>>,
}

/// A model as callers see it in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedModel {
    pub name: Arc<str>,
    /// The provider's kind.
    pub owned_by: &'static str,
    pub max_output_tokens: Option<u64>,
    /// Absent where nothing is documented about the model behind the name.
    pub facts: Option<Facts>,
}

impl ListedModel {
    /// A name as the deployment that is tried first for it serves it.
    pub fn of(name: &str, deployment: &Deployment) -> Self {
        Self {
            name: name.into(),
            owned_by: deployment.channel.provider.kind,
            max_output_tokens: deployment.traits.max_output_tokens,
            facts: provider::facts(&deployment.upstream),
        }
    }
}

impl Snapshot {
    /// The deployments of a model, tier by tier; empty if nobody serves it.
    pub fn deployments(&self, model: &str) -> Cow<'_, [Tier]> {
        if let Some(route) = self.routes.get(model) {
            return Cow::Borrowed(&route.tiers);
        }
        let fitting = self.families.iter().filter(|family| family.pattern.matches(model));
        Cow::Owned(by_tier(fitting.map(|family| Arc::new(family.deployment(model))).collect()))
    }

    /// Names that somebody who wrote `model` may have meant.
    pub fn nearest(&self, model: &str) -> Vec<&str> {
        nearest(model, self.models.iter().map(|listed| &*listed.name), 3)
    }
}

impl Family {
    fn deployment(&self, model: &str) -> Deployment {
        let upstream = self.mapping.get(model).map_or(model, |name| name);
        Deployment {
            id: DeploymentId::of(&self.channel.name, model),
            label: format!("{}/{model}", self.channel.name).into(),
            channel: Arc::clone(&self.channel),
            model: model.into(),
            upstream: upstream.into(),
            traits: self.channel.provider.traits(upstream),
            tier: self.tier,
            weight: self.weight,
        }
    }
}

/// Sorts deployments into tiers, keeping their order within each.
pub fn by_tier(mut deployments: Vec<Arc<Deployment>>) -> Vec<Tier> {
    deployments.sort_by_key(|deployment| deployment.tier);
    let mut tiers: Vec<Tier> = Vec::new();
    for deployment in deployments {
        match tiers.last_mut() {
            Some(tier) if tier.first().is_some_and(|first| first.tier == deployment.tier) => tier.push(deployment),
            Some(_) | None => tiers.push(vec![deployment]),
        }
    }
    tiers
}
