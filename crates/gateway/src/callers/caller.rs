//! One key with what its owner and plan add to it, as a caller. What cannot be read bounds everything: a scope that is wrong in the
//! database lets nobody do more. Tests are below.

use std::collections::HashMap;
use std::sync::Arc;

use waypost_core::access::{Caller, Endpoints, Scopes, WHOLE_PRICE};
use waypost_core::health::States;
use waypost_core::limit::{CallerLimits, Level, LevelKind, Levels};
use waypost_core::pattern::Pattern;
use waypost_store::keys::{Holder, Key};
use waypost_store::plans::{Billing, SubscriptionPlan};

/// The caller of a key. The plan of the key itself counts before its user's, and that before its team's.
pub(super) fn of(holder: &Holder, plans: &HashMap<String, Arc<SubscriptionPlan>>, states: &States) -> Caller {
    let Holder { key, owner_enabled, .. } = holder;
    let plan_id = plan_of(holder);
    let plan = plan_id.and_then(|id| plans.get(id));
    // A plan that is gone or switched off gives nothing.
    let plan_is_well = plan_id.is_none() || plan.is_some_and(|plan| plan.enabled);
    let mut levels = vec![Level {
        kind: LevelKind::Key,
        name: key.name.as_str().into(),
        limits: limits(key.limits.rpm, key.limits.tpm, key.limits.concurrency, key.limits.tokens_per_day),
        gate: states.level(LevelKind::Key, &key.id),
    }];
    if let Some(plan) = plan {
        let terms = &plan.terms;
        levels.push(Level {
            kind: LevelKind::Plan,
            name: terms.name.as_str().into(),
            limits: limits(terms.rpm, terms.tpm, terms.concurrency, terms.tokens_per_day),
            gate: states.level(LevelKind::Plan, &format!("{}/{}", plan.id, subscriber(key))),
        });
    }
    Caller {
        enabled: key.enabled && *owner_enabled && plan_is_well,
        scopes: scopes(key),
        within: plan.iter().map(|plan| of_plan(plan)).collect(),
        user: key.owner.user.as_deref().map(Arc::from),
        team: key.owner.team.as_deref().map(Arc::from),
        plan: plan_id.map(|id| Arc::from(id.as_str())),
        price_factor_permille: plan
            .map_or(WHOLE_PRICE, |plan| u32::try_from(plan.terms.price_permille).unwrap_or(WHOLE_PRICE)),
        prepaid: plan.is_some_and(|plan| plan.terms.billing == Billing::Prepaid),
        levels: Levels::new(levels),
        ..Caller::new(&key.id, &key.name)
    }
}

/// The plan that counts.
pub(super) fn plan_of(holder: &Holder) -> Option<&String> {
    holder.key.plan.as_ref().or(holder.user_plan.as_ref()).or(holder.team_plan.as_ref())
}

/// The same caller, by a text that stops working at this time.
pub(super) fn until(caller: &Caller, end: i64) -> Caller {
    let mut caller = caller.clone();
    caller.scopes.expires_at = Some(caller.scopes.expires_at.map_or(end, |expires_at| expires_at.min(end)));
    caller
}

/// Whose requests count together against the limits of a plan.
fn subscriber(key: &Key) -> &str {
    key.owner.user.as_deref().or(key.owner.team.as_deref()).unwrap_or(&key.id)
}

fn scopes(key: &Key) -> Scopes {
    let patterns = |words: &Option<Vec<String>>| words.as_ref().map(|words| patterns(words));
    Scopes {
        models: patterns(&key.scopes.models),
        groups: patterns(&key.scopes.groups),
        endpoints: key.scopes.endpoints.as_ref().map(|words| endpoints(words)),
        addresses: key
            .scopes
            .addresses
            .as_ref()
            .map(|words| words.iter().filter_map(|word| word.parse().ok()).collect()),
        expires_at: key.expires_at,
    }
}

fn of_plan(plan: &SubscriptionPlan) -> Scopes {
    let terms = &plan.terms;
    Scopes {
        models: (!terms.models.is_empty()).then(|| patterns(&terms.models)),
        endpoints: (!terms.endpoints.is_empty()).then(|| endpoints(&terms.endpoints)),
        ..Scopes::default()
    }
}

fn patterns(words: &[String]) -> Vec<Pattern> {
    words.iter().map(|word| Pattern::new(word)).collect()
}

fn endpoints(words: &[String]) -> Endpoints {
    Endpoints::read(words).unwrap_or_default()
}

fn limits(rpm: Option<i64>, tpm: Option<i64>, concurrency: Option<i64>, tokens_per_day: Option<i64>) -> CallerLimits {
    // A negative limit is none that could be meant; it lets nothing through.
    let small = |limit: i64| u32::try_from(limit.max(0)).unwrap_or(u32::MAX);
    let large = |limit: i64| limit.max(0).unsigned_abs();
    CallerLimits {
        rpm: rpm.map(small),
        tpm: tpm.map(large),
        concurrency: concurrency.map(small),
        tokens_per_day: tokens_per_day.map(large),
    }
}
