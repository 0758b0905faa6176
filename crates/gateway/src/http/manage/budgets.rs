//! Budgets over HTTP: money in a window, for the instance, a team, a user, a key or a group of models. A team's people share out
//! among their own; the budget of the team itself is the instance's to set. Tests: `it/manage/money.rs`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use waypost_core::GatewayError;
use waypost_core::ledger::{Budget, Scope as For, WhenSpent, Window};
use waypost_core::role::Action;
use waypost_store::ledger::budgets::Kept;
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
    Route::new(
        ("PATCH", "/admin/budgets/{id}"),
        "budget.change",
        "change a budget, in effect at once; nothing that is held is taken back",
        WRITE,
        Kind::Change,
        |ask| Box::pin(change(ask)),
    )
    .taking(shape::<BudgetChange>)
    .giving(shape::<BudgetView>),
    Route::new(("DELETE", "/admin/budgets/{id}"), "budget.delete", "end a budget", WRITE, Kind::End, |ask| {
        Box::pin(delete(ask))
    }),
];

/// The marks of a budget of which nothing else is said.
const USUAL_MARKS: [u16; 3] = [50, 80, 100];
/// The version of a budget that was just made.
const FIRST: i64 = 1;
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
    /// What becomes of requests that it has not enough for: `refuse` or `degrade`.
    when_spent: String,
    /// What `ETag` says.
    version: i64,
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
    /// 50, 80 and 100 if nothing is said.
    alerts: Option<Vec<u16>>,
    /// `refuse` if nothing is said; `degrade` lets requests fall to what is cheaper.
    when_spent: Option<String>,
}

/// What is to be different; what is left out stays.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BudgetChange {
    amount: Option<String>,
    hard: Option<bool>,
    alerts: Option<Vec<u16>>,
    when_spent: Option<String>,
}

impl BudgetView {
    fn of(budget: &Budget, version: i64) -> Self {
        Self {
            id: budget.id.to_string(),
            scope: budget.scope.to_string(),
            window: budget.window.name().to_owned(),
            amount: budget.amount.to_string(),
            hard: budget.hard,
            alerts: budget.alerts.clone(),
            when_spent: budget.when_spent.name().to_owned(),
            version,
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
    let next = rows.last().filter(|_| more).map(|last| last.budget.id.to_string());
    Answer::shown(&Page { data: rows.iter().map(|kept| BudgetView::of(&kept.budget, kept.version)).collect(), next })
}

async fn get(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let kept = find(&ask, Use::Read).await?;
    let windows = ask.store()?.windows(&kept.budget.id, WINDOWS).await.map_err(|error| ask.fault(error))?;
    let windows = windows.iter().map(|window| WindowView {
        start: window.start,
        amount: window.amount.to_string(),
        spent: window.spent.to_string(),
    });
    Answer::of_version(
        &BudgetShown { budget: BudgetView::of(&kept.budget, kept.version), windows: windows.collect() },
        kept.version,
    )
}

async fn create(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let input = ask.input::<NewBudget>()?;
    let invalid = |message: &str, field| GatewayError::invalid_request(message, Some(field));
    let window = Window::parse(&input.window)
        .ok_or_else(|| invalid("`window` is hour, day, week, month or total.", "window"))?;
    let amount = amount(&input.amount)?;
    let scope = scope(&input.scope)?;
    check_reach(&ask, &scope, Use::Write).await?;
    let id: Arc<str> = ask.new_id("bud")?.into();
    let hard = input.hard.unwrap_or(true);
    let alerts = input.alerts.unwrap_or_else(|| USUAL_MARKS.to_vec());
    let when_spent = input.when_spent.as_deref().map_or(Ok(WhenSpent::default()), when_spent)?;
    let budget = Budget { id: Arc::clone(&id), scope, window, amount, hard, alerts, when_spent };
    check(&budget)?;
    let view = BudgetView::of(&budget, FIRST);
    let detail = json!({ "budget": view });
    let entry = ask.entry(&id, ask.actor.team.as_deref(), &detail);
    money(&ask)?.put_budget(budget, ask.now(), Some(entry)).await.map_err(|error| fault(&ask, error))?;
    Answer::made(&view, FIRST)
}

async fn change(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let input = ask.input::<BudgetChange>()?;
    let old = find(&ask, Use::Write).await?;
    ask.check_version(old.version)?;
    let before = BudgetView::of(&old.budget, old.version);
    let was = old.budget;
    let budget = Budget {
        amount: input.amount.as_deref().map_or(Ok(was.amount), amount)?,
        hard: input.hard.unwrap_or(was.hard),
        alerts: input.alerts.unwrap_or(was.alerts),
        when_spent: input.when_spent.as_deref().map_or(Ok(was.when_spent), when_spent)?,
        ..was
    };
    check(&budget)?;
    let id = Arc::clone(&budget.id);
    let after = BudgetView::of(&budget, old.version + 1);
    let detail = json!({ "before": before, "after": after });
    let entry = ask.entry(&id, ask.actor.team.as_deref(), &detail);
    let changed = money(&ask)?.change_budget(budget, old.version, ask.now(), Some(entry)).await;
    let version = changed.map_err(|error| fault(&ask, error))?;
    Answer::of_version(&after, version)
}

fn check(budget: &Budget) -> Result<(), GatewayError> {
    let invalid = |message: &str, field| Err(GatewayError::invalid_request(message, Some(field)));
    if budget.amount.get() < 0 {
        return invalid("`amount` is 0 or more.", "amount");
    }
    if budget.alerts.len() > 10 || budget.alerts.iter().any(|mark| !(1..=1000).contains(mark)) {
        return invalid("`alerts` holds at most 10 per cents from 1 to 1000.", "alerts");
    }
    if budget.when_spent == WhenSpent::Degrade && !budget.hard {
        return invalid(
            "`when_spent` is `degrade` only for a hard budget; a soft one always has enough.",
            "when_spent",
        );
    }
    Ok(())
}

fn when_spent(word: &str) -> Result<WhenSpent, GatewayError> {
    WhenSpent::parse(word)
        .ok_or_else(|| GatewayError::invalid_request("`when_spent` is `refuse` or `degrade`.", Some("when_spent")))
}

async fn delete(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let kept = find(&ask, Use::Write).await?;
    let (id, version) = (&kept.budget.id, ask.expected_if_said()?);
    let detail = json!({ "budget": BudgetView::of(&kept.budget, kept.version) });
    let entry = ask.entry(id, ask.actor.team.as_deref(), &detail);
    let deleted = money(&ask)?.delete_budget(id, version, ask.now(), Some(entry)).await;
    deleted.map_err(|error| fault(&ask, error))?;
    Ok(Answer::done())
}

/// What is done with a budget.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Read,
    Write,
}

async fn find(ask: &Ask<'_>, what: Use) -> Result<Kept, GatewayError> {
    let found = ask.store()?.budget(ask.id()).await.map_err(|error| ask.fault(error))?;
    let kept = found.ok_or_else(|| GatewayError::no_such(ask.id()))?;
    check_reach(ask, &kept.budget.scope, what).await.map_err(|_| GatewayError::no_such(ask.id()))?;
    // What bounds a team is not for the team to lift.
    let is_theirs = match ask.scope()? {
        Scope::All => true,
        Scope::Team(team) => kept.made_in.as_deref() == Some(&*team),
        Scope::Own(_) => false,
    };
    if what == Use::Write && !is_theirs {
        return Err(GatewayError::not_permitted(
            "This budget was set by an administrator of the gateway, and is theirs to change or delete.",
        ));
    }
    Ok(kept)
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
