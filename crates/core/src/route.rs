//! Where a request may go, in order: tier by tier, weighted within a tier, each deployment with its credentials.
//! Knows no health yet and sends nothing; the order contains its own failover. Tests are below.

mod weighted;

use std::borrow::Cow;
use std::sync::Arc;

use waypost_wire::Dialect;

use crate::access::Caller;
use crate::dice::Dice;
use crate::error::GatewayError;
use crate::operation::Operation;
use crate::provider::Endpoint;
use crate::snapshot::{Deployment, Snapshot, Tier};

/// What a request asks of routing.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The public model name; absent where the endpoint has none.
    pub model: Option<&'a str>,
    pub operation: Operation,
    /// The caller's dialect.
    pub dialect: Dialect,
}

/// The attempts a request may make, best first. Never empty.
#[derive(Debug)]
pub struct Plan {
    pub attempts: Vec<Attempt>,
    /// The most upstream calls, over all of them.
    pub max_attempts: u32,
}

/// One deployment, called with one of its channel's credentials.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub deployment: Arc<Deployment>,
    /// Position in the channel's credentials.
    pub credential: usize,
    /// What serves the operation there, and in which dialect.
    pub endpoint: &'static Endpoint,
}

/// Plans a request, or says why nothing can take it.
pub fn plan(snapshot: &Snapshot, caller: &Caller, query: &Query<'_>, dice: &mut Dice) -> Result<Plan, GatewayError> {
    let tiers = match query.model {
        Some(model) => named(snapshot, caller, model)?,
        // What such a request reaches cannot be told from it, so a key limited to some models must not.
        None if caller.models.is_some() => return Err(GatewayError::model_needed()),
        None => Cow::Owned(vec![snapshot.default.iter().cloned().collect()]),
    };
    let mut attempts = Vec::with_capacity(4);
    for tier in &*tiers {
        for deployment in weighted::ordered(tier, dice) {
            let Some(endpoint) = endpoint(&deployment, query) else { continue };
            let credentials = deployment.channel.credentials.len();
            let first = dice.below(credentials as u64) as usize;
            attempts.extend((0..credentials).map(|turn| Attempt {
                deployment: Arc::clone(&deployment),
                credential: (first + turn) % credentials,
                endpoint,
            }));
        }
    }
    if attempts.is_empty() {
        return Err(nothing_fits(query));
    }
    Ok(Plan { attempts, max_attempts: snapshot.max_attempts.max(1) })
}

fn named<'s>(snapshot: &'s Snapshot, caller: &Caller, model: &str) -> Result<Cow<'s, [Tier]>, GatewayError> {
    if !caller.may_use(model) {
        return Err(GatewayError::not_allowed(model));
    }
    let tiers = snapshot.deployments(model);
    if tiers.is_empty() && snapshot.routes.contains_key(model) {
        return Err(GatewayError::no_deployment(model, "is enabled"));
    }
    if tiers.is_empty() {
        let mut nearest = snapshot.nearest(model);
        nearest.retain(|name| caller.may_use(name));
        return Err(GatewayError::model_not_found(model, &nearest));
    }
    Ok(tiers)
}

fn endpoint(deployment: &Deployment, query: &Query<'_>) -> Option<&'static Endpoint> {
    let channel = &deployment.channel;
    channel.provider.endpoint(query.operation, query.dialect, channel.api_version.is_some())
}

fn nothing_fits(query: &Query<'_>) -> GatewayError {
    match query.model {
        Some(model) => GatewayError::no_deployment(model, &format!("serves {}", query.operation.name())),
        None => GatewayError::no_default_channel(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use super::*;
    use crate::error::Kind;
    use crate::ids::{ChannelId, CredentialId, DeploymentId, KeyId};
    use crate::pattern::Pattern;
    use crate::provider::by_kind;
    use crate::snapshot::{Channel, Credential, Route, Timeouts, by_tier};

    fn deployment(channel: &str, provider: &str, tier: u8, weight: u32, credentials: usize) -> Arc<Deployment> {
        let second = Duration::from_secs(1);
        let credential = |n| Credential { id: CredentialId::of(channel, &format!("{n}")), header: None };
        let channel = Channel {
            id: ChannelId::of(channel),
            name: channel.into(),
            provider: by_kind(provider).unwrap(),
            origin: "http://127.0.0.1:1".to_owned(),
            prefix: String::new(),
            credentials: (0..credentials).map(credential).collect(),
            api_version: None,
            headers: Vec::new(),
            timeouts: Timeouts { connect: second, first_byte: second, idle: second, total: second },
            verify_tls: true,
        };
        Arc::new(Deployment {
            id: DeploymentId::of(&channel.name, "m"),
            label: format!("{}/m", channel.name).into(),
            traits: channel.provider.traits("m"),
            channel: Arc::new(channel),
            model: "m".into(),
            upstream: "m".into(),
            tier,
            weight,
        })
    }

    fn snapshot(deployments: Vec<Arc<Deployment>>) -> Snapshot {
        let routes = HashMap::from([("m".into(), Route { tiers: by_tier(deployments) })]);
        Snapshot { routes, max_attempts: 3, ..Snapshot::default() }
    }

    fn caller(models: Option<&[&str]>) -> Caller {
        let models = models.map(|models| models.iter().map(|model| Pattern::new(model)).collect());
        Caller { key: KeyId::of("k"), name: "k".into(), enabled: true, models }
    }

    fn chat(model: &str) -> Query<'_> {
        Query { model: Some(model), operation: Operation::Chat, dialect: Dialect::OpenaiChat }
    }

    fn order(snapshot: &Snapshot, seed: u64) -> Vec<String> {
        let plan = plan(snapshot, &caller(None), &chat("m"), &mut Dice::seeded(seed)).unwrap();
        let name = |attempt: &Attempt| format!("{}:{}", attempt.deployment.channel.name, attempt.credential);
        plan.attempts.iter().map(name).collect()
    }

    #[test]
    fn tier_1_is_always_tried_first_and_every_deployment_is_in_the_order_003_04() {
        let snapshot = snapshot(vec![
            deployment("late", "openai", 2, 100, 1),
            deployment("a", "openai", 1, 1, 1),
            deployment("b", "groq", 1, 1, 1),
        ]);
        for seed in 0..50 {
            let order = order(&snapshot, seed);
            assert_eq!(order.len(), 3);
            assert_eq!(order.last().map(String::as_str), Some("late:0"));
        }
    }

    #[test]
    fn within_a_tier_the_first_is_chosen_by_weight_003_07() {
        let snapshot = snapshot(vec![deployment("three", "openai", 1, 3, 1), deployment("one", "openai", 1, 1, 1)]);
        let firsts =
            (0..4000).filter(|seed| order(&snapshot, *seed).first().is_some_and(|name| name == "three:0")).count();
        assert!((2850..3150).contains(&firsts), "{firsts} of 4000");
    }

    #[test]
    fn all_credentials_of_a_deployment_are_tried_before_the_next_and_each_may_be_first() {
        let snapshot = snapshot(vec![deployment("a", "openai", 1, 1, 3), deployment("b", "openai", 2, 1, 1)]);
        let mut firsts = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let order = order(&snapshot, seed);
            assert!(order[..3].iter().all(|name| name.starts_with("a:")));
            assert_eq!(order[3], "b:0");
            firsts.insert(order[0].clone());
        }
        assert_eq!(firsts.len(), 3);
    }

    #[test]
    fn what_cannot_serve_the_operation_is_left_out() {
        let snapshot = snapshot(vec![deployment("a", "anthropic", 1, 1, 1)]);
        let embeddings = Query { operation: Operation::Embeddings, ..chat("m") };
        let error = plan(&snapshot, &caller(None), &embeddings, &mut Dice::seeded(1)).unwrap_err();
        assert_eq!(error.kind(), Kind::NoDeployment);
        assert_eq!(order(&snapshot, 1), ["a:0"]);
    }

    #[test]
    fn unknown_and_forbidden_models_are_told_apart() {
        let snapshot = snapshot(vec![deployment("a", "openai", 1, 1, 1)]);
        let kind = |model, caller: &Caller| {
            plan(&snapshot, caller, &chat(model), &mut Dice::seeded(1)).map(drop).map_err(|error| error.kind())
        };
        assert_eq!(kind("nope", &caller(None)), Err(Kind::ModelNotFound));
        assert_eq!(kind("m", &caller(Some(&["gpt-*"]))), Err(Kind::NotAllowed));
        assert_eq!(kind("m", &caller(Some(&["m"]))), Ok(()));
    }

    #[test]
    fn a_model_whose_channels_are_all_switched_off_is_known_but_unavailable_000_41() {
        let error = plan(&snapshot(Vec::new()), &caller(None), &chat("m"), &mut Dice::seeded(1)).unwrap_err();
        assert_eq!((error.kind(), error.status()), (Kind::NoDeployment, 503));
    }

    #[test]
    fn a_request_without_a_model_needs_a_default_channel() {
        let mut snapshot = snapshot(Vec::new());
        let query = Query { model: None, operation: Operation::Passthrough, dialect: Dialect::OpenaiChat };
        let error = plan(&snapshot, &caller(None), &query, &mut Dice::seeded(1)).unwrap_err();
        assert_eq!(error.kind(), Kind::NoDeployment);
        snapshot.default = Some(deployment("a", "openai", 1, 1, 1));
        assert!(plan(&snapshot, &caller(None), &query, &mut Dice::seeded(1)).is_ok());
        let limited = plan(&snapshot, &caller(Some(&["gpt-*"])), &query, &mut Dice::seeded(1)).unwrap_err();
        assert_eq!(limited.kind(), Kind::NotAllowed);
    }
}
