//! Charges of the past, priced anew over HTTP: told first, if one likes, and then entered as corrections. Tests: `it/prices.rs`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use waypost_core::GatewayError;
use waypost_core::role::Action;
use waypost_store::ledger::charges::{Mark, Wanted};
use waypost_store::money::By;

use super::answer::Answer;
use super::ask::Ask;
use super::keys::view::check_name;
use super::money::{fault, money};
use super::route::{Kind, Needs, Route, shape};
use crate::rerate::{self, AsOf, Rerated};

pub(super) const ROUTES: &[Route] = &[Route::new(
    ("POST", "/admin/prices/rerate"),
    "price.rerate",
    "price charges of the past by the prices that are known today, and enter the differences; doing it twice enters nothing twice",
    Needs::May(Action::WriteMoney),
    Kind::Act,
    |ask| Box::pin(run(ask)),
)
.taking(shape::<RerateInput>)
.giving(shape::<RerateView>)];

/// Which charges, and by which prices.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Rerate")]
pub(super) struct RerateInput {
    /// Settled from this moment on.
    from: Option<i64>,
    /// And before this one.
    to: Option<i64>,
    /// The model as callers named it; all if nothing is said.
    model: Option<String>,
    /// Only what was served without a price.
    unpriced: bool,
    /// Which prices count: those of `then`, when the request was settled (the default), or of `now`.
    prices: Option<String>,
    /// Tells what would be entered, and enters nothing.
    dry_run: bool,
    /// For the ledger.
    reason: Option<String>,
    /// The `next` of the answer before.
    after: Option<String>,
}

/// What came of it, or would come of it. Some thousands of charges are looked at in one call: go on with `next`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Rerated")]
pub(super) struct RerateView {
    dry_run: bool,
    /// How many charges were looked at.
    looked_at: usize,
    corrected: usize,
    /// Charged at that price already, or coming to the same.
    unchanged: usize,
    /// There is no price for it today, either.
    without_price: usize,
    /// Left as it was: undone by hand, charged in full because nobody knows what was used, of an account from which nobody may
    /// spend, or just corrected by somebody else.
    left: usize,
    /// USD that all of it costs more; less with a minus.
    difference: String,
    /// What payers pay of that, or get back; the rest is entered under `overrun`. Null if nothing was entered.
    charged: Option<String>,
    /// What to go on with as `after`; null at the end.
    next: Option<String>,
}

async fn run(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let input: RerateInput = ask.input()?;
    let as_of = match input.prices.as_deref() {
        None | Some("then") => AsOf::Then,
        Some("now") => AsOf::Now,
        Some(_) => return Err(GatewayError::invalid_request("`prices` is `then` or `now`.", Some("prices"))),
    };
    let after: Option<Mark> = input.after.as_deref().map(str::parse).transpose().map_err(|_| {
        GatewayError::invalid_request("`after` is no place in the ledger; use `next` of an answer.", Some("after"))
    })?;
    let reason = input.reason.as_deref().unwrap_or("priced anew");
    check_name("reason", reason)?;
    let wanted = Wanted {
        from: input.from.unwrap_or(0),
        to: input.to.unwrap_or(i64::MAX),
        model: input.model.as_deref(),
        unpriced: input.unpriced,
    };
    let money = money(&ask)?;
    let by = By { actor: &ask.actor.id, reason, at: ask.now() };
    let subject = input.model.as_deref().unwrap_or("all");
    let detail = json!({
        "from": input.from, "to": input.to, "model": input.model, "unpriced": input.unpriced,
        "prices": input.prices, "reason": reason, "after": input.after,
    });
    // Each batch that enters something leaves a row of its own, and says how much.
    let by = (!input.dry_run).then(|| (by, ask.entry(subject, None, &detail)));
    let live = ask.app.live();
    let done = rerate::run(money, &live.snapshot, &wanted, after, (as_of, ask.now()), by).await;
    let view = shown(&done.map_err(|error| fault(&ask, error))?, input.dry_run);
    if !input.dry_run && view.corrected == 0 {
        ask.commit(ask.begin().await?, subject, None, &detail).await?;
    }
    Answer::shown(&view)
}

fn shown(done: &Rerated, dry_run: bool) -> RerateView {
    RerateView {
        dry_run,
        looked_at: done.looked_at,
        corrected: done.corrected,
        unchanged: done.unchanged,
        without_price: done.without_price,
        left: done.left,
        difference: done.difference.to_string(),
        charged: (!dry_run).then(|| done.charged.to_string()),
        next: done.next.as_ref().map(ToString::to_string),
    }
}
