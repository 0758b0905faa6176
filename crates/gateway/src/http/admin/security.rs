//! `GET /admin/security`: what was suspicious and who is refused for it. Decides nothing. Tests: `it/security.rs`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use http::{Response, Uri};
use serde_json::json;
use waypost_core::GatewayError;
use waypost_store::page::{BadCursor, Cursor};
use waypost_store::security::SecurityFilter;

use super::query::Query;
use super::shown;
use crate::app::App;
use crate::http::body::Body;

pub(super) fn list(app: &App, query: &Query) -> Result<Response<Body>, GatewayError> {
    let limit = query.number("limit", 100, 1..=1000)?;
    let (incidents, mut blocked) = app.security.look(limit, app.clock.now());
    let block = app.live().snapshot.block;
    if block.is_none() {
        blocked.clear();
    }
    Ok(shown(&json!({
        "blocks": block.is_some(),
        "blocked": blocked,
        "counts": app.security.counts().collect::<BTreeMap<_, _>>(),
        "incidents": incidents.iter().map(|incident| &**incident).collect::<Vec<_>>(),
    })))
}

/// What the database has kept, page by page.
pub(super) async fn events(app: &App, query: &Query) -> Result<Response<Body>, GatewayError> {
    let store = app.store.as_ref().ok_or_else(|| GatewayError::not_found("/admin/security/events"))?;
    let limit = query.number("limit", 100, 1..=500)?;
    let after: Option<Cursor> = match query.get("after") {
        Some(text) => Some(text.parse().map_err(|BadCursor| {
            GatewayError::invalid_request("`after` is the `next` of another page.", Some("after"))
        })?),
        None => None,
    };
    let text = |name: &str| query.get(name).map(str::to_owned);
    let filter = SecurityFilter { kind: text("kind"), address: text("address"), key_name: text("key") };
    let limit = u32::try_from(limit).unwrap_or(500);
    let page = store.security_events(&filter, after.as_ref(), limit).await.map_err(GatewayError::internal)?;
    Ok(shown(&json!({ "events": page.rows, "next": page.next.map(|next| next.to_string()) })))
}

/// Lets an address in again.
pub(super) fn pardon(app: &App, address: &str, uri: &Uri) -> Result<Response<Body>, GatewayError> {
    let address: IpAddr = address.parse().map_err(|_| GatewayError::not_found(uri.path()))?;
    let pardoned = app.security.pardon(address);
    if pardoned {
        tracing::info!(client = %address, "an administrator lets the address in again");
    }
    Ok(shown(&json!({ "address": address, "was_blocked": pardoned })))
}
