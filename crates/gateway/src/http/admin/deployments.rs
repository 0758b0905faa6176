//! Deployments, page by page: there may be a hundred thousand. A page begins after a place, not at a number, so that nothing is
//! shown twice or left out when others come and go. Tests: `it/admin.rs`.

use std::cmp::Ordering;
use std::sync::Arc;

use http::{Response, Uri};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use waypost_core::GatewayError;
use waypost_core::health::view::{self, DeploymentView};
use waypost_core::health::{Phase, Transition};
use waypost_core::snapshot::Deployment;

use super::place::{MOST, Place, USUAL};
use super::query::Query;
use super::{shown, time};
use crate::app::App;
use crate::http::body::Body;

/// A page of deployments.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeploymentPage")]
pub(in crate::http) struct Deployments<'s> {
    data: Vec<DeploymentView<'s>>,
    /// How many there are, on all pages.
    total: u64,
    /// What to ask for with `after` to get the next page; null at the end.
    next: Option<String>,
}

pub(super) fn list(app: &App, query: &Query) -> Result<Response<Body>, GatewayError> {
    let limit = query.number("limit", USUAL, 1..=MOST)?;
    let after = query.get("after").map(Place::read).transpose()?;
    let live = app.live();
    let (mut found, mut total) = (Vec::new(), 0_u64);
    view::each(&live.snapshot, |deployment| {
        let fits = |name: &str, is: &str| query.get(name).is_none_or(|asked| asked == is);
        if fits("channel", &deployment.channel.name) && fits("model", &deployment.model) {
            total += 1;
            if after.as_ref().is_none_or(|after| *after < Place::at(&deployment.label, &deployment.id)) {
                found.push(Arc::clone(deployment));
            }
        }
    });
    if found.len() > limit {
        found.select_nth_unstable_by(limit, in_order);
    }
    let more = found.len() > limit;
    found.truncate(limit);
    found.sort_unstable_by(in_order);
    let next = found.last().filter(|_| more).map(|last| Place::at(&last.label, &last.id).written());
    let time = time(app);
    let data = found.iter().map(|deployment| view::deployment(deployment, &time)).collect();
    Ok(shown(&Deployments { data, total, next }))
}

fn find(app: &App, id: &str, uri: &Uri) -> Result<Arc<Deployment>, GatewayError> {
    let mut found = None;
    view::each(&app.live().snapshot, |deployment| {
        if deployment.id.to_string() == id {
            found = Some(Arc::clone(deployment));
        }
    });
    found.ok_or_else(|| GatewayError::not_found(uri.path()))
}

/// What a deployment is called.
pub(super) fn named(app: &App, id: &str, uri: &Uri) -> Result<Value, GatewayError> {
    Ok(json!({ "deployment": &*find(app, id, uri)?.label }))
}

/// Forgets what a deployment did, as if it were new.
pub(super) fn reset(app: &App, id: &str, uri: &Uri) -> Result<Response<Body>, GatewayError> {
    let deployment = find(app, id, uri)?;
    let (from, ..) = deployment.state.breaker(&deployment.channel.policy, app.clock.now());
    deployment.state.reset();
    deployment.lanes.iter().for_each(|lane| lane.reset());
    let to = Phase::Closed;
    app.note_transition(&deployment, (from != to).then_some(Transition { from, to }));
    tracing::info!(deployment = %deployment.label, "an administrator reset the deployment");
    app.queues.freed();
    Ok(shown(&view::deployment(&deployment, &time(app))))
}

fn in_order(one: &Arc<Deployment>, other: &Arc<Deployment>) -> Ordering {
    (&one.label, one.id).cmp(&(&other.label, other.id))
}
