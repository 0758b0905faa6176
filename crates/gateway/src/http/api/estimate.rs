//! The answer to `POST /v1/chat/completions/estimate`: what the same request would cost on each deployment it may go to now.
//! Sends nothing; the corridor plans. Tests: `it/v1/estimate.rs`.

use std::sync::Arc;

use http::Response;
use http::header::CONTENT_TYPE;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use waypost_core::GatewayError;
use waypost_core::access::Caller;
use waypost_core::money::NanoUsd;
use waypost_core::pricing::{Ask, Factor, Priced, Pricing, Terms, Version};
use waypost_core::route::Plan;
use waypost_core::snapshot::Deployment;
use waypost_wire::chat::Usage;

use crate::http::body::Body;
use crate::http::manage::route::{Kind, Route, shape};
use crate::http::reply;
use crate::pipeline::call::Call;
use crate::tokens;

/// Where a request is estimated, and what is answered.
pub(in crate::http) const ROUTES: &[Route] = &[Route::keyed(
    ("POST", "/v1/chat/completions/estimate"),
    "key_usage.estimate",
    "what a chat request would cost on each deployment it may go to; nothing is sent",
    Kind::Act,
)
.taking(shape::<ChatAsked>)
.giving(shape::<CostEstimate>)];

/// A request as `/v1/chat/completions` takes it.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used; the corridor reads requests")]
struct ChatAsked {
    model: String,
    messages: Vec<Map<String, Value>>,
    #[schemars(flatten)]
    rest: Map<String, Value>,
}

/// What a request would cost. Amounts are decimal USD.
#[derive(Serialize, JsonSchema)]
struct CostEstimate<'a> {
    /// `cost_estimate`.
    object: &'static str,
    model: Option<&'a str>,
    /// `USD`.
    currency: &'static str,
    input_tokens: u64,
    /// How many answers are wanted.
    n: u64,
    candidates: Vec<CostCandidate<'a>>,
}

/// What it would cost on one deployment.
#[derive(Serialize, JsonSchema)]
struct CostCandidate<'a> {
    deployment: &'a str,
    input_tokens_at_most: u64,
    output_tokens_at_most: u64,
    /// Null where there is no price.
    cost: Option<Cost<'a>>,
    price: Option<PriceVersion<'a>>,
}

/// From the least to the most that it can cost.
#[derive(Serialize, JsonSchema)]
struct Cost<'a> {
    lowest: Option<String>,
    expected: Option<String>,
    worst: Option<String>,
    /// How the expected amount comes about.
    arithmetic: Option<&'a str>,
}

/// Which price that is by.
#[derive(Serialize, JsonSchema)]
struct PriceVersion<'a> {
    version: &'a str,
    origin: &'a str,
    source: Option<&'a str>,
}

/// What an answer is expected to be where its cap allows it.
const USUAL_OUTPUT: u64 = 256;

/// Estimates a chat request that was planned. `now_ms` is Unix time.
pub async fn answer(
    pricing: &Pricing,
    caller: &Caller,
    call: &Call,
    plan: &Plan<'_>,
    now_ms: i64,
) -> Result<Response<Body>, GatewayError> {
    let request = call.decoded()?;
    // Counting a long prompt takes milliseconds, in which this thread would serve nobody else.
    let counting = tokio::task::spawn_blocking(move || tokens::count_request(&request));
    let input = counting.await.map_err(GatewayError::internal)?;
    let factor = Factor::permille(caller.price_factor_permille).unwrap_or_default();
    let estimates: Vec<Estimate> =
        plan.deployments().map(|deployment| Estimate::of(pricing, deployment, call, (input, factor), now_ms)).collect();
    let body = serde_json::to_vec(&CostEstimate {
        object: "cost_estimate",
        model: call.model.as_deref(),
        currency: "USD",
        input_tokens: input,
        n: call.peek.n.max(1),
        candidates: estimates.iter().map(Estimate::shown).collect(),
    });
    let mut response = Response::new(Body::Full(body.map_err(GatewayError::internal)?.into()));
    response.headers_mut().insert(CONTENT_TYPE, reply::JSON);
    Ok(response)
}

/// What one deployment would take.
struct Estimate<'d> {
    deployment: &'d str,
    input_at_most: u64,
    output_cap: u64,
    priced: Option<PricedAt>,
}

struct PricedAt {
    version: Arc<Version>,
    lowest: Option<NanoUsd>,
    expected: Option<NanoUsd>,
    arithmetic: Option<String>,
    worst: Option<NanoUsd>,
}

impl<'d> Estimate<'d> {
    fn of(
        pricing: &Pricing,
        deployment: &'d Deployment,
        call: &Call,
        (input, factor): (u64, Factor),
        now_ms: i64,
    ) -> Self {
        let capabilities = &deployment.capabilities;
        let output_cap =
            pricing.output_cap(call.peek.max_output_tokens, capabilities.max_output, Pricing::USUAL_OUTPUT);
        let body = call.body().map_or(&[][..], |body| body);
        let ask = Ask { factor, ..Ask::of(&call.peek, body, capabilities.context, output_cap) };
        let pays = call.charge.is_some_and(|charge| charge.limited);
        let priced = match pricing.decide(&deployment.prices, now_ms, pays) {
            Ok(Priced::At(version)) => Some(PricedAt::of(version, input, &ask)),
            // Served for nothing or not at all: there is no amount to tell either way.
            Ok(Priced::Unpriced) | Err(_) => None,
        };
        Self { deployment: &deployment.label, input_at_most: ask.input, output_cap, priced }
    }

    fn shown(&self) -> CostCandidate<'_> {
        let text = |amount: Option<NanoUsd>| amount.map(|amount| amount.to_string());
        let cost = self.priced.as_ref().map(|priced| Cost {
            lowest: text(priced.lowest),
            expected: text(priced.expected),
            worst: text(priced.worst),
            arithmetic: priced.arithmetic.as_deref(),
        });
        let price = self.priced.as_ref().map(|priced| {
            let version = &priced.version;
            PriceVersion { version: &version.id, origin: version.origin.name(), source: version.source.as_deref() }
        });
        CostCandidate {
            deployment: self.deployment,
            input_tokens_at_most: self.input_at_most,
            output_tokens_at_most: self.output_cap,
            cost,
            price,
        }
    }
}

impl PricedAt {
    /// The lowest is a prompt that lies in the provider's cache and an empty answer; the expected one is an uncached prompt
    /// and answers of [`USUAL_OUTPUT`] tokens or up to their cap; the worst is what would be held.
    fn of(version: Arc<Version>, input: u64, ask: &Ask) -> Self {
        let terms = Terms { service: ask.service, factor: ask.factor, ..Terms::default() };
        let output = ask.output_cap.min(USUAL_OUTPUT).saturating_mul(ask.n);
        let usual = Usage { input: Some(input), output: Some(output), ..Usage::default() };
        let least = Usage { input: Some(input), output: Some(0), cache_read: Some(input), ..Usage::default() };
        let expected = version.cost(&usual, terms);
        let rates = version.price.rates_for(input);
        // A cache may be dearer than none.
        let least = if rates.cache_read < rates.input { least } else { Usage { cache_read: None, ..least } };
        Self {
            lowest: version.cost(&least, terms).map(|cost| cost.total),
            arithmetic: expected.as_ref().map(ToString::to_string),
            expected: expected.map(|cost| cost.total),
            worst: version.price.bound(ask),
            version,
        }
    }
}
