//! The shapes: those of the old dashboard of OpenAI and of the one-api family, which clients compute with, and one of our own.
//! Amounts that are numbers there are exact decimals here. Tests: `it/billing.rs`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use waypost_core::access::Caller;
use waypost_core::money::NanoUsd;
use waypost_store::logbook::{DAY_MS, Sums};

use super::Standing;
use crate::http::reports::money::{cents, usd};
use crate::http::reports::usage::SumsView;

/// What clients of the family take for "no limit", in dollars.
const UNLIMITED: i64 = 100_000_000;
/// One dollar in the family's unit.
const QUOTA_OF_USD: i64 = 500_000;
/// One of the family's units.
const QUOTA: i64 = 1_000_000_000 / QUOTA_OF_USD;

/// A decimal as a JSON number, to the last digit.
fn number(decimal: String) -> Box<RawValue> {
    RawValue::from_string(decimal).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// What a key may spend, as OpenAI's old dashboard told it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BillingSubscription")]
pub(super) struct Subscription {
    object: &'static str,
    has_payment_method: bool,
    #[schemars(with = "f64")]
    soft_limit_usd: Box<RawValue>,
    #[schemars(with = "f64")]
    hard_limit_usd: Box<RawValue>,
    #[schemars(with = "f64")]
    system_hard_limit_usd: Box<RawValue>,
    /// Seconds since 1970; 0 if the key does not expire.
    access_until: i64,
}

impl Subscription {
    /// The limit is what was spent and what is left together: clients take what was spent from it.
    pub(super) fn of(caller: &Caller, standing: &Standing) -> Self {
        let limit = match standing.left {
            Some(left) => usd(left.get().max(0).saturating_add(standing.spent.cost)),
            None => UNLIMITED.to_string(),
        };
        Self {
            object: "billing_subscription",
            has_payment_method: true,
            soft_limit_usd: number(limit.clone()),
            hard_limit_usd: number(limit.clone()),
            system_hard_limit_usd: number(limit),
            access_until: expiry(caller),
        }
    }
}

/// When the key ends, in seconds since 1970; 0 if it does not.
fn expiry(caller: &Caller) -> i64 {
    caller.scopes.expires_at.map_or(0, |at| at.div_euclid(1000))
}

/// What a key has spent, as OpenAI's old dashboard told it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BillingUsage")]
pub(super) struct Costs {
    object: &'static str,
    /// In hundredths of a dollar, since the key was made, whatever days were asked for: what clients take from the limit.
    #[schemars(with = "f64")]
    total_usage: Box<RawValue>,
    daily_costs: Vec<Daily>,
}

/// The costs of a day.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BillingDay")]
struct Daily {
    /// Seconds since 1970 at the beginning of the day.
    timestamp: i64,
    line_items: Vec<Item>,
}

/// The costs of a model on a day.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BillingItem")]
struct Item {
    /// The model.
    name: String,
    /// In hundredths of a dollar.
    #[schemars(with = "f64")]
    cost: Box<RawValue>,
}

impl Costs {
    pub(super) fn of(standing: &Standing, by_day: &[(i64, String, i64)]) -> Self {
        let mut days: BTreeMap<i64, Vec<Item>> = BTreeMap::new();
        for (day, model, cost) in by_day {
            days.entry(*day).or_default().push(Item { name: model.clone(), cost: number(cents(*cost)) });
        }
        let daily = |(day, line_items)| Daily { timestamp: day * (DAY_MS / 1000), line_items };
        Self {
            object: "list",
            total_usage: number(cents(standing.spent.cost)),
            daily_costs: days.into_iter().map(daily).collect(),
        }
    }
}

/// What `/v1/usage` says.
#[derive(Serialize, JsonSchema)]
pub(super) struct KeyUsage {
    object: &'static str,
    key: String,
    key_name: String,
    today: SumsView,
    last_30_days: SumsView,
    total: SumsView,
    /// In decimal USD; null if nothing bounds it.
    remaining_usd: Option<String>,
    unlimited: bool,
}

impl KeyUsage {
    pub(super) fn of(caller: &Caller, standing: &Standing, today: &Sums, month: &Sums) -> Self {
        Self {
            object: "usage",
            key: caller.id.to_string(),
            key_name: caller.name.to_string(),
            today: SumsView::of(today),
            last_30_days: SumsView::of(month),
            total: SumsView::of(&standing.spent),
            remaining_usd: standing.left.map(|left| left.to_string()),
            unlimited: standing.left.is_none(),
        }
    }
}

/// What `/api/usage/token` says, in the family's unit.
#[derive(Serialize, JsonSchema)]
pub(super) struct TokenUsage {
    code: bool,
    message: &'static str,
    data: TokenStanding,
}

/// What was granted to a key, and how much of it is used.
#[derive(Serialize, JsonSchema)]
struct TokenStanding {
    object: &'static str,
    name: String,
    total_granted: i64,
    total_used: i64,
    total_available: i64,
    unlimited_quota: bool,
    model_limits: BTreeMap<String, bool>,
    model_limits_enabled: bool,
    expires_at: i64,
}

impl TokenUsage {
    pub(super) fn of(caller: &Caller, standing: &Standing) -> Self {
        let used = standing.spent.cost.div_euclid(QUOTA);
        let available = standing.left.map_or(0, |left: NanoUsd| left.get().max(0).div_euclid(QUOTA));
        let models = caller.scopes.models.iter().flatten();
        Self {
            code: true,
            message: "ok",
            data: TokenStanding {
                object: "token_usage",
                name: caller.name.to_string(),
                total_granted: used.saturating_add(available),
                total_used: used,
                total_available: available,
                unlimited_quota: standing.left.is_none(),
                model_limits: models.map(|pattern| (pattern.as_str().to_owned(), true)).collect(),
                model_limits_enabled: caller.is_limited_to_models(),
                expires_at: expiry(caller),
            },
        }
    }
}
