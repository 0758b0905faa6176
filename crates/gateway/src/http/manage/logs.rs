//! The log of calls over HTTP, page by page, the newest first; for users, of what is their own. What a
//! question means and how a call is drawn is in `http/reports`. Tests: `it/reports.rs`.

use waypost_core::GatewayError;
use waypost_core::role::Action;

use super::answer::{Answer, Page};
use super::ask::Ask;
use super::route::{Kind, Needs, Route, shape};
use super::usage::within;
use crate::http::reports::calls::{self, CallView};
use crate::http::reports::{file, wants_csv};

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        ("GET", "/admin/logs"),
        "call.list",
        "calls, the newest first; a page may be short and still have a next one",
        Needs::May(Action::ReadLogs),
        Kind::List,
        |ask| Box::pin(list(ask)),
    )
    .giving(shape::<Page<CallView>>)
    .asking(calls::WORDS),
    Route::new(
        ("GET", "/admin/logs/{id}"),
        "call.get",
        "the newest call with this request id",
        Needs::May(Action::ReadLogs),
        Kind::Show,
        |ask| Box::pin(get(ask)),
    )
    .giving(shape::<CallView>),
    Route::new(
        ("GET", "/auth/logs"),
        "call.own_list",
        "your own calls, the newest first",
        Needs::User(Action::ReadLogs),
        Kind::List,
        |ask| Box::pin(list(ask)),
    )
    .giving(shape::<Page<CallView>>)
    .asking(calls::WORDS),
    Route::new(
        ("GET", "/auth/logs/{id}"),
        "call.own_get",
        "your newest call with this request id",
        Needs::User(Action::ReadLogs),
        Kind::Show,
        |ask| Box::pin(get(ask)),
    )
    .giving(shape::<CallView>),
];

async fn list(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let csv = wants_csv(&ask.query)?;
    let calls::Asked { filter, after, limit } = calls::asked(&ask.query, csv)?;
    let scope = within(ask.scope()?);
    let page = ask.store()?.logbook().list(&scope, &filter, after, limit).await.map_err(|error| ask.fault(error))?;
    let next = calls::next(&page);
    if csv {
        return Ok(Answer::raw(file("calls.csv", calls::file(&page), next.as_deref())));
    }
    Answer::shown(&Page { data: page.rows.iter().map(CallView::of).collect(), next })
}

async fn get(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let scope = within(ask.scope()?);
    let call = ask.store()?.logbook().call(&scope, ask.id()).await.map_err(|error| ask.fault(error))?;
    let call = call.ok_or_else(|| GatewayError::no_such(ask.id()))?;
    Answer::shown(&CallView::of(&call))
}
