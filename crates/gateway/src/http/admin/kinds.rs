//! Every kind of provider that channels may be accounts of, as core's table has them. Decides nothing. Tests: `it/admin.rs`.

use http::Response;
use serde_json::{Value, json};
use waypost_core::provider::{ALL, Auth, Provider};

use super::shown;
use crate::http::body::Body;

pub(super) fn list() -> Response<Body> {
    let kinds: Vec<Value> = ALL.iter().map(|provider| kind(provider)).collect();
    shown(&json!({ "provider_kinds": kinds }))
}

fn kind(provider: &Provider) -> Value {
    let endpoints = provider.endpoints.iter();
    let endpoints: Vec<Value> = endpoints
        .map(|endpoint| json!({ "operation": endpoint.operation.name(), "dialect": endpoint.dialect.name() }))
        .collect();
    json!({
        "kind": provider.kind,
        "name": provider.name,
        "aliases": provider.aliases,
        "base_url": provider.origin.map(|origin| format!("{origin}{}", provider.prefix)),
        "auth": word(provider.auth),
        "credential_required": provider.credential_required,
        "built_in": provider.built_in,
        "endpoints": endpoints,
        "models": provider.models,
    })
}

fn word(auth: Auth) -> &'static str {
    match auth {
        Auth::Bearer => "bearer",
        Auth::ApiKey => "api_key",
        Auth::XApiKey => "x_api_key",
        Auth::XGoogApiKey => "x_goog_api_key",
    }
}
