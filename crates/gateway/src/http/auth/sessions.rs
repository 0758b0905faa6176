//! The sessions of whoever asks. Decides their form in answers. Tests: `it/auth/sessions.rs`.

use schemars::JsonSchema;
use serde::Serialize;
use waypost_core::GatewayError;
use waypost_store::page::Scope;

use crate::http::manage::answer::{Answer, Page};
use crate::http::manage::ask::Ask;
use crate::http::manage::route::{Kind, Needs, Route, shape};
use crate::identity::Denied;

pub(in crate::http) const ROUTES: &[Route] = &[
    Route::new(
        ("GET", "/auth/sessions"),
        "session.own_list",
        "where you are signed in, the newest first",
        Needs::SignedIn,
        Kind::List,
        |ask| Box::pin(list(ask)),
    )
    .giving(shape::<Page<OwnSession>>),
    Route::new(
        ("DELETE", "/auth/sessions/{id}"),
        "session.own_end",
        "sign out somewhere",
        Needs::SignedIn,
        Kind::End,
        |ask| Box::pin(end(ask)),
    ),
];

/// Where one is signed in.
#[derive(Debug, Serialize, JsonSchema)]
struct OwnSession {
    /// `session`.
    object: &'static str,
    id: String,
    created_at: i64,
    /// The last sign of life.
    seen_at: i64,
    expires_at: i64,
    /// What the client called itself.
    agent: String,
    address: String,
    /// Whether it is the one that asks.
    current: bool,
}

async fn list(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let (signed, after, limit) = (ask.signed()?, ask.after()?, ask.limit()?);
    let listing = ask.identity()?.sessions_of(&signed.actor.id, ask.whence().now, after.as_ref(), limit).await;
    let page = listing.map_err(|denied| ask.denied(denied))?;
    Answer::shown(&Page::of(page, |session| OwnSession {
        object: "session",
        current: session.id == signed.session,
        id: session.id,
        created_at: session.created_at,
        seen_at: session.changed_at,
        expires_at: session.expires_at,
        agent: session.agent,
        address: session.address,
    }))
}

async fn end(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let signed = ask.signed()?;
    let own = Scope::Own(signed.actor.id.to_string());
    let ending = ask.identity()?.end_session(&signed.actor, &own, ask.id(), &ask.whence()).await;
    ending.map_err(|denied| match denied {
        Denied::NotFound => GatewayError::no_such(ask.id()),
        other => ask.denied(other),
    })?;
    Ok(Answer::done())
}
