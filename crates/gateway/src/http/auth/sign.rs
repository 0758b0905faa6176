//! Registering, signing in, staying in and signing out, as pages. Decides how a session is handed over: in the body, or to a
//! browser that asks for it in cookies, and then nowhere else. Tests: `it/auth/`.

use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use waypost_core::{GatewayError, Secret};

use super::body::input;
use super::cookie::{self, Along};
use super::{Call, nothing, profile, shown, who};
use crate::http::body::Body;
use crate::identity::{ACCESS_COOKIE, REFRESH_COOKIE, SignedIn, Wanted};

/// What everybody is told who registers, whether or not the address was free.
const REGISTERED: &str =
    "You can sign in with this address and password, unless somebody had registered the address before.";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Register {
    email: String,
    password: Secret,
    #[serde(default)]
    name: String,
    invite: Option<Secret>,
}

pub(super) async fn register(call: &Call<'_>) -> Result<Response<Body>, GatewayError> {
    let Register { email, password, name, invite } = input(call.body)?;
    let wanted = Wanted { email: &email, name: &name, password: &password };
    call.identity.register(wanted, invite.as_ref(), &call.whence).await?;
    let view = json!({ "object": "registration", "email": email.trim(), "message": REGISTERED });
    Ok(shown(StatusCode::CREATED, &view))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetUp {
    token: Secret,
    email: String,
    password: Secret,
    #[serde(default)]
    name: String,
    #[serde(default)]
    cookie: bool,
}

pub(super) async fn set_up(call: &Call<'_>) -> Result<Response<Body>, GatewayError> {
    let SetUp { token, email, password, name, cookie } = input(call.body)?;
    let wanted = Wanted { email: &email, name: &name, password: &password };
    let signed_in = call.identity.set_up(&token, wanted, &call.whence).await?;
    handed_over(call, StatusCode::CREATED, &signed_in, cookie)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    email: String,
    password: Secret,
    #[serde(default)]
    cookie: bool,
}

pub(super) async fn login(call: &Call<'_>) -> Result<Response<Body>, GatewayError> {
    let Login { email, password, cookie } = input(call.body)?;
    let signed_in = call.identity.sign_in(&email, &password, &call.whence).await?;
    handed_over(call, StatusCode::OK, &signed_in, cookie)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refresh {
    refresh_token: Option<Secret>,
}

pub(super) async fn refresh(call: &Call<'_>) -> Result<Response<Body>, GatewayError> {
    let Refresh { refresh_token } = input(call.body)?;
    let (token, cookie) = match refresh_token {
        Some(token) => (token, false),
        None => {
            let token = cookie::get(&call.head.headers, REFRESH_COOKIE).ok_or_else(GatewayError::not_signed_in)?;
            who::check_origin(&call.head.method, &call.head.headers)?;
            (Secret::new(token), true)
        }
    };
    let signed_in = call.identity.refresh(&token, &call.whence).await?;
    handed_over(call, StatusCode::OK, &signed_in, cookie)
}

pub(super) async fn logout(call: &Call<'_>) -> Result<Response<Body>, GatewayError> {
    let signed = call.signed().await?;
    call.identity.sign_out(&signed, &call.whence).await?;
    forgotten()
}

pub(super) async fn logout_everywhere(call: &Call<'_>) -> Result<Response<Body>, GatewayError> {
    let signed = call.signed().await?;
    call.identity.sign_out_everywhere(&signed, &call.whence).await?;
    forgotten()
}

fn forgotten() -> Result<Response<Body>, GatewayError> {
    let mut response = nothing();
    for name in [ACCESS_COOKIE, REFRESH_COOKIE] {
        cookie::set(response.headers_mut(), name, "", 0, Along::Strict)?;
    }
    Ok(response)
}

/// A session, in the body or in cookies.
fn handed_over(
    call: &Call<'_>,
    status: StatusCode,
    signed_in: &SignedIn,
    in_cookies: bool,
) -> Result<Response<Body>, GatewayError> {
    let mut view = json!({
        "object": "session",
        "id": signed_in.session,
        "expires_in": signed_in.expires_in,
        "session_expires_at": signed_in.session_expires_at,
        "user": profile::view(&signed_in.user),
    });
    if in_cookies {
        let mut response = shown(status, &view);
        keep(response.headers_mut(), signed_in, call.whence.now)?;
        return Ok(response);
    }
    if let Some(fields) = view.as_object_mut() {
        fields.insert("token".to_owned(), signed_in.access.expose().into());
        fields.insert("token_type".to_owned(), "Bearer".into());
        fields.insert("refresh_token".to_owned(), signed_in.refresh.expose().into());
    }
    Ok(shown(status, &view))
}

/// Has a browser keep a session.
pub(super) fn keep(headers: &mut http::HeaderMap, signed_in: &SignedIn, now: i64) -> Result<(), GatewayError> {
    let left = signed_in.session_expires_at.saturating_sub(now).div_euclid(1000);
    cookie::set(headers, ACCESS_COOKIE, signed_in.access.expose(), signed_in.expires_in, Along::Strict)?;
    cookie::set(headers, REFRESH_COOKIE, signed_in.refresh.expose(), left, Along::Strict)
}
