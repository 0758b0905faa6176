//! The routes that look at the running gateway and steer it; what they show is in `http/admin`. Tests: `it/admin.rs`.

use waypost_core::role::Action;

use super::answer::Answer;
use super::ask::Ask;
use super::route::{Answering, Kind, Needs, Route};
use crate::http::admin;

pub(super) const ROUTES: &[Route] = &[
    show("/admin", "gateway.index", "what there is, and since when this gateway runs", &[]),
    show(
        "/admin/deployments",
        "deployment.list",
        "every deployment, how it is doing; ?after=&limit=&channel=&model=",
        &[
            ("after", "`next` of the page before"),
            ("limit", "how many"),
            ("channel", "only those of this channel"),
            ("model", "only those of this model"),
        ],
    ),
    act("/admin/deployments/{id}/reset", "deployment.reset", "forget its failures", &[]),
    show(
        "/admin/channels",
        "channel.list",
        "every channel with the sums over its deployments, and its credentials",
        &[],
    ),
    show("/admin/endpoints", "endpoint.list", "the same as /admin/channels", &[]),
    show(
        "/admin/credentials",
        "credential.list",
        "every credential, how often it was used and whether it works; ?channel=",
        &[("channel", "only those of this channel")],
    ),
    act("/admin/credentials/{id}/reset", "credential.reset", "use it again", &[]),
    act(
        "/admin/credentials/{id}/test",
        "credential.test",
        "ask its provider whether it works; ?model=",
        &[("model", "the model to ask with")],
    ),
    show(
        "/admin/explain",
        "gateway.explain",
        "where a request would go now, and why; ?model=&operation=&dialect=",
        &[("model", "as a request names it"), ("operation", "such as chat"), ("dialect", "such as openai_chat")],
    ),
    show("/admin/config", "gateway.config", "what is in effect, without its secrets", &[]),
    show(
        "/admin/provider-kinds",
        "gateway.provider_kinds",
        "every kind of provider that channels may be accounts of",
        &[],
    ),
    show(
        "/admin/events",
        "gateway.events",
        "what happens, as it happens (server-sent events); ?key=&model=",
        &[("key", "only requests of this key"), ("model", "only requests of this model")],
    ),
    Route {
        needs: Needs::May(Action::ReadSecurity),
        ..show(
            "/admin/security",
            "security.list",
            "what was suspicious, and which addresses are refused for it; ?limit=",
            &[("limit", "how many")],
        )
    },
    Route {
        needs: Needs::May(Action::WriteSecurity),
        ..act("/admin/security/{address}/pardon", "security.pardon", "let an address in again", &[])
    },
    act("/admin/reload", "gateway.reload", "read the configuration again", &[]),
];

const fn show(path: &'static str, name: &'static str, summary: &'static str, query: Query) -> Route {
    Route::new(("GET", path), name, summary, Needs::May(Action::ReadGateway), Kind::Show, answer).asking(query)
}

const fn act(path: &'static str, name: &'static str, summary: &'static str, query: Query) -> Route {
    Route::new(("POST", path), name, summary, Needs::May(Action::SteerGateway), Kind::Act, answer).asking(query)
}

type Query = &'static [(&'static str, &'static str)];

fn answer(ask: Ask<'_>) -> Answering<'_> {
    Box::pin(async move { admin::view(ask.app, ask.uri()).await.map(Answer::raw) })
}
