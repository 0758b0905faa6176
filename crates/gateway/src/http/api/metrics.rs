//! `GET /metrics`, for Prometheus and its kin. Decides who may read it; the page is `telemetry/live.rs`'s. Tests: `it/metrics.rs`.

use std::net::IpAddr;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, Response};
use waypost_core::GatewayError;
use waypost_core::config::MetricsAccess;

use crate::app::App;
use crate::http::admin;
use crate::http::body::Body;
use crate::telemetry::live;
use crate::telemetry::prometheus::Form;

/// Open where the configuration says so, and on this machine where there is no administrator; else the administrator's.
pub fn answer(
    app: &App,
    headers: &HeaderMap,
    path: &str,
    client: Option<IpAddr>,
) -> Result<Response<Body>, GatewayError> {
    let snapshot = &app.live().snapshot;
    let admin = &snapshot.admin;
    let open = admin.metrics == MetricsAccess::Open || (admin.is_off() && app.is_local());
    if !open && admin.is_off() {
        return Err(GatewayError::not_found(path));
    }
    if !open && !admin::is_administrator(snapshot, headers) {
        admin::note_wrong_token(app, headers, client);
        return Err(GatewayError::not_administrator());
    }
    let form = Form::of(headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()));
    let mut response = Response::new(Body::Full(live::page(app, form).into()));
    response.headers_mut().insert(CONTENT_TYPE, form.content_type());
    Ok(response)
}
