//! The way to a provider of identities and back, as pages that a browser walks through. Tests: `it/auth/oidc.rs`.

use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use waypost_core::GatewayError;

use super::cookie::{self, Along};
use super::sign;
use crate::http::manage::answer::Answer;
use crate::http::manage::ask::Ask;
use crate::http::manage::route::{Kind, Needs, Route};
use crate::identity::oidc::{FLOW_COOKIE, FLOW_LASTS, Returned};

pub(in crate::http) const ROUTES: &[Route] = &[
    Route::new(
        ("GET", "/auth/oidc/start"),
        "auth.oidc_start",
        "send a browser to the provider of identities",
        Needs::Nobody,
        Kind::Send,
        |ask| Box::pin(start(ask)),
    ),
    Route::new(
        ("GET", "/auth/oidc/callback"),
        "auth.oidc_callback",
        "where the provider sends it back, which signs it in, in cookies",
        Needs::Nobody,
        Kind::Send,
        |ask| Box::pin(callback(ask)),
    )
    .asking(&[("code", "what the provider gave"), ("state", "what was sent to the provider")]),
];

async fn start(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let begun = ask.identity()?.begin_oidc(&*ask.app.transport, ask.whence().now).await;
    let begun = begun.map_err(|denied| ask.denied(denied))?;
    let mut answer = sent_to(&begun.location)?;
    cookie::set(&mut answer.headers, FLOW_COOKIE, &begun.cookie, FLOW_LASTS, Along::Lax)?;
    Ok(answer)
}

async fn callback(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let (identity, whence) = (ask.identity()?, ask.whence());
    let returned = Returned {
        code: ask.query.get("code"),
        state: ask.query.get("state"),
        cookie: cookie::get(ask.headers(), FLOW_COOKIE),
    };
    let signed_in = identity.finish_oidc(&*ask.app.transport, returned, &whence).await;
    let signed_in = signed_in.map_err(|denied| ask.denied(denied))?;
    let page = identity.oidc().map_or("/", |provider| provider.return_to());
    let mut answer = sent_to(page)?;
    cookie::set(&mut answer.headers, FLOW_COOKIE, "", 0, Along::Lax)?;
    sign::keep(&mut answer.headers, &signed_in, whence.now)?;
    Ok(answer)
}

fn sent_to(location: &str) -> Result<Answer, GatewayError> {
    let mut answer = Answer { status: StatusCode::SEE_OTHER, ..Answer::done() };
    answer.headers.insert(LOCATION, HeaderValue::try_from(location).map_err(GatewayError::internal)?);
    Ok(answer)
}
