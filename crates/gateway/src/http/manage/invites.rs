//! Invites and resets over HTTP: secrets that let somebody in once. Shown when they are made and never again.
//! Tests: `it/manage/people.rs`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use waypost_core::GatewayError;
use waypost_core::role::{Action, Role};
use waypost_store::invites::{self, Invite};
use waypost_store::page::Scope;
use waypost_store::users::User;
use waypost_store::{Tx, digest};

use super::answer::{Answer, Page};
use super::ask::Ask;
use super::keys::view::check_plan;
use super::route::{Kind, Needs, Route, shape};
use super::users::{check_email, check_role, check_team};

const READ: Needs = Needs::May(Action::ReadUsers);
const WRITE: Needs = Needs::May(Action::WriteUsers);

pub(super) const ROUTES: &[Route] = &[
    Route::new(
        ("GET", "/admin/invites"),
        "invite.list",
        "invites and resets, the newest first",
        READ,
        Kind::List,
        |ask| Box::pin(list(ask)),
    )
    .giving(shape::<Page<InviteView>>),
    Route::new(
        ("POST", "/admin/invites"),
        "invite.create",
        "invite somebody to register; the secret is in this answer and never again",
        WRITE,
        Kind::Make,
        |ask| Box::pin(create(ask)),
    )
    .taking(shape::<NewInvite>)
    .taking_of_teams(shape::<TeamNewInvite>)
    .giving(shape::<InviteMade>),
    Route::new(
        ("DELETE", "/admin/invites/{id}"),
        "invite.withdraw",
        "take an invite back before it is used",
        WRITE,
        Kind::End,
        |ask| Box::pin(withdraw(ask)),
    ),
];

/// What secrets of invites begin with.
const PREFIX: &str = "wpi_";
const DAY: i64 = 86_400_000;
/// How long an invite waits if nothing is said.
const WEEK: i64 = 7 * DAY;
const MOST_DAYS: i64 = 90;

/// An invite, without its secret.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Invite")]
pub(super) struct InviteView {
    id: String,
    /// Whose password it resets; null if it makes a new user.
    user: Option<String>,
    /// Only this address may use it.
    email: Option<String>,
    role: Role,
    team: Option<String>,
    plan: Option<String>,
    made_by: String,
    created_at: i64,
    expires_at: i64,
    used_at: Option<i64>,
    used_by: Option<String>,
}

/// An invite with its secret.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct InviteMade {
    /// What whoever is invited registers with. It cannot be shown again.
    secret: String,
    #[serde(flatten)]
    invite: InviteView,
}

/// What a user chooses a password by.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Reset {
    pub id: String,
    /// It cannot be shown again.
    pub secret: String,
    pub expires_at: i64,
}

/// Somebody to come.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NewInvite {
    /// Only this address may use it, if one is given.
    email: Option<String>,
    /// `member` if nothing is said.
    role: Option<Role>,
    team: Option<String>,
    plan: Option<String>,
    /// 1 to 90; 7 if nothing is said.
    days: Option<i64>,
}

/// Somebody to come to one's own team.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TeamNewInvite {
    email: Option<String>,
    role: Option<Role>,
    days: Option<i64>,
}

impl InviteView {
    fn of(invite: Invite) -> Self {
        Self {
            id: invite.id,
            user: invite.user,
            email: invite.email,
            role: invite.role,
            team: invite.team,
            plan: invite.plan,
            made_by: invite.made_by,
            created_at: invite.created_at,
            expires_at: invite.expires_at,
            used_at: invite.used_at,
            used_by: invite.used_by,
        }
    }
}

async fn list(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let after = ask.after()?;
    let page = invites::page(ask.store()?, &ask.scope()?, after.as_ref(), ask.limit()?).await;
    Answer::shown(&Page::of(page.map_err(|error| ask.fault(error))?, InviteView::of))
}

async fn create(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let input = match ask.scope()? {
        Scope::All => ask.input::<NewInvite>()?,
        Scope::Team(team) => {
            let TeamNewInvite { email, role, days } = ask.input()?;
            NewInvite { email, role, days, team: Some(team), plan: None }
        }
        Scope::Own(_) => return Err(ask.forbidden()),
    };
    let role = input.role.unwrap_or(Role::Member);
    let days = input.days.unwrap_or(WEEK / DAY);
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(GatewayError::invalid_request(format!("`days` is a number from 1 to {MOST_DAYS}."), Some("days")));
    }
    input.email.as_deref().map(check_email).transpose()?;
    check_role(&ask, role)?;
    check_team(&ask, input.team.as_deref()).await?;
    check_plan(&ask, input.plan.as_deref()).await?;
    let invite = Invite {
        id: ask.new_id("inv")?,
        created_at: ask.now(),
        expires_at: ask.now().saturating_add(days * DAY),
        made_by: ask.actor.id.to_string(),
        user: None,
        email: input.email,
        role,
        team: input.team,
        plan: input.plan,
        used_at: None,
        used_by: None,
    };
    let (secret, hash) = new_secret(&ask)?;
    let mut tx = ask.begin().await?;
    invites::create(&mut tx, &invite, &hash).await.map_err(|error| ask.fault(error))?;
    let (id, team, view) = (invite.id.clone(), invite.team.clone(), InviteView::of(invite));
    ask.commit(tx, &id, team.as_deref(), &json!({ "invite": view })).await?;
    Answer::made(&InviteMade { secret, invite: view }, 1)
}

async fn withdraw(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let scope = ask.scope()?;
    let mut tx = ask.begin().await?;
    let invite = invites::withdraw(&mut tx, &scope, ask.id()).await.map_err(|error| ask.fault(error))?;
    let team = invite.team.clone();
    ask.commit(tx, ask.id(), team.as_deref(), &json!({ "invite": InviteView::of(invite) })).await?;
    Ok(Answer::done())
}

/// Adds a reset for a user to what is being written.
pub(super) async fn add_reset(ask: &Ask<'_>, tx: &mut Tx, user: &User) -> Result<Reset, GatewayError> {
    let invite = Invite {
        id: ask.new_id("inv")?,
        created_at: ask.now(),
        expires_at: ask.now().saturating_add(WEEK),
        made_by: ask.actor.id.to_string(),
        user: Some(user.id.clone()),
        email: Some(user.email.clone()),
        role: user.role,
        team: user.team.clone(),
        plan: user.plan.clone(),
        used_at: None,
        used_by: None,
    };
    let (secret, hash) = new_secret(ask)?;
    invites::create(tx, &invite, &hash).await.map_err(|error| ask.fault(error))?;
    Ok(Reset { id: invite.id, secret, expires_at: invite.expires_at })
}

fn new_secret(ask: &Ask<'_>) -> Result<(String, String), GatewayError> {
    let secret = format!("{PREFIX}{}", digest::hex(&ask.random::<24>()?));
    let hash = digest::of(&secret);
    Ok((secret, hash))
}
