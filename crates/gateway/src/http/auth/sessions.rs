//! The sessions of whoever asks, as pages. Decides their form in answers. Tests: `it/auth/sessions.rs`.

use http::{Response, StatusCode};
use serde_json::json;
use waypost_core::GatewayError;
use waypost_store::page::{Cursor, MAX_PAGE, Scope};

use super::{Call, nothing, shown};
use crate::http::body::Body;

/// How many a page shows if nobody says.
const USUAL: usize = 50;

pub(super) async fn list(call: &Call<'_>) -> Result<Response<Body>, GatewayError> {
    let signed = call.signed().await?;
    let query = call.query();
    let limit = query.number("limit", USUAL, 1..=MAX_PAGE as usize)?;
    let after = query.get("after").map(str::parse::<Cursor>).transpose().map_err(|_| {
        GatewayError::invalid_request("`after` is no place in this list; use `next` of an answer.", Some("after"))
    })?;
    let limit = u32::try_from(limit).unwrap_or(MAX_PAGE);
    let page = call.identity.sessions_of(&signed.actor.id, call.whence.now, after.as_ref(), limit).await?;
    let data: Vec<_> = page
        .rows
        .iter()
        .map(|session| {
            json!({
                "object": "session",
                "id": session.id,
                "created_at": session.created_at,
                "seen_at": session.changed_at,
                "expires_at": session.expires_at,
                "agent": session.agent,
                "address": session.address,
                "current": session.id == signed.session,
            })
        })
        .collect();
    let next = page.next.map(|cursor| cursor.to_string());
    Ok(shown(StatusCode::OK, &json!({ "object": "list", "data": data, "next": next })))
}

pub(super) async fn end(call: &Call<'_>, id: &str) -> Result<Response<Body>, GatewayError> {
    let signed = call.signed().await?;
    let own = Scope::Own(signed.actor.id.to_string());
    call.identity.end_session(&signed.actor, &own, id, &call.whence).await?;
    Ok(nothing())
}
