//! `waypost users`: those who may sign in, as a running gateway's administration has them. Tests: `it/commands.rs`.

use clap::{Args, Subcommand};
use serde::Serialize;
use waypost_core::role::Role;

use super::asking::{Asking, Id, One, OrNone, body};
use super::print::Column;

/// What can be done with users.
#[derive(Subcommand, Clone, Debug)]
pub enum Users {
    /// Lists users, the newest first.
    List(List),
    /// Shows one user.
    Show(One),
    /// Makes a user and prints, once, the reset by which they choose a password.
    Create(Create),
    /// Changes a user; what is left out stays. Another role or team ends their sessions.
    Change(Change),
    /// Lets a user neither call nor sign in, at once.
    Disable(One),
    /// Lets a disabled user in again.
    Enable(One),
    /// Prints, once, a reset by which a user chooses another password.
    Reset(One),
    /// Forgets who a user is at the provider of identities, and their password, and ends their sessions.
    Unlink(One),
}

/// Which users.
#[derive(Args, Clone, Debug)]
pub struct List {
    /// Only those of this team.
    #[arg(long)]
    team: Option<String>,
    /// Only those of this role.
    #[arg(long, value_parser = Role::ALL.map(Role::name))]
    role: Option<String>,
    /// Only those who are enabled (true) or disabled (false).
    #[arg(long)]
    enabled: Option<bool>,
    /// Only those whose address begins so.
    #[arg(long)]
    email: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

/// A user to be made.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Create {
    /// Their address.
    email: String,
    /// What they are called [default: the address].
    #[arg(long)]
    name: Option<String>,
    /// What they may [default: member].
    #[arg(long, value_parser = Role::ALL.map(Role::name))]
    role: Option<String>,
    /// The team they belong to, by its id.
    #[arg(long)]
    team: Option<Id>,
    /// The plan they have, by its id.
    #[arg(long)]
    plan: Option<Id>,
    #[command(flatten)]
    #[serde(skip)]
    asking: Asking,
}

/// What is to be different.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Change {
    /// The user's id.
    #[serde(skip)]
    id: Id,
    #[arg(long)]
    name: Option<String>,
    #[arg(long, value_parser = Role::ALL.map(Role::name))]
    role: Option<String>,
    /// Another team, or `none`.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<OrNone<Id>>,
    /// Another plan, or `none`.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<OrNone<Id>>,
    #[command(flatten)]
    #[serde(skip)]
    asking: Asking,
}

const PATH: &str = "/admin/users";

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("EMAIL", "/email"),
    ("NAME", "/name"),
    ("ROLE", "/role"),
    ("TEAM", "/team"),
    ("PLAN", "/plan"),
    ("ENABLED", "/enabled"),
];

/// Does it, and prints what came of it.
pub async fn run(wanted: &Users) -> Result<(), String> {
    match wanted {
        Users::List(List { team, role, enabled, email, asking }) => {
            let enabled = enabled.map(|enabled| enabled.to_string());
            let asked = [
                ("team", team.as_deref()),
                ("role", role.as_deref()),
                ("enabled", enabled.as_deref()),
                ("email", email.as_deref()),
            ];
            asking.list(PATH, &asked, COLUMNS).await
        }
        Users::Show(One { id, asking }) => asking.show(&format!("{PATH}/{id}")).await,
        Users::Create(create) => create.asking.change("POST", PATH, body(create)?).await,
        Users::Change(change) => change.asking.change("PATCH", &format!("{PATH}/{}", change.id), body(change)?).await,
        Users::Disable(one) => one.enable(PATH, false).await,
        Users::Enable(one) => one.enable(PATH, true).await,
        Users::Reset(One { id, asking }) => asking.change("POST", &format!("{PATH}/{id}/reset-password"), None).await,
        Users::Unlink(One { id, asking }) => {
            asking.act("DELETE", &format!("{PATH}/{id}/identities"), None, &format!("{id} is unlinked")).await
        }
    }
}
