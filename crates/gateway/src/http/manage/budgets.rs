//! Budgets over HTTP: money in a window, for the instance, a team, a user, a key or a group of models. A team's people share out
//! among their own; the budget of the team itself is the instance's to set. Tests: `it/manage/money.rs`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use waypost_core::GatewayError;
use waypost_core::ledger::{Budget, Scope as For, Window};
use waypost_core::role::Action;
use waypost_store::page::Scope;
use waypost_store::{id, keys, users};

use super::answer::{Answer, Page};
use super::ask::Ask;
use super::money::{amount, fault, money};
use super::route::{Kind, Needs, Route, shape};
use crate::http::reports::no_place;

const READ: Needs = Needs::May(Action::ReadBudgets);
const WRITE: Needs = Needs::May(Action::WriteBudgets);

pub(super) const ROUTES: &[Route] = &[
    Route::new(("GET", "/admin/budgets"), "budget.list", "budgets", READ, Kind::List, |ask| Box::pin(list(ask)))
        .giving(shape::<Page<BudgetView>>)
        .asking(&[("scope", "`global`, or such as `team:<id>`; needed by whoever does not see all")]),
    Route::new(
        ("POST", "/admin/budgets"),
        "budget.create",
        "make a budget, in effect at once",
        WRITE,
        Kind::Make,
        |ask| Box::pin(create(ask)),
    )
    .taking(shape::<NewBudget>)
    .giving(shape::<BudgetView>),
    Route::new(
        ("GET", "/admin/budgets/{id}"),
        "budget.get",
        "one budget with its last windows",
        READ,
        Kind::Show,
        |ask| Box::pin(get(ask)),
    )
    .giving(shape::<BudgetShown>),
    Route::new(("DELETE", "/admin/budgets/{id}"), "budget.delete", "end a budget", WRITE, Kind::End, |ask| {
        Box::pin(delete(ask))
    }),
];

/// How many windows are shown.
const WINDOWS: i64 = 24;

/// Money in a window.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Budget")]
pub(super) struct BudgetView {
    id: String,
    /// `global`, `team:<id>`, `user:<id>`, `key:<id>` or `group:<name>`.
    scope: String,
    /// `hour`, `day`, `week`, `month` or `total`.
    window: String,
    amount: String,
    /// A soft one refuses nothing; it only tells.
    hard: bool,
    /// Per cents of the amount at which it tells.
    alerts: Vec<u16>,
}

/// A budget with what was spent.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct BudgetShown {
    #[serde(flatten)]
    budget: BudgetView,
    windows: Vec<WindowView>,
}

/// What was spent in one window, as far as it is in the database.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BudgetWindow")]
pub(super) struct WindowView {
    start: i64,
    amount: String,
    spent: String,
}

/// A budget to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBudget {
    scope: String,
    window: String,
    /// USD, such as "100".
    amount: String,
    /// True if nothing is said.
    hard: Option<bool>,
    #[serde(default)]
    alerts: Vec<u16>,
}

impl BudgetView {
    fn of(budget: &Budget) -> Self {
        Self {
            id: budget.id.to_string(),
            scope: budget.scope.to_string(),
            window: budget.window.name().to_owned(),
            amount: budget.amount.to_string(),
            hard: budget.hard,
            alerts: budget.alerts.clone(),
        }
    }
}

async fn list(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let said = ask.query.get("scope").map(scope).transpose()?;
    let wanted = match (said, ask.scope()?) {
        (Some(wanted), _) => {
            check_reach(&ask, &wanted, Use::Read).await?;
            Some(wanted)
        }
        (None, Scope::All) => None,
        (None, Scope::Team(team)) => Some(For::Team(team.into())),
        (None, Scope::Own(user)) => Some(For::User(user.into())),
    };
    let (after, limit) = (ask.query.get("after").unwrap_or_default(), ask.limit()? as usize);
    if !after.is_empty() && !id::is("bud", after) {
        return Err(no_place());
    }
    let most = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let mut rows = ask.store()?.budgets(wanted.as_ref(), after, most).await.map_err(|error| ask.fault(error))?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|last| last.id.to_string());
    Answer::shown(&Page { data: rows.iter().map(BudgetView::of).collect(), next })
}

async fn get(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let budget = find(&ask, Use::Read).await?;
    let windows = ask.store()?.windows(&budget.id, WINDOWS).await.map_err(|error| ask.fault(error))?;
    let windows = windows.iter().map(|window| WindowView {
        start: window.start,
        amount: window.amount.to_string(),
        spent: window.spent.to_string(),
    });
    Answer::shown(&BudgetShown { budget: BudgetView::of(&budget), windows: windows.collect() })
}

async fn create(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let input = ask.input::<NewBudget>()?;
    let invalid = |message: &str, field| GatewayError::invalid_request(message, Some(field));
    let window = Window::parse(&input.window)
        .ok_or_else(|| invalid("`window` is hour, day, week, month or total.", "window"))?;
    let amount = amount(&input.amount)?;
    if amount.get() < 0 {
        return Err(invalid("`amount` is 0 or more.", "amount"));
    }
    if input.alerts.len() > 10 || input.alerts.iter().any(|mark| !(1..=1000).contains(mark)) {
        return Err(invalid("`alerts` holds at most 10 per cents from 1 to 1000.", "alerts"));
    }
    let scope = scope(&input.scope)?;
    check_reach(&ask, &scope, Use::Write).await?;
    let id: Arc<str> = ask.new_id("bud")?.into();
    let hard = input.hard.unwrap_or(true);
    let budget = Budget { id: Arc::clone(&id), scope, window, amount, hard, alerts: input.alerts };
    let view = BudgetView::of(&budget);
    money(&ask)?.put_budget(budget, ask.now()).await.map_err(|error| fault(&ask, error))?;
    ask.commit(ask.begin().await?, &id, ask.actor.team.as_deref(), &json!({ "budget": view })).await?;
    Ok(Answer { status: http::StatusCode::CREATED, ..Answer::shown(&view)? })
}

async fn delete(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let budget = find(&ask, Use::Write).await?;
    money(&ask)?.delete_budget(&budget.id, ask.now()).await.map_err(|error| fault(&ask, error))?;
    let detail = json!({ "budget": BudgetView::of(&budget) });
    ask.commit(ask.begin().await?, &budget.id, ask.actor.team.as_deref(), &detail).await?;
    Ok(Answer::done())
}

/// What is done with a budget.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Read,
    Write,
}

async fn find(ask: &Ask<'_>, what: Use) -> Result<Budget, GatewayError> {
    let found = ask.store()?.budget(ask.id()).await.map_err(|error| ask.fault(error))?;
    let budget = found.ok_or_else(|| GatewayError::no_such(ask.id()))?;
    check_reach(ask, &budget.scope, what).await.map_err(|_| GatewayError::no_such(ask.id()))?;
    Ok(budget)
}

/// Is what the budget is for within reach? Who spends within a team's budget does not set it.
async fn check_reach(ask: &Ask<'_>, wanted: &For, what: Use) -> Result<(), GatewayError> {
    let scope = ask.scope()?;
    let store = ask.store()?;
    let within = match (&scope, wanted) {
        (Scope::All, _) => true,
        (_, For::Global | For::Group(_)) => false,
        (Scope::Team(team), For::Team(id)) => what == Use::Read && **id == **team,
        (Scope::Own(_), For::Team(_)) => false,
        (scope, For::User(id)) => users::get(store, scope, id).await.is_ok(),
        (scope, For::Key(id)) => keys::get(store, scope, id).await.is_ok(),
    };
    if within { Ok(()) } else { Err(GatewayError::no_such(&wanted.to_string())) }
}

fn scope(text: &str) -> Result<For, GatewayError> {
    For::parse(text).map_err(|error| GatewayError::invalid_request(format!("`scope`: {error}."), Some("scope")))
}
