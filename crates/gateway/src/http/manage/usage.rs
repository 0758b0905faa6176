//! Reports on usage over HTTP, for whoever runs the gateway, and for users of what is their own. What a question means and how an
//! answer is drawn is in `http/reports`. Tests: `it/reports.rs`.

use waypost_core::GatewayError;
use waypost_core::role::Action;
use waypost_store::logbook::{self, DAY_MS, Dimension, GroupBy, Report, UsageFilter};
use waypost_store::page;

use super::answer::Answer;
use super::ask::Ask;
use super::route::{Kind, Needs, Route, shape};
use crate::http::reports::billing::BillingView;
use crate::http::reports::usage::{self, UsageView};
use crate::http::reports::{file, wants_csv};

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        ("GET", "/admin/usage"),
        "usage.report",
        "requests, tokens and cost by any one or two of key, user, team, model, deployment, channel and day",
        Needs::May(Action::ReadUsage),
        Kind::List,
        |ask| Box::pin(report(ask)),
    )
    .giving(shape::<UsageView>)
    .asking(usage::WORDS),
    Route::new(
        ("GET", "/auth/usage"),
        "usage.own",
        "your own requests, tokens and cost, in the same way",
        Needs::User(Action::ReadUsage),
        Kind::List,
        |ask| Box::pin(report(ask)),
    )
    .giving(shape::<UsageView>)
    .asking(usage::WORDS),
    Route::new(
        ("GET", "/auth/billing"),
        "billing.own",
        "what you have spent, today, in 30 days and in all",
        Needs::User(Action::ReadMoney),
        Kind::Show,
        |ask| Box::pin(billing(ask)),
    )
    .giving(shape::<BillingView>),
];

/// Whose calls somebody may know of.
pub(super) fn within(scope: page::Scope) -> logbook::Scope {
    match scope {
        page::Scope::All => logbook::Scope::Everything,
        page::Scope::Team(id) => logbook::Scope::Team(id),
        page::Scope::Own(id) => logbook::Scope::User(id),
    }
}

async fn report(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let csv = wants_csv(&ask.query)?;
    let (report, scope) = (usage::asked(&ask.query, ask.now(), csv)?, within(ask.scope()?));
    let logbook = ask.store()?.logbook();
    let page = logbook.usage(&scope, &report).await.map_err(|error| ask.fault(error))?;
    if csv {
        return Ok(Answer::raw(file("usage.csv", usage::file(&report, &page), usage::next(&page).as_deref())));
    }
    let total = match report.after {
        None => Some(logbook.total(&scope, &report).await.map_err(|error| ask.fault(error))?),
        Some(_) => None,
    };
    Answer::shown(&UsageView::of(&report, &page, total.as_ref()))
}

async fn billing(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let (scope, logbook) = (within(ask.scope()?), ask.store()?.logbook());
    let today = ask.now().div_euclid(DAY_MS);
    let report = |first_day| Report {
        group_by: GroupBy::one(Dimension::Day),
        first_day,
        last_day: today,
        filter: UsageFilter::default(),
        after: None,
        limit: 1,
    };
    let mut sums = Vec::with_capacity(3);
    for first_day in [today, today - 29, 0] {
        sums.push(logbook.total(&scope, &report(first_day)).await.map_err(|error| ask.fault(error))?);
    }
    Answer::shown(&BillingView::of(&sums))
}
