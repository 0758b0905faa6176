//! Where a request would go now and why, without sending one. Decides nothing: core explains. Tests: `it/admin.rs`.

use http::Response;
use schemars::JsonSchema;
use serde::Serialize;
use waypost_core::GatewayError;
use waypost_core::operation::Operation;
use waypost_core::route::{self, Explained};
use waypost_core::snapshot::Route;
use waypost_wire::Dialect;
use waypost_wire::peek::Needs;

use super::query::Query;
use super::shown;
use crate::app::App;
use crate::http::body::Body;
use crate::pipeline::degrade;

const OPERATIONS: [Operation; 8] = [
    Operation::Chat,
    Operation::CountTokens,
    Operation::Completions,
    Operation::Embeddings,
    Operation::Images,
    Operation::Audio,
    Operation::Models,
    Operation::Passthrough,
];
const DIALECTS: [Dialect; 3] = [Dialect::OpenaiChat, Dialect::OpenaiResponses, Dialect::Anthropic];

/// Where a request would go.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Explanation {
    model: Option<String>,
    operation: &'static str,
    dialect: &'static str,
    strategy: &'static str,
    /// The deployment that would be tried first; null if none would.
    first: Option<String>,
    candidates: Vec<Candidate>,
    /// The budgets of the gateway and of this model that degrade: what they have not enough left for falls to cheaper deployments
    /// of the model, and then to `degrade_to`. Those of a key, a user or a team are not among them: nobody is asked about.
    degrading_budgets: Vec<String>,
    /// The models that stand in for this one then, in the order in which they are tried.
    degrade_to: Vec<String>,
}

/// A deployment that it might go to.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ExplainedCandidate")]
struct Candidate {
    deployment: String,
    tier: u8,
    weight: u32,
    /// Its place among those that would be tried, from 0; null if it would not be.
    place: Option<usize>,
    /// Why it would not be tried.
    veto: Option<&'static str>,
    /// How long that lasts, where it is known.
    wait_ms: Option<u64>,
    /// It failed lately, so that its peers come first.
    behind: bool,
    /// In per cent.
    share: u8,
    in_flight: u32,
    recent_requests: u64,
    latency_ms: Option<u64>,
}

pub(super) fn answer(app: &App, query: &Query) -> Result<Response<Body>, GatewayError> {
    let operation = chosen(query, "operation", &OPERATIONS, Operation::name)?.unwrap_or(Operation::Chat);
    let usual = if operation == Operation::CountTokens { Dialect::Anthropic } else { Dialect::OpenaiChat };
    let dialect = chosen(query, "dialect", &DIALECTS, Dialect::name)?.unwrap_or(usual);
    let (live, model) = (app.live(), query.get("model"));
    let snapshot = &live.snapshot;
    let asked = route::Query { model, operation, dialect, needs: Needs::default(), charge: None };
    let budgets = degrade::budgets(app, model, operation);
    let tell = |route: &Route, explained: Vec<Explained<'_>>| {
        let first = explained.iter().find(|one| one.place == Some(0)).map(|one| one.deployment);
        let first = first.map(str::to_owned);
        Explanation {
            model: model.map(str::to_owned),
            operation: operation.name(),
            dialect: dialect.name(),
            strategy: route.strategy.name(),
            first,
            candidates: explained.iter().map(candidate).collect(),
            degrading_budgets: budgets.iter().map(|budget| budget.id().as_str().to_owned()).collect(),
            degrade_to: degrade::ladder(route, model).map(|model| model.to_string()).collect(),
        }
    };
    let told = route::explain(snapshot, &asked, app.clock.now(), tell);
    told.map(|told| shown(&told)).ok_or_else(|| match model {
        Some(model) => GatewayError::model_not_found(model, &snapshot.nearest(model)),
        None => GatewayError::no_default_channel(),
    })
}

fn candidate(one: &Explained<'_>) -> Candidate {
    let millis = |span: std::time::Duration| u64::try_from(span.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
    Candidate {
        deployment: one.deployment.to_owned(),
        tier: one.tier,
        weight: one.weight,
        place: one.place,
        veto: one.veto,
        wait_ms: one.wait.map(millis),
        behind: one.behind,
        share: one.share,
        in_flight: one.in_flight,
        recent_requests: one.recent,
        latency_ms: one.latency.map(millis),
    }
}

/// One of a few, by its word.
fn chosen<T: Copy>(
    query: &Query,
    name: &str,
    all: &[T],
    word: impl Fn(T) -> &'static str,
) -> Result<Option<T>, GatewayError> {
    let Some(asked) = query.get(name) else { return Ok(None) };
    if let Some(found) = all.iter().find(|one| word(**one) == asked) {
        return Ok(Some(*found));
    }
    let words: Vec<_> = all.iter().map(|one| format!("`{}`", word(*one))).collect();
    Err(GatewayError::invalid_request(format!("`{name}` is one of {}.", words.join(", ")), Some(name)))
}
