//! Deployments, page by page: there may be a hundred thousand. A page begins after a place, not at a number, so that nothing is
//! shown twice or left out when others come and go. Tests: `it/admin.rs`.

use std::cmp::Ordering;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Response, Uri};
use serde_json::json;
use waypost_core::GatewayError;
use waypost_core::health::view::{self, DeploymentView};
use waypost_core::health::{Phase, Transition};
use waypost_core::snapshot::Deployment;

use super::query::Query;
use super::{shown, time};
use crate::app::App;
use crate::http::body::Body;

/// How many are shown if nobody says, and how many at most.
const USUAL: usize = 100;
const MOST: usize = 1000;

pub(super) fn list(app: &App, query: &Query) -> Result<Response<Body>, GatewayError> {
    let limit = query.number("limit", USUAL, 1..=MOST)?;
    let after = query.get("after").map(Place::read).transpose()?;
    let live = app.live();
    let (mut found, mut total) = (Vec::new(), 0_u64);
    view::each(&live.snapshot, |deployment| {
        let fits = |name: &str, is: &str| query.get(name).is_none_or(|asked| asked == is);
        if fits("channel", &deployment.channel.name) && fits("model", &deployment.model) {
            total += 1;
            if after.as_ref().is_none_or(|after| after.is_before(deployment)) {
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
    let next = found.last().filter(|_| more).map(|last| Place::of(last).written());
    let time = time(app);
    let page: Vec<DeploymentView<'_>> = found.iter().map(|deployment| view::deployment(deployment, &time)).collect();
    Ok(shown(&json!({ "deployments": page, "total": total, "next": next })))
}

/// Forgets what a deployment did, as if it were new.
pub(super) fn reset(app: &App, id: &str, uri: &Uri) -> Result<Response<Body>, GatewayError> {
    let live = app.live();
    let mut found = None;
    view::each(&live.snapshot, |deployment| {
        if deployment.id.to_string() == id {
            found = Some(Arc::clone(deployment));
        }
    });
    let deployment = found.ok_or_else(|| GatewayError::not_found(uri.path()))?;
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

/// Where a page ended: a label, and the id for the case that another one is the same.
struct Place {
    label: String,
    id: String,
}

impl Place {
    fn of(deployment: &Deployment) -> Self {
        Self { label: deployment.label.to_string(), id: deployment.id.to_string() }
    }

    fn is_before(&self, deployment: &Deployment) -> bool {
        match self.label.as_str().cmp(&deployment.label) {
            Ordering::Less => true,
            Ordering::Equal => self.id < deployment.id.to_string(),
            Ordering::Greater => false,
        }
    }

    fn written(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}{}", self.id, self.label))
    }

    fn read(text: &str) -> Result<Self, GatewayError> {
        let read = || {
            let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
            let (id, label) = text.split_at_checked(16)?;
            Some(Self { label: label.to_owned(), id: id.to_owned() })
        };
        read().ok_or_else(|| {
            GatewayError::invalid_request("`after` is no place in this list; use `next` of an answer.", Some("after"))
        })
    }
}
