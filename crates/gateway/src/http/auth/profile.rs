//! What users see and change of themselves, as pages. Decides the form of a user in answers: no hash, no generation.
//! Tests: `it/auth/profile.rs`.

use http::header::ETAG;
use http::{HeaderValue, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use waypost_core::{GatewayError, Secret};
use waypost_store::users::User;

use super::body::input;
use super::cookie::{self, Along};
use super::{Call, nothing, shown};
use crate::http::body::Body;
use crate::identity::{ACCESS_COOKIE, Profile};

/// A user as users see themselves.
pub(super) fn view(user: &User) -> Value {
    json!({
        "object": "user",
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "team": user.team,
        "plan": user.plan,
        "created_at": user.created_at,
    })
}

pub(super) async fn show(call: &Call<'_>) -> Result<Response<Body>, GatewayError> {
    let signed = call.signed().await?;
    tagged(&call.identity.profile(&signed).await?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    name: Option<String>,
}

pub(super) async fn change(call: &Call<'_>) -> Result<Response<Body>, GatewayError> {
    let signed = call.signed().await?;
    let Change { name } = input(call.body)?;
    let profile = Profile { name: name.as_deref() };
    tagged(&call.identity.change_profile(&signed, profile, None, &call.whence).await?)
}

fn tagged(user: &User) -> Result<Response<Body>, GatewayError> {
    let mut response = shown(StatusCode::OK, &view(user));
    let tag = HeaderValue::try_from(format!("\"{}\"", user.version)).map_err(GatewayError::internal)?;
    response.headers_mut().insert(ETAG, tag);
    Ok(response)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangePassword {
    current_password: Secret,
    new_password: Secret,
}

pub(super) async fn change_password(call: &Call<'_>) -> Result<Response<Body>, GatewayError> {
    let signed = call.signed().await?;
    let ChangePassword { current_password, new_password } = input(call.body)?;
    let changing = call.identity.change_password(&signed, &current_password, &new_password, &call.whence);
    let (token, expires_in) = changing.await?;
    // Whoever came by cookie goes on by cookie.
    if cookie::get(&call.head.headers, ACCESS_COOKIE).is_some() && !call.head.headers.contains_key("authorization") {
        let mut response = nothing();
        cookie::set(response.headers_mut(), ACCESS_COOKIE, token.expose(), expires_in, Along::Strict)?;
        return Ok(response);
    }
    let view = json!({ "token": token.expose(), "token_type": "Bearer", "expires_in": expires_in });
    Ok(shown(StatusCode::OK, &view))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResetPassword {
    token: Secret,
    password: Secret,
}

pub(super) async fn reset_password(call: &Call<'_>) -> Result<Response<Body>, GatewayError> {
    let ResetPassword { token, password } = input(call.body)?;
    call.identity.reset_password(&token, &password, &call.whence).await?;
    Ok(nothing())
}
