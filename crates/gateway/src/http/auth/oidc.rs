//! The way to a provider of identities and back, as pages that a browser walks through. Tests: `it/auth/oidc.rs`.

use http::header::LOCATION;
use http::{HeaderValue, Response, StatusCode};
use waypost_core::GatewayError;

use super::cookie::{self, Along};
use super::{Call, nothing, sign};
use crate::http::body::Body;
use crate::identity::oidc::{FLOW_COOKIE, FLOW_LASTS, Returned};

pub(super) async fn start(call: &Call<'_>) -> Result<Response<Body>, GatewayError> {
    let begun = call.identity.begin_oidc(&*call.app.transport, call.whence.now).await?;
    let mut response = sent_to(&begun.location)?;
    cookie::set(response.headers_mut(), FLOW_COOKIE, &begun.cookie, FLOW_LASTS, Along::Lax)?;
    Ok(response)
}

pub(super) async fn callback(call: &Call<'_>) -> Result<Response<Body>, GatewayError> {
    let query = call.query();
    let returned = Returned {
        code: query.get("code"),
        state: query.get("state"),
        cookie: cookie::get(&call.head.headers, FLOW_COOKIE),
    };
    let signed_in = call.identity.finish_oidc(&*call.app.transport, returned, &call.whence).await?;
    let page = call.identity.oidc().map_or("/", |provider| provider.return_to());
    let mut response = sent_to(page)?;
    cookie::set(response.headers_mut(), FLOW_COOKIE, "", 0, Along::Lax)?;
    sign::keep(response.headers_mut(), &signed_in, call.whence.now)?;
    Ok(response)
}

fn sent_to(location: &str) -> Result<Response<Body>, GatewayError> {
    let mut response = nothing();
    *response.status_mut() = StatusCode::SEE_OTHER;
    let location = HeaderValue::try_from(location).map_err(GatewayError::internal)?;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}
