//! What a key has used and has left, in the shapes that chat applications and relays ask for it. Reads the sums of the log; decides
//! no amount. Tests: `it/billing.rs`.

mod views;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};
use serde::Serialize;
use waypost_core::GatewayError;
use waypost_core::access::Caller;
use waypost_core::money::NanoUsd;
use waypost_core::operation::Operation;
use waypost_store::logbook::{DAY_MS, Dimension, GroupBy, Report, Scope, Sums, UsageFilter};

use self::views::{Costs, KeyUsage, Subscription, TokenUsage};
use crate::app::App;
use crate::http::admin::query::Query;
use crate::http::body::Body;
use crate::http::manage::route::{Kind, Route, shape};
use crate::http::reports::day::day_of;
use crate::http::{Arrival, reply};
use crate::pipeline::admit::{Knock, enter};
use crate::pipeline::funds;

/// Where a key is asked about, and what is answered.
pub(in crate::http) const ROUTES: &[Route] = &[
    Route::keyed(
        ("GET", "/v1/dashboard/billing/subscription"),
        "key_billing.subscription",
        "what the key may spend in all",
        Kind::Show,
    )
    .giving(shape::<Subscription>),
    Route::keyed(
        ("GET", "/dashboard/billing/subscription"),
        "key_billing.subscription_bare",
        "the same, where some clients ask",
        Kind::Show,
    )
    .giving(shape::<Subscription>),
    Route::keyed(("GET", "/v1/dashboard/billing/usage"), "key_billing.usage", "what the key has spent", Kind::Show)
        .giving(shape::<Costs>)
        .asking(DAYS),
    Route::keyed(
        ("GET", "/dashboard/billing/usage"),
        "key_billing.usage_bare",
        "the same, where some clients ask",
        Kind::Show,
    )
    .giving(shape::<Costs>)
    .asking(DAYS),
    Route::keyed(("GET", "/v1/usage"), "key_usage.get", "what the key has used and has left", Kind::Show)
        .giving(shape::<KeyUsage>),
    Route::keyed(
        ("GET", "/api/usage/token"),
        "key_usage.token",
        "the same in the unit of the one-api family",
        Kind::Show,
    )
    .giving(shape::<TokenUsage>),
];

const DAYS: &[(&str, &str)] = &[
    ("start_date", "costs by day and model from this day on, such as `2026-11-01`"),
    ("end_date", "up to this day; today if nothing is said"),
];

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Billing {
    /// `/v1/dashboard/billing/subscription`
    Subscription,
    /// `/v1/dashboard/billing/usage`
    Costs,
    /// `/v1/usage`
    Usage,
    /// `/api/usage/token`
    Token,
}

impl Billing {
    /// What a path below a mount, or without one, means.
    pub fn at(rest: &str) -> Option<Self> {
        match rest {
            "dashboard/billing/subscription" => Some(Self::Subscription),
            "dashboard/billing/usage" => Some(Self::Costs),
            "usage" => Some(Self::Usage),
            _ => None,
        }
    }
}

/// The most days that costs are told for, one by one.
const MOST_DAYS: i64 = 100;
/// And the most models and days.
const MOST_ITEMS: i64 = 5000;

/// Answers for the key that the request carries.
pub async fn answer(app: &App, arrival: &Arrival, wanted: Billing) -> Result<Response<Body>, GatewayError> {
    let live = app.live();
    // Whoever may list models may ask this.
    let (headers, client) = (arrival.request.headers(), arrival.client);
    let knock = Knock { headers, client, operation: Operation::Models, path: "models" };
    let caller = enter(app, &live, &knock)?;
    let today = app.unix_millis().div_euclid(DAY_MS);
    let standing = Standing { spent: sums(app, &caller, 0, today).await?, left: left(app, &caller).await? };
    match wanted {
        Billing::Subscription => Ok(shown(&Subscription::of(&caller, &standing))),
        Billing::Token => Ok(shown(&TokenUsage::of(&caller, &standing))),
        Billing::Costs => {
            let query = Query::of(arrival.request.uri());
            let span = (day_of(&query, "start_date")?, day_of(&query, "end_date")?);
            let daily = match span {
                (None, None) => Vec::new(),
                (first, last) => {
                    let last = last.unwrap_or(today);
                    by_day(app, &caller, first.unwrap_or(last).max(last - MOST_DAYS + 1), last).await?
                }
            };
            Ok(shown(&Costs::of(&standing, &daily)))
        }
        Billing::Usage => {
            let (today, month) =
                (sums(app, &caller, today, today).await?, sums(app, &caller, today - 29, today).await?);
            Ok(shown(&KeyUsage::of(&caller, &standing, &today, &month)))
        }
    }
}

/// What a key has used since it was made, and what it may still spend.
struct Standing {
    spent: Sums,
    /// None if nothing bounds it.
    left: Option<NanoUsd>,
}

/// What the key may still spend: the least that any account or budget of it has.
async fn left(app: &App, caller: &Caller) -> Result<Option<NanoUsd>, GatewayError> {
    match &app.money {
        Some(money) => funds::left(money, caller, app.unix_millis()).await.map_err(GatewayError::internal),
        None => Ok(None),
    }
}

fn report(group_by: GroupBy, first_day: i64, last_day: i64) -> Report {
    Report { group_by, first_day, last_day, filter: UsageFilter::default(), after: None, limit: MOST_ITEMS }
}

async fn sums(app: &App, caller: &Caller, first_day: i64, last_day: i64) -> Result<Sums, GatewayError> {
    let Some(store) = &app.store else { return Ok(Sums::default()) };
    let report = report(GroupBy::one(Dimension::Day), first_day, last_day);
    let sums = store.logbook().total(&Scope::Key(caller.id.to_string()), &report).await;
    sums.map_err(GatewayError::internal)
}

/// Costs by day and model, in the order of models.
async fn by_day(
    app: &App,
    caller: &Caller,
    first_day: i64,
    last_day: i64,
) -> Result<Vec<(i64, String, i64)>, GatewayError> {
    let (Some(store), Some(group_by)) = (&app.store, GroupBy::two(Dimension::Model, Dimension::Day)) else {
        return Ok(Vec::new());
    };
    let report = report(group_by, first_day, last_day);
    let page = store.logbook().usage(&Scope::Key(caller.id.to_string()), &report).await;
    let rows = page.map_err(GatewayError::internal)?.rows.into_iter();
    let read = rows.filter_map(|row| match row.group.as_slice() {
        [model, day] => Some((day.parse().ok()?, model.to_string(), row.sums.cost)),
        _ => None,
    });
    Ok(read.collect())
}

fn shown(view: &impl Serialize) -> Response<Body> {
    // Writing to memory cannot fail, and the views have no maps with odd keys.
    let mut response = Response::new(Body::Full(serde_json::to_vec(view).unwrap_or_default().into()));
    response.headers_mut().insert(CONTENT_TYPE, reply::JSON);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
