//! `GET /health`, `/health/live`, `/health/ready`, `/health/detailed`: one health, told at four lengths.
//! Needs no key, so it names no channel and no secret. Tests: `it/v1/health.rs`.

use http::{Response, StatusCode};
use serde_json::json;

use crate::app::App;
use crate::http::body::Body;
use crate::http::reply;
use crate::http::router::HealthDepth;

/// Answers at the depth the path asks for.
pub fn answer(app: &App, depth: HealthDepth) -> Response<Body> {
    let ready = app.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if ready { "ok" } else { "draining" };
    match depth {
        HealthDepth::Live => reply::json(StatusCode::OK, &json!({ "status": "ok" })),
        HealthDepth::Ready => reply::json(status, &json!({ "status": word, "ready": ready })),
        HealthDepth::Summary => {
            let live = app.live();
            let snapshot = &live.snapshot;
            let body = json!({
                "status": word,
                "version": env!("CARGO_PKG_VERSION"),
                "channels": snapshot.channels.len(),
                "models": snapshot.models.len(),
            });
            reply::json(status, &body)
        }
        HealthDepth::Detailed => {
            let live = app.live();
            let snapshot = &live.snapshot;
            let providers: std::collections::BTreeSet<_> =
                snapshot.channels.iter().map(|channel| channel.provider.kind).collect();
            let deployments: usize =
                snapshot.routes.values().flat_map(|route| &route.tiers).map(|tier| tier.deployments.len()).sum();
            let body = json!({
                "status": word,
                "version": env!("CARGO_PKG_VERSION"),
                "uptime_seconds": app.unix_seconds().saturating_sub(app.started()),
                "providers": providers,
                "channels": snapshot.channels.len(),
                "deployments": deployments,
                "model_families": snapshot.families.list.len(),
                "models": snapshot.models.len(),
                "keys": snapshot.keys.len(),
                "panics": app.panics(),
                "log_lines_dropped": app.records.dropped(),
            });
            reply::json(status, &body)
        }
    }
}
