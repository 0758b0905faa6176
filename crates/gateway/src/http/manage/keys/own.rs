//! A user's own keys: the same keys, seen by their owner only. Tests: `it/manage/own_keys.rs`.

use waypost_core::GatewayError;
use waypost_core::role::Action;

use super::view::{KeyMade, KeyView, OwnKeyChange, OwnNewKey, Rotation};
use super::{alter, find, get, list, make, revoke, rotate};
use crate::http::manage::answer::{Answer, Page};
use crate::http::manage::ask::Ask;
use crate::http::manage::route::{Handler, Kind, Needs, Route, shape};

pub(in crate::http::manage) const ROUTES: &[Route] = &[
    own("GET", "/auth/api-keys", "api_key.list", "your keys, the newest first", Kind::List, |ask| Box::pin(list(ask)))
        .giving(shape::<Page<KeyView>>),
    own(
        "POST",
        "/auth/api-keys",
        "api_key.create",
        "make a key; its text is in this answer and never again",
        Kind::Make,
        |ask| Box::pin(create(ask)),
    )
    .taking(shape::<OwnNewKey>)
    .giving(shape::<KeyMade>),
    own("GET", "/auth/api-keys/{id}", "api_key.get", "one key of yours", Kind::Show, |ask| Box::pin(get(ask)))
        .giving(shape::<KeyView>),
    own("PUT", "/auth/api-keys/{id}", "api_key.put", "the same as PATCH", Kind::Change, |ask| Box::pin(change(ask)))
        .taking(shape::<OwnKeyChange>)
        .giving(shape::<KeyView>),
    own(
        "PATCH",
        "/auth/api-keys/{id}",
        "api_key.change",
        "rename a key or limit it; what is left out stays",
        Kind::Change,
        |ask| Box::pin(change(ask)),
    )
    .taking(shape::<OwnKeyChange>)
    .giving(shape::<KeyView>),
    own(
        "POST",
        "/auth/api-keys/{id}/rotate",
        "api_key.rotate",
        "give a key another text; the old one works for a while",
        Kind::Change,
        |ask| Box::pin(rotate(ask)),
    )
    .taking(shape::<Rotation>)
    .giving(shape::<KeyMade>),
    own("DELETE", "/auth/api-keys/{id}", "api_key.revoke", "end a key at once and for good", Kind::End, |ask| {
        Box::pin(revoke(ask))
    })
    .giving(shape::<KeyView>),
];

const fn own(
    method: &'static str,
    path: &'static str,
    name: &'static str,
    summary: &'static str,
    kind: Kind,
    handler: Handler,
) -> Route {
    let action = if matches!(kind, Kind::Show | Kind::List) { Action::ReadKeys } else { Action::WriteKeys };
    Route::new((method, path), name, summary, Needs::User(action), kind, handler)
}

async fn create(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let wanted = ask.input::<OwnNewKey>()?.wanted(&ask.actor.id, ask.actor.team.as_deref());
    make(&ask, wanted).await
}

async fn change(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let old = find(&ask).await?;
    ask.check_version(old.version)?;
    let wanted = ask.input::<OwnKeyChange>()?.applied(&old);
    alter(&ask, &old, wanted).await
}
