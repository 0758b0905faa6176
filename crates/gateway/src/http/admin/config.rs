//! What is in effect, as configured: read from the snapshot, so that it is what requests are decided by. Every secret, and
//! every header's value, which may be one, is `***`. Tests: `it/admin.rs`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use http::Response;
use serde_json::{Map, Value, json};
use waypost_core::access::Caller;
use waypost_core::address::Cidr;
use waypost_core::config::Block;
use waypost_core::health::Policy;
use waypost_core::health::view::{LimitsView, each};
use waypost_core::ids::ChannelId;
use waypost_core::limit::CallerLimits;
use waypost_core::pattern::Pattern;
use waypost_core::snapshot::{Channel, Cors, Discovery, Route, Snapshot};

use super::shown;
use crate::app::App;
use crate::http::body::Body;

/// What stands in the place of a secret.
const HIDDEN: &str = "***";

pub(super) fn answer(app: &App) -> Response<Body> {
    let live = app.live();
    let (snapshot, limits) = (&live.snapshot, app.limits());
    shown(&json!({
        "server": {
            "max_body_bytes": limits.max_body_bytes,
            "max_connections": limits.max_connections,
            "max_requests": limits.max_requests,
            "head_timeout_ms": millis(limits.head_timeout),
            "cors": { "origins": origins(&snapshot.cors) },
            "trusted_proxies": networks(&snapshot.trusted_proxies),
        },
        "admin": { "token": HIDDEN, "metrics": word(&snapshot.admin.metrics) },
        "security": { "block": snapshot.block.map(block) },
        "open_mode": snapshot.anybody.is_some(),
        "keys": keys(snapshot),
        "channels": channels(snapshot),
        "routing": routing(snapshot),
        "retry": retry(snapshot),
        "capabilities": {
            "missing": word(&snapshot.capabilities.missing),
            "over_limit": word(&snapshot.capabilities.over_limit),
        },
        "show_upstream_model": snapshot.show_upstream_model,
        "warnings": snapshot.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
    }))
}

fn keys(snapshot: &Snapshot) -> Vec<Value> {
    let mut callers: Vec<_> = snapshot.keys.values().collect();
    callers.sort_by(|one, other| one.name.cmp(&other.name));
    let models = |models: &Option<Vec<Pattern>>| match models {
        Some(patterns) => patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
        None => vec!["*".to_owned()],
    };
    let key = |caller: &&Arc<Caller>| {
        let mut view = json!({
            "name": &*caller.name,
            "key": HIDDEN,
            "enabled": caller.enabled,
            "models": models(&caller.scopes.models),
        });
        if let Some(view) = view.as_object_mut() {
            bounds(caller, view);
        }
        view
    };
    callers.iter().map(key).collect()
}

/// What a key is held to, where it is.
fn bounds(caller: &Caller, view: &mut Map<String, Value>) {
    let scopes = &caller.scopes;
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            view.insert(name.to_owned(), value);
        }
    };
    add("endpoints", scopes.endpoints.as_ref().map(|endpoints| endpoints.words().collect::<Vec<_>>().into()));
    add("addresses", scopes.addresses.as_deref().map(networks));
    add("expires_at", scopes.expires_at.map(Value::from));
    add("user", caller.user.as_deref().map(Value::from));
    add("team", caller.team.as_deref().map(Value::from));
    let limits = caller.levels.first().map(|level| level.limits);
    add("limits", limits.map(|CallerLimits { rpm, tpm, concurrency, tokens_per_day }| {
        json!({ "rpm": rpm, "tpm": tpm, "concurrency": concurrency, "tokens_per_day": tokens_per_day })
    }));
}

fn networks(networks: &[Cidr]) -> Value {
    networks.iter().map(ToString::to_string).collect::<Vec<_>>().into()
}

fn block(block: Block) -> Value {
    json!({ "after": block.after, "window_ms": millis(block.window.0), "for_ms": millis(block.length.0) })
}

fn channels(snapshot: &Snapshot) -> Vec<Value> {
    let mut models: HashMap<ChannelId, BTreeMap<String, Value>> = HashMap::new();
    each(snapshot, |deployment| {
        if !deployment.model.is_empty() {
            let model = json!({
                "name": &*deployment.model,
                "upstream": &*deployment.upstream,
                "tier": deployment.tier,
                "weight": deployment.weight,
                "limits": LimitsView::from(deployment.limits),
            });
            models.entry(deployment.channel.id).or_default().insert(deployment.model.to_string(), model);
        }
    });
    for family in &snapshot.families.list {
        let name = family.pattern.as_str();
        let model = json!({ "name": name, "tier": family.tier, "weight": family.weight });
        models.entry(family.channel.id).or_default().insert(name.to_owned(), model);
    }
    let mut own = |channel: &Channel| models.remove(&channel.id).unwrap_or_default().into_values().collect();
    snapshot.channels.iter().map(|one| channel(one, own(one))).collect()
}

fn channel(channel: &Channel, models: Vec<Value>) -> Value {
    let credential = |one: &waypost_core::snapshot::Credential| {
        let key = one.header.as_ref().map(|_| HIDDEN);
        json!({ "name": &*one.label, "key": key, "limits": LimitsView::from(one.limits) })
    };
    let headers = channel.headers.iter().map(|(name, _)| (name.as_str().to_owned(), Value::from(HIDDEN)));
    let timeouts = &channel.timeouts;
    json!({
        "name": &*channel.name,
        "provider": channel.provider.kind,
        "base_url": format!("{}{}", channel.origin, channel.prefix),
        "api_version": channel.api_version,
        "dialects": channel.dialects.iter().map(|dialect| dialect.name()).collect::<Vec<_>>(),
        "credentials": channel.credentials.iter().map(credential).collect::<Vec<_>>(),
        "key_strategy": word(&channel.key_strategy),
        "headers": headers.collect::<serde_json::Map<_, _>>(),
        "timeouts": {
            "connect_ms": millis(timeouts.connect),
            "first_byte_ms": millis(timeouts.first_byte),
            "first_token_ms": millis(timeouts.first_token),
            "idle_ms": millis(timeouts.idle),
            "total_ms": millis(timeouts.total),
        },
        "verify_tls": channel.verify_tls,
        "allow_private": channel.allow_private,
        "limits": LimitsView::from(channel.limits),
        "breaker": breaker(&channel.policy),
        "cooldowns": cooldowns(&channel.policy),
        "discovery": channel.discovery.as_ref().map(discovery),
        "models": models,
    })
}

fn breaker(policy: &Policy) -> Value {
    json!({
        "enabled": policy.watched && policy.enabled,
        "failures": policy.failures,
        "open_for_ms": millis(policy.open_for),
        "reset_after_ms": millis(policy.reset_after),
        "successes": policy.successes,
        "ramp_ms": millis(policy.ramp),
    })
}

fn cooldowns(policy: &Policy) -> Value {
    let cooldowns = &policy.cooldowns;
    json!({
        "rate_limit_ms": millis(cooldowns.rate_limit.0),
        "timeout_ms": millis(cooldowns.timeout.0),
        "server_error_ms": millis(cooldowns.server_error.0),
        "no_money_ms": millis(cooldowns.no_money.0),
        "forbidden_ms": millis(cooldowns.forbidden.0),
        "model_missing_ms": millis(cooldowns.model_missing.0),
        "dead_key_ms": millis(cooldowns.dead_key.0),
    })
}

fn discovery(discovery: &Discovery) -> Value {
    let words = |patterns: &[Pattern]| patterns.iter().map(|one| one.as_str().to_owned()).collect::<Vec<_>>();
    json!({
        "every_ms": millis(discovery.every),
        "include": words(&discovery.include),
        "exclude": words(&discovery.exclude),
    })
}

fn origins(cors: &Cors) -> Vec<String> {
    let mut origins: Vec<_> = cors.origins.iter().map(|origin| String::from_utf8_lossy(origin).into_owned()).collect();
    origins.sort();
    origins.extend(cors.any.then(|| "*".to_owned()));
    origins
}

fn routing(snapshot: &Snapshot) -> Value {
    let models = snapshot.routes.iter().chain(&snapshot.groups).map(|(name, route)| (&**name, way(route)));
    let models: BTreeMap<&str, Value> = models.collect();
    json!({
        "models": models,
        "queue": {
            "enabled": snapshot.queue.enabled,
            "wait_ms": millis(snapshot.queue.wait.0),
            "size": snapshot.queue.size,
        },
    })
}

fn way(route: &Route) -> Value {
    let hedge = route.hedge.enabled.then(|| {
        json!({
            "percentile": route.hedge.percentile,
            "after_ms": millis(route.hedge.after.0),
            "max_percent": route.hedge.max_percent,
        })
    });
    json!({ "strategy": route.strategy.name(), "hedge": hedge })
}

fn retry(snapshot: &Snapshot) -> Value {
    let retry = &snapshot.retry;
    json!({
        "max_attempts": retry.max_attempts,
        "retry_on": retry.on,
        "backoff": {
            "strategy": word(&retry.backoff.strategy),
            "base_ms": millis(retry.backoff.base.0),
            "cap_ms": millis(retry.backoff.cap.0),
            "on_failover": retry.backoff.on_failover,
        },
        "budget": { "percent": retry.budget.percent, "floor": retry.budget.floor },
    })
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The word of a choice, as files have it.
fn word(choice: &impl std::fmt::Debug) -> String {
    let mut word = String::new();
    for letter in format!("{choice:?}").chars() {
        if letter.is_ascii_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.push(letter.to_ascii_lowercase());
    }
    word
}
