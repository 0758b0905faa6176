//! The routes that look at the running gateway and steer it; what they show is in `http/admin`. Tests: `it/admin.rs`.

use serde_json::{Map, Value};
use waypost_core::health::view::{CredentialView, DeploymentView};
use waypost_core::role::Action;

use super::answer::{Answer, Page};
use super::ask::Ask;
use super::route::{Answering, Kind, Needs, Route, shape};
use crate::http::admin;
use crate::probe::TestReport;

pub(super) const ROUTES: &[Route] = &[
    show("/admin", "gateway.index", "what there is, and since when this gateway runs", &[])
        .giving(shape::<admin::Index<'_>>),
    list(
        "/admin/deployments",
        "deployment.list",
        "every deployment, how it is doing; ?after=&limit=&channel=&model=",
        &[("channel", "only those of this channel"), ("model", "only those of this model")],
    )
    .giving(shape::<admin::Deployments<'_>>),
    act("/admin/deployments/{id}/reset", "deployment.reset", "forget its failures", &[])
        .giving(shape::<DeploymentView<'_>>),
    list(
        "/admin/channels",
        "channel.list",
        "every channel with the sums over its deployments, and its credentials; ?after=&limit=",
        &[],
    )
    .giving(shape::<admin::Channels<'_>>),
    list("/admin/endpoints", "endpoint.list", "the same as /admin/channels", &[]).giving(shape::<admin::Channels<'_>>),
    list(
        "/admin/credentials",
        "credential.list",
        "every credential, how often it was used and whether it works; ?after=&limit=&channel=",
        &[("channel", "only those of this channel")],
    )
    .giving(shape::<admin::Credentials<'_>>),
    act("/admin/credentials/{id}/reset", "credential.reset", "use it again", &[]).giving(shape::<CredentialView<'_>>),
    act(
        "/admin/credentials/{id}/test",
        "credential.test",
        "ask its provider whether it works; ?model=",
        &[("model", "the model to ask with")],
    )
    .giving(shape::<TestReport<'_>>),
    show(
        "/admin/explain",
        "gateway.explain",
        "where a request would go now, and why; ?model=&operation=&dialect=",
        &[("model", "as a request names it"), ("operation", "such as chat"), ("dialect", "such as openai_chat")],
    )
    .giving(shape::<admin::Explanation>),
    show("/admin/config", "gateway.config", "what is in effect, without its secrets", &[])
        .giving(shape::<Map<String, Value>>),
    show(
        "/admin/provider-kinds",
        "gateway.provider_kinds",
        "every kind of provider that channels may be accounts of",
        &[],
    )
    .giving(shape::<admin::ProviderKinds>),
    Route {
        kind: Kind::Follow,
        ..show(
            "/admin/events",
            "gateway.events",
            "what happens, as it happens (server-sent events); ?key=&model=",
            &[("key", "only requests of this key"), ("model", "only requests of this model")],
        )
    },
    Route {
        needs: Needs::May(Action::ReadSecurity),
        ..show(
            "/admin/security",
            "security.state",
            "what was suspicious, and which addresses are refused for it; ?limit=",
            &[("limit", "how many incidents")],
        )
        .giving(shape::<admin::SecurityState<'_>>)
    },
    Route {
        needs: Needs::May(Action::ReadSecurity),
        ..list(
            "/admin/security/events",
            "security.events",
            "the same as far as the database remembers; ?after=&limit=&kind=&address=&key=",
            &[("kind", "such as bad_key"), ("address", "only from there"), ("key", "only with this key")],
        )
        .giving(shape::<Page<admin::EventView>>)
    },
    Route {
        needs: Needs::May(Action::WriteSecurity),
        ..act("/admin/security/{address}/pardon", "security.pardon", "let an address in again", &[])
            .giving(shape::<admin::Pardoned>)
    },
    act("/admin/reload", "gateway.reload", "read the configuration again", &[]).giving(shape::<admin::ReloadView<'_>>),
];

const fn list(path: &'static str, name: &'static str, summary: &'static str, query: Query) -> Route {
    Route { kind: Kind::List, ..show(path, name, summary, query) }
}

const fn show(path: &'static str, name: &'static str, summary: &'static str, query: Query) -> Route {
    Route::new(("GET", path), name, summary, Needs::May(Action::ReadGateway), Kind::Show, answer).asking(query)
}

const fn act(path: &'static str, name: &'static str, summary: &'static str, query: Query) -> Route {
    Route::new(("POST", path), name, summary, Needs::May(Action::SteerGateway), Kind::Act, done).asking(query)
}

type Query = &'static [(&'static str, &'static str)];

fn answer(ask: Ask<'_>) -> Answering<'_> {
    Box::pin(async move { admin::view(ask.app, ask.uri(), ask.signed().ok()).await.map(Answer::raw) })
}

/// The same for what is done. It is written down first, where there is a database, so that whoever leaves before the answer is in the
/// audit log all the same; what cannot be written down is not done.
fn done(ask: Ask<'_>) -> Answering<'_> {
    Box::pin(async move {
        let (subject, detail) = admin::target(ask.app, ask.uri())?;
        if ask.app.store.is_some() {
            ask.commit(ask.begin().await?, &subject, None, &detail).await?;
        }
        admin::view(ask.app, ask.uri(), ask.signed().ok()).await.map(Answer::raw)
    })
}
