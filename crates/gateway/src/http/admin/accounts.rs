//! Channels and their credentials. Shows how they are doing, never a secret. Tests: `it/admin.rs`.

use std::sync::Arc;

use http::{Response, Uri};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use waypost_core::GatewayError;
use waypost_core::health::view::{self, ChannelView, CredentialView};
use waypost_core::snapshot::Channel;

use super::place::{Place, page};
use super::query::Query;
use super::{shown, time};
use crate::app::{App, Live};
use crate::http::body::Body;
use crate::probe;

/// A page of channels, and how many of all are well.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ChannelPage")]
pub(in crate::http) struct Channels<'s> {
    data: Vec<ChannelView<'s>>,
    healthy: usize,
    total: usize,
    /// What to ask for with `after` to get the next page; null at the end.
    next: Option<String>,
}

/// A page of credentials, and how many of all are in use.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CredentialPage")]
pub(in crate::http) struct Credentials<'s> {
    data: Vec<CredentialView<'s>>,
    healthy: usize,
    total: usize,
    /// What to ask for with `after` to get the next page; null at the end.
    next: Option<String>,
}

pub(super) fn channels(app: &App, query: &Query) -> Result<Response<Body>, GatewayError> {
    let live = app.live();
    let channels = view::channels(&live.snapshot, &time(app));
    let total = channels.len();
    let healthy = channels.iter().filter(|channel: &&ChannelView<'_>| channel.healthy).count();
    let place = |channel: &ChannelView<'_>| Place::at(channel.name, &channel.id);
    let (data, next) = page(channels, place, query)?;
    Ok(shown(&Channels { data, healthy, total, next }))
}

pub(super) fn credentials(app: &App, query: &Query) -> Result<Response<Body>, GatewayError> {
    let (live, time) = (app.live(), time(app));
    let channels = live.snapshot.channels.iter().map(|channel| &**channel);
    let asked = channels.filter(|channel: &&Channel| query.get("channel").is_none_or(|name| name == &*channel.name));
    let views = asked.flat_map(|channel| channel.credentials.iter().map(|one| view::credential(channel, one, &time)));
    let credentials: Vec<CredentialView<'_>> = views.collect();
    let total = credentials.len();
    let healthy = credentials.iter().filter(|credential| credential.healthy).count();
    let place = |one: &CredentialView<'_>| Place::at(&format!("{}/{}", one.channel, one.label), &one.id);
    let (data, next) = page(credentials, place, query)?;
    Ok(shown(&Credentials { data, healthy, total, next }))
}

/// The channel that a credential is of, and its place there.
fn place(live: &Live, id: &str) -> Option<(Arc<Channel>, usize)> {
    live.snapshot.channels.iter().find_map(|channel| {
        let at = channel.credentials.iter().position(|one| one.id.to_string() == id)?;
        Some((Arc::clone(channel), at))
    })
}

/// What a credential is called.
pub(super) fn named(app: &App, id: &str, uri: &Uri) -> Result<Value, GatewayError> {
    let (channel, at) = place(&app.live(), id).ok_or_else(|| GatewayError::not_found(uri.path()))?;
    let credential = channel.credentials.get(at).ok_or_else(|| GatewayError::not_found(uri.path()))?;
    Ok(json!({ "channel": &*channel.name, "credential": &*credential.label }))
}

/// Asks the provider whether a credential works, and changes nothing.
pub(super) async fn test(app: &App, id: &str, uri: &Uri, query: &Query) -> Result<Response<Body>, GatewayError> {
    let live = app.live();
    let (channel, at) = place(&live, id).ok_or_else(|| GatewayError::not_found(uri.path()))?;
    let credential = channel.credentials.get(at).ok_or_else(|| GatewayError::not_found(uri.path()))?;
    let tested = probe::test(app, &live, &channel, credential, query.get("model")).await;
    Ok(shown(&tested.report(&channel, credential)))
}

/// Uses a credential again that was refused or limited, for all models of its channel.
pub(super) fn reset(app: &App, id: &str, uri: &Uri) -> Result<Response<Body>, GatewayError> {
    let live = app.live();
    let (channel, at) = place(&live, id).ok_or_else(|| GatewayError::not_found(uri.path()))?;
    let credential = channel.credentials.get(at).ok_or_else(|| GatewayError::not_found(uri.path()))?;
    credential.state.reset();
    view::each(&live.snapshot, |deployment| {
        if deployment.channel.id == channel.id
            && let Some(lane) = deployment.lanes.get(at)
        {
            lane.reset();
        }
    });
    tracing::info!(channel = %channel.name, credential = %credential.label, "an administrator reset the credential");
    app.queues.freed();
    Ok(shown(&view::credential(&channel, credential, &time(app))))
}
