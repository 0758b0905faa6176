//! Who asks: whoever has the admin token, or a user with a session. Decides nothing about what they may. Tests: `it/manage/`.

use http::request::Parts;
use waypost_core::GatewayError;
use waypost_core::role::Actor;

use crate::app::App;
use crate::http::admin::is_administrator;
use crate::http::auth::signed_in;
use crate::http::manage::route::Needs;
use crate::identity::Signed;

/// Somebody, with the session that they are signed in by.
pub(super) struct Who {
    pub actor: Actor,
    pub signed: Option<Signed>,
}

impl Who {
    /// Somebody without a session.
    pub(super) fn unsigned(actor: Actor) -> Self {
        Self { actor, signed: None }
    }
}

/// Is there anybody who could be let in: an admin token, or users?
pub(super) fn could_be_anybody(app: &App) -> bool {
    !app.live().snapshot.admin.is_off() || app.identity().is_some()
}

/// Who asks; an error for everybody else, the same whatever was wrong.
/// The admin token is somebody where it can be of use.
pub(super) async fn asks(app: &App, head: &Parts, needs: Option<Needs>) -> Result<Who, GatewayError> {
    if needs != Some(Needs::SignedIn) && is_administrator(&app.live().snapshot, &head.headers) {
        return Ok(Who::unsigned(Actor::token()));
    }
    if app.identity().is_none() {
        return Err(GatewayError::not_administrator());
    }
    let signed = signed_in(app, head).await?;
    Ok(Who { actor: signed.actor.clone(), signed: Some(signed) })
}

/// Is it a user, rather than a token?
pub(super) fn is_user(actor: &Actor) -> bool {
    waypost_store::id::is("usr", &actor.id)
}
