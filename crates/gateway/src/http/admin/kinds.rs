//! Every kind of provider that channels may be accounts of, as core's table has them. Decides nothing. Tests: `it/admin.rs`.

use http::Response;
use schemars::JsonSchema;
use serde::Serialize;
use waypost_core::provider::{ALL, Auth, Provider};

use super::shown;
use crate::http::body::Body;

/// All kinds of providers.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct ProviderKinds {
    provider_kinds: Vec<ProviderKind>,
}

/// A kind of provider that channels may be accounts of.
#[derive(Serialize, JsonSchema)]
struct ProviderKind {
    kind: &'static str,
    name: &'static str,
    aliases: &'static [&'static str],
    base_url: Option<String>,
    /// The header that the key goes in: `bearer`, `api_key`, `x_api_key` or `x_goog_api_key`.
    auth: &'static str,
    credential_required: bool,
    built_in: bool,
    endpoints: Vec<ProviderEndpoint>,
    models: &'static [&'static str],
}

/// What a provider can be asked for, and in which dialect.
#[derive(Serialize, JsonSchema)]
struct ProviderEndpoint {
    operation: &'static str,
    dialect: &'static str,
}

pub(super) fn list() -> Response<Body> {
    shown(&ProviderKinds { provider_kinds: ALL.iter().map(|provider| kind(provider)).collect() })
}

fn kind(provider: &Provider) -> ProviderKind {
    let endpoints = provider.endpoints.iter();
    let endpoint = |(operation, dialect)| ProviderEndpoint { operation, dialect };
    ProviderKind {
        kind: provider.kind,
        name: provider.name,
        aliases: provider.aliases,
        base_url: provider.origin.map(|origin| format!("{origin}{}", provider.prefix)),
        auth: word(provider.auth),
        credential_required: provider.credential_required,
        built_in: provider.built_in,
        endpoints: endpoints.map(|one| endpoint((one.operation.name(), one.dialect.name()))).collect(),
        models: provider.models,
    }
}

fn word(auth: Auth) -> &'static str {
    match auth {
        Auth::Bearer => "bearer",
        Auth::ApiKey => "api_key",
        Auth::XApiKey => "x_api_key",
        Auth::XGoogApiKey => "x_goog_api_key",
    }
}
