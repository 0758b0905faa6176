//! `GET /admin/security`: what was suspicious and who is refused for it. Decides nothing. Tests: `it/security.rs`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use http::{Response, Uri};
use schemars::JsonSchema;
use serde::Serialize;
use waypost_core::GatewayError;
use waypost_store::page::{BadCursor, Cursor};
use waypost_store::security::{SecurityEvent, SecurityFilter};

use super::query::Query;
use super::shown;
use crate::app::App;
use crate::http::body::Body;
use crate::http::manage::answer::Page;
use crate::http::reports::no_place;
use crate::security::{Blocked, Incident};

/// What is suspicious now.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SecurityState")]
pub(in crate::http) struct State<'s> {
    /// Whether addresses are refused for it.
    blocks: bool,
    blocked: Vec<Blocked>,
    /// How often what was noted since the start.
    counts: BTreeMap<&'static str, u64>,
    /// The latest first.
    incidents: Vec<&'s Incident>,
}

/// What was worth telling.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SecurityEvent")]
pub(in crate::http) struct EventView {
    id: String,
    created_at: i64,
    /// Such as `bad_key`.
    kind: String,
    address: Option<String>,
    key_name: Option<String>,
    count: i64,
    /// From then on the address was refused for this many seconds.
    blocked_for: Option<i64>,
}

/// An address that is let in again.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Pardoned {
    address: IpAddr,
    was_blocked: bool,
}

impl EventView {
    fn of(event: SecurityEvent) -> Self {
        let SecurityEvent { id, created_at, kind, address, key_name, count, blocked_for } = event;
        Self { id, created_at, kind, address, key_name, count, blocked_for }
    }
}

pub(super) fn list(app: &App, query: &Query) -> Result<Response<Body>, GatewayError> {
    let limit = query.number("limit", 100, 1..=1000)?;
    let (incidents, mut blocked) = app.security.look(limit, app.clock.now());
    let block = app.live().snapshot.block;
    if block.is_none() {
        blocked.clear();
    }
    Ok(shown(&State {
        blocks: block.is_some(),
        blocked,
        counts: app.security.counts().collect(),
        incidents: incidents.iter().map(|incident| &**incident).collect(),
    }))
}

/// What the database has kept, page by page.
pub(super) async fn events(app: &App, query: &Query) -> Result<Response<Body>, GatewayError> {
    let store = app.store.as_ref().ok_or_else(|| GatewayError::not_found("/admin/security/events"))?;
    let limit = query.number("limit", 100, 1..=500)?;
    let after: Option<Cursor> = match query.get("after") {
        Some(text) => Some(text.parse().map_err(|BadCursor| no_place())?),
        None => None,
    };
    let text = |name: &str| query.get(name).map(str::to_owned);
    let filter = SecurityFilter { kind: text("kind"), address: text("address"), key_name: text("key") };
    let limit = u32::try_from(limit).unwrap_or(500);
    let page = store.security_events(&filter, after.as_ref(), limit).await.map_err(GatewayError::internal)?;
    Ok(shown(&Page::of(page, EventView::of)))
}

/// The address of a path.
pub(super) fn address(text: &str, uri: &Uri) -> Result<IpAddr, GatewayError> {
    text.parse().map_err(|_| GatewayError::not_found(uri.path()))
}

/// Lets an address in again.
pub(super) fn pardon(app: &App, address: &str, uri: &Uri) -> Result<Response<Body>, GatewayError> {
    let address = self::address(address, uri)?;
    let pardoned = app.security.pardon(address);
    if pardoned {
        tracing::info!(client = %address, "an administrator lets the address in again");
    }
    Ok(shown(&Pardoned { address, was_blocked: pardoned }))
}
