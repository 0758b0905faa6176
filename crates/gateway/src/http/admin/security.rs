//! `GET /admin/security`: what was suspicious and who is refused for it. Decides nothing. Tests: `it/security.rs`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use http::{Response, Uri};
use serde_json::json;
use waypost_core::GatewayError;

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

/// Lets an address in again.
pub(super) fn pardon(app: &App, address: &str, uri: &Uri) -> Result<Response<Body>, GatewayError> {
    let address: IpAddr = address.parse().map_err(|_| GatewayError::not_found(uri.path()))?;
    let pardoned = app.security.pardon(address);
    if pardoned {
        tracing::info!(client = %address, "an administrator lets the address in again");
    }
    Ok(shown(&json!({ "address": address, "was_blocked": pardoned })))
}
