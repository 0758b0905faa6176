//! Users over HTTP: made with a reset to choose a password by, listed and changed. Nobody gives a role above their own, and a team
//! sees its own people only, whom it invites. Tests: `it/manage/people.rs`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use waypost_core::GatewayError;
use waypost_core::role::{Action, Role};
use waypost_store::page::Scope;
use waypost_store::users::{self, Change, Filter, NewUser, User};
use waypost_store::{identities, keys, sessions, teams};

use super::answer::{Answer, Page};
use super::ask::{Ask, given};
use super::invites::{self, Reset};
use super::keys::view::{check_name, check_plan};
use super::route::{Kind, Needs, Route, shape};

const READ: Needs = Needs::May(Action::ReadUsers);
const WRITE: Needs = Needs::May(Action::WriteUsers);

const INVITE: &str = "In a team people are invited: make an invite with POST /admin/invites, by which they register.";

pub(super) const ROUTES: &[Route] = &[
    Route::new(("GET", "/admin/users"), "user.list", "users, the newest first", READ, Kind::List, |ask| {
        Box::pin(list(ask))
    })
    .giving(shape::<Page<UserView>>)
    .asking(&[
        ("team", "only those of this team"),
        ("role", "only those of this role"),
        ("enabled", "`true` or `false`"),
        ("email", "the beginning of an address"),
    ]),
    Route::new(
        ("POST", "/admin/users"),
        "user.create",
        "make a user, which teams do by invites; the answer has a reset, once, by which they choose a password",
        WRITE,
        Kind::Make,
        |ask| Box::pin(create(ask)),
    )
    .taking(shape::<UserInput>)
    .giving(shape::<UserMade>),
    Route::new(("GET", "/admin/users/{id}"), "user.get", "one user", READ, Kind::Show, |ask| Box::pin(get(ask)))
        .giving(shape::<UserView>),
    Route::new(
        ("PATCH", "/admin/users/{id}"),
        "user.change",
        "change a user; another role or team, and being disabled, end their sessions",
        WRITE,
        Kind::Change,
        |ask| Box::pin(change(ask)),
    )
    .taking(shape::<UserChange>)
    .taking_of_teams(shape::<TeamUserChange>)
    .giving(shape::<UserView>),
    Route::new(
        ("POST", "/admin/users/{id}/reset-password"),
        "user.reset",
        "make a reset by which the user chooses another password; shown once",
        WRITE,
        Kind::Act,
        |ask| Box::pin(reset(ask)),
    )
    .giving(shape::<Reset>),
    Route::new(
        ("DELETE", "/admin/users/{id}/identities"),
        "user.unlink",
        "forget who the user is at the provider of identities, and end their sessions; whoever has the address there next is linked \
         anew. Where it is no team that does it, and there is a provider, their password is forgotten as well",
        WRITE,
        Kind::End,
        |ask| Box::pin(unlink(ask)),
    ),
];

/// Somebody who may sign in.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "User")]
pub(super) struct UserView {
    id: String,
    email: String,
    name: String,
    /// In the team, if there is one; else in the whole instance.
    role: Role,
    team: Option<String>,
    plan: Option<String>,
    enabled: bool,
    created_at: i64,
    changed_at: i64,
    /// What `ETag` says.
    version: i64,
}

/// A user, and what they choose a password by.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct UserMade {
    #[serde(flatten)]
    user: UserView,
    reset: Reset,
}

/// Somebody new.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewUser")]
pub(super) struct UserInput {
    email: String,
    name: Option<String>,
    /// `member` if nothing is said.
    role: Option<Role>,
    team: Option<String>,
    plan: Option<String>,
}

/// What is to be different; what is left out stays.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UserChange {
    name: Option<String>,
    role: Option<Role>,
    #[serde(deserialize_with = "given")]
    team: Option<Option<String>>,
    #[serde(deserialize_with = "given")]
    plan: Option<Option<String>>,
    enabled: Option<bool>,
}

/// What is to be different of somebody in one's own team.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TeamUserChange {
    name: Option<String>,
    role: Option<Role>,
    enabled: Option<bool>,
}

impl UserView {
    fn of(user: User) -> Self {
        Self {
            id: user.id,
            email: user.email,
            name: user.name,
            role: user.role,
            team: user.team,
            plan: user.plan,
            enabled: user.enabled,
            created_at: user.created_at,
            changed_at: user.changed_at,
            version: user.version,
        }
    }
}

async fn list(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let role = ask.query.get("role").map(|role| {
        Role::from_name(role).ok_or_else(|| GatewayError::invalid_request("`role` is no role.", Some("role")))
    });
    let filter = Filter {
        team: ask.query.get("team"),
        role: role.transpose()?,
        enabled: ask.query.get("enabled").map(|word| word == "true"),
        email: ask.query.get("email"),
    };
    let after = ask.after()?;
    let page = users::page(ask.store()?, &ask.scope()?, &filter, after.as_ref(), ask.limit()?).await;
    Answer::shown(&Page::of(page.map_err(|error| ask.fault(error))?, UserView::of))
}

async fn get(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let user = find(&ask).await?;
    let version = user.version;
    Answer::of_version(&UserView::of(user), version)
}

async fn create(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let input: UserInput = match ask.scope()? {
        Scope::All => ask.input()?,
        // Whether an address is taken would tell who there is in other teams.
        Scope::Team(_) => return Err(GatewayError::not_permitted(INVITE)),
        Scope::Own(_) => return Err(ask.forbidden()),
    };
    let role = input.role.unwrap_or(Role::Member);
    let name = input.name.unwrap_or_else(|| input.email.clone());
    check_email(&input.email)?;
    check_name("name", &name)?;
    check_role(&ask, role)?;
    check_team(&ask, input.team.as_deref()).await?;
    check_plan(&ask, input.plan.as_deref()).await?;
    let id = ask.new_id("usr")?;
    let (team, plan) = (input.team.as_deref(), input.plan.as_deref());
    let new = NewUser { id: &id, email: &input.email, name: &name, role, team, plan, password: None };
    let mut tx = ask.begin().await?;
    let user = users::create(&mut tx, &new, ask.now()).await.map_err(|error| ask.fault(error))?;
    let reset = invites::add_reset(&ask, &mut tx, &user).await?;
    let (team, version, view) = (user.team.clone(), user.version, UserView::of(user));
    ask.commit(tx, &id, team.as_deref(), &json!({ "user": view, "reset": reset.id })).await?;
    Answer::made(&UserMade { user: view, reset }, version)
}

async fn change(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let scope = ask.scope()?;
    let input = match scope {
        Scope::All => ask.input::<UserChange>()?,
        Scope::Team(_) | Scope::Own(_) => {
            let TeamUserChange { name, role, enabled } = ask.input()?;
            UserChange { name, role, enabled, team: None, plan: None }
        }
    };
    let old = find(&ask).await?;
    ask.check_version(old.version)?;
    // Whoever is above is not changed from below.
    check_role(&ask, old.role)?;
    check_role(&ask, input.role.unwrap_or(old.role))?;
    if let Some(name) = &input.name {
        check_name("name", name)?;
    }
    check_team(&ask, input.team.as_ref().and_then(Option::as_deref)).await?;
    check_plan(&ask, input.plan.as_ref().and_then(Option::as_deref)).await?;
    let change = Change {
        name: input.name.as_deref(),
        role: input.role,
        team: input.team.as_ref().map(Option::as_deref),
        plan: input.plan.as_ref().map(Option::as_deref),
        enabled: input.enabled,
    };
    let mut tx = ask.begin().await?;
    let user = users::change(&mut tx, &scope, &old.id, Some(old.version), &change, ask.now()).await;
    let user = user.map_err(|error| ask.fault(error))?;
    if user.team != old.team {
        keys::follow_user(&mut tx, &user.id, user.team.as_deref()).await.map_err(|error| ask.fault(error))?;
    }
    let (before, after) = (UserView::of(old), UserView::of(user.clone()));
    let detail = if before.team == after.team {
        json!({ "before": before, "after": after })
    } else {
        // Each team learns of its own side.
        ask.note(&mut tx, &user.id, before.team.as_deref(), &json!({ "before": before })).await?;
        json!({ "after": after })
    };
    ask.commit(tx, &user.id, user.team.as_deref(), &detail).await?;
    ask.note_user(&user).await?;
    Answer::of_version(&after, user.version)
}

async fn reset(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let user = find(&ask).await?;
    check_role(&ask, user.role)?;
    let mut tx = ask.begin().await?;
    let reset = invites::add_reset(&ask, &mut tx, &user).await?;
    ask.commit(tx, &user.id, user.team.as_deref(), &json!({ "reset": reset.id })).await?;
    Answer::shown(&reset)
}

async fn unlink(ask: Ask<'_>) -> Result<Answer, GatewayError> {
    let (scope, version) = (ask.scope()?, ask.expected_if_said()?);
    let mut tx = ask.begin().await?;
    let user = users::end_sessions_of(&mut tx, &scope, ask.id(), version, ask.now()).await;
    let mut user = user.map_err(|error| ask.fault(error))?;
    check_role(&ask, user.role)?;
    // Whoever answers for all teams lets the provider say whose account it is: a password might be somebody else's.
    if scope == Scope::All && ask.identity()?.oidc().is_some() {
        let generation = users::forget_password(&mut tx, &user.id, ask.now()).await;
        user = User { generation: generation.map_err(|error| ask.fault(error))?, version: user.version + 1, ..user };
    }
    let unlinked = identities::unlink(&mut tx, &user.id).await.map_err(|error| ask.fault(error))?;
    let ended = sessions::end_all(&mut tx, &user.id, None, "unlinked from the provider", ask.now()).await;
    let ended = ended.map_err(|error| ask.fault(error))?;
    let unlinked: Vec<_> =
        unlinked.iter().map(|(issuer, subject)| json!({ "issuer": issuer, "subject": subject })).collect();
    let detail = json!({ "identities": unlinked, "ended_sessions": ended });
    ask.commit(tx, &user.id, user.team.as_deref(), &detail).await?;
    ask.note_user(&user).await?;
    Ok(Answer::done())
}

/// The user that the path names, within reach.
async fn find(ask: &Ask<'_>) -> Result<User, GatewayError> {
    users::get(ask.store()?, &ask.scope()?, ask.id()).await.map_err(|error| ask.fault(error))
}

/// May whoever asks make somebody this, or change somebody who is?
pub(super) fn check_role(ask: &Ask<'_>, role: Role) -> Result<(), GatewayError> {
    if ask.actor.may_grant(role) {
        return Ok(());
    }
    let message = format!("As {} you may neither make nor change an {role}.", ask.actor.role);
    Err(GatewayError::not_permitted(message))
}

/// Is there such a team?
pub(super) async fn check_team(ask: &Ask<'_>, team: Option<&str>) -> Result<(), GatewayError> {
    let Some(id) = team else { return Ok(()) };
    match teams::get(ask.store()?, &Scope::All, id).await {
        Ok(_) => Ok(()),
        Err(waypost_store::StoreError::NotFound) => {
            Err(GatewayError::invalid_request(format!("There is no team `{id}` here."), Some("team")))
        }
        Err(error) => Err(ask.fault(error)),
    }
}

/// Could mail be sent to it?
pub(super) fn check_email(email: &str) -> Result<(), GatewayError> {
    let email = email.trim();
    let parts =
        email.split_once('@').filter(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
    let plain = email.len() <= 254 && !email.chars().any(|letter| letter.is_control() || letter.is_whitespace());
    if parts.is_some() && plain {
        return Ok(());
    }
    Err(GatewayError::invalid_request("`email` is no address such as ada@example.com.", Some("email")))
}
