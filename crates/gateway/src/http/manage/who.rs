//! Who asks: whoever has the admin token, or a user with a session. Decides nothing about what they may. Tests: `it/manage/`.

use http::{HeaderMap, Method};
use waypost_core::GatewayError;
use waypost_core::role::Actor;

use crate::app::App;
use crate::http::admin::is_administrator;
use crate::http::auth::signed_in;

/// Is there anybody who could be let in: an admin token, or users?
pub(super) fn could_be_anybody(app: &App) -> bool {
    !app.live().snapshot.admin.is_off() || app.identity().is_some()
}

/// Who asks; an error for everybody else, the same whatever was wrong.
pub(super) async fn asks(app: &App, method: &Method, headers: &HeaderMap) -> Result<Actor, GatewayError> {
    if is_administrator(&app.live().snapshot, headers) {
        return Ok(Actor::token());
    }
    if app.identity().is_none() {
        return Err(GatewayError::not_administrator());
    }
    signed_in(app, method, headers).await.map(|signed| signed.actor)
}

/// Is it a user, rather than a token?
pub(super) fn is_user(actor: &Actor) -> bool {
    waypost_store::id::is("usr", &actor.id)
}
