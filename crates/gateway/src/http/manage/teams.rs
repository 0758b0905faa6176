//! Teams over HTTP. A team's plan is the instance's to set; its own people see it and nothing of others. Tests: `it/manage/people.rs`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use waypost_core::GatewayError;
use waypost_core::role::Action;
use waypost_store::teams::{self, Change, Team};

use super::answer::{Answer, Page};
use super::ask::{Ask, given};
use super::keys::view::{check_name, check_plan};
use super::route::{Kind, Needs, Route, shape};

const READ: Needs = Needs::May(Action::ReadTeams);
const WRITE: Needs = Needs::May(Action::WriteTeams);

pub(super) const ROUTES: &[Route] = &[
    Route::new(("GET", "/admin/teams"), "team.list", "teams, the newest first", READ, Kind::List, |ask| {
        Box::pin(list(ask))
    })
    .giving(shape::<Page<TeamView>>),
    Route::new(("POST", "/admin/teams"), "team.create", "make a team", WRITE, Kind::Make, |ask| Box::pin(create(ask)))
        .taking(shape::<NewTeam>)
        .giving(shape::<TeamView>),
    Route::new(("GET", "/admin/teams/{id}"), "team.get", "one team", READ, Kind::Show, |ask| Box::pin(get(ask)))
        .giving(shape::<TeamView>),
    Route::new(
        ("PATCH", "/admin/teams/{id}"),
        "team.change",
        "change a team; nobody of a disabled one may call or sign in",
        WRITE,
        Kind::Change,
        |ask| Box::pin(change(ask)),
    )
    .taking(shape::<TeamChange>)
    .giving(shape::<TeamView>),
];

/// A tenant.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Team")]
pub(super) struct TeamView {
    id: String,
    name: String,
    /// For its users who have no plan of their own.
    plan: Option<String>,
    enabled: bool,
    created_at: i64,
    changed_at: i64,
    /// What `ETag` says.
    version: i64,
}

/// A team to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTeam {
    name: String,
    plan: Option<String>,
}

/// What is to be different; what is left out stays.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TeamChange {
    name: Option<String>,
    #[serde(deserialize_with = "given")]
    plan: Option<Option<String>>,
    enabled: Option<bool>,
}

impl TeamView {
    fn of(team: Team) -> Self {
        Self {
            id: team.id,
            name: team.name,
            plan: team.plan,
            enabled: team.enabled,
            created_at: team.created_at,
            changed_at: team.changed_at,
            version: team.version,
        }
    }
}

async fn list(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let after = ask.after()?;
    let page = teams::page(ask.store()?, &ask.scope()?, after.as_ref(), ask.limit()?).await;
    Answer::shown(&Page::of(page.map_err(|error| ask.fault(error))?, TeamView::of))
}

async fn get(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let team = teams::get(ask.store()?, &ask.scope()?, ask.id()).await.map_err(|error| ask.fault(error))?;
    let version = team.version;
    Answer::of_version(&TeamView::of(team), version)
}

async fn create(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let NewTeam { name, plan } = ask.input()?;
    check_name("name", &name)?;
    check_plan(&ask, plan.as_deref()).await?;
    let id = ask.new_id("team")?;
    let mut tx = ask.begin().await?;
    let team =
        teams::create(&mut tx, &id, &name, plan.as_deref(), ask.now()).await.map_err(|error| ask.fault(error))?;
    let (version, view) = (team.version, TeamView::of(team));
    ask.commit(tx, &id, Some(&id), &json!({ "team": view })).await?;
    Answer::made(&view, version)
}

async fn change(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let (scope, input) = (ask.scope()?, ask.input::<TeamChange>()?);
    if let Some(name) = &input.name {
        check_name("name", name)?;
    }
    check_plan(&ask, input.plan.as_ref().and_then(Option::as_deref)).await?;
    let old = teams::get(ask.store()?, &scope, ask.id()).await.map_err(|error| ask.fault(error))?;
    ask.check_version(old.version)?;
    let change =
        Change { name: input.name.as_deref(), plan: input.plan.as_ref().map(Option::as_deref), enabled: input.enabled };
    let mut tx = ask.begin().await?;
    let team = teams::change(&mut tx, &scope, &old.id, Some(old.version), &change, ask.now()).await;
    let team = team.map_err(|error| ask.fault(error))?;
    let (before, after) = (TeamView::of(old), TeamView::of(team.clone()));
    ask.commit(tx, &team.id, Some(&team.id), &json!({ "before": before, "after": after })).await?;
    ask.note_team(&team).await?;
    Answer::of_version(&after, team.version)
}
